//! Every program in the documents holds and is written as the formatter writes it.

use std::fs;
use std::path::{Path, PathBuf};

use imgc_compiler::{ModuleId, Severity, parse};

use crate::world::MapWorld;

/// README, CONTRIBUTING and all of `docs/` but the reference, which has tests of its own.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = vec![root.join("README.md")];
    for entry in fs::read_dir(root.join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The programs of a document: a fence `imgc file=…` adds a file to the next program.
fn programs(text: &str) -> Vec<MapWorld> {
    let mut programs = Vec::new();
    let mut world = MapWorld::default();
    for block in text.split("\n```imgc").skip(1) {
        let (info, rest) = block.split_once('\n').unwrap();
        let body = rest.split("\n```").next().unwrap().to_owned() + "\n";
        if let Some(file) = info.trim().strip_prefix("file=") {
            world.files.insert(file.to_owned(), body.into_bytes());
        } else {
            world.files.insert("main.imgc".to_owned(), body.into_bytes());
            programs.push(std::mem::take(&mut world));
        }
    }
    programs
}

#[test]
fn programs_in_documents_hold() {
    let mut count = 0;
    for path in documents() {
        for world in programs(&fs::read_to_string(&path).unwrap()) {
            count += 1;
            let checked = imgc_compiler::check(&world, "main.imgc");
            let said: Vec<_> = checked
                .diagnostics
                .iter()
                .map(|d| (checked.sources.place(&d.primary.at).line, d.severity == Severity::Error, d.code, &d.message))
                .collect();
            let text = String::from_utf8(world.files["main.imgc"].clone()).unwrap();
            assert!(said.is_empty(), "{}: {said:?} in\n{text}", path.display());
            let parsed = parse::parse(&text, ModuleId(0));
            assert_eq!(imgc_compiler::format::format(&parsed), text, "{}", path.display());
        }
    }
    assert!(count >= 11, "only {count} programs");
}
