//! Text to tree: limits, the lossless tree, the abstract tree and what is wrong with the syntax.
//!
//! Never fails: broken text gives error nodes and diagnostics. Knows nothing of names, types or other modules.

use std::sync::Arc;

use crate::ast::{Item, ItemKind, Module};
use crate::diagnostic::{Diagnostic, syntax};
use crate::span::{Location, ModuleId, Span};
use crate::syntax::{Kind, Node, Piece, Tree};

mod build;
mod expr;
mod grammar;
mod limits;
mod literal;
mod recover;
mod report;
mod text;
mod types;

pub use literal::{Number, NumberError, number};

/// The most bytes that a file may have.
pub const MAX_BYTES: usize = 1 << 20;

/// The deepest that brackets may be nested.
pub const MAX_NESTING: usize = 256;

/// The deepest that expressions and statements may lie in others; operators and members count, brackets or not.
const MAX_DEPTH: usize = 512;

/// The most diagnostics of one file; one more counts the rest, and with it there are a hundred.
const MAX_DIAGNOSTICS: usize = 99;

/// Stack for a text whose brackets are nested to the limit; pest and the walks over its result recurse.
const STACK_BYTES: usize = 64 << 20;

/// What a text was found to say.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// With [`crate::ast`]'s error variants where something could not be understood.
    pub module: Module,
    /// The same, with every byte.
    pub tree: Tree,
    /// In source order. If there is none, no part of the module is an error.
    pub diagnostics: Vec<Diagnostic>,
}

/// Parses the text of a module.
pub fn parse(text: &str, module: ModuleId) -> Parsed {
    let place = Location { module, item: 0, span: Span::default() };
    if text.len() > MAX_BYTES {
        return refused(text, syntax::file_too_large(place, text.len()));
    }
    let marked = recover::marked(text);
    let marked = marked.as_deref().unwrap_or(text);
    let nesting = limits::nesting(marked);
    if let Some(offset) = nesting.too_deep {
        let span = Span { start: offset, end: offset + 1 };
        return refused(text, syntax::nested_too_deep(place.with(span), MAX_NESTING));
    }
    let parsed = stacker::maybe_grow(STACK_BYTES / 2, STACK_BYTES, || parse_within_limits(text, marked, module));
    parsed.unwrap_or_else(|| refused(text, syntax::too_deep(place)))
}

/// Nothing where pest met one of its own limits.
fn parse_within_limits(text: &str, marked: &str, module: ModuleId) -> Option<Parsed> {
    let tree = grammar::tree(text, marked)?;
    let mut builder = build::Builder::new(module);
    let mut items = Vec::with_capacity(tree.pieces.len());
    for (position, root) in tree.roots().enumerate() {
        builder.place.item = u32::try_from(position).unwrap_or(u32::MAX);
        let item = builder.item(root);
        if matches!(item.kind, ItemKind::Edition { .. }) && position > 0 {
            let at = builder.at(item.span);
            builder.report(syntax::late_edition(at));
        }
        items.push(Arc::new(item));
    }
    let mut diagnostics = builder.diagnostics;
    diagnostics.extend(report::errors(&tree, module));
    let module = Module { items, starts: tree.starts.clone() };
    let diagnostics = limited(diagnostics);
    Some(Parsed { module, tree, diagnostics })
}

/// In source order, and of too many a count of the rest.
fn limited(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    diagnostics.sort_by_key(|diagnostic| (diagnostic.primary.at.item, diagnostic.primary.at.span.start));
    if let Some(next) = diagnostics.get(MAX_DIAGNOSTICS) {
        let more = syntax::more_errors(next.primary.at, diagnostics.len() - MAX_DIAGNOSTICS);
        diagnostics.truncate(MAX_DIAGNOSTICS);
        diagnostics.push(more);
    }
    diagnostics
}

/// A text that is not parsed: one item that nobody understands.
fn refused(text: &str, diagnostic: Diagnostic) -> Parsed {
    let end = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let span = Span { start: 0, end };
    let item = Item { docs: String::new(), attributes: Vec::new(), public: None, kind: ItemKind::Error, span };
    let node = Node { kind: Kind::BadItem, start: 0, end, size: 1 };
    Parsed {
        module: Module { items: vec![Arc::new(item)], starts: vec![0] },
        tree: Tree {
            text: Arc::from(text),
            pieces: vec![Arc::new(Piece { nodes: vec![node], broken: true })],
            starts: vec![0],
        },
        diagnostics: vec![diagnostic],
    }
}
