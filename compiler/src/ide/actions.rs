//! Changes that an editor offers: what diagnostics advise, and what rewrites a program without changing its plan.

mod extract;
mod fill;
mod inline;

use std::collections::BTreeMap;
use std::ops::Range;

use crate::ast::{Import, ImportFrom, ItemKind};
use crate::diagnostic::{Applicability, Diagnostic, Fix};
use crate::modules::{Module, plain};
use crate::span::Location;
use crate::types::ItemId;

use super::view::{View, items};
use super::{Action, ActionKind, FileEdit, TextEdit};

/// The changes that could be made at a part of a module.
pub(super) fn actions(view: &View<'_>, diagnostics: &[Diagnostic], path: &str, range: &Range<usize>) -> Vec<Action> {
    let Some(module) = view.module_at(path).filter(|module| !module.is_std) else { return Vec::new() };
    let mut all = Vec::new();
    for (number, diagnostic) in diagnostics.iter().enumerate() {
        let at = view.modules.sources.place(&diagnostic.primary.at);
        if at.start <= range.end && range.start <= at.end {
            all.extend(diagnostic.fixes.iter().filter_map(|fix| fixed(view, fix, number)));
        }
    }
    all.extend(fill::missing(view, module, range));
    all.extend(extract::value(view, module, range));
    all.extend(extract::recipe(view, module, range));
    all.extend(inline::inline(view, path, range));
    all.extend(sorted_imports(view, module));
    all.extend(fix_all(view, diagnostics));
    all
}

/// One change in one module.
fn action(title: String, kind: ActionKind, path: &str, mut edits: Vec<TextEdit>) -> Action {
    edits.sort_by_key(|edit| edit.range.start);
    let edits = vec![FileEdit { path: path.to_owned(), edits }];
    Action { title, kind, edits, fixes: None, preferred: false }
}

fn fixed(view: &View<'_>, fix: &Fix, number: usize) -> Option<Action> {
    let mut files: BTreeMap<String, Vec<TextEdit>> = BTreeMap::new();
    for (at, text) in &fix.edits {
        let (path, edit) = edit(view, at, text)?;
        files.entry(path).or_default().push(edit);
    }
    let preferred = fix.applicability == Applicability::Safe;
    let edits: Vec<FileEdit> = files.into_iter().map(of_file).collect();
    let is_empty = edits.is_empty();
    (!is_empty).then(|| Action {
        title: fix.title.clone(),
        kind: ActionKind::Fix,
        edits,
        fixes: Some(number),
        preferred,
    })
}

fn of_file((path, mut edits): (String, Vec<TextEdit>)) -> FileEdit {
    edits.sort_by_key(|edit| edit.range.start);
    FileEdit { path, edits }
}

/// An edit of the package; none in the standard library.
fn edit(view: &View<'_>, at: &Location, text: &str) -> Option<(String, TextEdit)> {
    let module = view.module(at.module).filter(|module| !module.is_std)?;
    let place = view.modules.sources.place(at);
    Some((module.path.to_string(), TextEdit { range: place.start..place.end, text: text.to_owned() }))
}

/// Every diagnostic of the module that has one safe fix.
fn fix_all(view: &View<'_>, diagnostics: &[Diagnostic]) -> Option<Action> {
    let mut files: BTreeMap<String, Vec<TextEdit>> = BTreeMap::new();
    for diagnostic in diagnostics {
        let mut safe = diagnostic.fixes.iter().filter(|fix| fix.applicability == Applicability::Safe);
        let (Some(fix), None) = (safe.next(), safe.next()) else { continue };
        let edits: Vec<_> = fix.edits.iter().filter_map(|(at, text)| edit(view, at, text)).collect();
        let is_free = edits.iter().all(|(path, edit)| {
            let taken = files.get(path).map(Vec::as_slice).unwrap_or_default();
            taken.iter().all(|other| edit.range.end < other.range.start || other.range.end < edit.range.start)
        });
        if edits.len() == fix.edits.len() && is_free {
            for (path, edit) in edits {
                files.entry(path).or_default().push(edit);
            }
        }
    }
    let edits: Vec<FileEdit> = files.into_iter().map(of_file).collect();
    let title = "apply all safe fixes".to_owned();
    (!edits.is_empty()).then_some(Action { title, kind: ActionKind::FixAll, edits, fixes: None, preferred: false })
}

