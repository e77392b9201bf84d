//! The stat cache: digests of files that did not change since they were last read.
//!
//! A file is taken as unchanged when device, inode, size, both times and mode are what they were, *and* it was already
//! older than the resolution of time stamps when it was read: a change within the same tick leaves no trace in them
//! ("racily clean" in git). Such digests are not kept at all; the next reader reads again.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use imgc_plan::Digest;

use crate::error::StoreError;
use crate::object::digest_file;
use crate::place::{Durable, write_file};

/// Changes closer to the reading than this may share its time stamp: FAT counts in steps of two seconds, kernels
/// elsewhere in ticks of at most ten milliseconds.
const SAFE_AGE: Duration = Duration::from_secs(2);

/// Above this, digests that this run did not ask for are dropped.
const MOST_KEPT: usize = 1_000_000;

/// `MAGIC count (path_start path_length stamp digest)* paths checksum`, numbers in 8 bytes, little end first.
const MAGIC: &[u8; 8] = b"imgcsc01";
const RECORD: usize = 8 + 8 + 6 * 8 + 32;
const CHECKSUM: usize = 32;

/// What tells that a file is the same as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStamp {
    dev: u64,
    ino: u64,
    size: u64,
    /// Nanoseconds since 1970.
    mtime: i64,
    /// Nanoseconds since 1970.
    ctime: i64,
    mode: u64,
}

impl FileStamp {
    /// Of a file that was examined.
    pub fn of(found: &Metadata) -> Self {
        let nanos = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
        Self {
            dev: found.dev(),
            ino: found.ino(),
            size: found.size(),
            mtime: nanos(found.mtime(), found.mtime_nsec()),
            ctime: nanos(found.ctime(), found.ctime_nsec()),
            mode: u64::from(found.mode()),
        }
    }

    /// Whether a change after `moment` would be seen in the time stamps.
    fn is_safe_at(&self, moment: i64) -> bool {
        let age = i64::try_from(SAFE_AGE.as_nanos()).unwrap_or(i64::MAX);
        self.mtime.max(self.ctime).saturating_add(age) < moment
    }
}

/// Digests of files by path. Several threads may use it at a time.
#[derive(Debug)]
pub struct StatCache {
    path: PathBuf,
    saved: Saved,
    session: Mutex<Session>,
}

/// What this run found out.
#[derive(Debug, Default)]
struct Session {
    read: HashMap<Vec<u8>, Known>,
    /// Which saved records were of use.
    used: HashSet<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    stamp: FileStamp,
    digest: Digest,
}

impl StatCache {
    /// Reads the cache at `path`. One that is missing, damaged or of another version is empty.
    pub fn open(path: &Path) -> Self {
        let saved = std::fs::read(path).ok().and_then(Saved::check).unwrap_or_default();
        Self { path: path.to_owned(), saved, session: Mutex::default() }
    }

    /// The digest of a regular file, read only if it is not known.
    pub fn digest(&self, file: &Path) -> io::Result<Digest> {
        let stamp = FileStamp::of(&std::fs::metadata(file)?);
        if let Some(digest) = self.lookup(file, &stamp) {
            return Ok(digest);
        }
        let started = SystemTime::now();
        let (digest, _) = digest_file(file)?;
        if FileStamp::of(&std::fs::metadata(file)?) == stamp {
            self.insert(file, &stamp, digest, started);
        }
        Ok(digest)
    }

    /// The digest of a file that was just examined, where it is known.
    pub fn lookup(&self, file: &Path, stamp: &FileStamp) -> Option<Digest> {
        let key = file.as_os_str().as_bytes();
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = session.read.get(key) {
            return (known.stamp == *stamp).then_some(known.digest);
        }
        let position = self.saved.find(key)?;
        let (_, known) = self.saved.record(position)?;
        if known.stamp != *stamp {
            return None;
        }
        session.used.insert(position);
        Some(known.digest)
    }

    /// Keeps the digest of a file whose stamp was the same before and after it was read; reading began at `started`.
    /// Keeps nothing where a change since then could go unseen.
    pub fn insert(&self, file: &Path, stamp: &FileStamp, digest: Digest, started: SystemTime) {
        let started = started.duration_since(UNIX_EPOCH).unwrap_or_default();
        if !stamp.is_safe_at(i64::try_from(started.as_nanos()).unwrap_or(i64::MAX)) {
            return;
        }
        let key = file.as_os_str().as_bytes().to_vec();
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        session.read.insert(key, Known { stamp: *stamp, digest });
    }

    /// Writes the cache; nothing where this run learnt nothing. Of two runs at a time the later one wins: what the other
    /// learnt is read again.
    pub fn save(&self) -> Result<(), StoreError> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if session.read.is_empty() {
            return Ok(());
        }
        let keep_all = self.saved.count + session.read.len() <= MOST_KEPT;
        let mut records: BTreeMap<&[u8], Known> = BTreeMap::new();
        for position in 0..self.saved.count {
            if let Some((path, known)) = self.saved.record(position)
                && (keep_all || session.used.contains(&position))
            {
                records.insert(path, known);
            }
        }
        records.extend(session.read.iter().map(|(path, known)| (path.as_slice(), *known)));
        let bytes = encode(&records);
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(StoreError::io("make", folder))?;
        }
        write_file(&self.path, &bytes, Durable::Later)
    }
}

/// The file as it was read: searched where it lies, so that opening costs one read and one checksum.
#[derive(Debug, Default)]
struct Saved {
    bytes: Vec<u8>,
    count: usize,
}

impl Saved {
    /// Nothing unless it is whole.
    fn check(bytes: Vec<u8>) -> Option<Self> {
        let (content, checksum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
        let rest = content.strip_prefix(MAGIC)?;
        if blake3::hash(content).as_bytes() != checksum {
            return None;
        }
        let count = usize::try_from(u64_at(rest, 0)?).ok()?;
        (count <= rest.len() / RECORD).then_some(Self { bytes, count })
    }

    fn record(&self, position: usize) -> Option<(&[u8], Known)> {
        let start = MAGIC.len() + 8 + position * RECORD;
        let record = self.bytes.get(start..start + RECORD)?;
        let field = |number: usize| u64_at(record, number * 8);
        let path_start = usize::try_from(field(0)?).ok()?;
        let path_end = path_start.checked_add(usize::try_from(field(1)?).ok()?)?;
        let stamp = FileStamp {
            dev: field(2)?,
            ino: field(3)?,
            size: field(4)?,
            mtime: field(5)?.cast_signed(),
            ctime: field(6)?.cast_signed(),
            mode: field(7)?,
        };
        let digest = Digest(record.get(64..)?.try_into().ok()?);
        Some((self.bytes.get(path_start..path_end)?, Known { stamp, digest }))
    }

    fn find(&self, path: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.record(middle)?.0.cmp(path) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Some(middle),
            }
        }
        None
    }
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

fn encode(records: &BTreeMap<&[u8], Known>) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + records.len() * (RECORD + 64));
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&(records.len() as u64).to_le_bytes());
    let mut path_start = (out.len() + records.len() * RECORD) as u64;
    for (path, known) in records {
        let FileStamp { dev, ino, size, mtime, ctime, mode } = known.stamp;
        let length = path.len() as u64;
        for number in [path_start, length, dev, ino, size, mtime.cast_unsigned(), ctime.cast_unsigned(), mode] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&known.digest.0);
        path_start += length;
    }
    for path in records.keys() {
        out.extend_from_slice(path);
    }
    let checksum = blake3::hash(&out);
    out.extend_from_slice(checksum.as_bytes());
    out
}
