//! The keeper's program.

use std::process::ExitCode;

/// The argument by which the `imgc` binary knows that it is to be the keeper.
pub const ARGUMENT: &str = "step-init";

/// Runs the keeper; `imgc step-init` calls it before anything else.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
