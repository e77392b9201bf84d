//! Which bodies use which recipes, and what is being called at a place.

use crate::ast::ItemKind;
use crate::types::ItemId;

use super::names::{self, Use};
use super::view::{View, item_at};
use super::walk::{self, Call as Walked, Callee, Sink, Target};
use super::{Call, Caller, CallerKind, Parameter, Signature, describe};

/// What is known of a recipe, image or test.
fn caller(view: &View<'_>, id: ItemId) -> Option<Caller> {
    let item = view.syntax(id)?;
    let kind = match &item.kind {
        ItemKind::Recipe { .. } => CallerKind::Recipe,
        ItemKind::Image { .. } => CallerKind::Image,
        ItemKind::Test { .. } => CallerKind::Test,
        _ => return None,
    };
    let name = view.name_of(id)?;
    let (place, name_range) = (view.place(id, item.span), view.range(id, name.span));
    Some(Caller { name: view.written_name(id), kind, place, name_range })
}

/// The recipe, image or test whose name stands at an offset, else the one that the offset is in.
pub(super) fn recipe_at(view: &View<'_>, path: &str, offset: usize) -> Option<Caller> {
    if let Some((_, Use { target: Target::Item(id), .. })) = names::at(view, path, offset)
        && let Some(found) = caller(view, id)
    {
        return Some(found);
    }
    let (id, _) = item_at(view.module_at(path)?, offset)?;
    caller(view, id)
}

fn item_of(view: &View<'_>, of: &Caller) -> Option<ItemId> {
    Some(item_at(view.module_at(&of.place.path)?, of.name_range.start)?.0)
}

/// The bodies that use a recipe; of an image, the images that continue it and its tests.
pub(super) fn callers(view: &View<'_>, of: &Caller) -> Vec<Call> {
    let Some(target) = item_of(view, of) else { return Vec::new() };
    let mut calls: Vec<(ItemId, Call)> = Vec::new();
    for (id, found) in names::every(view, &Target::Item(target)) {
        if id == target {
            continue;
        }
        let range = view.range(id, found.span);
        match calls.iter_mut().find(|(known, _)| *known == id) {
            Some((_, call)) => call.ranges.push(range),
            None => calls.extend(caller(view, id).map(|of| (id, Call { of, ranges: vec![range] }))),
        }
    }
    calls.into_iter().map(|(_, call)| call).collect()
}

/// The recipes that a body uses, and the image that it begins with or tests.
pub(super) fn callees(view: &View<'_>, of: &Caller) -> Vec<Call> {
    let Some(id) = item_of(view, of) else { return Vec::new() };
    let mut calls: Vec<(ItemId, Call)> = Vec::new();
    for found in names::uses(view, id) {
        let Target::Item(target) = found.target else { continue };
        if target == id {
            continue;
        }
        let range = view.range(id, found.span);
        match calls.iter_mut().find(|(known, _)| *known == target) {
            Some((_, call)) => call.ranges.push(range),
            None => calls.extend(caller(view, target).map(|of| (target, Call { of, ranges: vec![range] }))),
        }
    }
    calls.into_iter().map(|(_, call)| call).collect()
}

/// The innermost call around an offset.
struct Innermost {
    offset: u32,
    /// With what it takes and the argument that is being written, by name or position.
    found: Option<(Callee, u32, Active)>,
}

#[derive(Debug, Clone)]
enum Active {
    Named(String),
    At(usize),
}

impl Sink for Innermost {
    fn call(&mut self, call: &Walked<'_>) {
        let inside = call.open < self.offset && self.offset <= call.span.end;
        let closer = self.found.as_ref().is_none_or(|(_, open, _)| *open <= call.open);
        if !inside || !closer {
            return;
        }
        let here = call.args.iter().position(|arg| self.offset <= arg.span.end);
        let active = match here.and_then(|number| call.args.get(number)) {
            Some(arg) if arg.span.start <= self.offset => match &arg.name {
                Some(name) => Active::Named(name.text.to_string()),
                None => Active::At(here.unwrap_or(0)),
            },
            _ => Active::At(here.unwrap_or(call.args.len())),
        };
        self.found = Some((call.callee.clone(), call.open, active));
    }
}

/// What is being called at an offset.
pub(super) fn signature(view: &View<'_>, path: &str, offset: usize) -> Option<Signature> {
    let module = view.module_at(path)?;
    let (id, at) = item_at(module, offset)?;
    let mut sink = Innermost { offset: at, found: None };
    walk::item(view, id, &mut sink);
    let (callee, open, active) = sink.found?;
    // Behind the closing bracket the call is over.
    let written = view.slice(id, crate::Span { start: open, end: at });
    if !is_open(written) {
        return None;
    }
    let (label, ranges) = describe::signature(view, &callee)?;
    let declared = callee.declared(view);
    let docs = |number: usize| {
        let target = declared.get(number).and_then(|declared| declared.target.as_ref());
        target.and_then(|target| describe::target(view, target, None)).map(|told| told.docs).unwrap_or_default()
    };
    let active = match active {
        Active::Named(name) => declared.iter().position(|declared| *declared.name == *name),
        // Behind a comma the next one is meant even before anything of it is there.
        Active::At(number) => Some(number.max(commas(written))),
    };
    let active = active.filter(|number| *number < ranges.len());
    let parameters = ranges.into_iter().enumerate().map(|(n, range)| Parameter { range, docs: docs(n) }).collect();
    let about = match &callee {
        Callee::Item(id) => describe::item(view, *id),
        Callee::Variant(of, name) => describe::target(view, &Target::Variant { of: *of, name: name.clone() }, None),
        Callee::Member(of, name) => describe::member(of, name),
        Callee::Function(name) => describe::target(view, &Target::Function(name), None),
    };
    Some(Signature { label, docs: about.map(|told| told.docs).unwrap_or_default(), parameters, active })
}

/// Whether a bracket that a text begins with is open at its end.
fn is_open(text: &str) -> bool {
    depth(text) > 0
}

/// How many brackets are open at the end of a text; what stands in literals does not count.
fn depth(text: &str) -> i32 {
    let mut depth = 0;
    each_mark(text, &mut |c, _| match c {
        '(' | '{' | '[' => depth += 1,
        ')' | '}' | ']' => depth -= 1,
        _ => {}
    });
    depth
}

/// The commas of the outermost bracket.
fn commas(text: &str) -> usize {
    let (mut depth, mut commas) = (0, 0);
    each_mark(text, &mut |c, _| match c {
        '(' | '{' | '[' => depth += 1,
        ')' | '}' | ']' => depth -= 1,
        ',' if depth == 1 => commas += 1,
        _ => {}
    });
    commas
}

/// Every character outside of text literals and comments.
pub(super) fn each_mark(text: &str, seen: &mut dyn FnMut(char, usize)) {
    let mut chars = text.char_indices().peekable();
    let mut is_text = false;
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if is_text => {
                chars.next();
            }
            '"' => is_text = !is_text,
            '\n' => is_text = false,
            '/' if !is_text && chars.peek().is_some_and(|(_, next)| *next == '/') => {
                while chars.peek().is_some_and(|(_, next)| *next != '\n') {
                    chars.next();
                }
            }
            c if !is_text => seen(c, at),
            _ => {}
        }
    }
}
