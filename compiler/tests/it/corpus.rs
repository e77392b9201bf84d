//! `tests/corpus/<area>/<case>/main.imgc`: what checking and planning each say, as snapshots beside the case.

use crate::render;
use crate::world::MapWorld;

#[test]
fn corpus() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    insta::glob!("../../../tests/corpus", "*/*/main.imgc", |path| {
        let folder = path.parent().unwrap();
        let world = MapWorld::read(folder);
        let mut checked = imgc_compiler::check(&world, "main.imgc");
        // Smallest programs leave things unused; only the cases about lints are about that.
        let is_about_lints = folder.parent().is_some_and(|area| area.ends_with("lints"));
        checked.diagnostics.retain(|d| is_about_lints || !d.code.starts_with("IMG9"));
        let said = render::diagnostics(&checked.diagnostics, &checked.sources);
        let mut text = format!("-- check\n{said}");
        // Planning says what checking says, and more only where checking was content.
        if !is_about_lints && checked.diagnostics.iter().all(|d| d.severity != imgc_compiler::Severity::Error) {
            let planned = imgc_compiler::plan(&world, "main.imgc");
            let more = render::diagnostics(&planned.diagnostics, &planned.sources);
            if more != said {
                text.push_str(&format!("-- plan says\n{more}"));
            }
            assert_eq!(
                planned.plan.is_none(),
                planned.diagnostics.iter().any(|d| d.severity == imgc_compiler::Severity::Error)
            );
            if let Some(plan) = &planned.plan {
                plan.verify().unwrap();
                text.push_str(&format!("-- plan\n{}", render::plan(plan)));
            }
        }
        let mut settings = settings.clone();
        settings.set_snapshot_path(folder);
        settings.set_snapshot_suffix("");
        settings.bind(|| insta::assert_snapshot!("said", text));
    });
}
