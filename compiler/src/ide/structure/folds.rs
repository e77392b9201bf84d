//! What can be folded away.

use std::ops::Range;

use super::node::{At, Part, roots};
use super::tree;
use crate::analysis::Analysis;
use crate::syntax::{Kind, TokenKind, slice, tokens};

/// Something that can be shown as its first line alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    /// From its first byte to the end of the last line that is hidden: a closing bracket on a line of its own stays.
    /// It always spans a line end.
    pub range: Range<usize>,
    /// What it is.
    pub kind: FoldKind,
}

/// What a [`Fold`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FoldKind {
    /// Comments on lines that follow each other.
    Comment,
    /// Imports that follow each other.
    Imports,
    /// What stands in brackets, or a text of several lines.
    Region,
}

/// Every fold of a module, in order of place.
pub fn folds(analysis: &Analysis, path: &str) -> Vec<Fold> {
    let Some(tree) = tree(analysis, path) else { return Vec::new() };
    let text = &*tree.text;
    let mut folds = Vec::new();
    let mut imports: Option<Range<usize>> = None;
    let mut end = 0;
    for root in roots(&tree) {
        comments(text, end..root.start(), &mut folds);
        end = root.end();
        if root.child(Kind::Import).is_some() {
            imports = Some(imports.map_or(root.range(), |before| before.start..root.end()));
        } else {
            folds.extend(imports.take().and_then(|range| fold(text, range, FoldKind::Imports)));
        }
        root.each(&mut |node| within(text, node, &mut folds));
    }
    comments(text, end..text.len(), &mut folds);
    folds.extend(imports.and_then(|range| fold(text, range, FoldKind::Imports)));
    folds.sort_by_key(|fold| (fold.range.start, std::cmp::Reverse(fold.range.end), fold.kind));
    folds.dedup();
    folds
}

/// What of a node can be folded: itself, and the comments directly in it.
fn within(text: &str, node: At<'_>, folds: &mut Vec<Fold>) {
    if is_bracketed(node.kind()) {
        folds.extend(fold(text, node.start()..before_closer(text, node), FoldKind::Region));
    }
    let mut gap: Option<Range<usize>> = None;
    for part in node.elements() {
        match part {
            Part::Token { range, .. } => gap = Some(gap.map_or(range.clone(), |gap| gap.start..range.end)),
            Part::Node(_) => {
                if let Some(gap) = gap.take() {
                    comments(text, gap, folds);
                }
            }
        }
    }
    if let Some(gap) = gap {
        comments(text, gap, folds);
    }
}

fn is_bracketed(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Block
            | Kind::Fields
            | Kind::Members
            | Kind::Variants
            | Kind::Params
            | Kind::Call
            | Kind::List
            | Kind::Brace
            | Kind::Group
            | Kind::BlockArms
            | Kind::ExprArms
            | Kind::ImportNames
            | Kind::TypeArgs
            | Kind::Text
            | Kind::BadGroup
    )
}

/// The end of the line before the one on which a closing bracket stands alone; else the node's end.
fn before_closer(text: &str, node: At<'_>) -> usize {
    let inside = slice(text, node.range());
    let Some(line) = inside.rfind('\n') else { return node.end() };
    let last = slice(inside, line + 1..inside.len()).trim();
    let closes = matches!(last, "}" | ")" | "]" | ">" | "\"\"\"");
    if closes { node.start() + line } else { node.end() }
}

/// A fold, where there is more than one line of it.
fn fold(text: &str, range: Range<usize>, kind: FoldKind) -> Option<Fold> {
    let inside = slice(text, range.clone()).trim_end();
    inside.contains('\n').then(|| Fold { range: range.start..range.start + inside.len(), kind })
}

/// The comments of a gap between nodes that stand on lines of their own, one below the other.
fn comments(text: &str, gap: Range<usize>, folds: &mut Vec<Fold>) {
    let mut run: Option<Range<usize>> = None;
    for token in tokens(slice(text, gap.clone()), 0) {
        let start = gap.start + token.start as usize;
        let range = start..start + token.text.len();
        match token.kind {
            TokenKind::Comment if stands_alone(text, start) => {
                run = Some(run.map_or(range.clone(), |run| run.start..range.end));
            }
            TokenKind::Blank if token.text.bytes().filter(|byte| *byte == b'\n').count() < 2 => {}
            TokenKind::Blank | TokenKind::Comment | TokenKind::Mark => {
                folds.extend(run.take().and_then(|run| fold(text, run, FoldKind::Comment)));
            }
        }
    }
    folds.extend(run.and_then(|run| fold(text, run, FoldKind::Comment)));
}

/// Whether nothing but blanks stands before it on its line.
fn stands_alone(text: &str, at: usize) -> bool {
    slice(text, 0..at).rsplit('\n').next().is_none_or(|before| before.trim().is_empty())
}
