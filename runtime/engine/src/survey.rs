//! What the store already knows of a plan: the walk that forecast and apply both begin with.
//!
//! It goes through the selected nodes twice: forwards for what is known of each, backwards for what is needed. A result
//! that is missing matters only where something has to be built from it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use imgc_backend::{Cx, Layer, Presence};
use imgc_plan::{Address, Fingerprint, Node, NodeId, Plan, State, fingerprint_of};
use imgc_store::IndexEntry;

use crate::by_node::ByNode;
use crate::facts::{Facts, is_expired, now};
use crate::remember::{self, Remembered};
use crate::result::{Known, NodeResult, stands_on};
use crate::{CacheUse, Engine, EngineError, Selection, fill};

/// What is known of the selected nodes before anything runs.
pub(crate) struct Survey {
    pub(crate) facts: Arc<Facts>,
    found: ByNode<Found>,
    /// Those of the nodes that take values of others, with these in their place.
    filled: BTreeMap<NodeId, Node>,
    remembered: HashMap<Address, Remembered>,
}

/// What is known of one node.
pub(crate) enum Found {
    /// Its result is in the store and can be used.
    Hit { fingerprint: Fingerprint, known: Arc<Known> },
    /// It is not, or it has to run nevertheless.
    Miss {
        fingerprint: Fingerprint,
        why: Why,
        /// Where it is certain what state it will leave.
        state: Option<State>,
        /// What the index has, where only the bytes are gone.
        known: Option<Arc<Known>>,
        /// Whether something has to be built from it. If not, it does not run.
        needed: bool,
    },
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
    /// `--rerun` names it.
    Rerun,
    /// `--no-cache`.
    NoCache,
    /// Its policy is `never`.
    Never,
    /// Its policy is `ttl`, and its time has passed.
    Expired,
    /// It stands below one that runs anew without a trace in its state.
    Below(NodeId),
}

impl Why {
    /// Whether it runs although its result may be known.
    pub(crate) fn is_anew(self) -> bool {
        match self {
            Self::Unknown | Self::Gone => false,
            Self::Rerun | Self::NoCache | Self::Never | Self::Expired | Self::Below(_) => true,
        }
    }
}

impl Survey {
    /// The selected nodes with what is known of them, in dependency order.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (NodeId, &Found)> {
        self.found.iter()
    }

    /// The selected nodes that will or may run, in dependency order.
    pub(crate) fn open(&self) -> impl Iterator<Item = (NodeId, &Found)> {
        self.nodes().filter(|(_, found)| match found {
            Found::Hit { .. } => false,
            Found::Miss { needed, .. } => *needed,
            Found::Open { .. } => true,
        })
    }

    /// Whether a node will not run: its result is there, or nothing needs it.
    pub(crate) fn is_settled(&self, id: NodeId) -> bool {
        match self.found.get(id) {
            Some(Found::Hit { .. } | Found::Miss { needed: false, .. }) => true,
            Some(Found::Miss { .. } | Found::Open { .. }) | None => false,
        }
    }

    /// Whether the index has been told of late that a result is used: in large plans to tell it again of each takes time.
    pub(crate) fn is_noted(&self, id: NodeId) -> bool {
        const OFTEN: i64 = 3600;
        matches!(self.found.get(id), Some(Found::Hit { known, .. }) if known.used >= now() - OFTEN)
    }

    /// A node with the values of others in its place, as far as they are known.
    pub(crate) fn node<'a>(&'a self, plan: &'a Plan, id: NodeId) -> &'a Node {
        self.filled.get(&id).unwrap_or_else(|| plan.node(id))
    }

    /// The whole result of a hit.
    pub(crate) fn result(&self, plan: &Plan, id: NodeId) -> Option<NodeResult> {
        whole(&self.found, plan, id)
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
    pub(crate) fn state(&self, id: NodeId) -> Option<State> {
        state(&self.found, id)
    }

    /// The states of a node's inputs; none where one of them is not known.
    pub(crate) fn input_states(&self, id: NodeId) -> Option<Vec<State>> {
        self.facts.inputs(id).iter().map(|parent| self.state(*parent)).collect()
    }
}

fn state(found: &ByNode<Found>, id: NodeId) -> Option<State> {
    match found.get(id)? {
        Found::Hit { known, .. } => Some(known.state),
        Found::Miss { state, .. } => *state,
        Found::Open { .. } => None,
    }
}

