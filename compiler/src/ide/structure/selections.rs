//! What a selection grows to: a word, an operand, a statement, a body, an item, the module.

use std::ops::Range;

use super::node::{At, roots};
use super::tree;
use crate::analysis::Analysis;
use crate::syntax::{Kind, slice};

/// The ranges around an offset from the innermost to the whole module; each holds the one before and is longer.
pub fn selections(analysis: &Analysis, path: &str, offset: usize) -> Vec<Range<usize>> {
    let Some(tree) = tree(analysis, path) else { return Vec::new() };
    let text = &*tree.text;
    let offset = offset.min(text.len());
    let mut ranges = Vec::new();
    ranges.push(0..text.len());
    if let Some(root) = roots(&tree).find(|root| root.with_docs().start <= offset && offset <= root.end()) {
        ranges.push(root.with_docs());
        if root.touches(offset) {
            inside(root, offset, &mut ranges);
        }
    }
    ranges.push(word(text, offset));
    ranges.reverse();
    increasing(ranges)
}

/// From the outer to the inner, a node and what is in it.
fn inside(root: At<'_>, offset: usize, ranges: &mut Vec<Range<usize>>) {
    let mut node = root;
    loop {
        ranges.push(node.range());
        ranges.extend(contents(node).filter(|range| range.start <= offset && offset <= range.end));
        if node.kind() == Kind::Expr {
            ranges.extend(operand(node, offset));
        }
        // Of two nodes that meet at the cursor, the one that begins there is meant.
        let Some(inner) = node.children().filter(|child| child.touches(offset) && child.start() < child.end()).last()
        else {
            return;
        };
        node = inner;
    }
}

/// What stands between the brackets or quotes of a node.
fn contents(node: At<'_>) -> impl Iterator<Item = Range<usize>> {
    let text = node.text();
    let length = match text.as_bytes() {
        [b'"', b'"', b'"', .., b'"', b'"', b'"'] if text.len() >= 6 => 3,
        [b'"', .., b'"'] | [b'{', .., b'}'] | [b'(', .., b')'] | [b'[', .., b']'] if text.len() > 2 => 1,
        _ => 0,
    };
    let inner = slice(text, length..text.len() - length);
    let start = node.start() + length + (inner.len() - inner.trim_start().len());
    let trimmed = start..start + inner.trim().len();
    (length > 0 && !trimmed.is_empty()).then_some(trimmed).into_iter()
}

/// The operand of an expression at the offset, and each shorter one that it goes on from: `a.b(c)`, `a.b`, `a`.
fn operand(expr: At<'_>, offset: usize) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = None;
    for part in expr.children() {
        if part.kind() != Kind::Operator {
            let start = *start.get_or_insert(part.start());
            if part.end() >= offset {
                ranges.push(start..part.end());
            }
        } else if part.start() > offset {
            break;
        } else {
            start = None;
            ranges.clear();
        }
    }
    ranges.reverse();
    ranges.retain(|range| range.start <= offset && offset <= range.end);
    ranges
}

/// The word at an offset; empty where there is none.
fn word(text: &str, offset: usize) -> Range<usize> {
    let is_word = |c: char| c == '_' || c.is_alphanumeric();
    let before = slice(text, 0..offset);
    let after = slice(text, offset..text.len());
    let start = before.trim_end_matches(is_word).len();
    let end = text.len() - after.trim_start_matches(is_word).len();
    start..end
}

/// Only those that hold the one before.
fn increasing(ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut chain: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        let grows = chain
            .last()
            .is_none_or(|inner| range.start <= inner.start && inner.end <= range.end && range.len() > inner.len());
        if grows {
            chain.push(range);
        }
    }
    chain
}
