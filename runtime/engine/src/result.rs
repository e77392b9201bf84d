//! Results of nodes, and how they stand in the index of the store.

use imgc_backend::{Artifact, ImageConfig, Layer, LayerId};
use imgc_plan::{Digest, NodeId, Plan, State, node::Work};
use imgc_store::{Payload, StoreError};
use serde::{Deserialize, Serialize};

/// What a node left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NodeResult {
    /// Of a source or step.
    Layer(Layer),
    /// Of an artifact.
    Artifact(Artifact),
}

/// A layer as its entry in the index has it: without the part of its chain that the layer below has too, or the
/// index would grow with the square of the length of chains.
#[derive(Serialize, Deserialize)]
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
        }
    }

    /// The layer, where it is one.
    pub(crate) fn layer(&self) -> Option<&Layer> {
        match self {
            Self::Layer(layer) => Some(layer),
            Self::Artifact(_) => None,
        }
    }

    /// The trees and objects that must stay in the store as long as the result does.
    pub(crate) fn refs(&self) -> Vec<Digest> {
        match self {
            Self::Layer(layer) => layer.chain.iter().map(|id| id.0).collect(),
            Self::Artifact(artifact) => artifact.path.iter().map(|_| artifact.digest).collect(),
        }
    }

    /// The payload of an entry of the index; `on` is the layer that a step ran on.
    pub(crate) fn to_payload(&self, on: Option<&Layer>) -> Result<Payload, StoreError> {
        match self {
            Self::Layer(layer) => Payload::of(&StoredLayer::new(layer, on)),
            Self::Artifact(artifact) => Payload::of(artifact),
        }
    }

    /// The result that a payload holds, for a step that would run on `on`; none where another imgc wrote it in a way
    /// this one does not read: a miss.
    pub(crate) fn from_payload(work: &Work, payload: &Payload, on: Option<&Layer>) -> Option<Self> {
        match work {
            Work::Source(_) | Work::Step(_) => payload.read::<StoredLayer>().ok()?.layer(on).map(Self::Layer),
            Work::Artifact(_) => payload.read().ok().map(Self::Artifact),
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

    fn layer(self, on: Option<&Layer>) -> Option<Layer> {
        let chain = match (self.below, on) {
            (0, _) => self.top.clone(),
            (below, Some(on)) if below == on.chain.len() => on.chain.iter().copied().chain(self.top).collect(),
            (_, _) => return None,
        };
        let Self { backend, state, epoch, config, detail, .. } = self;
        Some(Layer { backend, state, chain, epoch, config, detail })
    }
}

/// The states of a node's parents, in the order of [`Plan::inputs`]; none where one of them is not known.
pub(crate) fn parent_states(plan: &Plan, id: NodeId, state: impl Fn(NodeId) -> Option<State>) -> Option<Vec<State>> {
    plan.inputs(id).into_iter().map(state).collect()
}

/// The node that a step runs on.
pub(crate) fn stands_on(work: &Work) -> Option<NodeId> {
    match work {
        Work::Step(step) => Some(step.on),
        Work::Source(_) | Work::Artifact(_) => None,
    }
}
