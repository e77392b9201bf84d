//! What the store already knows of a plan: the walk that forecast and apply both begin with.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use imgc_backend::{Cx, Layer, Presence, States};
use imgc_plan::{Address, Fingerprint, NodeId, Plan, State, fingerprint, node::Work};
use imgc_store::Payload;

use crate::remember::{self, Remembered};
use crate::result::{NodeResult, parent_states, stands_on};
use crate::{CacheUse, Engine, EngineError};

/// What is known of the selected nodes before anything runs.
pub(crate) struct Survey {
    found: BTreeMap<NodeId, Found>,
    remembered: HashMap<Address, Remembered>,
}

/// What is known of one node.
pub(crate) enum Found {
    /// Its result is in the store and can be used.
    Hit { fingerprint: Fingerprint, result: Arc<NodeResult> },
    /// It has to run.
    Miss { fingerprint: Fingerprint, why: Why },
    /// The state of a parent is not known: below this miss.
    Open { below: NodeId },
}

/// Why a node with a known fingerprint has to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The index has no such entry.
    Unknown,
    /// The index has an entry, the bytes are gone.
    Gone,
    /// `--rerun` names it, or it stands below one that is rerun and whose state would not show that.
    Rerun,
    /// `--no-cache`.
    NoCache,
}

impl Survey {
    /// The selected nodes with what is known of them, in dependency order.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (NodeId, &Found)> {
        self.found.iter().map(|(id, found)| (*id, found))
    }

    /// Whether the result of a node is in the store and can be used.
    pub(crate) fn is_hit(&self, id: NodeId) -> bool {
        matches!(self.found.get(&id), Some(Found::Hit { .. }))
    }

    /// What was kept under the address of a node.
    pub(crate) fn remembered(&self, address: &Address) -> Option<&Remembered> {
        self.remembered.get(address)
    }

    /// Everything that was kept.
    pub(crate) fn all_remembered(&self) -> &HashMap<Address, Remembered> {
        &self.remembered
    }

    /// The state of a node as far as it is known before anything runs.
    pub(crate) fn state(&self, engine: &Engine, plan: &Plan, id: NodeId) -> Option<State> {
        match self.found.get(&id)? {
            Found::Hit { result, .. } => Some(result.state()),
            Found::Miss { fingerprint, .. } => is_made(engine, plan, id).then_some(State::Made(*fingerprint)),
            Found::Open { .. } => None,
        }
    }
}

/// Which nodes run whatever the store has.
pub(crate) struct Forced {
    pub(crate) cache: CacheUse,
    pub(crate) rerun: BTreeSet<NodeId>,
}

impl Forced {
    pub(crate) fn why(&self, id: NodeId) -> Option<Why> {
        match self.cache {
            _ if self.rerun.contains(&id) => Some(Why::Rerun),
            CacheUse::Ignore => Some(Why::NoCache),
            CacheUse::Use => None,
        }
    }
}

/// The nodes that `--rerun` names, and those below them whose fingerprint would not change by it.
///
/// A name stands for a node, or for all nodes whose address is below it (`web`, `web/nginx`).
///
/// # Errors
/// [`EngineError::UnknownName`].
pub(crate) fn rerun(engine: &Engine, plan: &Plan, names: &[Address]) -> Result<BTreeSet<NodeId>, EngineError> {
    let mut found = BTreeSet::new();
    for name in names {
        let below = format!("{}/", name.0);
        let before = found.len();
        found.extend(plan.ids().filter(|id| {
            let address = &plan.node(*id).address;
            address == name || address.0.starts_with(&below)
        }));
        if found.len() == before && !found.iter().any(|id| plan.node(*id).address == *name) {
            return Err(EngineError::UnknownName { name: name.0.clone(), near: Vec::new() });
        }
    }
    if !found.is_empty() {
        for id in plan.ids() {
            if plan.parents(id).iter().any(|parent| found.contains(parent) && is_made(engine, plan, *parent)) {
                found.insert(id);
            }
        }
    }
    Ok(found)
}

/// Whether the state of a node is the step that made it rather than its content.
pub(crate) fn is_made(engine: &Engine, plan: &Plan, id: NodeId) -> bool {
    let node = plan.node(id);
    match node.work {
        Work::Artifact(_) => false,
        Work::Source(_) | Work::Step(_) => {
            engine.backends.get(node.backend.as_str()).is_some_and(|b| b.offers().states == States::Made)
        }
    }
}

