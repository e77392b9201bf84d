//! What bad input gets: the protocol's own errors, and a server that lives on.

use imgc_lsp::Ended;
use lsp_server::RequestId;
use serde_json::{Value, json};

use crate::client::{Client, able};
use crate::session::GOOD;

#[test]
fn messages_out_of_order() {
    let mut client = Client::begun(&[("main.imgc", GOOD)]);
    client.notify("textDocument/didOpen", json!({}));
    assert_eq!(client.ask("textDocument/hover", json!({})).unwrap_err().0, -32002);
    assert_eq!(client.ask("shutdown", Value::Null).unwrap_err().0, -32002);
    assert_eq!(client.ask("initialize", Value::Null).unwrap_err().0, -32602);
    assert!(client.ask("initialize", json!({ "capabilities": {} })).is_ok());
    assert_eq!(client.ask("initialize", json!({ "capabilities": {} })).unwrap_err().0, -32600);
    // Changed, saved and closed before it was opened.
    let document = json!({ "uri": client.uri("main.imgc"), "version": 7 });
    let change = json!({ "textDocument": document, "contentChanges": [{ "text": "let" }] });
    client.notify("textDocument/didChange", change);
    client.notify("textDocument/didSave", json!({ "textDocument": document }));
    client.notify("textDocument/didClose", json!({ "textDocument": document }));
    client.notify("textDocument/didChange", json!({ "textDocument": 1 }));
    client.notify("$/cancelRequest", json!({ "id": 99 }));
    client.notify("$/cancelRequest", json!({}));
    client.notify("imgc/nonsense", json!([1]));
    client.open("main.imgc");
    assert_eq!(client.codes("main.imgc"), Vec::<String>::new());
    assert_eq!(client.ask("shutdown", Value::Null), Ok(Value::Null));
    assert_eq!(client.of("textDocument/hover", "main.imgc").unwrap_err().0, -32600);
    client.notify("exit", Value::Null);
    assert_eq!(client.joined(), Ended::Asked);
}

#[test]
fn unknown_methods_bad_parameters_and_texts_that_are_not_there() {
    let mut client = Client::new(&[("main.imgc", GOOD)]);
    for method in ["textDocument/nonsense", "$/nonsense", "imgc/nonsense", ""] {
        assert_eq!(client.ask(method, json!({})).unwrap_err().0, -32601, "{method}");
    }
    for params in [json!({}), json!([]), Value::Null, json!({ "textDocument": { "uri": 1 } })] {
        assert_eq!(client.ask("textDocument/hover", params.clone()).unwrap_err().0, -32602, "{params}");
    }
    for uri in ["file:///nowhere/at/all.imgc", "untitled:x", "", "imgc-std:/nonsense.imgc", "http://[", "file://"] {
        let place = json!({ "textDocument": { "uri": uri }, "position": { "line": 0, "character": 0 } });
        assert_eq!(client.ask("textDocument/hover", place).unwrap_err().0, -32602, "{uri}");
    }
    // A file that is not open is read from the disk.
    let symbols = client.of("textDocument/documentSymbol", "main.imgc").unwrap();
    assert_eq!(symbols[0]["name"], "box");
    client.open("main.imgc");
    assert_eq!(client.codes("main.imgc"), Vec::<String>::new());
}

/// Every request that takes a place or a range.
const PLACED: [&str; 13] = [
    "textDocument/hover",
    "textDocument/completion",
    "textDocument/signatureHelp",
    "textDocument/definition",
    "textDocument/declaration",
    "textDocument/typeDefinition",
    "textDocument/references",
    "textDocument/documentHighlight",
    "textDocument/prepareCallHierarchy",
    "textDocument/onTypeFormatting",
    "textDocument/inlayHint",
    "textDocument/codeAction",
    "textDocument/semanticTokens/range",
];

