//! The schedule: which unit runs when. One loop owns all of its state; units run beside it and report back.
//!
//! A *unit* is an artifact, or a linear run of one image's source and steps. It is ready when all that it needs from
//! other units is there.

use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use imgc_plan::{Address, Fingerprint, NodeId, Plan, node::Work};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use crate::remember::{Memory, Remembered};
use crate::result::NodeResult;
use crate::survey::{Found, Survey};
use crate::unit::{self, Report, Shared, Unit, UnitEnd};
use crate::{ApplyError, EngineError, Failure, NodeOutcome, Outcome, Selection};

/// What a node without history is taken to last.
const UNKNOWN: Duration = Duration::from_secs(1);

/// The state of a run.
pub(crate) struct Schedule {
    shared: Arc<Shared>,
    units: Vec<Unit>,
    /// By unit: how many nodes of other units it still needs.
    needs: Vec<usize>,
    /// By node: the units that need it.
    users: HashMap<NodeId, Vec<usize>>,
    /// Units that can start: the one with the longest way to go first, then the first in the plan.
    ready: BinaryHeap<(Duration, std::cmp::Reverse<usize>)>,
    ended: Ended,
}

/// What a run came to.
pub(crate) struct Ended {
    pub(crate) results: BTreeMap<NodeId, Arc<NodeResult>>,
    pub(crate) done: BTreeMap<NodeId, (Fingerprint, Outcome)>,
    pub(crate) failures: Vec<Failure>,
    pub(crate) findings: Vec<String>,
    /// What is to be kept of the nodes that were not found by the survey.
    pub(crate) memories: Vec<(Address, Memory)>,
}

impl Ended {
    /// What was done, in dependency order.
    pub(crate) fn outcomes(&self, plan: &Plan) -> Vec<NodeOutcome> {
        let outcome = |(node, (fingerprint, outcome)): (&NodeId, &(Fingerprint, Outcome))| NodeOutcome {
            node: *node,
            address: plan.node(*node).address.clone(),
            fingerprint: *fingerprint,
            outcome: *outcome,
        };
        self.done.iter().map(outcome).collect()
    }

    /// An error unless everything that was selected is done.
    pub(crate) fn check(&mut self, selection: &Selection) -> Result<(), ApplyError> {
        if !self.failures.is_empty() {
            return Err(ApplyError::Failed(std::mem::take(&mut self.failures)));
        }
        let left = selection.nodes.len() - self.done.len();
        if left > 0 { Err(ApplyError::Interrupted { left }) } else { Ok(()) }
    }
}

impl Schedule {
    /// The units of all nodes that the survey did not find.
    pub(crate) fn new(shared: Arc<Shared>, survey: &Survey) -> Self {
        let mut results = BTreeMap::new();
        let mut done = BTreeMap::new();
        let mut open = Vec::new();
        for (id, found) in survey.nodes() {
            match found {
                Found::Hit { fingerprint, result } => {
                    results.insert(id, result.clone());
                    done.insert(id, (*fingerprint, Outcome::Cached));
                }
                Found::Miss { .. } | Found::Open { .. } => open.push(id),
            }
        }
        let ways = ways(&shared.plan, survey, &open);
        let units = units(&shared.plan, &open);
        let ended = Ended { results, done, failures: Vec::new(), findings: Vec::new(), memories: Vec::new() };
        let mut schedule =
            Self { shared, needs: Vec::new(), users: HashMap::new(), ready: BinaryHeap::new(), units, ended };
        schedule.connect(&ways);
        schedule
    }

    /// Counts what each unit needs, and fills `ready` with those that need nothing.
    fn connect(&mut self, ways: &HashMap<NodeId, Duration>) {
        for (index, unit) in self.units.iter_mut().enumerate() {
            let Some(head) = unit.nodes.first() else { continue };
            unit.way = ways.get(head).copied().unwrap_or_default();
            let mut missing = self.shared.plan.parents(*head);
            missing.sort_unstable();
            missing.dedup();
            missing.retain(|parent| !self.ended.results.contains_key(parent));
            self.needs.push(missing.len());
            if missing.is_empty() {
                self.ready.push((unit.way, std::cmp::Reverse(index)));
            }
            for parent in missing {
                self.users.entry(parent).or_default().push(index);
            }
        }
    }

