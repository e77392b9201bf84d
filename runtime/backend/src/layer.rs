//! Layers: what one step left, on any backend.

use std::collections::BTreeMap;

use imgc_plan::{Digest, State};
use serde::{Deserialize, Serialize};

/// Names one layer of a chain; what it is a digest of is the backend's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LayerId(pub Digest);

/// What an image stands on after a step: everything needed to open a machine there again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The backend that made it and can open it.
    pub backend: String,
    /// What users of this layer put in their fingerprints.
    pub state: State,
    /// From the source up, empty layers left out. For backends whose state is `Content` the same digests as there.
    pub chain: Vec<LayerId>,
    /// Seconds since 1970 that time stamps are clamped to; from the locked source.
    pub epoch: i64,
    /// What the source said about how its containers run; steps inherit its environment.
    pub config: ImageConfig,
    /// What the backend needs besides to find the layer again, in a form of its own: the id of a snapshot, the name of
    /// an image in an engine, the memory class and object of a memory part. Null where digests say everything.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub detail: serde_json::Value,
}

impl Layer {
    /// A layer whose state is its content: the chain as it stands in the store.
    pub fn content(backend: &str, chain: Vec<LayerId>, epoch: i64, config: ImageConfig) -> Self {
        let state = State::content(chain.iter().map(|id| id.0), config.digest());
        Self { backend: backend.to_owned(), state, chain, epoch, config, detail: serde_json::Value::Null }
    }

    /// This layer with one more on top; with none (the step changed nothing) it is this layer again.
    #[must_use]
    pub fn grown(&self, top: Option<LayerId>) -> Self {
        let mut grown = self.clone();
        if let Some(id) = top {
            grown.state = self.state.and(id.0);
            grown.chain.push(id);
        }
        grown
    }
}

/// How containers of an image run, as far as OCI's image configuration has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Executed first; the command follows as its arguments.
    pub entrypoint: Vec<String>,
    /// Default arguments.
    pub cmd: Vec<String>,
    /// `name`, `uid`, `uid:gid`; empty for root.
    pub user: String,
    /// Absolute; empty for `/`.
    pub workdir: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `80/tcp`.
    pub ports: Vec<String>,
}

impl ImageConfig {
    /// A digest of the configuration; none where it says nothing.
    pub fn digest(&self) -> Option<Digest> {
        if *self == Self::default() {
            return None;
        }
        serde_json::to_vec(self).ok().map(|bytes| Digest::of(&bytes))
    }
}

/// Whether a layer can still be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// All its parts are there.
    Present,
    /// A part is missing or failed its check: a miss.
    Gone,
}
