//! Pinning the sources of a plan by `imgc.lock`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imgc_backend::{Backend, Cx};
use imgc_plan::lock::LOCK_VERSION;
use imgc_plan::{Address, Locked, Lockfile, NodeId, Plan, SourceKey, node::Work};

use crate::{Engine, EngineError};

/// What may be done to the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockMode {
    /// Missing entries are added, the others obeyed: `plan`, `apply`.
    AddMissing,
    /// As before, and the sources with these names are pinned anew; no name: all of them. `imgc update`.
    Update(Vec<String>),
    /// Nothing may change: `--locked`.
    Locked,
}

/// What happened to one entry of the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockChange {
    /// The first source that uses the entry.
    pub address: Address,
    /// The entry as it was; none where it is new.
    pub before: Option<Locked>,
    /// The entry as it is now.
    pub after: Locked,
}

/// Fills in `locked` of every source among `nodes` (none: of all) and changes `lockfile` as `mode` allows.
///
/// Sources whose kind no backend offers stay unlocked: [`crate::forecast()`] and [`crate::apply()`] tell about them.
/// Entries that this plan does not use are kept: other params may ask for them.
///
/// # Errors
/// What the backend says, a missing entry under [`LockMode::Locked`], a name that no source has. `lockfile` then holds
/// what was locked so far.
pub async fn lock_sources(
    engine: &Engine,
    plan: &mut Plan,
    lockfile: &mut Lockfile,
    mode: &LockMode,
    nodes: Option<&BTreeSet<NodeId>>,
    cx: &Cx,
) -> Result<Vec<LockChange>, EngineError> {
    let wanted = sources(engine, plan, nodes);
    if *mode == LockMode::Locked {
        refuse_missing(plan, lockfile, &wanted)?;
    }
    lockfile.version = LOCK_VERSION;
    let mut changes = Vec::new();
    for (key, uses) in &wanted {
        let Some((first, backend)) = uses.first() else { continue };
        let pins = backend.pins(plan.node(*first));
        let before = lockfile.sources.get(&key.0.to_string()).filter(|_| pins).cloned();
        let anew = match (&before, mode) {
            (None, _) => true,
            (Some(old), LockMode::Update(names)) => names.is_empty() || names.contains(&old.name),
            (Some(_), LockMode::AddMissing | LockMode::Locked) => false,
        };
        let now = match before.clone() {
            Some(old) if !anew => old,
            _ => pin(backend.as_ref(), plan, *first, cx).await?,
        };
        if pins && before.as_ref() != Some(&now) {
            lockfile.sources.insert(key.0.to_string(), now.clone());
            changes.push(LockChange { address: plan.node(*first).address.clone(), before, after: now.clone() });
        }
        // The lock keeps the source's own epoch: the package's may change at any time and then counts at once.
        let locked = Locked { epoch: cx.settings.epoch.unwrap_or(now.epoch), ..now };
        for (id, _) in uses {
            fill_in(plan, *id, &locked, backend.as_ref());
        }
    }
    match mode {
        LockMode::Update(names) => refuse_unknown(lockfile, &wanted, names)?,
        LockMode::AddMissing | LockMode::Locked => {}
    }
    Ok(changes)
}

type Uses = BTreeMap<SourceKey, Vec<(NodeId, Arc<dyn Backend>)>>;

/// The sources that some backend offers, by what they are locked under.
fn sources(engine: &Engine, plan: &Plan, nodes: Option<&BTreeSet<NodeId>>) -> Uses {
    let mut found = Uses::new();
    for id in plan.ids().filter(|id| nodes.is_none_or(|nodes| nodes.contains(id))) {
        let node = plan.node(id);
        let Work::Source(source) = &node.work else { continue };
        let Some(backend) = engine.backends.get(node.backend.as_str()) else { continue };
        if backend.offers().sources.iter().any(|kind| kind.name == node.kind) {
            found.entry(source.key).or_default().push((id, backend.clone()));
        }
    }
    found
}

fn refuse_missing(plan: &Plan, lockfile: &Lockfile, wanted: &Uses) -> Result<(), EngineError> {
    let pins = |uses: &[(NodeId, Arc<dyn Backend>)]| uses.iter().any(|(id, backend)| backend.pins(plan.node(*id)));
    let missing = wanted.iter().filter(|(key, uses)| !lockfile.sources.contains_key(&key.0.to_string()) && pins(uses));
    let sources: Vec<String> = missing
        .filter_map(|(_, uses)| uses.first())
        .map(|(id, _)| format!("`{}` ({})", plan.node(*id).address, plan.node(*id).kind))
        .collect();
    if sources.is_empty() { Ok(()) } else { Err(EngineError::NotLocked { sources }) }
}

fn refuse_unknown(lockfile: &Lockfile, wanted: &Uses, names: &[String]) -> Result<(), EngineError> {
    let locked = wanted.keys().filter_map(|key| lockfile.sources.get(&key.0.to_string()));
    let known: BTreeSet<&str> = locked.map(|locked| locked.name.as_str()).collect();
    match names.iter().find(|name| !known.contains(name.as_str())) {
        None => Ok(()),
        Some(name) => Err(EngineError::UnknownSource {
            name: name.clone(),
            known: known.into_iter().map(str::to_owned).collect(),
        }),
    }
}

async fn pin(backend: &dyn Backend, plan: &Plan, id: NodeId, cx: &Cx) -> Result<Locked, EngineError> {
    if cx.cancel.is_cancelled() {
        return Err(EngineError::Interrupted);
    }
    let node = plan.node(id);
    backend.lock(node, &cx.for_node(id)).await.map_err(|source| EngineError::Lock {
        node: id,
        address: node.address.clone(),
        source,
    })
}

fn fill_in(plan: &mut Plan, id: NodeId, locked: &Locked, backend: &dyn Backend) {
    if let Some(node) = plan.nodes.get_mut(id.index())
        && let Work::Source(source) = &mut node.work
    {
        source.locked = Some(locked.clone());
        source.counts = backend.offers().machine.iter().map(|&name| name.to_owned()).collect();
    }
}