fn whole(found: &ByNode<Found>, plan: &Plan, id: NodeId) -> Option<NodeResult> {
    let Some(Found::Hit { known, .. }) = found.get(id) else { return None };
    let mut at = id;
    known.whole(|| {
        at = stands_on(&plan.node(at).work)?;
        known_of(found, at).map(Arc::as_ref)
    })
}

/// What the index has for a node, whether the bytes are there or not.
fn known_of(found: &ByNode<Found>, id: NodeId) -> Option<&Arc<Known>> {
    match found.get(id)? {
        Found::Hit { known, .. } => Some(known),
        Found::Miss { known, .. } => known.as_ref(),
        Found::Open { .. } => None,
    }
}

/// Which nodes run whatever the store has.
pub(crate) struct Forced {
    pub(crate) cache: CacheUse,
    pub(crate) rerun: BTreeSet<NodeId>,
}

impl Forced {
    /// As `--rerun` and `--no-cache` say.
    ///
    /// A name of `--rerun` stands for a node, or for all nodes whose address is below it (`web`, `web/nginx`).
    ///
    /// # Errors
    /// [`EngineError::UnknownName`], [`EngineError::RerunOutside`].
    pub(crate) fn new(
        plan: &Plan,
        selection: &Selection,
        cache: CacheUse,
        names: &[Address],
    ) -> Result<Self, EngineError> {
        let mut rerun = BTreeSet::new();
        for name in names {
            let below = format!("{}/", name.0);
            let is_meant = |id: &NodeId| {
                let address = &plan.node(*id).address;
                address == name || address.0.starts_with(&below)
            };
            let (inside, outside): (Vec<_>, Vec<_>) =
                plan.ids().filter(is_meant).partition(|id| selection.nodes.contains(id));
            if inside.is_empty() && outside.is_empty() {
                let near = crate::select::near(plan, &[], &name.0);
                return Err(EngineError::UnknownName { name: name.0.clone(), near });
            }
            if inside.is_empty() {
                let targets = selection.targets.iter().map(|target| target.name.clone()).collect();
                return Err(EngineError::RerunOutside { name: name.0.clone(), targets });
            }
            rerun.extend(inside);
        }
        Ok(Self { cache, rerun })
    }

    /// Nothing is forced.
    pub(crate) fn none() -> Self {
        Self { cache: CacheUse::Use, rerun: BTreeSet::new() }
    }

    pub(crate) fn why(&self, facts: &Facts, id: NodeId) -> Option<Why> {
        match self.cache {
            _ if self.rerun.contains(&id) => Some(Why::Rerun),
            CacheUse::Ignore => Some(Why::NoCache),
            CacheUse::Use => facts.runs_always(id).then_some(Why::Never),
        }
    }
}

/// Looks up every selected node.
pub(crate) async fn survey(
    engine: &Engine,
    plan: &Plan,
    selection: &Selection,
    forced: &Forced,
    cx: &Cx,
) -> Result<Survey, EngineError> {
    let remembered = remember::read(engine)?;
    let mut walk = Walk::new(engine, plan, selection, forced, remembered)?;
    walk.run()?;
    // Only what is needed is looked at: an entry keeps its whole chain alive. Where one is gone nevertheless, so may be
    // those below it.
    let mut suspects = walk.needed_hits();
    while !suspects.is_empty() {
        let results = suspects.iter().filter_map(|id| walk.suspect(*id)).collect::<Vec<_>>();
        walk.checked.extend(results.iter().map(|(_, fingerprint, _)| *fingerprint));
        let gone = gone(engine, plan, &results, cx).await?;
        if gone.is_empty() {
            break;
        }
        walk.gone.extend(gone);
        walk.run()?;
        suspects = walk.unchecked();
    }
    let Walk { facts, found, filled, remembered, .. } = walk;
    Ok(Survey { facts: Arc::new(facts), found, filled, remembered })
}

type Suspect = (NodeId, Fingerprint, NodeResult);

struct Walk<'a> {
    engine: &'a Engine,
    plan: &'a Plan,
    selection: &'a Selection,
    forced: &'a Forced,
    facts: Facts,
    remembered: HashMap<Address, Remembered>,
    /// Entries as the index has them, of those fingerprints that were asked for.
    entries: HashMap<Fingerprint, IndexEntry>,
    /// What the index was asked for at once, in order.
    asked: Vec<Fingerprint>,
    /// Entries that were looked into.
    known: HashMap<Fingerprint, Option<Arc<Known>>>,
    gone: BTreeSet<Fingerprint>,
    checked: BTreeSet<Fingerprint>,
    found: ByNode<Found>,
    filled: BTreeMap<NodeId, Node>,
}

