//! Opening a store.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use imgc_plan::Digest;

use crate::error::{Note, StoreError};
use crate::filesystem::FileSystem;
use crate::index::Index;
use crate::layout::Layout;
use crate::lock::Spares;
use crate::place::{Durable, reserve_shard, write_file};
use crate::process::boot_id;
use crate::scratch::Owner;
use crate::tree::Manifest;

/// The format of the whole directory; a store with a higher one is left untouched.
pub(crate) const STORE_VERSION: u32 = 1;

/// A store on a local file system, safe to use by several processes and threads at a time.
#[derive(Debug)]
pub struct Store {
    layout: Layout,
    filesystem: FileSystem,
    pub(crate) index: Index,
    pub(crate) owner: Mutex<Option<Arc<Owner>>>,
    pub(crate) spares: Spares,
    pub(crate) manifests: Mutex<HashMap<Digest, Weak<Manifest>>>,
    pub(crate) boot: String,
}

impl Store {
    /// Opens the store at `root` and makes it where there is none. An index that is missing or damaged is rebuilt,
    /// which [`Store::notes`] tells.
    ///
    /// # Errors
    /// Where no store can be: remote or read-only file systems, no permission; a store of a newer imgc.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        make_folder(root, root)?;
        let root = &root.canonicalize().map_err(StoreError::io("find", root))?;
        let filesystem = FileSystem::of(root)?;
        if matches!(filesystem, FileSystem::Unsuitable(_)) {
            return Err(StoreError::Unsuitable { root: root.clone(), filesystem });
        }
        let layout = Layout { root: root.clone() };
        let version = read_version(&layout)?;
        check_writable(root)?;
        for (folder, mode) in Layout::FOLDERS {
            make_private_folder(root, &layout.folder(folder), mode)?;
        }
        if version.is_none() {
            write_file(&layout.version(), format!("{STORE_VERSION}\n").as_bytes(), Durable::Now)?;
        }
        let index = Index::open(&layout)?;
        let (owner, spares, manifests) = (Mutex::default(), Spares::default(), Mutex::default());
        Ok(Self { layout, filesystem, index, owner, spares, manifests, boot: boot_id() })
    }

    /// The directory of the store, absolute.
    pub fn root(&self) -> &Path {
        &self.layout.root
    }

    /// What the store is on.
    pub fn filesystem(&self) -> &FileSystem {
        &self.filesystem
    }

    /// What happened that users should hear of, each once: an index rebuilt, damaged content set aside.
    pub fn notes(&self) -> Vec<Note> {
        std::mem::take(&mut *self.index.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn note(&self, text: String) {
        self.index.notes.lock().unwrap_or_else(PoisonError::into_inner).push(Note(text));
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }
}

fn read_version(layout: &Layout) -> Result<Option<u32>, StoreError> {
    let text = match std::fs::read_to_string(layout.version()) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("read", &layout.version())(error)),
    };
    let root = layout.root.clone();
    match text.trim().parse::<u32>() {
        Ok(found) if found > STORE_VERSION => Err(StoreError::Newer { root, found, known: STORE_VERSION }),
        Ok(found) => Ok(Some(found)),
        // A crash can leave the file empty; the directory is ours all the same.
        Err(_) if text.trim_matches(['\0', '\n', ' ']).is_empty() => Ok(None),
        Err(_) => Err(StoreError::Foreign { root, found: text.trim().chars().take(40).collect() }),
    }
}

fn check_writable(root: &Path) -> Result<(), StoreError> {
    rustix::fs::access(root, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).map_err(|errno| match errno {
        rustix::io::Errno::ROFS => StoreError::ReadOnly { root: root.to_owned() },
        errno => StoreError::NotWritable { root: root.to_owned(), source: errno.into() },
    })
}

fn make_folder(root: &Path, folder: &Path) -> Result<(), StoreError> {
    let root = root.to_owned();
    std::fs::create_dir_all(folder).map_err(|source| {
        if source.kind() == io::ErrorKind::ReadOnlyFilesystem {
            StoreError::ReadOnly { root }
        } else if source.kind() == io::ErrorKind::PermissionDenied {
            StoreError::NotWritable { root, source }
        } else {
            StoreError::io("make", folder)(source)
        }
    })
}

/// Makes a folder with a mode that no umask changes; one that is there keeps its own.
fn make_private_folder(root: &Path, folder: &Path, mode: u32) -> Result<(), StoreError> {
    if folder.is_dir() {
        return Ok(());
    }
    make_folder(root, folder)?;
    std::fs::set_permissions(folder, PermissionsExt::from_mode(mode)).map_err(StoreError::io("protect", folder))
}

/// Makes a small file appear whole, without waiting for the disk, and its shard where that is missing. `temporary` is a
/// fresh path of the same file system.
pub(crate) fn write_atomically(path: &Path, temporary: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let failed = |error| {
        let _ = std::fs::remove_file(temporary);
        StoreError::io("write", path)(error)
    };
    std::fs::write(temporary, bytes).map_err(failed)?;
    let mut renamed = std::fs::rename(temporary, path);
    // Most often the shard is there: to ask each time would cost as much as the rest.
    if renamed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        renamed = reserve_shard(path).map_or(renamed, |()| std::fs::rename(temporary, path));
    }
    renamed.map_err(failed)
}

/// A name in the same directory that no other thread or process uses.
pub(crate) fn temporary_beside(path: &Path) -> std::path::PathBuf {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_nanos());
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}-{nanos:x}-{number}.tmp", std::process::id()));
    path.with_file_name(name)
}

/// Waits until the content of a file or directory is on the disk.
pub(crate) fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(StoreError::io("sync", path))
}
