//! Tests at the compiler's boundary: text and a world in, plan and diagnostics out.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    clippy::format_push_string,
    reason = "a test fails by panicking, and its helpers count as part of it"
)]

mod corpus;
mod examples;
mod fixes;
mod formatting;
mod performance;
mod properties;
mod random;
mod render;
mod robust;
mod said;
mod samples;
mod shell;
mod syntax;
mod world;
