//! Memory parts: the RAM and the devices of a guest as it stood when a layer was made, beside that layer.
//!
//! ```text
//! memory/ID/part.json   what fits it, and which disk it belongs to; locked while it is in use
//! memory/ID/ram         the RAM, where it was in a file; never written to once it is here
//! memory/ID/state       the devices, and RAM that was not in a file
//! memory/ID/disk        what the guest wrote since its layer, where the part is of a guest that had just booted
//! ```
//!
//! A part is never needed: a layer boots without it. So it is in no fingerprint and in no entry of the index, has a
//! budget of its own, and goes when it was not used for longest.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use imgc_backend::{BackendError, LayerId, MemoryPart, TrimmedMemory};
use imgc_plan::{Digest, Fingerprint};
use imgc_store::Store;
use serde::{Deserialize, Serialize};

use crate::command::file;
use crate::process::Saving;

/// The form that this imgc writes and reads.
const FORMAT: u32 = 1;
/// What describes a part.
const ABOUT: &str = "part.json";

/// The memory class: what must be the same for a part to fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Class {
    /// The QEMU program.
    pub(crate) build: String,
    /// The agent that runs in the guest.
    pub(crate) agent: String,
    /// The machine as the guest sees it.
    pub(crate) machine: Vec<String>,
}

/// What is written down about a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) format: u32,
    pub(crate) class: Class,
    /// The disks, the lowest first, as they were at that moment.
    pub(crate) chain: Vec<Digest>,
    /// Whether the RAM is in a file of its own.
    pub(crate) ram: bool,
    /// Whether the state was written as a mapped file.
    pub(crate) mapped: bool,
    /// After which step it was taken; none: after a boot.
    #[serde(default)]
    pub(crate) step: Option<Fingerprint>,
}

impl About {
    /// How the guest was saved.
    pub(crate) fn saving(&self) -> Saving {
        Saving { ram_elsewhere: self.ram, mapped: self.mapped }
    }
}

/// A part that fits; nobody removes it as long as this value lives.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) dir: PathBuf,
    pub(crate) about: About,
    _lock: File,
}

impl Class {
    /// In what another class differs first, as a reason for a boot; none where it does not.
    fn differs(&self, now: &Self) -> Option<String> {
        if self.build != now.build {
            return Some("it was saved by another QEMU".to_owned());
        }
        if self.agent != now.agent {
            return Some("it was saved with another version of the agent".to_owned());
        }
        if self.machine == now.machine {
            return None;
        }
        let then = self.machine.iter().find(|word| !now.machine.contains(word)).map_or("less", String::as_str);
        let now = now.machine.iter().find(|word| !self.machine.contains(word)).map_or("less", String::as_str);
        Some(format!("the machine is another one now: `{now}`, and it was saved with `{then}`"))
    }
}

/// The folder of all parts.
pub(crate) fn folder(store: &Store) -> Result<PathBuf, BackendError> {
    let folder = store.root().join("memory");
    if !folder.is_dir() {
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        match builder.create(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(BackendError::io(format!("cannot make {}", folder.display()))(error));
            }
            _ => {}
        }
    }
    Ok(folder)
}

/// The part of this name, where it is there and fits; else why it does not.
pub(crate) fn find(store: &Store, id: &str, class: &Class, chain: &[Digest]) -> Result<Part, String> {
    let gone = || "its memory part was removed from the cache".to_owned();
    let part = open(store, id).ok_or_else(gone)?;
    if part.about.format != FORMAT {
        return Err("its memory part was written by another imgc".to_owned());
    }
    if let Some(differs) = part.about.class.differs(class) {
        return Err(format!("its memory part does not fit: {differs}"));
    }
    if part.about.chain != chain {
        return Err("its memory part belongs to other disks".to_owned());
    }
    Ok(part)
}

/// Whether there is a part of this name.
pub(crate) fn is_kept(store: &Store, id: &str) -> bool {
    folder(store).is_ok_and(|folder| plain(id).is_some_and(|id| folder.join(id).join(ABOUT).exists()))
}

/// The part of this name, whatever it fits.
pub(crate) fn open(store: &Store, id: &str) -> Option<Part> {
    let dir = folder(store).ok()?.join(plain(id)?);
    let lock = File::open(dir.join(ABOUT)).ok()?;
    lock.try_lock_shared().ok()?;
    let about = serde_json::from_reader(&lock).ok()?;
    // The time of the description says when it was used last.
    let _ = lock.set_modified(SystemTime::now());
    Some(Part { dir, about, _lock: lock })
}

/// Keeps what a guest left in `dir` as a part of this name.
pub(crate) fn keep(
    store: &Store,
    id: &str,
    dir: &Path,
    step: Option<Fingerprint>,
    class: Class,
    chain: Vec<Digest>,
    mapped: bool,
) -> Result<(), BackendError> {
    let failed = || BackendError::io("cannot keep the memory of a guest");
    let ram = dir.join(file::RAM).exists();
    let about = About { format: FORMAT, class, chain, ram, mapped, step };
    let text = serde_json::to_vec(&about).map_err(|error| failed()(error.into()))?;
    std::fs::write(dir.join(ABOUT), text).map_err(failed())?;
    let to = folder(store)?.join(plain(id).ok_or_else(|| failed()(std::io::ErrorKind::InvalidInput.into()))?);
    // The same step, built anew, left the same disk: what was kept with it then is worth no more than this.
    if to.exists() {
        std::fs::remove_dir_all(&to).map_err(failed())?;
    }
    std::fs::rename(dir, to).map_err(failed())
}

