//! The channel against OpenSSH's own server on the loopback, with a configuration, keys and a port of its own.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

mod bed;
mod files;
mod logins;
mod silence;
mod steps;
