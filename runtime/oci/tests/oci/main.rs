//! OCI images against the programs that read and write them: skopeo, podman, a real registry; and against servers
//! that misbehave.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that panics has failed")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

mod archive;
mod images;
mod layout;
mod reference;
mod registry;
mod server;
