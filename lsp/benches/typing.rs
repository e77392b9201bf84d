//! From a keystroke to its diagnostics and to completions, in a generated package of 200 modules and 40,000 lines, by the
//! real `imgc lsp` as an editor starts it, beside a cold `imgc check` of the same package in the same run; and the memory
//! that it takes. `make bench` prints it. Arguments: modules, keystrokes. `IMGC` names the binary, else it is the one
//! beside this program's folder.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a bench ends where something does not hold")]

#[path = "../../tests/workspace/mod.rs"]
mod workspace;

use std::collections::BTreeMap;
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use lsp_server::{Message, Notification, Request, RequestId};
use serde_json::{Value, json};

/// The lines of a module, on average.
const LINES: usize = 200;

/// A module that others import, in whose bodies somebody types.
const NUMBER: usize = 3;

/// A server as a child, and what is open in it.
struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    root: PathBuf,
    open: BTreeMap<String, (i64, String)>,
    requests: i32,
}

impl Session {
    fn start(binary: &Path, root: &Path) -> Self {
        let mut command = Command::new(binary);
        command.arg("lsp").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("imgc starts");
        let (input, output) = (child.stdin.take().expect("its input"), child.stdout.take().expect("its output"));
        let (root, output) = (root.to_owned(), BufReader::new(output));
        let mut session = Self { child, input, output, root, open: BTreeMap::new(), requests: 0 };
        let params = json!({ "processId": null, "rootUri": session.uri(""), "capabilities": {} });
        session.ask("initialize", params);
        session.notify("initialized", json!({}));
        session
    }

    fn uri(&self, path: &str) -> String {
        format!("file://{}/{path}", self.root.display()).trim_end_matches('/').to_owned()
    }

    fn send(&mut self, message: &Message) {
        message.clone().write(&mut self.input).expect("the server hears");
        self.input.flush().expect("the server hears");
    }

    fn next(&mut self) -> Message {
        Message::read(&mut self.output).expect("a message").expect("the server speaks")
    }

    fn notify(&mut self, method: &str, params: Value) {
        self.send(&Notification { method: method.to_owned(), params }.into());
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.requests += 1;
        let id = RequestId::from(self.requests);
        self.send(&Request { id: id.clone(), method: method.to_owned(), params }.into());
        loop {
            if let Message::Response(response) = self.next()
                && response.id == id
            {
                return serde_json::to_value(response).expect("a response");
            }
        }
    }

    /// Waits for what is said of the newest version of a text.
    fn told(&mut self, path: &str) -> Value {
        let (uri, version) = (self.uri(path), self.open[path].0);
        loop {
            if let Message::Notification(said) = self.next()
                && said.method == "textDocument/publishDiagnostics"
                && said.params["uri"] == uri
                && said.params["version"] == version
            {
                return said.params["diagnostics"].clone();
            }
        }
    }

    fn open(&mut self, path: &str, text: &str) {
        self.open.insert(path.to_owned(), (1, text.to_owned()));
        let document = json!({ "uri": self.uri(path), "languageId": "imgc", "version": 1, "text": text });
        self.notify("textDocument/didOpen", json!({ "textDocument": document }));
    }

    /// Writes one text over another where that stands first, as an editor tells it.
    fn edit(&mut self, path: &str, from: &str, to: &str) {
        let (version, text) = self.open.get_mut(path).expect("an open text");
        *version += 1;
        let version = *version;
        let start = text.find(from).expect("what is edited");
        let (line, character) = place(text, start);
        let (last, end) = place(text, start + from.len());
        text.replace_range(start..start + from.len(), to);
        let range = json!({
            "start": { "line": line, "character": character },
            "end": { "line": last, "character": end },
        });
        let document = json!({ "uri": self.uri(path), "version": version });
        let changes = json!([{ "range": range, "text": to }]);
        self.notify("textDocument/didChange", json!({ "textDocument": document, "contentChanges": changes }));
    }

    /// The time from each of many edits, to and fro, to its diagnostics.
    fn strokes(&mut self, path: &str, (from, to): (&str, &str), count: usize) -> Vec<Duration> {
        let one = |k| {
            let begin = Instant::now();
            if k % 2 == 0 {
                self.edit(path, from, to);
            } else {
                self.edit(path, to, from);
            }
            assert_eq!(self.told(path), json!([]), "{path}");
            begin.elapsed()
        };
        (0..count).map(one).collect()
    }

