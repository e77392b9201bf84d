//! The form in which layers and objects leave the machine: content-defined chunks, so that two versions of a layer share
//! what they have in common.
//!
//! A *depot* is a directory (of a server's disk, of an object store's mount, on a stick). It needs neither locks nor
//! renames over the network that work: everything in it is written once, in this order, and checked when it is read.
//!
//! ```text
//! version                   the format of the whole directory
//! chunks/aa/DIGEST.zst      the bytes of one chunk, compressed; named by what they are uncompressed
//! objects/aa/DIGEST.json    the chunks of one object, in order
//! trees/aa/DIGEST.json      the same of one layer: the length of its manifest, the manifest, the content of its files
//! entries/aa/FP.json        an entry of the index; written when all that it refers to is there
//! lists/aa/DIGEST.json      the entries of one export, written last: one that gets lost is missed
//! ```

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use fastcdc::v2020::StreamCDC;
use imgc_plan::{Digest, Fingerprint};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::fail_point;
use crate::layout::Layout;
use crate::place::{Durable, write_file};
use crate::sidecar::{EntrySidecar, SIDECAR_VERSION, Sidecar};

/// The format of depots; one with a higher number is left untouched. Other sizes of chunks need no other version:
/// readers do not care where cuts are.
const DEPOT_VERSION: u32 = 1;

/// What stands before the number in `version`, so that no other directory is taken for a depot.
const NAME: &str = "imgc layers ";

/// Bytes of a chunk: about what one changed file of a package costs, and 16,000 names for a gibibyte.
const LEAST: usize = 16 << 10;
const AVERAGE: usize = 64 << 10;
const MOST: usize = 256 << 10;

/// Of zstd: quicker than most disks and networks.
const LEVEL: i32 = 3;

/// A directory of layers on their way to another machine.
#[derive(Debug, Clone)]
pub struct Depot {
    root: PathBuf,
}

/// What writing one thing into a depot took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pushed {
    /// How many chunks it has.
    pub chunks: usize,
    /// How many of them the depot did not have.
    pub sent: usize,
    /// Bytes of those as they lie there, compressed.
    pub bytes: u64,
}

impl Pushed {
    pub(crate) fn add(&mut self, other: Self) {
        self.chunks += other.chunks;
        self.sent += other.sent;
        self.bytes += other.bytes;
    }
}

/// Of what a recipe is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Object,
    Tree,
}

impl Part {
    fn folder(self) -> &'static str {
        match self {
            Self::Object => "objects",
            Self::Tree => "trees",
        }
    }
}

/// The chunks of one thing.
#[derive(Debug, Serialize, Deserialize)]
struct Recipe {
    version: u32,
    /// In order, with their lengths.
    chunks: Vec<(Digest, u64)>,
}

impl Sidecar for Recipe {
    fn version(&self) -> u32 {
        self.version
    }
}

/// What one export brought.
#[derive(Debug, Serialize, Deserialize)]
struct List {
    version: u32,
    /// Sorted, so that the same export has the same name.
    entries: BTreeSet<Fingerprint>,
}

impl Sidecar for List {
    fn version(&self) -> u32 {
        self.version
    }
}

