//! Nodes of the lossless tree with offsets in the whole text. Knows nothing of what is asked about them.

use std::ops::Range;

use crate::syntax::{Element, Kind, NodeRef, Tree};

/// A node, and where its piece begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'t> {
    node: NodeRef<'t>,
    base: usize,
}

/// The root of each piece.
pub(super) fn roots(tree: &Tree) -> impl Iterator<Item = At<'_>> {
    tree.roots().zip(&tree.starts).map(|(node, base)| At { node, base: *base as usize })
}

impl<'t> At<'t> {
    pub(super) fn kind(self) -> Kind {
        self.node.kind()
    }

    pub(super) fn text(self) -> &'t str {
        self.node.text()
    }

    pub(super) fn start(self) -> usize {
        self.base + self.node.start() as usize
    }

    pub(super) fn end(self) -> usize {
        self.base + self.node.end() as usize
    }

    pub(super) fn range(self) -> Range<usize> {
        self.start()..self.end()
    }

    /// With the documentation above it, where it is the root of a piece.
    pub(super) fn with_docs(self) -> Range<usize> {
        self.base..self.end()
    }

    /// Whether a cursor at the offset touches it.
    pub(super) fn touches(self, offset: usize) -> bool {
        self.start() <= offset && offset <= self.end()
    }

    pub(super) fn children(self) -> impl Iterator<Item = At<'t>> + Clone {
        self.node.children().map(move |node| At { node, base: self.base })
    }

    pub(super) fn child(self, kind: Kind) -> Option<At<'t>> {
        self.children().find(|child| child.kind() == kind)
    }

    /// Calls `visit` with each node in it, itself first.
    pub(super) fn each(self, visit: &mut dyn FnMut(At<'t>)) {
        visit(self);
        for child in self.children() {
            // Nodes lie as deep as expressions do; the parser's limit is more than a thread's stack may hold.
            stacker::maybe_grow(64 << 10, 1 << 20, || child.each(visit));
        }
    }

    /// The nodes and the tokens directly in it: nodes as they are, tokens by their range.
    pub(super) fn elements(self) -> impl Iterator<Item = Part<'t>> {
        let base = self.base;
        self.node.elements().into_iter().map(move |element| match element {
            Element::Node(node) => Part::Node(At { node, base }),
            Element::Token(token) => {
                let start = base + token.start as usize;
                Part::Token { range: start..start + token.text.len(), text: token.text }
            }
        })
    }
}

/// Something directly in a node.
pub(super) enum Part<'t> {
    /// A node.
    Node(At<'t>),
    /// Blanks, a comment or a mark.
    Token {
        /// In the whole text.
        range: Range<usize>,
        /// What it says.
        text: &'t str,
    },
}

/// What a text literal says where it has neither holes nor escapes, and where between its quotes.
pub(super) fn plain_text(text: At<'_>) -> Option<(&str, Range<usize>)> {
    let written = text.text();
    if text.kind() != Kind::Text || written.starts_with("\"\"\"") {
        return None;
    }
    let inner = written.strip_prefix('"')?.strip_suffix('"')?;
    let only_chunks = text.children().all(|part| part.kind() == Kind::Chunk);
    (only_chunks && !inner.is_empty()).then(|| (inner, text.start() + 1..text.end() - 1))
}

/// The literal alone in an argument: `"./site"` in `dir("./site")`.
pub(super) fn first_argument(call: At<'_>) -> Option<At<'_>> {
    let argument = call.child(Kind::Argument)?;
    let expr = argument.child(Kind::Expr)?;
    let mut parts = expr.children();
    let only = parts.next()?;
    (only.kind() == Kind::Text && parts.next().is_none()).then_some(only)
}
