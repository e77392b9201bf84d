//! Error nodes to diagnostics: messages come from what is missing and from the rule that misses it.

use crate::diagnostic::{Diagnostic, syntax};
use crate::span::{Location, ModuleId, Span};
use crate::syntax::{NodeRef, Tree};

/// What is to be said about the error nodes of a tree.
pub(super) fn errors(tree: &Tree, module: ModuleId) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    for (position, root) in tree.roots().enumerate() {
        if tree.pieces.get(position).is_some_and(|piece| piece.broken) {
            let item = u32::try_from(position).unwrap_or(u32::MAX);
            let place = Location { module, item, span: Span::default() };
            walk(root, place, &mut diagnostics);
        }
    }
    diagnostics
}

fn walk(node: NodeRef<'_>, place: Location, into: &mut Vec<Diagnostic>) {
    if node.kind().is_error() {
        let at = place.with(Span { start: node.start(), end: node.end() });
        into.push(syntax::unexpected(at, "not understood", &format!("{:?}", node.kind()), None));
        return;
    }
    for child in node.children() {
        walk(child, place, into);
    }
}
