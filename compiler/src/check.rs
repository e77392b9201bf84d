//! Checks every item once: syntax trees and names become a [`Program`] without types. Asks the world only what stands
//! at the paths a program names.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "most types and forms are not what a rule is about, and are refused alike"
)]

mod arguments;
mod body;
mod calls;
mod constant;
mod expr;
mod facts;
mod images;
mod index;
mod indices;
mod items;
mod literals;
mod machine;
mod members;
mod operators;
mod order;
mod patterns;
mod reuse;
mod scripts;
mod secrets;
mod slips;
mod written;

pub(crate) use index::{Index, LocalUse, Target};
pub(crate) use members::MEMBERS;
pub(crate) use reuse::Past;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ast::ItemKind;
use crate::core::{Expr, Item, Kind, Program};
use crate::diagnostic::{Diagnostic, names as say};
use crate::modules::{self, Modules};
use crate::names::{Names, item_name};
use crate::span::{Location, ModuleId, Span};
use crate::types::{ItemId, Pattern, Type};
use crate::world::World;

/// Items that wait for each other while one is checked; more is only met in cycles.
const MAX_WAITING: usize = 64;

/// How deep expressions and statements may nest.
const MAX_DEPTH: u32 = 256;

/// How much of the standard library is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What the package uses.
    Used,
    /// All of it.
    Whole,
}

/// How far an item is.
#[derive(Debug, Clone)]
enum State {
    Untouched,
    Open,
    Done(Arc<Item>),
}

/// All items while they are checked.
pub(crate) struct Checker<'a> {
    modules: &'a Modules,
    names: &'a Names,
    world: &'a dyn World,
    states: Vec<Vec<State>>,
    orders: Vec<Vec<u32>>,
    /// Items that are being checked, the innermost last.
    waiting: Vec<ItemId>,
    /// What each of them says so far.
    frames: Vec<Frame>,
    /// Whether an editor wants to know what stands in the items.
    records: bool,
    /// What was kept of the last check.
    past: Option<&'a mut Past>,
    diagnostics: Vec<Diagnostic>,
    indexes: Vec<Vec<Arc<Index>>>,
}

/// What an item says while it is checked.
#[derive(Debug, Default)]
struct Frame {
    diagnostics: Vec<Diagnostic>,
    index: Option<Index>,
    /// What it asked, where that is kept.
    asks: Option<reuse::Asks>,
}

/// What checking found.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) program: Program,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// By module and position of the item; empty where nobody asked for them.
    pub(crate) indexes: Vec<Vec<Arc<Index>>>,
}

/// Checks all modules of the package and what they use of the standard library; or all of that.
pub(crate) fn check(modules: &Modules, names: &Names, world: &dyn World, extent: Extent) -> Found {
    run(modules, names, world, extent, None, &|| false).unwrap_or_default()
}

/// Checks all of all modules for an editor, less what was kept of the last check and is still so. None where nobody
/// wants the result any more; what was checked is kept all the same.
pub(crate) fn check_again(
    modules: &Modules,
    names: &Names,
    world: &dyn World,
    past: &mut Past,
    cancelled: &dyn Fn() -> bool,
) -> Option<Found> {
    past.fit(modules.all.iter().map(|module| module.tree.items.len()));
    run(modules, names, world, Extent::Whole, Some(past), cancelled)
}

