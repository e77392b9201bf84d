//! End to end: the `imgc` binary on real engines, as root and as an ordinary user.
//!
//! Every test says loudly what it lacks; CI demands all of it (`CI=true` turns a lack into a failure).

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test ends where something does not hold, and says what it skips"
)]

mod bed;
mod caching;
mod carrying;
mod cleanup;
mod engines;
mod failures;
mod inside;
mod keeping;
mod limits;
mod machine;
mod mirrors;
mod repeat;
mod secrets;
mod shell;
mod steps;
mod testing;
mod unruly;
mod values;
