//! Sync, diagnostics and what surrounds requests: positions, unsaved texts, watched files, weak clients.

use imgc_lsp::Ended;
use serde_json::{Value, json};

use crate::client::{Client, able};

/// A program without a fault.
pub(crate) const GOOD: &str = "image box {\n  from = rootfs.scratch()\n}\n\noutput archive = oci.archive(box)\n";

#[test]
fn an_edit_is_followed_by_its_diagnostics_until_all_is_well() {
    let mut client = Client::new(&[("main.imgc", GOOD)]);
    client.open("main.imgc");
    assert_eq!(client.codes("main.imgc"), Vec::<String>::new());
    client.replace("main.imgc", "oci.archive(box)", "oci.archive(bix)");
    let wrong = client.diagnostics("main.imgc");
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert_eq!(wrong[0]["code"], "IMG1004");
    assert_eq!(wrong[0]["severity"], 1);
    assert_eq!(wrong[0]["range"]["start"], json!({ "line": 4, "character": 29 }));
    let page = wrong[0]["codeDescription"]["href"].as_str().unwrap().to_owned();
    let text = client.ask("imgc/stdText", json!({ "uri": page })).unwrap();
    assert!(text.as_str().unwrap().starts_with("# "), "{text}");
    client.replace("main.imgc", "bix", "box");
    assert_eq!(client.codes("main.imgc"), Vec::<String>::new());
    assert_eq!(client.end(), Ended::Asked);
}

#[test]
fn positions_are_counted_as_the_client_counts() {
    let text = "let a = \"𝄞ä\"\r\nlet b = \"𝄞\" + nothing\r\n";
    for (offered, character) in [(json!(["utf-16"]), 15), (json!(["utf-8", "utf-16"]), 17), (Value::Null, 15)] {
        let mut capabilities = able();
        capabilities["general"] = json!({ "positionEncodings": offered });
        let mut client = Client::with(&[("main.imgc", text)], &capabilities);
        client.open("main.imgc");
        let wrong = client.diagnostics("main.imgc");
        let at = wrong.iter().find(|one| one["code"] == "IMG1004").unwrap_or_else(|| panic!("{wrong:?}"));
        assert_eq!(at["range"]["start"], json!({ "line": 1, "character": character }));
        // An edit behind both is put where the client means it.
        client.replace("main.imgc", "nothing", "a");
        assert_eq!(client.codes("main.imgc").iter().filter(|code| code.starts_with("IMG1")).count(), 0);
    }
}

#[test]
fn changes_of_one_message_are_applied_one_after_the_other() {
    let mut client = Client::new(&[("main.imgc", GOOD)]);
    client.open("main.imgc");
    client.codes("main.imgc");
    let uri = client.uri("main.imgc");
    // A whole text, then two edits, each counted in what the one before it left: it ends as it began, less a fault.
    let at = |line: u64, character: u64| json!({ "line": line, "character": character });
    let changes = json!([
        { "text": GOOD.replace("box", "chest") },
        { "range": { "start": at(0, 0), "end": at(0, 0) }, "text": "\n" },
        { "range": { "start": at(1, 6), "end": at(1, 11) }, "text": "crate" },
    ]);
    let document = json!({ "uri": uri, "version": 2 });
    client.notify("textDocument/didChange", json!({ "textDocument": document, "contentChanges": changes }));
    let text = format!("\n{}", GOOD.replace("image box", "image crate").replace("(box)", "(chest)"));
    client.open.insert(uri, crate::client::Open { version: 2, text });
    let wrong = client.diagnostics("main.imgc");
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert_eq!((&wrong[0]["code"], &wrong[0]["range"]["start"]), (&json!("IMG1004"), &at(5, 29)));
    client.replace("main.imgc", "(chest)", "(crate)");
    assert_eq!(client.codes("main.imgc"), Vec::<String>::new());
}

#[test]
fn what_is_not_saved_counts_and_what_is_closed_does_not() {
    let library = "pub fn twice(n: Int) -> Int = n + n\n";
    let main = format!("import \"./lib/math.imgc\" as math\n\nlet four = math.twice(2)\n\n{GOOD}");
    let mut client = Client::new(&[("main.imgc", main.as_str()), ("lib/math.imgc", library)]);
    client.open("main.imgc");
    client.open("lib/math.imgc");
    let errors = |codes: Vec<String>| codes.into_iter().filter(|code| !code.starts_with("IMG6")).collect::<Vec<_>>();
    let before = errors(client.codes("main.imgc"));
    client.replace("lib/math.imgc", "twice", "double");
    client.diagnostics("lib/math.imgc");
    let uri = client.uri("main.imgc");
    while errors(client.told[&uri].1.iter().map(|one| one["code"].as_str().unwrap().to_owned()).collect()) == before {
        assert!(client.listen(std::time::Duration::from_secs(60)), "the importing module was not told");
    }
    client.close("lib/math.imgc");
    client.replace("main.imgc", "let four", "let vier");
    assert_eq!(errors(client.codes("main.imgc")), before, "the disk counts again");
}

