//! The formatter: one style, no options, 100 columns. Comments stay; items with errors stay as they were.

use std::collections::BTreeSet;

use crate::parse::{Parsed, parse};
use crate::span::ModuleId;
use crate::syntax::{Kind, NodeRef, Token, TokenKind, slice, tokens};

use doc::{Doc, Printer};

mod doc;
mod list;
mod node;

/// Rounds after which a layout is taken as it is; all but a few texts with comments in odd places need one.
const MAX_ROUNDS: usize = 8;

/// The text of a module as it should be written. Formatting the result again changes nothing, whatever the text is: where
/// no layout settles, or where a layout would give other faults than the text has, the text stays as it is.
pub fn format(parsed: &Parsed) -> String {
    stacker::maybe_grow(32 << 20, 64 << 20, || settled(parsed).unwrap_or_else(|| parsed.tree.text.to_string()))
}

/// The first layout that lays itself out as it is.
fn settled(parsed: &Parsed) -> Option<String> {
    let mut text = once(parsed);
    // A comment that moved to another place may stand differently there.
    for _ in 0..MAX_ROUNDS {
        let again = parse(&text, ModuleId::default());
        if codes(&again) != codes(parsed) {
            return None;
        }
        let next = once(&again);
        if next == text {
            return Some(text);
        }
        text = next;
    }
    None
}

/// What is wrong with a text, in source order.
fn codes(parsed: &Parsed) -> Vec<&'static str> {
    parsed.diagnostics.iter().map(|diagnostic| diagnostic.code).collect()
}

fn once(parsed: &Parsed) -> String {
    let tree = &parsed.tree;
    let faulty: BTreeSet<u32> = parsed.diagnostics.iter().map(|diagnostic| diagnostic.primary.at.item).collect();
    let mut file = File { printer: Printer::default(), line: Vec::new(), blank: false, before: None };
    let (mut end, mut last) = (0, false);
    for (position, (root, start)) in tree.roots().zip(&tree.starts).enumerate() {
        let start = *start as usize;
        let broken = tree.pieces.get(position).is_none_or(|piece| piece.broken)
            || u32::try_from(position).is_ok_and(|position| faulty.contains(&position));
        file.gap(slice(&tree.text, end..start), Some(Standing { small: is_small(root), broken }));
        file.item(root, broken);
        last = broken;
        end = start + root.end() as usize;
    }
    file.gap(slice(&tree.text, end..tree.text.len()), None);
    file.end_line();
    let mut text = file.printer.finish();
    if last && end == tree.text.len() {
        // A text that is never closed goes to the end of the file: a line end more would be part of it.
        text.pop();
    }
    text
}

/// What counts about an item for the lines around it.
#[derive(Debug, Clone, Copy)]
struct Standing {
    /// One line of a kind that may stand together with its like.
    small: bool,
    broken: bool,
}

/// A file that is being written.
struct File {
    printer: Printer,
    /// What stands on the line that is being written.
    line: Vec<Doc>,
    /// Whether an empty line is due before the next one.
    blank: bool,
    /// The item before.
    before: Option<Standing>,
}

impl File {
    /// What stands between two items: comments and blank lines.
    fn gap(&mut self, gap: &str, next: Option<Standing>) {
        let all: Vec<_> = tokens(gap, 0).collect();
        let together = match (self.before, next) {
            (Some(before), Some(next)) => before.small && next.small,
            (None, _) | (_, None) => true,
        };
        let blank = all.iter().any(|token| is_blank_line(*token));
        let mut wanted = !together && !blank;
        let same_line = !all.iter().any(|token| token.kind == TokenKind::Blank && token.text.contains('\n'));
        let broken = self.before.is_some_and(|before| before.broken) || next.is_some_and(|next| next.broken);
        if same_line && broken && self.before.is_some() && next.is_some() {
            self.line.push(Doc::text(gap));
            self.before = next;
            return;
        }
        let mut own_line = self.before.is_none();
        for token in &all {
            match token.kind {
                TokenKind::Blank if token.text.contains('\n') => {
                    self.end_line();
                    own_line = true;
                    self.blank |= is_blank_line(*token) || std::mem::take(&mut wanted);
                }
                TokenKind::Comment if own_line => self.line.push(Doc::text(token.text.trim_end())),
                TokenKind::Comment => self.line.push(Doc::comment(token.text)),
                // A byte order mark.
                TokenKind::Mark => self.line.push(Doc::text(token.text)),
                TokenKind::Blank => {}
            }
        }
        if same_line && self.before.is_some() && next.is_some() {
            self.end_line();
            self.blank |= wanted;
        }
        self.before = next;
    }

    /// Ends the line, if something stands on it.
    fn end_line(&mut self) {
        if self.line.is_empty() {
            return;
        }
        if std::mem::take(&mut self.blank) && !self.printer.is_empty() {
            self.printer.blank();
        }
        self.printer.print(&Doc::concat(std::mem::take(&mut self.line)));
    }

    fn item(&mut self, root: NodeRef<'_>, broken: bool) {
        if broken {
            self.line.push(Doc::verbatim(root.slice(0..root.end())));
            return;
        }
        for line in root.slice(0..root.start()).lines().filter(|line| !line.trim().is_empty()) {
            self.line.push(Doc::text(line.trim()));
            self.line.push(Doc::hard());
        }
        self.line.push(node::item(root));
    }
}

/// Whether at least one empty line is in it.
fn is_blank_line(token: Token<'_>) -> bool {
    token.kind == TokenKind::Blank && token.text.bytes().filter(|byte| *byte == b'\n').count() > 1
}

/// Whether an item may stand directly below another: a `let`, `param`, `import`, `output` or `secret` of one line.
fn is_small(root: NodeRef<'_>) -> bool {
    let small = |node: NodeRef<'_>| {
        matches!(node.kind(), Kind::LetItem | Kind::Param | Kind::Import | Kind::Output | Kind::Secret)
    };
    root.kind() == Kind::Item && root.children().any(small) && !node::item(root).breaks()
}
