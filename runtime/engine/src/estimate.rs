//! How long a run takes: the same list schedule that the run follows, played with the durations of earlier runs.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::num::NonZeroUsize;
use std::time::Duration;

use imgc_plan::{Address, NodeId, Plan};

use crate::facts::Facts;
use crate::remember::Remembered;
use crate::{Forecast, Standing};

/// What a node of a kind that never ran here is taken to last, where that must be a number.
const UNKNOWN: Duration = Duration::from_secs(1);

/// How long nodes take, by history.
pub(crate) struct Durations<'a> {
    remembered: &'a HashMap<Address, Remembered>,
    /// Of each kind, over all nodes that ran.
    means: BTreeMap<&'a str, Duration>,
}

impl<'a> Durations<'a> {
    pub(crate) fn new(plan: &'a Plan, remembered: &'a HashMap<Address, Remembered>) -> Self {
        let mut sums: BTreeMap<&str, (Duration, u32)> = BTreeMap::new();
        for node in &plan.nodes {
            let Some(cost) = remembered.get(&node.address).and_then(Remembered::cost) else { continue };
            let (sum, count) = sums.entry(&node.kind).or_default();
            (*sum, *count) = (*sum + cost, *count + 1);
        }
        let means = sums.into_iter().map(|(kind, (sum, count))| (kind, sum / count)).collect();
        Self { remembered, means }
    }

    /// Of a node: its own, else that of its kind; none where neither ever ran.
    pub(crate) fn of(&self, plan: &Plan, id: NodeId) -> Option<Duration> {
        let node = plan.node(id);
        let own = self.remembered.get(&node.address).and_then(Remembered::cost);
        own.or_else(|| self.means.get(node.kind.as_str()).copied())
    }
}

/// By open node: how long it and the longest way below it take.
pub(crate) fn ways(
    plan: &Plan,
    facts: &Facts,
    open: &[NodeId],
    durations: &Durations<'_>,
) -> HashMap<NodeId, Duration> {
    let mut ways: HashMap<NodeId, Duration> = HashMap::with_capacity(open.len());
    let mut below: HashMap<NodeId, Duration> = HashMap::new();
    for id in open.iter().rev() {
        let own = durations.of(plan, *id).unwrap_or(UNKNOWN);
        let way = own + below.get(id).copied().unwrap_or_default();
        ways.insert(*id, way);
        for parent in facts.parents(*id) {
            let longest = below.entry(*parent).or_default();
            *longest = way.max(*longest);
        }
    }
    ways
}

/// The nodes that will or may run, with what is known of their durations.
#[derive(Debug, Clone, Default)]
pub struct Estimate {
    jobs: usize,
    /// In dependency order.
    nodes: BTreeMap<NodeId, Expected>,
    /// Whether any duration is known.
    is_known: bool,
}

#[derive(Debug, Clone)]
struct Expected {
    takes: Duration,
    /// The longest way from its begin to the end.
    way: Duration,
    parents: Vec<NodeId>,
}

impl Estimate {
    /// For a run that does what the forecast says, with so many jobs.
    pub fn new(plan: &Plan, forecast: &Forecast, jobs: NonZeroUsize) -> Self {
        Self::with(forecast, jobs, |id| plan.parents(id))
    }

    /// The same, where the parents of nodes are known already.
    pub(crate) fn with(forecast: &Forecast, jobs: NonZeroUsize, parents_of: impl Fn(NodeId) -> Vec<NodeId>) -> Self {
        let settled = |standing: &Standing| matches!(standing, Standing::Cached | Standing::Unneeded);
        let open = forecast.nodes.iter().filter(|node| !settled(&node.standing));
        let mut nodes: BTreeMap<NodeId, Expected> = BTreeMap::new();
        let mut is_known = false;
        for node in open {
            is_known |= node.expected.is_some();
            let takes = node.expected.unwrap_or_default();
            let mut parents = parents_of(node.node);
            parents.retain(|parent| nodes.contains_key(parent));
            parents.sort_unstable();
            parents.dedup();
            nodes.insert(node.node, Expected { takes, way: takes, parents });
        }
        let ids: Vec<NodeId> = nodes.keys().rev().copied().collect();
        for id in ids {
            let Some((way, parents)) = nodes.get(&id).map(|node| (node.way, node.parents.clone())) else { continue };
            for parent in parents {
                if let Some(parent) = nodes.get_mut(&parent) {
                    parent.way = parent.way.max(parent.takes + way);
                }
            }
        }
        Self { jobs: jobs.get(), nodes, is_known }
    }

    /// How long the whole run takes; none where nothing like it ever ran.
    pub fn total(&self) -> Option<Duration> {
        self.left(&BTreeSet::new(), &BTreeMap::new())
    }

    /// How many nodes will or may run.
    pub fn count(&self) -> u64 {
        self.nodes.len() as u64
    }

    /// How many of these are among them.
    pub fn count_of(&self, done: &BTreeSet<NodeId>) -> u64 {
        done.iter().filter(|node| self.nodes.contains_key(node)).count() as u64
    }

    /// How long one node takes.
    pub fn of(&self, node: NodeId) -> Option<Duration> {
        self.nodes.get(&node).map(|expected| expected.takes).filter(|takes| !takes.is_zero())
    }

    /// How long the rest takes, when these nodes are done and these have been running for so long.
    pub fn left(&self, done: &BTreeSet<NodeId>, running: &BTreeMap<NodeId, Duration>) -> Option<Duration> {
        if !self.is_known {
            return None;
        }
        let mut missing: BTreeMap<NodeId, usize> = BTreeMap::new();
        let mut users: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
        let mut ready: BinaryHeap<(Duration, Reverse<NodeId>)> = BinaryHeap::new();
        let mut ends: BinaryHeap<(Reverse<Duration>, NodeId)> = BinaryHeap::new();
        for (id, node) in self.nodes.iter().filter(|(id, _)| !done.contains(id)) {
            if let Some(elapsed) = running.get(id) {
                ends.push((Reverse(node.takes.saturating_sub(*elapsed)), *id));
                continue;
            }
            let waits: Vec<NodeId> = node.parents.iter().filter(|parent| !done.contains(parent)).copied().collect();
            if waits.is_empty() {
                ready.push((node.way, Reverse(*id)));
            }
            missing.insert(*id, waits.len());
            for parent in waits {
                users.entry(parent).or_default().push(*id);
            }
        }
        let mut now = Duration::ZERO;
        loop {
            while ends.len() < self.jobs
                && let Some((_, Reverse(id))) = ready.pop()
            {
                let takes = self.nodes.get(&id).map(|node| node.takes).unwrap_or_default();
                ends.push((Reverse(now + takes), id));
            }
            let Some((Reverse(end), id)) = ends.pop() else { return Some(now) };
            now = end;
            for user in users.remove(&id).unwrap_or_default() {
                let Some(count) = missing.get_mut(&user) else { continue };
                *count -= 1;
                if *count == 0 {
                    let way = self.nodes.get(&user).map(|node| node.way).unwrap_or_default();
                    ready.push((way, Reverse(user)));
                }
            }
        }
    }
}
