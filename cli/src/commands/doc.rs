//! `imgc doc`: the reference of a package, or of the language, from what is written in it.

use std::path::Path;

use imgc_compiler::reference;

use crate::args::{DocArgs, DocFormat};
use crate::arguments::Arguments;
use crate::commands::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::package::Package;
use crate::render::{diagnostic, reference as pages};
use crate::world::DiskWorld;

/// Prints the pages, or writes them into a directory.
pub(crate) fn run(args: &DocArgs, cx: &Context) -> Outcome {
    let described = if args.std {
        reference::standard_library()
    } else {
        let package = Package::find(cx.directory(), args.path.as_deref())?;
        // No digest is ever asked for by documentation.
        let no_hash = Box::new(|_: &Path, _: &std::fs::Metadata| Err(std::io::ErrorKind::Unsupported.into()));
        reference::package(&DiskWorld::new(&package.root, Arguments::default(), no_hash), &package.entry)
    };
    if diagnostic::has_errors(&described.diagnostics) {
        diagnostic::print(&cx.terminal, crate::args::Format::Human, &described.diagnostics, &described.sources);
        return Ok(Exit::Program);
    }
    let pages = match (args.format, args.std) {
        (DocFormat::Json, _) => vec![pages::json(&described)],
        (DocFormat::Markdown, true) => pages::language(&described),
        (DocFormat::Markdown, false) => pages::package(&described),
    };
    match &args.out_dir {
        Some(dir) => write(dir, &pages, cx)?,
        None => pages.iter().for_each(|page| cx.terminal.out(page.text.trim_end())),
    }
    Ok(Exit::Done)
}

fn write(dir: &Path, pages: &[pages::Page], cx: &Context) -> Result<(), Failure> {
    for page in pages {
        let path = dir.join(&page.name);
        let parent = path.parent().unwrap_or(dir);
        std::fs::create_dir_all(parent).map_err(Failure::io(format!("cannot make `{}`", parent.display())))?;
        std::fs::write(&path, &page.text).map_err(Failure::io(format!("cannot write `{}`", path.display())))?;
    }
    cx.terminal.out(format_args!("{} pages in {}", pages.len(), dir.display()));
    Ok(())
}
