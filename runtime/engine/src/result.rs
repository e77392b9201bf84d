//! Results of nodes, and how they stand in the index of the store.

use imgc_backend::{Artifact, Layer};
use imgc_plan::{Digest, Plan, State, node::Work};
use imgc_store::{Payload, StoreError};

/// What a node left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NodeResult {
    /// Of a source or step.
    Layer(Layer),
    /// Of an artifact.
    Artifact(Artifact),
}

impl NodeResult {
    /// What stands for the result in the fingerprints of its users.
    pub(crate) fn state(&self) -> State {
        match self {
            Self::Layer(layer) => layer.state,
            Self::Artifact(artifact) => State::content([artifact.digest], None),
        }
    }

    /// The trees and objects that must stay in the store as long as the result does.
    pub(crate) fn refs(&self) -> Vec<Digest> {
        match self {
            Self::Layer(layer) => layer.chain.iter().map(|id| id.0).collect(),
            Self::Artifact(artifact) => artifact.path.iter().map(|_| artifact.digest).collect(),
        }
    }

    /// The payload of an entry of the index.
    pub(crate) fn to_payload(&self) -> Result<Payload, StoreError> {
        match self {
            Self::Layer(layer) => Payload::of(layer),
            Self::Artifact(artifact) => Payload::of(artifact),
        }
    }

    /// The result that a payload holds; none where another imgc wrote it in a way this one does not read: a miss.
    pub(crate) fn from_payload(work: &Work, payload: &Payload) -> Option<Self> {
        match work {
            Work::Source(_) | Work::Step(_) => payload.read().ok().map(Self::Layer),
            Work::Artifact(_) => payload.read().ok().map(Self::Artifact),
        }
    }
}

/// The states of a node's parents, in the order of [`Plan::parents`]; none where one of them is not known.
pub(crate) fn parent_states(
    plan: &Plan,
    id: imgc_plan::NodeId,
    state: impl Fn(imgc_plan::NodeId) -> Option<State>,
) -> Option<Vec<State>> {
    plan.parents(id).into_iter().map(state).collect()
}
