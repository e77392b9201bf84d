//! What an item's check asked, and whether the answers are still the same: then what it said is taken again.
//!
//! An item depends on its own syntax, on the names of its module, and on what it asked of other items: of most of them
//! the signature alone, so that a change inside a body goes no further.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::ast::{self, Name};
use crate::core::Item;
use crate::diagnostic::Diagnostic;
use crate::modules::Module;
use crate::names::{self, NoExport, Scope};
use crate::span::{Location, ModuleId, Span};
use crate::types::ItemId;
use crate::world::{Found, WorldError};

use super::{Checker, Index, MAX_WAITING, State};

/// Something that was asked while an item was checked, with the answer.
#[derive(Debug)]
enum Ask {
    /// An item as its users see it.
    Signature(ItemId, Arc<Item>),
    /// All of an item: what its value is can be seen.
    Whole(ItemId, Arc<Item>),
    /// What an item is called and where.
    Name(ItemId, Arc<str>, Location),
    /// What a name of another module means.
    Export(ModuleId, Name, Location, Result<ItemId, NoExport>),
    /// What stands at a path.
    Path(String, Result<Found, WorldError>),
    /// How a part of the item is written.
    Text(Span, String),
}

/// What is asked, without the answer: each thing is noted once.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Question {
    Signature(ItemId),
    Whole(ItemId),
    Name(ItemId),
}

/// What an item asks while it is checked.
#[derive(Debug, Default)]
pub(super) struct Asks {
    all: Vec<Ask>,
    known: HashSet<Question>,
    /// Whether something was asked that is not noted: then the item is checked each time.
    untold: bool,
}

/// What is kept of a checked item.
#[derive(Debug)]
pub(super) struct Kept {
    syntax: Arc<ast::Item>,
    scope: Arc<Scope>,
    asks: Vec<Ask>,
    pub(super) item: Arc<Item>,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) index: Arc<Index>,
}

/// What is kept of a whole module, to be taken without a look at its items.
#[derive(Debug, Clone)]
struct Whole {
    /// One that no other check of a module had.
    number: u64,
    tree: Arc<ast::Module>,
    scope: Arc<Scope>,
    /// The modules that it imports, by position of the item, with the numbers that they had.
    imports: BTreeMap<u32, (ModuleId, u64)>,
    /// What was found at paths.
    paths: Vec<(String, Result<Found, WorldError>)>,
    items: Vec<Arc<Item>>,
    order: Vec<u32>,
    indexes: Vec<Arc<Index>>,
    diagnostics: Vec<Diagnostic>,
}

/// In which order the items of a module were checked that has this tree and these names.
#[derive(Debug, Clone)]
struct Order {
    tree: Arc<ast::Module>,
    scope: Arc<Scope>,
    items: Arc<[u32]>,
}

/// What is kept of one check for the next.
#[derive(Debug, Clone, Default)]
pub(crate) struct Past {
    /// By module and position.
    items: Vec<Vec<Option<Arc<Kept>>>>,
    /// By module.
    orders: Vec<Option<Order>>,
    /// By module.
    wholes: Vec<Option<Arc<Whole>>>,
    /// By module: the number of what it was found to be in this check.
    numbers: Vec<Option<u64>>,
    next: u64,
    /// What was found at paths since a module was kept.
    paths: Vec<(String, Result<Found, WorldError>)>,
}

impl Past {
    /// Forgets what is no longer there.
    pub(super) fn fit(&mut self, items: impl Iterator<Item = usize>) {
        let lengths: Vec<usize> = items.collect();
        self.items.resize_with(lengths.len(), Vec::new);
        self.orders.resize_with(lengths.len(), || None);
        self.wholes.resize_with(lengths.len(), || None);
        self.numbers = vec![None; lengths.len()];
        self.paths.clear();
        for (items, length) in self.items.iter_mut().zip(lengths) {
            items.resize_with(length, || None);
        }
    }

    /// What a module imports, with the numbers that they have; none where one has none.
    fn imports(&self, module: &Module) -> Option<BTreeMap<u32, (ModuleId, u64)>> {
        let numbered = module.imports.iter().map(|(item, id)| {
            let number = *self.numbers.get(id.0 as usize)?;
            Some((*item, (*id, number?)))
        });
        numbered.collect()
    }

    fn get(&self, id: ItemId) -> Option<&Arc<Kept>> {
        self.items.get(id.module.0 as usize)?.get(id.item as usize)?.as_ref()
    }
}

