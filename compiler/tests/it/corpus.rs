//! `tests/corpus/<area>/<case>/main.imgc` and what each stage makes of it, as a snapshot a stage beside the case:
//! `syntax` the tree, `types` what is inferred, `diagnostics` what is said, `plan` the plan. Of a stage that has nothing to
//! show there is no file.

use std::cell::RefCell;
use std::path::Path;

use imgc_compiler::analysis::Memo;
use imgc_compiler::{ModuleId, ide, parse};

use crate::render;
use crate::said::{self, Heard};
use crate::world::MapWorld;

/// The stages, by the names of their files.
const STAGES: [&str; 4] = ["syntax", "types", "diagnostics", "plan"];

#[test]
fn corpus() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    // What it keeps of the standard library serves every case.
    let memo = Memo::default();
    let heard = RefCell::new(Heard::new());
    insta::glob!("../../../tests/corpus", "*/*/main.imgc", |path| {
        let folder = path.parent().unwrap();
        let mut settings = settings.clone();
        settings.set_snapshot_path(folder);
        settings.set_snapshot_suffix("");
        for (name, text) in STAGES.iter().zip(stages(folder, &memo, &mut heard.borrow_mut())) {
            if text.is_empty() {
                let file = folder.join(format!("{name}.snap"));
                assert!(!file.exists(), "{} is of a stage with nothing to show: remove it", file.display());
            } else {
                settings.bind(|| insta::assert_snapshot!(*name, text));
            }
        }
    });
    said::assert_all_spoke(&heard.borrow());
}

/// What each of [`STAGES`] has to show.
fn stages(folder: &Path, memo: &Memo, heard: &mut Heard) -> [String; 4] {
    let world = MapWorld::read(folder);
    let mut checked = imgc_compiler::check(&world, "main.imgc");
    said::hear(&checked.diagnostics, heard);
    // Smallest programs leave things unused; only the cases about lints are about that.
    let is_about_lints = folder.parent().is_some_and(|area| area.ends_with("lints"));
    checked.diagnostics.retain(|d| is_about_lints || !d.code.starts_with("IMG9"));
    let mut said = render::diagnostics(&checked.diagnostics, &checked.sources);
    let mut plan = String::new();
    // Planning says what checking says, and more only where checking was content.
    if !is_about_lints && checked.diagnostics.iter().all(|d| d.severity != imgc_compiler::Severity::Error) {
        let planned = imgc_compiler::plan(&world, "main.imgc");
        said::hear(&planned.diagnostics, heard);
        let more = render::diagnostics(&planned.diagnostics, &planned.sources);
        if more != said {
            said.push_str(&format!("-- plan says\n{more}"));
        }
        let refused = planned.diagnostics.iter().any(|d| d.severity == imgc_compiler::Severity::Error);
        assert_eq!(planned.plan.is_none(), refused);
        if let Some(made) = &planned.plan {
            made.verify().unwrap();
            plan = render::plan(made);
        }
    }
    let main = String::from_utf8_lossy(&world.files["main.imgc"]).into_owned();
    let tree = parse::parse(&main, ModuleId(0)).tree;
    [render::syntax(&tree), types(&world, &tree, memo), said, plan]
}

/// What the checker made of each name: of items, as an editor shows them; of others, where it inferred a type.
fn types(world: &MapWorld, tree: &imgc_compiler::syntax::Tree, memo: &Memo) -> String {
    let analysis = memo.analyse(world, &["main.imgc".to_owned()], &|| false).unwrap();
    let none = |_: &str| None;
    let place = |offset: usize| {
        let before = tree.text.get(..offset).unwrap();
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        (before.matches('\n').count() + 1, column)
    };
    let (mut found, mut of_items) = (Vec::new(), Vec::new());
    for (root, start) in tree.roots().zip(&tree.starts) {
        let Some(name) = render::name_of_item(root) else { continue };
        let offset = (start + name.start()) as usize;
        let Some(hover) = ide::hover(&analysis, "main.imgc", offset, &none) else { continue };
        // The code of a hover is the declaration; what follows it is prose.
        let code = hover.markdown.split("```").nth(1).unwrap_or_default();
        let code: Vec<_> = code.lines().skip(1).map(str::trim).filter(|line| !line.is_empty()).collect();
        found.push((place(offset), code.join(" ")));
        of_items.push((start + name.end()) as usize);
    }
    for hint in ide::inlay_hints(&analysis, "main.imgc", 0..tree.text.len(), &none) {
        if hint.kind == ide::HintKind::Type && !of_items.contains(&hint.offset) {
            let name: String =
                tree.text[..hint.offset].chars().rev().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let name: String = name.chars().rev().collect();
            found.push((place(hint.offset), format!("{name}{}", hint.label)));
        }
    }
    found.sort();
    let mut text = String::new();
    for ((line, column), what) in found {
        text.push_str(&format!("{line}:{column} {what}\n"));
    }
    text
}
