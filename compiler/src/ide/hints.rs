//! What an editor shows beside the text: types that nobody wrote, names of arguments, pins; and lenses.

use std::ops::Range;

use crate::ast::{ArgValue, ItemKind, Name, StatementKind};
use crate::types::{ItemId, Type};

use super::view::{View, items};
use super::walk::{self, Call, Sink};
use super::{Hint, HintKind, Lens, names};

/// The longest type that is shown.
const MAX_TYPE: usize = 60;

struct Hints<'v, 'a> {
    view: &'v View<'a>,
    id: ItemId,
    found: Vec<Hint>,
}

impl Hints<'_, '_> {
    fn push(&mut self, offset: u32, label: String, kind: HintKind) {
        let start = self.view.range(self.id, crate::Span::default()).start;
        self.found.push(Hint { offset: start + offset as usize, label, kind });
    }
}

impl Sink for Hints<'_, '_> {
    fn inferred(&mut self, name: &Name, ty: &Type) {
        let shown = ty.to_string();
        // What holds `_` is not known.
        let known = !shown.split(|c: char| c != '_' && !c.is_alphanumeric()).any(|word| word == "_");
        if known && shown.len() <= MAX_TYPE && !name.text.is_empty() {
            self.push(name.span.end, format!(": {shown}"), HintKind::Type);
        }
    }

    fn call(&mut self, call: &Call<'_>) {
        let declared = call.callee.declared(self.view);
        let positional = call.args.iter().filter(|arg| arg.name.is_none());
        for (arg, declared) in positional.zip(declared) {
            let written = self.view.slice(self.id, arg.span);
            let said = written.rsplit('.').next() == Some(&declared.name);
            if matches!(arg.value, ArgValue::Expr(_)) && !said && !written.is_empty() {
                self.push(arg.span.start, format!("{}:", declared.name), HintKind::Argument);
            }
        }
    }
}

/// The hints of a part of a module.
pub(super) fn inlay(
    view: &View<'_>,
    path: &str,
    range: &Range<usize>,
    pins: &dyn Fn(&str) -> Option<String>,
) -> Vec<Hint> {
    let Some(module) = view.module_at(path) else { return Vec::new() };
    let mut found = Vec::new();
    for (id, item) in items(module) {
        let whole = view.range(id, item.span);
        if whole.start > range.end || whole.end < range.start {
            continue;
        }
        let mut hints = Hints { view, id, found: Vec::new() };
        walk::item(view, id, &mut hints);
        if let ItemKind::Image { body, .. } = &item.kind
            && let Some(pin) = names::source_address(view, id).and_then(|address| pins(&address))
        {
            let from = body.iter().find_map(|statement| match &statement.kind {
                StatementKind::Field(field) if &*field.name.text == "from" => Some(field.value.span.end),
                _ => None,
            });
            if let Some(end) = from {
                hints.push(end, pin, HintKind::Pin);
            }
        }
        found.append(&mut hints.found);
    }
    found.retain(|hint| range.start <= hint.offset && hint.offset <= range.end);
    found.sort_by_key(|hint| hint.offset);
    found.dedup();
    found
}

/// What plans have something to say about: images and outputs.
pub(super) fn lenses(view: &View<'_>, path: &str) -> Vec<Lens> {
    let Some(module) = view.module_at(path) else { return Vec::new() };
    let named = items(module).filter_map(|(id, item)| match &item.kind {
        ItemKind::Image { name, .. } => Some((id, name)),
        ItemKind::Output(value) => Some((id, &value.name)),
        _ => None,
    });
    let lenses = named.map(|(id, name)| Lens { range: view.range(id, name.span), address: name.text.to_string() });
    lenses.collect()
}
