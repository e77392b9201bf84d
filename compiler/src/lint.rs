//! Lints: what the rules allow and nobody means. Works on syntax and names alone, of programs without errors.
//!
//! `@allow(lint) reason "…"` before an item keeps a lint quiet in it; a name that begins with `_` may be unused.

#![expect(clippy::wildcard_enum_match_arm, reason = "a lint looks at a few of the many forms")]

use std::collections::BTreeMap;

use crate::ast::{ArgValue, Attribute, Expr, ExprKind, Item, Name, Template, TemplatePart};
use crate::diagnostic::{Diagnostic, lints as say};
use crate::modules::{self, Module, Modules};
use crate::names::{Bound, Names, item_name};
use crate::span::{Location, Span};
use crate::spelling::nearest;
use crate::types::ItemId;

mod images;
mod texts;
mod unused;
mod walk;

/// Lints by the names that `@allow` takes, and their codes.
const LINTS: [(&str, &str); 8] = [
    ("unused", "IMG9001"),
    ("unpinned", "IMG9002"),
    ("unlocked_network", "IMG9003"),
    ("piped_download", "IMG9004"),
    ("secret_literal", "IMG9005"),
    ("equal_labels", "IMG9006"),
    ("shell_hole", "IMG9007"),
    ("deprecated", "IMG9008"),
];

/// The names that `@allow` takes, with their codes.
pub(crate) fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    LINTS.into_iter()
}

/// What is probably not meant in the modules of the package.
pub(crate) fn lint(modules: &Modules, names: &Names) -> Vec<Diagnostic> {
    let mut all = Vec::new();
    for module in modules.all.iter().filter(|module| !module.is_std) {
        all.append(&mut self::module(module, modules, names));
    }
    all
}

/// What lints of other modules see of one: its items by name, and the advice where one is deprecated.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Face(Vec<(Option<Name>, Option<String>)>);

/// What lints of other modules see of one.
pub(crate) fn face(tree: &crate::ast::Module) -> Face {
    let advice = |item: &Item| {
        let attribute = item.attributes.iter().find(|attribute| &*attribute.name.text == "deprecated")?;
        Some(attribute.args.first().and_then(literal).unwrap_or_default())
    };
    Face(tree.items.iter().map(|item| (item_name(&item.kind).cloned(), advice(item))).collect())
}

/// What is probably not meant in one module.
pub(crate) fn module(module: &Module, modules: &Modules, names: &Names) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    unused::lint(module, modules, &mut found);
    images::lint(module, &mut found);
    for (item, number) in module.tree.items.iter().zip(0_u32..) {
        texts::lint(module, modules, number, &mut found);
        deprecated(module, (modules, names), number, &mut found);
        attributes(module, number, &item.attributes, &mut found);
    }
    found.retain(|diagnostic| !is_allowed(module, diagnostic));
    found
}

/// Whether the item that a diagnostic is about allows it.
fn is_allowed(module: &Module, diagnostic: &Diagnostic) -> bool {
    let Some(item) = module.tree.items.get(diagnostic.primary.at.item as usize) else { return false };
    let Some((lint, _)) = LINTS.iter().find(|(_, code)| *code == diagnostic.code) else { return false };
    let names = item.attributes.iter().filter(|attribute| &*attribute.name.text == "allow").flat_map(allowed);
    names.into_iter().any(|(name, _)| name == *lint)
}

/// The names in the brackets of `@allow`.
fn allowed(attribute: &Attribute) -> Vec<(&str, Span)> {
    let mut names = Vec::new();
    for arg in &attribute.args {
        if let ExprKind::Name(name) = &arg.kind {
            names.push((&*name.text, name.span));
        }
    }
    names
}

fn attributes(module: &Module, item: u32, all: &[Attribute], found: &mut Vec<Diagnostic>) {
    let at = |span| modules::at(module.id, item, span);
    for attribute in all {
        let name = &attribute.name;
        match &*name.text {
            "allow" => {
                let known = LINTS.map(|(name, _)| name);
                let lints = allowed(attribute);
                for (lint, span) in lints.iter().filter(|(lint, _)| !known.contains(lint)) {
                    found.push(say::unknown_lint(at(*span), lint, nearest(lint, known), &known));
                }
                let is_complete =
                    lints.len() == attribute.args.len() && !lints.is_empty() && attribute.reason.is_some();
                if !is_complete {
                    found.push(say::malformed_attribute(at(attribute.span), "allow"));
                }
            }
            "deprecated" => {
                let is_complete = matches!(attribute.args.as_slice(), [arg] if literal(arg).is_some());
                if !is_complete {
                    found.push(say::malformed_attribute(at(attribute.span), "deprecated"));
                }
            }
            other => found.push(say::unknown_attribute(at(name.span), other, nearest(other, ["allow", "deprecated"]))),
        }
    }
}

