//! `imgc lsp`: the language server over standard input and output.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use imgc_lsp::{Ended, Host};

use crate::commands::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::package::MAIN;
use crate::places::Places;
use crate::planned::Planned;

/// Serves one editor until it says goodbye or is gone.
pub(crate) fn run(cx: &Context) -> Outcome {
    log_panics(cx);
    // Without a place for files, clients that need one still have everything else.
    let places = Places::new(cx.global.cache_dir.as_deref()).ok();
    let ended = imgc_lsp::serve_streams(std::io::stdin(), std::io::stdout(), Arc::new(Program { places }));
    match ended.map_err(Failure::io("cannot talk to the editor"))? {
        Ended::Asked => Ok(Exit::Done),
        Ended::Gone => Ok(Exit::Program),
    }
}

/// A panic in one request is that request's error: it must not end the server, as it ends every other command.
fn log_panics(cx: &Context) {
    let terminal = cx.terminal;
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map(|at| format!(" at {}:{}", at.file(), at.line())).unwrap_or_default();
        terminal.err(format_args!("internal error{place}: {}", info.payload_as_str().unwrap_or("unknown")));
    }));
}

/// What this program knows of packages beside their texts.
struct Program {
    places: Option<Places>,
}

impl Program {
    /// Texts of another build may differ, so each has a folder of its own.
    fn texts(&self) -> Option<PathBuf> {
        let build = super::version::BUILD;
        Some(self.places.as_ref()?.texts().join(format!("{}-{build}", super::version::VERSION)))
    }

    /// What was planned last of a module: by a plan of its own, else by the package's as a module that it imports.
    fn last_plan(&self, root: &Path, module: &str) -> Planned {
        // Plans name the package by where it really is.
        let (Some(places), Ok(root)) = (&self.places, root.canonicalize()) else { return Planned::default() };
        let read = |module: &str| Planned::read(&places.planned(&root, module));
        let own = read(module);
        own.or_else(|| Some(read(MAIN)?.of_import(module))).unwrap_or_default()
    }
}

impl Host for Program {
    fn version(&self) -> String {
        super::version::VERSION.to_owned()
    }

    fn file_of(&self, path: &str, text: &str) -> Option<PathBuf> {
        let file = self.texts()?.join(path.strip_prefix("std/").unwrap_or(path));
        if !file.is_file() {
            std::fs::create_dir_all(file.parent()?).ok()?;
            crate::lockfile::write_whole(&file, text.as_bytes()).ok()?;
            let mut permissions = std::fs::metadata(&file).ok()?.permissions();
            permissions.set_readonly(true);
            std::fs::set_permissions(&file, permissions).ok()?;
        }
        Some(file)
    }

    fn path_of(&self, file: &Path) -> Option<String> {
        let below = file.strip_prefix(self.texts()?).ok()?;
        Some(format!("std/{}", below.to_str()?))
    }

    fn pins(&self, root: &Path, module: &str) -> Vec<(String, String)> {
        self.last_plan(root, module).pins.into_iter().collect()
    }

    fn planned(&self, root: &Path, module: &str) -> Vec<(String, String)> {
        self.last_plan(root, module).states.into_iter().collect()
    }
}
