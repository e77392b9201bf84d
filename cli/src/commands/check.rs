//! `imgc check`: everything that can be said about a program without arguments, network or building.

use std::path::Path;
use std::sync::Arc;

use imgc_compiler::diagnostic::Applicability;
use imgc_compiler::fix::{self, Fixed, Mended};
use imgc_compiler::{Checked, Diagnostic, Severity, Sources};
use similar::TextDiff;

use crate::args::{CheckArgs, CheckFormat, FixLevel, Format};
use crate::arguments::Arguments;
use crate::commands::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::lockfile::write_whole;
use crate::package::Package;
use crate::render::{diagnostic, sarif, text};
use crate::terminal::Terminal;
use crate::world::DiskWorld;

/// Checks a program, mends it where asked to, and prints what was found.
pub(crate) fn run(args: &CheckArgs, cx: &Context) -> Outcome {
    let package = Package::find(cx.directory(), args.path.as_deref())?;
    let checked = match args.fix {
        None => checked(&package),
        Some(level) => {
            let fixed = fix::fix(&world(&package), &package.entry, applicability(level));
            if args.dry_run {
                show(&fixed, &cx.terminal);
                return Ok(if fixed.applied > 0 { Exit::Program } else { Exit::Done });
            }
            write(&fixed, &package, cx)?;
            fixed.checked
        }
    };
    print(args.format, &cx.terminal, (&checked.diagnostics, &checked.sources), &package);
    let denied = args.deny_warnings && checked.diagnostics.iter().any(|d| d.severity == Severity::Warning);
    Ok(if denied || diagnostic::has_errors(&checked.diagnostics) { Exit::Program } else { Exit::Done })
}

fn print(
    format: CheckFormat,
    terminal: &Terminal,
    (diagnostics, sources): (&[Diagnostic], &Sources),
    package: &Package,
) {
    match format {
        CheckFormat::Human => diagnostic::print(terminal, Format::Human, diagnostics, sources),
        CheckFormat::Json => diagnostic::print(terminal, Format::Json, diagnostics, sources),
        CheckFormat::Sarif => terminal.out(diagnostic::safe(&sarif::document(diagnostics, sources, &package.root))),
    }
}

/// What checking a package finds.
pub(crate) fn checked(package: &Package) -> Checked {
    imgc_compiler::check(&world(package), &package.entry)
}

fn world(package: &Package) -> DiskWorld {
    // No digest is ever asked for by a check.
    let no_hash = Box::new(|_: &Path, _: &std::fs::Metadata| Err(std::io::ErrorKind::Unsupported.into()));
    DiskWorld::new(&package.root, Arguments::default(), no_hash)
}

fn applicability(level: FixLevel) -> Applicability {
    match level {
        FixLevel::Safe => Applicability::Safe,
        FixLevel::Maybe => Applicability::Maybe,
    }
}

/// What would change, as `patch -p1` takes it.
fn show(fixed: &Fixed, terminal: &Terminal) {
    for mended in &fixed.mended {
        let diff = TextDiff::from_lines(&*mended.before, &*mended.after);
        let (from, to) = (format!("a/{}", mended.path), format!("b/{}", mended.path));
        terminal.write(diff.unified_diff().header(&from, &to).to_string().as_bytes());
    }
}

/// Writes changed modules, each as a whole, and says which.
fn write(fixed: &Fixed, package: &Package, cx: &Context) -> Result<(), Failure> {
    let files: Vec<_> = fixed.mended.iter().map(|mended| (mended, package.root.join(&mended.path))).collect();
    // Nothing is written where anything has changed since it was read: somebody else's edit would be lost.
    for (mended, path) in &files {
        unchanged(mended, path)?;
    }
    for (mended, path) in &files {
        let failed =
            |error: std::io::Error| Failure::program(format!("cannot write `{}`", mended.path)).because(&error);
        let real = path.canonicalize().map_err(failed)?;
        let permissions = std::fs::metadata(&real).map_err(failed)?.permissions();
        write_whole(&real, mended.after.as_bytes())?;
        std::fs::set_permissions(&real, permissions).map_err(failed)?;
    }
    if fixed.applied > 0 {
        let (places, files) = (text::count(fixed.applied, "place"), text::count(fixed.mended.len(), "file"));
        cx.terminal.note(format_args!("mended {places} in {files}"));
    }
    Ok(())
}

fn unchanged(mended: &Mended, path: &Path) -> Result<(), Failure> {
    let now = std::fs::read(path).map(Arc::<[u8]>::from);
    match now {
        Ok(now) if *now == *mended.before.as_bytes() => Ok(()),
        Ok(_) => Err(Failure::program(format!("`{}` was changed while it was checked", mended.path))
            .help("nothing was written; run the command again")),
        Err(error) => Err(Failure::program(format!("cannot read `{}`", mended.path)).because(&error)),
    }
}
