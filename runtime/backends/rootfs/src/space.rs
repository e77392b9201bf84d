//! Where trees are changed before they go into the store.
//!
//! Usually that is a scratch directory of the store. On overlayfs, as in a container, no overlay can have its upper
//! directory, and neither whiteouts nor marks of opaque directories can be made: there a tmpfs in this process's mount
//! namespace holds what is being changed, trees are copied into the store without those marks, and
//! [`Space::lowers`] adds a layer of marks in memory for each tree that needs them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use imgc_backend::BackendError;
use imgc_plan::Digest;
use imgc_store::{EntryKind, FileSystem, LayerTree, Manifest, Merged, Scratch, Store};
use rustix::fs::{CWD, FileType, Mode};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::{attributes, errors, materialize};

/// A fresh directory; nothing is left of it when this value goes.
#[derive(Debug)]
pub(crate) struct Space {
    store: Arc<Store>,
    /// Where the tmpfs is mounted; the field order lets it be unmounted before the scratch is removed.
    memory: Option<Memory>,
    scratch: Scratch,
}

#[derive(Debug)]
struct Memory(PathBuf);

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

impl Space {
    /// Makes one.
    pub(crate) fn new(store: &Arc<Store>, purpose: &str) -> Result<Self, BackendError> {
        let scratch = store.scratch(purpose).map_err(errors::store)?;
        let memory = match store.filesystem() {
            FileSystem::Overlay | FileSystem::Fuse(_) => Some(Memory::mount(scratch.path().join("memory"))?),
            FileSystem::Ext4
            | FileSystem::Xfs
            | FileSystem::Btrfs
            | FileSystem::Tmpfs
            | FileSystem::Unsuitable(_)
            | FileSystem::Other(_) => None,
        };
        Ok(Self { store: Arc::clone(store), memory, scratch })
    }

    /// The directory: overlays can have their upper directory here.
    pub(crate) fn path(&self) -> &Path {
        self.memory.as_ref().map_or(self.scratch.path(), |memory| &memory.0)
    }

    /// Whether what is being changed has no room left, but for a page or two that nothing useful fits in.
    pub(crate) fn is_full(&self) -> bool {
        const NOTHING: u64 = 64 << 10;
        rustix::fs::statvfs(self.path()).is_ok_and(|stat| stat.f_bavail.saturating_mul(stat.f_frsize) < NOTHING)
    }

    /// On the file system of the store, whatever that is.
    pub(crate) fn on_disk(&self) -> &Path {
        self.scratch.path()
    }

    /// The mount point, where there is one.
    pub(crate) fn mounted(&self) -> Option<&Path> {
        self.memory.as_ref().map(|memory| memory.0.as_path())
    }

    /// What to say once about where changes are kept.
    pub(crate) fn note(&self) -> Option<String> {
        self.memory.as_ref().map(|_| {
            format!("the cache is on {}: what steps change is kept in memory until they end", self.store.filesystem())
        })
    }

    /// Moves the tree at `dir`, which is in this space, into the store.
    pub(crate) fn keep(&self, manifest: &Manifest, dir: &Path) -> Result<Digest, BackendError> {
        if self.memory.is_none() {
            return self.store.insert_tree(manifest, dir).map_err(errors::store);
        }
        let copy = self.on_disk().join("kept");
        let tree =
            LayerTree { digest: Digest([0; 32]), manifest: Arc::new(manifest.clone()), dir: dir.to_owned(), size: 0 };
        materialize::materialize(&Merged::squash(&[tree]), &copy)?;
        let digest = self.store.insert_tree(manifest, &copy).map_err(errors::store)?;
        imgc_store::remove_tree(dir).map_err(errors::store)?;
        Ok(digest)
    }

    /// The directories that an overlay needs to show these trees (the lowest first); from the top down.
    pub(crate) fn lowers(&self, trees: &[LayerTree]) -> Result<Vec<PathBuf>, BackendError> {
        let mut lowers = Vec::new();
        for tree in trees.iter().rev() {
            lowers.push(tree.dir.clone());
            if self.memory.is_some() {
                lowers.extend(self.marks(tree)?);
            }
        }
        Ok(lowers)
    }

    /// A directory with the whiteouts and opaque directories of a tree whose own directory lacks them, to lie below it.
    fn marks(&self, tree: &LayerTree) -> Result<Option<PathBuf>, BackendError> {
        let marked = |kind: &EntryKind| matches!(kind, EntryKind::Whiteout | EntryKind::Dir { opaque: true });
        if !tree.manifest.entries.iter().any(|entry| marked(&entry.kind)) {
            return Ok(None);
        }
        let dir = self.path().join("marks").join(tree.digest.to_string());
        if dir.exists() {
            return Ok(Some(dir));
        }
        let failed = || BackendError::io(format!("cannot make {}", dir.display()));
        for entry in tree.manifest.entries.iter().filter(|entry| marked(&entry.kind)) {
            let at = entry.path.on(&dir);
            let parent = if entry.is_dir() { Some(at.as_path()) } else { at.parent() };
            std::fs::create_dir_all(parent.unwrap_or(&dir)).map_err(failed())?;
            if entry.is_dir() {
                attributes::set_opaque(&at, true).map_err(failed())?;
            } else {
                rustix::fs::mknodat(CWD, &at, FileType::CharacterDevice, Mode::empty(), 0)
                    .map_err(|error| failed()(error.into()))?;
            }
        }
        Ok(Some(dir))
    }
}

impl Memory {
    fn mount(at: PathBuf) -> Result<Self, BackendError> {
        let failed = || BackendError::io(format!("cannot mount a tmpfs on {}", at.display()));
        std::fs::create_dir(&at).map_err(failed())?;
        mount(c"tmpfs", &at, c"tmpfs", MountFlags::empty(), Some(c"mode=0700,size=80%"))
            .map_err(|error| failed()(error.into()))?;
        Ok(Self(at))
    }
}
