//! Runs the checked program: params get values, images their steps. Pure, without recursion of the program's own
//! functions, and counted: the same program stops at the same expression on every machine.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the checker has refused every other form, so all of them stop alike"
)]

mod again;
mod arguments;
mod body;
mod build;
mod calls;
mod expr;
mod given;
mod items;
mod members;
mod operators;
mod prefixes;
mod text;
mod value;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use imgc_plan::Platform;

pub(crate) use again::{Again, Remembered};
pub(crate) use build::{Built, Hole, Look, SecretData};
pub(crate) use value::{ArtifactId, Fields, ImageId, NodeRef, SourceValue, Value, escaped};

use crate::core::{Program, Ref};
use crate::diagnostic::{Diagnostic, evaluate as say};
use crate::modules::Modules;
use crate::sources::Source;
use crate::span::{Location, ModuleId};
use crate::types::ItemId;
use crate::world::World;

use prefixes::Prefixes;

const MAX_STEPS: u64 = 10_000_000;
const MAX_ELEMENTS: u64 = 1_000_000;
const MAX_NODES: usize = 100_000;
const MAX_TEXT: u64 = 16 << 20;
const MAX_CALLS: u32 = 64;

/// The same in words.
const INSIDE: &str = "64 functions and recipes inside each other";

/// What the values are wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Params of the applied module are unknown; whatever needs them is left out.
    Check,
    /// Everything is known.
    Plan,
}

/// Why there is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    /// Something is wrong and has been reported.
    Reported,
    /// It depends on a param, and this is only a check.
    Unknown,
}

type Known<T = Value> = Result<T, Stop>;

/// What went wrong among things that stand side by side: all of them are looked at, so that each fault is told.
#[derive(Default)]
struct Fault(Option<Stop>);

impl Fault {
    /// The value, if there is one.
    fn of<T>(&mut self, known: Known<T>) -> Option<T> {
        known.map_err(|stop| self.0 = if self.0 == Some(Stop::Reported) { self.0 } else { Some(stop) }).ok()
    }

    /// Whether all of them have values.
    fn end(self) -> Known<()> {
        self.0.map_or(Ok(()), Err)
    }
}

/// Defaults of the fields of a step kind.
type Defaults = Arc<Fields>;

/// A module with arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InstanceId(usize);

#[derive(Debug)]
struct Instance {
    module: ModuleId,
    /// `base::`, before the addresses of its images; empty for the applied module.
    prefix: String,
    /// Of params, by position of their item.
    args: BTreeMap<u32, Known>,
    /// Where it is imported; none for the applied module.
    site: Option<Location>,
    /// By position of the item; none before it was evaluated.
    values: Vec<Option<Known>>,
    imports: BTreeMap<u32, InstanceId>,
}

/// An image with its steps.
#[derive(Debug, Clone)]
pub(crate) struct ImageData {
    pub(crate) address: String,
    pub(crate) platform: Platform,
    pub(crate) base: Base,
    pub(crate) steps: Vec<StepData>,
    /// What its machine is; empty where its source has none.
    pub(crate) machine: Fields,
}

/// What an image begins with.
#[derive(Debug, Clone)]
pub(crate) enum Base {
    Source(Arc<SourceValue>),
    Image(ImageId),
}

/// A step with the values of its fields.
#[derive(Debug, Clone)]
pub(crate) struct StepData {
    pub(crate) kind: Arc<str>,
    pub(crate) revision: u32,
    pub(crate) address: String,
    pub(crate) label: Arc<str>,
    /// What the program says; each name once.
    pub(crate) given: Vec<(Arc<str>, Value)>,
    /// Of all fields that may be left out; shared by all steps of a kind.
    pub(crate) defaults: Arc<Fields>,
    pub(crate) at: Location,
}

impl StepData {
    /// The value of a field.
    pub(crate) fn arg(&self, name: &str) -> Option<&Value> {
        let given = self.given.iter().find(|(given, _)| **given == *name).map(|(_, value)| value);
        given.or_else(|| self.defaults.get(name))
    }
}

/// A test: its steps are an image that continues the one under test.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TestData {
    pub(crate) steps: ImageId,
    pub(crate) at: Location,
}

/// An artifact with its arguments.
#[derive(Debug, Clone)]
pub(crate) struct ArtifactData {
    pub(crate) of: ItemId,
    pub(crate) args: Fields,
    pub(crate) platform: Platform,
    pub(crate) at: Location,
}

/// A param of the applied module as it was given.
#[derive(Debug, Clone)]
pub(crate) struct GivenParam {
    pub(crate) value: Value,
    pub(crate) origin: String,
}