/// Looks up every selected node.
pub(crate) async fn survey(
    engine: &Engine,
    plan: &Plan,
    nodes: &BTreeSet<NodeId>,
    forced: &Forced,
    cx: &Cx,
) -> Result<Survey, EngineError> {
    let remembered = remember::read(engine)?;
    let mut walk = Walk::new(engine, plan, nodes, forced, remembered)?;
    walk.run()?;
    // Only the ends of chains are looked at: an entry keeps its whole chain alive. Where one is gone nevertheless,
    // every layer is.
    let mut suspects = walk.chain_ends();
    while !suspects.is_empty() {
        let gone = gone(engine, plan, &suspects, cx).await?;
        if gone.is_empty() {
            break;
        }
        walk.gone.extend(gone);
        walk.run()?;
        suspects = walk.hits();
        suspects.retain(|(_, fingerprint, _)| !walk.checked.contains(fingerprint));
        walk.checked.extend(suspects.iter().map(|(_, fingerprint, _)| *fingerprint));
    }
    Ok(Survey { found: walk.found, remembered: walk.remembered })
}

type Suspect = (NodeId, Fingerprint, Arc<NodeResult>);

struct Walk<'a> {
    engine: &'a Engine,
    plan: &'a Plan,
    nodes: &'a BTreeSet<NodeId>,
    forced: &'a Forced,
    remembered: HashMap<Address, Remembered>,
    /// Entries as the index has them; none for fingerprints that have none.
    payloads: HashMap<Fingerprint, Option<Payload>>,
    /// Entries that were looked into.
    results: HashMap<Fingerprint, Option<Arc<NodeResult>>>,
    gone: BTreeSet<Fingerprint>,
    checked: BTreeSet<Fingerprint>,
    found: BTreeMap<NodeId, Found>,
}

impl<'a> Walk<'a> {
    /// Reads in one go the entries that the nodes had when they were last seen: most often they still have them.
    fn new(
        engine: &'a Engine,
        plan: &'a Plan,
        nodes: &'a BTreeSet<NodeId>,
        forced: &'a Forced,
        remembered: HashMap<Address, Remembered>,
    ) -> Result<Self, EngineError> {
        let likely = nodes.iter().filter_map(|id| remembered.get(&plan.node(*id).address)).map(|r| r.fingerprint);
        let likely: Vec<Fingerprint> = likely.collect::<BTreeSet<_>>().into_iter().collect();
        let mut read = engine.store.entries(&likely).map_err(EngineError::store("cannot read the index"))?;
        let payloads = likely.into_iter().map(|fp| (fp, read.remove(&fp).map(|entry| entry.payload))).collect();
        let (gone, checked, results) = (BTreeSet::new(), BTreeSet::new(), HashMap::new());
        Ok(Self { engine, plan, nodes, forced, remembered, payloads, results, gone, checked, found: BTreeMap::new() })
    }

    fn run(&mut self) -> Result<(), EngineError> {
        self.found.clear();
        for id in self.nodes {
            let found = self.look_up(*id)?;
            self.found.insert(*id, found);
        }
        Ok(())
    }

    fn look_up(&mut self, id: NodeId) -> Result<Found, EngineError> {
        let open = self.plan.parents(id).into_iter().find_map(|parent| match self.found.get(&parent) {
            Some(Found::Open { below }) => Some(*below),
            Some(Found::Miss { .. }) if !is_made(self.engine, self.plan, parent) => Some(parent),
            Some(Found::Miss { .. } | Found::Hit { .. }) => None,
            None => Some(parent),
        });
        if let Some(below) = open {
            return Ok(Found::Open { below });
        }
        let states = parent_states(self.plan, id, |parent| self.state(parent)).unwrap_or_default();
        let fingerprint = fingerprint(self.plan, id, &states);
        if let Some(why) = self.forced.why(id) {
            return Ok(Found::Miss { fingerprint, why });
        }
        Ok(match self.entry(id, fingerprint)? {
            Some(_) if self.gone.contains(&fingerprint) => Found::Miss { fingerprint, why: Why::Gone },
            Some(result) => Found::Hit { fingerprint, result },
            None => Found::Miss { fingerprint, why: Why::Unknown },
        })
    }

    fn state(&self, id: NodeId) -> Option<State> {
        match self.found.get(&id)? {
            Found::Hit { result, .. } => Some(result.state()),
            Found::Miss { fingerprint, .. } => Some(State::Made(*fingerprint)),
            Found::Open { .. } => None,
        }
    }

