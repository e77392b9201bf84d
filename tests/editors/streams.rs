//! The program itself over its streams: framing, how it ends, and what it finds of the last plan.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::run;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const GOOD: &str = "image box {\n  from = rootfs.scratch()\n}\n\noutput archive = oci.archive(box)\n";

const LIB: &str = "pub image box {\n  from = rootfs.scratch()\n}\n";

/// `imgc lsp`, and what it says.
struct Server {
    child: Child,
    input: Option<ChildStdin>,
    said: Receiver<Value>,
    home: tempfile::TempDir,
}

impl Server {
    /// In a package of one module, begun by a client that says it is this process.
    fn new(home: tempfile::TempDir, parent: u32) -> Self {
        let mut child = imgc(home.path(), &["lsp"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (sender, said) = channel();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            while let Some(message) = read(&mut output) {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let input = child.stdin.take();
        let mut server = Self { child, input, said, home };
        let uri = server.uri("");
        let folder = json!([{ "uri": uri, "name": "package" }]);
        let params = json!({ "processId": parent, "workspaceFolders": folder, "capabilities": {} });
        let begun = server.ask(1, "initialize", &params);
        assert_eq!(begun["serverInfo"]["name"], "imgc", "{begun}");
        assert!(begun["capabilities"]["hoverProvider"].as_bool().unwrap(), "{begun}");
        server.send(&json!({ "jsonrpc": "2.0", "method": "initialized", "params": {} }));
        server
    }

    fn uri(&self, path: &str) -> String {
        format!("file://{}/package{path}", self.home.path().display())
    }

    fn raw(&mut self, bytes: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(bytes.as_bytes()).unwrap();
        input.flush().unwrap();
    }

    fn send(&mut self, message: &Value) {
        let text = message.to_string();
        self.raw(&format!("Content-Length: {}\r\n\r\n{text}", text.len()));
    }

    fn notify(&mut self, method: &str, params: &Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    fn ask(&mut self, id: u32, method: &str, params: &Value) -> Value {
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        self.next(|message| message["id"] == id && message["method"].is_null())["result"].clone()
    }

    /// The next message that is wanted.
    fn next(&self, is: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.said.recv_timeout(PATIENCE).unwrap();
            if is(&message) {
                return message;
            }
        }
    }

    fn open(&mut self, text: &str) {
        let uri = self.uri("/main.imgc");
        let document = json!({ "uri": uri, "languageId": "imgc", "version": 1, "text": text });
        self.notify("textDocument/didOpen", &json!({ "textDocument": document }));
    }

    /// Waits until it has ended by itself.
    fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One message, with the framing as the protocol has it.
fn read(output: &mut impl BufRead) -> Option<Value> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.strip_suffix("\r\n").unwrap();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ").unwrap();
        if name == "Content-Length" {
            length = Some(value.parse().unwrap());
        }
    }
    let mut bytes = vec![0; length.unwrap()];
    output.read_exact(&mut bytes).ok()?;
    let message: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(message["jsonrpc"], "2.0", "{message}");
    Some(message)
}

fn imgc(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imgc"));
    command
        .args(args)
        .current_dir(home.join("package"))
        .env("IMGC_CACHE", home.join("cache"))
        .env("XDG_STATE_HOME", home.join("state"))
        .env("NO_COLOR", "1");
    command
}

fn package() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("package")).unwrap();
    std::fs::write(home.path().join("package/main.imgc"), GOOD).unwrap();
    home
}

#[test]
fn a_session_over_streams_ends_well() {
    let mut server = Server::new(package(), std::process::id());
    server.open(&GOOD.replace("archive(box)", "archive(bix)"));
    let told = server.next(|message| message["method"] == "textDocument/publishDiagnostics");
    assert_eq!(told["params"]["diagnostics"][0]["code"], "IMG1004", "{told}");
    // What is no message gets its error, and the next one its answer.
    server.raw("Content-Length: 3\r\n\r\n{x}");
    let fault = server.next(|message| message["error"].is_object());
    assert_eq!((&fault["error"]["code"], &fault["id"]), (&json!(-32700), &Value::Null));
    let uri = server.uri("/main.imgc");
    let symbols = server.ask(2, "textDocument/documentSymbol", &json!({ "textDocument": { "uri": uri } }));
    assert_eq!(symbols.as_array().unwrap().len(), 2, "{symbols}");
    assert_eq!(server.ask(3, "shutdown", &Value::Null), Value::Null);
    server.notify("exit", &Value::Null);
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn clients_that_leave_without_a_word_end_the_server() {
    let mut server = Server::new(package(), std::process::id());
    server.open(GOOD);
    server.notify("exit", &Value::Null);
    assert_eq!(server.ended().code(), Some(1), "`exit` without `shutdown`");
    let mut server = Server::new(package(), std::process::id());
    server.open(GOOD);
    drop(server.input.take());
    assert_eq!(server.ended().code(), Some(1), "the stream is closed");
    // In the middle of a message.
    let mut server = Server::new(package(), std::process::id());
    server.raw("Content-Length: 100\r\n\r\n{");
    drop(server.input.take());
    assert_eq!(server.ended().code(), Some(1), "the stream is cut");
}

#[test]
fn a_client_that_dies_without_closing_its_streams_ends_the_server() {
    let mut client = Command::new("sleep").arg("600").spawn().unwrap();
    let mut server = Server::new(package(), client.id());
    server.open(GOOD);
    server.next(|message| message["method"] == "textDocument/publishDiagnostics");
    assert!(server.child.try_wait().unwrap().is_none());
    client.kill().unwrap();
    client.wait().unwrap();
    assert_eq!(server.ended().code(), Some(1));
    assert!(server.input.is_some(), "its input was open to the end");
}

/// What stands above the images and outputs of a module that need not be open.
fn lenses(server: &mut Server, id: u32, path: &str) -> Vec<String> {
    let uri = server.uri(path);
    let lenses = server.ask(id, "textDocument/codeLens", &json!({ "textDocument": { "uri": uri } }));
    let title = |lens: &Value| lens["command"]["title"].as_str().unwrap().to_owned();
    lenses.as_array().unwrap().iter().map(title).collect()
}

#[test]
fn lenses_show_the_last_plan_that_was_made() {
    let home = package();
    run(&mut imgc(home.path(), &["plan"]));
    let mut server = Server::new(home, std::process::id());
    server.open(GOOD);
    assert_eq!(lenses(&mut server, 2, "/main.imgc"), ["plan: 1 to run", "plan: 1 pending"]);
}

#[test]
fn lenses_of_imported_modules_show_the_plan_whatever_their_name_is() {
    let home = package();
    let main = "import \"./lib.imgc\"\nimport \"./other.imgc\" as known\n\noutput a = oci.archive(lib.box)\noutput b = oci.archive(known.box)\n";
    for (file, text) in [("main.imgc", main), ("lib.imgc", LIB), ("other.imgc", LIB)] {
        std::fs::write(home.path().join("package").join(file), text).unwrap();
    }
    run(&mut imgc(home.path(), &["plan"]));
    let mut server = Server::new(home, std::process::id());
    server.open(main);
    assert_eq!(lenses(&mut server, 2, "/main.imgc"), ["plan: 1 pending", "plan: 1 pending"]);
    assert_eq!(lenses(&mut server, 3, "/lib.imgc"), ["plan: 1 to run"]);
    assert_eq!(lenses(&mut server, 4, "/other.imgc"), ["plan: 1 to run"]);
}
