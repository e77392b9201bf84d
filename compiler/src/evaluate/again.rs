//! What evaluations of a program that is edited leave for each other: what was looked at and found right is not looked at
//! again while nothing that it depends on has changed.
//!
//! Only checks remember. What a check keeps of a recipe is that nothing is wrong with it, and what it costs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use imgc_plan::Platform;

use crate::core::{Item, Program, Statement};
use crate::span::ModuleId;
use crate::types::ItemId;

use super::body::Building;
use super::{Evaluator, Frame, InstanceId, Known, MAX_ELEMENTS, MAX_NODES, MAX_STEPS, MAX_TEXT, Stop, Value};

/// What is remembered of the evaluations of one root, by what was looked at and the version of all that it depends on.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    looks: Turns<(ItemId, u64)>,
    uses: Turns<Use>,
}

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
#[derive(Debug)]
struct Turns<K> {
    before: BTreeMap<K, Cost>,
    now: BTreeMap<K, Cost>,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self { before: BTreeMap::new(), now: BTreeMap::new() }
    }
}

impl<K: Ord> Turns<K> {
    fn get(&self, key: &K) -> Option<Cost> {
        self.now.get(key).or_else(|| self.before.get(key)).copied()
    }

    fn turn(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }
}

impl Remembered {
    /// Forgets what the evaluation that has ended did not ask for.
    pub(super) fn turn(&mut self) {
        self.looks.turn();
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

impl<'a> Evaluator<'a> {
    /// Looks at an item of an instance, unless that was done and nothing was wrong.
    pub(super) fn look_at_again(&mut self, instance: InstanceId, number: u32, item: &'a Item) {
        let Some((module, version)) = self.lasting(instance) else { return self.look_at(instance, item) };
        let key = (ItemId { module, item: number }, version);
        let known = self.again.as_ref().and_then(|again| again.remembered.looks.get(&key));
        let mark = self.mark();
        let paid = known.filter(|cost| self.pay(*cost));
        if paid.is_none() {
            self.look_at(instance, item);
        }
        let cost = paid.or_else(|| self.cost(&mark, None));
        if let (Some(cost), Some(again)) = (cost, &mut self.again) {
            again.remembered.looks.now.insert(key, cost);
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
