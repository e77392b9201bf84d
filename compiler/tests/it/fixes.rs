//! Every fix that the corpus is offered mends what it is offered for.

use std::path::{Path, PathBuf};

use imgc_compiler::{Diagnostic, ModuleId};

use crate::world::MapWorld;

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
    let below =
        |folder: &Path| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let mut cases: Vec<PathBuf> = below(&root).iter().flat_map(|area| below(area)).collect();
    cases.retain(|case| !case.file_name().unwrap().to_string_lossy().starts_with("limit_"));
    cases.sort();
    cases
}

fn count(all: &[Diagnostic], like: &Diagnostic) -> usize {
    all.iter().filter(|d| d.code == like.code && d.message == like.message).count()
}

#[test]
fn every_fix_mends() {
    let mut tried = 0;
    for case in cases() {
        let world = MapWorld::read(&case);
        let checked = imgc_compiler::check(&world, "main.imgc");
        for diagnostic in &checked.diagnostics {
            for fix in &diagnostic.fixes {
                let mut mended = world.clone();
                let mut edits: Vec<_> =
                    fix.edits.iter().map(|(at, text)| (checked.sources.place(at), at.module, text)).collect();
                edits.sort_by_key(|(place, _, _)| std::cmp::Reverse(place.start));
                for (place, module, text) in edits {
                    assert!(module == ModuleId(0) || !place.path.starts_with("std/"));
                    let bytes = mended.files.get_mut(&*place.path).unwrap();
                    bytes.splice(place.start..place.end, text.bytes());
                }
                let again = imgc_compiler::check(&mended, "main.imgc");
                let (before, after) = (count(&checked.diagnostics, diagnostic), count(&again.diagnostics, diagnostic));
                assert!(after < before, "{}: {} ({})", case.display(), diagnostic.message, fix.title);
                tried += 1;
            }
        }
    }
    assert!(tried >= 15, "only {tried} fixes");
}
