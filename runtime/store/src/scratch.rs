//! Scratch directories on the store's file system, and the removal of those whose owner is dead.
//!
//! `scratch/OWNER.lock` is locked as long as the owner lives, `scratch/OWNER.PURPOSE.N` are its directories. The lock
//! and not the process id says whether it lives: ids mean nothing across containers that share a store.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::StoreError;
use crate::fail_point;
use crate::layout::children;
use crate::lock::{Locked, SPARE};
use crate::process::Process;
use crate::remove::remove_tree;
use crate::store::Store;

/// A fresh directory, removed on drop however the modes in it look.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    removed: bool,
    /// Keeps the mark on it, even when the store is closed first.
    _owner: Arc<Owner>,
}

impl Scratch {
    /// The directory: empty at first, mode 0700.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it now and says how that went.
    pub fn remove(mut self) -> Result<(), StoreError> {
        self.removed = true;
        remove_tree(&self.path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.removed {
            return;
        }
        if let Err(error) = remove_tree(&self.path) {
            tracing::warn!(path = %self.path.display(), error = error_text(&error), "scratch is left behind");
        }
    }
}

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many directories of dead owners were removed.
    pub removed: usize,
    /// What could not be removed, and why.
    pub left: Vec<(PathBuf, String)>,
}

/// Tells owners in one process apart.
static OWNERS: AtomicU64 = AtomicU64::new(0);

/// The mark of this process on its scratch directories.
#[derive(Debug)]
pub(crate) struct Owner {
    name: String,
    locked: Locked,
    next: AtomicU64,
}

impl Owner {
    fn new(folder: &Path) -> Result<Self, StoreError> {
        let process = Process::this();
        let boot: String = process.boot.chars().take(8).collect();
        // Containers may share the process id and, in theory, the start.
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
        let count = OWNERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{}-{boot}-{nanos:08x}{count}", process.pid, process.start);
        let path = folder.join(format!("{name}.lock"));
        let locked = Locked::take(&path).map_err(StoreError::io("lock", &path))?;
        fail_point!("scratch.owner");
        Ok(Self { name, locked, next: AtomicU64::new(0) })
    }

    /// A path in the scratch folder where nothing is yet.
    pub(crate) fn fresh(&self, purpose: &str) -> PathBuf {
        let purpose: String = purpose.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.locked.path.with_file_name(format!("{}.{purpose}.{number}", self.name))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.locked.path);
    }
}

impl Store {
    /// Makes a directory; `purpose` is a short word for people who look into the store.
    pub fn scratch(&self, purpose: &str) -> Result<Scratch, StoreError> {
        let (path, owner) = self.scratch_path(purpose)?;
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).map_err(StoreError::io("make", &path))?;
        fail_point!("scratch.made");
        Ok(Scratch { path, removed: false, _owner: owner })
    }

    /// A fresh path, where nothing is yet, that is swept when its owner has gone.
    pub(crate) fn scratch_path(&self, purpose: &str) -> Result<(PathBuf, Arc<Owner>), StoreError> {
        let owner = self.scratch_owner()?;
        Ok((owner.fresh(purpose), owner))
    }

    /// The mark of this store on its scratch, made when it is first needed.
    pub(crate) fn scratch_owner(&self) -> Result<Arc<Owner>, StoreError> {
        let mut owner = self.owner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(owner) = &*owner {
            return Ok(Arc::clone(owner));
        }
        Ok(Arc::clone(owner.insert(Arc::new(Owner::new(&self.layout().folder("scratch"))?))))
    }

    /// The scratch of dead owners, which [`Store::sweep`] removes. Changes nothing.
    pub fn abandoned(&self) -> Vec<PathBuf> {
        let mut found = abandoned(&self.layout().folder("scratch"));
        found.retain(|path| path.extension().is_none_or(|extension| extension != "lock") && !is_spare(path));
        found.sort();
        found
    }

    /// Removes the scratch and the lock files of dead owners. Cheap when there are none.
    pub fn sweep(&self) -> Result<Swept, StoreError> {
        let folder = self.layout().folder("scratch");
        let mut owners: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for path in children(&folder) {
            if let Some(owner) = owner_of(&path) {
                owners.entry(owner.to_owned()).or_default().push(path);
            }
        }
        let mut swept = Swept::default();
        for (owner, paths) in owners {
            let lock = folder.join(format!("{owner}.lock"));
            // Taking the lock makes the file where it is missing; it goes again with the rest.
            let Some(locked) = Locked::try_take(&lock).map_err(StoreError::io("lock", &lock))? else { continue };
            fail_point!("sweep.locked");
            for path in paths.iter().filter(|path| **path != locked.path) {
                match remove_tree(path) {
                    Ok(()) => swept.removed += usize::from(!is_spare(path)),
                    Err(error) => swept.left.push((path.clone(), error_text(&error))),
                }
            }
            fail_point!("sweep.removed");
            let _ = std::fs::remove_file(&locked.path);
        }
        self.sweep_leases();
        Ok(swept)
    }
}

/// Whether dead processes left nothing in the scratch of the store at `root`, which need not be open. Cheap.
pub fn is_swept(root: &Path) -> bool {
    abandoned(&root.join("scratch")).is_empty()
}

/// What dead owners have in a scratch folder, their locks included.
fn abandoned(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = children(folder);
    found.retain(|path| {
        let Some(owner) = owner_of(path) else { return false };
        // One whose lock is missing is dead too.
        let lock = std::fs::File::open(folder.join(format!("{owner}.lock")));
        lock.map_or(true, |lock| lock.try_lock().is_ok())
    });
    found
}

/// An error with its causes, on one line.
pub(crate) fn error_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// Whether it is a file that stood for leases: nothing that anybody could miss.
fn is_spare(path: &Path) -> bool {
    path.file_stem().and_then(|stem| Path::new(stem).extension()).is_some_and(|purpose| purpose == SPARE)
}

fn owner_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.split('.').next()
}