/// What evaluation found.
#[derive(Debug, Default)]
pub(crate) struct Evaluated {
    pub(crate) images: Vec<ImageData>,
    /// Of the applied module, in order of their evaluation.
    pub(crate) tests: Vec<TestData>,
    pub(crate) artifacts: Vec<ArtifactData>,
    /// Of the applied module, in source order.
    pub(crate) outputs: Vec<(Arc<str>, Value, Location)>,
    /// Of the applied module; names of artifacts that no output holds.
    pub(crate) lets: Vec<(Arc<str>, Value)>,
    pub(crate) params: BTreeMap<String, GivenParam>,
    /// By the name that the plan has them under.
    pub(crate) secrets: BTreeMap<Arc<str>, SecretData>,
    /// Files whose text was read, and directories whose files were listed, with what was left out.
    pub(crate) texts: BTreeSet<Arc<str>>,
    pub(crate) listings: BTreeSet<(Arc<str>, Vec<String>)>,
    /// Texts that arguments were given by; their ids follow those of the modules.
    pub(crate) given: Vec<Source>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

pub(crate) struct Evaluator<'a> {
    program: &'a Program,
    modules: &'a Modules,
    world: &'a dyn World,
    purpose: Purpose,
    applied: ModuleId,
    instances: Vec<Instance>,
    by_args: BTreeMap<(ModuleId, Vec<(u32, Value)>), InstanceId>,
    /// The instance whose defaults records and the standard library use.
    first: HashMap<ModuleId, InstanceId>,
    artifact_ids: BTreeMap<(ItemId, Fields), ArtifactId>,
    /// Sources whose attributes are asked for.
    source_ids: BTreeMap<(ItemId, Fields), ImageId>,
    step_defaults: HashMap<ItemId, Defaults>,
    nodes: usize,
    steps: u64,
    elements: u64,
    text: u64,
    /// After a limit was met nothing else is evaluated or reported.
    is_stopped: bool,
    /// How many conditions that nobody knows stand around what is looked at.
    guards: u32,
    /// How many of them stand in calls, where what is known of the arguments may exclude each other.
    quiet: u32,
    /// How often the world was asked.
    reads: usize,
    again: Option<Again<'a>>,
    /// What modules are to be called, where that is known already.
    prefixes: Prefixes,
    result: Evaluated,
}

/// Slots of one body, function or expression.
struct Frame {
    instance: InstanceId,
    /// Not known are params of what is only looked at.
    slots: Vec<Known>,
    platform: Option<Arc<Platform>>,
    calls: u32,
}

impl Frame {
    fn new(instance: InstanceId) -> Self {
        Self { instance, slots: Vec::new(), platform: None, calls: 0 }
    }

    fn get(&self, slot: u32) -> Known {
        self.slots.get(slot as usize).cloned().unwrap_or(Err(Stop::Reported))
    }

    fn set(&mut self, slot: u32, value: Value) {
        self.put(slot, Ok(value));
    }

    fn put(&mut self, slot: u32, value: Known) {
        let slot = slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, Err(Stop::Unknown));
        }
        if let Some(place) = self.slots.get_mut(slot) {
            *place = value;
        }
    }
}

/// Evaluates the applied module and what it needs of others.
pub(crate) fn evaluate(
    program: &Program,
    modules: &Modules,
    world: &dyn World,
    purpose: Purpose,
    applied: ModuleId,
) -> Evaluated {
    run(program, modules, world, (purpose, applied), None)
}

/// The same for a check, with what was remembered of the last one.
pub(crate) fn evaluate_again<'a>(
    program: &'a Program,
    modules: &'a Modules,
    world: &'a dyn World,
    applied: ModuleId,
    again: Again<'a>,
) -> Evaluated {
    run(program, modules, world, (Purpose::Check, applied), Some(again))
}

fn run<'a>(
    program: &'a Program,
    modules: &'a Modules,
    world: &'a dyn World,
    (purpose, applied): (Purpose, ModuleId),
    again: Option<Again<'a>>,
) -> Evaluated {
    let again = again.filter(|_| !again::gives_arguments(program));
    let (evaluator, id) = pass(program, modules, world, (purpose, applied), again, Prefixes::new());
    // Only a plan has addresses.
    let shorter = if purpose == Purpose::Plan { evaluator.shorter_names(id) } else { None };
    match shorter {
        Some(prefixes) => pass(program, modules, world, (purpose, applied), None, prefixes).0.result,
        None => evaluator.result,
    }
}

