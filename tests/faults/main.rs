//! What happens when imgc, its keeper, its disk or its clock fail: nothing wrong, nothing lost, nothing left.
//!
//! Processes are ended at fail points (`imgc_store::fault`, in builds with debug assertions only) and at times drawn from
//! the events of recorded runs. The base of every image is a static busybox, so that a build takes a fraction of a second.
//! `IMGC_FAULT_KILLS=1000` makes the random kills a bench.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test ends where something does not hold, and says what it skips and counts"
)]

mod bed;
mod carrying;
mod clocks;
mod disks;
mod flips;
mod kills;
mod leftovers;
mod many;
mod points;
