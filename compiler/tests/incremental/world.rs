//! A world of texts in memory that counts what it is asked.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use imgc_compiler::world::{Argument, Found, World, WorldError};
use imgc_plan::{Digest, DirRef, FileRef};

/// Files by path.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    pub(crate) files: BTreeMap<String, Arc<str>>,
    /// How often the digest of a file or folder was asked for.
    pub(crate) hashed: Cell<usize>,
}

impl Texts {
    pub(crate) fn new(files: BTreeMap<String, String>) -> Self {
        let files = files.into_iter().map(|(path, text)| (path, Arc::from(text))).collect();
        Self { files, hashed: Cell::new(0) }
    }

    /// Every module.
    pub(crate) fn modules(&self) -> Vec<String> {
        let is_module = |path: &&String| path.rsplit_once('.').is_some_and(|(_, ext)| ext == "imgc");
        self.files.keys().filter(is_module).cloned().collect()
    }

    fn get(&self, path: &str) -> Result<Arc<str>, WorldError> {
        self.files.get(path).cloned().ok_or_else(|| WorldError::Missing { path: path.to_owned() })
    }
}

impl World for Texts {
    fn module(&self, path: &str) -> Result<Arc<str>, WorldError> {
        self.get(path)
    }

    fn find(&self, path: &str) -> Result<Found, WorldError> {
        let below = format!("{path}/");
        Ok(if self.files.contains_key(path) {
            Found::File
        } else if path.is_empty() || self.files.keys().any(|file| file.starts_with(&below)) {
            Found::Dir
        } else {
            Found::Missing
        })
    }

    fn file(&self, path: &str) -> Result<FileRef, WorldError> {
        self.hashed.set(self.hashed.get() + 1);
        let text = self.get(path)?;
        let size = text.len() as u64;
        Ok(FileRef { path: path.to_owned(), digest: Digest::of(text.as_bytes()), mode: 0o644, size })
    }

    fn text(&self, path: &str) -> Result<Arc<str>, WorldError> {
        self.get(path)
    }

    /// A folder as far as its digest goes.
    fn dir(&self, path: &str, ignore: &[String]) -> Result<DirRef, WorldError> {
        self.hashed.set(self.hashed.get() + 1);
        let below = format!("{path}/");
        let files: Vec<_> = self.files.iter().filter(|(file, _)| file.starts_with(&below)).collect();
        if files.is_empty() {
            return Err(WorldError::Missing { path: path.to_owned() });
        }
        Ok(DirRef {
            path: path.to_owned(),
            digest: Digest::of(format!("{files:?}").as_bytes()),
            ignore: ignore.to_vec(),
            exact_modes: false,
            entries: Vec::new(),
            places: BTreeMap::new(),
        })
    }

    fn argument(&self, _: &str) -> Option<Argument> {
        None
    }

    fn argument_names(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}
