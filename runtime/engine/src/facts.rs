//! What the engine wants to know of the nodes of a plan again and again, looked up once.

use imgc_backend::States;
use imgc_plan::{CachePolicy, Links, NodeId, Plan, node::Work};

use crate::Engine;

/// By node.
pub(crate) struct Facts {
    nodes: Vec<Fact>,
}

struct Fact {
    links: Links,
    is_made: bool,
    is_probe: bool,
    runs_always: bool,
}

impl Facts {
    pub(crate) fn new(engine: &Engine, plan: &Plan) -> Self {
        let mut nodes: Vec<Fact> = plan.ids().map(|id| Fact::new(engine, plan, id)).collect();
        for id in plan.tests.iter().flat_map(|test| &test.nodes) {
            if let Some(fact) = nodes.get_mut(id.index()) {
                (fact.is_probe, fact.is_made) = (true, true);
            }
        }
        Self { nodes }
    }

    /// [`Plan::parents`].
    pub(crate) fn parents(&self, id: NodeId) -> &[NodeId] {
        self.nodes.get(id.index()).map_or(&[], |fact| &fact.links.parents)
    }

    /// [`Plan::inputs`].
    pub(crate) fn inputs(&self, id: NodeId) -> &[NodeId] {
        let links = self.nodes.get(id.index()).map(|fact| &fact.links);
        links.and_then(|links| links.parents.get(..links.inputs)).unwrap_or_default()
    }

    /// Whether it waits for values of others: [`Plan::builds`].
    pub(crate) fn waits(&self, id: NodeId) -> bool {
        self.nodes.get(id.index()).is_some_and(|fact| fact.links.waits)
    }

    /// Whether the state of a node is the step that made it rather than its content. So is that of a test's step.
    pub(crate) fn is_made(&self, id: NodeId) -> bool {
        self.nodes.get(id.index()).is_some_and(|fact| fact.is_made)
    }

    /// Whether it is a step of a test: its layer is never kept.
    pub(crate) fn is_probe(&self, id: NodeId) -> bool {
        self.nodes.get(id.index()).is_some_and(|fact| fact.is_probe)
    }

    /// Whether its cache policy is `never`.
    pub(crate) fn runs_always(&self, id: NodeId) -> bool {
        self.nodes.get(id.index()).is_some_and(|fact| fact.runs_always)
    }
}

impl Fact {
    fn new(engine: &Engine, plan: &Plan, id: NodeId) -> Self {
        let node = plan.node(id);
        let is_made = match node.work {
            Work::Artifact(_) => false,
            Work::Source(_) | Work::Step(_) => {
                engine.backends.get(node.backend.as_str()).is_some_and(|b| b.offers().states == States::Made)
            }
        };
        Self {
            links: plan.links(id),
            is_made,
            is_probe: false,
            runs_always: CachePolicy::of(node) == CachePolicy::Never,
        }
    }
}

/// Whether a result with this age has passed the time that the policy of its node gives it.
pub(crate) fn is_expired(plan: &Plan, id: NodeId, created: i64) -> bool {
    fresh_until(plan, id, created).is_some_and(|until| until <= now())
}

/// Until when a result that was made then may be used, in seconds since 1970; none: for ever.
pub(crate) fn fresh_until(plan: &Plan, id: NodeId, created: i64) -> Option<i64> {
    match CachePolicy::of(plan.node(id)) {
        CachePolicy::Ttl(time) => Some(created.saturating_add(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))),
        CachePolicy::Never => Some(i64::MIN),
        CachePolicy::Auto | CachePolicy::Key(_) => None,
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