fn run(
    modules: &Modules,
    names: &Names,
    world: &dyn World,
    extent: Extent,
    past: Option<&mut Past>,
    cancelled: &dyn Fn() -> bool,
) -> Option<Found> {
    let states = modules.all.iter().map(|m| vec![State::Untouched; m.tree.items.len()]).collect();
    let mut checker = Checker {
        modules,
        names,
        world,
        states,
        orders: vec![Vec::new(); modules.all.len()],
        waiting: Vec::new(),
        frames: Vec::new(),
        records: past.is_some(),
        past,
        diagnostics: Vec::new(),
        indexes: vec![Vec::new(); modules.all.len()],
    };
    for id in &modules.order {
        let Some(module) = modules.all.get(id.0 as usize) else { continue };
        // What a program uses of the standard library is checked on demand; a test checks all of it.
        if module.is_std && extent == Extent::Used {
            continue;
        }
        if cancelled() {
            return None;
        }
        if checker.take_whole(module) {
            continue;
        }
        let said = checker.diagnostics.len();
        for item in checker.order_of(module).iter() {
            checker.demand(ItemId { module: *id, item: *item });
        }
        checker.keep_whole(module, said);
    }
    let nothing = Arc::new(Item::Nothing);
    let finished = |state: State| if let State::Done(item) = state { item } else { nothing.clone() };
    let modules = modules.all.iter().zip(checker.states).zip(checker.orders).map(|((module, states), order)| {
        let name =
            |item: &Arc<crate::ast::Item>| item_name(&item.kind).map_or_else(|| Arc::from(""), |n| n.text.clone());
        crate::core::Module {
            items: states.into_iter().map(finished).collect(),
            names: module.tree.items.iter().map(name).collect(),
            order,
        }
    });
    let program = Program { modules: modules.collect() };
    Some(Found { program, diagnostics: checker.diagnostics, indexes: checker.indexes })
}

impl Checker<'_> {
    /// The checked item, of which only the signature matters; none where it is part of a cycle, which has then been
    /// reported.
    fn demand(&mut self, id: ItemId) -> Option<Arc<Item>> {
        let item = self.demanded(id)?;
        self.note_signature(id, &item);
        Some(item)
    }

    /// The checked item, all of which matters.
    fn demand_whole(&mut self, id: ItemId) -> Option<Arc<Item>> {
        let item = self.demanded(id)?;
        self.note_whole(id, &item);
        Some(item)
    }

    fn demanded(&mut self, id: ItemId) -> Option<Arc<Item>> {
        match self.state(id)? {
            State::Done(item) => return Some(item.clone()),
            State::Open => {
                self.report_cycle(id);
                return None;
            }
            State::Untouched => {}
        }
        if self.waiting.len() >= MAX_WAITING {
            self.report_cycle(id);
            return None;
        }
        Some(self.checked(id))
    }

    /// The item, which nobody has touched yet.
    fn checked(&mut self, id: ItemId) -> Arc<Item> {
        self.set(id, State::Open);
        self.waiting.push(id);
        let item = if let Some(kept) = self.kept(id) {
            self.diagnostics.extend(kept.diagnostics.iter().cloned());
            self.set_index(id, kept.index.clone());
            kept.item.clone()
        } else {
            let index = self.records.then(Index::default);
            let asks = self.past.is_some().then(reuse::Asks::default);
            self.frames.push(Frame { diagnostics: Vec::new(), index, asks });
            let item = items::check(self, id);
            self.finish(id, item)
        };
        self.waiting.pop();
        self.set(id, State::Done(item.clone()));
        if let Some(order) = self.orders.get_mut(id.module.0 as usize) {
            order.push(id.item);
        }
        item
    }

    /// Takes what an item said that has been checked.
    fn finish(&mut self, id: ItemId, item: Item) -> Arc<Item> {
        let Some(frame) = self.frames.pop() else { return Arc::new(item) };
        let index = frame.index.map(|mut index| {
            index.finish();
            Arc::new(index)
        });
        if let Some(index) = &index {
            self.set_index(id, index.clone());
        }
        if let Some(asks) = frame.asks {
            self.diagnostics.extend(frame.diagnostics.iter().cloned());
            self.keep(id, item, (frame.diagnostics, index.unwrap_or_default()), asks)
        } else {
            self.diagnostics.extend(frame.diagnostics);
            Arc::new(item)
        }
    }

    fn set_index(&mut self, id: ItemId, index: Arc<Index>) {
        if let Some(of_module) = self.indexes.get_mut(id.module.0 as usize) {
            let position = id.item as usize;
            if of_module.len() <= position {
                of_module.resize(position + 1, Arc::default());
            }
            if let Some(place) = of_module.get_mut(position) {
                *place = index;
            }
        }
    }

    /// Where to note what stands in the innermost item; nothing where nobody wants to know.
    fn index(&mut self) -> Option<&mut Index> {
        self.frames.last_mut()?.index.as_mut()
    }

    /// How much has been said about the innermost item.
    fn said(&self) -> usize {
        self.frames.last().map_or(0, |frame| frame.diagnostics.len())
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        match self.frames.last_mut() {
            Some(frame) => frame.diagnostics.push(diagnostic),
            None => self.diagnostics.push(diagnostic),
        }
    }

    fn state(&self, id: ItemId) -> Option<&State> {
        self.states.get(id.module.0 as usize)?.get(id.item as usize)
    }

    fn set(&mut self, id: ItemId, to: State) {
        if let Some(state) = self.states.get_mut(id.module.0 as usize).and_then(|m| m.get_mut(id.item as usize)) {
            *state = to;
        }
    }

    fn report_cycle(&mut self, id: ItemId) {
        self.untold_all();
        let from = self.waiting.iter().position(|waiting| *waiting == id).unwrap_or(0);
        let place = |id: &ItemId| (self.name_of(*id).to_string(), self.place_of(*id));
        let kinds = self.waiting.iter().skip(from).filter_map(|id| self.syntax(*id).map(|item| &item.kind));
        let of = kinds.map(cycle_of).reduce(|a, b| if a == b { a } else { say::CycleOf::Values });
        let others: Vec<_> = self.waiting.iter().skip(from).filter(|other| **other != id).map(place).collect();
        let of = of.unwrap_or(say::CycleOf::Values);
        let diagnostic = say::cycle(of, self.place_of(id), &self.name_of(id), &others);
        self.report(diagnostic);
    }

    fn syntax(&self, id: ItemId) -> Option<&Arc<crate::ast::Item>> {
        self.modules.all.get(id.module.0 as usize)?.tree.items.get(id.item as usize)
    }

    /// The name of an item, as messages give it.
    fn name(&mut self, id: ItemId) -> Arc<str> {
        let name = self.name_of(id);
        self.note_name(id, &name, self.place_of(id));
        name
    }

    fn name_place(&mut self, id: ItemId) -> Location {
        let at = self.place_of(id);
        let name = self.name_of(id);
        self.note_name(id, &name, at);
        at
    }

    fn name_of(&self, id: ItemId) -> Arc<str> {
        let name = self.syntax(id).and_then(|item| item_name(&item.kind));
        name.map_or_else(|| Arc::from("import"), |name| name.text.clone())
    }

    fn place_of(&self, id: ItemId) -> Location {
        let span = self.syntax(id).map(|item| item_name(&item.kind).map_or(item.span, |name| name.span));
        modules::at(id.module, id.item, span.unwrap_or_default())
    }

    /// How a part of an item is written.
    fn written(&self, id: ItemId, span: Span) -> &str {
        let place = modules::at(id.module, id.item, span);
        let source = self.modules.sources.modules().get(id.module.0 as usize);
        source.and_then(|source| source.slice(&place)).unwrap_or_default()
    }
}

