//! String literals: escapes, holes and the indentation of `"""` literals.

#![expect(clippy::wildcard_enum_match_arm, reason = "a place holds a few of the many kinds of nodes")]

use crate::ast::{Template, TemplatePart};
use crate::diagnostic::syntax;
use crate::span::Span;
use crate::syntax::{Kind, NodeRef};

use super::build::{Builder, span};

impl<'t> Builder<'t> {
    /// A string literal.
    pub(super) fn template(&mut self, node: NodeRef<'t>) -> Template {
        let block = node.text().starts_with("\"\"\"");
        let parts = if block { self.block_parts(node) } else { self.line_parts(node) };
        Template { parts, block, span: span(node) }
    }

    fn line_parts(&mut self, node: NodeRef<'t>) -> Vec<TemplatePart> {
        let mut parts = Vec::new();
        for child in node.children() {
            match child.kind() {
                Kind::Hole => parts.push(self.hole(child)),
                Kind::Chunk => push_text(&mut parts, child.text(), span(child)),
                Kind::Escape | Kind::BadEscape => {
                    if let Some(resolved) = resolve_escape(child.text()) {
                        push_text(&mut parts, resolved.encode_utf8(&mut [0; 4]), span(child));
                    } else {
                        let at = self.at(span(child));
                        self.report(syntax::unknown_escape(at, child.text()));
                    }
                }
                _ => {}
            }
        }
        parts
    }

    fn hole(&mut self, node: NodeRef<'t>) -> TemplatePart {
        TemplatePart::Hole { value: self.first_expr(node), span: span(node) }
    }

    /// Each line is a part of its own, so that a place in a part is a place in the source.
    fn block_parts(&mut self, node: NodeRef<'t>) -> Vec<TemplatePart> {
        let children: Vec<_> =
            node.children().filter(|child| matches!(child.kind(), Kind::BlockChunk | Kind::Hole)).collect();
        let indent = closing_indent(&children);
        let opened = children.first().and_then(|first| first_break(*first));
        let mut parts = Vec::new();
        let mut shallow = None;
        for (position, child) in children.iter().enumerate() {
            if child.kind() == Kind::Hole {
                parts.push(self.hole(*child));
                continue;
            }
            let skip = if position == 0 { opened.unwrap_or(0) } else { 0 };
            let mut at_line_start = position == 0 && opened.is_some();
            let mut start = child.start() as usize + skip;
            for line in child.text().get(skip..).unwrap_or_default().split_inclusive('\n') {
                let removed = if at_line_start { removed(line, indent.unwrap_or("")) } else { Ok(0) };
                let removed = removed.unwrap_or_else(|less| {
                    shallow.get_or_insert((start, less));
                    less
                });
                push_line(&mut parts, line, start, removed);
                at_line_start = true;
                start += line.len();
            }
        }
        if let Some((start, width)) = shallow {
            let at = self.at(range(start, start + width));
            self.report(syntax::shallow_line(
                at,
                self.at(Span { start: node.end().saturating_sub(3), end: node.end() }),
            ));
        }
        parts
    }
}

/// How many bytes of indentation a line loses; the error is that it has less than the closing quotes.
fn removed(line: &str, indent: &str) -> Result<usize, usize> {
    if line.starts_with(indent) {
        return Ok(indent.len());
    }
    let blanks = line.len() - line.trim_start_matches([' ', '\t']).len();
    if line.trim().is_empty() && line.ends_with('\n') { Ok(blanks) } else { Err(blanks.min(indent.len())) }
}

/// The blanks before the closing quotes where nothing else stands before them in their line.
fn closing_indent<'t>(children: &[NodeRef<'t>]) -> Option<&'t str> {
    let last = children.last().filter(|last| last.kind() == Kind::BlockChunk)?.text();
    let (_, line) = last.rsplit_once('\n')?;
    line.trim_matches([' ', '\t']).is_empty().then_some(line)
}

/// The bytes up to and with the line break that follows the opening quotes.
fn first_break(first: NodeRef<'_>) -> Option<usize> {
    let text = first.text();
    let end = (first.kind() == Kind::BlockChunk).then(|| text.find('\n')).flatten()?;
    text.get(..end)?.trim().is_empty().then_some(end + 1)
}

fn push_line(parts: &mut Vec<TemplatePart>, line: &str, start: usize, removed: usize) {
    let kept = line.get(removed..).unwrap_or_default();
    if kept.is_empty() {
        return;
    }
    // The same source gives the same bytes whatever line ends a checkout has.
    let text = match kept.strip_suffix("\r\n") {
        Some(line) => format!("{line}\n"),
        None => kept.to_owned(),
    };
    parts.push(TemplatePart::Text { text, span: range(start + removed, start + line.len()) });
}

fn push_text(parts: &mut Vec<TemplatePart>, more: &str, at: Span) {
    if let Some(TemplatePart::Text { text, span }) = parts.last_mut() {
        text.push_str(more);
        *span = span.to(at);
    } else {
        parts.push(TemplatePart::Text { text: more.to_owned(), span: at });
    }
}

/// The character that an escape stands for.
fn resolve_escape(escape: &str) -> Option<char> {
    match escape {
        "\\n" => Some('\n'),
        "\\t" => Some('\t'),
        "\\\"" => Some('"'),
        "\\\\" => Some('\\'),
        _ => {
            let digits = escape.strip_prefix("\\u{")?.strip_suffix('}')?;
            char::from_u32(u32::from_str_radix(digits, 16).ok()?)
        }
    }
}

fn range(start: usize, end: usize) -> Span {
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span { start: offset(start), end: offset(end) }
}