/// The text of a literal without holes.
fn literal(expr: &Expr) -> Option<String> {
    match &expr.kind {
        ExprKind::Text(template) => plain(template),
        _ => None,
    }
}

/// The text of a template without holes.
fn plain(template: &Template) -> Option<String> {
    let part = |part: &TemplatePart| match part {
        TemplatePart::Text { text, .. } => Some(text.clone()),
        TemplatePart::Hole { .. } => None,
    };
    template.parts.iter().map(part).collect()
}

/// The value of an argument by name.
fn argument<'a>(args: &'a [crate::ast::Arg], wanted: &[&str]) -> Option<&'a Expr> {
    let named = |arg: &&crate::ast::Arg| arg.name.as_ref().is_some_and(|name| wanted.contains(&&*name.text));
    match &args.iter().find(named)?.value {
        ArgValue::Expr(value) => Some(value),
        ArgValue::Lambda { .. } => None,
    }
}

/// Every path of names in an item.
#[derive(Default)]
struct Paths<'a> {
    found: Vec<Vec<&'a Name>>,
}

impl<'a> walk::Visit<'a> for Paths<'a> {
    fn path(&mut self, names: &[&'a Name]) {
        self.found.push(names.to_vec());
    }
}

/// Uses of what `@deprecated` stands before.
fn deprecated(module: &Module, (modules, names): (&Modules, &Names), number: u32, found: &mut Vec<Diagnostic>) {
    let Some(item) = module.tree.items.get(number as usize) else { return };
    let mut paths = Paths::default();
    walk::item(item, &mut paths);
    // Locals hide nothing, so a name always means the same in a module.
    let mut known: BTreeMap<String, Option<Old>> = BTreeMap::new();
    for path in paths.found {
        let written: Vec<&str> = path.iter().take(2).map(|name| &*name.text).collect();
        let old = known.entry(written.join(".")).or_insert_with(|| old(module, (modules, names), &path));
        if let Some(old) = old
            && (old.id.module, old.id.item) != (module.id, number)
            && let Some(name) = path.get(old.depth)
        {
            let at = modules::at(module.id, number, name.span);
            // Behind its module's name stands what else the module has; alone, what is in scope.
            let instead = old.instead().filter(|name| old.depth > 0 || names.find(module.id, name).is_some());
            found.push(say::deprecated(at, &name.text, &old.advice, instead));
        }
    }
}

/// A deprecated item.
struct Old {
    id: ItemId,
    /// Which name of the path names it.
    depth: usize,
    advice: String,
}

impl Old {
    /// The name to use, where the advice is `use NAME`.
    fn instead(&self) -> Option<&str> {
        let name = self.advice.strip_prefix("use ")?.trim();
        let is_name = name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
        is_name.then_some(name)
    }
}

fn old(module: &Module, (modules, names): (&Modules, &Names), path: &[&Name]) -> Option<Old> {
    let first = path.first()?;
    let (id, depth) = match names.find(module.id, &first.text)? {
        Bound::Item(item) => (item.id, 0),
        Bound::Module { module, .. } => {
            let item = modules.all.get(module.0 as usize)?.items.get(&path.get(1)?.text)?;
            (ItemId { module, item: *item }, 1)
        }
    };
    let item = modules.all.get(id.module.0 as usize)?.tree.items.get(id.item as usize)?;
    let attribute = item.attributes.iter().find(|attribute| &*attribute.name.text == "deprecated")?;
    Some(Old { id, depth, advice: attribute.args.first().and_then(literal).unwrap_or_default() })
}

/// The name of an item with its place.
fn name_of(module: &Module, item: &Item, number: u32) -> Option<(String, Location)> {
    let name = item_name(&item.kind)?;
    Some((name.text.to_string(), modules::at(module.id, number, name.span)))
}
