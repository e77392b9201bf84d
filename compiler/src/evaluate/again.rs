//! What evaluations of a program that is edited leave for each other: what was looked at and found right is not looked at
//! again while nothing that it depends on has changed.
//!
//! Only checks remember. What a check keeps of an item is its value, of a recipe in use that nothing is wrong with it, and
//! of both what they cost.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use imgc_plan::Platform;

use crate::core::{Item, Program, Statement};
use crate::span::ModuleId;
use crate::types::ItemId;

use super::body::Building;
use super::{Evaluator, Frame, InstanceId, Known, MAX_ELEMENTS, MAX_NODES, MAX_STEPS, MAX_TEXT, Stop, Value};

/// What is remembered of the evaluations of one root, by what was looked at and the version of all that it depends on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Remembered {
    modules: Turns<Imported, Arc<[Option<Came>]>>,
    uses: Turns<Use, Cost>,
}

/// A module as another imports it: its version, and what addresses in it begin with.
type Imported = (ModuleId, u64, String);

/// What an item came to.
type Came = (Known, Cost);

/// A recipe with what an image gives it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    recipe: ItemId,
    version: u64,
    args: Vec<Known>,
    platform: Option<Arc<Platform>>,
}

/// What something costs, and whether something in it has no value.
#[derive(Debug, Clone, Copy)]
struct Cost {
    steps: u64,
    elements: u64,
    text: u64,
    nodes: usize,
    fault: Option<Stop>,
}

/// What was asked for in the last evaluation and in this one; older things are forgotten.
#[derive(Debug, Clone)]
struct Turns<K, V> {
    before: BTreeMap<K, V>,
    now: BTreeMap<K, V>,
}

impl<K, V> Default for Turns<K, V> {
    fn default() -> Self {
        Self { before: BTreeMap::new(), now: BTreeMap::new() }
    }
}

impl<K: Ord, V: Clone> Turns<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        self.now.get(key).or_else(|| self.before.get(key)).cloned()
    }

    fn turn(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }
}

impl Remembered {
    /// Forgets what the evaluation that has ended did not ask for.
    pub(super) fn turn(&mut self) {
        self.modules.turn();
        self.uses.turn();
    }
}

/// What an evaluation goes on with.
pub(crate) struct Again<'m> {
    pub(crate) remembered: &'m mut Remembered,
    /// Of each module with all that it imports: another number where anything of that is another.
    pub(crate) versions: &'m HashMap<ModuleId, u64>,
}

/// Whether a module is imported with arguments: then defaults depend on who imports it first, and nothing is remembered.
pub(super) fn gives_arguments(program: &Program) -> bool {
    let mut items = program.modules.iter().flat_map(|module| &module.items);
    items.any(|item| matches!(&**item, Item::Import { args, .. } if !args.is_empty()))
}

/// Where an evaluation stands before something is looked at.
struct Mark {
    steps: u64,
    elements: u64,
    text: u64,
    nodes: usize,
    /// What was said, made and read.
    done: [usize; 5],
}

/// The items of a module while it is evaluated.
pub(super) struct Items {
    of: Imported,
    before: Option<Arc<[Option<Came>]>>,
    now: Vec<Option<Came>>,
}

impl<'a> Evaluator<'a> {
    /// What is known of the items of an instance; none where nothing can be.
    pub(super) fn items_before(&self, instance: InstanceId) -> Option<Items> {
        let (module, version) = self.lasting(instance).filter(|(module, _)| *module != self.applied)?;
        let instance = self.instances.get(instance.0)?;
        let of = (module, version, instance.prefix.clone());
        let before = self.again.as_ref()?.remembered.modules.get(&of);
        Some(Items { of, before, now: vec![None; instance.values.len()] })
    }