    /// The time from a keystroke behind `common.` to the completions there, which wait for no diagnostics.
    fn completions(&mut self, path: &str, count: usize) -> Vec<Duration> {
        let mut times = Vec::new();
        for k in 0..count {
            let (from, to) = ("  use common.install(", "  use common.in(");
            if k % 2 == 0 {
                self.edit(path, from, to);
            } else {
                self.edit(path, to, from);
            }
            let text = &self.open[path].1;
            let at = text.find("  use common.in").expect("a use") + "  use common.in".len();
            let (line, character) = place(text, at);
            let position = json!({ "line": line, "character": character });
            let params = json!({ "textDocument": { "uri": self.uri(path) }, "position": position });
            let begin = Instant::now();
            let answer = self.ask("textDocument/completion", params);
            times.push(begin.elapsed());
            assert!(answer.to_string().contains("install"), "{answer}");
        }
        times
    }

    /// What the system says of the child's memory, in MiB.
    fn memory(&self, what: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() / 1024
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Line and character of an offset; the texts are ASCII.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset];
    (before.matches('\n').count(), offset - before.rfind('\n').map_or(0, |at| at + 1))
}

/// The binary that is measured.
fn binary() -> PathBuf {
    let beside = || {
        let own = std::env::current_exe().expect("this program");
        own.ancestors().nth(2).expect("the target folder").join("imgc")
    };
    let binary = std::env::var_os("IMGC").map_or_else(beside, PathBuf::from);
    assert!(binary.is_file(), "{} is built first: cargo build --release -p imgc", binary.display());
    binary
}

/// The median of some cold checks.
fn cold_check(binary: &Path, root: &Path) -> Duration {
    let once = || {
        let begin = Instant::now();
        let status = Command::new(binary).arg("check").arg(root).stdout(Stdio::null()).status().expect("imgc starts");
        assert!(status.success(), "the generated package has no errors");
        begin.elapsed()
    };
    let mut times: Vec<Duration> = (0..6).map(|_| once()).skip(1).collect();
    times.sort();
    times[times.len() / 2]
}

#[expect(clippy::print_stdout, reason = "the table is what the command is for")]
fn print(what: &str, mut times: Vec<Duration>, cold: Duration) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
    let part = at(95) / (cold.as_secs_f64() * 1e3);
    println!("| {what} | {:.1} ms | {:.1} ms | {:.1} ms | {part:.2} |", at(50), at(95), at(99));
}

#[expect(clippy::print_stdout, reason = "the table is what the command is for")]
fn main() {
    // `cargo test --benches` and nextest ask for a list of tests: there are none here.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let numbers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let (modules, strokes) = (numbers.first().copied().unwrap_or(200), numbers.get(1).copied().unwrap_or(200));
    let (binary, dir) = (binary(), tempfile::tempdir().expect("a folder"));
    let root = dir.path().canonicalize().expect("a folder");
    let texts = workspace::generate(modules, modules * LINES);
    for (path, text) in &texts {
        let file = root.join(path);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(file, text).expect("a file");
    }
    let cold = cold_check(&binary, &root);
    let cold_ms = cold.as_secs_f64() * 1e3;
    println!("cold `imgc check` of {modules} modules: {cold_ms:.1} ms\n");
    println!("| `imgc lsp` | p50 | p95 | p99 | p95 ÷ cold check |\n|---|---|---|---|---|");
    let (part, begin) = (workspace::path(NUMBER), Instant::now());
    let mut session = Session::start(&binary, &root);
    session.open(workspace::COMMON, &texts[workspace::COMMON]);
    assert_eq!(session.told(workspace::COMMON), json!([]));
    print("start to first diagnostics", vec![begin.elapsed()], cold);
    session.open(&part, &texts[&part]);
    session.told(&part);
    let body = session.strokes(&part, (workspace::IN_A_BODY, "echo bodies"), strokes);
    print("a keystroke in a body", body, cold);
    let signature = (workspace::SIGNATURE, workspace::OTHER_SIGNATURE);
    let signature = session.strokes(workspace::COMMON, signature, strokes.div_ceil(10).max(4));
    print("a signature that all use", signature, cold);
    print("completion right after a keystroke", session.completions(&part, strokes.div_ceil(2)), cold);
    let (most, now) = (session.memory("VmHWM:"), session.memory("VmRSS:"));
    println!("\nmemory of `imgc lsp`: {most} MiB at most, {now} MiB at the end");
}
