//! A `let` is replaced by its value.

use std::ops::Range;

use crate::ast::{Expr, ExprKind, ItemKind, Let, Statement, StatementKind};
use crate::span::Span;
use crate::types::ItemId;

use super::super::calls::each_mark;
use super::super::names;
use super::super::view::View;
use super::super::walk::{self, Around, Sink, Target};
use super::super::{Access, Action, ActionKind, TextEdit};
use super::{action, line_of};

/// The `let` statement that binds a name.
struct Binder {
    start: u32,
    found: Option<(Let, Span)>,
}

impl Sink for Binder {
    fn block(&mut self, statements: &[Statement], _: Around<'_>) {
        for statement in statements {
            if let StatementKind::Let(value) = &statement.kind
                && value.name.span.start == self.start
            {
                self.found = Some((value.clone(), statement.span));
            }
        }
    }
}

/// Puts the value of the `let` at a place where its name is used, and removes it.
pub(super) fn inline(view: &View<'_>, path: &str, range: &Range<usize>) -> Option<Action> {
    let (at, found) = names::at(view, path, range.start)?;
    let (of, value, whole) = match &found.target {
        Target::Item(id) => {
            let item = view.syntax(*id)?;
            let ItemKind::Let(value) = &item.kind else { return None };
            // Other modules may use what is exported.
            let whole = Span { start: 0, end: item.span.end };
            (*id, item.public.is_none().then(|| value.clone())?, whole)
        }
        Target::Local { of, start } => {
            let mut binder = Binder { start: *start, found: None };
            walk::item(view, *of, &mut binder);
            let (value, span) = binder.found?;
            (*of, value, span)
        }
        _ => return None,
    };
    let all = names::every(view, &found.target);
    if of.module != at.module || matches!(value.value.kind, ExprKind::Error) || all.len() < 2 {
        return None;
    }
    if all.iter().any(|(id, _)| id.module != of.module) {
        return None;
    }
    let written = view.slice(of, value.value.span).to_owned();
    let is_whole = is_whole(&value.value) || is_bracketed(&written);
    let mut edits = vec![TextEdit { range: removed(view, of, whole), text: String::new() }];
    for (id, used) in all.iter().filter(|(_, used)| used.access == Access::Read) {
        let range = view.range(*id, used.span);
        let text = if is_whole { written.clone() } else { format!("({written})") };
        edits.push(TextEdit { range, text });
    }
    let name = &value.name.text;
    Some(action(format!("inline `{name}`"), ActionKind::Inline, path, edits))
}

/// Whether a value means the same wherever it stands, without brackets.
fn is_whole(value: &Expr) -> bool {
    !matches!(
        value.kind,
        ExprKind::Binary { .. } | ExprKind::Unary { .. } | ExprKind::If { .. } | ExprKind::Match { .. }
    )
}

/// Whether brackets are around all of a value.
fn is_bracketed(written: &str) -> bool {
    let (mut depth, mut closed) = (0_i32, written.len());
    each_mark(written, &mut |c, at| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if depth == 0 {
            closed = closed.min(at);
        }
    });
    written.starts_with('(') && closed + 1 == written.len()
}

/// A definition with its line, if it stands there alone, and one blank line behind it where it is an item.
fn removed(view: &View<'_>, of: ItemId, whole: Span) -> Range<usize> {
    let text = view.text(of.module);
    let range = view.range(of, whole);
    let (start, _) = line_of(text, range.start);
    let rest = text.get(range.end..).unwrap_or_default();
    let line_end = rest.find('\n').map_or(text.len(), |at| range.end + at + 1);
    let alone = |part: Option<&str>| part.is_some_and(|part| part.trim().is_empty());
    if !alone(text.get(start..range.start)) || !alone(text.get(range.end..line_end)) {
        return range;
    }
    let is_blank = text.get(line_end..).is_some_and(|rest| rest.starts_with('\n'));
    let before = text.get(..start).is_none_or(|before| before.is_empty() || before.ends_with("\n\n"));
    start..if is_blank && before { line_end + 1 } else { line_end }
}