/// Whether two items are the same for those who use them but do not look into them.
fn same_signature(one: &Arc<Item>, other: &Arc<Item>) -> bool {
    if Arc::ptr_eq(one, other) {
        return true;
    }
    match (&**one, &**other) {
        (Item::Let { ty: a, .. }, Item::Let { ty: b, .. })
        | (Item::Output { ty: a, .. }, Item::Output { ty: b, .. })
        | (Item::Secret { ty: a, .. }, Item::Secret { ty: b, .. }) => a == b,
        (Item::Fn { params: a, result: r, .. }, Item::Fn { params: b, result: s, .. }) => a == b && r == s,
        (Item::Recipe { params: a, on: p, .. }, Item::Recipe { params: b, on: q, .. }) => a == b && p == q,
        (Item::Image(a), Item::Image(b)) => a.ty == b.ty,
        (Item::Test { .. }, Item::Test { .. }) | (Item::Import { .. }, Item::Import { .. }) => true,
        (a, b) => a == b,
    }
}

impl Checker<'_> {
    fn note(&mut self, question: Option<Question>, ask: impl FnOnce() -> Ask) {
        if let Some(asks) = self.frames.last_mut().and_then(|frame| frame.asks.as_mut())
            && question.is_none_or(|question| asks.known.insert(question))
        {
            asks.all.push(ask());
        }
    }

    /// Marks what is being checked as something that depends on more than is noted.
    pub(super) fn untold(&mut self) {
        if let Some(asks) = self.frames.last_mut().and_then(|frame| frame.asks.as_mut()) {
            asks.untold = true;
        }
    }

    /// Marks all that is being checked so: it is part of a cycle.
    pub(super) fn untold_all(&mut self) {
        for asks in self.frames.iter_mut().filter_map(|frame| frame.asks.as_mut()) {
            asks.untold = true;
        }
    }

    pub(super) fn note_signature(&mut self, id: ItemId, item: &Arc<Item>) {
        self.note(Some(Question::Signature(id)), || Ask::Signature(id, item.clone()));
    }

    pub(super) fn note_whole(&mut self, id: ItemId, item: &Arc<Item>) {
        self.note(Some(Question::Whole(id)), || Ask::Whole(id, item.clone()));
    }

    pub(super) fn note_name(&mut self, id: ItemId, name: &Arc<str>, at: Location) {
        self.note(Some(Question::Name(id)), || Ask::Name(id, name.clone(), at));
    }

    pub(super) fn note_text(&mut self, span: Span, text: &str) {
        self.note(None, || Ask::Text(span, text.to_owned()));
    }

    /// What a name of another module means.
    pub(super) fn exported(&mut self, module: ModuleId, name: &Name, at: Location) -> Result<ItemId, NoExport> {
        let found = names::exported(self.modules, module, name, at);
        self.note(None, || Ask::Export(module, name.clone(), at, found.clone()));
        found
    }

    /// What stands at a path.
    pub(super) fn find(&mut self, path: &str) -> Result<Found, WorldError> {
        let found = self.world.find(path);
        self.note(None, || Ask::Path(path.to_owned(), found.clone()));
        self.note_path(path, &found);
        found
    }

    fn note_path(&mut self, path: &str, found: &Result<Found, WorldError>) {
        if let Some(past) = &mut self.past {
            past.paths.push((path.to_owned(), found.clone()));
        }
    }

    /// Takes what is kept of a module, if it and all that it imports are as they were: then so is all that its items ask.
    /// Whether it is.
    pub(super) fn take_whole(&mut self, module: &Module) -> bool {
        let (names, world) = (self.names, self.world);
        let Some(past) = self.past.as_mut() else { return false };
        let position = module.id.0 as usize;
        let Some(whole) = past.wholes.get(position).cloned().flatten() else { return false };
        let is_same = Arc::ptr_eq(&whole.tree, &module.tree)
            && names.scope_of(module.id).is_some_and(|scope| Arc::ptr_eq(&whole.scope, scope))
            && past.imports(module).is_some_and(|imports| imports == whole.imports)
            && whole.paths.iter().all(|(path, before)| world.find(path) == *before);
        let (true, Some(number)) = (is_same, past.numbers.get_mut(position)) else { return false };
        *number = Some(whole.number);
        if let (Some(states), Some(order), Some(indexes)) =
            (self.states.get_mut(position), self.orders.get_mut(position), self.indexes.get_mut(position))
        {
            *states = whole.items.iter().cloned().map(State::Done).collect();
            whole.order.clone_into(order);
            whole.indexes.clone_into(indexes);
        }
        self.diagnostics.extend(whole.diagnostics.iter().cloned());
        true
    }

    /// Keeps a module whose items have all been checked, and what was said since there were so many diagnostics.
    pub(super) fn keep_whole(&mut self, module: &Module, said: usize) {
        let position = module.id.0 as usize;
        let (Some(scope), Some(past)) = (self.names.scope_of(module.id).cloned(), self.past.as_mut()) else { return };
        let done = |state: &State| if let State::Done(item) = state { Some(item.clone()) } else { None };
        let items: Option<Vec<_>> = self.states.get(position).and_then(|states| states.iter().map(done).collect());
        let (paths, imports) = (std::mem::take(&mut past.paths), past.imports(module));
        let (Some(items), Some(imports)) = (items, imports) else { return };
        past.next += 1;
        let whole = Whole {
            number: past.next,
            tree: module.tree.clone(),
            scope,
            imports,
            paths,
            items,
            order: self.orders.get(position).cloned().unwrap_or_default(),
            indexes: self.indexes.get(position).cloned().unwrap_or_default(),
            diagnostics: self.diagnostics.get(said..).unwrap_or_default().to_vec(),
        };
        if let (Some(place), Some(number)) = (past.wholes.get_mut(position), past.numbers.get_mut(position)) {
            *number = Some(whole.number);
            *place = Some(Arc::new(whole));
        }
    }

    /// What an item said the last time, if it would say the same now. What it asked is asked again in the same order,
    /// so that whatever has to be checked for that is checked as from scratch.
    pub(super) fn kept(&mut self, id: ItemId) -> Option<Arc<Kept>> {
        let kept = self.past.as_ref()?.get(id)?.clone();
        let syntax = self.syntax(id)?;
        let is_same = Arc::ptr_eq(&kept.syntax, syntax) || kept.syntax == *syntax;
        if !is_same || !Arc::ptr_eq(&kept.scope, self.names.scope_of(id.module)?) {
            return None;
        }
        kept.asks.iter().all(|ask| self.still(id, ask)).then_some(kept)
    }

    fn still(&mut self, id: ItemId, ask: &Ask) -> bool {
        match ask {
            Ask::Signature(of, before) => self.untroubled(*of).is_some_and(|now| same_signature(before, &now)),
            Ask::Whole(of, before) => {
                self.untroubled(*of).is_some_and(|now| Arc::ptr_eq(before, &now) || *before == now)
            }
            Ask::Name(of, name, at) => self.place_of(*of) == *at && self.name_of(*of) == *name,
            Ask::Export(module, name, at, before) => names::exported(self.modules, *module, name, *at) == *before,
            Ask::Path(path, before) => {
                let found = self.world.find(path);
                self.note_path(path, &found);
                found == *before
            }
            Ask::Text(span, before) => self.written(id, *span) == before,
        }
    }

    /// An item that is asked again; none where that would be a cycle: then the item that asks is checked, and says so.
    fn untroubled(&mut self, id: ItemId) -> Option<Arc<Item>> {
        match self.state(id)? {
            State::Done(item) => Some(item.clone()),
            State::Open => None,
            State::Untouched if self.waiting.len() >= MAX_WAITING => None,
            State::Untouched => Some(self.checked(id)),
        }
    }

    /// Keeps what a check said. Where the item came out as before it stays the same, so that its users see that fast.
    pub(super) fn keep(
        &mut self,
        id: ItemId,
        item: Item,
        said: (Vec<Diagnostic>, Arc<Index>),
        asks: Asks,
    ) -> Arc<Item> {
        let names = self.names;
        let (Some(syntax), Some(scope)) = (self.syntax(id).cloned(), names.scope_of(id.module).cloned()) else {
            return Arc::new(item);
        };
        let Some(past) = self.past.as_mut() else { return Arc::new(item) };
        let before = past.get(id).filter(|before| *before.item == item).map(|before| before.item.clone());
        let item = before.unwrap_or_else(|| Arc::new(item));
        let place = past.items.get_mut(id.module.0 as usize).and_then(|items| items.get_mut(id.item as usize));
        if let Some(place) = place {
            let (diagnostics, index) = said;
            let kept = Kept { syntax, scope, asks: asks.all, item: item.clone(), diagnostics, index };
            *place = (!asks.untold).then(|| Arc::new(kept));
        }
        item
    }

    /// In which order to check the items of a module.
    pub(super) fn order_of(&mut self, module: &crate::modules::Module) -> Arc<[u32]> {
        let find = || Arc::from(super::order::dependencies_first(module, self.modules, self.names));
        let (Some(past), Some(scope)) = (self.past.as_mut(), self.names.scope_of(module.id)) else { return find() };
        let Some(place) = past.orders.get_mut(module.id.0 as usize) else { return find() };
        if let Some(known) = place
            && Arc::ptr_eq(&known.tree, &module.tree)
            && Arc::ptr_eq(&known.scope, scope)
        {
            return known.items.clone();
        }
        let order: Arc<[u32]> = find();
        *place = Some(Order { tree: module.tree.clone(), scope: scope.clone(), items: order.clone() });
        order
    }
}
