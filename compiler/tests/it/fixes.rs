//! Every fix that the corpus is offered mends what it is offered for, and brings nothing new.

use std::path::{Path, PathBuf};

use imgc_compiler::diagnostic::Applicability;
use imgc_compiler::{Diagnostic, ModuleId, Severity};

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
    let (mut tried, mut faults) = (0, Vec::new());
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
                // What a syntax error hid may show now, and what a name hid that nobody knew; and who removes all items
                // that nothing uses may have none left.
                let hid = ["IMG0", "IMG1", "IMG2002", "IMG2004", "IMG2020"]
                    .iter()
                    .any(|code| diagnostic.code.starts_with(code));
                let is_new = |d: &&Diagnostic| {
                    d.severity == Severity::Error
                        && d.code != "IMG5013"
                        && count(&checked.diagnostics, d) < count(&again.diagnostics, d)
                };
                let sure = fix.applicability == Applicability::Safe;
                if let Some(new) = again.diagnostics.iter().find(is_new).filter(|_| sure || !hid) {
                    faults.push(format!(
                        "{}: {} ({}) gives {}",
                        case.display(),
                        diagnostic.message,
                        fix.title,
                        new.message
                    ));
                }
                let (before, after) = (count(&checked.diagnostics, diagnostic), count(&again.diagnostics, diagnostic));
                assert!(after < before, "{}: {} ({})", case.display(), diagnostic.message, fix.title);
                tried += 1;
            }
        }
    }
    assert!(faults.is_empty(), "fixes that bring something new:\n{}", faults.join("\n"));
    assert!(tried >= 15, "only {tried} fixes");
}