impl<'a> Walk<'a> {
    /// Reads in one go the entries that the nodes had when they were last seen: most often they still have them.
    fn new(
        engine: &'a Engine,
        plan: &'a Plan,
        selection: &'a Selection,
        forced: &'a Forced,
        remembered: HashMap<Address, Remembered>,
    ) -> Result<Self, EngineError> {
        let nodes = selection.nodes.iter();
        let likely = nodes.filter_map(|id| remembered.get(&plan.node(*id).address)).map(|r| r.fingerprint);
        let mut asked: Vec<Fingerprint> = likely.collect();
        asked.sort_unstable();
        asked.dedup();
        let entries = engine.store.entries(&asked).map_err(EngineError::store("cannot read the index"))?;
        let facts = Facts::new(engine, plan);
        let (gone, checked, known) = (BTreeSet::new(), BTreeSet::new(), HashMap::with_capacity(entries.len()));
        let (found, filled) = (ByNode::new(plan), BTreeMap::new());
        Ok(Self {
            engine,
            plan,
            selection,
            forced,
            facts,
            remembered,
            entries,
            asked,
            known,
            gone,
            checked,
            found,
            filled,
        })
    }

    fn run(&mut self) -> Result<(), EngineError> {
        self.found.clear();
        for id in &self.selection.nodes {
            let found = self.look_up(*id)?;
            self.found.insert(*id, found);
        }
        self.mark_needed();
        Ok(())
    }

    fn look_up(&mut self, id: NodeId) -> Result<Found, EngineError> {
        let mut anew = None;
        for parent in self.facts.parents(id) {
            match self.found.get(*parent) {
                Some(Found::Open { below }) => return Ok(Found::Open { below: *below }),
                Some(Found::Miss { state: None, .. }) | None => return Ok(Found::Open { below: *parent }),
                Some(Found::Miss { state: Some(_), why, .. }) => {
                    anew = anew.or(why.is_anew().then_some(*parent));
                }
                Some(Found::Hit { .. }) => {}
            }
        }
        let states = self.facts.inputs(id).iter().filter_map(|input| state(&self.found, *input));
        let states: Vec<State> = states.collect();
        let node = match self.fill(id) {
            Ok(node) => node,
            Err(below) => return Ok(Found::Open { below }),
        };
        let fingerprint = fingerprint_of(self.plan, id, &node, &states);
        let made = self.facts.is_made(id).then_some(State::Made(fingerprint));
        let miss = |why: Why| Found::Miss { fingerprint, why, state: made, known: None, needed: why.is_anew() };
        // Below a step of an image that runs anew only what is made from it: its own content is looked at again.
        let anew = anew.filter(|parent| self.facts.is_made(*parent));
        if let Some(why) = self.forced.why(&self.facts, id).or(anew.map(Why::Below)) {
            return Ok(miss(why));
        }
        Ok(match self.entry(id, fingerprint)? {
            Some(known) if is_expired(self.plan, id, known.created) => miss(Why::Expired),
            Some(known) if self.gone.contains(&fingerprint) => {
                let (why, state) = (Why::Gone, Some(known.state));
                Found::Miss { fingerprint, why, state, known: Some(known), needed: false }
            }
            Some(known) => Found::Hit { fingerprint, known },
            None => miss(Why::Unknown),
        })
    }

