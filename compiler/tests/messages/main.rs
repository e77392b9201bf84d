//! Tests of what the compiler tells people: pages, lints, fixes, documents, and where errors point after a slip.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and its helpers count as part of it")]

mod documents;
mod mutations;
mod pages;
#[path = "../it/random.rs"]
mod random;
#[path = "../it/world.rs"]
mod world;
