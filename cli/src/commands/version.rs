//! `imgc version`.

use crate::exit::{Exit, Outcome};
use crate::terminal::Terminal;

/// What people call this version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit it was built from, where that was known.
pub(crate) const BUILD: &str = env!("IMGC_BUILD");

/// Prints the version and the build.
#[expect(clippy::unnecessary_wraps, reason = "every command has this shape")]
pub(crate) fn run(terminal: &Terminal) -> Outcome {
    terminal.out(format_args!("imgc {VERSION} (build {BUILD}, {}-{})", std::env::consts::OS, std::env::consts::ARCH));
    Ok(Exit::Done)
}
