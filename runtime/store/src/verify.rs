//! Reading everything again, and setting aside what is not what its digest says.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use imgc_plan::{Digest, Fingerprint};
use rayon::prelude::*;

use crate::error::StoreError;
use crate::fail_point;
use crate::index::IndexEntry;
use crate::layer_tree::read_manifest;
use crate::layout::named;
use crate::object::{digest_file, hash_file};
use crate::place::{Durable, reserve_shard, write_file};
use crate::remove::remove_tree;
use crate::scratch::error_text;
use crate::sidecar::{EntrySidecar, ObjectSidecar, Sidecar};
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
    /// What could not be read for lack of rights, and was left where it is.
    pub unreadable: Vec<Damage>,
    /// What entries refer to and is not there.
    pub missing: Vec<Digest>,
    /// Sidecars, and the index, that were damaged or missing and were written anew.
    pub mended: Vec<PathBuf>,
    /// Entries that were dropped because they refer to something that is damaged or missing.
    pub dropped: Vec<Fingerprint>,
}

/// Something that is not what its digest says, or nobody can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What it should be.
    pub digest: Digest,
    /// Where it was.
    pub path: PathBuf,
    /// In which way it differs, or why it cannot be read.
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
        let mut mended: Vec<PathBuf> = self.index.mend()?.into_iter().collect();
        let objects = self.layout().all("objects");
        let objects: Vec<Digest> =
            objects.iter().filter(|path| path.extension().is_none()).filter_map(|path| named(path)).collect();
        let trees: Vec<Digest> = self.layout().all("trees").iter().filter_map(|path| named(path)).collect();
        let mut checks: Vec<(Digest, PathBuf, Result<u64, Difference>)> = objects
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
                Err(Difference::Unreadable(why)) => {
                    sound.insert(digest);
                    verified.unreadable.push(Damage { digest, path, why });
                }
                Err(Difference::Damage(why)) => {
                    self.quarantine(&path, &why)?;
                    verified.damaged.push(Damage { digest, path, why });
                }
            }
        }
        let gone: HashSet<Digest> = verified.damaged.iter().map(|damage| damage.digest).collect();
        let entries = self.all_entries()?;
        let refs: BTreeSet<Digest> = entries.iter().flat_map(|entry| entry.refs.iter().copied()).collect();
        verified.missing =
            refs.into_iter().filter(|digest| !sound.contains(digest) && !gone.contains(digest)).collect();
        let broken = entries.iter().filter(|entry| entry.refs.iter().any(|digest| !sound.contains(digest)));
        verified.dropped = broken.map(|entry| entry.fingerprint).collect();
        self.forget(&verified.dropped)?;
        mended.extend(self.mend_object_sidecars(&objects, &sound)?);
        mended.extend(self.mend_entry_sidecars()?);
        verified.mended = mended;
        Ok(verified)
    }

    /// Writes the sidecars of sound objects anew where they do not say what is so. A damaged one could be believed.
    fn mend_object_sidecars(&self, objects: &[Digest], sound: &HashSet<Digest>) -> Result<Vec<PathBuf>, StoreError> {
        let mut mended = Vec::new();
        for digest in objects.iter().filter(|digest| sound.contains(digest)) {
            let (sidecar, path) = (self.layout().object_sidecar(digest), self.layout().object(digest));
            // Both digests again: what the sidecar says of the SHA-256 is what exports write into SHA256SUMS.
            let hashed = hash_file(&path)?;
            let known = ObjectSidecar::read(&sidecar);
            if known.is_none_or(|known| known.sha256 != hashed.sha256 || known.size != hashed.size) {
                self.describe(&hashed, &path)?;
                mended.push(sidecar);
            }
        }
        for path in self.layout().all("objects").iter().filter(|path| path.extension().is_some()) {
            if named::<Digest>(path).is_some_and(|digest| !self.layout().object(&digest).exists()) {
                remove_tree(path)?;
                mended.push(path.clone());
            }
        }
        Ok(mended)
    }

    /// Makes index and sidecars say the same: a lost index would be rebuilt from them. Only sidecars carry a check of
    /// themselves, so one that is whole is right.
    fn mend_entry_sidecars(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut mended = Vec::new();
        let entries = self.all_entries()?;
        let known: HashSet<PathBuf> =
            entries.iter().map(|entry| self.layout().entry_sidecar(&entry.fingerprint)).collect();
        for entry in &entries {
            let path = self.layout().entry_sidecar(&entry.fingerprint);
            match EntrySidecar::read(&path).map(EntrySidecar::into_entry) {
                Some(known) if known.fingerprint == entry.fingerprint => {
                    let known = IndexEntry { used: entry.used, ..known };
                    if known != *entry {
                        self.index.put_entries(&[known], &[])?;
                        mended.push(self.layout().index());
                    }
                }
                Some(_) | None => {
                    reserve_shard(&path)?;
                    write_file(&path, &EntrySidecar::new(entry).encode()?, Durable::Now)?;
                    mended.push(path);
                }
            }
        }
        for path in self.layout().all("entries").into_iter().filter(|path| !known.contains(path)) {
            // Of an entry that was removed by a process that was killed, or nothing that we wrote.
            remove_tree(&path)?;
            mended.push(path);
        }
        Ok(mended)
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
            Ok(()) => {
                fail_point!("quarantine.moved");
            }
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

    fn check_object(&self, digest: &Digest) -> Result<u64, Difference> {
        let (found, size) =
            digest_file(&self.layout().object(digest)).map_err(|error| Difference::io(&error, &"it"))?;
        if found == *digest { Ok(size) } else { Err(Difference::Damage("its content changed".to_owned())) }
    }

    fn check_tree(&self, digest: &Digest) -> Result<u64, Difference> {
        let manifest =
            read_manifest(self.layout(), digest).map_err(|error| Difference::Unreadable(error_text(&error)))?;
        let manifest = manifest.ok_or_else(|| Difference::Damage("its manifest is damaged".to_owned()))?;
        compare_tree(&manifest, &self.layout().tree(digest).join("tree"))?;
        Ok(manifest.size())
    }
}

