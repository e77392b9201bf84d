//! What is known beside the texts: the last plan, pinned sources, files that change; and faults of ours.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use imgc_lsp::{Ended, Host};
use serde_json::json;

use crate::client::{Client, able};

const MAIN: &str = "import \"./lib.imgc\"\n\nimage box {\n  from = rootfs.debian(suite: \"bookworm\")\n}\n\noutput archive = oci.archive(box)\noutput other = lib.tar\n";
const LIB: &str = "pub image box {\n  from = rootfs.debian(suite: \"trixie\")\n}\n\npub let tar = oci.archive(box)\n";

/// A program that has planned, and that may have a fault.
#[derive(Default)]
struct Known {
    words: Mutex<String>,
    faulty: AtomicBool,
    /// How often it was asked what the last plan says.
    asked: AtomicUsize,
}

impl Known {
    fn said(&self) -> String {
        assert!(!self.faulty.load(Ordering::Relaxed), "a fault of ours");
        self.words.lock().unwrap().clone()
    }
}

impl Host for Known {
    fn version(&self) -> String {
        "1".to_owned()
    }

    fn file_of(&self, _: &str, _: &str) -> Option<PathBuf> {
        assert!(!self.faulty.load(Ordering::Relaxed), "a fault of ours");
        None
    }

    fn path_of(&self, _: &Path) -> Option<String> {
        None
    }

    fn pins(&self, _: &Path, module: &str) -> Vec<(String, String)> {
        let digest = if module == "main.imgc" { "sha256:aaa" } else { "sha256:bbb" };
        self.said();
        vec![("box/from".to_owned(), digest.to_owned())]
    }

    fn planned(&self, _: &Path, module: &str) -> Vec<(String, String)> {
        let said = format!("{} in {module}", self.said());
        self.asked.fetch_add(1, Ordering::SeqCst);
        vec![("box".to_owned(), said)]
    }
}

fn session(capabilities: &serde_json::Value) -> (Client, Arc<Known>) {
    let known = Arc::new(Known { words: Mutex::new("3 to run".to_owned()), ..Known::default() });
    let mut client = Client::hosted(&[("main.imgc", MAIN), ("lib.imgc", LIB)], capabilities, known.clone());
    client.open("main.imgc");
    client.open("lib.imgc");
    client.diagnostics("main.imgc");
    (client, known)
}

/// The title of the lens of `box`.
fn lens(client: &mut Client, path: &str) -> String {
    let lenses = client.of("textDocument/codeLens", path).unwrap();
    let lens = lenses.as_array().unwrap().iter().find(|lens| lens["command"]["arguments"][1] == "box").unwrap().clone();
    lens["command"]["title"].as_str().unwrap().to_owned()
}

#[test]
fn lenses_say_what_the_last_plan_says_of_each_module_and_follow_it() {
    let (mut client, known) = session(&able());
    assert_eq!(lens(&mut client, "main.imgc"), "plan: 3 to run in main.imgc");
    assert_eq!(lens(&mut client, "lib.imgc"), "plan: 3 to run in lib.imgc");
    // The next who asks is the look at the disk: it notes what the plan says, and what it says later is news.
    let before = known.asked.load(Ordering::SeqCst);
    while known.asked.load(Ordering::SeqCst) == before {
        client.listen(std::time::Duration::from_millis(20));
    }
    "all cached".clone_into(&mut known.words.lock().unwrap());
    client.asked("workspace/codeLens/refresh");
    client.asked("workspace/inlayHint/refresh");
    assert_eq!(lens(&mut client, "main.imgc"), "plan: all cached in main.imgc");
}

#[test]
fn pinned_sources_show_their_digest() {
    let (mut client, _) = session(&able());
    for (path, digest) in [("main.imgc", "sha256:aaa"), ("lib.imgc", "sha256:bbb")] {
        let hover = client.at("textDocument/hover", path, "rootfs.deb|ian").unwrap();
        assert!(hover["contents"]["value"].as_str().unwrap().contains(digest), "{hover}");
        let text = client.text(path).to_owned();
        let params = json!({ "textDocument": { "uri": client.uri(path) }, "range": client.range(path, &text) });
        let hints = client.ask("textDocument/inlayHint", params).unwrap();
        let hint = hints.as_array().unwrap().iter().find(|hint| hint["label"].as_str().unwrap().contains(digest));
        let at = client.offset(&text, &hint.unwrap_or_else(|| panic!("{hints}"))["position"]);
        assert!(text[..at].ends_with(')'), "behind the source: {at}");
    }
}

