//! The agent's client: a channel over any byte stream that leads to an agent in a machine.
//!
//! How the agent gets into the machine, and how the stream gets to it, is the business of others.

#![expect(clippy::wildcard_enum_match_arm, reason = "an answer that does not belong is one case, whichever it is")]

mod attach;
mod client;
mod transfer;

use imgc_backend::BackendError;

pub use client::{Client, Hello};
pub use imgc_agent::protocol;
pub use imgc_agent::protocol::PORT;

/// The agent as a static Linux program for machines of this architecture (`x86_64`, `aarch64`); none where this build
/// of imgc has none.
pub fn binary(architecture: &str) -> Option<&'static [u8]> {
    const AGENT: &[u8] = include_bytes!(env!("IMGC_AGENT"));
    (architecture == env!("IMGC_AGENT_ARCH") && !AGENT.is_empty()).then_some(AGENT)
}

/// The connection ended or fell silent.
fn lost(what: &str) -> BackendError {
    BackendError::Disconnected {
        message: format!("lost the connection to the guest's agent: {what}"),
        help: Some("if the step restarts the machine, give it `disconnect = \"expected\"`".to_owned()),
    }
}
