//! What a layer of this backend says besides its chain.

use imgc_backend::Layer;
use imgc_plan::Digest;
use serde::{Deserialize, Serialize};

/// The detail of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Detail {
    /// The format of the lowest image of the chain; all others are overlays.
    pub(crate) base: String,
    /// The size that the guest sees, in bytes.
    pub(crate) size: u64,
    /// The name of its memory part, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<String>,
    /// Why there is none, where one could have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    /// The images of each further disk, the lowest first. They stand in the layer's chain as well, which keeps them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) disks: Vec<Vec<Digest>>,
    /// The machine that the layer was made in, so that its disk can be shut down and shipped later.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub(crate) machine: serde_json::Value,
}

impl Detail {
    /// Reads it; a layer without one is a qcow2 image of unknown size.
    pub(crate) fn of(layer: &Layer) -> Self {
        serde_json::from_value(layer.detail.clone()).unwrap_or_else(|_| Self {
            base: "qcow2".to_owned(),
            size: 0,
            memory: None,
            why: None,
            disks: Vec::new(),
            machine: serde_json::Value::Null,
        })
    }

    /// As layers hold it.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}