#[test]
fn files_that_change_have_everything_asked_again_of_clients_that_can() {
    let (mut client, _) = session(&able());
    client.asked.clear();
    client.write("more.imgc", "pub let one = 1\n");
    let change = json!({ "changes": [{ "uri": client.uri("more.imgc"), "type": 1 }] });
    client.notify("workspace/didChangeWatchedFiles", change);
    for what in ["codeLens", "inlayHint", "semanticTokens"] {
        client.asked(&format!("workspace/{what}/refresh"));
    }
}

#[test]
fn a_fault_of_ours_is_the_error_of_its_request_alone() {
    let (mut client, known) = session(&able());
    known.faulty.store(true, Ordering::Relaxed);
    let (code, said) = client.at("textDocument/hover", "main.imgc", "rootfs.deb|ian").unwrap_err();
    assert_eq!(code, -32603);
    assert!(said.contains("a fault of ours") && said.contains("report"), "{said}");
    assert!(client.of("textDocument/documentSymbol", "main.imgc").is_ok());
    known.faulty.store(false, Ordering::Relaxed);
    assert!(client.at("textDocument/hover", "main.imgc", "rootfs.deb|ian").is_ok());
    assert_eq!(client.end(), Ended::Asked);
}

#[test]
fn a_package_that_cannot_be_looked_at_is_told_once_and_looked_at_again() {
    let mut capabilities = able();
    // Such a client is given files to read, which is where the fault is.
    capabilities["experimental"] = json!({});
    let (mut client, known) = session(&capabilities);
    known.faulty.store(true, Ordering::Relaxed);
    client.replace("main.imgc", "oci.archive(box)", "oci.archive(bix)");
    let told = client.heard("window/showMessage");
    assert_eq!(told["type"], 1);
    assert!(told["message"].as_str().unwrap().contains("a fault of ours"), "{told}");
    client.replace("main.imgc", "bix", "bux");
    client.of("textDocument/documentSymbol", "main.imgc").unwrap();
    known.faulty.store(false, Ordering::Relaxed);
    client.replace("main.imgc", "bux", "bax");
    let wrong = client.diagnostics("main.imgc");
    assert!(wrong.iter().any(|one| one["code"] == "IMG1004"), "{wrong:?}");
    assert!(client.heard.iter().all(|heard| heard.method != "window/showMessage"), "told once");
}

#[test]
fn progress_begins_and_ends() {
    let (mut client, _) = session(&able());
    let token = client.asked("window/workDoneProgress/create").params["token"].clone();
    // A package that is known before the client has answered needs no bar; one that began has an end.
    while client.listen(std::time::Duration::from_millis(300)) {}
    let kinds: Vec<_> = client.heard.iter().filter(|heard| heard.method == "$/progress").collect();
    assert!(kinds.iter().all(|heard| heard.params["token"] == token));
    let kinds: Vec<_> = kinds.iter().map(|heard| heard.params["value"]["kind"].as_str().unwrap()).collect();
    assert!(kinds.is_empty() || kinds == ["end"] || kinds == ["begin", "end"], "{kinds:?}");
}

#[test]
fn diagnostics_say_what_else_they_concern_and_what_is_to_be_faded() {
    let text = "let a = 1\nlet a = 2\n\n@deprecated(\"use b\")\nfn old() -> Int = 1\n\noutput o = old()\n";
    let mut client = Client::new(&[("main.imgc", text)]);
    client.open("main.imgc");
    let said = client.diagnostics("main.imgc");
    let twice = said.iter().find(|one| one["relatedInformation"].is_array()).unwrap_or_else(|| panic!("{said:?}"));
    let place = &twice["relatedInformation"][0]["location"];
    assert_eq!(place["uri"], client.uri("main.imgc"));
    client.replace("main.imgc", "let a = 2\n", "let b = 2\n");
    let said = client.diagnostics("main.imgc");
    let tagged =
        |tag: u64| said.iter().find(|one| one["tags"] == json!([tag])).unwrap_or_else(|| panic!("{tag}: {said:?}"));
    assert!(tagged(1)["message"].as_str().unwrap().contains('a'));
    assert_eq!(tagged(2)["range"]["start"]["line"], 6);
    assert_eq!(client.told[&client.uri("main.imgc")].0, Some(2), "which version it is about");
    let mut weak = able();
    weak["textDocument"]["publishDiagnostics"] = json!({});
    let mut client = Client::with(&[("main.imgc", text)], &weak);
    client.open("main.imgc");
    let said = client.diagnostics("main.imgc");
    let extras = ["tags", "relatedInformation", "codeDescription"];
    assert!(said.iter().all(|one| extras.iter().all(|extra| one[extra].is_null())), "{said:?}");
}

