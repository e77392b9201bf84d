//! The agent: serves execution, file transfer, clock, entropy and freezing to one client over a byte stream, usually a
//! virtio-serial port, and the protocol that both sides speak.
//!
//! It lives in memory only, keeps nothing, and trusts its client, which has the guest's memory in its hands anyway. It
//! knows nothing of steps, images or layers. Depends on nothing but the standard library, so that one call of the
//! compiler makes a static program of it.

pub mod protocol;

#[cfg(target_os = "linux")]
mod accounts;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod freeze;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod server;
#[cfg(target_os = "linux")]
mod sys;

#[cfg(target_os = "linux")]
pub use server::{detach, find_port, serve};
