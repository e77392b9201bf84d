//! The real agent, the very program that machines get, serving a socket on this host.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

mod agent;
mod bed;
mod diagnosis;