/// A program that takes its time to say what a source is pinned to, until it is released.
#[derive(Default)]
struct Slow {
    /// How many wait, and whether they may go on.
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Slow {
    /// Waits until so many are held.
    fn held(&self, number: usize) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, |(waiting, _)| *waiting < number).unwrap());
    }

    fn release(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

impl Host for Slow {
    fn version(&self) -> String {
        "1".to_owned()
    }

    fn file_of(&self, _: &str, _: &str) -> Option<PathBuf> {
        None
    }

    fn path_of(&self, _: &Path) -> Option<String> {
        None
    }

    fn pins(&self, _: &Path, _: &str) -> Vec<(String, String)> {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |(_, free)| !*free).unwrap());
        Vec::new()
    }

    fn planned(&self, _: &Path, _: &str) -> Vec<(String, String)> {
        Vec::new()
    }
}

#[test]
fn what_is_asked_while_typing_is_answered_of_the_new_text_and_the_rest_told_that_it_is_old() {
    let slow = Arc::new(Slow::default());
    let mut client = Client::hosted(&[("main.imgc", MAIN), ("lib.imgc", LIB)], &able(), slow.clone());
    client.open("main.imgc");
    client.diagnostics("main.imgc");
    let place = client.place("main.imgc", "rootfs.deb|ian");
    let line = place["position"]["line"].as_u64().unwrap();
    // Both are being answered, of the text as it is, when it becomes another.
    let hover = client.send("textDocument/hover", place.clone());
    let text = client.text("main.imgc").to_owned();
    let range = client.range("main.imgc", &text);
    let hints = client.send("textDocument/inlayHint", json!({ "textDocument": place["textDocument"], "range": range }));
    slow.held(2);
    let at = text.find("rootfs").unwrap();
    client.edit("main.imgc", at..at, "\n    ");
    // Notifications are applied in order: when this is answered, the edit is done.
    assert_eq!(client.ask("imgc/nonsense", json!({})).unwrap_err().0, -32601);
    assert_eq!((client.answers(&hover), client.answers(&hints)), (0, 0), "neither has an answer yet");
    slow.release();
    // What stands at that place of the new text: the line of the old one ends before the source now.
    let hover = client.answer(&hover).unwrap();
    assert!(hover.is_null() || hover["range"]["start"]["line"].as_u64() == Some(line), "{hover}");
    assert!(!hover.to_string().contains("debian"), "an answer of the old text: {hover}");
    assert_eq!(client.answer(&hints).unwrap_err().0, -32801);
}

#[test]
fn nothing_that_is_asked_while_typing_waits_for_the_rest() {
    let slow = Arc::new(Slow::default());
    let mut client = Client::hosted(&[("main.imgc", MAIN), ("lib.imgc", LIB)], &able(), slow.clone());
    client.open("main.imgc");
    client.diagnostics("main.imgc");
    let text = client.text("main.imgc").to_owned();
    let params =
        json!({ "textDocument": { "uri": client.uri("main.imgc") }, "range": client.range("main.imgc", &text) });
    // More than there are threads for what can wait.
    let hints: Vec<_> = (0..8).map(|_| client.send("textDocument/inlayHint", params.clone())).collect();
    slow.held(1);
    assert!(client.at("textDocument/completion", "main.imgc", "rootfs.|debian").is_ok());
    assert!(hints.iter().all(|id| client.answers(id) == 0), "they still wait");
    slow.release();
    for id in &hints {
        assert!(client.answer(id).is_ok());
    }
}

#[test]
fn errors_of_syntax_are_told_first_then_types_and_lints_last() {
    let text = "let unused = 1\nlet wrong: Int = \"x\"\nlet broken = (\n\noutput o = wrong\n";
    let mut client = Client::new(&[("main.imgc", text)]);
    client.open("main.imgc");
    client.settles("main.imgc", |list| list.len() > 1);
    let of = |list: &Vec<serde_json::Value>| -> Vec<String> {
        list.iter().map(|one| one["code"].as_str().unwrap().to_owned()).collect()
    };
    let said: Vec<_> = client.history.iter().map(of).collect();
    let starts = |codes: &[String], with: &str| codes.iter().filter(|code| code.starts_with(with)).count();
    assert!(!said[0].is_empty() && starts(&said[0], "IMG0") == said[0].len(), "{said:?}");
    let all = said.last().unwrap();
    assert_eq!((starts(all, "IMG0"), starts(all, "IMG2"), starts(all, "IMG9")), (1, 1, 0), "{said:?}");
    // What is only unwise is told when nothing is wrong.
    client.replace("main.imgc", "let broken = (\n", "");
    client.replace("main.imgc", "\"x\"", "1");
    client.settles("main.imgc", |list| list.iter().any(|one| one["code"].as_str().unwrap().starts_with("IMG9")));
    assert_eq!(client.codes("main.imgc").len(), 1);
}
