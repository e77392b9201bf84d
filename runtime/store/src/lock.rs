//! Leases: locks that end with their process, however it ends.
//!
//! A flock belongs to the open file, so descriptors are close-on-exec: a child would hold the lock on.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use imgc_plan::Digest;

use crate::error::StoreError;
use crate::fail_point;
use crate::layout::{children, named};
use crate::store::Store;

/// A named lock that only one process holds at a time; released on drop.
#[derive(Debug)]
pub struct Lease {
    locked: Locked,
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

/// How many leases a process should hold at once: each is an open file, and most of those a process may have are
/// needed for other things.
pub fn leases_at_once() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    usize::try_from(limit.unwrap_or(u64::MAX) / 4).unwrap_or(usize::MAX).clamp(16, 4096)
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Removed while it is still locked; whoever waits for the removed file notices and makes a new one.
        let _ = std::fs::remove_file(&self.locked.path);
    }
}

impl Store {
    /// Waits until nobody else holds the lease `name` (any text), then holds it.
    pub fn lease(&self, name: &str) -> Result<Lease, StoreError> {
        let path = self.lock_path(name);
        let locked = Locked::take(&path).map_err(StoreError::io("lock", &path))?;
        Ok(Lease { locked })
    }

    /// As [`Store::lease`], or nothing when somebody holds it, this process included.
    pub fn try_lease(&self, name: &str) -> Result<Option<Lease>, StoreError> {
        let path = self.lock_path(name);
        let locked = Locked::try_take(&path).map_err(StoreError::io("lock", &path))?;
        fail_point!("lease.taken");
        Ok(locked.map(|locked| Lease { locked }))
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
                drop(Lease { locked });
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
