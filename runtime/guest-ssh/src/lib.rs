//! A channel over SSH: connecting and proving who one is, running steps as any user of the guest, putting files in
//! place, coming back after a restart, and bringing the agent into a guest that has a port for it.
//!
//! It knows nothing of what kind of machine the server runs on. Secrets and scripts reach the guest in a file in
//! memory that only the login's user can read, never on a command line.

mod authenticate;
mod client;
mod connect;
mod exec;
mod install;
mod login;
mod put;
mod remote;
mod shell;

pub use client::{Client, connect, connect_within};
pub use login::{Auth, Bastion, Endpoint, EphemeralKey, HostKeys, Login, ephemeral_key};
