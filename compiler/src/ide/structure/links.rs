//! What can be opened from a module: modules, files of the package, pages of the web.

#![expect(clippy::wildcard_enum_match_arm, reason = "most kinds of nodes are not what is asked for")]

use std::ops::Range;

use super::node::{At, Part, first_argument, plain_text, roots};
use super::tree;
use crate::analysis::Analysis;
use crate::paths;
use crate::syntax::{Kind, slice, tokens};

/// Where a link leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkTo {
    /// A module, as the world names it; it may not exist.
    Module(String),
    /// A file of the package, by its path from the package's folder; it may not exist.
    File(String),
    /// An address of the web.
    Page(String),
}

/// Every link of a module, in order of place.
pub fn links(analysis: &Analysis, path: &str) -> Vec<(Range<usize>, LinkTo)> {
    let Some(tree) = tree(analysis, path) else { return Vec::new() };
    let mut links = Vec::new();
    let mut end = 0;
    for root in roots(&tree) {
        pages(slice(&tree.text, end..root.start()), end, &mut links);
        end = root.end();
        root.each(&mut |node| within(path, node, &mut links));
    }
    pages(slice(&tree.text, end..tree.text.len()), end, &mut links);
    links.sort_by_key(|(range, _)| range.start);
    links
}

fn within(path: &str, node: At<'_>, links: &mut Vec<(Range<usize>, LinkTo)>) {
    match node.kind() {
        Kind::Import => links.extend(imported(path, node)),
        Kind::Expr => {
            for (literal, called) in path_literals(node) {
                if called == "file"
                    && let Some((written, range)) = plain_text(literal)
                    && let Ok(found) = paths::resolve(path, written)
                {
                    links.push((range, LinkTo::File(found)));
                }
            }
        }
        Kind::Chunk | Kind::BlockChunk => addresses(node.text(), node.start(), links),
        _ => {}
    }
    for part in node.elements() {
        if let Part::Token { range, text } = part {
            pages(text, range.start, links);
        }
    }
}

/// The module of an import.
fn imported(path: &str, import: At<'_>) -> Option<(Range<usize>, LinkTo)> {
    if let Some(text) = import.child(Kind::Text) {
        let (written, range) = plain_text(text)?;
        return Some((range, LinkTo::Module(paths::resolve(path, written).ok()?)));
    }
    let written = import.child(Kind::Path)?;
    let module = written.text().strip_prefix("std.")?;
    Some((written.range(), LinkTo::Module(format!("std/{module}.imgc"))))
}

/// The literals in `file("…")` and `dir("…")`, with what is called.
pub(super) fn path_literals(expr: At<'_>) -> Vec<(At<'_>, &str)> {
    let mut literals = Vec::new();
    let mut parts = expr.children().peekable();
    while let Some(part) = parts.next() {
        if part.kind() == Kind::Reference
            && matches!(part.text(), "file" | "dir")
            && let Some(call) = parts.next_if(|next| next.kind() == Kind::Call)
        {
            literals.extend(first_argument(call).map(|literal| (literal, part.text())));
        }
    }
    literals
}

/// Addresses in the comments of a text between nodes.
fn pages(gap: &str, start: usize, links: &mut Vec<(Range<usize>, LinkTo)>) {
    for token in tokens(gap, 0) {
        if token.text.starts_with("//") {
            addresses(token.text, start + token.start as usize, links);
        }
    }
}

/// Addresses in a text that begins at `start`.
fn addresses(text: &str, start: usize, links: &mut Vec<(Range<usize>, LinkTo)>) {
    let mut from = 0;
    while let Some(found) = slice(text, from..text.len()).find("http") {
        let begin = from + found;
        let rest = slice(text, begin..text.len());
        let ends =
            |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`' | '\\' | '|' | ';' | '{' | '}');
        let address = slice(rest, 0..rest.find(ends).unwrap_or(rest.len()));
        let address = address.trim_end_matches(['.', ',', ')', ':', '!', '?']);
        let host = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://")).unwrap_or_default();
        if host.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            links.push((start + begin..start + begin + address.len(), LinkTo::Page(address.to_owned())));
        }
        from = begin + address.len().max("http".len());
    }
}
