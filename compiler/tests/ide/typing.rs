//! Examples while they are typed: no question panics, completion is never empty where names exist, and the other items
//! keep their answers.

use std::path::Path;

use imgc_compiler::analysis::Analysis;
use imgc_compiler::ide;

use crate::{Package, WEB};

/// Asks everything at an offset.
fn ask(analysis: &Analysis, package: &Package, offset: usize) -> usize {
    let path = &package.path;
    let none = |_: &str| None;
    let found = ide::completion(analysis, &package.world, path, offset).len();
    ide::hover(analysis, path, offset, &none);
    ide::signature(analysis, path, offset);
    ide::definition(analysis, path, offset);
    ide::type_definition(analysis, path, offset);
    ide::highlight(analysis, path, offset);
    ide::actions(analysis, path, offset..offset);
    ide::inlay_hints(analysis, path, 0..offset, &none);
    found
}

/// Whether names may stand there: not in a comment, a text, a number, nor where a name is being given.
fn wants_names(text: &str) -> bool {
    let line = text.rsplit('\n').next().unwrap();
    let in_text = line.matches('"').count() % 2 == 1 || text.matches("\"\"\"").count() % 2 == 1;
    let words: Vec<&str> = line.split_whitespace().collect();
    let defines = ["param", "let", "image", "output", "recipe", "test", "fn", "record", "enum", "secret"];
    let is_binding = words.len() <= 2 && words.first().is_some_and(|word| defines.contains(word));
    let is_number = line.ends_with(|c: char| c.is_ascii_digit());
    let in_params = line.starts_with("recipe");
    !line.contains("//") && !in_text && !is_binding && !is_number && !in_params
}

#[test]
fn web_typed_character_by_character() {
    // The other items stand below what is being typed.
    let cut = WEB.find("image web").unwrap();
    let (rest, typed) = WEB.split_at(cut);
    for end in (0..=typed.len()).filter(|end| typed.is_char_boundary(*end)) {
        let text = format!("{}\n\n{rest}", &typed[..end]);
        let package = Package::main(&text);
        let analysis = package.analysis();
        let found = ask(&analysis, &package, end);
        if wants_names(&typed[..end]) {
            assert!(found > 0, "nothing at {:?}", &typed[..end]);
        }
        // A text without its end may swallow a line, but no more.
        let at = text.find("let pages").unwrap() + 4;
        let shown = ide::hover(&analysis, &package.path, at, &|_| None);
        assert!(shown.is_some_and(|hover| hover.markdown.contains("let pages: String")), "at {:?}", &typed[..end]);
    }
}

#[test]
fn examples_at_sampled_prefixes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    for name in ["site", "twins", "hello"] {
        let text = std::fs::read_to_string(root.join(name).join("main.imgc")).unwrap();
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)).step_by(61) {
            let package = Package::main(&text[..end]);
            let analysis = package.analysis();
            ask(&analysis, &package, end);
        }
    }
}
