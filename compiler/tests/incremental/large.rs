//! A workspace of many modules.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use imgc_compiler::analysis::Memo;

use crate::workspace;
use crate::world::Texts;

/// The benches take 200 modules of 40,000 lines.
const MODULES: usize = 50;
const LINES: usize = 10_000;

/// Nobody cancels.
pub(crate) fn never() -> bool {
    false
}

#[test]
fn the_generated_workspace_has_no_errors() {
    let world = Texts::new(workspace::generate(MODULES, LINES));
    let lines: usize = world.files.values().map(|text| text.lines().count()).sum();
    let bytes: usize = world.files.values().map(|text| text.len()).sum();
    println!("{} modules, {lines} lines, {bytes} bytes", world.files.len());
    assert_eq!(world.files.len(), MODULES);
    assert!((LINES * 9 / 10..LINES * 11 / 10).contains(&lines), "{lines}");
    let begin = Instant::now();
    let checked = imgc_compiler::check(&world, workspace::MAIN);
    println!("check: {:?}", begin.elapsed());
    assert_eq!(checked.diagnostics, []);
    let (begin, memo, entries) = (Instant::now(), Memo::default(), world.modules());
    let analysis = memo.analyse(&world, &entries, &never).unwrap();
    println!("analysis: {:?}", begin.elapsed());
    for path in analysis.paths() {
        assert_eq!(analysis.diagnostics(path), [], "{path}");
    }
    let (mut world, mut before) = (world, analysis);
    for (from, to) in [(workspace::IN_A_BODY, "echo other"), (workspace::SIGNATURE, workspace::OTHER_SIGNATURE)] {
        let path = if from == workspace::SIGNATURE { workspace::COMMON.to_owned() } else { workspace::path(3) };
        let text = world.files[&path].replacen(from, to, 1);
        assert_ne!(*text, *world.files[&path], "{path} has {from}");
        world.files.insert(path, Arc::from(text));
        let begin = Instant::now();
        let analysis = memo.analyse(&world, &entries, &never).unwrap();
        println!("again: {:?}", begin.elapsed());
        let anew: Vec<(&str, usize)> = analysis.checked_since(&before).collect();
        if from == workspace::IN_A_BODY {
            assert!(matches!(*anew, [(path, _)] if path == workspace::path(3)), "a body is checked alone: {anew:?}");
        } else {
            let modules: BTreeSet<&str> = anew.iter().map(|(path, _)| *path).collect();
            assert!(modules.len() > MODULES / 2, "what uses a signature is checked with it: {modules:?}");
        }
        for path in analysis.paths() {
            assert_eq!(analysis.diagnostics(path), [], "{path}");
        }
        before = analysis;
    }
    assert_eq!(world.hashed.get(), 0);
}
