//! Lock, forecast, schedule, cancel, journal and explain; knows no backend by name.
//!
//! [`lock_sources`] pins the sources of a plan, [`select()`] finds the nodes that are wanted, [`forecast()`] says what would
//! run and why, [`apply()`] runs it. The engine reaches steps through a [`StepRunner`] and machines through an
//! [`Executor`]; it knows neither syntax nor what any step does.

pub mod apply;
mod by_node;
mod chains;
pub mod error;
pub mod estimate;
pub mod executor;
pub mod explain;
mod facts;
mod fill;
pub mod forecast;
pub mod journal;
mod lease;
mod lines;
pub mod lock;
pub mod open;
pub mod outputs;
mod refuse;
mod remember;
pub mod resources;
mod result;
pub mod run;
mod schedule;
pub mod select;
mod shared;
mod survey;
mod task;
pub mod tests_of_images;
mod vault;

use std::collections::BTreeMap;
use std::sync::Arc;

use imgc_backend::Backend;
use imgc_store::Store;

pub use apply::{Answer, Applied, Ask, CacheUse, NodeOutcome, OnError, Options, Outcome, apply, recover};
pub use error::{ApplyError, EngineError, Failure, Refused};
pub use estimate::Estimate;
pub use executor::{
    Chain, ChainSpec, Commit, Executor, Local, Ran, Stand, StepEnvironment, StepJob, StepRunner, Worth,
};
pub use explain::{Cause, Explanation};
pub use forecast::{Forecast, NodeForecast, Standing, forecast};
pub use lock::{LockChange, LockMode, lock_sources};
pub use open::{Moment, Opened, open_at, open_parked};
pub use outputs::Placed;
pub use resources::Limits;
pub use run::{RAN_NOTE, Run};
pub use select::{Selection, Target, select};
pub use tests_of_images::{TestOutcome, TestResult, run_tests, select_tests};

/// Every backend there is, by the name that plans use.
pub type Backends = BTreeMap<&'static str, Arc<dyn Backend>>;

/// What every operation of the engine works with. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    /// Where results are kept.
    pub store: Arc<Store>,
    /// Where images are built.
    pub backends: Backends,
    /// What runs steps over a channel.
    pub steps: Arc<dyn StepRunner>,
    /// A stable id of the package (its canonical path): what executed specs are remembered under.
    pub package: String,
}

impl Engine {
    /// The backend that does what a node says: the one it names; for an artifact that this one does not make, such as a
    /// disk in another format, the one that does.
    pub fn backend(&self, node: &imgc_plan::Node) -> Option<&Arc<dyn imgc_backend::Backend>> {
        let named = self.backends.get(node.backend.as_str())?;
        let makes = |backend: &&Arc<dyn imgc_backend::Backend>| {
            backend.offers().artifacts.iter().any(|kind| kind.name == node.kind)
        };
        match node.work {
            imgc_plan::Work::Artifact(_) if !makes(&named) => self.backends.values().find(makes).or(Some(named)),
            imgc_plan::Work::Artifact(_) | imgc_plan::Work::Source(_) | imgc_plan::Work::Step(_) => Some(named),
        }
    }
}
