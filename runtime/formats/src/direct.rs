//! What a hypervisor or a network boot loads by itself: kernel, initial RAM disk and command line, in one archive.
//!
//! Equal input gives equal bytes. Knows nothing of steps and plans.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::Path;

use imgc_plan::{Digest, Platform};
use imgc_store::{Entry, EntryKind, Manifest, TreePath};

use crate::boot::{self, Machine, tree_path};
use crate::disk::DiskError;
use crate::tar::{PackError, PackOptions, pack_with};
use crate::tree::{Content, FileTree, Node, NodeKind};

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub enum DirectError {
    /// The image has nothing to boot.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The archive could not be made.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// A file operation failed.
    #[error("{doing}")]
    Io {
        /// What.
        doing: String,
        /// Why.
        source: io::Error,
    },
}

/// Writes the archive for a tree to `out`; everything in it has the time `epoch`.
///
/// # Errors
/// [`DirectError`].
pub fn write(tree: &FileTree, platform: &Platform, epoch: i64, out: &Path) -> Result<(), DirectError> {
    let files = boot::loose(tree, Machine::of(platform)?)?;
    let mut entries = Vec::new();
    for (name, content) in &files {
        entries.push(Entry {
            path: tree_path(name),
            kind: EntryKind::File { digest: digest(content)?, size: content.size() },
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: epoch,
            xattrs: BTreeMap::new(),
        });
    }
    let mut manifest = Manifest { entries };
    manifest.sort();
    let mut open =
        |entry: &Entry| by_path(&files, &entry.path).map_or_else(|| Err(io::ErrorKind::NotFound.into()), file);
    let io = |source| DirectError::Io { doing: format!("cannot write {}", out.display()), source };
    let mut archive = io::BufWriter::new(File::create(out).map_err(io)?);
    pack_with(&manifest, &mut open, &mut archive, &PackOptions::default())?;
    archive.flush().map_err(io)
}

/// The files that the archive is made of, among those that are in `/boot` and `/etc/kernel`, by their paths without a `/`
/// at the beginning: for an image whose files are read one at a time.
///
/// # Errors
/// [`DirectError::Disk`] where no kernel is among them.
pub fn sources(names: &[String], platform: &Platform) -> Result<Vec<String>, DirectError> {
    let tree = tree(names.iter().map(|name| (name.clone(), Content::Bytes(Vec::new()))), 0)?;
    let paths = boot::sources(&tree, Machine::of(platform)?)?;
    Ok(paths.iter().map(crate::tree::show).collect())
}

/// A tree of just these files.
///
/// # Errors
/// [`DirectError::Disk`] where they make no tree.
pub fn tree(files: impl IntoIterator<Item = (String, Content)>, epoch: i64) -> Result<FileTree, DirectError> {
    let file =
        |(name, content): (String, Content)| (tree_path(&name), Node::of_root(NodeKind::File(content), 0o644, epoch));
    let nodes = files.into_iter().map(file).collect();
    Ok(FileTree::new(nodes, epoch).map_err(DiskError::Tree)?)
}

fn by_path<'a>(files: &'a BTreeMap<&'static str, Content>, path: &TreePath) -> Option<&'a Content> {
    files.get(std::str::from_utf8(&path.0).ok()?)
}

fn digest(content: &Content) -> Result<Digest, DirectError> {
    match content {
        Content::Bytes(bytes) => Ok(Digest::of(bytes)),
        Content::Host { digest: Some(digest), .. } => Ok(*digest),
        Content::Host { path, digest: None, .. } => {
            let doing = |source| DirectError::Io { doing: format!("cannot read {}", path.display()), source };
            std::fs::read(path).map(|bytes| Digest::of(&bytes)).map_err(doing)
        }
    }
}

fn file(content: &Content) -> io::Result<File> {
    match content {
        Content::Host { path, .. } => File::open(path),
        Content::Bytes(bytes) => {
            let mut file = tempfile::tempfile()?;
            file.write_all(bytes)?;
            file.rewind()?;
            Ok(file)
        }
    }
}
