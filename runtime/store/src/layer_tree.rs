//! Layers of file systems: a manifest and an unpacked directory exactly as overlayfs wants it as a lower layer.
//!
//! A tree appears by one rename, so what has its name is whole as long as the machine runs. What a power cut may have
//! torn is known by the file `unsynced`, which holds the id of the boot that made the tree and goes when it is on the
//! disk: a tree with the mark of another boot is read again before it is used.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use imgc_plan::Digest;

use crate::error::StoreError;
use crate::layout::Layout;
use crate::manifest::digest_of_encoded;
use crate::place::reserve_shard;
use crate::remove::remove_tree;
use crate::store::{Store, sync};
use crate::tree::Manifest;
use crate::verify::compare_tree;

/// A layer in the store.
#[derive(Debug, Clone)]
pub struct LayerTree {
    /// Of the manifest.
    pub digest: Digest,
    /// What is in it.
    pub manifest: Arc<Manifest>,
    /// Where it is unpacked: whiteouts are character devices 0:0, opaque directories have the attribute of overlayfs.
    pub dir: PathBuf,
    /// Bytes of all its files.
    pub size: u64,
}

pub(crate) const UNSYNCED: &str = "unsynced";

impl Store {
    /// Moves the unpacked tree at `dir`, which must be in a [`crate::Scratch`] of this store, to where it stays. A tree
    /// that is already there wins and `dir` is removed; in both cases nothing is at `dir` afterwards.
    ///
    /// It is durable once an entry that refers to it is.
    ///
    /// # Errors
    /// When the manifest breaks its rules. That `dir` is what the manifest says is taken on trust.
    pub fn insert_tree(&self, manifest: &Manifest, dir: &Path) -> Result<Digest, StoreError> {
        manifest.validate().map_err(|source| StoreError::Manifest { path: dir.to_owned(), source })?;
        let encoded = manifest.encode();
        let digest = digest_of_encoded(&encoded);
        if self.tree_dir(&digest)?.is_some() {
            remove_tree(dir)?;
            return Ok(digest);
        }
        let (stage, _owner) = self.scratch_path("tree")?;
        let made = self.stage_tree(&encoded, dir, &stage).and_then(|()| self.settle(&digest, &stage));
        if made.is_err() {
            // What matters is why it failed; the sweep gets what cannot be removed now.
            let _ = remove_tree(&stage);
        }
        made.map(|()| digest)
    }

    /// The layer of this digest; nothing where there is none or it failed its check.
    pub fn tree(&self, digest: &Digest) -> Result<Option<LayerTree>, StoreError> {
        let Some(dir) = self.tree_dir(digest)? else { return Ok(None) };
        let Some(manifest) = self.manifest(digest)? else { return Ok(None) };
        Ok(Some(LayerTree { digest: *digest, size: manifest.size(), manifest, dir }))
    }