    /// Runs all units, at most `jobs` at once. Returns when nothing runs any more.
    pub(crate) async fn run(mut self, jobs: NonZeroUsize, keep_going: bool) -> Result<Ended, EngineError> {
        let (report, mut reports) = mpsc::unbounded_channel();
        let mut running = JoinSet::new();
        loop {
            while running.len() < jobs.get()
                && !self.shared.stopping()
                && let Some((_, std::cmp::Reverse(index))) = self.ready.pop()
            {
                self.start(index, &report, &mut running);
            }
            if running.is_empty() {
                break;
            }
            tokio::select! {
                Some(report) = reports.recv() => self.take(report),
                Some(end) = running.join_next() => {
                    // A unit sends its reports before it ends.
                    while let Ok(report) = reports.try_recv() {
                        self.take(report);
                    }
                    self.end(end, keep_going);
                }
            }
        }
        Ok(self.ended)
    }

    fn start(&mut self, index: usize, report: &mpsc::UnboundedSender<Report>, running: &mut JoinSet<UnitEnd>) {
        let Some(unit) = self.units.get(index).cloned() else { return };
        let parents = unit.nodes.first().map(|head| self.shared.plan.parents(*head)).unwrap_or_default();
        let result = |parent: NodeId| self.ended.results.get(&parent).map(|result| (parent, result.clone()));
        let inputs = parents.into_iter().filter_map(result).collect();
        running.spawn(unit::run(self.shared.clone(), unit, inputs, report.clone()));
    }

    fn take(&mut self, report: Report) {
        let Report { node, fingerprint, result, outcome, finding, memory } = report;
        self.ended.memories.push((self.shared.plan.node(node).address.clone(), memory));
        self.ended.results.insert(node, result);
        self.ended.done.insert(node, (fingerprint, outcome));
        self.ended.findings.extend(finding);
        for index in self.users.remove(&node).unwrap_or_default() {
            let Some(needs) = self.needs.get_mut(index) else { continue };
            *needs -= 1;
            if *needs == 0
                && let Some(unit) = self.units.get(index)
            {
                self.ready.push((unit.way, std::cmp::Reverse(index)));
            }
        }
    }

    fn end(&mut self, end: Result<UnitEnd, JoinError>, keep_going: bool) {
        let failure = match end {
            Ok(UnitEnd::Done | UnitEnd::Stopped) => return,
            Ok(UnitEnd::Failed(failure)) => *failure,
            Err(error) => Shared::crashed(&error),
        };
        self.ended.failures.push(failure);
        if !keep_going {
            self.shared.stop.cancel();
        }
    }
}

/// The open nodes as units: a step goes on in the unit of the step before it where it needs nothing else.
fn units(plan: &Plan, open: &[NodeId]) -> Vec<Unit> {
    let mut image_of: HashMap<NodeId, &str> = HashMap::new();
    for image in &plan.images {
        image_of.extend(image.nodes.iter().map(|id| (*id, image.address.0.as_str())));
    }
    let mut units: Vec<Unit> = Vec::new();
    // The unit that ends with a node.
    let mut tails: HashMap<NodeId, usize> = HashMap::new();
    for id in open {
        let image = image_of.get(id).copied();
        let before = match &plan.node(*id).work {
            Work::Step(step) if image.is_some() && image_of.get(&step.on).copied() == image => {
                if plan.parents(*id).len() == 1 { tails.remove(&step.on) } else { None }
            }
            Work::Step(_) | Work::Source(_) | Work::Artifact(_) => None,
        };
        let index = before.unwrap_or(units.len());
        match units.get_mut(index) {
            Some(unit) => unit.nodes.push(*id),
            None => units.push(Unit {
                nodes: vec![*id],
                image: image.unwrap_or(&plan.node(*id).address.0).to_owned(),
                way: Duration::ZERO,
            }),
        }
        tails.insert(*id, index);
    }
    units
}

/// By open node: how long it and the longest way below it take, by history.
fn ways(plan: &Plan, survey: &Survey, open: &[NodeId]) -> HashMap<NodeId, Duration> {
    let mut ways: HashMap<NodeId, Duration> = HashMap::new();
    let mut below: HashMap<NodeId, Duration> = HashMap::new();
    for id in open.iter().rev() {
        let own = survey.remembered(&plan.node(*id).address).and_then(Remembered::cost).unwrap_or(UNKNOWN);
        let way = own + below.get(id).copied().unwrap_or_default();
        ways.insert(*id, way);
        for parent in plan.parents(*id) {
            let longest = below.entry(parent).or_default();
            *longest = way.max(*longest);
        }
    }
    ways
}
