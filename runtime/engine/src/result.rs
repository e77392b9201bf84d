//! Results of nodes, and how they stand in the index of the store.

use imgc_backend::{Artifact, ImageConfig, Layer, LayerId};
use imgc_plan::{Digest, NodeId, State, node::Work};
use imgc_store::{IndexEntry, Payload, StoreError};
use serde::{Deserialize, Serialize};

/// What a node left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NodeResult {
    /// Of a source or step.
    Layer(Layer),
    /// Of an artifact.
    Artifact(Artifact),
    /// Of a step whose layer was not kept, or that belongs to a test: only what stands for it is known.
    Passed(State),
}

/// The payload of a test's last step: that it passed.
#[derive(Serialize, Deserialize)]
struct StoredPass {
    passed: State,
}

/// A result as its entry in the index has it. Chains are put together only where somebody needs them: the layers of a
/// chain of ten thousand steps hold fifty million ids.
#[derive(Debug)]
pub(crate) struct Known {
    /// What stands for the result in the fingerprints of its users.
    pub(crate) state: State,
    /// Seconds since 1970.
    pub(crate) created: i64,
    /// When the index last noted that it was used.
    pub(crate) used: i64,
    stored: Stored,
    /// How many layers its chain has.
    len: usize,
}

#[derive(Debug)]
enum Stored {
    Layer(StoredLayer),
    Artifact(Artifact),
    Passed,
}

impl Known {
    /// What an entry holds, for a step on a layer whose chain has so many layers; none where another imgc wrote it in
    /// a way this one does not read: a miss.
    pub(crate) fn read(work: &Work, is_probe: bool, entry: &IndexEntry, on: Option<usize>) -> Option<Self> {
        let (created, used) = (entry.created, entry.used);
        if is_probe {
            let StoredPass { passed: state } = entry.payload.read().ok()?;
            return Some(Self { state, created, used, stored: Stored::Passed, len: 0 });
        }
        match work {
            Work::Source(_) | Work::Step(_) => {
                let layer: StoredLayer = entry.payload.read().ok()?;
                if layer.below > 0 && on != Some(layer.below) {
                    return None;
                }
                let (state, len) = (layer.state, layer.below + layer.top.len());
                Some(Self { state, created, used, stored: Stored::Layer(layer), len })
            }
            Work::Artifact(_) => {
                let artifact: Artifact = entry.payload.read().ok()?;
                let state = State::content([artifact.digest], None);
                Some(Self { state, created, used, stored: Stored::Artifact(artifact), len: 0 })
            }
        }
    }

    /// How many layers its chain has.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The whole result of a step that runs on `on`.
    pub(crate) fn whole_on(&self, on: Option<&Layer>) -> Option<NodeResult> {
        let layer = match &self.stored {
            Stored::Artifact(artifact) => return Some(NodeResult::Artifact(artifact.clone())),
            Stored::Passed => return Some(NodeResult::Passed(self.state)),
            Stored::Layer(layer) => layer,
        };
        let lower = match (layer.below, on) {
            (0, _) => &[],
            (below, Some(on)) if on.chain.len() == below => on.chain.as_slice(),
            (_, _) => return None,
        };
        Some(NodeResult::Layer(layer.with_chain(lower.iter().chain(&layer.top).copied().collect())))
    }

    /// The whole result; `below` gives what is known of the step that the given one runs on, lower and lower.
    pub(crate) fn whole<'a>(&'a self, mut below: impl FnMut() -> Option<&'a Self>) -> Option<NodeResult> {
        let layer = match &self.stored {
            Stored::Artifact(artifact) => return Some(NodeResult::Artifact(artifact.clone())),
            Stored::Passed => return Some(NodeResult::Passed(self.state)),
            Stored::Layer(layer) => layer,
        };
        let mut parts = vec![layer.top.as_slice()];
        let mut missing = layer.below;
        while missing > 0 {
            let Stored::Layer(lower) = &below()?.stored else { return None };
            if lower.below + lower.top.len() != missing {
                return None;
            }
            parts.push(&lower.top);
            missing = lower.below;
        }
        let chain = parts.into_iter().rev().flatten().copied().collect();
        Some(NodeResult::Layer(layer.with_chain(chain)))
    }
}

/// A layer as its entry in the index has it: without the part of its chain that the layer below has too, or the
/// index would grow with the square of the length of chains.
#[derive(Debug, Serialize, Deserialize)]
struct StoredLayer {
    backend: String,
    state: State,
    /// How many layers of the chain are those of the layer below; either none of them or all.
    below: usize,
    /// The rest of the chain.
    top: Vec<LayerId>,
    epoch: i64,
    #[serde(default)]
    config: ImageConfig,
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    detail: serde_json::Value,
}

impl NodeResult {
    /// What stands for the result in the fingerprints of its users.
    pub(crate) fn state(&self) -> State {
        match self {
            Self::Layer(layer) => layer.state,
            Self::Artifact(artifact) => State::content([artifact.digest], None),
            Self::Passed(state) => *state,
        }
    }

    /// The layer, where it is one.
    pub(crate) fn layer(&self) -> Option<&Layer> {
        match self {
            Self::Layer(layer) => Some(layer),
            Self::Artifact(_) | Self::Passed(_) => None,
        }
    }

    /// The trees and objects that must stay in the store as long as the result does.
    pub(crate) fn refs(&self) -> Vec<Digest> {
        match self {
            Self::Layer(layer) => layer.chain.iter().map(|id| id.0).collect(),
            Self::Artifact(artifact) => artifact.path.iter().map(|_| artifact.digest).collect(),
            Self::Passed(_) => Vec::new(),
        }
    }

    /// The payload of an entry of the index; `on` is the layer that a step ran on.
    pub(crate) fn to_payload(&self, on: Option<&Layer>) -> Result<Payload, StoreError> {
        match self {
            Self::Layer(layer) => Payload::of(&StoredLayer::new(layer, on)),
            Self::Artifact(artifact) => Payload::of(artifact),
            Self::Passed(state) => Payload::of(&StoredPass { passed: *state }),
        }
    }
}

impl StoredLayer {
    fn new(layer: &Layer, on: Option<&Layer>) -> Self {
        // Equal states say equal chains only where the state is the content; else the whole chain is kept.
        let below = match (layer.state, on) {
            (State::Content { .. }, Some(on)) if layer.chain.starts_with(&on.chain) => on.chain.len(),
            (State::Content { .. } | State::Made(_), _) => 0,
        };
        Self {
            backend: layer.backend.clone(),
            state: layer.state,
            below,
            top: layer.chain.iter().skip(below).copied().collect(),
            epoch: layer.epoch,
            config: layer.config.clone(),
            detail: layer.detail.clone(),
        }
    }

    fn with_chain(&self, chain: Vec<LayerId>) -> Layer {
        Layer {
            backend: self.backend.clone(),
            state: self.state,
            chain,
            epoch: self.epoch,
            config: self.config.clone(),
            detail: self.detail.clone(),
        }
    }
}

/// The node that a step runs on.
pub(crate) fn stands_on(work: &Work) -> Option<NodeId> {
    match work {
        Work::Step(step) => Some(step.on),
        Work::Source(_) | Work::Artifact(_) => None,
    }
}
