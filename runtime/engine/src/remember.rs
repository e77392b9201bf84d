//! What is kept under the address of a node: the fingerprint and spec it last had, and how long it took.
//!
//! It explains misses, estimates durations and says which entries a plan will most likely ask for. Nothing depends on
//! it: a run that dies before it is written is told less well the next time, that is all.

use std::collections::HashMap;
use std::time::Duration;

use imgc_plan::{Address, Fingerprint, Spec};
use imgc_store::Payload;
use serde::{Deserialize, Serialize};

use crate::{Engine, EngineError};

/// What is to be kept.
#[derive(Debug, Serialize)]
pub(crate) struct Memory {
    pub(crate) fingerprint: Fingerprint,
    /// How long it took to run, in milliseconds; none where it did not: what is known stays.
    pub(crate) cost_ms: Option<u64>,
    pub(crate) spec: Spec,
}

/// What was kept. Its spec is read only where a miss has to be explained: there are as many as nodes.
#[derive(Debug)]
pub(crate) struct Remembered {
    pub(crate) fingerprint: Fingerprint,
    cost_ms: Option<u64>,
    payload: Payload,
}

#[derive(Deserialize)]
struct Head {
    fingerprint: Fingerprint,
    cost_ms: Option<u64>,
}

#[derive(Deserialize)]
struct Tail {
    spec: Spec,
}

impl Remembered {
    /// How long the node took when it last ran; none where that is not known.
    pub(crate) fn cost(&self) -> Option<Duration> {
        self.cost_ms.map(Duration::from_millis)
    }

    /// What it was made from.
    pub(crate) fn spec(&self) -> Option<Spec> {
        self.payload.read::<Tail>().ok().map(|tail| tail.spec)
    }
}

/// Everything that is kept for the package.
pub(crate) fn read(engine: &Engine) -> Result<HashMap<Address, Remembered>, EngineError> {
    let specs = engine.store.specs(&engine.package).map_err(EngineError::store("cannot read what ran before"))?;
    let remembered = |payload: Payload| {
        let Head { fingerprint, cost_ms } = payload.read().ok()?;
        Some(Remembered { fingerprint, cost_ms, payload })
    };
    Ok(specs.into_iter().filter_map(|(address, payload)| Some((Address(address), remembered(payload)?))).collect())
}

/// Keeps all of these, in one go.
pub(crate) fn write(engine: &Engine, memories: &[(Address, Memory)]) -> Result<(), EngineError> {
    let payload = |(address, memory): &(Address, Memory)| Ok((address.0.clone(), Payload::of(memory)?));
    let specs: Result<Vec<_>, _> = memories.iter().map(payload).collect();
    specs
        .and_then(|specs| engine.store.remember_specs(&engine.package, &specs))
        .map_err(EngineError::store("cannot write down what ran"))
}
