//! Completions while they are collected, each once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;

use crate::ast::{Extern, ItemKind};
use crate::modules::Module;
use crate::names::Bound;
use crate::span::ModuleId;
use crate::types::ItemId;

use super::super::describe::{self, Described};
use super::super::view::{View, known_items};
use super::super::walk::{Declared, declared_of};
use super::super::{Completion, CompletionKind, TextEdit, actions};

/// How well something fits: the order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// The only thing that is meant there.
    Asked,
    /// It fits what is asked.
    Fits,
    /// It fits, but is further away.
    Near,
    /// It may lead to something that fits.
    Leads,
    /// It needs an import first.
    Import,
    /// It has another type.
    Other,
}

/// An item that can be used at a place.
pub(super) struct Reachable {
    pub(super) id: ItemId,
    /// As it is written there.
    pub(super) name: String,
    /// Whether nothing stands before its name.
    pub(super) is_near: bool,
    /// The import that it needs first.
    pub(super) more: Vec<TextEdit>,
}

/// What is collected.
pub(super) struct Collector<'v, 'a> {
    pub(super) view: &'v View<'a>,
    pub(super) module: &'v Module,
    /// What has been typed of the word.
    pub(super) replace: Range<usize>,
    found: Vec<Completion>,
    seen: BTreeSet<String>,
    /// The names that modules have here.
    modules: BTreeMap<ModuleId, String>,
}

impl<'v, 'a> Collector<'v, 'a> {
    pub(super) fn new(view: &'v View<'a>, module: &'v Module, replace: Range<usize>) -> Self {
        let mut modules = BTreeMap::new();
        for name in view.names.visible(module.id) {
            if let Some(Bound::Module { module, .. }) = view.names.find(module.id, name) {
                modules.entry(module).or_insert_with(|| name.to_owned());
            }
        }
        Self { view, module, replace, found: Vec::new(), seen: BTreeSet::new(), modules }
    }

    pub(super) fn finish(mut self) -> Vec<Completion> {
        self.found.sort_by(|a, b| a.sort.cmp(&b.sort));
        self.found
    }

    /// What has been typed, to the cursor.
    pub(super) fn text(&self) -> &'a str {
        self.view.text(self.module.id)
    }

    /// The items of every module that can be used here, by how they are written; `is` says which kinds are wanted.
    ///
    /// A workspace may have thousands of items in modules that nobody imports here: they come once something of their
    /// name has been typed.
    pub(super) fn reachable(&self, is: fn(&ItemKind) -> bool) -> Vec<Reachable> {
        let typed = self.text().get(self.replace.clone()).unwrap_or_default().to_lowercase();
        let mut found = Vec::new();
        for module in &self.view.modules.all {
            let is_own = module.id == self.module.id;
            let access = self.access(module.id);
            for (id, item) in known_items(module) {
                if !is(&item.kind) || !(is_own || View::is_open(item)) {
                    continue;
                }
                let Some(name) = self.view.name_of(id) else { continue };
                let is_selected = !is_own && self.is_selected(id, &name.text);
                let (prefix, more) = match &access {
                    _ if is_selected => (String::new(), Vec::new()),
                    Some((prefix, more)) => (prefix.clone(), more.clone()),
                    None => continue,
                };
                let label = format!("{prefix}{}", name.text);
                let is_far = !more.is_empty() && !module.is_std;
                let begins = |name: &str| !typed.is_empty() && name.to_lowercase().starts_with(&typed);
                if !is_far || begins(&name.text) || begins(&label) {
                    found.push(Reachable { id, name: label, is_near: prefix.is_empty(), more });
                }
            }
        }
        found
    }

    /// Whether an import took an item out of its module by name.
    fn is_selected(&self, id: ItemId, name: &str) -> bool {
        matches!(self.view.names.find(self.module.id, name), Some(Bound::Item(item)) if item.id == id)
    }

    /// Something that is written as its label says.
    pub(super) fn plain(&mut self, label: &str, kind: CompletionKind, rank: Rank, docs: &str) {
        self.add(label, kind, rank, Described { code: String::new(), docs: docs.to_owned() }, label, None);
    }

    /// Something that is written as a text says, with a snippet for editors that can fill in.
    pub(super) fn add(
        &mut self,
        label: &str,
        kind: CompletionKind,
        rank: Rank,
        told: Described,
        text: &str,
        snippet: Option<String>,
    ) -> Option<&mut Completion> {
        if !self.seen.insert(label.to_owned()) {
            return None;
        }
        self.found.push(Completion {
            label: label.to_owned(),
            kind,
            detail: told.code.lines().map(str::trim).collect::<Vec<_>>().join(" "),
            docs: told.docs,
            replace: self.replace.clone(),
            text: text.to_owned(),
            snippet,
            more: Vec::new(),
            sort: format!("{}{label}", rank as u8),
            deprecated: false,
        });
        self.found.last_mut()
    }

    /// An item under the name that it has at this place.
    pub(super) fn item(&mut self, id: ItemId, name: &str, rank: Rank, more: Vec<TextEdit>) {
        let Some(item) = self.view.syntax(id) else { return };
        let told = describe::item(self.view, id).unwrap_or_default();
        let deprecated = self.view.deprecated(id).is_some();
        let kind = kind_of(&item.kind);
        let declared = declared_of(self.view, id);
        let is_called = matches!(kind, CompletionKind::Function | CompletionKind::Source | CompletionKind::Artifact)
            || kind == CompletionKind::Recipe;
        // Behind the cursor the brackets may be there already.
        let is_open = self.text().get(self.replace.end..).is_some_and(|rest| rest.starts_with('('));
        let (text, snippet) = match kind {
            _ if is_called && !is_open => (format!("{name}()"), Some(call_snippet(name, &declared))),
            CompletionKind::Step => (step_text(name, &declared), Some(step_snippet(name, &declared))),
            _ => (name.to_owned(), None),
        };
        if let Some(completion) = self.add(name, kind, rank, told, &text, snippet) {
            completion.more = more;
            completion.deprecated = deprecated;
        }
    }

    /// What stands before the names of a module here, and the import that it takes to use them; none for the prelude.
    pub(super) fn access(&self, module: ModuleId) -> Option<(String, Vec<TextEdit>)> {
        if module == self.module.id {
            return Some((String::new(), Vec::new()));
        }
        if let Some(name) = self.modules.get(&module) {
            return Some((format!("{name}."), Vec::new()));
        }
        let path = self.view.path(module);
        let (name, from) = match path.strip_prefix("std/").and_then(|path| path.strip_suffix(".imgc")) {
            Some(crate::stdlib::PRELUDE) => return Some((String::new(), Vec::new())),
            Some(name) => (name.to_owned(), format!("std.{name}")),
            None => {
                let stem = path.rsplit('/').next()?.strip_suffix(".imgc")?.to_owned();
                (stem, format!("\"{}\"", relative(&self.module.path, path)))
            }
        };
        let is_word = !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric());
        // A name that is taken would have to be another.
        if !is_word || self.view.names.find(self.module.id, &name).is_some() {
            return None;
        }
        let edit = actions::import_edit(self.view, self.module, &format!("import {from}"));
        Some((format!("{name}."), vec![edit]))
    }
}

