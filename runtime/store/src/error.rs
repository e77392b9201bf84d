//! What can go wrong with a store, and what to do then.

use std::io;
use std::path::{Path, PathBuf};

use crate::filesystem::FileSystem;
use crate::manifest::ManifestError;

/// Something the user should hear of that did not stop anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note(pub String);

/// A store that cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Reading or writing failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The disk or the quota is full.
    #[error("no space left to {action} {}", path.display())]
    NoSpace {
        /// What was tried: a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file system that cannot hold a store: no reliable locks or renames, or no owners and links.
    #[error("the cache directory {} is on {filesystem}, which cannot hold a cache", root.display())]
    Unsuitable {
        /// The store.
        root: PathBuf,
        /// What it is on.
        filesystem: FileSystem,
    },
    /// A read-only file system.
    #[error("the cache directory {} is on a read-only file system", root.display())]
    ReadOnly {
        /// The store.
        root: PathBuf,
    },
    /// No permission.
    #[error("no permission to write to the cache directory {}", root.display())]
    NotWritable {
        /// The store.
        root: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Made by a newer imgc; nothing in it was changed.
    #[error("the cache {} has format {found}, this imgc knows up to {known}", root.display())]
    Newer {
        /// The store.
        root: PathBuf,
        /// Its version.
        found: u32,
        /// The newest this imgc knows.
        known: u32,
    },
    /// Something else than a store is in the directory.
    #[error("{} is not a cache of imgc: its file `version` says `{found}`", root.display())]
    Foreign {
        /// The directory.
        root: PathBuf,
        /// What the file says.
        found: String,
    },
    /// A directory that holds something else than exported layers, or nothing.
    #[error("{} holds no exported layers", root.display())]
    DepotForeign {
        /// The directory.
        root: PathBuf,
    },
    /// Layers in a form of another imgc; nothing was changed.
    #[error("the layers in {} were exported in format {found}, this imgc knows {known}", root.display())]
    DepotVersion {
        /// The directory.
        root: PathBuf,
        /// Its version.
        found: u32,
        /// The one this imgc knows.
        known: u32,
    },
    /// The index refuses.
    #[error("cannot {action} in the index of the cache {}", root.display())]
    Index {
        /// What was tried: a verb.
        action: &'static str,
        /// The store.
        root: PathBuf,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another process uses the store, so that nothing may be taken out of it.
    #[error("another imgc is using the cache {}", root.display())]
    InUse {
        /// The store.
        root: PathBuf,
    },
    /// Something is mounted in a directory that was to be removed.
    #[error("cannot remove {}: something is mounted there", path.display())]
    Mounted {
        /// Where.
        path: PathBuf,
    },
    /// A manifest that breaks a rule.
    #[error("the manifest of {} is not valid", path.display())]
    Manifest {
        /// The tree or its manifest file.
        path: PathBuf,
        /// Which rule.
        source: ManifestError,
    },
    /// A value that has no JSON form. A bug of ours.
    #[error("cannot write a record of the cache as JSON")]
    Payload(#[source] serde_json::Error),
    /// The publisher's thread is gone. A bug of ours.
    #[error("the publisher of the cache {} ended early", root.display())]
    PublisherGone {
        /// The store.
        root: PathBuf,
    },
}

/// Whether the disk has less left than the index may need at once.
fn is_full(root: &Path) -> bool {
    const LITTLE: u64 = 256 << 10;
    rustix::fs::statvfs(root).is_ok_and(|stat| stat.f_bavail.saturating_mul(stat.f_frsize) < LITTLE)
}

impl StoreError {
    /// Makes the error of a failed file operation: `.map_err(StoreError::io("read", path))`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| {
            let full = matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            if full { Self::NoSpace { action, path, source } } else { Self::Io { action, path, source } }
        }
    }

    /// As [`StoreError::io`], for system calls by `rustix`.
    pub(crate) fn os(action: &'static str, path: &Path) -> impl FnOnce(rustix::io::Errno) -> Self {
        let make = Self::io(action, path);
        move |errno| make(errno.into())
    }

    /// Makes the error of a failed query.
    pub(crate) fn index(action: &'static str, root: &Path) -> impl FnOnce(rusqlite::Error) -> Self {
        let root = root.to_owned();
        move |source| {
            let full = match source.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DiskFull) => true,
                // Shared memory that cannot grow is told as a failure of the disk, whatever the reason.
                Some(rusqlite::ErrorCode::SystemIoFailure) => is_full(&root),
                Some(_) | None => false,
            };
            if !full {
                return Self::Index { action, root, source: Box::new(source) };
            }
            let (path, source) = (root.join("index.sqlite"), io::Error::new(io::ErrorKind::StorageFull, source));
            Self::NoSpace { action, path, source }
        }
    }

    /// What the user can do about it, where there is something.
    pub fn help(&self) -> Option<String> {
        let elsewhere = "use another directory with `--cache-dir DIR` or IMGC_CACHE=DIR";
        match self {
            Self::NoSpace { .. } => Some(
                "free some space, remove cached layers with `imgc cache rm`, or put the cache on a larger disk with \
                 `--cache-dir DIR` or IMGC_CACHE=DIR"
                    .to_owned(),
            ),
            Self::Unsuitable { .. } => Some(
                "put the cache on a local disk (ext4, XFS, btrfs or tmpfs) with `--cache-dir DIR` or IMGC_CACHE=DIR"
                    .to_owned(),
            ),
            Self::ReadOnly { .. } => Some(format!("{elsewhere} on a writable file system")),
            Self::NotWritable { root, .. } => Some(format!("make {} writable for you, or {elsewhere}", root.display())),
            Self::Newer { .. } => Some(format!("use the newer imgc, or {elsewhere}")),
            Self::Foreign { .. } => Some(elsewhere.to_owned()),
            Self::DepotForeign { .. } => {
                Some("name a directory that `imgc cache export` made, or to export an empty one".to_owned())
            }
            Self::DepotVersion { .. } => {
                Some("use the imgc that exported them, or export again into an empty directory".to_owned())
            }
            Self::InUse { .. } => Some("wait until it has ended and try again".to_owned()),
            Self::Mounted { path } => Some(format!("unmount what is below {} and try again", path.display())),
            Self::Io { .. }
            | Self::Index { .. }
            | Self::Manifest { .. }
            | Self::Payload(_)
            | Self::PublisherGone { .. } => None,
        }
    }
}
