//! What an apply would do, and why: computed from a plan and a store, without running anything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use imgc_backend::Cx;
use imgc_plan::{Address, NodeId, Plan, spec};

use crate::explain::{Cause, Renames, cause};
use crate::refuse;
use crate::remember::Remembered;
use crate::result::parent_states;
use crate::survey::{self, Forced, Found, Survey, Why};
use crate::{Engine, EngineError, Options, Refused, Selection};

/// What an apply would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// The selected nodes, in dependency order.
    pub nodes: Vec<NodeForecast>,
    /// Nodes that cannot be built here; an apply would refuse before it starts anything.
    pub refused: Vec<Refused>,
    /// How many will run for certain.
    pub to_run: usize,
    /// How many are cached.
    pub cached: usize,
    /// How many may run or be found, depending on what those before them leave.
    pub pending: usize,
    /// The longest path through all that will or may run, as far as durations are known; none where none is.
    pub estimate: Option<Duration>,
}

/// What an apply would do with one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeForecast {
    /// The node.
    pub node: NodeId,
    /// Its address.
    pub address: Address,
    /// Where it stands.
    pub standing: Standing,
    /// How long it took when it last ran.
    pub took: Option<Duration>,
}

/// Where a node stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// `=`: its result is in the store.
    Cached,
    /// `+`: nothing was ever built under this address.
    New,
    /// `~`: it will run.
    Changed {
        /// Why.
        cause: Cause,
        /// How many nodes stand below it and will or may run because of it.
        following: usize,
    },
    /// `?`: below a node that will run; found in the store if that leaves what it left before.
    Pending {
        /// The first cause: the node that will run.
        below: NodeId,
        /// `+`: nothing was ever built under this address, so it will run but for a rare find.
        new: bool,
    },
    /// `~`: below a node that will run and whose result differs each time: it will run as well.
    Follows {
        /// The first cause: the node that will run.
        below: NodeId,
    },
}

/// Says what [`crate::apply()`] would do with the same arguments. Fast: one bulk read of the index.
///
/// # Errors
/// A store or backend that cannot be read; an address of `--rerun` that the plan does not have.
pub async fn forecast(
    engine: &Engine,
    plan: &Plan,
    selection: &Selection,
    options: &Options,
    cx: &Cx,
) -> Result<Forecast, EngineError> {
    let forced = Forced { cache: options.cache, rerun: survey::rerun(engine, plan, &options.rerun)? };
    let survey = survey::survey(engine, plan, &selection.nodes, &forced, cx).await?;
    let mut nodes = standings(engine, plan, &survey);
    count_following(&mut nodes);
    let count = |is: fn(&Standing) -> bool| nodes.iter().filter(|node| is(&node.standing)).count();
    let cached = count(|s| *s == Standing::Cached);
    let pending = count(|s| matches!(s, Standing::Pending { new: false, .. }));
    let estimate = estimate(plan, &nodes);
    let refused = refuse::harmful(refuse::refusals(engine, plan, &selection.nodes), &survey);
    Ok(Forecast { to_run: nodes.len() - cached - pending, refused, cached, pending, estimate, nodes })
}

fn standings(engine: &Engine, plan: &Plan, survey: &Survey) -> Vec<NodeForecast> {
    let renames = Renames::new(plan, survey.all_remembered());
    // The first cause of each node that runs because of its parents.
    let mut causes: BTreeMap<NodeId, NodeId> = BTreeMap::new();
    let mut nodes = Vec::new();
    for (id, found) in survey.nodes() {
        let address = plan.node(id).address.clone();
        let above = plan.parents(id).into_iter().find_map(|parent| causes.get(&parent).copied());
        let standing = match found {
            Found::Hit { .. } => Standing::Cached,
            Found::Open { below } => Standing::Pending { below: *below, new: survey.remembered(&address).is_none() },
            Found::Miss { why, .. } => match (why, above) {
                (Why::Rerun, _) => Standing::Changed { cause: Cause::Rerun, following: 0 },
                (Why::NoCache, _) => Standing::Changed { cause: Cause::NoCache, following: 0 },
                (Why::Gone, _) => Standing::Changed { cause: Cause::Evicted, following: 0 },
                (Why::Unknown, Some(below)) => Standing::Follows { below },
                (Why::Unknown, None) => {
                    let states = parent_states(plan, id, |p| survey.state(engine, plan, p)).unwrap_or_default();
                    let old = survey.remembered(&address);
                    match cause(plan, id, &spec(plan, id, &states), old, &renames) {
                        Cause::New => Standing::New,
                        cause @ (Cause::Renamed { .. }
                        | Cause::Field { .. }
                        | Cause::Evicted
                        | Cause::Rerun
                        | Cause::NoCache) => Standing::Changed { cause, following: 0 },
                    }
                }
            },
        };
        match &standing {
            Standing::Cached => {}
            Standing::New | Standing::Changed { .. } => drop(causes.insert(id, id)),
            Standing::Pending { below, .. } | Standing::Follows { below } => drop(causes.insert(id, *below)),
        }
        let took = survey.remembered(&address).and_then(Remembered::cost);
        nodes.push(NodeForecast { node: id, address, standing, took });
    }
    nodes
}

fn count_following(nodes: &mut [NodeForecast]) {
    let mut counts: BTreeMap<NodeId, usize> = BTreeMap::new();
    for node in nodes.iter() {
        match &node.standing {
            Standing::Pending { below, .. } | Standing::Follows { below } => *counts.entry(*below).or_default() += 1,
            Standing::Cached | Standing::New | Standing::Changed { .. } => {}
        }
    }
    for node in nodes {
        if let Standing::Changed { following, .. } = &mut node.standing {
            *following = counts.get(&node.node).copied().unwrap_or_default();
        }
    }
}

/// The longest path of known durations through the nodes that will or may run.
fn estimate(plan: &Plan, nodes: &[NodeForecast]) -> Option<Duration> {
    let mut ends: BTreeMap<NodeId, Duration> = BTreeMap::new();
    let mut known = BTreeSet::new();
    for node in nodes.iter().filter(|node| node.standing != Standing::Cached) {
        let parents = plan.parents(node.node);
        let start = parents.iter().filter_map(|p| ends.get(p)).max().copied().unwrap_or_default();
        ends.insert(node.node, start + node.took.unwrap_or_default());
        known.extend(node.took.map(|_| node.node));
    }
    if known.is_empty() { None } else { ends.into_values().max() }
}
