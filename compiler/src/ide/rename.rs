//! Rename: all uses of a name in all modules, or why not.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::ast::ItemKind;
use crate::span::ModuleId;
use crate::syntax::Kind;
use crate::types::ItemId;

use super::names::{self, Use};
use super::view::{View, items};
use super::walk::{Target, declared_of, written_params};
use super::{Access, FileEdit, TextEdit};

/// Words that no name can be.
pub(super) const RESERVED: [&str; 12] =
    ["let", "if", "then", "else", "for", "in", "match", "use", "where", "none", "true", "false"];

/// What would be renamed, and its name.
pub(super) fn prepare(view: &View<'_>, path: &str, offset: usize) -> Result<(Range<usize>, String), String> {
    let (id, found) = subject(view, path, offset)?;
    Ok((view.range(id, found.span), view.slice(id, found.span).to_owned()))
}

/// The edits that give what stands at an offset another name.
pub(super) fn rename(view: &View<'_>, path: &str, offset: usize, new: &str) -> Result<Vec<FileEdit>, String> {
    let (id, found) = subject(view, path, offset)?;
    let old = view.slice(id, found.span);
    if old == new {
        return Ok(Vec::new());
    }
    is_name(new)?;
    let all = names::every(view, &found.target);
    clashes(view, &found.target, &all, new)?;
    lost(view, old)?;
    let mut edits: BTreeMap<String, Vec<TextEdit>> = BTreeMap::new();
    for (id, found) in &all {
        let text = new.to_owned();
        // An import names its module by its last part until it gets an alias.
        let (range, text) = match import_end(view, *id, found) {
            Some(end) => (end..end, format!(" as {new}")),
            None => (view.range(*id, found.span), text),
        };
        edits.entry(view.path(id.module).to_owned()).or_default().push(TextEdit { range, text });
    }
    let files = edits.into_iter().map(|(path, mut edits)| {
        edits.sort_by_key(|edit| edit.range.start);
        edits.dedup();
        FileEdit { path, edits }
    });
    Ok(files.collect())
}

fn subject(view: &View<'_>, path: &str, offset: usize) -> Result<(ItemId, Use), String> {
    let nothing = || "there is no name here that could be changed".to_owned();
    let (id, found) = names::at(view, path, offset).ok_or_else(nothing)?;
    let name = view.slice(id, found.span);
    let owner = match &found.target {
        Target::Item(of)
        | Target::Import(of)
        | Target::Param { of, .. }
        | Target::Variant { of, .. }
        | Target::Payload { of, .. }
        | Target::Local { of, .. } => of.module,
        Target::Module(_) => return Err(format!("`{name}` is a module of the standard library")),
        Target::Member { .. } | Target::Type(_) | Target::Function(_) | Target::Platform | Target::ImageField(_) => {
            return Err(format!("`{name}` is a word of the language"));
        }
        Target::Loose(_) => {
            return Err(format!("`{name}` is a field of a record without a type: others may have the same field"));
        }
    };
    if view.module(owner).is_some_and(|module| module.is_std) {
        return Err(format!("`{name}` belongs to the standard library"));
    }
    if let Target::Item(of) = &found.target
        && view.modules.is_lost(of.module, of.item)
    {
        return Err(format!(
            "`{name}` is defined where `{}` has an error of syntax: mend that first",
            view.path(owner)
        ));
    }
    if name.starts_with('"') {
        return Err("the path of a file is changed where the file is".to_owned());
    }
    Ok((id, found))
}

/// After an import that gets an alias.
fn import_end(view: &View<'_>, id: ItemId, found: &Use) -> Option<usize> {
    if !matches!(found.target, Target::Import(of) if of == id) || found.access == Access::Write {
        return None;
    }
    let item = view.syntax(id)?;
    matches!(item.kind, ItemKind::Import(_)).then(|| view.range(id, item.span).end)
}

fn is_name(new: &str) -> Result<(), String> {
    let first = new.chars().next().is_some_and(|c| c == '_' || c.is_ascii_alphabetic());
    if !first || !new.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
        return Err(format!("`{new}` is not a name: letters, digits and `_`, no digit first"));
    }
    if RESERVED.contains(&new) {
        return Err(format!("`{new}` is a reserved word"));
    }
    Ok(())
}

