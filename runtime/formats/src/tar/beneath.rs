//! Opening what is below one directory, and never anything else.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use imgc_store::TreePath;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// A directory whose content is reached by paths that never leave it and never pass a symbolic link.
#[derive(Debug)]
pub(super) struct Beneath {
    root: OwnedFd,
}

impl Beneath {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self { root }
    }

    /// A regular file below the root, for reading.
    pub(super) fn open_file(&self, path: &TreePath) -> io::Result<File> {
        // Without NONBLOCK a pipe that stands where a file should be would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = File::from(self.open(&path.0, flags)?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
    }

    /// A directory below the root, as a place to work from.
    pub(super) fn open_dir(&self, path: &[u8]) -> io::Result<OwnedFd> {
        Ok(self.open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW)?)
    }

    /// A directory below the root, to read it or to change its attributes.
    pub(super) fn open_dir_to_read(&self, path: &TreePath) -> io::Result<OwnedFd> {
        Ok(self.open(&path.0, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW)?)
    }

    fn open(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::CLOEXEC;
        let name = if path.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(path) };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.root, name, flags, Mode::empty(), resolve) {
            // An older kernel, or a container whose filter does not know the call.
            Err(Errno::NOSYS | Errno::PERM) => self.walk(path, flags),
            result => result,
        }
    }

    /// The same without openat2: one part at a time, none of them a link.
    fn walk(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut at = rustix::fs::openat(&self.root, ".", step, Mode::empty())?;
        let mut parts = path.split(|b| *b == b'/').filter(|part| !part.is_empty()).peekable();
        while let Some(part) = parts.next() {
            if part == b".." {
                return Err(Errno::XDEV);
            }
            let flags = if parts.peek().is_some() { step } else { flags };
            at = rustix::fs::openat(at.as_fd(), OsStr::from_bytes(part), flags, Mode::empty())?;
        }
        Ok(at)
    }
}
