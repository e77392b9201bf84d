//! A value gets a name; statements become a recipe.

use std::ops::Range;

use crate::ast::{Expr, ExprKind, Statement, StatementKind};
use crate::modules::Module;
use crate::span::Span;
use crate::types::{ItemId, Pattern, Type};

use super::super::names;
use super::super::view::{View, item_at};
use super::super::walk::{self, Around, Sink, Target};
use super::super::{Access, Action, ActionKind, TextEdit};
use super::{action, free_name, line_of};

/// A selected expression and what is around it.
struct Selected {
    /// Relative to the item, without blanks around it.
    wanted: Span,
    found: Option<(Expr, Option<Type>)>,
    /// The innermost block that it is in: its statement.
    statement: Option<Statement>,
}

impl Sink for Selected {
    fn expr(&mut self, value: &Expr, want: Option<&Type>, _: Around<'_>) {
        if value.span == self.wanted && self.found.is_none() {
            self.found = Some((value.clone(), want.cloned()));
        }
    }

    fn block(&mut self, statements: &[Statement], _: Around<'_>) {
        let holds = |s: &&Statement| s.span.start <= self.wanted.start && self.wanted.end <= s.span.end;
        if let Some(statement) = statements.iter().find(holds) {
            self.statement = Some(statement.clone());
        }
    }
}

/// The item that a selection is in, and the selection in it, without blanks.
fn selection(view: &View<'_>, module: &Module, range: &Range<usize>) -> Option<(ItemId, Span)> {
    let text = view.text(module.id).get(range.clone())?;
    let (front, back) = (text.len() - text.trim_start().len(), text.len() - text.trim_end().len());
    let (start, end) = (range.start + front, range.end.checked_sub(back)?);
    if start >= end {
        return None;
    }
    let (id, offset) = item_at(module, start)?;
    let length = u32::try_from(end - start).ok()?;
    Some((id, Span { start: offset, end: offset + length }))
}

/// Gives the selected value a name.
pub(super) fn value(view: &View<'_>, module: &Module, range: &Range<usize>) -> Option<Action> {
    let (id, wanted) = selection(view, module, range)?;
    let mut selected = Selected { wanted, found: None, statement: None };
    walk::item(view, id, &mut selected);
    let (value, want) = selected.found?;
    let annotation = annotation(view, &value, want.as_ref(), id)?;
    let text = view.text(module.id);
    // What bodies bind is known below it only; the fields of an image see none of it.
    let uses = names::uses(view, id);
    let inside = |found: &&names::Use| wanted.start <= found.span.start && found.span.end <= wanted.end;
    let is_bound = |found: &names::Use| match &found.target {
        Target::Local { of, start } => *of == id && !(wanted.start <= *start && *start < wanted.end),
        Target::Param { of, .. } | Target::Payload { of, .. } => *of == id,
        Target::Platform => true,
        _ => false,
    };
    let bound: Vec<_> = uses.iter().filter(inside).filter(|found| is_bound(found)).collect();
    let statement = selected.statement.filter(|s| !matches!(s.kind, StatementKind::Field(_)));
    let (at, indent) = match &statement {
        Some(statement) => {
            // A name that the statement itself binds is not known before it.
            let own = |start: u32| statement.span.start <= start && start < statement.span.end;
            if bound.iter().any(|found| matches!(found.target, Target::Local { start, .. } if own(start))) {
                return None;
            }
            let start = view.range(id, statement.span).start;
            let (line, indent) = line_of(text, start);
            // Statements that share a line stay on it.
            if text.get(line..start)?.trim().is_empty() { (line, indent) } else { return None }
        }
        None if bound.is_empty() => (view.range(id, Span::default()).start, ""),
        None => return None,
    };
    let name = free_name(view, module, "value");
    let written = view.slice(id, value.span);
    // An item whose line before is not empty belongs to a group, which stays together.
    let is_apart = text.get(..at).is_none_or(|before| before.is_empty() || before.ends_with("\n\n"));
    let gap = if statement.is_none() && is_apart { "\n" } else { "" };
    let line = format!("{indent}let {name}{annotation} = {written}\n{gap}");
    let edits = vec![
        TextEdit { range: at..at, text: line },
        TextEdit { range: view.range(id, value.span), text: name.clone() },
    ];
    Some(action(format!("extract to `let {name}`"), ActionKind::Extract, &module.path, edits))
}

/// The type that a value has to keep, where its form does not say it; none where it cannot be written.
fn annotation(view: &View<'_>, value: &Expr, want: Option<&Type>, id: ItemId) -> Option<String> {
    let is_plain = match &value.kind {
        ExprKind::Error | ExprKind::None => return None,
        ExprKind::Text(_)
        | ExprKind::List(_)
        | ExprKind::Record { .. }
        | ExprKind::Map { .. }
        | ExprKind::ListFor { .. }
        | ExprKind::MapFor { .. }
        | ExprKind::If { .. }
        | ExprKind::Match { .. }
        | ExprKind::Int(_)
        | ExprKind::Name(_)
        | ExprKind::Call { .. } => false,
        ExprKind::Bool(_)
        | ExprKind::Size(_)
        | ExprKind::Duration(_)
        | ExprKind::Platform(_)
        | ExprKind::Member { .. }
        | ExprKind::Index { .. }
        | ExprKind::Unary { .. }
        | ExprKind::Binary { .. } => true,
    };
    let Some(want) = want.filter(|_| !is_plain) else { return Some(String::new()) };
    let found = view.type_at(&crate::modules::at(id.module, id.item, value.span));
    // What says its type itself needs none.
    let says = matches!(value.kind, ExprKind::Call { .. } | ExprKind::Name(_)) && want.as_enum().is_none();
    if says || found.as_ref() == Some(want) && matches!(want, Type::String | Type::Int) {
        return Some(String::new());
    }
    is_writable(view, want, id).then(|| format!(": {want}"))
}

