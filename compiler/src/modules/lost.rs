//! Items that a broken text no longer shows: they are known from the last version that had no error of syntax.

use std::collections::HashSet;
use std::sync::Arc;

use crate::ast::{self, Item, ItemKind, Module};
use crate::diagnostic::Diagnostic;
use crate::names::{import_name, item_name};
use crate::span::Span;

/// A version of a file that had no error of syntax.
#[derive(Debug, Clone)]
pub(super) struct Good {
    pub(super) tree: Arc<Module>,
    pub(super) text: Arc<str>,
}

/// An item of the last good version.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) item: Arc<Item>,
    /// Where it begins in the text as it is now; where it was, roughly, if it is not there any more.
    pub(super) start: u32,
    /// How it was written, where that is not in the text any more.
    pub(super) text: Option<Arc<str>>,
    /// Whether the text still has its name, but nobody can tell what it takes: others see the last good one.
    pub(super) hides: bool,
}

/// What a text with errors has lost of its last good version.
pub(super) fn lost(now: &Module, text: &str, errors: &[Diagnostic], good: &Good) -> Vec<Lost> {
    let broken: HashSet<u32> = errors.iter().map(|error| error.primary.at.item).collect();
    let bound: HashSet<Arc<str>> = now.items.iter().flat_map(|item| binds(item)).collect();
    let first_broken = broken.iter().min().and_then(|item| now.starts.get(*item as usize)).copied().unwrap_or_default();
    let mut lost = Vec::new();
    for (item, start) in good.tree.items.iter().zip(&good.tree.starts) {
        let written = slice(&good.text, *start, item.span);
        if !binds(item).iter().all(|name| bound.contains(name)) {
            let there = text.find(written).filter(|_| !written.is_empty()).and_then(|at| u32::try_from(at).ok());
            let kept = there.is_none().then(|| Arc::from(written));
            lost.push(Lost { item: item.clone(), start: there.unwrap_or(first_broken), text: kept, hides: false });
        } else if let Some(number) = headless(now, &broken, item) {
            let start = now.starts.get(number).copied().unwrap_or_default();
            let name = now.items.get(number).and_then(|item| item_name(&item.kind)).map_or(0, |name| name.span.start);
            lost.push(Lost { item: item.clone(), start: start + name, text: Some(Arc::from(written)), hides: true });
        }
    }
    lost
}

/// The names that an item gives its module.
fn binds(item: &Item) -> Vec<Arc<str>> {
    if let ItemKind::Import(import) = &item.kind {
        let selected = import.names.iter().flatten().map(|name| name.text.clone());
        return selected.chain(import_name(import).map(|name| name.text)).collect();
    }
    item_name(&item.kind).map(|name| name.text.clone()).into_iter().collect()
}

/// The position of the item of the same name and kind that is broken before its body begins.
fn headless(now: &Module, broken: &HashSet<u32>, good: &Item) -> Option<usize> {
    let name = item_name(&good.kind)?;
    let same = |item: &Arc<Item>| item_name(&item.kind).is_some_and(|other| other.text == name.text);
    let number = now.items.iter().position(same)?;
    let item = now.items.get(number)?;
    let is_broken = u32::try_from(number).is_ok_and(|number| broken.contains(&number));
    (is_broken && has_other_head(item, good)).then_some(number)
}

/// Whether two functions or recipes take other things. Types are not asked: those that name them have to agree.
fn has_other_head(now: &Item, good: &Item) -> bool {
    let same = |(a, b): (&ast::Param, &ast::Param)| a.name.text == b.name.text && a.ty.is_some() == b.ty.is_some();
    let same_params = |a: &[ast::Param], b: &[ast::Param]| a.len() == b.len() && a.iter().zip(b).all(same);
    match (&now.kind, &good.kind) {
        (ItemKind::Fn { params: a, result: r, .. }, ItemKind::Fn { params: b, result: s, .. }) => {
            !same_params(a, b) || r.is_some() != s.is_some()
        }
        (ItemKind::Recipe { params: a, on: p, .. }, ItemKind::Recipe { params: b, on: q, .. }) => {
            !same_params(a, b) || p.len() != q.len()
        }
        _ => false,
    }
}

fn slice(text: &str, start: u32, span: Span) -> &str {
    text.get(start as usize..start as usize + span.end as usize).unwrap_or_default()
}
