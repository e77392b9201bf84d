//! Machines, sources and artifacts of the rootfs backend on the real kernel, as root and as an ordinary user.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests, though with a main of their own"
)]

mod bed;
mod debian;
mod files;
mod killing;
mod steps;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// A test: a name and what it does.
type Test = (&'static str, fn());

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(imgc_rootfs::step_init::ARGUMENT) {
        return imgc_rootfs::step_init::main();
    }
    let arguments = Arguments::from_args();
    if !arguments.list
        && let Err(error) = imgc_rootfs::enter()
    {
        eprintln!("{error}: {}", error.help.as_deref().unwrap_or_default());
        return ExitCode::FAILURE;
    }
    if let Some(role) = std::env::var_os("IMGC_TEST_ROLE") {
        return killing::victim(&role);
    }
    let tests = [steps::TESTS, files::TESTS, killing::TESTS, debian::TESTS].concat();
    let trial = |(name, test): Test| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    libtest_mimic::run(&arguments, tests.into_iter().map(trial).collect()).exit_code()
}
