//! Every fix of every diagnostic of the corpus, through actions.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use imgc_compiler::Diagnostic;
use imgc_compiler::analysis::Analysis;
use imgc_compiler::ide::{self, ActionKind};

use crate::world::MapWorld;
use crate::{MEMO, edited};

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
    let below =
        |folder: &Path| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let mut cases: Vec<PathBuf> = below(&root).iter().flat_map(|area| below(area)).collect();
    cases.retain(|case| !case.file_name().unwrap().to_string_lossy().starts_with("limit_"));
    cases.sort();
    cases
}

fn analysis(world: &MapWorld) -> Analysis {
    MEMO.analyse(world, &["main.imgc".to_owned()], &|| false).unwrap()
}

fn count(all: &[Diagnostic], like: &Diagnostic) -> usize {
    all.iter().filter(|d| d.code == like.code && d.message == like.message).count()
}

#[test]
fn every_fix_is_an_action_that_mends() {
    let mut codes = BTreeSet::new();
    for case in cases() {
        let world = MapWorld::read(&case);
        let said = imgc_compiler::check(&world, "main.imgc").diagnostics;
        if said.iter().all(|diagnostic| diagnostic.fixes.is_empty()) {
            continue;
        }
        let before = analysis(&world);
        let paths: Vec<String> = before.paths().filter(|path| !path.starts_with("std/")).map(str::to_owned).collect();
        for path in &paths {
            for (number, diagnostic) in before.diagnostics(path).iter().enumerate() {
                let place = before.place(&diagnostic.primary.at);
                let all = ide::actions(&before, path, place.start..place.end);
                let fixes: Vec<_> = all.iter().filter(|action| action.fixes == Some(number)).collect();
                assert_eq!(fixes.len(), diagnostic.fixes.len(), "{}: {}", case.display(), diagnostic.message);
                for action in fixes {
                    assert_eq!(action.kind, ActionKind::Fix);
                    let mut mended = world.clone();
                    for file in &action.edits {
                        let text = edited(before.text(&file.path).unwrap(), &file.edits);
                        mended.files.insert(file.path.clone(), text.into_bytes());
                    }
                    // A module that is in order is looked over even where another is not, which `check` leaves out.
                    let (was, is) = match count(&said, diagnostic) {
                        0 => {
                            let after = analysis(&mended);
                            (count(before.diagnostics(path), diagnostic), count(after.diagnostics(path), diagnostic))
                        }
                        was => (was, count(&imgc_compiler::check(&mended, "main.imgc").diagnostics, diagnostic)),
                    };
                    assert!(is < was, "{}: {} ({})", case.display(), diagnostic.message, action.title);
                    codes.insert(diagnostic.code);
                }
            }
        }
    }
    assert!(codes.len() >= 10, "only {codes:?}");
}
