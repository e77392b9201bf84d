//! The formatter as small edits: of a module, of a selection, of what was just typed.
//!
//! Knows no style of its own; what is written comes from [`crate::format`], but for the indentation of a line that is
//! being typed, whose item is not whole yet.

use std::ops::Range;

use super::node::{At, Part, roots};
use super::tree;
use crate::analysis::Analysis;
use crate::format::format;
use crate::ide::TextEdit;
use crate::parse::parse;
use crate::span::ModuleId;
use crate::syntax::{Kind, Tree, slice};

/// How far the same tokens are looked for on both sides where they differ; behind it the rest is one edit.
const MAX_LOOK: usize = 64;

/// Blanks for each level of brackets.
const INDENT: usize = 2;

/// The edits that bring a module into the style, each as small as blanks between two tokens.
pub fn format_document(analysis: &Analysis, path: &str) -> Vec<TextEdit> {
    let Some(text) = analysis.text(path) else { return Vec::new() };
    let parsed = parse(text, ModuleId::default());
    let formatted = format(&parsed);
    if *formatted == **text {
        return Vec::new();
    }
    let wanted = parse(&formatted, ModuleId::default());
    difference(&parsed.tree, &wanted.tree)
}

/// Those of [`format_document`] that touch a range.
pub fn format_range(analysis: &Analysis, path: &str, range: Range<usize>) -> Vec<TextEdit> {
    let mut edits = format_document(analysis, path);
    edits.retain(|edit| edit.range.start <= range.end && range.start <= edit.range.end);
    edits
}

/// What follows from `typed` before `offset`: a closing bracket brings its item into the style, a line end or a bracket
/// in an item that is not whole gets its indentation.
pub fn format_on_type(analysis: &Analysis, path: &str, offset: usize, typed: char) -> Vec<TextEdit> {
    let Some(tree) = tree(analysis, path) else { return Vec::new() };
    match typed {
        '}' | ')' | ']' => closed(analysis, path, &tree, offset),
        '\n' => begun(&tree, offset).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn closed(analysis: &Analysis, path: &str, tree: &Tree, offset: usize) -> Vec<TextEdit> {
    let Some(item) = roots(tree).find(|root| root.start() < offset && offset <= root.end()) else {
        return begun(tree, offset).into_iter().collect();
    };
    let whole = tree.roots().zip(&tree.starts).find(|(_, start)| **start as usize == item.with_docs().start);
    if whole.is_some_and(|(root, _)| root.broken()) {
        return begun(tree, offset).into_iter().collect();
    }
    let range = item.with_docs();
    let mut edits = format_document(analysis, path);
    edits.retain(|edit| range.start <= edit.range.start && edit.range.end <= range.end);
    edits
}

/// Gives the line of the cursor the indentation of the brackets that are open there.
fn begun(tree: &Tree, offset: usize) -> Option<TextEdit> {
    let text = &*tree.text;
    let before = text.get(..offset)?;
    let start = before.rfind('\n')? + 1;
    let line = slice(text, start..text.len());
    let written = line.len() - line.trim_start_matches([' ', '\t']).len();
    let wanted = match literal_at(tree, start) {
        Some(Kind::BlockChunk) => last_indentation(slice(text, 0..start - 1)),
        Some(_) => return None,
        None => " ".repeat(INDENT * depth(tree, start, slice(line, written..line.len()))),
    };
    let range = start..start + written;
    (slice(text, range.clone()) != wanted).then_some(TextEdit { range, text: wanted })
}

/// The indentation of the last line that says something.
fn last_indentation(text: &str) -> String {
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    slice(line, 0..line.len() - line.trim_start().len()).to_owned()
}

/// The part of a text literal in which an offset lies.
fn literal_at(tree: &Tree, offset: usize) -> Option<Kind> {
    let mut found = None;
    for root in roots(tree).filter(|root| root.touches(offset)) {
        root.each(&mut |node| {
            let is_literal = matches!(node.kind(), Kind::Chunk | Kind::BlockChunk | Kind::Escape | Kind::BadEscape);
            if is_literal && node.start() < offset && offset <= node.end() {
                found = Some(node.kind());
            }
        });
    }
    found
}

/// How many lines before the offset have a bracket that is still open there, when `rest` follows on its line.
fn depth(tree: &Tree, offset: usize, rest: &str) -> usize {
    let mut open: Vec<usize> = Vec::new();
    let mut marks = Vec::new();
    for root in roots(tree).filter(|root| root.start() < offset) {
        root.each(&mut |node: At<'_>| {
            let own = node.elements().filter_map(|part| match part {
                Part::Token { range, text } if range.end <= offset => Some((range.start, text)),
                Part::Token { .. } | Part::Node(_) => None,
            });
            marks.extend(own);
        });
    }
    marks.sort_unstable_by_key(|(start, _)| *start);
    for (start, mark) in marks {
        match mark {
            "{" | "(" | "[" | "\\{" => open.push(slice(&tree.text, 0..start).matches('\n').count()),
            "}" | ")" | "]" => drop(open.pop()),
            _ => {}
        }
    }
    for _ in rest.chars().take_while(|c| matches!(c, '}' | ')' | ']')) {
        open.pop();
    }
    open.dedup();
    open.len()
}

/// A token, or blanks and commas between two tokens.
#[derive(Debug, Clone, Copy)]
struct Leaf<'t> {
    text: &'t str,
    start: usize,
}

