//! `imgc check`: everything that can be said about a program without arguments, network or building.

use imgc_compiler::Checked;

use crate::args::CheckArgs;
use crate::arguments::Arguments;
use crate::commands::Context;
use crate::exit::{Exit, Outcome};
use crate::package::Package;
use crate::render::diagnostic;
use crate::world::DiskWorld;

/// Checks a program and prints what was found.
pub(crate) fn run(args: &CheckArgs, cx: &Context) -> Outcome {
    let package = Package::find(cx.directory(), args.path.as_deref())?;
    let checked = checked(&package);
    diagnostic::print(&cx.terminal, args.format.format, &checked.diagnostics, &checked.sources);
    Ok(if diagnostic::has_errors(&checked.diagnostics) { Exit::Program } else { Exit::Done })
}

/// What checking a package finds.
pub(crate) fn checked(package: &Package) -> Checked {
    // No digest is ever asked for by a check.
    let no_hash = Box::new(|_: &std::path::Path, _: &std::fs::Metadata| Err(std::io::ErrorKind::Unsupported.into()));
    let world = DiskWorld::new(&package.root, Arguments::default(), no_hash);
    imgc_compiler::check(&world, &package.entry)
}
