//! Putting objects where users want them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::error::StoreError;
use crate::fail_point;
use crate::layout::children;
use crate::object::Object;
use crate::store::{sync, temporary_beside};

/// Makes `dest` a file of its own with the object's bytes: a reflink where the file system can, else a copy that keeps
/// holes. Appears whole; what was at `dest` is replaced. The directory must exist.
pub fn place(object: &Object, dest: &Path) -> Result<(), StoreError> {
    appear(dest, |temporary| {
        clone_or_copy(&object.path, temporary)?;
        sync(temporary)
    })
}

/// Makes `dest` a read-only hard link of the object, for formats that nobody opens for writing; as [`place`] does it
/// where that is not possible, on another file system for instance.
pub fn place_link(object: &Object, dest: &Path) -> Result<(), StoreError> {
    let linked =
        appear(dest, |temporary| std::fs::hard_link(&object.path, temporary).map_err(StoreError::io("link", dest)));
    if linked.is_ok() { linked } else { place(object, dest) }
}

/// Whether a file must be on the disk before anything else happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    /// Yes.
    Now,
    /// A crash of the machine may cost it.
    Later,
}

/// Writes a small file so that a reader sees either the old or the new one. The directory must exist. What killed
/// processes left of earlier attempts at the same file goes.
pub fn write_file(path: &Path, bytes: &[u8], durable: Durable) -> Result<(), StoreError> {
    /// Whoever writes the same file removes what seems dead, which a file is in the moment between its making and its
    /// locking; that moment is not met so often in a row.
    const ATTEMPTS: usize = 100;
    remove_stale(path);
    let mut written = write_once(path, bytes, durable);
    for _ in 1..ATTEMPTS {
        match &written {
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.parent().is_some_and(Path::is_dir) => {
                written = write_once(path, bytes, durable);
            }
            Ok(()) | Err(_) => break,
        }
    }
    written.map_err(StoreError::io("write", path))?;
    fail_point!("file.there");
    match path.parent() {
        Some(folder) if durable == Durable::Now => sync(folder),
        Some(_) | None => Ok(()),
    }
}

fn write_once(path: &Path, bytes: &[u8], durable: Durable) -> io::Result<()> {
    let temporary = temporary_beside(path);
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        // Says that its writer lives. Nobody can have it: the name is fresh.
        let _ = file.try_lock();
        io::Write::write_all(&mut file, bytes)?;
        if durable == Durable::Now {
            file.sync_all()?;
        }
        fail_point!("file.written");
        std::fs::rename(&temporary, path)
    };
    let written = write();
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// Removes the temporary files that killed processes left beside `path`, where it was to appear.
pub fn remove_stale(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else { return };
    let prefix = format!(".{name}.");
    for found in children(folder) {
        let fits = found.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&prefix));
        let temporary = fits && found.extension().is_some_and(|extension| extension == "tmp");
        // A living writer has it locked, but for the moment after it made the file: then it fails and says so.
        if temporary && File::open(&found).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = std::fs::remove_file(&found);
        }
    }
}

/// Makes `to`, which must not exist, a file of its own with the bytes of `from`: a reflink where the file system can, else
/// a copy that keeps holes. Waits for no disk.
pub fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    clone_or_copy(from, to)
}

/// Makes a file under a temporary name and gives it its own when it is complete.
fn appear(dest: &Path, make: impl FnOnce(&Path) -> Result<(), StoreError>) -> Result<(), StoreError> {
    let temporary = temporary_beside(dest);
    let placed = make(&temporary).and_then(|()| {
        fail_point!("export.copied");
        std::fs::rename(&temporary, dest).map_err(StoreError::io("write", dest))?;
        // `rename` of two names of one file does nothing, and says so by leaving both.
        let _ = std::fs::remove_file(&temporary);
        fail_point!("export.there");
        let folder = dest.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync(folder)
    });
    if placed.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    placed
}

/// Makes the file `to`, which must not exist, with the content of `from`.
pub(crate) fn clone_or_copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    let source = File::open(from).map_err(StoreError::io("read", from))?;
    let target = OpenOptions::new().write(true).create_new(true).open(to).map_err(StoreError::io("write", to))?;
    if rustix::fs::ioctl_ficlone(&target, &source).is_ok() {
        return Ok(());
    }
    copy_sparse(&source, &target).map_err(StoreError::io("write", to))
}

/// Copies only where the source has data.
fn copy_sparse(source: &File, target: &File) -> io::Result<()> {
    let size = source.metadata()?.len();
    target.set_len(size)?;
    let mut buffer = vec![0; 1 << 20];
    let mut position = 0;
    while position < size {
        let start = match rustix::fs::seek(source, SeekFrom::Data(position)) {
            Ok(start) => start,
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno.into()),
        };
        let end = rustix::fs::seek(source, SeekFrom::Hole(start))?;
        position = start;
        while position < end {
            let wanted = usize::try_from(end - position).unwrap_or(usize::MAX).min(buffer.len());
            let part = buffer.get_mut(..wanted).unwrap_or_default();
            let count = source.read_at(part, position)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            target.write_all_at(part.get(..count).unwrap_or_default(), position)?;
            position += count as u64;
        }
    }
    Ok(())
}

/// Makes the folder that something sharded is about to be put in.
pub(crate) fn reserve_shard(path: &Path) -> Result<(), StoreError> {
    let Some(shard) = path.parent() else { return Ok(()) };
    match std::fs::create_dir(shard) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(StoreError::io("make", shard)(error)),
        _ => Ok(()),
    }
}