    /// The node with the values of others in its place; else the node that has to be built for that.
    fn fill(&mut self, id: NodeId) -> Result<Cow<'a, Node>, NodeId> {
        let plan: &'a Plan = self.plan;
        if !self.facts.waits(id) {
            return Ok(Cow::Borrowed(plan.node(id)));
        }
        let Some(first) = plan.builds(id).first().map(|value| value.node) else {
            return Ok(Cow::Borrowed(plan.node(id)));
        };
        let open =
            plan.builds(id).into_iter().find(|value| !matches!(self.found.get(value.node), Some(Found::Hit { .. })));
        if let Some(value) = open {
            return Err(value.node);
        }
        let found = &self.found;
        // What is wrong with a value is told where it is built: here nobody asked for it yet.
        let filled = fill::filled(self.engine, plan, id, |parent| whole(found, plan, parent).map(Arc::new));
        let node = filled.map_err(|_| first)?;
        if let Cow::Owned(node) = &node {
            self.filled.insert(id, node.clone());
        }
        Ok(node)
    }

    /// Backwards: what was asked for, what runs whatever there is, and what they are built from.
    fn mark_needed(&mut self) {
        let mut wanted = self.targets();
        for id in self.selection.nodes.iter().rev() {
            let runs = match self.found.get_mut(*id) {
                Some(Found::Miss { needed, .. }) => {
                    *needed |= wanted.get(*id).is_some();
                    *needed
                }
                Some(Found::Open { .. }) => true,
                Some(Found::Hit { .. }) | None => false,
            };
            if runs {
                self.facts.parents(*id).iter().for_each(|parent| wanted.insert(*parent, ()));
            }
        }
    }

    fn entry(&mut self, id: NodeId, fingerprint: Fingerprint) -> Result<Option<Arc<Known>>, EngineError> {
        if let Some(known) = self.known.get(&fingerprint) {
            return Ok(known.clone());
        }
        let entry = match self.entries.remove(&fingerprint) {
            Some(entry) => Some(entry),
            None if self.asked.binary_search(&fingerprint).is_ok() => None,
            None => read_entry(self.engine, fingerprint)?,
        };
        let work = &self.plan.node(id).work;
        let on = stands_on(work).and_then(|on| known_of(&self.found, on)).map(|known| known.len());
        let is_probe = self.facts.is_probe(id);
        let known = entry.and_then(|entry| Known::read(work, is_probe, &entry, on)).map(Arc::new);
        self.known.insert(fingerprint, known.clone());
        Ok(known)
    }

    /// Hits that were asked for or that something will run on.
    fn needed_hits(&self) -> Vec<NodeId> {
        let mut wanted = self.targets();
        for (id, found) in self.found.iter() {
            if matches!(found, Found::Miss { needed: true, .. } | Found::Open { .. }) {
                self.facts.parents(id).iter().for_each(|parent| wanted.insert(*parent, ()));
            }
        }
        let is_hit = |id: &NodeId| matches!(self.found.get(*id), Some(Found::Hit { .. }));
        wanted.iter().map(|(id, ())| id).filter(is_hit).collect()
    }

    /// What was asked for.
    fn targets(&self) -> ByNode<()> {
        let mut targets = ByNode::new(self.plan);
        self.selection.targets.iter().for_each(|target| targets.insert(target.node, ()));
        targets
    }

    /// Hits that were not looked at yet: the needed ones, and of the others the last of each chain first.
    fn unchecked(&self) -> Vec<NodeId> {
        const AT_ONCE: usize = 256;
        let is_unchecked = |id: &NodeId| match self.found.get(*id) {
            Some(Found::Hit { fingerprint, .. }) => !self.checked.contains(fingerprint),
            Some(Found::Miss { .. } | Found::Open { .. }) | None => false,
        };
        let mut all: BTreeSet<NodeId> = self.needed_hits().into_iter().filter(is_unchecked).collect();
        all.extend(self.found.iter().rev().map(|(id, _)| id).filter(is_unchecked).take(AT_ONCE));
        all.into_iter().collect()
    }

    fn suspect(&self, id: NodeId) -> Option<Suspect> {
        let Some(Found::Hit { fingerprint, .. }) = self.found.get(id) else { return None };
        Some((id, *fingerprint, whole(&self.found, self.plan, id)?))
    }
}

/// What the index has for a fingerprint.
pub(crate) fn read_entry(engine: &Engine, fingerprint: Fingerprint) -> Result<Option<IndexEntry>, EngineError> {
    let mut entries = engine.store.entries(&[fingerprint]).map_err(EngineError::store("cannot read the index"))?;
    Ok(entries.remove(&fingerprint))
}

/// Those of the suspects whose bytes are gone.
async fn gone(engine: &Engine, plan: &Plan, suspects: &[Suspect], cx: &Cx) -> Result<Vec<Fingerprint>, EngineError> {
    let mut layers: BTreeMap<&str, Vec<(Fingerprint, Layer)>> = BTreeMap::new();
    let mut gone = Vec::new();
    for (id, fingerprint, result) in suspects {
        match result {
            NodeResult::Layer(layer) => {
                layers.entry(&plan.node(*id).backend).or_default().push((*fingerprint, layer.clone()));
            }
            NodeResult::Artifact(_) => {
                if !artifact_is_there(engine, result)? {
                    gone.push(*fingerprint);
                }
            }
            NodeResult::Passed(_) => {}
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
    result: &NodeResult,
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
