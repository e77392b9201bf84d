//! Trees made of others: one directory that holds what several layers show together.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use imgc_backend::BackendError;
use imgc_store::{EntryKind, Merged, MergedEntry};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Uid};

use crate::{attributes, capture};

/// Makes `into` hold these entries: files are hard links of those in the layers where possible, else copies. Whiteouts and marks
/// of opaque directories are left out.
pub(crate) fn materialize(merged: &Merged, into: &Path) -> Result<(), BackendError> {
    let failed = |path: &Path| BackendError::io(format!("cannot make {}", path.display()));
    std::fs::DirBuilder::new().mode(0o755).create(into).map_err(failed(into))?;
    for entry in merged.entries() {
        let at = entry.path.on(into);
        make(entry, &at, into).map_err(failed(&at))?;
    }
    // From the end, so that nothing changes a directory after it got its time.
    for entry in merged.entries().iter().rev().filter(|entry| entry.is_dir()) {
        let at = entry.path.on(into);
        capture::set_time(&at, entry.mtime).map_err(failed(&at))?;
    }
    Ok(())
}

fn make(entry: &MergedEntry, at: &Path, into: &Path) -> io::Result<()> {
    match &entry.kind {
        EntryKind::Whiteout => return Ok(()),
        EntryKind::Dir { .. } => {
            if !entry.path.is_root() {
                std::fs::DirBuilder::new().mode(0o700).create(at)?;
            }
        }
        EntryKind::Hardlink { to } => return std::fs::hard_link(to.on(into), at),
        EntryKind::File { .. } => {
            if std::fs::hard_link(&entry.host, at).is_ok() {
                return Ok(());
            }
            std::fs::copy(&entry.host, at)?;
        }
        EntryKind::Symlink { target } => std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), at)?,
        EntryKind::Fifo => rustix::fs::mknodat(CWD, at, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?,
    }
    let (uid, gid) = (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)));
    rustix::fs::chownat(CWD, at, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    if !matches!(entry.kind, EntryKind::Symlink { .. }) {
        rustix::fs::chmodat(CWD, at, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
        attributes::set(at, &entry.xattrs)?;
    }
    capture::set_time(at, entry.mtime)
}
