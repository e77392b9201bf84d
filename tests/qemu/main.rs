//! Virtual machines under TCG, on a Debian disk that the rootfs backend builds: cached steps go on from the running
//! guest, boot to the same files without its memory, and leave nothing running.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test ends where something does not hold, and says what it skips"
)]

mod artifacts;
#[expect(dead_code, reason = "shared with the end-to-end tests, which use more of it")]
#[path = "../e2e/bed.rs"]
mod bed;
mod breaking;
mod clones;
mod downloads;
mod examples;
mod failing;
mod firmware;
mod full;
mod guests;
mod hanging;
mod host;
mod limits;
mod newer;
mod resuming;
mod seeding;
mod shipping;
