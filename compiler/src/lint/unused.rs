//! What is defined and never used: items that no other module can see, and locals.

use std::collections::{BTreeMap, BTreeSet};

use crate::ast::{Import, ImportFrom, Item, ItemKind, Name};
use crate::diagnostic::{Diagnostic, lints as say};
use crate::modules::{self, Module, Modules, plain};
use crate::span::{Location, Span};

use super::walk::{self, Visit};

/// Names that items use, and locals that they do not.
#[derive(Default)]
struct Uses<'a> {
    /// Every first name of a path.
    names: BTreeSet<&'a str>,
    /// Every name behind a dot.
    members: BTreeSet<&'a str>,
    /// Locals by scope, the innermost last; with what they are and whether they were used.
    scopes: Vec<Vec<(&'a Name, &'static str, bool)>>,
    unused: Vec<(&'a Name, &'static str)>,
}

impl<'a> Visit<'a> for Uses<'a> {
    fn path(&mut self, names: &[&'a Name]) {
        let mut names = names.iter();
        if let Some(first) = names.next() {
            self.names.insert(&first.text);
            for (_, _, used) in self.scopes.iter_mut().flatten().filter(|(local, _, _)| local.text == first.text) {
                *used = true;
            }
        }
        self.members.extend(names.map(|name| &*name.text));
    }

    fn member(&mut self, name: &'a Name) {
        self.members.insert(&name.text);
    }

    fn bind(&mut self, name: &'a Name, what: &'static str) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.push((name, what, false));
        }
    }

    fn open(&mut self) {
        self.scopes.push(Vec::new());
    }

    fn close(&mut self) {
        let left = self.scopes.pop().unwrap_or_default().into_iter().filter(|(_, _, used)| !used);
        self.unused.extend(left.map(|(name, what, _)| (name, what)));
    }
}

/// Unused items and locals of a module.
pub(super) fn lint(module: &Module, all: &Modules, found: &mut Vec<Diagnostic>) {
    // Looked at only where a param is not used here.
    let elsewhere = std::cell::LazyCell::new(|| members_elsewhere(module, all));
    let uses: Vec<Uses<'_>> = module.tree.items.iter().map(|item| of(item)).collect();
    // How many items use a name; one that uses itself would be a cycle.
    let mut users: BTreeMap<&str, usize> = BTreeMap::new();
    for name in uses.iter().flat_map(|uses| &uses.names) {
        *users.entry(name).or_default() += 1;
    }
    let is_used = |name: &str| name.starts_with('_') || users.contains_key(name);
    for ((item, uses), number) in module.tree.items.iter().zip(&uses).zip(0_u32..) {
        let at = |span: Span| modules::at(module.id, number, span);
        for (name, what) in &uses.unused {
            if !what.is_empty() && !name.text.starts_with('_') && !name.text.is_empty() {
                found.push(say::unused(at(name.span), what, &name.text, None));
            }
        }
        if let ItemKind::Import(import) = &item.kind {
            imported(import, item, &is_used, &at, found);
        } else if let Some(what) = private(item)
            && let Some((name, place)) = super::name_of(module, item, number)
            && !is_used(&name)
            && !(what == "param" && elsewhere.contains(name.as_str()))
        {
            let whole = (what != "param").then(|| at(Span { start: 0, end: item.span.end }));
            found.push(say::unused(place, what, &name, whole));
        }
    }
}

fn of(item: &Item) -> Uses<'_> {
    let mut uses = Uses::default();
    walk::item(item, &mut uses);
    uses
}

/// Names behind dots in modules that import this one: params of this one may be among them.
fn members_elsewhere<'a>(module: &Module, all: &'a Modules) -> BTreeSet<&'a str> {
    let others = all.all.iter().filter(|other| other.imports.values().any(|imported| *imported == module.id));
    others.flat_map(|other| other.tree.items.iter().flat_map(|item| of(item).members)).collect()
}

/// What an item is called that nobody but its module can use; none for others.
fn private(item: &Item) -> Option<&'static str> {
    if item.public.is_some() {
        return None;
    }
    match &item.kind {
        ItemKind::Param(_) => Some("param"),
        ItemKind::Secret { .. } => Some("secret"),
        ItemKind::Let(_) => Some("let"),
        ItemKind::Fn { .. } => Some("function"),
        ItemKind::Record { .. } => Some("record"),
        ItemKind::Enum { .. } => Some("enum"),
        ItemKind::Recipe { .. } => Some("recipe"),
        ItemKind::Image { .. } => Some("image"),
        ItemKind::Edition { .. }
        | ItemKind::Import(_)
        | ItemKind::Test { .. }
        | ItemKind::Output(_)
        | ItemKind::Extern(_)
        | ItemKind::Error => None,
    }
}

fn imported(
    import: &Import,
    item: &Item,
    is_used: &dyn Fn(&str) -> bool,
    at: &dyn Fn(Span) -> Location,
    found: &mut Vec<Diagnostic>,
) {
    let whole = || Some(at(Span { start: 0, end: item.span.end }));
    for name in import.names.iter().flatten().filter(|name| !is_used(&name.text)) {
        let alone = import.names.as_ref().is_some_and(|names| names.len() == 1);
        found.push(say::unused(at(name.span), "import", &name.text, if alone { whole() } else { None }));
    }
    let (name, span) = match (&import.alias, &import.from) {
        (Some(alias), _) => (alias.text.to_string(), alias.span),
        (None, _) if import.names.is_some() => return,
        (None, ImportFrom::Std(path)) => match path.names.last() {
            Some(name) => (name.text.to_string(), name.span),
            None => return,
        },
        (None, ImportFrom::File(template)) => {
            let path = plain(template).unwrap_or_default();
            let stem = path.rsplit('/').next().and_then(|name| name.strip_suffix(".imgc")).unwrap_or_default();
            (stem.to_owned(), template.span)
        }
        (None, ImportFrom::Error(_)) => return,
    };
    if !name.is_empty() && !is_used(&name) {
        found.push(say::unused(at(span), "import", &name, whole()));
    }
}
