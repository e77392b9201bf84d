//! Tests of what the compiler tells people: pages, lints, fixes, documents, and where errors point after a slip.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::format_push_string,
    reason = "a test fails by panicking, and its helpers count as part of it"
)]

mod mutations;
mod pages;
#[path = "../it/random.rs"]
mod random;
#[path = "../it/world.rs"]
mod world;
