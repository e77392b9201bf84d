//! From a keystroke to its diagnostics, in a generated package of 200 modules and 40,000 lines: while a body is typed,
//! and while a signature that all use is changed, beside the first look at the whole package. `make bench` prints it.
//! Arguments: modules, keystrokes.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a bench ends where something does not hold")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use imgc_lsp::{Alone, Connection};
use lsp_server::{Message, Notification, Request, RequestId};
use serde_json::{Value, json};

const ITEMS: usize = 100;

struct Session {
    connection: Connection,
    uri: String,
    version: i64,
}

impl Session {
    fn notify(&self, method: &str, params: Value) {
        let message = Notification { method: method.to_owned(), params };
        self.connection.sender.send(message.into()).expect("the server is there");
    }

    /// Waits for what is said of the newest version.
    fn told(&self) {
        loop {
            let message = self.connection.receiver.recv_timeout(Duration::from_secs(600)).expect("the server speaks");
            if let Message::Notification(notification) = message
                && notification.method == "textDocument/publishDiagnostics"
                && notification.params["uri"] == self.uri
                && notification.params["version"] == self.version
            {
                return;
            }
        }
    }

    fn type_over(&mut self, text: &str, line: usize, from: usize, to: usize) -> Duration {
        self.version += 1;
        let at = |character| json!({ "line": line, "character": character });
        let range = json!({ "start": at(from), "end": at(to) });
        let document = json!({ "uri": self.uri, "version": self.version });
        let start = Instant::now();
        let changes = json!([{ "range": range, "text": text }]);
        self.notify("textDocument/didChange", json!({ "textDocument": document, "contentChanges": changes }));
        self.told();
        start.elapsed()
    }
}

fn module(number: usize) -> String {
    let mut text = String::from("import \"./base.imgc\" as base\n");
    for item in 0..ITEMS {
        let _ = write!(text, "\npub fn f{number}_{item}(n: Int) -> Int = base.shared(n + {item})\n");
    }
    text
}

#[expect(clippy::print_stdout, reason = "the table is what the command is for")]
fn print(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
    println!("| {what} | {:.1} ms | {:.1} ms | {:.1} ms |", at(50), at(95), at(99));
}

#[expect(clippy::print_stdout, reason = "the table is what the command is for")]
fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let (modules, strokes) = (numbers.first().copied().unwrap_or(200), numbers.get(1).copied().unwrap_or(200));
    let dir = tempfile::tempdir().expect("a folder");
    let base = "pub fn shared(n: Int) -> Int = n + 10\n";
    std::fs::write(dir.path().join("base.imgc"), base).expect("a file");
    std::fs::write(dir.path().join("main.imgc"), "let a = 1\n").expect("a file");
    for number in 0..modules {
        std::fs::write(dir.path().join(format!("m{number}.imgc")), module(number)).expect("a file");
    }
    let (connection, server) = Connection::memory();
    let server = std::thread::spawn(move || imgc_lsp::serve(&server, Arc::new(Alone)));
    let uri = format!("file://{}/base.imgc", dir.path().display());
    let mut session = Session { connection, uri: uri.clone(), version: 1 };
    let root = format!("file://{}", dir.path().display());
    let params = json!({ "processId": null, "rootUri": root, "capabilities": {} });
    let request = Request { id: RequestId::from(1), method: "initialize".to_owned(), params };
    session.connection.sender.send(request.into()).expect("the server is there");
    let start = Instant::now();
    let document = json!({ "uri": uri, "languageId": "imgc", "version": 1, "text": base });
    session.notify("textDocument/didOpen", json!({ "textDocument": document }));
    session.told();
    println!("| {modules} modules | p50 | p95 | p99 |\n|---|---|---|---|");
    print("the first look at all", vec![start.elapsed()]);
    // `10` becomes `11` and back; then the type of the result.
    let body = (0..strokes).map(|k| session.type_over(if k % 2 == 0 { "1" } else { "0" }, 0, 36, 37)).collect();
    print("a keystroke in a body", body);
    let signature = (0..strokes.div_ceil(10))
        .map(|k| if k % 2 == 0 { session.type_over("Size", 0, 25, 28) } else { session.type_over("Int", 0, 25, 29) });
    print("a signature that all use", signature.collect());
    let memory = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("{}", memory.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default());
    drop(session);
    let _ = server.join();
}
