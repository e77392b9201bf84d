//! Parking: the tree of a machine whose step failed, kept for `imgc shell` until the next apply or `imgc clean`.
//!
//! Nothing lives on: what the steps changed becomes a tree of the store that no entry of the index names, and the
//! journal of the run says where it is.

use imgc_backend::journal::{Intended, Lasting};
use imgc_backend::{BackendError, Cx, Effect, Layer, LayerId, Recovered};
use imgc_store::Store;
use serde::{Deserialize, Serialize};

use crate::backend::NAME;
use crate::errors;

/// The kind of the effect in the journal.
const KIND: &str = "tree";

/// What is written down of a parked tree.
#[derive(Debug, Serialize, Deserialize)]
struct Parked {
    /// What a machine has to be opened on.
    layer: Layer,
    /// The part of it that only this keeps.
    top: Option<LayerId>,
}

/// Writes a tree down; what `imgc shell` finds it by. `keep` puts it into the store.
pub(crate) async fn park<F>(below: &Layer, cx: &Cx, keep: impl FnOnce() -> F + Send) -> Result<String, BackendError>
where
    F: Future<Output = Result<Option<LayerId>, BackendError>> + Send,
{
    let tags = std::collections::BTreeMap::new();
    let intent = cx.journal.intend(Intended { backend: NAME, kind: KIND, lasting: Lasting::Beyond, tags })?;
    let token = intent.token().to_owned();
    let top = match keep().await {
        Ok(top) => top,
        Err(error) => {
            intent.abandoned()?;
            return Err(error);
        }
    };
    let parked = Parked { layer: below.grown(top), top };
    let internal = |error: serde_json::Error| BackendError::Internal { message: error.to_string() };
    // Dropped, it stays open in the journal: whoever replays that takes the tree away.
    drop(intent.created(serde_json::to_value(&parked).map_err(internal)?)?);
    Ok(token)
}

/// The layer of a parked tree; none where the effect is another one.
pub(crate) fn layer(effect: &Effect) -> Option<Layer> {
    read(effect).map(|parked| parked.layer)
}

/// Whether an effect is a parked tree, found or not.
pub(crate) fn is_one(effect: &Effect) -> bool {
    effect.kind == KIND
}

/// Takes a parked tree of a run that ended out of the store. Blocks.
pub(crate) fn recover(store: &Store, effect: &Effect) -> Result<Recovered, BackendError> {
    let Some(top) = read(effect).and_then(|parked| parked.top) else { return Ok(Recovered::Gone) };
    // While others use the store it stays, and goes when the store is trimmed: no entry needs it.
    let removed = store.remove_tree_unneeded(&top.0).map_err(errors::store)?;
    Ok(if removed { Recovered::Destroyed } else { Recovered::Gone })
}

fn read(effect: &Effect) -> Option<Parked> {
    is_one(effect).then(|| serde_json::from_value(effect.detail.clone()).ok()).flatten()
}
