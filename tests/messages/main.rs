//! What the command tells people about their programs, and how it mends them. No network, no engine.

#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    dead_code,
    reason = "a test ends where something does not hold; the bed serves other tests, too"
)]

#[path = "../cli/bed.rs"]
mod bed;
mod explain;
mod fixing;
mod formats;
mod terminal;
