//! What could be written at a place, half-typed or empty.
//!
//! A mark is put where the cursor is, and the module is parsed with it: the place of the mark in that tree says what is
//! asked there. Where a name alone stands for nothing yet, the mark is tried as the name of a field and of a step.

mod attributes;
mod bodies;
mod collect;
mod texts;
mod values;

use std::ops::Range;

use crate::ast::ItemKind;
use crate::modules::Module;
use crate::parse;
use crate::span::Span;
use crate::syntax::Kind;
use crate::types::{ItemId, Pattern, SYSTEMS};
use crate::world::World;

use super::Completion;
use super::view::{View, item_at, touches};
use super::walk::{self, Around, Local, Moved, Sink, Spot};

use collect::Collector;

/// A word that no program has.
const MARK: &str = "imgc_cursor_mark";

/// A place with what is known around it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    span: Span,
    pub(super) spot: Spot,
    pub(super) locals: Vec<Local>,
    pub(super) platforms: Option<Vec<Pattern>>,
}

/// Looks for the smallest place that holds the mark.
struct Finder {
    /// Relative to the item.
    mark: Span,
    found: Option<Found>,
}

impl Sink for Finder {
    fn spot(&mut self, span: Span, around: Around<'_>, spot: &mut dyn FnMut() -> Spot) {
        let holds = span.start <= self.mark.start && self.mark.end <= span.end;
        let size = |span: Span| span.end - span.start;
        if holds && self.found.as_ref().is_none_or(|found| size(span) < size(found.span)) {
            let (locals, platforms) = (around.locals.to_vec(), around.platforms.map(<[Pattern]>::to_vec));
            self.found = Some(Found { span, spot: spot(), locals, platforms });
        }
    }
}