    /// Where the layer of this digest is unpacked: [`Store::tree`] without reading its manifest.
    pub fn tree_dir(&self, digest: &Digest) -> Result<Option<PathBuf>, StoreError> {
        let home = self.layout().tree(digest);
        let mark = home.join(UNSYNCED);
        match std::fs::read_to_string(&mark) {
            Ok(boot) if boot == self.boot && !boot.is_empty() => {}
            Ok(_) => return self.check_torn(digest),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io("read", &mark)(error)),
        }
        let dir = home.join("tree");
        Ok(dir.symlink_metadata().is_ok_and(|found| found.is_dir()).then_some(dir))
    }

    /// Which of these layers are there, in the same order. Does not read them.
    pub fn has_trees(&self, digests: &[Digest]) -> Vec<bool> {
        digests.iter().map(|digest| matches!(self.tree_dir(digest), Ok(Some(_)))).collect()
    }

    /// The manifest of a tree. Nothing, and the tree set aside, where it is not what its digest says.
    fn manifest(&self, digest: &Digest) -> Result<Option<Arc<Manifest>>, StoreError> {
        let known = self
            .manifests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(digest)
            .and_then(std::sync::Weak::upgrade);
        if known.is_some() {
            return Ok(known);
        }
        let Some(manifest) = read_manifest(self.layout(), digest)? else {
            self.quarantine(&self.layout().tree(digest), "its manifest is damaged")?;
            return Ok(None);
        };
        let manifest = Arc::new(manifest);
        self.manifests.lock().unwrap_or_else(PoisonError::into_inner).insert(*digest, Arc::downgrade(&manifest));
        Ok(Some(manifest))
    }

    /// Puts everything of a tree together at `stage`.
    fn stage_tree(&self, encoded: &[u8], dir: &Path, stage: &Path) -> Result<(), StoreError> {
        std::fs::create_dir(stage).map_err(StoreError::io("make", stage))?;
        let write = |name: &str, bytes: &[u8]| {
            let path = stage.join(name);
            std::fs::write(&path, bytes).map_err(StoreError::io("write", &path))
        };
        write("manifest", encoded)?;
        write(UNSYNCED, self.boot.as_bytes())?;
        move_dir(dir, &stage.join("tree")).map_err(StoreError::io("move into the cache", dir))
    }

    fn settle(&self, digest: &Digest, stage: &Path) -> Result<(), StoreError> {
        let home = self.layout().tree(digest);
        reserve_shard(&home)?;
        match std::fs::rename(stage, &home) {
            Ok(()) => Ok(()),
            // Another process was faster with the same tree.
            Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {
                remove_tree(stage)
            }
            Err(error) => Err(StoreError::io("move into the cache", &home)(error)),
        }
    }

    /// Decides about a tree that another boot left unsynced, by reading all of it.
    fn check_torn(&self, digest: &Digest) -> Result<Option<PathBuf>, StoreError> {
        let home = self.layout().tree(digest);
        let dir = home.join("tree");
        let whole = match read_manifest(self.layout(), digest)? {
            Some(manifest) => compare_tree(&manifest, &dir).is_ok(),
            None => false,
        };
        if !whole {
            self.quarantine(&home, "it was not completely on the disk when the machine stopped")?;
            return Ok(None);
        }
        let root = std::fs::File::open(&home).map_err(StoreError::io("open", &home))?;
        rustix::fs::syncfs(&root).map_err(StoreError::os("sync", &home))?;
        mark_synced(self.layout(), digest)?;
        Ok(Some(dir))
    }
}

/// Says that a tree is on the disk. Nothing to do where it is not there or was said before.
pub(crate) fn mark_synced(layout: &Layout, digest: &Digest) -> Result<(), StoreError> {
    let mark = layout.tree(digest).join(UNSYNCED);
    match std::fs::remove_file(&mark) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(StoreError::io("remove", &mark)(error))
        }
        _ => Ok(()),
    }
}

/// Nothing where the file is missing, damaged or of another tree.
pub(crate) fn read_manifest(layout: &Layout, digest: &Digest) -> Result<Option<Manifest>, StoreError> {
    let path = layout.tree(digest).join("manifest");
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("read", &path)(error)),
    };
    if digest_of_encoded(&bytes) != *digest {
        return Ok(None);
    }
    Ok(Manifest::decode(&bytes).ok())
}

/// Renames a directory, also one whose mode forbids its owner to write: moving to another parent changes its `..`.
fn move_dir(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        other => return other,
    }
    let mode = from.symlink_metadata()?.permissions();
    std::fs::set_permissions(from, PermissionsExt::from_mode(0o700))?;
    std::fs::rename(from, to)?;
    std::fs::set_permissions(to, mode)
}

/// Waits until the directories on the way to something that was just put there are on the disk.
pub(crate) fn sync_shard(path: &Path) -> Result<(), StoreError> {
    let Some(shard) = path.parent() else { return Ok(()) };
    sync(shard)?;
    shard.parent().map_or(Ok(()), sync)
}