/// Whether a type can be written where an item stands.
fn is_writable(view: &View<'_>, ty: &Type, id: ItemId) -> bool {
    match ty {
        Type::Error | Type::Never | Type::None | Type::Range(_) | Type::Anonymous(_) => false,
        Type::Image(..) | Type::Source(..) | Type::Artifact(..) => false,
        Type::Bool
        | Type::Int
        | Type::Port
        | Type::Mode
        | Type::String
        | Type::Size
        | Type::Duration
        | Type::Checked(_)
        | Type::Literal(_)
        | Type::Platform(_)
        | Type::Script(_)
        | Type::File
        | Type::Dir => true,
        Type::List(inner) | Type::Set(inner) | Type::Optional(inner) | Type::Secret(inner) => {
            is_writable(view, inner, id)
        }
        Type::Map(key, value) => is_writable(view, key, id) && is_writable(view, value, id),
        Type::Union(members) => members.iter().all(|member| is_writable(view, member, id)),
        Type::Nominal(nominal) => {
            let bound = view.names.find(id.module, &nominal.name);
            matches!(bound, Some(crate::names::Bound::Item(item)) if item.id == nominal.id)
        }
    }
}

/// Selected statements of one block.
struct Chosen {
    wanted: Span,
    found: Option<(Vec<Statement>, Vec<Pattern>)>,
}

impl Sink for Chosen {
    fn block(&mut self, statements: &[Statement], around: Around<'_>) {
        let inside = |s: &&Statement| self.wanted.start <= s.span.start && s.span.end <= self.wanted.end;
        let chosen: Vec<Statement> = statements.iter().filter(inside).cloned().collect();
        let (Some(first), Some(last)) = (chosen.first(), chosen.last()) else { return };
        // The selection begins and ends with statements.
        if first.span.start == self.wanted.start && last.span.end == self.wanted.end && self.found.is_none() {
            let platforms = around.platforms.map(<[Pattern]>::to_vec).unwrap_or_default();
            self.found = Some((chosen, platforms));
        }
    }
}

/// Makes the selected statements a recipe.
pub(super) fn recipe(view: &View<'_>, module: &Module, range: &Range<usize>) -> Option<Action> {
    let (id, wanted) = selection(view, module, range)?;
    let mut sink = Chosen { wanted, found: None };
    walk::item(view, id, &mut sink);
    let (chosen, platforms) = sink.found?;
    if chosen.iter().any(|s| matches!(s.kind, StatementKind::Field(_) | StatementKind::Error)) {
        return None;
    }
    let params = taken(view, id, wanted)?;
    let text = view.text(module.id);
    let name = free_name(view, module, "steps");
    let written = view.slice(id, wanted);
    let (_, indent) = line_of(text, view.range(id, wanted).start);
    let body: Vec<String> = written
        .lines()
        .enumerate()
        .map(|(number, line)| {
            let line = if number == 0 { line } else { line.strip_prefix(indent).unwrap_or(line) };
            if line.is_empty() { String::new() } else { format!("  {line}") }
        })
        .collect();
    let declared: Vec<String> = params.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
    let given: Vec<String> = params.iter().map(|(name, _)| name.clone()).collect();
    let on: Vec<String> = platforms.iter().filter(|p| **p != Pattern::ANY).map(ToString::to_string).collect();
    let on = if on.is_empty() { String::new() } else { format!(" on {}", on.join(" | ")) };
    let recipe = format!("recipe {name}({}){on} {{\n{}\n}}\n\n", declared.join(", "), body.join("\n"));
    let start = view.range(id, Span::default()).start;
    let edits = vec![
        TextEdit { range: start..start, text: recipe },
        TextEdit { range: view.range(id, wanted), text: format!("use {name}({})", given.join(", ")) },
    ];
    Some(action(format!("extract to `recipe {name}`"), ActionKind::Extract, &module.path, edits))
}

/// What the selected statements use of the body around them, as params; none where that cannot be said, or where the
/// rest of the body uses what they bind.
fn taken(view: &View<'_>, id: ItemId, wanted: Span) -> Option<Vec<(String, String)>> {
    let uses = names::uses(view, id);
    let inside = |span: Span| wanted.start <= span.start && span.end <= wanted.end;
    let mut params: Vec<(String, String)> = Vec::new();
    for found in &uses {
        let (is_local, binds_inside) = match &found.target {
            Target::Local { of, start } if *of == id => (true, wanted.start <= *start && *start < wanted.end),
            // A param of the recipe that the statements are in.
            Target::Param { of, .. } if *of == id => (true, false),
            _ => (false, false),
        };
        if !is_local || (found.access == Access::Write && inside(found.span)) {
            continue;
        }
        match (inside(found.span), binds_inside) {
            (true, false) => {
                let ty = found.ty.as_ref().filter(|ty| is_writable(view, ty, id))?;
                let param = (view.slice(id, found.span).to_owned(), ty.to_string());
                if !params.contains(&param) {
                    params.push(param);
                }
            }
            (false, true) => return None,
            (_, _) => {}
        }
    }
    Some(params)
}
