//! Where imgc keeps things on this machine. Computed before a user namespace is entered, so that `HOME` and rights
//! are still the user's.

use std::path::{Path, PathBuf};

use imgc_plan::Digest;

use crate::exit::Failure;

/// The directories of this user.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The store: layers, objects, index. Absolute.
    pub(crate) store: PathBuf,
    /// One directory a run, with the logs of its steps. Absolute.
    pub(crate) runs: PathBuf,
}

impl Places {
    /// From `--cache-dir` (or `IMGC_CACHE`) and the environment's XDG variables.
    pub(crate) fn new(cache_dir: Option<&Path>) -> Result<Self, Failure> {
        // An empty variable is as good as none, as XDG has it.
        let variable = std::env::var_os("IMGC_CACHE").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let store = match cache_dir.or(variable.as_deref()) {
            Some(dir) => std::path::absolute(dir).map_err(Failure::io("cannot find the current directory"))?,
            None => xdg("XDG_CACHE_HOME", ".cache")?.join("imgc"),
        };
        let runs = xdg("XDG_STATE_HOME", ".local/state")?.join("imgc/runs");
        Ok(Self { store, runs })
    }

    /// What the last apply of a package left for `show`, `log` and the fast path.
    pub(crate) fn record(&self, root: &Path, entry: &str) -> PathBuf {
        self.of_package("applied", root, entry)
    }

    /// What the last plan of a package left for editors.
    pub(crate) fn planned(&self, root: &Path, entry: &str) -> PathBuf {
        self.of_package("planned", root, entry)
    }

    /// Texts of ours that editors read as files.
    pub(crate) fn texts(&self) -> PathBuf {
        self.store.join("texts")
    }

    fn of_package(&self, what: &str, root: &Path, entry: &str) -> PathBuf {
        let key = Digest::of(format!("{}\0{entry}", root.display()).as_bytes());
        self.store.join(what).join(format!("{}.json", key.short()))
    }
}

fn xdg(variable: &str, below_home: &str) -> Result<PathBuf, Failure> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(dir) = absolute(variable) {
        return Ok(dir);
    }
    absolute("HOME").map(|home| home.join(below_home)).ok_or_else(|| {
        Failure::environment(format!("neither ${variable} nor $HOME names an absolute directory"))
            .help("set HOME, or name the directory of the cache with --cache-dir")
    })
}
