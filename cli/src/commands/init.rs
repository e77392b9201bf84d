//! `imgc init`: a first program that can be applied as it is.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::args::InitArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::package::{MAIN, MANIFEST};
use crate::terminal::{Style, Terminal, paint};

const PROGRAM: &str = include_str!("scaffold/main.imgc");
const IGNORED: &str = "/out/\n";

/// Writes the files of a new package; overwrites nothing.
pub(crate) fn run(args: &InitArgs, directory: Option<&Path>, terminal: &Terminal) -> Outcome {
    let base = directory.unwrap_or_else(|| Path::new("."));
    let dir = args.path.as_ref().map_or_else(|| base.to_path_buf(), |path| base.join(path));
    std::fs::create_dir_all(&dir).map_err(Failure::io(format!("cannot make `{}`", dir.display())))?;
    let there: Vec<PathBuf> = [MAIN, MANIFEST].iter().map(|name| dir.join(name)).filter(|path| path.exists()).collect();
    if let Some(first) = there.first() {
        return Err(Failure::program(format!("`{}` is there already; nothing was written", shown(first)))
            .help("run `imgc init` in an empty directory, or name one: `imgc init DIR`"));
    }
    let manifest = format!("name = {}\nedition = 1\n", toml::Value::String(name_of(&dir)));
    for (name, text) in [(MAIN, PROGRAM), (MANIFEST, manifest.as_str()), (".gitignore", IGNORED)] {
        let path = dir.join(name);
        match write_new(&path, text) {
            Ok(()) => terminal.out(format_args!("{} {}", paint(terminal.out_color, Style::Green, "+"), shown(&path))),
            // A `.gitignore` of the user's own stays as it is.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Failure::io(format!("cannot write `{}`", shown(&path)))(error)),
        }
    }
    let go_there = if dir == Path::new(".") { String::new() } else { format!(" -C {}", shown(&dir)) };
    terminal.out(format_args!("\nNext: imgc{go_there} plan, then imgc{go_there} apply"));
    Ok(Exit::Done)
}

fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}

fn shown(path: &Path) -> std::path::Display<'_> {
    path.strip_prefix(".").unwrap_or(path).display()
}

fn name_of(dir: &Path) -> String {
    let name = dir.canonicalize().ok().and_then(|dir| Some(dir.file_name()?.to_string_lossy().into_owned()));
    name.unwrap_or_else(|| "images".to_owned())
}
