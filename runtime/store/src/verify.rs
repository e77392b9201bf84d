//! Reading everything again, and setting aside what is not what its digest says.

use std::collections::HashSet;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use imgc_plan::{Digest, Fingerprint};
use rayon::prelude::*;

use crate::error::StoreError;
use crate::layer_tree::read_manifest;
use crate::layout::named;
use crate::object::{digest_file, hash_file};
use crate::scratch::error_text;
use crate::store::Store;
use crate::tree::{Entry, EntryKind, Manifest, TreePath};

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// How many objects and trees were read.
    pub read: usize,
    /// Bytes of them.
    pub bytes: u64,
    /// What was set aside.
    pub damaged: Vec<Damage>,
    /// Entries that were dropped because they refer to something that is damaged or missing.
    pub dropped: Vec<Fingerprint>,
}

/// Something that is not what its digest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What it should be.
    pub digest: Digest,
    /// Where it was.
    pub path: PathBuf,
    /// In which way it differs.
    pub why: String,
}

impl Store {
    /// Reads every object and every tree in full, sets what is damaged aside in `quarantine/` and drops the entries
    /// that need it. Nothing is believed by its time stamps.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while anyone [shares](Store::share) the store.
    pub fn verify(&self) -> Result<Verified, StoreError> {
        let _exclusive = self.exclusive()?;
        let objects = self.layout().all("objects");
        let objects: Vec<Digest> =
            objects.iter().filter(|path| path.extension().is_none()).filter_map(|path| named(path)).collect();
        let trees: Vec<Digest> = self.layout().all("trees").iter().filter_map(|path| named(path)).collect();
        let mut checks: Vec<(Digest, PathBuf, Result<u64, String>)> = objects
            .par_iter()
            .map(|digest| (*digest, self.layout().object(digest), self.check_object(digest)))
            .collect();
        checks
            .par_extend(trees.par_iter().map(|digest| (*digest, self.layout().tree(digest), self.check_tree(digest))));
        let mut verified = Verified { read: checks.len(), ..Verified::default() };
        let mut sound: HashSet<Digest> = HashSet::new();
        for (digest, path, outcome) in checks {
            match outcome {
                Ok(size) => {
                    verified.bytes = verified.bytes.saturating_add(size);
                    sound.insert(digest);
                }
                Err(why) => {
                    self.quarantine(&path, &why)?;
                    verified.damaged.push(Damage { digest, path, why });
                }
            }
        }
        let entries = self.all_entries()?;
        let broken = entries.iter().filter(|entry| entry.refs.iter().any(|digest| !sound.contains(digest)));
        verified.dropped = broken.map(|entry| entry.fingerprint).collect();
        self.forget(&verified.dropped)?;
        Ok(verified)
    }

    /// Moves something out of the way, so that it is a miss from now on. Entries that need it stay until the next
    /// verification; whoever uses one finds the tree missing.
    pub(crate) fn quarantine(&self, path: &Path, why: &str) -> Result<(), StoreError> {
        let name = path.file_name().unwrap_or_default();
        let mut aside = self.layout().folder("quarantine").join(name);
        if aside.symlink_metadata().is_ok() {
            aside = crate::store::temporary_beside(&aside);
        }
        match std::fs::rename(path, &aside) {
            Ok(()) => {}
            // Another process was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(StoreError::io("set aside", path)(error)),
        }
        if let Some(digest) = named::<Digest>(path) {
            let _ = std::fs::remove_file(self.layout().object_sidecar(&digest));
            self.index.remove_object(&digest)?;
        }
        self.note(format!("{} in the cache was set aside: {why}", name.to_string_lossy()));
        Ok(())
    }

    fn check_object(&self, digest: &Digest) -> Result<u64, String> {
        let hashed = hash_file(&self.layout().object(digest)).map_err(|error| error_text(&error))?;
        if hashed.digest == *digest { Ok(hashed.size) } else { Err("its content changed".to_owned()) }
    }

    fn check_tree(&self, digest: &Digest) -> Result<u64, String> {
        let manifest = read_manifest(self.layout(), digest).map_err(|error| error_text(&error))?;
        let manifest = manifest.ok_or("its manifest is damaged")?;
        compare_tree(&manifest, &self.layout().tree(digest).join("tree"))?;
        Ok(manifest.size())
    }
}

/// Whether the unpacked tree at `dir` is what the manifest says, every byte of it. The text says where it is not.
pub(crate) fn compare_tree(manifest: &Manifest, dir: &Path) -> Result<(), String> {
    manifest.entries.par_iter().try_for_each(|entry| compare_entry(manifest, entry, dir))?;
    no_strangers(manifest, &TreePath::default(), dir)
}

fn compare_entry(manifest: &Manifest, entry: &Entry, dir: &Path) -> Result<(), String> {
    let path = entry.path.on(dir);
    let differs = |what: &str| Err(format!("{} {what}", entry.path));
    let found = match path.symlink_metadata() {
        Ok(found) => found,
        Err(error) => return Err(format!("{}: {error}", entry.path)),
    };
    let kind = found.file_type();
    let same_kind = match &entry.kind {
        EntryKind::Dir { .. } => kind.is_dir(),
        EntryKind::File { size, .. } => kind.is_file() && found.size() == *size,
        EntryKind::Hardlink { .. } => kind.is_file(),
        EntryKind::Symlink { .. } => kind.is_symlink(),
        EntryKind::Fifo => kind.is_fifo(),
        EntryKind::Whiteout => {
            return if kind.is_char_device() && found.rdev() == 0 { Ok(()) } else { differs("is not hidden") };
        }
    };
    if !same_kind {
        return differs("is of another kind or size");
    }
    if !kind.is_symlink() && found.mode() & 0o7777 != entry.mode {
        return differs("has another mode");
    }
    // Outside the user namespace that made the tree, owners look different and say nothing.
    if rustix::process::geteuid().is_root()
        && !entry.path.is_root()
        && (found.uid(), found.gid()) != (entry.uid, entry.gid)
    {
        return differs("has another owner");
    }
    match &entry.kind {
        EntryKind::File { digest, .. } => match digest_file(&path) {
            Ok((found, _)) if found == *digest => Ok(()),
            Ok(_) => differs("has another content"),
            Err(error) => Err(format!("{}: {error}", entry.path)),
        },
        EntryKind::Symlink { target } => match std::fs::read_link(&path) {
            Ok(text) if text.as_os_str().as_bytes() == target => Ok(()),
            _ => differs("leads elsewhere"),
        },
        EntryKind::Hardlink { to } => {
            let first = to.on(dir).symlink_metadata().map_err(|error| format!("{to}: {error}"))?;
            let listed = manifest.get(to).is_some();
            if listed && first.ino() == found.ino() { Ok(()) } else { differs("is not a link any more") }
        }
        EntryKind::Dir { .. } | EntryKind::Fifo | EntryKind::Whiteout => Ok(()),
    }
}

/// Whether everything below `dir` is in the manifest.
fn no_strangers(manifest: &Manifest, at: &TreePath, dir: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("{at}: {error}");
    for found in std::fs::read_dir(dir).map_err(failed)? {
        let found = found.map_err(failed)?;
        let mut path = at.clone();
        if !path.is_root() {
            path.0.push(b'/');
        }
        path.0.extend_from_slice(found.file_name().as_bytes());
        let Some(entry) = manifest.get(&path) else { return Err(format!("{path} does not belong there")) };
        if entry.is_dir() {
            no_strangers(manifest, &path, &found.path())?;
        }
    }
    Ok(())
}
