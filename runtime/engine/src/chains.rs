//! Chains: linear runs of open nodes that share a machine, and which of their steps become layers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use imgc_backend::CommitCost;
use imgc_plan::{CachePolicy, Fingerprint, NodeId, Plan, node::Work};

use crate::executor::Worth;
use crate::resources::Need;
use crate::shared::Shared;
use crate::survey::Found;
use crate::{Chain, Commit, Selection};

/// What committing is taken to cost where it was never measured.
const CHEAP: Duration = Duration::from_secs(2);
const DEAR: Duration = Duration::from_secs(60);

/// The chains of a run, by number.
pub(crate) struct Chains(Vec<ChainState>);

/// One of them.
pub(crate) struct ChainState {
    /// Its nodes in order; never empty.
    pub(crate) nodes: Vec<NodeId>,
    /// The address of the image, of the test, or of the artifact.
    pub(crate) image: String,
    /// The open machine, unless a task has it.
    pub(crate) machine: Option<Box<dyn Chain>>,
    /// What the open machine takes; nothing where none is open.
    pub(crate) holds: Need,
    /// How long its steps took since its last layer.
    pub(crate) since: Duration,
    /// The step that it stands after without a layer.
    pub(crate) after: Option<(NodeId, Fingerprint)>,
}

impl Chains {
    /// The open nodes as chains, and the number of each one's chain. A step goes on in the chain of the step before it
    /// where it waits for nothing else: a machine must not be held open for what may need one itself. With it, by node,
    /// the number of its chain and its place there.
    pub(crate) fn new(shared: &Shared, open: &[NodeId]) -> (Self, HashMap<NodeId, (usize, usize)>) {
        let plan = &shared.plan;
        let groups = groups(plan);
        let mut chains: Vec<ChainState> = Vec::new();
        let mut places: HashMap<NodeId, (usize, usize)> = HashMap::new();
        let is_open: HashSet<NodeId> = open.iter().copied().collect();
        for id in open {
            let group = groups.get(id).copied();
            let before = match &plan.node(*id).work {
                Work::Step(step) if group.is_some() && groups.get(&step.on).copied() == group => {
                    let waits = |parent: &&NodeId| **parent != step.on && is_open.contains(parent);
                    let number = places.get(&step.on).map(|(number, _)| *number);
                    let is_end =
                        |number: &usize| chains.get(*number).is_some_and(|chain| chain.nodes.last() == Some(&step.on));
                    let parents = shared.survey.facts.parents(*id);
                    number.filter(is_end).filter(|_| parents.iter().find(waits).is_none())
                }
                Work::Step(_) | Work::Source(_) | Work::Artifact(_) => None,
            };
            let number = before.unwrap_or(chains.len());
            let place = chains.get(number).map_or(0, |chain| chain.nodes.len());
            match chains.get_mut(number) {
                Some(chain) => chain.nodes.push(*id),
                None => chains.push(ChainState {
                    nodes: vec![*id],
                    image: group.unwrap_or(&plan.node(*id).address.0).to_owned(),
                    machine: None,
                    holds: Need::default(),
                    since: Duration::ZERO,
                    after: None,
                }),
            }
            places.insert(*id, (number, place));
        }
        (Self(chains), places)
    }

    pub(crate) fn get(&self, number: usize) -> Option<&ChainState> {
        self.0.get(number)
    }

    pub(crate) fn get_mut(&mut self, number: usize) -> Option<&mut ChainState> {
        self.0.get_mut(number)
    }

    /// The numbers of the chains whose machine waits for its next step.
    pub(crate) fn waiting(&self) -> Vec<usize> {
        let waits = |(number, chain): (usize, &ChainState)| chain.machine.is_some().then_some(number);
        self.0.iter().enumerate().filter_map(waits).collect()
    }

    /// The nodes that chains begin with.
    pub(crate) fn heads(&self) -> impl Iterator<Item = NodeId> {
        self.0.iter().filter_map(|chain| chain.nodes.first().copied())
    }
}

