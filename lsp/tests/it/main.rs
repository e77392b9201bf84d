//! The server from a client's side, over the protocol alone.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test ends where something does not hold"
)]

mod abilities;
mod beside;
mod client;
mod completing;
mod corpus;
mod faults;
mod rewrites;
mod session;
mod typing;
