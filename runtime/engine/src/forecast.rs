//! What an apply would do, and why: computed from a plan and a store, without running anything.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::time::Duration;

use imgc_backend::Cx;
use imgc_plan::{Address, NodeId, Plan, spec_of};
use serde::Serialize;

use crate::by_node::ByNode;
use crate::estimate::{Durations, Estimate};
use crate::explain::{Cause, Explainer};
use crate::refuse;
use crate::remember::Remembered;
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
    /// How long all that will or may run takes with the jobs there are, as far as durations are known; none where none
    /// is.
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
    /// How long it will take if it runs, by its own history or that of its kind.
    pub expected: Option<Duration>,
}

/// Where a node stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "standing", rename_all = "snake_case")]
pub enum Standing {
    /// `=`: its result is in the store.
    Cached,
    /// `=`: its result is not in the store, but nothing that runs needs it.
    Unneeded,
    /// `+`: nothing was ever built under this address.
    New,
    /// `~`: it will run.
    Changed {
        /// Why.
        #[serde(flatten)]
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
    let forced = Forced::new(plan, selection, options.cache, &options.rerun)?;
    let survey = survey::survey(engine, plan, selection, &forced, cx).await?;
    Ok(of_survey(engine, plan, selection, &survey, options, cx))
}

/// The forecast from what the store knows.
pub(crate) fn of_survey(
    engine: &Engine,
    plan: &Plan,
    selection: &Selection,
    survey: &Survey,
    options: &Options,
    cx: &Cx,
) -> Forecast {
    let mut nodes = standings(plan, survey, cx);
    count_following(&mut nodes);
    let count = |is: fn(&Standing) -> bool| nodes.iter().filter(|node| is(&node.standing)).count();
    let cached = count(|s| matches!(s, Standing::Cached | Standing::Unneeded));
    let pending = count(|s| matches!(s, Standing::Pending { new: false, .. }));
    let refused = refuse::harmful(refuse::refusals(engine, plan, &selection.nodes), survey);
    let to_run = nodes.len() - cached - pending;
    let mut forecast = Forecast { to_run, refused, cached, pending, estimate: None, nodes };
    // Where nothing ever ran there is nothing to play.
    if forecast.nodes.iter().any(|node| node.expected.is_some()) {
        let parents = |id| survey.facts.parents(id).to_vec();
        forecast.estimate = Estimate::with(&forecast, options.jobs, parents).total();
    }
    forecast
}

fn standings(plan: &Plan, survey: &Survey, cx: &Cx) -> Vec<NodeForecast> {
    let explainer = LazyCell::new(|| Explainer::new(plan, &cx.package, survey.all_remembered()));
    let durations = Durations::new(plan, survey.all_remembered());
    // The first cause of each node that runs because of its parents.
    let mut causes: ByNode<NodeId> = ByNode::new(plan);
    let mut nodes = Vec::with_capacity(plan.nodes.len());
    for (id, found) in survey.nodes() {
        let address = plan.node(id).address.clone();
        let old = survey.remembered(&address);
        let above = || survey.facts.parents(id).iter().find_map(|parent| causes.get(*parent).copied());
        let because = |cause| Standing::Changed { cause, following: 0 };
        let standing = match found {
            Found::Hit { .. } => Standing::Cached,
            Found::Miss { needed: false, .. } => Standing::Unneeded,
            Found::Open { below } => {
                let below = causes.get(*below).copied().unwrap_or(*below);
                Standing::Pending { below, new: old.is_none() }
            }
            Found::Miss { why, .. } => match why {
                Why::Rerun => because(Cause::Rerun),
                Why::NoCache => because(Cause::NoCache),
                Why::Never => because(Cause::Never),
                Why::Expired => because(Cause::Expired),
                Why::Below(parent) => match above() {
                    Some(below) => Standing::Follows { below },
                    None => because(Cause::Anew { address: plan.node(*parent).address.clone() }),
                },
                Why::Gone => because(Cause::Evicted),
                Why::Unknown => own_or_above(plan, survey, &explainer, id, above()),
            },
        };
        match &standing {
            Standing::Cached | Standing::Unneeded => {}
            Standing::New | Standing::Changed { .. } => causes.insert(id, id),
            Standing::Pending { below, .. } | Standing::Follows { below } => causes.insert(id, *below),
        }
        let expected = if standing == Standing::Cached { None } else { durations.of(plan, id) };
        let took = old.and_then(Remembered::cost);
        nodes.push(NodeForecast { node: id, address, standing, took, expected });
    }
    nodes
}

/// Of a node that is not in the index: its own change comes first, else it follows from what runs above it.
fn own_or_above(
    plan: &Plan,
    survey: &Survey,
    explainer: &Explainer<'_>,
    id: NodeId,
    above: Option<NodeId>,
) -> Standing {
    let Some(states) = survey.input_states(id) else { return Standing::New };
    let cause = explainer.cause(
        id,
        &spec_of(plan, id, survey.node(plan, id), &states),
        survey.remembered(&plan.node(id).address),
    );
    match (&cause, above) {
        (Cause::Parent { .. } | Cause::New | Cause::Renamed { .. }, Some(below)) => Standing::Follows { below },
        (Cause::New, None) => Standing::New,
        (_, _) => Standing::Changed { cause, following: 0 },
    }
}

fn count_following(nodes: &mut [NodeForecast]) {
    let mut counts: BTreeMap<NodeId, usize> = BTreeMap::new();
    for node in nodes.iter() {
        match &node.standing {
            Standing::Pending { below, .. } | Standing::Follows { below } => *counts.entry(*below).or_default() += 1,
            Standing::Cached | Standing::Unneeded | Standing::New | Standing::Changed { .. } => {}
        }
    }
    for node in nodes {
        if let Standing::Changed { following, .. } = &mut node.standing {
            *following = counts.get(&node.node).copied().unwrap_or_default();
        }
    }
}