impl Depot {
    /// Opens the depot at `root` to write to it; makes it where there is nothing, or an empty directory.
    pub fn make(root: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(root).map_err(StoreError::io("make", root))?;
        let version = root.join("version");
        if !version.exists() {
            let read = std::fs::read_dir(root).map_err(StoreError::io("read", root))?;
            // A write that was killed leaves a name with a dot.
            let foreign = read.flatten().any(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
            if foreign {
                return Err(StoreError::DepotForeign { root: root.to_owned() });
            }
            write_file(&version, format!("{NAME}{DEPOT_VERSION}\n").as_bytes(), Durable::Now)?;
        }
        Self::open(root)
    }

    /// Opens the depot at `root` to read it.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let foreign = || StoreError::DepotForeign { root: root.to_owned() };
        // Nothing but a short file can be it; a pipe would be waited for.
        let version = root.join("version");
        if !version.metadata().is_ok_and(|found| found.is_file() && found.len() < 64) {
            return Err(foreign());
        }
        let text = std::fs::read_to_string(&version).map_err(|_| foreign())?;
        let found = text.strip_prefix(NAME).and_then(|number| number.trim().parse::<u32>().ok());
        match found.ok_or_else(foreign)? {
            DEPOT_VERSION => Ok(Self { root: root.to_owned() }),
            found => Err(StoreError::DepotVersion { root: root.to_owned(), found, known: DEPOT_VERSION }),
        }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The paths of its entries, sorted.
    pub(crate) fn entries(&self) -> Vec<PathBuf> {
        self.records("entries")
    }

    fn records(&self, folder: &str) -> Vec<PathBuf> {
        let json = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
        Layout { root: self.root.clone() }.all(folder).into_iter().filter(json).collect()
    }

    /// Every entry that an export said it brought, and the lists that cannot be read.
    pub(crate) fn listed(&self) -> (BTreeSet<Fingerprint>, Vec<PathBuf>) {
        let (mut entries, mut damaged) = (BTreeSet::new(), Vec::new());
        for path in self.records("lists") {
            match path.is_file().then(|| List::read(&path)).flatten() {
                Some(list) => entries.extend(list.entries),
                None => damaged.push(path),
            }
        }
        (entries, damaged)
    }

    pub(crate) fn put_list(&self, entries: BTreeSet<Fingerprint>) -> Result<(), StoreError> {
        let encoded = List { version: SIDECAR_VERSION, entries }.encode()?;
        put(&self.path("lists", &Digest::of(&encoded).to_string(), ".json"), &encoded)?;
        fail_point!("depot.list");
        Ok(())
    }

    pub(crate) fn put_entry(&self, entry: &crate::index::IndexEntry) -> Result<(), StoreError> {
        let path = self.path("entries", &entry.fingerprint.to_string(), ".json");
        put(&path, &EntrySidecar::new(entry).encode()?)?;
        fail_point!("depot.entry");
        Ok(())
    }

    /// Writes what a reader gives, as far as it is not there. What is there is read: an export mends what is damaged.
    pub(crate) fn put(&self, part: Part, digest: &Digest, from: impl Read, of: &Path) -> Result<Pushed, StoreError> {
        let mut pushed = Pushed::default();
        let mut recipe = Recipe { version: SIDECAR_VERSION, chunks: Vec::new() };
        for chunk in StreamCDC::new(from, LEAST, AVERAGE, MOST) {
            let chunk = chunk.map_err(|error| StoreError::io("read", of)(error.into()))?;
            let (digest, length) = (Digest::of(&chunk.data), chunk.data.len() as u64);
            pushed.chunks += 1;
            if self.chunk(&digest, length).is_err() {
                let path = self.path("chunks", &digest.to_string(), ".zst");
                let packed = zstd::bulk::compress(&chunk.data, LEVEL).map_err(StoreError::io("compress", &path))?;
                put(&path, &packed)?;
                fail_point!("depot.chunk");
                pushed.sent += 1;
                pushed.bytes += packed.len() as u64;
            }
            recipe.chunks.push((digest, length));
        }
        put(&self.path(part.folder(), &digest.to_string(), ".json"), &recipe.encode()?)?;
        fail_point!("depot.recipe");
        Ok(pushed)
    }

    /// What was written under this digest; nothing where there is no recipe that can be used.
    pub(crate) fn read(&self, part: Part, digest: &Digest) -> Option<Content<'_>> {
        let path = self.path(part.folder(), &digest.to_string(), ".json");
        let recipe = path.is_file().then(|| Recipe::read(&path)).flatten()?;
        Some(Content { depot: self, chunks: recipe.chunks.into_iter(), open: io::Cursor::default(), refused: None })
    }

    /// The bytes of one chunk, or what is wrong with it: whoever wrote it need not be trusted.
    fn chunk(&self, digest: &Digest, length: u64) -> Result<Vec<u8>, String> {
        let path = self.path("chunks", &digest.to_string(), ".zst");
        let short = digest.to_string().chars().take(12).collect::<String>();
        let size = usize::try_from(length).ok().filter(|size| *size <= MOST);
        let size = size.ok_or_else(|| format!("its chunk {short} is larger than chunks are"))?;
        let unreadable = |error: io::Error| {
            let missing = error.kind() == io::ErrorKind::NotFound;
            if missing {
                format!("its chunk {short} is missing")
            } else {
                format!("its chunk {short} cannot be read: {error}")
            }
        };
        let found = path.metadata().map_err(unreadable)?;
        // Memory is finite, and compressed is never much larger than plain.
        if !found.is_file() || found.len() > 2 * MOST as u64 {
            return Err(format!("its chunk {short} is damaged"));
        }
        let packed = std::fs::read(&path).map_err(unreadable)?;
        let bytes = zstd::bulk::decompress(&packed, size).unwrap_or_default();
        if Digest::of(&bytes) == *digest { Ok(bytes) } else { Err(format!("its chunk {short} is damaged")) }
    }

    fn path(&self, folder: &str, name: &str, extension: &str) -> PathBuf {
        let shard = name.get(..2).unwrap_or("00");
        self.root.join(folder).join(shard).join(format!("{name}{extension}"))
    }

    /// Waits until all of it is on the disk: it may be on a stick.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let root = File::open(&self.root).map_err(StoreError::io("open", &self.root))?;
        rustix::fs::syncfs(&root).map_err(StoreError::os("sync", &self.root))
    }
}

/// The bytes behind a recipe, each chunk checked before any of it is given.
#[derive(Debug)]
pub(crate) struct Content<'a> {
    depot: &'a Depot,
    chunks: std::vec::IntoIter<(Digest, u64)>,
    open: io::Cursor<Vec<u8>>,
    /// Why reading failed: tells what the depot did from what our own disk did.
    pub(crate) refused: Option<String>,
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.open.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let Some((digest, length)) = self.chunks.next() else { return Ok(0) };
            match self.depot.chunk(&digest, length) {
                Ok(bytes) => self.open = io::Cursor::new(bytes),
                Err(why) => {
                    self.refused = Some(why.clone());
                    return Err(io::Error::other(why));
                }
            }
        }
    }
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(StoreError::io("make", folder))?;
    }
    write_file(path, bytes, Durable::Later)
}
