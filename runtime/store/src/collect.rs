//! What the store takes, and taking things out of it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use imgc_plan::{Digest, Fingerprint};

use crate::error::StoreError;
use crate::fail_point;
use crate::index::{IndexEntry, now};
use crate::layer_tree::read_manifest;
use crate::layout::{children, named};
use crate::remove::remove_tree;
use crate::store::Store;

/// What is to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Everything, down to an empty store.
    All,
    /// These entries, and what nothing else needs then.
    Entries(Vec<Fingerprint>),
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Entries of the index.
    pub entries: usize,
    /// Unpacked trees.
    pub trees: usize,
    /// Objects.
    pub objects: usize,
    /// About how many bytes were freed.
    pub bytes: u64,
}

/// What a trim did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trimmed {
    /// The store fits now, as far as that was possible; perhaps it did before.
    Done(Removed),
    /// Nothing was done, because another run uses the store.
    InUse,
}

/// What the store holds, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Entries of the index.
    pub entries: usize,
    /// Unpacked trees.
    pub trees: usize,
    /// Objects.
    pub objects: usize,
    /// About what trees take on the disk.
    pub tree_bytes: u64,
    /// Bytes of the objects.
    pub object_bytes: u64,
    /// How many damaged things are set aside.
    pub quarantined: usize,
}

impl Usage {
    /// Bytes of everything together.
    pub fn bytes(&self) -> u64 {
        self.tree_bytes.saturating_add(self.object_bytes)
    }
}

/// What a store may take where the user says nothing: 20 GiB, or a fifth of its file system where that is less.
pub fn default_budget(store: &Store) -> Result<u64, StoreError> {
    const MOST: u64 = 20 << 30;
    let stat = rustix::fs::statvfs(store.root()).map_err(StoreError::os("examine", store.root()))?;
    Ok(MOST.min(stat.f_blocks.saturating_mul(stat.f_frsize) / 5))
}

/// Everything in the store that takes space, by digest.
#[derive(Debug, Default)]
struct Contents {
    trees: HashMap<Digest, u64>,
    objects: HashMap<Digest, u64>,
}

impl Contents {
    fn size(&self, digest: &Digest) -> u64 {
        self.trees.get(digest).or_else(|| self.objects.get(digest)).copied().unwrap_or(0)
    }

    fn bytes(&self) -> u64 {
        self.trees.values().chain(self.objects.values()).fold(0, |sum, size| sum.saturating_add(*size))
    }
}