/// The path of a module as another one writes it.
pub(in super::super) fn relative(from: &str, to: &str) -> String {
    let folder: Vec<&str> = from.split('/').collect();
    let folder = folder.get(..folder.len().saturating_sub(1)).unwrap_or_default();
    let target: Vec<&str> = to.split('/').collect();
    let same = folder.iter().zip(&target).take_while(|(a, b)| a == b).count();
    let up = "../".repeat(folder.len() - same);
    let down = target.get(same..).unwrap_or_default().join("/");
    if up.is_empty() { format!("./{down}") } else { format!("{up}{down}") }
}

/// What an item is, for lists.
pub(super) fn kind_of(kind: &ItemKind) -> CompletionKind {
    match kind {
        ItemKind::Param(_) => CompletionKind::Param,
        ItemKind::Secret { .. } => CompletionKind::Secret,
        ItemKind::Let(_) => CompletionKind::Value,
        ItemKind::Fn { .. } => CompletionKind::Function,
        ItemKind::Record { .. } => CompletionKind::Record,
        ItemKind::Enum { .. } => CompletionKind::Enum,
        ItemKind::Recipe { .. } => CompletionKind::Recipe,
        ItemKind::Image { .. } => CompletionKind::Image,
        ItemKind::Test { .. } => CompletionKind::Test,
        ItemKind::Output(_) => CompletionKind::Output,
        ItemKind::Extern(Extern::Step { .. }) => CompletionKind::Step,
        ItemKind::Extern(Extern::Source { .. }) => CompletionKind::Source,
        ItemKind::Extern(Extern::Artifact { .. }) => CompletionKind::Artifact,
        ItemKind::Edition { .. } | ItemKind::Import(_) | ItemKind::Error => CompletionKind::Keyword,
    }
}

fn call_snippet(name: &str, declared: &[Declared]) -> String {
    let mut snippet = format!("{name}(");
    let required = declared.iter().filter(|field| field.is_required);
    for (number, field) in required.enumerate() {
        let comma = if number > 0 { ", " } else { "" };
        let label = if number > 0 { format!("{}: ", field.name) } else { String::new() };
        let _ = write!(snippet, "{comma}{label}${{{}:{}}}", number + 1, field.name);
    }
    snippet.push(')');
    snippet
}

fn step_snippet(name: &str, declared: &[Declared]) -> String {
    let mut snippet = format!("{name} \"${{1:label}}\" {{\n");
    for (number, field) in declared.iter().filter(|field| field.is_required).enumerate() {
        let _ = writeln!(snippet, "  {} = ${{{}:{}}}", field.name, number + 2, field.name);
    }
    snippet.push_str("  $0\n}");
    snippet
}

fn step_text(name: &str, declared: &[Declared]) -> String {
    let lines = declared.iter().filter(|field| field.is_required).map(|field| format!("  {} = \n", field.name));
    let lines: String = lines.collect();
    if lines.is_empty() { format!("{name} {{}}") } else { format!("{name} {{\n{lines}}}") }
}
