//! What an editor asks of a module's form: outline, colours, folds, selections, links, layout, moved files.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and its helpers count as part of it")]

mod colours;
mod layout;
mod links;
mod moves;
mod shape;
mod whole;
mod world;

use std::ops::Range;
use std::path::{Path, PathBuf};

use imgc_compiler::ide::TextEdit;

/// Every module of the package: examples, the standard library, the corpus.
fn modules() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    for folder in ["examples", "stdlib", "tests/corpus"] {
        collect(&root.join(folder), &mut found);
    }
    found.sort();
    assert!(found.len() > 150, "only {} modules were found", found.len());
    found
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "imgc")
            && let Ok(text) = std::fs::read_to_string(&path)
        {
            found.push((path, text));
        }
    }
}

/// A text with its edits done.
fn edited(text: &str, edits: &[TextEdit]) -> String {
    let mut result = String::new();
    let mut end = 0;
    for edit in edits {
        assert!(edit.range.start >= end, "edits in order, without overlap: {edits:?}");
        result.push_str(&text[end..edit.range.start]);
        result.push_str(&edit.text);
        end = edit.range.end;
    }
    result + &text[end..]
}

/// Where a text stands for the first time in another.
fn at(text: &str, part: &str) -> Range<usize> {
    let start = text.find(part).unwrap_or_else(|| panic!("{part:?} is not in {text:?}"));
    start..start + part.len()
}