impl Store {
    /// Counts what the store holds. Reads the manifests of trees that were not counted before.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        let contents = self.contents()?;
        Ok(Usage {
            entries: self.all_entries()?.len(),
            trees: contents.trees.len(),
            objects: contents.objects.len(),
            tree_bytes: contents.trees.values().sum(),
            object_bytes: contents.objects.values().sum(),
            quarantined: children(&self.layout().folder("quarantine")).len(),
        })
    }

    /// Removes entries and what only they needed.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while anyone [shares](Store::share) the store.
    pub fn remove(&self, selection: &Selection) -> Result<Removed, StoreError> {
        let _exclusive = self.exclusive()?;
        match selection {
            Selection::All => self.remove_all(),
            Selection::Entries(fingerprints) => {
                let doomed: HashSet<Fingerprint> = fingerprints.iter().copied().collect();
                let (gone, stay): (Vec<IndexEntry>, Vec<IndexEntry>) =
                    self.all_entries()?.into_iter().partition(|entry| doomed.contains(&entry.fingerprint));
                let needed: HashSet<Digest> = stay.iter().flat_map(|entry| entry.refs.iter().copied()).collect();
                let unneeded = gone.iter().flat_map(|entry| &entry.refs).filter(|digest| !needed.contains(digest));
                let unneeded: HashSet<Digest> = unneeded.copied().collect();
                let gone: Vec<Fingerprint> = gone.iter().map(|entry| entry.fingerprint).collect();
                self.take_out(&gone, &unneeded, &self.contents()?)
            }
        }
    }

    /// Removes a tree unless an entry needs it, or anyone shares the store; whether it did.
    pub fn remove_tree_unneeded(&self, digest: &Digest) -> Result<bool, StoreError> {
        let Some(_exclusive) = self.try_exclusive()? else { return Ok(false) };
        let path = self.layout().tree(digest);
        let is_needed = self.all_entries()?.iter().any(|entry| entry.refs.contains(digest));
        if is_needed || !path.exists() {
            return Ok(false);
        }
        self.remove_by_rename(&path)?;
        Ok(true)
    }

    /// Takes out what is cheapest to make again for the bytes it frees, the longest unused first among equals, until
    /// the store fits in `budget` bytes. Never takes entries of `keep` or what they need. What is set aside as damaged
    /// and what no entry needs goes first.
    ///
    /// Does nothing while anyone shares the store, so a run drops its [`crate::Sharing`] before it trims.
    pub fn trim(&self, budget: u64, keep: &[Fingerprint]) -> Result<Trimmed, StoreError> {
        self.trim_beside(budget, keep, &[])
    }

    /// As [`Store::trim`]; never takes these trees and objects either, which something outside the index needs.
    pub fn trim_beside(&self, budget: u64, keep: &[Fingerprint], pinned: &[Digest]) -> Result<Trimmed, StoreError> {
        let Some(_exclusive) = self.try_exclusive()? else { return Ok(Trimmed::InUse) };
        let contents = self.contents()?;
        let mut bytes = contents.bytes();
        if bytes <= budget {
            return Ok(Trimmed::Done(Removed::default()));
        }
        for path in children(&self.layout().folder("quarantine")) {
            remove_tree(&path)?;
        }
        let entries = self.all_entries()?;
        let mut users: HashMap<Digest, usize> = HashMap::new();
        for digest in entries.iter().flat_map(refs_once).chain(pinned.iter().copied()) {
            *users.entry(digest).or_default() += 1;
        }
        let known = contents.trees.keys().chain(contents.objects.keys());
        let mut unneeded: HashSet<Digest> = known.filter(|digest| !users.contains_key(digest)).copied().collect();
        let freed = |digests: &HashSet<Digest>| digests.iter().map(|digest| contents.size(digest)).sum::<u64>();
        bytes = bytes.saturating_sub(freed(&unneeded));
        let mut gone = Vec::new();
        for entry in in_order_of_worth(&entries, &users, &contents, keep) {
            if bytes <= budget {
                break;
            }
            gone.push(entry.fingerprint);
            for digest in refs_once(entry) {
                let left = users.entry(digest).or_default();
                *left = left.saturating_sub(1);
                if *left == 0 && unneeded.insert(digest) {
                    bytes = bytes.saturating_sub(contents.size(&digest));
                }
            }
        }
        self.take_out(&gone, &unneeded, &contents).map(Trimmed::Done)
    }

    /// Drops entries from the index, and then their sidecars: the other way round a crash would leave entries that a
    /// rebuilt index lacks, this way it leaves files that the next verification finds.
    pub(crate) fn forget(&self, fingerprints: &[Fingerprint]) -> Result<(), StoreError> {
        self.index.remove_entries(fingerprints)?;
        fail_point!("gc.entries");
        for fingerprint in fingerprints {
            let _ = std::fs::remove_file(self.layout().entry_sidecar(fingerprint));
        }
        Ok(())
    }

    fn take_out(
        &self,
        entries: &[Fingerprint],
        unneeded: &HashSet<Digest>,
        contents: &Contents,
    ) -> Result<Removed, StoreError> {
        self.forget(entries)?;
        fail_point!("gc.forgotten");
        let mut removed = Removed { entries: entries.len(), ..Removed::default() };
        let mut unneeded: Vec<&Digest> = unneeded.iter().collect();
        unneeded.sort();
        for digest in unneeded {
            if contents.trees.contains_key(digest) {
                self.remove_by_rename(&self.layout().tree(digest))?;
                removed.trees += 1;
            } else if contents.objects.contains_key(digest) {
                self.index.remove_object(digest)?;
                let _ = std::fs::remove_file(self.layout().object_sidecar(digest));
                remove_tree(&self.layout().object(digest))?;
                removed.objects += 1;
            }
            removed.bytes = removed.bytes.saturating_add(contents.size(digest));
        }
        Ok(removed)
    }

    /// First out of sight in one step, so that nobody finds half a tree, whatever happens meanwhile.
    fn remove_by_rename(&self, path: &Path) -> Result<(), StoreError> {
        let (aside, _owner) = self.scratch_path("removal")?;
        match std::fs::rename(path, &aside) {
            Ok(()) => {
                fail_point!("gc.aside");
                remove_tree(&aside)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(StoreError::io("remove", path)(error)),
        }
    }

    fn remove_all(&self) -> Result<Removed, StoreError> {
        let contents = self.contents()?;
        let removed = Removed {
            entries: self.all_entries()?.len(),
            trees: contents.trees.len(),
            objects: contents.objects.len(),
            bytes: contents.bytes(),
        };
        self.index.clear()?;
        for folder in ["entries", "objects", "trees", "quarantine"] {
            for path in children(&self.layout().folder(folder)) {
                remove_tree(&path)?;
            }
        }
        self.sweep()?;
        Ok(removed)
    }

    fn contents(&self) -> Result<Contents, StoreError> {
        let known = self.index.tree_sizes()?;
        let mut contents = Contents::default();
        let mut counted = Vec::new();
        for digest in self.layout().all("trees").iter().filter_map(|path| named::<Digest>(path)) {
            let size = if let Some(size) = known.get(&digest) {
                *size
            } else {
                let size = read_manifest(self.layout(), &digest)?.map_or(0, |manifest| manifest.disk_size());
                counted.push((digest, size));
                size
            };
            contents.trees.insert(digest, size);
        }
        if !counted.is_empty() {
            self.index.put_tree_sizes(&counted)?;
        }
        for path in self.layout().all("objects").iter().filter(|path| path.extension().is_none()) {
            if let (Some(digest), Ok(found)) = (named(path), path.symlink_metadata()) {
                // A disk image is mostly holes.
                contents.objects.insert(digest, std::os::unix::fs::MetadataExt::blocks(&found) * 512);
            }
        }
        Ok(contents)
    }
}

