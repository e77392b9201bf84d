//! Every example, typed character by character: nothing panics, diagnostics settle, and what is typed already keeps its
//! symbols, hover and completion whatever stands half written below it.
//!
//! In a usual run a few places of each example are looked at; `IMGC_TYPING=whole` looks at every one.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::client::Client;

/// Places of each example that are looked at in a usual run.
const PLACES: usize = 6;

fn examples() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut folders = vec![root];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name == "main.imgc") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty());
    found
}

/// The items of a text, imports left out: name, where it ends, where its name stands, all in bytes.
fn items(client: &mut Client, text: &str) -> Vec<(String, usize, usize)> {
    let symbols = client.of("textDocument/documentSymbol", "main.imgc").unwrap();
    let item = |symbol: &Value| {
        let end = client.offset(text, &symbol["range"]["end"]);
        let name = client.offset(text, &symbol["selectionRange"]["start"]);
        (symbol["name"].as_str().unwrap().to_owned(), end, name)
    };
    // 2 is a module.
    symbols.as_array().unwrap().iter().filter(|symbol| symbol["kind"] != 2).map(item).collect()
}

#[test]
fn examples_are_typed() {
    let whole = std::env::var("IMGC_TYPING").is_ok_and(|value| value == "whole");
    for example in examples() {
        let text = std::fs::read_to_string(&example).unwrap();
        let mut client = Client::new(&[("main.imgc", "")]);
        client.open_text("main.imgc", &text);
        let all = items(&mut client, &text);
        client.edit("main.imgc", 0..text.len(), "");
        let places = text.chars().count();
        let every = if whole { 1 } else { places.div_ceil(PLACES).max(1) };
        for (typed, (at, character)) in text.char_indices().enumerate() {
            let end = at + character.len_utf8();
            client.edit("main.imgc", at..at, character.encode_utf8(&mut [0; 4]));
            if typed % every == every - 1 || typed + 1 == places {
                looked_at(&mut client, &all, end, &example);
            }
        }
        client.diagnostics("main.imgc");
        assert_eq!(items(&mut client, &text), all, "{}", example.display());
    }
}

/// What is whole above the cursor is as it will be in the end.
fn looked_at(client: &mut Client, all: &[(String, usize, usize)], end: usize, example: &Path) {
    let text = client.text("main.imgc").to_owned();
    let before: Vec<_> = all.iter().filter(|(_, item_end, _)| *item_end + 1 < end).collect();
    let now: Vec<_> = items(client, &text).into_iter().map(|(name, ..)| name).collect();
    let place = |client: &Client, offset: usize| json!({ "textDocument": { "uri": client.uri("main.imgc") }, "position": client.position("main.imgc", offset) });
    for (name, ..) in &before {
        assert!(now.contains(name), "{}: `{name}` is lost at byte {end}: {now:?}", example.display());
    }
    // Whatever it gives: it is an answer, and the server lives on.
    let here = place(client, end);
    client.ask("textDocument/completion", here.clone()).unwrap();
    client.ask("textDocument/signatureHelp", here).unwrap();
    if let Some((name, _, at)) = before.first() {
        let there = place(client, *at + 1);
        let hover = client.ask("textDocument/hover", there).unwrap();
        assert!(!hover.is_null(), "{}: no hover on `{name}` at byte {end}", example.display());
    }
    // Between items there are always words that may begin one.
    if let Some((_, item_end, _)) = before.last() {
        let below = place(client, *item_end + 1);
        let found = client.ask("textDocument/completion", below).unwrap();
        assert!(found["items"].as_array().is_some_and(|all| !all.is_empty()), "{}: byte {end}", example.display());
    }
}
