//! One case for each ability, in which the answer is needed to go on.

use serde_json::{Value, json};

use crate::client::Client;

/// A package of two modules without a fault, with something of everything.
const LIBRARY: &str = "\
/// Adds a line to a file.
pub recipe greet(name: String, loud: Bool = false) on linux/* {
  sh \"greet\" { script = \"echo hello > /greeting\" }
}

pub fn twice(n: Int) -> Int = n + n
";

const MAIN: &str = "\
import \"./lib/base.imgc\" as base

/// How many.
param count: Int = 2

let four = base.twice(count)

image box {
  from = rootfs.debian(suite: \"bookworm\")
  use base.greet(name: \"you\")
  sh \"count\" { script = \"echo {four}\" }
}

output archive = oci.archive(box)
";

fn package() -> Client {
    let mut client = Client::new(&[("main.imgc", MAIN), ("lib/base.imgc", LIBRARY)]);
    client.open("main.imgc");
    client.open("lib/base.imgc");
    holds(&mut client, "main.imgc");
    client
}

/// Waits until a text has no error: where an edit changes several texts, the server may speak between two of them.
fn holds(client: &mut Client, path: &str) {
    client.settles(path, |list| list.iter().all(|one| one["severity"] != 1));
}

fn labels(completion: &Value) -> Vec<&str> {
    completion["items"].as_array().unwrap().iter().map(|item| item["label"].as_str().unwrap()).collect()
}

#[test]
fn a_renamed_recipe_is_renamed_wherever_it_is_used() {
    let mut client = package();
    let prepared = client.at("textDocument/prepareRename", "main.imgc", "base.gr|eet").unwrap();
    assert_eq!(prepared["placeholder"], "greet");
    let edit =
        client.at_with("textDocument/rename", "main.imgc", "base.gr|eet", &json!({ "newName": "welcome" })).unwrap();
    client.apply(&edit);
    assert!(client.text("main.imgc").contains("use base.welcome("));
    assert!(client.text("lib/base.imgc").contains("pub recipe welcome("));
    holds(&mut client, "main.imgc");
    let refused = client.at_with("textDocument/rename", "main.imgc", "base.wel|come", &json!({ "newName": "let" }));
    assert_eq!(refused.unwrap_err().0, -32803);
}

#[test]
fn what_completion_offers_is_applied_and_holds() {
    let mut client = package();
    client.replace("main.imgc", "base.twice(count)", "base.tw");
    let found = client.at("textDocument/completion", "main.imgc", "base.tw|").unwrap();
    assert!(labels(&found).contains(&"twice"), "{:?}", labels(&found));
    let item = found["items"].as_array().unwrap().iter().find(|item| item["label"] == "twice").unwrap().clone();
    let resolved = client.ask("completionItem/resolve", item.clone()).unwrap();
    assert_eq!(resolved["label"], "twice");
    let mut edit = item["textEdit"].clone();
    edit["newText"] = json!("twice(count)");
    let uri = client.uri("main.imgc");
    client.apply_edits(&uri, &[edit]);
    holds(&mut client, "main.imgc");
}

#[test]
fn a_fix_that_is_applied_takes_its_code_away() {
    let mut client = package();
    client.replace("main.imgc", "oci.archive(box)", "oci.archive(bocks)");
    let wrong = client.diagnostics("main.imgc");
    let fault = wrong.iter().find(|one| one["code"] == "IMG1004").unwrap_or_else(|| panic!("{wrong:?}")).clone();
    client.replace("main.imgc", "bocks", "boxx");
    let wrong = client.diagnostics("main.imgc");
    let fault = wrong.iter().find(|one| one["code"] == "IMG1004").cloned().unwrap_or(fault);
    let params = json!({
        "textDocument": { "uri": client.uri("main.imgc") },
        "range": fault["range"],
        "context": { "diagnostics": [fault], "only": ["quickfix"] },
    });
    let actions = client.ask("textDocument/codeAction", params).unwrap();
    let action = actions.as_array().unwrap().iter().find(|action| action["kind"] == "quickfix");
    let action = action.unwrap_or_else(|| panic!("no fix among {actions}"));
    assert_eq!(action["diagnostics"][0]["code"], "IMG1004");
    let edit = action["edit"].clone();
    client.apply(&edit);
    holds(&mut client, "main.imgc");
}

#[test]
fn a_name_leads_to_its_definition_and_a_step_into_the_standard_library() {
    let mut client = package();
    let found = client.at("textDocument/definition", "main.imgc", "base.gr|eet").unwrap();
    assert_eq!(found[0]["targetUri"], client.uri("lib/base.imgc"));
    let text = client.text("lib/base.imgc").to_owned();
    let at = client.offset(&text, &found[0]["targetSelectionRange"]["start"]);
    assert!(text[at..].starts_with("greet("));
    let found = client.at("textDocument/definition", "main.imgc", "oci.arch|ive").unwrap();
    let uri = found[0]["targetUri"].as_str().unwrap().to_owned();
    assert_eq!(uri, "imgc-std:/oci.imgc");
    let text = client.ask("imgc/stdText", json!({ "uri": uri })).unwrap().as_str().unwrap().to_owned();
    let same = client.ask("workspace/textDocumentContent", json!({ "uri": uri })).unwrap();
    assert_eq!(same["text"], text);
    let at = client.offset(&text, &found[0]["targetSelectionRange"]["start"]);
    assert!(text[at..].starts_with("archive"), "{}", &text[at..at + 20]);
    // And in there, everything goes on.
    client.open_text("imgc-std:/oci.imgc", &text);
    let symbols = client.of("textDocument/documentSymbol", "imgc-std:/oci.imgc").unwrap();
    assert!(symbols.as_array().unwrap().iter().any(|symbol| symbol["name"].as_str().unwrap().contains("archive")));
    for method in ["textDocument/declaration", "textDocument/typeDefinition"] {
        assert!(client.at(method, "main.imgc", "archive(bo|x)").unwrap().is_array(), "{method}");
    }
}

#[test]
fn uses_are_found_marked_and_counted() {
    let mut client = package();
    let all = client
        .at_with(
            "textDocument/references",
            "main.imgc",
            "base.gr|eet",
            &json!({ "context": { "includeDeclaration": true } }),
        )
        .unwrap();
    let uris: Vec<_> = all.as_array().unwrap().iter().map(|place| place["uri"].as_str().unwrap()).collect();
    assert_eq!(uris.len(), 2, "{all}");
    assert!(uris.iter().any(|uri| uri.ends_with("lib/base.imgc")) && uris.iter().any(|uri| uri.ends_with("main.imgc")));
    let marked = client.at("textDocument/documentHighlight", "main.imgc", "param co|unt").unwrap();
    assert_eq!(marked.as_array().unwrap().len(), 2, "{marked}");
    assert!(marked.as_array().unwrap().iter().any(|one| one["kind"] == 3));
}

#[test]
fn calls_of_recipes_lead_both_ways() {
    let mut client = package();
    let items = client.at("textDocument/prepareCallHierarchy", "main.imgc", "base.gr|eet").unwrap();
    assert_eq!(items[0]["name"], "greet");
    let callers = client.ask("callHierarchy/incomingCalls", json!({ "item": items[0] })).unwrap();
    assert_eq!(callers[0]["from"]["name"], "box", "{callers}");
    let text = client.text("main.imgc").to_owned();
    let at = client.offset(&text, &callers[0]["fromRanges"][0]["start"]);
    assert!(text[at..].starts_with("greet(") || text[at..].starts_with("base.greet("));
    let callees = client.ask("callHierarchy/outgoingCalls", json!({ "item": callers[0]["from"] })).unwrap();
    assert_eq!(callees[0]["to"]["name"], "greet", "{callees}");
}

#[test]
fn hover_signature_hints_and_lenses_say_what_is_known() {
    let mut client = package();
    let hover = client.at("textDocument/hover", "main.imgc", "base.gr|eet").unwrap();
    assert_eq!(hover["contents"]["kind"], "markdown");
    assert!(hover["contents"]["value"].as_str().unwrap().contains("Adds a line to a file."), "{hover}");
    let help = client.at("textDocument/signatureHelp", "main.imgc", "base.greet(na|me").unwrap();
    let signature = &help["signatures"][0];
    let label = signature["label"].as_str().unwrap();
    assert!(label.contains("greet"), "{help}");
    let part = &signature["parameters"][0]["label"];
    let at = |end: usize| usize::try_from(part[end].as_u64().unwrap()).unwrap();
    assert!(label[at(0)..at(1)].starts_with("name"), "{help}");
    let whole = json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 99, "character": 0 } });
    let params = json!({ "textDocument": { "uri": client.uri("main.imgc") }, "range": whole });
    let hints = client.ask("textDocument/inlayHint", params).unwrap();
    assert!(hints.as_array().unwrap().iter().any(|hint| hint["label"].as_str().unwrap().contains("Int")), "{hints}");
    let lenses = client.of("textDocument/codeLens", "main.imgc").unwrap();
    let lenses = lenses.as_array().unwrap();
    assert!(lenses.iter().any(|lens| lens["command"]["arguments"][1] == "archive"), "{lenses:?}");
    assert!(lenses.iter().all(|lens| lens["command"]["command"] == "imgc.plan"));
}

#[test]
fn a_text_is_brought_into_its_form() {
    let mut client = package();
    let tidy = client.text("main.imgc").to_owned();
    client.replace("main.imgc", "  use base.greet(name: \"you\")", "use   base.greet(name:\"you\")");
    let options = json!({ "tabSize": 2, "insertSpaces": true });
    let uri = client.uri("main.imgc");
    let params = json!({ "textDocument": { "uri": uri }, "options": options });
    let edits = client.ask("textDocument/formatting", params.clone()).unwrap();
    client.apply_edits(&uri, edits.as_array().unwrap());
    assert_eq!(client.text("main.imgc"), tidy);
    assert_eq!(client.ask("textDocument/formatting", params).unwrap(), json!([]));
    client.replace("main.imgc", "param count: Int = 2", "param   count: Int = 2");
    let line = json!({ "start": { "line": 3, "character": 0 }, "end": { "line": 3, "character": 5 } });
    let params = json!({ "textDocument": { "uri": uri }, "range": line, "options": options });
    let edits = client.ask("textDocument/rangeFormatting", params).unwrap();
    client.apply_edits(&uri, edits.as_array().unwrap());
    assert_eq!(client.text("main.imgc"), tidy);
    client.replace("main.imgc", "  sh \"count\"", "sh \"count\"");
    let typed = json!({ "ch": "}", "options": options });
    let edits = client.at_with("textDocument/onTypeFormatting", "main.imgc", "{four}\" }\n}|", &typed).unwrap();
    client.apply_edits(&uri, edits.as_array().unwrap());
    assert_eq!(client.text("main.imgc"), tidy);
}

#[test]
fn symbols_folds_selections_and_links_are_places_of_the_text() {
    let mut client = package();
    let symbols = client.of("textDocument/documentSymbol", "main.imgc").unwrap();
    let names: Vec<_> = symbols.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    for name in ["count", "four", "box", "archive"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let found = client.ask("workspace/symbol", json!({ "query": "grt" })).unwrap();
    assert_eq!(found[0]["name"], "greet");
    assert_eq!(found[0]["location"]["uri"], client.uri("lib/base.imgc"));
    let folds = client.of("textDocument/foldingRange", "main.imgc").unwrap();
    assert!(folds.as_array().unwrap().iter().any(|fold| fold["startLine"] == 7), "{folds}");
    let place = client.place("main.imgc", "base.tw|ice(count)");
    let params = json!({ "textDocument": place["textDocument"], "positions": [place["position"], place["position"]] });
    let selections = client.ask("textDocument/selectionRange", params).unwrap();
    assert_eq!(selections.as_array().unwrap().len(), 2);
    let (mut inner, mut depth) = (&selections[0], 0);
    while inner["parent"].is_object() {
        (inner, depth) = (&inner["parent"], depth + 1);
    }
    assert!(depth >= 2, "{selections}");
    let links = client.of("textDocument/documentLink", "main.imgc").unwrap();
    assert_eq!(links[0]["target"], client.uri("lib/base.imgc"));
}

#[test]
fn tokens_and_their_changes_give_the_same() {
    let mut client = package();
    let full = client.of("textDocument/semanticTokens/full", "main.imgc").unwrap();
    client.replace("main.imgc", "let four", "let quadruple = 1\nlet four");
    let params = json!({
        "textDocument": { "uri": client.uri("main.imgc") }, "previousResultId": full["resultId"],
    });
    let delta = client.ask("textDocument/semanticTokens/full/delta", params).unwrap();
    let mut data: Vec<Value> = full["data"].as_array().unwrap().clone();
    for edit in delta["edits"].as_array().unwrap() {
        let number = |name: &str| usize::try_from(edit[name].as_u64().unwrap()).unwrap();
        let new = edit["data"].as_array().unwrap().clone();
        data.splice(number("start")..number("start") + number("deleteCount"), new);
    }
    let now = client.of("textDocument/semanticTokens/full", "main.imgc").unwrap();
    assert_eq!(&data, now["data"].as_array().unwrap());
    let whole = json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 99, "character": 0 } });
    let params = json!({ "textDocument": { "uri": client.uri("main.imgc") }, "range": whole });
    let range = client.ask("textDocument/semanticTokens/range", params).unwrap();
    assert_eq!(range["data"], now["data"]);
}

#[test]
fn imports_follow_a_file_that_is_about_to_move() {
    let mut client = package();
    let (old, new) = (client.uri("lib/base.imgc"), client.uri("shared/base.imgc"));
    let edit = client.ask("workspace/willRenameFiles", json!({ "files": [{ "oldUri": old, "newUri": new }] })).unwrap();
    client.close("lib/base.imgc");
    client.write("shared/base.imgc", LIBRARY);
    client.apply(&edit);
    assert!(client.text("main.imgc").contains("shared/base.imgc"), "{}", client.text("main.imgc"));
    holds(&mut client, "main.imgc");
}

#[test]
fn a_client_that_is_able_to_do_little_gets_answers_that_it_can_read() {
    let mut client = Client::with(&[("main.imgc", MAIN), ("lib/base.imgc", LIBRARY)], &json!({}));
    client.open("main.imgc");
    client.diagnostics("main.imgc");
    let symbols = client.of("textDocument/documentSymbol", "main.imgc").unwrap();
    assert!(symbols[0]["location"]["range"].is_object());
    let found = client.at("textDocument/definition", "main.imgc", "base.gr|eet").unwrap();
    assert_eq!(found[0]["uri"], client.uri("lib/base.imgc"));
    let hover = client.at("textDocument/hover", "main.imgc", "base.gr|eet").unwrap();
    assert_eq!(hover["contents"]["kind"], "plaintext");
    assert!(!hover["contents"]["value"].as_str().unwrap().contains("```"));
    let completion = client.at("textDocument/completion", "main.imgc", "base.tw|ice").unwrap();
    assert!(completion["items"].as_array().unwrap().iter().all(|item| item["insertTextFormat"].is_null()));
    let edit =
        client.at_with("textDocument/rename", "main.imgc", "base.gr|eet", &json!({ "newName": "hail" })).unwrap();
    assert!(edit["changes"].is_object() && edit["documentChanges"].is_null());
    client.apply(&edit);
    holds(&mut client, "main.imgc");
    assert!(client.asked.is_empty(), "nothing is asked of it: {:?}", client.asked);
}
