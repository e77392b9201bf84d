//! Secrets on the runtime's side: who fetches them, the texts that hold them, and what must not be found elsewhere.
//!
//! Values exist only between [`Cx::reveal`] and the machine that the step runs in; they are wiped when dropped.

mod needles;

use std::sync::Arc;

use imgc_plan::{NodeId, Part, SecretRef};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use needles::{Found, Mask, Needles};

use crate::{BackendError, Cx};

/// A text argument that may hold secrets: what a field of the type `String | Secret<String>` or `Secret<String>`
/// deserialises to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Text {
    /// A text like any other.
    Plain(String),
    /// A text with secrets in it.
    Secret {
        /// In order.
        template: Vec<Part>,
    },
}

impl Text {
    /// The text where it holds no secret.
    pub fn plain(&self) -> Option<&str> {
        match self {
            Self::Plain(text) => Some(text),
            Self::Secret { .. } => None,
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::Plain(text.to_owned())
    }
}

/// Who has the values of secrets. One a run; it fetches each value once.
#[async_trait::async_trait]
pub trait Vault: Send + Sync {
    /// The value of a secret, for a node that runs now.
    ///
    /// # Errors
    /// Where it comes from does not have it; the error names that, never a value.
    async fn fetch(&self, name: &SecretRef, cx: &Cx) -> Result<Arc<Zeroizing<String>>, BackendError>;

    /// What the values that this node was given look like, wherever they turn up.
    fn needles(&self, node: NodeId) -> Arc<Needles>;
}

/// The vault of a run; cheap to clone.
#[derive(Clone)]
pub struct Secrets(Arc<dyn Vault>);

impl Secrets {
    /// The secrets of this vault.
    pub fn new(vault: Arc<dyn Vault>) -> Self {
        Self(vault)
    }
}

impl Default for Secrets {
    /// No secrets at all.
    fn default() -> Self {
        Self(Arc::new(Empty))
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

struct Empty;

#[async_trait::async_trait]
impl Vault for Empty {
    async fn fetch(&self, name: &SecretRef, _: &Cx) -> Result<Arc<Zeroizing<String>>, BackendError> {
        Err(BackendError::Internal { message: format!("the secret `{}` was asked for where there are none", name.0) })
    }

    fn needles(&self, _: NodeId) -> Arc<Needles> {
        Arc::default()
    }
}

impl Cx {
    /// The text with the values of its secrets. Ask when the step runs, and keep it no longer than that.
    ///
    /// # Errors
    /// As [`Vault::fetch`].
    pub async fn reveal(&self, text: &Text) -> Result<Zeroizing<String>, BackendError> {
        let parts = match text {
            Text::Plain(text) => return Ok(Zeroizing::new(text.clone())),
            Text::Secret { template } => template,
        };
        let mut values = Vec::with_capacity(parts.len());
        for part in parts {
            values.push(match part {
                Part::Text(text) => Arc::new(Zeroizing::new(text.clone())),
                Part::Secret(name) => self.secrets.0.fetch(name, self).await?,
                Part::Build { value, .. } => {
                    let message = format!("a value of node {} was not filled in", value.node.0);
                    return Err(BackendError::Internal { message });
                }
            });
        }
        // Of the right size from the start: growing would leave copies behind.
        let mut whole = String::with_capacity(values.iter().map(|value| value.len()).sum());
        for value in &values {
            whole.push_str(value);
        }
        Ok(Zeroizing::new(whole))
    }

    /// What the secrets that the node at hand was given look like: nothing of it may be in the layer it leaves.
    pub fn needles(&self) -> Arc<Needles> {
        self.node.map_or_else(Arc::default, |node| self.secrets.0.needles(node))
    }
}