/// What a cycle through an item is a cycle of.
fn cycle_of(kind: &ItemKind) -> say::CycleOf {
    match kind {
        ItemKind::Fn { .. } => say::CycleOf::Functions,
        ItemKind::Record { .. } | ItemKind::Enum { .. } => say::CycleOf::Types,
        ItemKind::Image { .. } => say::CycleOf::Images,
        ItemKind::Recipe { .. } => say::CycleOf::Recipes,
        ItemKind::Edition { .. }
        | ItemKind::Import(_)
        | ItemKind::Param(_)
        | ItemKind::Secret { .. }
        | ItemKind::Let(_)
        | ItemKind::Test { .. }
        | ItemKind::Output(_)
        | ItemKind::Extern(_)
        | ItemKind::Error => say::CycleOf::Values,
    }
}

/// What is asked of an expression, and where that comes from.
#[derive(Clone, Copy)]
struct Want<'w> {
    ty: &'w Type,
    why: Option<(Location, &'w str)>,
}

impl<'w> Want<'w> {
    fn with<'n>(self, ty: &'n Type) -> Want<'n>
    where
        'w: 'n,
    {
        Want { ty, why: self.why }
    }
}

/// A checked expression with its type, as exact as it is known.
#[derive(Debug, Clone)]
struct Typed {
    core: Expr,
    ty: Type,
}

