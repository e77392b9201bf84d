//! What an analysis keeps changes nothing but its time: after any edits it says what one from scratch says.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and says how much it tried"
)]

mod broken;
mod edits;
mod large;
#[path = "../it/random.rs"]
mod random;
#[path = "../../../tests/workspace/mod.rs"]
mod workspace;
mod world;