#[test]
fn positions_past_the_end_and_ranges_turned_around() {
    let mut client = Client::new(&[("main.imgc", GOOD)]);
    client.open("main.imgc");
    let far = json!({ "line": 4_000_000_000_u32, "character": 4_000_000_000_u32 });
    let begin = json!({ "line": 0, "character": 0 });
    for method in PLACED {
        let params = json!({
            "textDocument": { "uri": client.uri("main.imgc") },
            "position": far,
            "range": { "start": far, "end": begin },
            "context": { "includeDeclaration": true, "diagnostics": [], "triggerKind": 1, "isRetrigger": false },
            "ch": "}",
            "options": { "tabSize": 2, "insertSpaces": true },
        });
        assert!(client.ask(method, params).is_ok(), "{method}");
    }
    let refused = client.ask(
        "textDocument/prepareRename",
        json!({
            "textDocument": { "uri": client.uri("main.imgc") }, "position": far,
        }),
    );
    assert!(refused.is_ok() || refused.as_ref().is_err_and(|(code, _)| *code == -32803), "{refused:?}");
    assert_eq!(client.end(), Ended::Asked);
}

#[test]
fn a_text_of_two_mebibytes_is_refused_and_can_be_shortened() {
    let mut client = Client::new(&[("main.imgc", GOOD)]);
    client.open_text("main.imgc", &format!("{GOOD}{}", "// x\n".repeat(1 << 19)));
    let answer = client.of("textDocument/documentSymbol", "main.imgc");
    assert!(answer.is_ok() || answer.as_ref().is_err_and(|(code, _)| *code == -32602), "{answer:?}");
    let end = client.text("main.imgc").len();
    client.edit("main.imgc", GOOD.len()..end, "");
    assert_eq!(client.codes("main.imgc"), Vec::<String>::new());
    assert!(client.of("textDocument/documentSymbol", "main.imgc").is_ok());
}

#[test]
fn a_cancelled_request_is_answered_once_and_an_id_is_used_once_at_a_time() {
    let mut client = Client::new(&[("main.imgc", GOOD)]);
    client.open("main.imgc");
    let mut ids = Vec::new();
    for number in 0..40 {
        let place = client.place("main.imgc", "rootfs.|scratch");
        let id = client.send("textDocument/hover", place);
        if number % 2 == 0 {
            client.notify("$/cancelRequest", json!({ "id": number + 2 }));
        }
        // Outdates what is under way.
        client.edit("main.imgc", 0..0, " ");
        ids.push(id);
    }
    for id in &ids {
        let answer = client.answer(id);
        assert!(answer.is_ok() || answer.as_ref().is_err_and(|(code, _)| *code == -32800), "{answer:?}");
    }
    client.diagnostics("main.imgc");
    assert!(ids.iter().all(|id| client.answers(id) == 0), "each request has one answer");
    let place = client.place("main.imgc", "rootfs.|scratch");
    let twice = RequestId::from("twice".to_owned());
    client.send_as(twice.clone(), "textDocument/hover", place.clone());
    client.send_as(twice.clone(), "textDocument/hover", place);
    // The first may have been answered before the second came.
    let answers = [client.answer(&twice), client.answer(&twice)];
    let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert!(refused.len() <= 1 && refused.iter().all(|(code, _)| *code == -32600), "{answers:?}");
}

#[test]
fn what_an_edit_outdates_is_told_so_or_asked_again() {
    let mut client = Client::new(&[("main.imgc", GOOD)]);
    client.open("main.imgc");
    client.codes("main.imgc");
    for _ in 0..20 {
        let uri = client.uri("main.imgc");
        let symbols = client.send("textDocument/documentSymbol", json!({ "textDocument": { "uri": uri } }));
        let pulled = client.send("textDocument/diagnostic", json!({ "textDocument": { "uri": uri } }));
        let place = client.place("main.imgc", "rootfs.|scratch");
        let completion = client.send("textDocument/completion", place);
        client.edit("main.imgc", 0..0, "\n");
        let symbols = client.answer(&symbols);
        assert!(symbols.is_ok() || symbols.as_ref().is_err_and(|(code, _)| *code == -32801), "{symbols:?}");
        let pulled = client.answer(&pulled);
        assert!(pulled.is_ok() || pulled.as_ref().is_err_and(|(code, _)| *code == -32802), "{pulled:?}");
        assert!(client.answer(&completion).is_ok());
    }
}

#[test]
fn a_client_that_is_gone_ends_the_server() {
    let mut client = Client::new(&[("main.imgc", GOOD)]);
    client.open("main.imgc");
    let place = client.place("main.imgc", "rootfs.|scratch");
    client.send("textDocument/references", place);
    assert_eq!(client.die(), Ended::Gone);
    let mut client = Client::with(&[], &able());
    client.notify("exit", Value::Null);
    assert_eq!(client.joined(), Ended::Gone);
}
