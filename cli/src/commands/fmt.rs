//! `imgc fmt`: programs in the one form there is.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use imgc_compiler::{ModuleId, Source, Sources};

use crate::args::{FmtArgs, Format};
use crate::commands::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::render::diagnostic;

/// The most bytes of a program.
const LIMIT: u64 = 1024 * 1024;

/// What formatting one text gave.
enum Formatted {
    /// The text in its form; perhaps as it was.
    Text(String),
    /// It has faults, which were printed.
    Faulty,
}

/// Formats files in place, or standard input to standard output.
pub(crate) fn run(args: &FmtArgs, cx: &Context) -> Outcome {
    if args.paths.iter().any(|path| path == Path::new("-")) {
        return stdin(args, cx);
    }
    let base = cx.directory().unwrap_or_else(|| Path::new("."));
    let paths = if args.paths.is_empty() { vec![PathBuf::new()] } else { args.paths.clone() };
    let mut exit = Exit::Done;
    for path in paths {
        let path = if path.as_os_str().is_empty() { base.to_path_buf() } else { base.join(path) };
        for file in files(&path)? {
            let of_file = one(&file, args.check, cx)?;
            if of_file != Exit::Done {
                exit = of_file;
            }
        }
    }
    Ok(exit)
}

fn stdin(args: &FmtArgs, cx: &Context) -> Outcome {
    if args.paths.len() > 1 {
        return Err(Failure::usage("`-` stands for standard input and cannot be combined with files"));
    }
    let mut bytes = Vec::new();
    let limited = std::io::stdin().lock().take(LIMIT + 1).read_to_end(&mut bytes);
    limited.map_err(Failure::io("cannot read standard input"))?;
    let text = text_of(bytes, "standard input")?;
    match format("stdin", &text, cx) {
        Formatted::Faulty => Ok(Exit::Program),
        Formatted::Text(formatted) if args.check => Ok(if formatted == text { Exit::Done } else { Exit::Program }),
        Formatted::Text(formatted) => {
            cx.terminal.write(formatted.as_bytes());
            Ok(Exit::Done)
        }
    }
}

/// Every `.imgc` file at or below a path, sorted; hidden and ignored ones are left out.
fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let meta = std::fs::metadata(path)
        .map_err(|error| Failure::program(format!("cannot read `{}`", path.display())).because(&error))?;
    if !meta.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let walk = ignore::WalkBuilder::new(path).require_git(false).add_custom_ignore_filename(".imgcignore").build();
    let mut found = Vec::new();
    for entry in walk {
        let entry = entry.map_err(|error| {
            Failure::environment(format!("cannot read all of `{}`", path.display())).because(&error)
        })?;
        let is_program = entry.path().extension().is_some_and(|ending| ending == "imgc");
        if is_program && entry.file_type().is_some_and(|kind| kind.is_file()) {
            found.push(entry.into_path());
        }
    }
    found.sort();
    Ok(found)
}

fn one(file: &Path, check: bool, cx: &Context) -> Outcome {
    let shown = file.strip_prefix(".").unwrap_or(file).display().to_string();
    let failed = |error: std::io::Error| Failure::program(format!("cannot read `{shown}`")).because(&error);
    if std::fs::metadata(file).map_err(failed)?.len() > LIMIT {
        return Err(Failure::program(format!("`{shown}` is larger than the limit of 1 MiB")));
    }
    let text = text_of(std::fs::read(file).map_err(failed)?, &shown)?;
    match format(&shown, &text, cx) {
        Formatted::Faulty => Ok(Exit::Program),
        Formatted::Text(formatted) if formatted == text => Ok(Exit::Done),
        Formatted::Text(_) if check => {
            cx.terminal.out(&shown);
            Ok(Exit::Program)
        }
        Formatted::Text(formatted) => {
            let real = file.canonicalize().map_err(failed)?;
            let permissions = std::fs::metadata(&real).map_err(failed)?.permissions();
            crate::lockfile::write_whole(&real, formatted.as_bytes())?;
            std::fs::set_permissions(&real, permissions).map_err(failed)?;
            cx.terminal.out(&shown);
            Ok(Exit::Done)
        }
    }
}

fn text_of(bytes: Vec<u8>, shown: &str) -> Result<String, Failure> {
    if bytes.len() as u64 > LIMIT {
        return Err(Failure::program(format!("{shown} is larger than the limit of 1 MiB")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::program(format!("{shown} is not UTF-8: byte {at} is invalid"))
    })
}

fn format(shown: &str, text: &str, cx: &Context) -> Formatted {
    let parsed = imgc_compiler::parse::parse(text, ModuleId(0));
    if diagnostic::has_errors(&parsed.diagnostics) {
        let source = Source::new(Arc::from(shown), Arc::from(text), &parsed.module.starts);
        let sources = Sources::of(source);
        diagnostic::print(&cx.terminal, Format::Human, &parsed.diagnostics, &sources);
        return Formatted::Faulty;
    }
    Formatted::Text(imgc_compiler::format::format(&parsed))
}
