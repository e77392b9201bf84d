//! Every code has a page, and the examples of every page are what they say.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use imgc_compiler::pages::{self, Page};
use imgc_compiler::{ModuleId, Severity, parse};

use crate::world::MapWorld;

/// Codes that depend on the machine, or that would be bugs: their pages have no examples.
const WITHOUT_EXAMPLE: [&str; 3] = ["IMG5012", "IMG5021", "IMG5030"];

/// Every code that the compiler's source raises.
pub(crate) fn codes() -> BTreeSet<String> {
    let mut open = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut codes = BTreeSet::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        for piece in text.split("\"IMG").skip(1) {
            let digits = piece.split('"').next().unwrap_or_default();
            if digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
                codes.insert(format!("IMG{digits}"));
            }
        }
    }
    codes
}

/// The files of an example.
fn world(page: Page, wrong: bool) -> MapWorld {
    let mut world = MapWorld::default();
    for example in page.examples(wrong) {
        let Some(file) = example.file else {
            for line in example.text.lines() {
                let (name, value) = line.split_once(" = ").unwrap();
                world = world.set(name, value);
            }
            continue;
        };
        world.files.insert(file.to_owned(), example.text.repeat(example.repeat).into_bytes());
    }
    world
}

/// The codes that checking, planning and parsing say, and those of errors among them.
fn said(world: &MapWorld) -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
    let checked = imgc_compiler::check(world, "main.imgc").diagnostics;
    let planned = imgc_compiler::plan(world, "main.imgc").diagnostics;
    let text = String::from_utf8_lossy(world.files.get("main.imgc").unwrap()).into_owned();
    let parsed = parse::parse(&text, ModuleId(0)).diagnostics;
    let all: Vec<_> = checked.into_iter().chain(planned).chain(parsed).collect();
    let errors = all.iter().filter(|d| d.severity == Severity::Error).map(|d| d.code).collect();
    (all.iter().map(|d| d.code).collect(), errors)
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let pages: BTreeSet<String> = pages::all().map(|page| page.code.to_owned()).collect();
    let codes = codes();
    assert!(codes.len() > 100, "only {} codes found", codes.len());
    let without: Vec<_> = codes.difference(&pages).collect();
    assert!(without.is_empty(), "write pages for {without:?} in compiler/pages");
    let stale: Vec<_> = pages.difference(&codes).collect();
    assert!(stale.is_empty(), "nothing raises {stale:?}");
}

#[test]
fn examples_are_what_pages_say() {
    let mut faults = Vec::new();
    for page in pages::all() {
        let code = page.code;
        assert!(page.title().len() > 5 && !page.title().ends_with('.'), "{code}: title");
        if WITHOUT_EXAMPLE.contains(&code) {
            continue;
        }
        if page.examples(true).is_empty() || page.examples(false).is_empty() {
            faults.push(format!("{code}: lacks an example"));
            continue;
        }
        let (wrong, _) = said(&world(page, true));
        if !wrong.contains(code) {
            faults.push(format!("{code}: the wrong example gives {wrong:?}"));
        }
        let (right, errors) = said(&world(page, false));
        if right.contains(code) || !errors.is_empty() {
            faults.push(format!("{code}: the right example gives {right:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What stands on a page is in the form that the formatter gives it, where it can be formatted.
#[test]
fn right_examples_are_formatted() {
    let mut faults = Vec::new();
    for page in pages::all() {
        for example in page.examples(false) {
            if example.file.is_some_and(|file| Path::new(file).extension().is_some_and(|ending| ending == "imgc")) {
                let parsed = parse::parse(example.text, ModuleId(0));
                let formatted = imgc_compiler::format::format(&parsed);
                if formatted != example.text {
                    faults.push(format!("{}:\n{formatted}", page.code));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Programs are checked with what they use of the standard library; here all of it is.
#[test]
fn the_whole_standard_library_holds() {
    let checked = imgc_compiler::check_library(&MapWorld::of("output o = 1\n"));
    assert_eq!(checked.diagnostics, []);
}
