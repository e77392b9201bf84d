//! What is kept under the address of a node: the fingerprint and spec it last had, and how long it took.
//!
//! It explains misses, estimates durations, weighs commits and says which entries a plan will most likely ask for.
//! Nothing that is built depends on it. It is written together with the entry of a node, so that a run that dies leaves
//! as much of it as of the rest.

use std::collections::HashMap;
use std::time::Duration;

use imgc_plan::{Address, Fingerprint, Spec};
use imgc_store::{NewSpec, Payload};
use serde::{Deserialize, Serialize};

use crate::lines::Lines;
use crate::{Engine, EngineError};

/// What is to be kept.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Memory {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) history: History,
    pub(crate) spec: Spec,
    /// Of the small text files it was made from.
    #[serde(skip_serializing_if = "Lines::is_empty")]
    pub(crate) lines: Lines,
}

/// What is known of earlier runs of a node, whatever its fingerprint was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct History {
    /// How long it took to run, in milliseconds.
    pub(crate) cost_ms: Option<u64>,
    /// How long it took to commit, in milliseconds.
    pub(crate) commit_ms: Option<u64>,
    /// Whether its layer was left out of the store, since keeping it cost more than it was worth.
    pub(crate) dropped: bool,
    /// In how many runs something of its image was built.
    pub(crate) seen: u32,
    /// In how many of them something was built on its layer from an earlier run.
    pub(crate) stood: u32,
}

impl History {
    /// How long the node took when it last ran.
    pub(crate) fn cost(&self) -> Option<Duration> {
        self.cost_ms.map(Duration::from_millis)
    }

    /// The share of runs that began on the layer of this node: what it is worth to have it. A half where nothing is
    /// known.
    pub(crate) fn chance(&self) -> f64 {
        (f64::from(self.stood) + 1.0) / (f64::from(self.seen) + 2.0)
    }
}

/// What was kept. Its spec is read only where a miss has to be explained: there are as many as nodes.
#[derive(Debug)]
pub(crate) struct Remembered {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) history: History,
    payload: Payload,
}

#[derive(Deserialize)]
struct Head {
    fingerprint: Fingerprint,
    history: History,
}

#[derive(Deserialize)]
struct Tail {
    spec: Spec,
    #[serde(default)]
    lines: Lines,
}

impl Remembered {
    /// How long the node took when it last ran; none where that is not known.
    pub(crate) fn cost(&self) -> Option<Duration> {
        self.history.cost()
    }

    /// What it was made from.
    pub(crate) fn spec(&self) -> Option<(Spec, Lines)> {
        self.payload.read::<Tail>().ok().map(|tail| (tail.spec, tail.lines))
    }
}

/// Everything that is kept for the package.
pub(crate) fn read(engine: &Engine) -> Result<HashMap<Address, Remembered>, EngineError> {
    let specs = engine.store.specs(&engine.package).map_err(EngineError::store("cannot read what ran before"))?;
    let mut all = HashMap::with_capacity(specs.len());
    for (address, payload) in specs {
        let Some(Head { fingerprint, history }) = head(&payload) else { continue };
        all.insert(Address(address), Remembered { fingerprint, history, payload });
    }
    Ok(all)
}

/// What comes before the spec, without a look at that: it is long, and there are as many as nodes.
fn head(payload: &Payload) -> Option<Head> {
    let before = payload.as_str().split_once(",\"spec\":").map(|(before, _)| format!("{before}}}"));
    // A record that is put together in another order is read as a whole.
    before.and_then(|text| serde_json::from_str(&text).ok()).or_else(|| payload.read().ok())
}

/// A memory as the publisher takes it.
pub(crate) fn new_spec(engine: &Engine, address: &Address, memory: &Memory) -> Result<NewSpec, EngineError> {
    let spec = Payload::of(memory).map_err(EngineError::store("cannot write down what ran"))?;
    Ok(NewSpec { package: engine.package.clone(), address: address.0.clone(), spec })
}

/// Keeps all of these, in one go.
pub(crate) fn write(engine: &Engine, memories: &[(Address, Memory)]) -> Result<(), EngineError> {
    if memories.is_empty() {
        return Ok(());
    }
    let payload = |(address, memory): &(Address, Memory)| Ok((address.0.clone(), Payload::of(memory)?));
    let specs: Result<Vec<_>, _> = memories.iter().map(payload).collect();
    specs
        .and_then(|specs| engine.store.remember_specs(&engine.package, &specs))
        .map_err(EngineError::store("cannot write down what ran"))
}
