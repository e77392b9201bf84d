//! Taking entries, with the layers and objects that they need, to a depot and from there into another store.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use imgc_plan::{Digest, Fingerprint};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};

use crate::depot::{Content, Depot, Part, Pushed};
use crate::error::StoreError;
use crate::index::IndexEntry;
use crate::layout::named;
use crate::manifest::digest_of_encoded;
use crate::object::hash_file;
use crate::publisher::NewEntry;
use crate::sidecar::{EntrySidecar, Sidecar};
use crate::store::Store;
use crate::tree::{Entry, EntryKind, Manifest};
use crate::verify::{Difference, compare_tree};

/// Names and modes alone: no layer has a manifest larger than this.
const LARGEST_MANIFEST: u64 = 1 << 30;

/// What an export did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exported {
    /// How many entries are in the depot now, of those asked for.
    pub entries: usize,
    /// What was written for them.
    pub pushed: Pushed,
    /// What is not there, and why.
    pub left_out: Vec<(Fingerprint, String)>,
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// How many entries the store did not have.
    pub entries: usize,
    /// How many it had.
    pub had: usize,
    /// How many layers and objects came with them.
    pub parts: usize,
    /// What was not taken, by the name that it has there, and why.
    pub refused: Vec<(String, String)>,
}

/// Why something was not taken.
enum Refusal {
    /// What is in the depot is not what it should be.
    Depot(String),
    /// Our own store fails.
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Store {
    /// Writes entries and all that they need into a depot. Everything is read and compared with its digest before; what is
    /// damaged is set aside, as by [`Store::verify`], and left out. Nothing is taken out of the store meanwhile. May be
    /// repeated at will.
    pub fn export(&self, entries: &[IndexEntry], depot: &Depot) -> Result<Exported, StoreError> {
        let _sharing = self.share()?;
        let mut exported = Exported::default();
        // Chains repeat what is below them.
        let mut done: HashMap<Digest, Option<String>> = HashMap::new();
        let mut brought = BTreeSet::new();
        for entry in entries {
            let mut lacks = None;
            for digest in &entry.refs {
                if !done.contains_key(digest) {
                    let outcome = self.export_part(digest, depot)?;
                    done.insert(*digest, outcome.map(|pushed| exported.pushed.add(pushed)).err());
                }
                lacks = lacks.or_else(|| done.get(digest).cloned().flatten());
            }
            if let Some(why) = lacks {
                exported.left_out.push((entry.fingerprint, why));
            } else {
                depot.put_entry(entry)?;
                brought.insert(entry.fingerprint);
            }
        }
        exported.entries = brought.len();
        if !brought.is_empty() {
            depot.put_list(brought)?;
        }
        depot.sync()?;
        Ok(exported)
    }

    fn export_part(&self, digest: &Digest, depot: &Depot) -> Result<Result<Pushed, String>, StoreError> {
        if let Some(object) = self.object_read(digest)? {
            let file = File::open(&object.path).map_err(StoreError::io("read", &object.path))?;
            return depot.put(Part::Object, digest, file, &object.path).map(Ok);
        }
        let Some(tree) = self.tree(digest)? else { return Ok(Err("a part of it is not in the store".to_owned())) };
        match compare_tree(&tree.manifest, &tree.dir) {
            Ok(()) => {}
            Err(Difference::Unreadable(why)) => return Ok(Err(why)),
            Err(Difference::Damage(why)) => {
                self.quarantine(&self.layout().tree(digest), &why)?;
                return Ok(Err(why));
            }
        }
        let encoded = tree.manifest.encode();
        let mut head = (encoded.len() as u64).to_le_bytes().to_vec();
        head.extend(encoded);
        let content =
            Files { open: Box::new(io::Cursor::new(head)), rest: tree.manifest.entries.iter(), dir: &tree.dir };
        depot.put(Part::Tree, digest, content, &tree.dir).map(Ok)
    }

    /// Takes every entry of a depot that the store does not have, with all that it needs. What is not as its digest says is
    /// refused, with the entries that need it; the others are taken. May be repeated at will.
    ///
    /// `opaque` is the name of the attribute that marks opaque directories here: it depends on who runs.
    ///
    /// Whether an entry tells the truth, that these layers are what its fingerprint stands for, cannot be checked:
    /// whoever wrote the depot is trusted as whoever writes to the store is.
    pub fn import(&self, depot: &Depot, opaque: &str) -> Result<Imported, StoreError> {
        let _sharing = self.share()?;
        let publisher = self.publisher()?;
        let mut imported = Imported::default();
        let mut done: HashMap<Digest, Option<String>> = HashMap::new();
        let (listed, damaged) = depot.listed();
        let mut missing: BTreeSet<String> = listed.iter().map(Fingerprint::to_string).collect();
        let name_of = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for path in depot.entries() {
            let name = name_of(&path);
            missing.remove(&name);
            let Some(entry) = read_entry(&path) else {
                imported.refused.push((name, "its record is damaged, or of another version".to_owned()));
                continue;
            };
            let known = self.entries(&[entry.fingerprint])?.remove(&entry.fingerprint);
            let mut lacks = None;
            for digest in &entry.refs {
                if !done.contains_key(digest) {
                    let why = match self.import_part(digest, depot, opaque) {
                        Ok(taken) => {
                            imported.parts += usize::from(taken);
                            None
                        }
                        Err(Refusal::Depot(why)) => Some(why),
                        Err(Refusal::Store(error)) => return Err(error),
                    };
                    done.insert(*digest, why);
                }
                lacks = lacks.or_else(|| done.get(digest).cloned().flatten());
            }
            match (lacks, known) {
                (Some(why), _) => imported.refused.push((name, why)),
                (None, Some(_)) => imported.had += 1,
                (None, None) => {
                    let IndexEntry { fingerprint, payload, refs, size, cost, .. } = entry;
                    publisher.publish(NewEntry { fingerprint, payload, refs, size, cost });
                    imported.entries += 1;
                }
            }
        }
        publisher.finish()?;
        imported.refused.extend(missing.into_iter().map(|name| (name, "its record is missing".to_owned())));
        let of_list = |path: &PathBuf| (name_of(path), "the list of what came with it is damaged".to_owned());
        imported.refused.extend(damaged.iter().map(of_list));
        Ok(imported)
    }

    /// Whether it was not there before.
    fn import_part(&self, digest: &Digest, depot: &Depot, opaque: &str) -> Result<bool, Refusal> {
        if self.tree_dir(digest)?.is_some() || self.object(digest)?.is_some() {
            return Ok(false);
        }
        let (part, content) = match depot.read(Part::Tree, digest) {
            Some(content) => (Part::Tree, Some(content)),
            None => (Part::Object, depot.read(Part::Object, digest)),
        };
        let mut content =
            content.ok_or_else(|| Refusal::Depot("the list of its chunks is missing or damaged".to_owned()))?;
        let taken = match part {
            Part::Object => self.import_object(digest, &mut content),
            Part::Tree => self.import_tree(digest, &mut content, opaque),
        };
        match (taken, content.refused) {
            (Err(_), Some(why)) => Err(Refusal::Depot(why)),
            (taken, _) => taken.map(|()| true),
        }
    }

    fn import_object(&self, digest: &Digest, content: &mut Content<'_>) -> Result<(), Refusal> {
        let scratch = self.scratch("import")?;
        let path = scratch.path().join("object");
        let mut file = File::create(&path).map_err(StoreError::io("write", &path))?;
        io::copy(content, &mut file).map_err(StoreError::io("write", &path))?;
        drop(file);
        if hash_file(&path)?.digest != *digest {
            return Err(Refusal::Depot("its chunks are not what its digest says".to_owned()));
        }
        self.insert_file(&path)?;
        Ok(())
    }

    fn import_tree(&self, digest: &Digest, content: &mut Content<'_>, opaque: &str) -> Result<(), Refusal> {
        let scratch = self.scratch("import")?;
        let dir = scratch.path().join("tree");
        let manifest = read_manifest(digest, content).map_err(StoreError::io("read", &dir))?;
        let manifest = manifest.ok_or_else(|| Refusal::Depot("its manifest is not what its digest says".to_owned()))?;
        unpack(&manifest, content, &dir, opaque)?;
        match compare_tree(&manifest, &dir) {
            Ok(()) => {}
            Err(Difference::Damage(why) | Difference::Unreadable(why)) => return Err(Refusal::Depot(why)),
        }
        self.insert_tree(&manifest, &dir)?;
        Ok(())
    }
}

/// Nothing where it is damaged, of another version, or of another fingerprint than its name says.
fn read_entry(path: &Path) -> Option<IndexEntry> {
    let entry = path.is_file().then(|| EntrySidecar::read(path)).flatten()?.into_entry();
    (named::<Fingerprint>(path) == Some(entry.fingerprint)).then_some(entry)
}

/// Nothing where it is not the one of this digest.
fn read_manifest(digest: &Digest, content: &mut Content<'_>) -> io::Result<Option<Manifest>> {
    let mut length = [0; 8];
    content.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > LARGEST_MANIFEST {
        return Ok(None);
    }
    let mut encoded = Vec::new();
    content.take(length).read_to_end(&mut encoded)?;
    let same = digest_of_encoded(&encoded) == *digest;
    Ok(same.then(|| Manifest::decode(&encoded).ok()).flatten())
}

/// The content of a tree's files, one after the other in the manifest's order.
struct Files<'a> {
    open: Box<dyn Read>,
    rest: std::slice::Iter<'a, Entry>,
    dir: &'a Path,
}

