//! Layers of file systems: a manifest and an unpacked directory exactly as overlayfs wants it as a lower layer.
//!
//! A tree appears by one rename, so what has its name is whole as long as the machine runs. What a power cut may have
//! torn is known by the name of its manifest: `manifest-BOOT`, with the id of the boot that made the tree, becomes
//! `manifest` when all of it is on the disk. A tree of another boot is read in full before it is used. (A mark in a file
//! of its own would cost every step one more inode, a third of a millisecond on some disks.)

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use imgc_plan::Digest;

use crate::error::StoreError;
use crate::fail_point;
use crate::layout::{Layout, children};
use crate::manifest::digest_of_encoded;
use crate::place::reserve_shard;
use crate::process::boot_id;
use crate::remove::remove_tree;
use crate::store::{Store, sync};
use crate::tree::Manifest;
use crate::verify::{Difference, compare_tree};

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

const MANIFEST: &str = "manifest";
const UNSYNCED: &str = "manifest-";

/// Where a tree's manifest is, and what its name says.
struct Found {
    path: PathBuf,
    /// The boot that made the tree, unless it is known to be on the disk.
    unsynced: Option<String>,
}

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
        match find_manifest(&home).map(|found| found.unsynced) {
            None => return Ok(None),
            Some(Some(boot)) if boot != self.boot || boot.is_empty() => return self.check_torn(digest),
            Some(_) => {}
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
        let manifest = stage.join(format!("{UNSYNCED}{}", self.boot));
        std::fs::write(&manifest, encoded).map_err(StoreError::io("write", &manifest))?;
        fail_point!("tree.manifest");
        move_dir(dir, &stage.join("tree")).map_err(StoreError::io("move into the cache", dir))
    }

    fn settle(&self, digest: &Digest, stage: &Path) -> Result<(), StoreError> {
        let home = self.layout().tree(digest);
        reserve_shard(&home)?;
        fail_point!("tree.staged");
        match std::fs::rename(stage, &home) {
            Ok(()) => {
                fail_point!("tree.there");
                Ok(())
            }
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
        let compared = match read_manifest(self.layout(), digest)? {
            Some(manifest) => compare_tree(&manifest, &dir),
            None => Err(Difference::Damage("its manifest is damaged".to_owned())),
        };
        match compared {
            Ok(()) => {}
            Err(Difference::Unreadable(_)) => return Ok(None),
            Err(Difference::Damage(why)) => {
                self.quarantine(&home, &format!("it was not all on the disk when the machine stopped ({why})"))?;
                return Ok(None);
            }
        }
        let root = std::fs::File::open(&home).map_err(StoreError::io("open", &home))?;
        rustix::fs::syncfs(&root).map_err(StoreError::os("sync", &home))?;
        if let Some(found) = find_manifest(&home) {
            mark_synced(&home, found)?;
        }
        Ok(Some(dir))
    }
}

/// Looks for the manifest of the tree at `home`.
fn find_manifest(home: &Path) -> Option<Found> {
    let path = home.join(MANIFEST);
    if path.exists() {
        return Some(Found { path, unsynced: None });
    }
    for path in children(home) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(boot) = name.strip_prefix(UNSYNCED) {
            return Some(Found { unsynced: Some(boot.to_owned()), path });
        }
    }
    // A publisher may have renamed it between the two looks.
    path.exists().then_some(Found { path, unsynced: None })
}

/// Says that the tree at `home` is on the disk.
fn mark_synced(home: &Path, found: Found) -> Result<(), StoreError> {
    let path = found.path;
    match std::fs::rename(&path, home.join(MANIFEST)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("mark", &path)(error)),
        _ => Ok(()),
    }
}

/// Says of trees and objects that an entry refers to that they are on the disk, as a publisher does after a sync.
pub(crate) fn mark_all_synced<'a>(
    layout: &Layout,
    digests: impl Iterator<Item = &'a Digest>,
) -> Result<(), StoreError> {
    let boot = boot_id();
    // Chains repeat what is below them.
    let digests: BTreeSet<&Digest> = digests.collect();
    for digest in digests {
        let home = layout.tree(digest);
        // What another boot left is on the disk in the form in which it was torn.
        if let Some(found) = find_manifest(&home).filter(|found| found.unsynced.as_ref() == Some(&boot)) {
            mark_synced(&home, found)?;
        }
    }
    Ok(())
}

/// Nothing where the file is missing, damaged or of another tree.
pub(crate) fn read_manifest(layout: &Layout, digest: &Digest) -> Result<Option<Manifest>, StoreError> {
    // Between finding and reading, a publisher may rename it.
    for _ in 0..2 {
        let Some(Found { path, .. }) = find_manifest(&layout.tree(digest)) else { return Ok(None) };
        match std::fs::read(&path) {
            Ok(bytes) if digest_of_encoded(&bytes) == *digest => return Ok(Manifest::decode(&bytes).ok()),
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io("read", &path)(error)),
        }
    }
    Ok(None)
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