/// The order of imports: the standard library first, then files.
fn import_key(import: &Import) -> (u8, String) {
    match &import.from {
        ImportFrom::Std(path) => (0, path.names.iter().map(|name| name.text.to_string()).collect::<Vec<_>>().join(".")),
        ImportFrom::File(template) => (1, plain(template).unwrap_or_default()),
        ImportFrom::Error(_) => (2, String::new()),
    }
}

/// Imports that stand together in order.
fn sorted_imports(view: &View<'_>, module: &Module) -> Option<Action> {
    let text = view.text(module.id);
    let mut groups: Vec<Vec<(ItemId, &Import, Range<usize>)>> = Vec::new();
    let mut end = None;
    for (id, item) in items(module) {
        let whole = view.range(id, crate::Span { start: 0, end: item.span.end });
        let ItemKind::Import(import) = &item.kind else {
            end = None;
            continue;
        };
        let together = end.is_some_and(|end| text.get(end..whole.start).is_some_and(|gap: &str| gap.trim().is_empty()));
        end = Some(whole.end);
        match groups.last_mut().filter(|_| together) {
            Some(group) => group.push((id, import, whole)),
            None => groups.push(vec![(id, import, whole)]),
        }
    }
    let mut edits = Vec::new();
    for group in groups {
        let mut sorted: Vec<_> = group.iter().collect();
        sorted.sort_by_key(|(_, import, _)| import_key(import));
        for ((_, _, place), (_, _, from)) in group.iter().zip(sorted) {
            if place != from {
                let text = text.get(from.clone()).unwrap_or_default().to_owned();
                edits.push(TextEdit { range: place.clone(), text });
            }
        }
    }
    let is_sorted = edits.is_empty();
    (!is_sorted).then(|| action("sort imports".to_owned(), ActionKind::SortImports, &module.path, edits))
}

/// Puts an import where it belongs: behind the imports that are there, else before the first item.
pub(super) fn import_edit(view: &View<'_>, module: &Module, line: &str) -> TextEdit {
    let text = view.text(module.id);
    let last = items(module).filter(|(_, item)| matches!(item.kind, ItemKind::Import(_))).last();
    let after = last.or_else(|| items(module).next().filter(|(_, item)| matches!(item.kind, ItemKind::Edition { .. })));
    if let Some((id, item)) = after {
        let end = view.range(id, item.span).end;
        return TextEdit { range: end..end, text: format!("\n{line}") };
    }
    let start = module.tree.starts.first().map_or(text.len(), |start| *start as usize);
    // Behind the comment that the file begins with.
    TextEdit { range: start..start, text: format!("{line}\n\n") }
}

/// The start of the line that an offset is in, and the blanks that the line begins with.
fn line_of(text: &str, offset: usize) -> (usize, &str) {
    let start = text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let line = text.get(start..).unwrap_or_default();
    let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
    (start, line.get(..indent).unwrap_or_default())
}

/// A name that is free in a module and in all of its items.
fn free_name(view: &View<'_>, module: &Module, wish: &str) -> String {
    let text = view.text(module.id);
    let words: std::collections::BTreeSet<&str> =
        text.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()).collect();
    let is_free =
        |name: &str| !words.contains(name) && !view.names.is_prelude(name) && !super::reserved_words().contains(&name);
    if is_free(wish) {
        return wish.to_owned();
    }
    let base = format!("the_{wish}");
    let numbered = (2_u32..).map(|number| format!("{base}_{number}"));
    std::iter::once(base.clone()).chain(numbered).find(|name| is_free(name)).unwrap_or(base)
}
