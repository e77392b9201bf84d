//! Files of a guest, by descriptor: no link in the guest ever leads out of it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Opens what `path` leads to below `root`, links followed as if `root` were `/`. Relative and absolute are the same.
pub(crate) fn open(root: impl AsFd, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let path = if path.is_empty() { "/" } else { path };
    loop {
        // The kernel gives EAGAIN when something is renamed meanwhile somewhere on its way.
        match rustix::fs::openat2(root.as_fd(), path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
}

/// The directory at `path`, made with its parents (root, 0755) where it is missing; `made` gets each one made.
pub(crate) fn ensure_dir(root: impl AsFd, path: &str, made: &mut Vec<String>) -> Result<OwnedFd, Errno> {
    let root = root.as_fd();
    match open(root, path, OFlags::PATH | OFlags::DIRECTORY) {
        Err(Errno::NOENT) => {}
        result => return result,
    }
    let (parent, name) = split(path);
    if name.is_empty() {
        return Err(Errno::NOENT);
    }
    let dir = ensure_dir(root, parent, made)?;
    rustix::fs::mkdirat(&dir, name, Mode::from_raw_mode(0o755))?;
    made.push(path.to_owned());
    // Not left to the umask.
    let dir = rustix::fs::openat(
        &dir,
        name,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    rustix::fs::fchmod(&dir, Mode::from_raw_mode(0o755))?;
    Ok(dir)
}

/// The text of a file of the guest; empty where there is none.
pub(crate) fn read(root: impl AsFd, path: &str) -> io::Result<String> {
    match open(root, path, OFlags::RDONLY) {
        Ok(fd) => io::read_to_string(std::fs::File::from(fd)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(String::new()),
        Err(error) => Err(error.into()),
    }
}

/// The parent and the last name of a path.
pub(crate) fn split(path: &str) -> (&str, &str) {
    let path = path.trim_end_matches('/');
    path.rsplit_once('/').unwrap_or(("", path))
}
