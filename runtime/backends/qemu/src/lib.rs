//! The QEMU backend: virtual machines whose cached steps resume running.
//!
//! A layer has a disk part, a qcow2 overlay in the store, and as a rule a memory part beside it: the RAM and the devices of
//! the guest as it stood after the step. Where that fits, an edited step starts from the running guest; where it does not,
//! the guest boots and the reason is said. Nothing of this crate knows steps, the schedule or the language.

mod artifact;
mod backend;
mod booted;
mod command;
mod detail;
mod direct;
mod download;
mod errors;
mod failure;
mod further;
mod host;
mod images;
pub mod keeper;
mod link;
mod machine;
mod memory;
mod park;
mod probe;
mod process;
mod qmp;
mod record;
mod scrub;
mod seed;
mod shape;
mod ship;
mod source;
mod ssh;
mod sys;

pub use backend::Qemu;
pub use park::Parked;
