//! The compiler's world on this machine's disk.
//!
//! Everything the compiler asks for is noted with its stat *before* it is read, so that the fast path can later see
//! whether all of it is still the same.

mod ignore;
mod tree;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use imgc_compiler::world::{Argument, Found, World, WorldError};
use imgc_plan::{Digest, DirRef, FileRef};

use crate::arguments::Arguments;
use crate::fast_path::Stamp;

/// The most bytes of a module.
const MODULE_LIMIT: u64 = 1024 * 1024;
/// The most bytes of a file that becomes a text.
const TEXT_LIMIT: u64 = 16 * 1024 * 1024;

/// Gives the digest of a file whose metadata is at hand.
pub(crate) type HashFile = dyn Fn(&Path, &std::fs::Metadata) -> std::io::Result<Digest> + Send + Sync;

/// A package on disk.
pub(crate) struct DiskWorld {
    root: PathBuf,
    arguments: Arguments,
    hash: Box<HashFile>,
    asked: Mutex<Asked>,
}

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// Every file and directory by its absolute path, with its stat as of before it was read.
    pub(crate) stamps: BTreeMap<PathBuf, Stamp>,
    /// Every param that was asked for, with the value its environment variable had.
    pub(crate) variables: BTreeMap<String, Option<String>>,
}

impl DiskWorld {
    /// The package at `root`, which is canonical.
    pub(crate) fn new(root: &Path, arguments: Arguments, hash: Box<HashFile>) -> Self {
        Self { root: root.to_path_buf(), arguments, hash, asked: Mutex::default() }
    }

    /// What was asked for so far.
    pub(crate) fn asked(&self) -> Asked {
        self.asked.lock().map(|asked| asked.clone()).unwrap_or_default()
    }

    fn stamp(&self, path: &Path, stamp: Stamp) {
        if let Ok(mut asked) = self.asked.lock() {
            asked.stamps.entry(path.to_path_buf()).or_insert(stamp);
        }
    }

    /// Where a path leads, all links followed. A path of the package may not lead out of it.
    fn resolve(&self, path: &str) -> Result<PathBuf, WorldError> {
        let given = Path::new(path);
        let named = self.root.join(given);
        let outside = || WorldError::Outside { path: path.to_owned() };
        if given.is_relative() && leaves(given) {
            return Err(outside());
        }
        let real = named.canonicalize().map_err(|error| {
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) {
                self.stamp(&named, Stamp::Missing);
            }
            world_error(path, &error)
        })?;
        if given.is_relative() && !real.starts_with(&self.root) {
            return Err(outside());
        }
        // Where a link leads elsewhere, the link itself was read too.
        if real != named {
            self.stamp(&named, Stamp::of_link(&named));
        }
        Ok(real)
    }

    fn read(&self, path: &str, limit: u64, too_large: WorldError) -> Result<Arc<str>, WorldError> {
        let real = self.resolve(path)?;
        let meta = std::fs::metadata(&real).map_err(|error| world_error(path, &error))?;
        self.stamp(&real, Stamp::of(&meta));
        if !meta.is_file() {
            return Err(unreadable(path, "it is not a regular file"));
        }
        if meta.len() > limit {
            return Err(too_large);
        }
        let bytes = std::fs::read(&real).map_err(|error| world_error(path, &error))?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Arc::from(text)),
            Err(error) => Err(WorldError::NotText { path: path.to_owned(), at: error.utf8_error().valid_up_to() }),
        }
    }
}

impl World for DiskWorld {
    fn module(&self, path: &str) -> Result<Arc<str>, WorldError> {
        self.read(path, MODULE_LIMIT, WorldError::TooLarge { path: path.to_owned() })
    }

    fn find(&self, path: &str) -> Result<Found, WorldError> {
        let real = match self.resolve(path) {
            Ok(real) => real,
            Err(WorldError::Missing { .. }) => return Ok(Found::Missing),
            Err(error) => return Err(error),
        };
        let meta = std::fs::metadata(&real).map_err(|error| world_error(path, &error))?;
        if meta.is_file() {
            Ok(Found::File)
        } else if meta.is_dir() {
            Ok(Found::Dir)
        } else {
            Ok(Found::Other)
        }
    }

    fn file(&self, path: &str) -> Result<FileRef, WorldError> {
        let real = self.resolve(path)?;
        let meta = std::fs::metadata(&real).map_err(|error| world_error(path, &error))?;
        self.stamp(&real, Stamp::of(&meta));
        if !meta.is_file() {
            return Err(unreadable(path, "it is not a regular file"));
        }
        let digest = (self.hash)(&real, &meta).map_err(|error| world_error(path, &error))?;
        Ok(FileRef { path: path.to_owned(), digest, mode: reduced_mode(&meta), size: meta.len() })
    }

    fn text(&self, path: &str) -> Result<Arc<str>, WorldError> {
        self.read(path, TEXT_LIMIT, unreadable(path, "it is larger than the limit of 16 MiB for texts"))
    }

    fn dir(&self, path: &str, ignore: &[String]) -> Result<DirRef, WorldError> {
        let real = self.resolve(path)?;
        let package = if Path::new(path).is_absolute() { real.clone() } else { self.root.clone() };
        let tree = tree::read(&real, path, &package, ignore, &*self.hash)?;
        for (path, stamp) in tree.stamps {
            self.stamp(&path, stamp);
        }
        Ok(DirRef {
            path: path.to_owned(),
            digest: DirRef::merkle(&tree.entries),
            ignore: ignore.to_vec(),
            exact_modes: false,
            entries: tree.entries,
        })
    }

    fn argument(&self, param: &str) -> Option<Argument> {
        let name = crate::arguments::variable(param);
        let value = std::env::var(&name).ok();
        if let Ok(mut asked) = self.asked.lock() {
            asked.variables.insert(name, value);
        }
        self.arguments.get(param)
    }

    fn argument_names(&self) -> Vec<(String, String)> {
        self.arguments.names()
    }
}

/// Whether a relative path climbs above where it starts, at any point.
fn leaves(path: &Path) -> bool {
    use std::path::Component;
    let mut depth = 0_usize;
    for part in path.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return true,
        }
    }
    false
}

/// 0755 where the owner may execute it, else 0644: an umask must not change a build.
fn reduced_mode(meta: &std::fs::Metadata) -> u32 {
    if meta.mode() & 0o100 == 0 { 0o644 } else { 0o755 }
}

fn world_error(path: &str, error: &std::io::Error) -> WorldError {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => WorldError::Missing { path: path.to_owned() },
        _ => unreadable(path, &error.to_string()),
    }
}

fn unreadable(path: &str, reason: &str) -> WorldError {
    WorldError::Unreadable { path: path.to_owned(), reason: reason.to_owned() }
}