/// Why something cannot be said to be what its digest says.
#[derive(Debug)]
pub(crate) enum Difference {
    /// It is not.
    Damage(String),
    /// We may not look, as a user outside the user namespace that made it.
    Unreadable(String),
}

impl Difference {
    fn io(error: &io::Error, what: &dyn std::fmt::Display) -> Self {
        let text = format!("{what}: {error}");
        if error.kind() == io::ErrorKind::PermissionDenied { Self::Unreadable(text) } else { Self::Damage(text) }
    }
}

/// Whether the unpacked tree at `dir` is what the manifest says: names, kinds, modes, owners, links, every byte of
/// files. Time stamps and extended attributes are not compared; exports take them from the manifest.
pub(crate) fn compare_tree(manifest: &Manifest, dir: &Path) -> Result<(), Difference> {
    manifest.entries.par_iter().try_for_each(|entry| compare_entry(entry, dir))?;
    no_strangers(manifest, &TreePath::default(), dir)
}

fn compare_entry(entry: &Entry, dir: &Path) -> Result<(), Difference> {
    let path = entry.path.on(dir);
    let differs = |what: &str| Err(Difference::Damage(format!("{} {what}", entry.path)));
    let failed = |error: io::Error| Difference::io(&error, &entry.path);
    let found = path.symlink_metadata().map_err(failed)?;
    let kind = found.file_type();
    let same_kind = match &entry.kind {
        EntryKind::Dir { .. } => kind.is_dir(),
        EntryKind::File { size, .. } => kind.is_file() && found.size() == *size,
        EntryKind::Hardlink { .. } => kind.is_file(),
        EntryKind::Symlink { .. } => kind.is_symlink(),
        EntryKind::Fifo => kind.is_fifo(),
        EntryKind::Whiteout => kind.is_char_device() && found.rdev() == 0,
    };
    if !same_kind {
        return differs("is of another kind or size");
    }
    if entry.kind == EntryKind::Whiteout {
        return Ok(());
    }
    if !kind.is_symlink() && found.mode() & 0o7777 != entry.mode {
        return differs("has another mode");
    }
    // Outside the user namespace that made the tree, owners look different and say nothing.
    if rustix::process::geteuid().is_root() && (found.uid(), found.gid()) != (entry.uid, entry.gid) {
        return differs("has another owner");
    }
    match &entry.kind {
        EntryKind::File { digest, .. } if digest_file(&path).map_err(failed)?.0 != *digest => {
            differs("has another content")
        }
        EntryKind::Symlink { target }
            if std::fs::read_link(&path).map_err(failed)?.as_os_str().as_bytes() != target =>
        {
            differs("leads elsewhere")
        }
        EntryKind::Hardlink { to } if to.on(dir).symlink_metadata().map_err(failed)?.ino() != found.ino() => {
            differs("is not a link any more")
        }
        EntryKind::Dir { .. }
        | EntryKind::File { .. }
        | EntryKind::Symlink { .. }
        | EntryKind::Hardlink { .. }
        | EntryKind::Fifo
        | EntryKind::Whiteout => Ok(()),
    }
}

/// Whether everything below `dir` is in the manifest.
fn no_strangers(manifest: &Manifest, at: &TreePath, dir: &Path) -> Result<(), Difference> {
    let failed = |error: io::Error| Difference::io(&error, at);
    for found in std::fs::read_dir(dir).map_err(failed)? {
        let found = found.map_err(failed)?;
        let mut path = at.clone();
        if !path.is_root() {
            path.0.push(b'/');
        }
        path.0.extend_from_slice(found.file_name().as_bytes());
        let Some(entry) = manifest.get(&path) else {
            return Err(Difference::Damage(format!("{path} does not belong there")));
        };
        if entry.is_dir() {
            no_strangers(manifest, &path, &found.path())?;
        }
    }
    Ok(())
}