/// All parts that are whole.
pub(crate) fn all(store: &Store) -> Vec<MemoryPart> {
    let about = |dir: &Path| -> Option<About> { serde_json::from_reader(File::open(dir.join(ABOUT)).ok()?).ok() };
    let part = |dir: PathBuf| {
        let about = about(&dir)?;
        let layer = LayerId(*about.chain.last()?);
        Some(MemoryPart { layer, step: about.step, bytes: bytes(&dir), used: used(&dir) })
    };
    dirs(store).into_iter().filter_map(part).collect()
}

/// Removes parts that no layer has any more, then those that were not used for longest until the others fit in `budget`
/// bytes. Parts in use stay.
pub(crate) fn trim(store: &Store, budget: Option<u64>) -> TrimmedMemory {
    let budget = budget.unwrap_or_else(|| default_budget(store));
    let mut parts: Vec<(SystemTime, u64, PathBuf)> = dirs(store)
        .into_iter()
        // What has no layer any more is worth least: it goes before all others.
        .map(|dir| (if is_orphan(store, &dir) { SystemTime::UNIX_EPOCH } else { used(&dir) }, bytes(&dir), dir))
        .collect();
    parts.sort();
    let mut all: u64 = parts.iter().map(|(_, bytes, _)| bytes).sum();
    let mut trimmed = TrimmedMemory::default();
    for (used, bytes, dir) in parts {
        if all <= budget && used > SystemTime::UNIX_EPOCH {
            break;
        }
        // Locked while it goes: nobody takes a part up that is half gone.
        let lock = File::open(dir.join(ABOUT)).ok();
        let busy = lock.as_ref().is_some_and(|lock| lock.try_lock().is_err());
        if !busy && std::fs::remove_dir_all(&dir).is_ok() {
            all -= bytes;
            trimmed.parts += 1;
            trimmed.bytes += bytes;
        }
    }
    trimmed
}

/// Whether no layer can have this part: what it says of itself cannot be read, or a disk of its chain is gone.
fn is_orphan(store: &Store, dir: &Path) -> bool {
    let about = File::open(dir.join(ABOUT)).ok().and_then(|file| serde_json::from_reader::<_, About>(file).ok());
    // A disk that cannot be looked for is not known to be gone.
    about.is_none_or(|about| about.chain.iter().any(|disk| matches!(store.object(disk), Ok(None))))
}

/// The folders of all parts.
fn dirs(store: &Store) -> Vec<PathBuf> {
    let Ok(folder) = folder(store) else { return Vec::new() };
    let read = std::fs::read_dir(folder).into_iter().flatten().flatten();
    read.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// What memory parts may take where the user says nothing: 10 GiB, or a tenth of the file system where that is less.
fn default_budget(store: &Store) -> u64 {
    const MOST: u64 = 10 << 30;
    rustix::fs::statvfs(store.root()).map_or(MOST, |stat| MOST.min(stat.f_blocks.saturating_mul(stat.f_frsize) / 10))
}

fn used(dir: &Path) -> SystemTime {
    let about = std::fs::metadata(dir.join(ABOUT));
    about.and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// What a part takes on the disk: RAM that was never written to takes nothing.
pub(crate) fn bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
    files.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.blocks() * 512).sum()
}

/// A name that is nothing but a name.
fn plain(id: &str) -> Option<&str> {
    Some(id).filter(|id| {
        !id.is_empty() && id.len() < 100 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A part of so many KiB that was used so many seconds ago, of a disk that is in the store or not.
    fn part(store: &Store, name: &str, kib: usize, ago: u64, known: bool) -> PathBuf {
        let dir = store.root().join(format!("new-{name}"));
        std::fs::create_dir_all(&dir).expect("folder");
        std::fs::write(dir.join(file::RAM), vec![1; kib << 10]).expect("RAM");
        let disk =
            if known { store.insert_bytes(name.as_bytes()).expect("disk").digest } else { Digest::of(name.as_bytes()) };
        let class = Class { build: String::new(), agent: String::new(), machine: Vec::new() };
        keep(store, name, &dir, Some(Fingerprint(Digest::of(name.as_bytes()).0)), class, vec![disk], false)
            .expect("kept");
        let dir = folder(store).expect("folder").join(name);
        let about = File::open(dir.join(ABOUT)).expect("about");
        about.set_modified(SystemTime::now() - Duration::from_secs(ago)).expect("time");
        dir
    }

    #[test]
    fn what_has_no_layer_goes_first_then_what_was_not_used_for_longest_and_never_what_is_in_use() {
        let dir = tempfile::tempdir().expect("folder");
        let store = Store::open(dir.path()).expect("store");
        let [old, new] = [("old", 300), ("new", 100)].map(|(name, ago)| part(&store, name, 64, ago, true));
        let (used, orphan) = (part(&store, "used", 64, 900, true), part(&store, "orphan", 64, 1, false));
        let taken = open(&store, "used").expect("a part");
        // Taking it up counts as use; it is the lock that is to keep it.
        let about = File::open(taken.dir.join(ABOUT)).expect("its description");
        about.set_modified(SystemTime::now() - Duration::from_secs(900)).expect("time");
        let names: Vec<u64> = all(&store).iter().map(|part| part.bytes >> 16).collect();
        assert_eq!(names, [1, 1, 1, 1]);

        let trimmed = trim(&store, None);
        assert_eq!((trimmed.parts, orphan.exists()), (1, false), "nobody can take up a part without a layer");
        let trimmed = trim(&store, Some(150 << 10));
        assert_eq!((trimmed.parts, old.exists(), new.exists(), used.exists()), (1, false, true, true));
        trim(&store, Some(0));
        assert!(!new.exists() && used.exists(), "what a machine uses stays");
        drop(taken);
        trim(&store, Some(0));
        assert!(all(&store).is_empty());
    }
}