#[test]
fn files_that_change_beside_the_editor_are_read_again() {
    let main = format!("import \"./lib.imgc\" as lib\n\nlet one = lib.one\n\n{GOOD}");
    let mut client = Client::new(&[("main.imgc", &main)]);
    let registered = client.asked("client/registerCapability");
    assert_eq!(registered.params["registrations"][0]["method"], "workspace/didChangeWatchedFiles");
    client.open("main.imgc");
    let missing = client.codes("main.imgc");
    assert!(!missing.is_empty());
    client.write("lib.imgc", "pub let one = 1\n");
    let change = json!({ "changes": [{ "uri": client.uri("lib.imgc"), "type": 1 }] });
    client.notify("workspace/didChangeWatchedFiles", change);
    let uri = client.uri("main.imgc");
    while client.told[&uri].1.iter().any(|one| one["severity"] == 1) {
        assert!(client.listen(std::time::Duration::from_secs(60)), "the new file was not read");
    }
}

#[test]
fn a_client_without_watching_is_served_by_looking() {
    let main = format!("import \"./lib.imgc\" as lib\n\nlet one = lib.one\n\n{GOOD}");
    let mut client = Client::with(&[("main.imgc", main.as_str()), ("lib.imgc", "")], &json!({}));
    client.open("main.imgc");
    assert!(!client.codes("main.imgc").is_empty());
    client.write("lib.imgc", "pub let one = 1\n");
    let uri = client.uri("main.imgc");
    while client.told[&uri].1.iter().any(|one| one["severity"] == 1) {
        assert!(client.listen(std::time::Duration::from_secs(60)), "the changed file was not read");
    }
}

#[test]
fn texts_outside_of_any_package_are_packages_of_their_own() {
    let mut client = Client::new(&[]);
    client.open_text("untitled:Untitled-1", "let a: Int = \"x\"\n");
    client.open_text("loose.imgc", "let b: Int = \"y\"\n");
    assert!(client.codes("untitled:Untitled-1").contains(&"IMG2001".to_owned()));
    assert!(client.codes("loose.imgc").contains(&"IMG2001".to_owned()));
    client.close("untitled:Untitled-1");
    assert_eq!(client.of("textDocument/documentSymbol", "untitled:Untitled-1").unwrap_err().0, -32602);
}

#[test]
fn clients_that_ask_get_diagnostics_only_when_they_ask() {
    let mut capabilities = able();
    capabilities["textDocument"]["diagnostic"] = json!({});
    let mut client = Client::with(&[("main.imgc", GOOD), ("other.imgc", "let a: Int = \"x\"\n")], &capabilities);
    client.open("main.imgc");
    let report = client.of("textDocument/diagnostic", "main.imgc").unwrap();
    assert_eq!((&report["kind"], &report["items"]), (&json!("full"), &json!([])));
    let params = json!({
        "textDocument": { "uri": client.uri("main.imgc") }, "previousResultId": report["resultId"],
    });
    assert_eq!(client.ask("textDocument/diagnostic", params).unwrap()["kind"], "unchanged");
    let all = client.ask("workspace/diagnostic", json!({ "previousResultIds": [] })).unwrap();
    let items = all["items"].as_array().unwrap();
    let other = items.iter().find(|item| item["uri"] == client.uri("other.imgc")).expect("a module that is not open");
    assert_eq!(other["items"][0]["code"], "IMG2001");
    assert!(client.told.is_empty(), "nothing is pushed: {:?}", client.told);
}

#[test]
fn a_client_with_several_folders_and_one_that_closes_them() {
    let mut client = Client::new(&[("a/main.imgc", GOOD), ("b/main.imgc", &GOOD.replace("box", "chest"))]);
    client.open("a/main.imgc");
    client.open("b/main.imgc");
    assert_eq!(client.codes("a/main.imgc"), Vec::<String>::new());
    assert_eq!(client.codes("b/main.imgc"), Vec::<String>::new());
    let names = |found: &Value| -> Vec<String> {
        found.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    let found = client.ask("workspace/symbol", json!({ "query": "" })).unwrap();
    assert!(["box", "chest"].iter().all(|name| names(&found).contains(&(*name).to_owned())), "{found}");
    client.close("b/main.imgc");
    let folders = json!({ "event": { "added": [], "removed": [{ "uri": client.uri("b"), "name": "b" }] } });
    client.notify("workspace/didChangeWorkspaceFolders", folders);
    let found = client.ask("workspace/symbol", json!({ "query": "" })).unwrap();
    assert!(!names(&found).contains(&"chest".to_owned()), "{found}");
}

#[test]
fn progress_is_shown_while_a_package_is_looked_at_for_the_first_time() {
    let mut client = Client::new(&[("main.imgc", GOOD)]);
    client.open("main.imgc");
    let asked = client.asked("window/workDoneProgress/create");
    assert!(asked.params["token"].is_string());
}