/// By node: the address of the image or test that it belongs to.
fn groups(plan: &Plan) -> HashMap<NodeId, &str> {
    let mut groups: HashMap<NodeId, &str> = HashMap::new();
    for image in &plan.images {
        groups.extend(image.nodes.iter().map(|id| (*id, image.address.0.as_str())));
    }
    for test in &plan.tests {
        groups.extend(test.nodes.iter().map(|id| (*id, test.address.0.as_str())));
    }
    groups
}

/// Decides which steps become layers.
pub(crate) struct Commits {
    /// Nodes that others than the next step of their chain are built from, or that were asked for.
    used: HashSet<NodeId>,
    /// Nodes of which another open one is an equal: it begins on the layer if there is one, else it does the same again.
    twins: HashSet<NodeId>,
    /// By backend: how long its commits took.
    cost: BTreeMap<String, Duration>,
}

impl Commits {
    pub(crate) fn new(shared: &Shared, selection: &Selection, chains: &Chains, open: &[NodeId]) -> Self {
        let mut used: HashSet<NodeId> = selection.targets.iter().map(|target| target.node).collect();
        let mut next: HashMap<NodeId, NodeId> = HashMap::new();
        for chain in &chains.0 {
            next.extend(chain.nodes.windows(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?))));
            used.extend(chain.nodes.last());
        }
        for id in open {
            let others = shared.survey.facts.parents(*id).iter().filter(|parent| next.get(parent) != Some(id));
            used.extend(others);
        }
        let mut measured: BTreeMap<String, (Duration, u32)> = BTreeMap::new();
        for node in &shared.plan.nodes {
            let history = shared.survey.remembered(&node.address).map(|remembered| remembered.history);
            let Some(commit) = history.and_then(|history| history.commit_ms) else { continue };
            let (sum, count) = measured.entry(node.backend.to_string()).or_default();
            (*sum, *count) = (*sum + Duration::from_millis(commit), *count + 1);
        }
        let cost = measured.into_iter().map(|(backend, (sum, count))| (backend, sum / count)).collect();
        Self { used, twins: twins(shared), cost }
    }

    /// Whether what a node leaves becomes a layer; `next` is the step after it in its chain.
    pub(crate) fn of(&self, shared: &Shared, id: NodeId, chain: &ChainState, next: Option<NodeId>) -> Commit {
        let node = shared.plan.node(id);
        if shared.survey.facts.is_probe(id) {
            return if next.is_none() { Commit::Always } else { Commit::Never };
        }
        let class = shared.engine.backends.get(node.backend.as_str()).map(|backend| backend.offers().commit);
        let prior = match class {
            None | Some(CommitCost::Free) => return Commit::Always,
            Some(CommitCost::Cheap) => CHEAP,
            Some(CommitCost::Dear) => DEAR,
        };
        // A state that is content is only known from a layer; a machine that is closed after so many steps must stand
        // on one.
        if !shared.survey.facts.is_made(id) || shared.max_chain.is_some() || self.used.contains(&id) {
            return Commit::Always;
        }
        // What ends must be known with its age: without an entry of its own it would never be made again.
        if matches!(CachePolicy::of(node), CachePolicy::Ttl(_)) {
            return Commit::Always;
        }
        let cost = self.cost.get(node.backend.as_str()).copied().unwrap_or(prior);
        let is_known = |next: NodeId| shared.history(next).cost_ms.is_some();
        let chance = match next {
            _ if self.twins.contains(&id) => 1.0,
            Some(next) if is_known(next) => shared.history(id).chance(),
            // A step that never ran may well fail.
            Some(_) | None => 0.5,
        };
        Commit::If(Worth { cost, chance, since: chain.since })
    }
}

/// Open nodes with one fingerprint, as far as these are known before anything runs.
fn twins(shared: &Shared) -> HashSet<NodeId> {
    let mut equal: HashMap<Fingerprint, Vec<NodeId>> = HashMap::new();
    for (id, found) in shared.survey.open() {
        if let Found::Miss { fingerprint, .. } = found {
            equal.entry(*fingerprint).or_default().push(id);
        }
    }
    equal.into_values().filter(|nodes| nodes.len() > 1).flatten().collect()
}