/// Why a new name would break something.
fn clashes(view: &View<'_>, target: &Target, all: &[(ItemId, Use)], new: &str) -> Result<(), String> {
    match target {
        Target::Item(of) => {
            let mut modules: Vec<ModuleId> = all.iter().map(|(id, _)| id.module).collect();
            modules.push(of.module);
            modules.sort();
            modules.dedup();
            for module in modules {
                let is_bound_here = module == of.module || is_selected(view, all, module);
                if is_bound_here {
                    free_in_module(view, module, new)?;
                    no_local_of(view, module, new)?;
                }
            }
            Ok(())
        }
        Target::Import(of) => {
            free_in_module(view, of.module, new)?;
            no_local_of(view, of.module, new)
        }
        Target::Param { of, .. } => {
            let others = declared_of(view, *of);
            if others.iter().any(|other| &*other.name == new) {
                return Err(format!("`{}` has `{new}` already", view.written_name(*of)));
            }
            if let Some(ItemKind::Record { .. }) = view.syntax(*of).map(|item| &item.kind) {
                return no_loose(view, all, new);
            }
            free_in_module(view, of.module, new)?;
            no_local_in(view, *of, new)
        }
        Target::Payload { of, variant, .. } => {
            let Some(ItemKind::Enum { variants, .. }) = view.syntax(*of).map(|item| &item.kind) else { return Ok(()) };
            let variant = variants.iter().find(|other| other.name.text == *variant);
            let taken = variant.is_some_and(|v| v.payload.iter().any(|param| &*param.name.text == new));
            if taken { Err(format!("the variant has `{new}` already")) } else { Ok(()) }
        }
        Target::Variant { of, .. } => {
            let Some(ItemKind::Enum { variants, .. }) = view.syntax(*of).map(|item| &item.kind) else { return Ok(()) };
            let taken = variants.iter().any(|variant| &*variant.name.text == new);
            if taken { Err(format!("`{}` has `{new}` already", view.written_name(*of))) } else { Ok(()) }
        }
        Target::Local { of, .. } => {
            free_in_module(view, of.module, new)?;
            no_local_in(view, *of, new)
        }
        _ => Ok(()),
    }
}

/// Whether a module takes the name out of another by a list of names.
fn is_selected(view: &View<'_>, all: &[(ItemId, Use)], module: ModuleId) -> bool {
    let here = all.iter().filter(|(id, _)| id.module == module);
    here.into_iter().any(|(id, _)| matches!(view.syntax(*id).map(|item| &item.kind), Some(ItemKind::Import(_))))
}

fn free_in_module(view: &View<'_>, module: ModuleId, new: &str) -> Result<(), String> {
    let path = view.path(module);
    if let Some(at) = view.names.place(module, new) {
        let place = view.modules.sources.place(&at);
        return Err(format!("`{new}` is taken in {path}, line {}", place.line));
    }
    if view.names.is_prelude(new) {
        return Err(format!("`{new}` belongs to the standard library"));
    }
    if matches!(new, "platform" | "linux" | "windows" | "macos" | "freebsd") {
        return Err(format!("nothing can be called `{new}`"));
    }
    Ok(())
}

fn no_local_of(view: &View<'_>, module: ModuleId, new: &str) -> Result<(), String> {
    let Some(module) = view.module(module) else { return Ok(()) };
    items(module).try_for_each(|(id, _)| no_local_in(view, id, new))
}

/// A local or a param of that name would hide the other, which the language forbids.
fn no_local_in(view: &View<'_>, id: ItemId, new: &str) -> Result<(), String> {
    let uses = names::uses(view, id);
    let is_local = |found: &&Use| {
        let is_param =
            matches!(&found.target, Target::Param { of, .. } if *of == id) && !written_params(view, id).is_empty();
        let is_bound = matches!(found.target, Target::Local { .. }) || is_param;
        is_bound && view.slice(id, found.span) == new
    };
    match uses.iter().find(is_local) {
        Some(found) => {
            let at = crate::modules::at(id.module, id.item, found.span);
            let place = view.modules.sources.place(&at);
            Err(format!("`{new}` in {}, line {}, would hide it", place.path, place.line))
        }
        None => Ok(()),
    }
}

/// A field of a record may be given by a record that has no type, which cannot be told apart from others.
fn no_loose(view: &View<'_>, all: &[(ItemId, Use)], new: &str) -> Result<(), String> {
    let Some((id, first)) = all.first() else { return Ok(()) };
    let old = view.slice(*id, first.span);
    let loose = names::every(view, &Target::Loose(old.into()));
    match loose.first() {
        Some((id, found)) => {
            let at = crate::modules::at(id.module, id.item, found.span);
            let place = view.modules.sources.place(&at);
            Err(format!(
                "`{old}` in {}, line {}, stands in a record without a type: write `{new}` there first",
                place.path, place.line
            ))
        }
        None => Ok(()),
    }
}

/// A name in what nobody understands would be left behind.
fn lost(view: &View<'_>, old: &str) -> Result<(), String> {
    for module in view.modules.all.iter().filter(|module| !module.is_std && view.has_syntax_errors(&module.path)) {
        let text = view.text(module.id);
        let parsed = crate::parse::parse(text, module.id);
        for (piece, start) in parsed.tree.pieces.iter().zip(&parsed.tree.starts).filter(|(piece, _)| piece.broken) {
            for node in piece.nodes.iter().filter(|node| node.kind.is_bad() && node.kind != Kind::BadEscape) {
                let range = (start + node.start) as usize..(start + node.end) as usize;
                let words = text.get(range).unwrap_or_default().split(|c: char| c != '_' && !c.is_ascii_alphanumeric());
                if words.into_iter().any(|word| word == old) {
                    let path = &module.path;
                    return Err(format!(
                        "`{old}` also stands in {path} where there is an error of syntax: mend that first"
                    ));
                }
            }
        }
    }
    Ok(())
}
