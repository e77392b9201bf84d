//! The standard library: declared as the runtime reads it, with examples that compile and run, and documented.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::format_push_string,
    clippy::format_collect,
    reason = "a test ends where something does not hold, and says what it skips"
)]

mod agreement;
mod checks;
mod examples;
mod program;
mod programs;
mod reference;

mod run;
mod seeds;