    /// Evaluates an item of an instance, unless that was done and nothing was wrong.
    pub(super) fn evaluate_item_again(
        &mut self,
        instance: InstanceId,
        (number, item, name): (u32, &'a Item, &Arc<str>),
        items: &mut Items,
    ) -> Known {
        let known = items.before.as_ref().and_then(|before| before.get(number as usize)?.clone());
        let came = if let Some((value, cost)) = known.filter(|(_, cost)| self.pay(*cost)) {
            (value, Some(cost))
        } else {
            let mark = self.mark();
            let value = self.evaluate_item(instance, number, item, name);
            let lasts = value != Err(Stop::Reported) && is_lasting(&value) && !matches!(item, Item::Import { .. });
            (value, self.cost(&mark, None).filter(|_| lasts))
        };
        let (value, cost) = came;
        if let (Some(cost), Some(place)) = (cost, items.now.get_mut(number as usize)) {
            *place = Some((value.clone(), cost));
        }
        value
    }

    /// Keeps what the items of a module came to.
    pub(super) fn remember(&mut self, items: Items) {
        if let Some(again) = &mut self.again {
            again.remembered.modules.now.insert(items.of, items.now.into());
        }
    }

    /// Runs the body of a recipe that an image uses, unless that was done and nothing was wrong.
    pub(super) fn run_again(
        &mut self,
        frame: &mut Frame,
        building: &mut Building,
        recipe: ItemId,
        body: &'a [Statement],
    ) -> Known<()> {
        // What a recipe in another costs is part of that.
        let version = self.lasting(frame.instance).filter(|_| frame.calls == 1).map(|(_, version)| version);
        let Some(version) = version.filter(|_| frame.slots.iter().all(is_lasting)) else {
            return self.statements(frame, building, body);
        };
        let key = Use { recipe, version, args: frame.slots.clone(), platform: frame.platform.clone() };
        let known = self.again.as_ref().and_then(|again| again.remembered.uses.get(&key));
        let mark = self.mark();
        let outer = building.fault.take();
        let cost = if let Some(cost) = known.filter(|cost| self.pay(*cost)) {
            building.fault = cost.fault;
            Some(cost)
        } else {
            let done = self.statements(frame, building, body);
            if done.is_err() {
                building.fault = outer.or(building.fault);
                return done;
            }
            self.cost(&mark, building.fault)
        };
        building.fault = outer.or(building.fault);
        if let (Some(cost), Some(again)) = (cost, &mut self.again) {
            again.remembered.uses.now.insert(key, cost);
        }
        Ok(())
    }

    /// The module of an instance, and its version, where what its items come to depends on nothing else: it has no
    /// arguments, and no condition that nobody knows stands around.
    fn lasting(&self, instance: InstanceId) -> Option<(ModuleId, u64)> {
        let again = self.again.as_ref()?;
        let instance = self.instances.get(instance.0)?;
        let is_plain = instance.args.is_empty() && self.guards == 0 && self.quiet == 0 && !self.is_stopped;
        let version = again.versions.get(&instance.module).filter(|_| is_plain)?;
        Some((instance.module, *version))
    }

    fn mark(&self) -> Mark {
        Mark { steps: self.steps, elements: self.elements, text: self.text, nodes: self.nodes, done: self.done() }
    }

    fn done(&self) -> [usize; 5] {
        let result = &self.result;
        [result.diagnostics.len(), result.images.len(), result.artifacts.len(), self.instances.len(), self.reads]
    }

    /// What was spent since, if nothing else came of it.
    fn cost(&self, mark: &Mark, fault: Option<Stop>) -> Option<Cost> {
        let is_silent = mark.done == self.done() && !self.is_stopped && fault != Some(Stop::Reported);
        is_silent.then(|| Cost {
            steps: self.steps - mark.steps,
            elements: self.elements - mark.elements,
            text: self.text - mark.text,
            nodes: self.nodes - mark.nodes,
            fault,
        })
    }

    /// Counts what something is known to cost; not where that meets a limit, which has a place in it.
    fn pay(&mut self, cost: Cost) -> bool {
        let (steps, elements, text) = (self.steps + cost.steps, self.elements + cost.elements, self.text + cost.text);
        let nodes = self.nodes + cost.nodes;
        let fits = steps <= MAX_STEPS && elements <= MAX_ELEMENTS && text <= MAX_TEXT && nodes <= MAX_NODES;
        if fits {
            (self.steps, self.elements, self.text, self.nodes) = (steps, elements, text, nodes);
        }
        fits
    }
}

/// Whether a value means the same in the next evaluation: images and artifacts are numbered anew.
fn is_lasting(value: &Known) -> bool {
    let Ok(value) = value else { return true };
    let mut nodes = Vec::new();
    value.nodes(&mut nodes);
    nodes.is_empty() && !holds_source(value)
}

/// Whether a source is in a value.
fn holds_source(value: &Value) -> bool {
    match value {
        Value::Source(_) => true,
        Value::List(items) => items.iter().any(holds_source),
        Value::Set(items) => items.iter().any(holds_source),
        Value::Map(map) => map.values().any(holds_source),
        Value::Record(fields) => fields.values().any(holds_source),
        Value::Variant { payload, .. } => payload.values().any(holds_source),
        _ => false,
    }
}
