//! The compiler's world as an editor sees it: unsaved buffers over the disk, no arguments, and no digest of anything.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use imgc_compiler::world::{Argument, Found, World, WorldError};

use crate::disk::{self, Disk, MODULE_LIMIT, TEXT_LIMIT};
use crate::documents::Documents;
use crate::root::Root;
use crate::uri::Name;

/// The world of one package at one moment.
pub(crate) struct EditorWorld<'a> {
    /// The package.
    pub(crate) root: &'a Root,
    /// What is open.
    pub(crate) open: &'a Documents,
    /// What is read of the disk.
    pub(crate) disk: &'a Disk,
}

impl EditorWorld<'_> {
    /// The open text of a path.
    fn open_text(&self, path: &str, limit: u64) -> Option<Result<Arc<str>, WorldError>> {
        let text = self.open.get(&self.root.name(path))?.text.text();
        let fits = u64::try_from(text.len()).is_ok_and(|length| length <= limit);
        Some(if fits { Ok(text.clone()) } else { Err(disk::too_large(path, limit)) })
    }

    /// Where a path lies on the disk; what leads out of the package is refused.
    fn file(&self, path: &str) -> Result<PathBuf, WorldError> {
        let Name::File(file) = self.root.name(path) else {
            return Err(WorldError::Missing { path: path.to_owned() });
        };
        let outside = || WorldError::Outside { path: path.to_owned() };
        let folder = self.root.folder().ok_or_else(outside)?;
        if Path::new(path).is_relative() {
            if !file.starts_with(folder) {
                return Err(outside());
            }
            // A link may lead elsewhere in the package, not out of it.
            if let (Ok(real), Ok(folder)) = (file.canonicalize(), folder.canonicalize())
                && !real.starts_with(folder)
            {
                return Err(outside());
            }
        }
        Ok(file)
    }

    fn read(&self, path: &str, limit: u64) -> Result<Arc<str>, WorldError> {
        if let Some(text) = self.open_text(path, limit) {
            return text;
        }
        // To ask the disk where each path leads takes longer than all else that an edit asks of it. What was read was not
        // outside, and is forgotten where another file stands there.
        if let Name::File(file) = self.root.name(path)
            && let Some(text) = self.disk.known(&file)
        {
            return text;
        }
        self.disk.text(&self.file(path)?, path, limit)
    }
}

impl World for EditorWorld<'_> {
    fn module(&self, path: &str) -> Result<Arc<str>, WorldError> {
        self.read(path, MODULE_LIMIT)
    }

    fn find(&self, path: &str) -> Result<Found, WorldError> {
        if self.open.get(&self.root.name(path)).is_some() {
            return Ok(Found::File);
        }
        match self.file(path) {
            Ok(file) => Ok(self.disk.find(&file)),
            Err(WorldError::Missing { .. }) => Ok(Found::Missing),
            Err(error) => Err(error),
        }
    }

    fn list(&self, path: &str) -> Vec<(String, Found)> {
        self.file(path).map(|folder| disk::list(&folder)).unwrap_or_default()
    }

    fn file(&self, path: &str) -> Result<imgc_compiler::world::FileRef, WorldError> {
        Err(no_digest(path))
    }

    fn text(&self, path: &str) -> Result<Arc<str>, WorldError> {
        self.read(path, TEXT_LIMIT)
    }

    fn dir(&self, path: &str, _: &[String]) -> Result<imgc_compiler::world::DirRef, WorldError> {
        Err(no_digest(path))
    }

    fn argument(&self, _: &str) -> Option<Argument> {
        None
    }

    fn argument_names(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// Only plans ask for digests, and no plan is made in an editor.
fn no_digest(path: &str) -> WorldError {
    WorldError::Unreadable { path: path.to_owned(), reason: "an editor reads no digests".to_owned() }
}