/// What could be written at an offset of a module.
pub(super) fn completion(view: &View<'_>, world: &dyn World, path: &str, offset: usize) -> Vec<Completion> {
    let Some(module) = view.module_at(path) else { return Vec::new() };
    let text = view.text(module.id);
    let offset = (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let word = word_start(text, offset)..offset;
    if text.get(word.clone()).is_some_and(|word| word.starts_with(|c: char| c.is_ascii_digit())) {
        return number(view, module, word);
    }
    let found = place(view, module, text, &word);
    let mut all = Collector::new(view, module, word.clone());
    let attribute = attributes::at(text, word.start);
    match found {
        Some(Found { spot: Spot::Text(spot), span, .. }) if texts::is_inside(text, module, view, span, offset) => {
            texts::complete(&mut all, world, &spot, offset);
        }
        _ if attribute.is_some() => attributes::complete(&mut all, attribute),
        Some(found) => at_spot(&mut all, world, &found, offset),
        None if is_comment(text, offset) => {}
        None if is_top(view, module, offset) => bodies::item_words(&mut all),
        None => values::anything(&mut all),
    }
    all.finish()
}

fn at_spot(all: &mut Collector<'_, '_>, world: &dyn World, found: &Found, offset: usize) {
    match &found.spot {
        Spot::Value { want, arguments } => {
            bodies::arguments(all, arguments);
            values::values(all, found, want.as_ref());
            texts::quoted(all, want.as_ref());
        }
        Spot::Member(ty) => values::members(all, ty),
        Spot::Exported(module, wanted) => bodies::exported(all, *module, *wanted, found.platforms.as_deref()),
        Spot::VariantOf(of) => values::variants(all, *of),
        Spot::Field(declared) => bodies::fields(all, declared),
        Spot::Statement(fields) => bodies::statements(all, fields, found.platforms.as_deref()),
        Spot::Recipe => bodies::recipes(all, found.platforms.as_deref(), ""),
        Spot::Type => values::types(all, &found.locals),
        Spot::Pattern(want) => values::patterns(all, want.as_ref()),
        Spot::Text(spot) => texts::complete(all, world, spot, offset),
        Spot::ImportFrom => texts::imports(all),
        Spot::StdModule => texts::std_modules(all, ""),
        Spot::ImportName(module) => bodies::exported(all, *module, walk::Wanted::Any, None),
        Spot::Binding => {}
    }
}

/// The place of a word, with the mark behind it.
fn place(view: &View<'_>, module: &Module, text: &str, word: &Range<usize>) -> Option<Found> {
    if waits_in_platform(text, word)
        && let Some(found) = marked(view, module, text, word.end, ")/*")
    {
        return Some(found);
    }
    let plain = marked(view, module, text, word.end, "");
    let is_vague = match plain.as_ref().map(|found| &found.spot) {
        None => true,
        Some(Spot::Value { want, arguments }) => want.is_none() && arguments.is_empty(),
        Some(_) => false,
    };
    if !is_vague || !begins_entry(text, word.start) {
        return plain;
    }
    let field = marked(view, module, text, word.end, " = 0").filter(|found| match &found.spot {
        Spot::Field(declared) => !declared.is_empty(),
        Spot::Statement(_) => true,
        _ => false,
    });
    field.or_else(|| plain.or_else(|| marked(view, module, text, word.end, " \"\" {}")))
}

/// Whether a word is the distribution of a platform whose bracket is open: `linux(deb`.
fn waits_in_platform(text: &str, word: &Range<usize>) -> bool {
    let before = text.get(..word.start).and_then(|before| before.strip_suffix('('));
    let system = before.map(|before| before.get(word_start(before, before.len())..).unwrap_or_default());
    let is_open = text.get(word.end..).is_some_and(|rest| !rest.starts_with(')'));
    is_open && system.is_some_and(|system| SYSTEMS.contains(&system))
}

/// Whether a field or statement may begin there: what stands before it is over.
fn begins_entry(text: &str, at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    let blank = before.trim_end_matches([' ', '\t', '\r', '\n']);
    let is_new_line = before.get(blank.len()..).is_some_and(|gap| gap.contains('\n'));
    match blank.chars().last() {
        None => true,
        Some('{' | ',') => true,
        // Behind the module of `apt.` it is a path, which begins where the module's name does.
        Some('.') => true,
        Some('=' | '(' | '[' | ':' | '+' | '-' | '*' | '/' | '|' | '&' | '?' | '<' | '>' | '!' | '%') => false,
        Some(_) => is_new_line,
    }
}

/// The place of the mark, put behind a word with more text after it.
fn marked(view: &View<'_>, module: &Module, text: &str, at: usize, more: &str) -> Option<Found> {
    let changed = format!("{}{MARK}{more}{}", text.get(..at)?, text.get(at..)?);
    let parsed = parse::parse(&changed, module.id);
    let starts = &parsed.module.starts;
    let offset = u32::try_from(at).ok()?;
    let number = starts.partition_point(|start| *start <= offset).checked_sub(1)?;
    let (start, item) = (*starts.get(number)?, parsed.module.items.get(number)?);
    let id = same_item(module, start);
    let length = u32::try_from(MARK.len()).ok()?;
    let mark = Span { start: offset - start, end: offset - start + length };
    let by = u32::try_from(MARK.len() + more.len()).ok()?;
    let mut finder = Finder { mark, found: None };
    walk::changed_item(view, id, item, Moved { at: mark.start, by }, &mut finder);
    finder.found
}

/// The item of the analysed module that begins where one of the changed text does.
fn same_item(module: &Module, start: u32) -> ItemId {
    let exact = module.written.starts.iter().position(|other| *other == start);
    let number = exact.and_then(|number| u32::try_from(number).ok());
    let first = ItemId { module: module.id, item: number.unwrap_or(0) };
    if number.is_some() { first } else { item_at(module, start as usize).map_or(first, |(id, _)| id) }
}

/// Units behind a number.
fn number(view: &View<'_>, module: &Module, word: Range<usize>) -> Vec<Completion> {
    let mut want = None;
    if let Some((id, offset)) = item_at(module, word.end) {
        let mut numbers = Numbers { offset, found: None };
        walk::item(view, id, &mut numbers);
        want = numbers.found;
    }
    let mut all = Collector::new(view, module, word);
    texts::units(
        &mut all,
        want.and_then(|spot| if let Spot::Value { want, .. } = spot { want } else { None }).as_ref(),
    );
    all.finish()
}

/// Looks for the value that ends at an offset.
struct Numbers {
    offset: u32,
    found: Option<Spot>,
}

impl Sink for Numbers {
    fn spot(&mut self, span: Span, _: Around<'_>, spot: &mut dyn FnMut() -> Spot) {
        if touches(span, self.offset)
            && let spot @ Spot::Value { .. } = spot()
        {
            self.found.get_or_insert(spot);
        }
    }
}

fn word_start(text: &str, offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or_default();
    before.trim_end_matches(|c: char| c == '_' || c.is_ascii_alphanumeric()).len()
}

/// Whether an offset is behind a `//` of its line.
fn is_comment(text: &str, offset: usize) -> bool {
    let before = text.get(..offset).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    let mut is_text = false;
    let mut escaped = false;
    let mut last = ' ';
    for c in line.chars() {
        match c {
            '"' if !escaped => is_text = !is_text,
            '/' if !is_text && last == '/' => return true,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        last = c;
    }
    false
}

/// Whether an offset is outside of every item that is understood.
fn is_top(view: &View<'_>, module: &Module, offset: usize) -> bool {
    let Some((id, _)) = item_at(module, offset) else { return true };
    let Some(item) = view.syntax(id) else { return true };
    let is_behind = view.range(id, item.span).end < offset;
    let text = view.text(module.id);
    let parsed = parse::parse(text, module.id);
    let root = parsed.tree.pieces.get(id.item as usize).and_then(|piece| piece.nodes.first().copied());
    let is_bad = root.is_some_and(|root| root.kind == Kind::BadItem);
    let is_new_line = text.get(..offset).is_some_and(|before| {
        before.rsplit('\n').next().unwrap_or_default().trim_start().len() < MARK.len() && !before.is_empty()
    });
    matches!(item.kind, ItemKind::Error) || is_bad || (is_behind && is_new_line)
}