fn refs_once(entry: &IndexEntry) -> BTreeSet<Digest> {
    entry.refs.iter().copied().collect()
}

/// Entries that may go, the least worth first.
///
/// The bytes that an entry stands for are its share in what it needs, so that the base of many chains counts little in
/// each. Worth is seconds of making a byte, in powers of four: within one power the time of the last use decides.
fn in_order_of_worth<'a>(
    entries: &'a [IndexEntry],
    users: &HashMap<Digest, usize>,
    contents: &Contents,
    keep: &[Fingerprint],
) -> Vec<&'a IndexEntry> {
    let keep: HashSet<&Fingerprint> = keep.iter().collect();
    let share = |entry: &IndexEntry| -> u64 {
        let part = |digest: &Digest| contents.size(digest) / users.get(digest).map_or(1, |users| *users as u64).max(1);
        refs_once(entry).iter().map(part).sum()
    };
    let worth = |entry: &IndexEntry| {
        let nanos_per_byte = entry.cost.max(Duration::from_millis(1)).as_nanos() / u128::from(share(entry).max(1));
        nanos_per_byte.max(1).ilog2() / 2
    };
    let now = now();
    let mut order: Vec<(u32, i64, &IndexEntry)> = entries
        .iter()
        .filter(|entry| !keep.contains(&entry.fingerprint))
        .map(|entry| (worth(entry), entry.used.min(now), entry))
        .collect();
    order.sort_by_key(|(worth, used, entry)| (*worth, *used, entry.fingerprint));
    order.into_iter().map(|(_, _, entry)| entry).collect()
}
