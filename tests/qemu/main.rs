//! Virtual machines under TCG, on a Debian disk that the rootfs backend builds: cached steps go on from the running
//! guest, boot to the same files without its memory, and leave nothing running.

#[expect(dead_code, reason = "shared with the end-to-end tests, which use more of it")]
#[path = "../e2e/bed.rs"]
mod bed;
mod failing;
mod guests;
mod resuming;
