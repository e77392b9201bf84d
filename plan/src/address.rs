//! Addresses: the stable names of nodes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The stable name of a node: `module::image[key]/recipe/step "label"`.
///
/// The applied module has no `module::` part, so its addresses read `web/sh "enable"`. A source is
/// `web/from`, an artifact is the name of the first output or `let` that holds it (`container`, `boot[amd64]`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Address(pub String);

impl Address {
    /// The address of something below this one.
    #[must_use]
    pub fn join(&self, part: &str) -> Self {
        Self(format!("{}/{part}", self.0))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