/// A name that a body binds.
#[derive(Debug, Clone)]
struct Local {
    name: Arc<str>,
    ty: Type,
    at: Location,
}

/// What a name refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    Local(u32),
    Item(ItemId),
    /// `platform`
    Platform,
}

/// A name, or fields of one: its type can be narrowed, since no value ever changes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    root: Root,
    fields: Vec<Arc<str>>,
}

/// One item while it is checked.
struct Body<'c, 'a> {
    checker: &'c mut Checker<'a>,
    module: ModuleId,
    item: u32,
    /// The slot of a local is its position.
    locals: Vec<Local>,
    /// Narrowed types, the latest last.
    facts: Vec<(Key, Type)>,
    /// The platforms that the body may run on; none outside bodies.
    platforms: Option<Vec<Pattern>>,
    depth: u32,
    /// Where the innermost thing ends that locals are visible in.
    end: u32,
}

impl<'c, 'a> Body<'c, 'a> {
    fn new(checker: &'c mut Checker<'a>, id: ItemId) -> Self {
        Self {
            checker,
            module: id.module,
            item: id.item,
            locals: Vec::new(),
            facts: Vec::new(),
            platforms: None,
            depth: 0,
            end: u32::MAX,
        }
    }

    fn at(&self, span: Span) -> Location {
        modules::at(self.module, self.item, span)
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.checker.report(diagnostic);
    }

    /// Something that is wrong and has been reported.
    fn poison(&self, span: Span) -> Typed {
        Typed { core: Expr { kind: Kind::Error, at: self.at(span) }, ty: Type::Error }
    }

    fn typed(&self, kind: Kind, span: Span, ty: Type) -> Typed {
        Typed { core: Expr { kind, at: self.at(span) }, ty }
    }

    fn is_std(&self) -> bool {
        self.checker.modules.all.get(self.module.0 as usize).is_some_and(|module| module.is_std)
    }

    /// Binds a name that hides nothing, and gives its slot.
    fn bind(&mut self, name: &crate::ast::Name, ty: Type) -> u32 {
        let at = self.at(name.span);
        let first = self.locals.iter().find(|local| local.name == name.text && !name.text.is_empty()).map(|l| l.at);
        let own = self.checker.names.place(self.module, &name.text);
        if let Some(first) = first.or(own) {
            self.report(say::shadowing(at, &name.text, Some(first)));
        } else if !self.is_std() && matches!(&*name.text, "platform" | "linux" | "windows" | "macos" | "freebsd") {
            self.report(say::unbindable(at, &name.text));
        } else if !self.is_std() && self.checker.names.is_prelude(&name.text) {
            self.report(say::shadowing(at, &name.text, None));
        }
        self.push(name.text.clone(), ty, at)
    }

    /// Binds without a look at other names: the names of fields and of params in their own predicates.
    fn push(&mut self, name: Arc<str>, ty: Type, at: Location) -> u32 {
        let end = self.end.max(at.span.end);
        if let Some(index) = self.checker.index() {
            let visible = Span { start: at.span.end, end };
            index.locals.push(LocalUse { name: name.clone(), ty: ty.clone(), at: at.span, visible });
            index.uses.push((at.span, Target::Local(at.span)));
        }
        self.locals.push(Local { name, ty, at });
        u32::try_from(self.locals.len() - 1).unwrap_or(u32::MAX)
    }

    /// Runs a check whose bindings are seen up to the end of a span.
    fn within<T>(&mut self, span: Span, check: impl FnOnce(&mut Self) -> T) -> T {
        let end = std::mem::replace(&mut self.end, span.end);
        let result = self.scoped(check);
        self.end = end;
        result
    }

    /// Runs a check whose bindings and facts end with it.
    fn scoped<T>(&mut self, check: impl FnOnce(&mut Self) -> T) -> T {
        let (locals, facts) = (self.locals.len(), self.facts.len());
        let platforms = self.platforms.clone();
        let result = check(self);
        self.locals.truncate(locals);
        self.facts.truncate(facts);
        self.platforms = platforms;
        result
    }
}

/// Names that were used once, and where.
type Used = BTreeMap<Arc<str>, Location>;