impl Leaf<'_> {
    fn end(self) -> usize {
        self.start + self.text.len()
    }

    /// Whether it is the same token; texts of several lines may be indented otherwise.
    fn is(self, other: Leaf<'_>) -> bool {
        self.text == other.text
            || self.text.contains('\n') && self.text.lines().map(str::trim).eq(other.text.lines().map(str::trim))
    }
}

/// The edits that make one text of the other.
fn difference(old: &Tree, new: &Tree) -> Vec<TextEdit> {
    let (before, after) = (leaves(old), leaves(new));
    let mut edits = Vec::new();
    let (mut from, mut to) = (0, 0);
    let (mut i, mut j) = (0, 0);
    while let Some((next_i, next_j)) = meet(&before, &after, i, j) {
        let (Some(a), Some(b)) = (before.get(next_i), after.get(next_j)) else { break };
        edits.extend(edit(old, from..a.start, new, to..b.start));
        edits.extend(edit(old, a.start..a.end(), new, b.start..b.end()));
        (from, to, i, j) = (a.end(), b.end(), next_i + 1, next_j + 1);
    }
    edits.extend(edit(old, from..old.text.len(), new, to..new.text.len()));
    edits
}

/// The next pair of tokens that are the same, where little has to be passed over.
fn meet(before: &[Leaf<'_>], after: &[Leaf<'_>], i: usize, j: usize) -> Option<(usize, usize)> {
    let same = |i: usize, j: usize| match (before.get(i), after.get(j)) {
        (Some(a), Some(b)) => a.is(*b),
        (None, None) => true,
        _ => false,
    };
    for passed in 0..MAX_LOOK {
        for left in 0..=passed {
            let (a, b) = (i + left, j + passed - left);
            // One bracket is like another: what comes next must fit as well.
            if a < before.len() && same(a, b) && (passed == 0 || same(a + 1, b + 1)) {
                return Some((a, b));
            }
        }
    }
    None
}

fn edit(old: &Tree, range: Range<usize>, new: &Tree, with: Range<usize>) -> Option<TextEdit> {
    let text = slice(&new.text, with);
    (slice(&old.text, range.clone()) != text).then(|| TextEdit { range, text: text.to_owned() })
}

/// The tokens of a tree without blanks and commas.
fn leaves(tree: &Tree) -> Vec<Leaf<'_>> {
    let mut start = 0;
    let mut leaves = Vec::new();
    for text in tree.leaves() {
        if !text.trim().is_empty() && text != "," {
            leaves.push(Leaf { text, start });
        }
        start += text.len();
    }
    leaves
}
