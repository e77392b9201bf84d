//! Leases: locks that end with their process, however it ends.
//!
//! A flock belongs to the open file, so descriptors are close-on-exec: a child would hold the lock on.
//!
//! A lease is a locked file at a path that its name gives. Making and removing a file for each costs more than all the
//! rest of a quick step, as file systems look long for an inode where many were just given back. So a process keeps the
//! files that it has locked, in its scratch, and gives one the name of a lease for as long as that is held.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use imgc_plan::Digest;

use crate::error::StoreError;
use crate::fail_point;
use crate::layout::{children, named};
use crate::scratch::Owner;
use crate::store::Store;

/// A named lock that only one process holds at a time; released on drop.
#[derive(Debug)]
pub struct Lease {
    path: PathBuf,
    locked: Option<LeaseFile>,
}

/// What is locked at the path of a lease.
#[derive(Debug)]
enum LeaseFile {
    /// A spare file, which goes back to the others.
    Spare(Spare, Spares),
    /// A file of its own: one was there already, or the file system has no links.
    Own { _locked: Locked },
}

/// Locked files that have no name of a lease at the moment.
pub(crate) type Spares = Arc<Mutex<Vec<Spare>>>;

/// A locked file in the scratch of this process, removed on drop.
#[derive(Debug)]
pub(crate) struct Spare {
    locked: Locked,
    /// Keeps the mark on it.
    _owner: Arc<Owner>,
}

impl Drop for Spare {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.locked.path);
    }
}

/// The right to rely on what is in the store: while anyone has one, nothing is taken out. Released on drop.
#[derive(Debug)]
pub struct Sharing {
    _file: File,
}

/// The right to take things out: nobody shares the store meanwhile.
#[derive(Debug)]
pub(crate) struct Exclusive {
    _file: File,
}

/// What spare files of leases are for, in their names.
pub(crate) const SPARE: &str = "lease";

/// How many leases a process should hold at once: each is an open file, and most of those a process may have are
/// needed for other things.
pub fn leases_at_once() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    usize::try_from(limit.unwrap_or(u64::MAX) / 4).unwrap_or(usize::MAX).clamp(16, 4096)
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Removed while it is still locked; whoever waits for the removed file notices and makes a new one.
        let _ = std::fs::remove_file(&self.path);
        if let Some(LeaseFile::Spare(spare, spares)) = self.locked.take() {
            spares.lock().unwrap_or_else(PoisonError::into_inner).push(spare);
        }
    }
}

impl Store {
    /// Waits until nobody else holds the lease `name` (any text), then holds it.
    pub fn lease(&self, name: &str) -> Result<Lease, StoreError> {
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(lease) = self.try_lease(name)? {
                return Ok(lease);
            }
            // The file that stands for the lease now may stay locked under other names: it is no use to wait for it.
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// As [`Store::lease`], or nothing when somebody holds it, this process included.
    pub fn try_lease(&self, name: &str) -> Result<Option<Lease>, StoreError> {
        let path = self.lock_path(name);
        let locked = self.lock_at(&path)?;
        fail_point!("lease.taken");
        Ok(locked.map(|locked| Lease { path, locked: Some(locked) }))
    }

    /// Names a spare file `path`, which fails where there is one; nothing where that one is locked.
    fn lock_at(&self, path: &Path) -> Result<Option<LeaseFile>, StoreError> {
        let spare = self.spare()?;
        let linked = std::fs::hard_link(&spare.locked.path, path);
        let spares = self.spares.clone();
        if linked.is_ok() {
            return Ok(Some(LeaseFile::Spare(spare, spares)));
        }
        spares.lock().unwrap_or_else(PoisonError::into_inner).push(spare);
        // Of a dead process, perhaps. Where links do not work at all, a file is made.
        let locked = Locked::try_take(path).map_err(StoreError::io("lock", path))?;
        Ok(locked.map(|locked| LeaseFile::Own { _locked: locked }))
    }

    fn spare(&self) -> Result<Spare, StoreError> {
        if let Some(spare) = self.spares.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(spare);
        }
        let owner = self.scratch_owner()?;
        let path = owner.fresh(SPARE);
        let locked = Locked::take(&path).map_err(StoreError::io("lock", &path))?;
        fail_point!("lease.spare");
        Ok(Spare { locked, _owner: owner })
    }

    /// Shares the store for the length of a run: [`Store::trim`], [`Store::remove`] and [`Store::verify`] of others
    /// leave it alone meanwhile, as do those of this process. Waits for one of them that is at work.
    pub fn share(&self) -> Result<Sharing, StoreError> {
        let path = self.users_path();
        let file = open(&path).map_err(StoreError::io("open", &path))?;
        file.lock_shared().map_err(StoreError::io("lock", &path))?;
        Ok(Sharing { _file: file })
    }

    /// Nothing, when somebody shares the store.
    pub(crate) fn try_exclusive(&self) -> Result<Option<Exclusive>, StoreError> {
        let path = self.users_path();
        let file = open(&path).map_err(StoreError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Exclusive { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(StoreError::io("lock", &path)(error)),
        }
    }

    pub(crate) fn exclusive(&self) -> Result<Exclusive, StoreError> {
        self.try_exclusive()?.ok_or_else(|| StoreError::InUse { root: self.root().to_owned() })
    }

    /// Removes files of leases whose holder died before it could.
    pub(crate) fn sweep_leases(&self) {
        for path in children(&self.layout().folder("locks")) {
            if named::<Digest>(&path).is_some()
                && let Ok(Some(locked)) = Locked::try_take(&path)
            {
                drop(Lease { path, locked: Some(LeaseFile::Own { _locked: locked }) });
            }
        }
    }

    fn users_path(&self) -> PathBuf {
        self.layout().folder("locks").join("users")
    }

    fn lock_path(&self, name: &str) -> PathBuf {
        self.layout().folder("locks").join(Digest::of(name.as_bytes()).to_string())
    }
}

/// A locked file that is still the one at its path.
#[derive(Debug)]
pub(crate) struct Locked {
    _file: File,
    pub(crate) path: PathBuf,
}

impl Locked {
    pub(crate) fn take(path: &Path) -> io::Result<Self> {
        loop {
            let file = open(path)?;
            file.lock()?;
            if let Some(locked) = Self::if_current(file, path)? {
                return Ok(locked);
            }
        }
    }

    pub(crate) fn try_take(path: &Path) -> io::Result<Option<Self>> {
        loop {
            let file = open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            if let Some(locked) = Self::if_current(file, path)? {
                return Ok(Some(locked));
            }
        }
    }

    /// The former holder removes the file as it leaves; who waited then has a lock on nothing.
    fn if_current(file: File, path: &Path) -> io::Result<Option<Self>> {
        let ours = file.metadata()?;
        match std::fs::metadata(path) {
            Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => {
                Ok(Some(Self { _file: file, path: path.to_owned() }))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}