/// Evaluates the applied module and all that it imports.
fn pass<'a>(
    program: &'a Program,
    modules: &'a Modules,
    world: &'a dyn World,
    (purpose, applied): (Purpose, ModuleId),
    again: Option<Again<'a>>,
    prefixes: Prefixes,
) -> (Evaluator<'a>, InstanceId) {
    let mut evaluator = Evaluator {
        program,
        modules,
        world,
        purpose,
        applied,
        instances: Vec::new(),
        by_args: BTreeMap::new(),
        first: HashMap::new(),
        artifact_ids: BTreeMap::new(),
        source_ids: BTreeMap::new(),
        step_defaults: HashMap::new(),
        nodes: 0,
        steps: 0,
        elements: 0,
        text: 0,
        is_stopped: false,
        guards: 0,
        quiet: 0,
        reads: 0,
        again,
        prefixes,
        result: Evaluated::default(),
    };
    for id in modules.order.iter().filter(|id| modules.all.get(id.0 as usize).is_some_and(|m| m.is_std)) {
        evaluator.instantiate(*id, String::new(), BTreeMap::new(), None);
    }
    // What the standard library costs is no part of what a program may cost.
    (evaluator.steps, evaluator.elements, evaluator.text) = (0, 0, 0);
    if purpose == Purpose::Plan {
        evaluator.refuse_unknown_arguments();
    }
    let applied = evaluator.instantiate(applied, String::new(), BTreeMap::new(), None);
    evaluator.collect(applied);
    if let Some(again) = &mut evaluator.again {
        again.remembered.turn();
    }
    (evaluator, applied)
}

impl Evaluator<'_> {
    fn report(&mut self, diagnostic: Diagnostic) -> Stop {
        if self.quiet > 0 {
            return Stop::Unknown;
        }
        if !self.is_stopped {
            self.result.diagnostics.push(diagnostic);
        }
        Stop::Reported
    }

    /// Counts one step of evaluation.
    fn step(&mut self, at: Location) -> Known<()> {
        self.steps += 1;
        if self.steps > MAX_STEPS { Err(self.limit(at, "10 million evaluation steps", "reached here")) } else { Ok(()) }
    }

    fn count_elements(&mut self, count: usize, at: Location) -> Known<()> {
        self.elements += count as u64;
        if self.elements > MAX_ELEMENTS {
            Err(self.limit(at, "1 million list elements", "reached here"))
        } else {
            Ok(())
        }
    }

    fn count_text(&mut self, bytes: usize, at: Location) -> Known<()> {
        self.text += bytes as u64;
        if self.text > MAX_TEXT { Err(self.limit(at, "16 MiB of text", "reached here")) } else { Ok(()) }
    }

    fn count_node(&mut self, at: Location) -> Known<()> {
        self.nodes += 1;
        if self.nodes > MAX_NODES { Err(self.limit(at, "100,000 nodes", "reached here")) } else { Ok(()) }
    }

    fn limit(&mut self, at: Location, what: &str, here: &str) -> Stop {
        // A limit is met whatever the condition says.
        self.quiet = 0;
        let stop = self.report(say::limit(at, what, here));
        self.is_stopped = true;
        stop
    }

    /// Looks at something that runs only under a condition that nobody knows yet. What is wrong in any case is told.
    fn guarded<T>(&mut self, frame: &mut Frame, look: impl FnOnce(&mut Self, &mut Frame) -> T) -> T {
        let (guards, quiet) = (self.guards, self.quiet);
        self.guards += 1;
        self.quiet += u32::from(frame.calls > 0);
        let result = look(self, frame);
        (self.guards, self.quiet) = (guards, quiet);
        result
    }

    /// The instance in which an item is to be evaluated.
    fn instance_of(&self, current: InstanceId, of: Ref) -> Known<InstanceId> {
        let here = self.instances.get(current.0).ok_or(Stop::Reported)?;
        if here.module == of.id.module {
            return Ok(current);
        }
        let imported = of.via.and_then(|via| here.imports.get(&via)).copied();
        imported.or_else(|| self.first.get(&of.id.module).copied()).ok_or(Stop::Reported)
    }

    /// The text of a file; the plan depends on it.
    fn read(&mut self, path: &Arc<str>, at: Location) -> Known<Arc<str>> {
        self.reads += 1;
        let text = self.world.text(path).map_err(|error| self.report(say::unreadable(at, &error)))?;
        if text.contains('\0') {
            return Err(self.report(say::nul_in_file(at, path)));
        }
        self.count_text(text.len(), at)?;
        self.result.texts.insert(path.clone());
        Ok(text)
    }

    /// The value of an item, which was evaluated before.
    fn item(&self, current: InstanceId, of: Ref) -> Known {
        let instance = self.instance_of(current, of)?;
        let values = self.instances.get(instance.0).map(|instance| &instance.values);
        values.and_then(|values| values.get(of.id.item as usize)?.clone()).unwrap_or(Err(Stop::Reported))
    }

    /// The outputs and lets of the applied module.
    fn collect(&mut self, applied: InstanceId) {
        let Some(module) = self.program.modules.get(self.applied.0 as usize) else { return };
        let Some(instance) = self.instances.get(applied.0) else { return };
        for (number, item) in module.items.iter().enumerate() {
            let name = module.names.get(number).cloned().unwrap_or_default();
            let Some(Some(Ok(value))) = instance.values.get(number) else { continue };
            match &**item {
                crate::core::Item::Output { value: core, .. } => {
                    self.result.outputs.push((name, value.clone(), core.at));
                }
                crate::core::Item::Let { .. } => self.result.lets.push((name, value.clone())),
                _ => {}
            }
        }
    }
}