impl Read for Files<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.open.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let Some(next) = self.rest.find(|entry| matches!(entry.kind, EntryKind::File { .. })) else { return Ok(0) };
            self.open = Box::new(File::open(next.path.on(self.dir))?);
        }
    }
}

/// Makes `dir` the tree that the manifest describes. A manifest that was decoded keeps its rules, so that every path is
/// below directories that were made here.
fn unpack(manifest: &Manifest, content: &mut dyn Read, dir: &Path, opaque: &str) -> Result<(), StoreError> {
    make_dir(dir, 0o755).map_err(StoreError::io("make", dir))?;
    for entry in &manifest.entries {
        let at = entry.path.on(dir);
        make(entry, &at, dir, content).map_err(StoreError::io("write", &at))?;
    }
    // From the end, so that nothing changes a directory after it got its mode and its time.
    for entry in manifest.entries.iter().rev() {
        let at = entry.path.on(dir);
        describe(entry, &at, opaque).map_err(StoreError::io("write", &at))?;
    }
    Ok(())
}

fn make_dir(at: &Path, mode: u32) -> io::Result<()> {
    std::fs::DirBuilder::new().mode(mode).create(at)
}

fn make(entry: &Entry, at: &Path, dir: &Path, content: &mut dyn Read) -> io::Result<()> {
    match &entry.kind {
        EntryKind::Dir { .. } if entry.path.is_root() => Ok(()),
        EntryKind::Dir { .. } => make_dir(at, 0o700),
        EntryKind::File { size, .. } => {
            let mut file = File::create_new(at)?;
            io::copy(&mut content.take(*size), &mut file).map(|_| ())
        }
        EntryKind::Hardlink { to } => std::fs::hard_link(to.on(dir), at),
        EntryKind::Symlink { target } => std::os::unix::fs::symlink(OsStr::from_bytes(target), at),
        EntryKind::Fifo => Ok(rustix::fs::mknodat(CWD, at, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?),
        EntryKind::Whiteout => Ok(rustix::fs::mknodat(CWD, at, FileType::CharacterDevice, Mode::empty(), 0)?),
    }
}

fn describe(entry: &Entry, at: &Path, opaque: &str) -> io::Result<()> {
    if matches!(entry.kind, EntryKind::Whiteout | EntryKind::Hardlink { .. }) {
        return Ok(());
    }
    // The owner first: a new owner takes capabilities and set-uid bits away.
    let (uid, gid) = (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)));
    rustix::fs::chownat(CWD, at, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    if !matches!(entry.kind, EntryKind::Symlink { .. }) {
        rustix::fs::chmodat(CWD, at, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
        for (name, value) in &entry.xattrs {
            rustix::fs::lsetxattr(at, name.as_str(), value, XattrFlags::empty())?;
        }
    }
    if matches!(entry.kind, EntryKind::Dir { opaque: true }) {
        rustix::fs::lsetxattr(at, opaque, b"y", XattrFlags::empty())?;
    }
    let time = Timespec { tv_sec: entry.mtime, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::utimensat(CWD, at, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
