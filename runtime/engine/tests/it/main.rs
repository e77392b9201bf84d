//! The engine over a backend in memory.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails here fails as it should")]

mod bed;
mod caching;
mod critical;
mod failing;
mod fake;
mod far;
mod journal;
mod outputs;
mod pinned;
mod policies;
mod random;
mod remote;
mod scheduling;
mod telling;