    fn entry(&mut self, id: NodeId, fingerprint: Fingerprint) -> Result<Option<Arc<NodeResult>>, EngineError> {
        if let Some(known) = self.results.get(&fingerprint) {
            return Ok(known.clone());
        }
        let payload = match self.payloads.remove(&fingerprint) {
            Some(payload) => payload,
            None => read_payload(self.engine, fingerprint)?,
        };
        let work = &self.plan.node(id).work;
        let on = stands_on(work).and_then(|on| match self.found.get(&on) {
            Some(Found::Hit { result, .. }) => result.layer(),
            Some(Found::Miss { .. } | Found::Open { .. }) | None => None,
        });
        let result = payload.and_then(|payload| NodeResult::from_payload(work, &payload, on)).map(Arc::new);
        self.results.insert(fingerprint, result.clone());
        Ok(result)
    }

    fn hits(&self) -> Vec<Suspect> {
        let hit = |(id, found): (&NodeId, &Found)| match found {
            Found::Hit { fingerprint, result } => Some((*id, *fingerprint, result.clone())),
            Found::Miss { .. } | Found::Open { .. } => None,
        };
        self.found.iter().filter_map(hit).collect()
    }

    /// Hits that no other hit stands on, and those that something will run on.
    fn chain_ends(&self) -> Vec<Suspect> {
        let (mut inner, mut used) = (BTreeSet::new(), BTreeSet::new());
        for (id, found) in &self.found {
            let set = match found {
                Found::Hit { .. } if matches!(self.plan.node(*id).work, Work::Step(_)) => &mut inner,
                Found::Hit { .. } => continue,
                Found::Miss { .. } | Found::Open { .. } => &mut used,
            };
            set.extend(self.plan.parents(*id));
        }
        let mut ends = self.hits();
        ends.retain(|(id, ..)| used.contains(id) || !inner.contains(id));
        ends
    }
}

/// What the index has for a fingerprint.
pub(crate) fn read_payload(engine: &Engine, fingerprint: Fingerprint) -> Result<Option<Payload>, EngineError> {
    let mut entries = engine.store.entries(&[fingerprint]).map_err(EngineError::store("cannot read the index"))?;
    Ok(entries.remove(&fingerprint).map(|entry| entry.payload))
}

/// Those of the suspects whose bytes are gone.
async fn gone(engine: &Engine, plan: &Plan, suspects: &[Suspect], cx: &Cx) -> Result<Vec<Fingerprint>, EngineError> {
    let mut layers: BTreeMap<&str, Vec<(Fingerprint, Layer)>> = BTreeMap::new();
    let mut gone = Vec::new();
    for (id, fingerprint, result) in suspects {
        match result.as_ref() {
            NodeResult::Layer(layer) => {
                layers.entry(&plan.node(*id).backend).or_default().push((*fingerprint, layer.clone()));
            }
            NodeResult::Artifact(_) => {
                if !artifact_is_there(engine, result)? {
                    gone.push(*fingerprint);
                }
            }
        }
    }
    for (name, layers) in layers {
        let Some(backend) = engine.backends.get(name) else { continue };
        let (fingerprints, layers): (Vec<_>, Vec<_>) = layers.into_iter().unzip();
        let presence = backend
            .present(&layers, cx)
            .await
            .map_err(|source| EngineError::Presence { backend: name.to_owned(), source })?;
        let missing = fingerprints.into_iter().zip(presence).filter(|(_, p)| *p == Presence::Gone);
        gone.extend(missing.map(|(fingerprint, _)| fingerprint));
    }
    Ok(gone)
}

/// Whether one result can be used.
pub(crate) async fn is_there(
    engine: &Engine,
    plan: &Plan,
    id: NodeId,
    result: &Arc<NodeResult>,
    cx: &Cx,
) -> Result<bool, EngineError> {
    let suspect = (id, Fingerprint([0; 32]), result.clone());
    Ok(gone(engine, plan, &[suspect], cx).await?.is_empty())
}

fn artifact_is_there(engine: &Engine, result: &NodeResult) -> Result<bool, EngineError> {
    let NodeResult::Artifact(artifact) = result else { return Ok(true) };
    if artifact.path.is_none() {
        return Ok(true);
    }
    let object = engine.store.object(&artifact.digest).map_err(EngineError::store("cannot look up an object"))?;
    Ok(object.is_some())
}
