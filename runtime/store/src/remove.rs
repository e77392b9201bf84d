//! Removal of trees that others made: any modes, any depth, links never followed, mounts never entered.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::StoreError;

/// Directories deeper than this are moved up before they are emptied, so that depth costs no file descriptors.
const DEEPEST: usize = 64;

/// Removes `path` and all that is below it; nothing there is fine.
///
/// Needs to own what is there, or the rights of root in the user namespace that made it.
///
/// # Errors
/// [`StoreError::Mounted`] where something is mounted below; what is mounted stays untouched.
pub fn remove_tree(path: &Path) -> Result<(), StoreError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(StoreError::io("remove", path)(std::io::ErrorKind::InvalidInput.into()));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = match rustix::fs::openat(CWD, parent, flags, Mode::empty()) {
        Ok(parent) => parent,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(StoreError::os("remove", path)(errno)),
    };
    let name = CString::new(name.as_bytes())
        .map_err(|_| StoreError::io("remove", path)(std::io::ErrorKind::InvalidInput.into()))?;
    match rustix::fs::unlinkat(&parent, &name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(StoreError::os("remove", path)(errno)),
    }
    let top = match open_dir(parent.as_fd(), &name) {
        Ok(top) => top,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(failed(path, errno)),
    };
    let mut removal = Removal { top: top.as_fd(), moved: 0 };
    loop {
        let moved_before = removal.moved;
        removal.empty(top.as_fd(), path, 0)?;
        if removal.moved == moved_before {
            break;
        }
    }
    rustix::fs::unlinkat(&parent, &name, AtFlags::REMOVEDIR).or_else(gone_is_fine).map_err(|errno| failed(path, errno))
}

struct Removal<'a> {
    top: BorrowedFd<'a>,
    /// How many directories were moved up to `top`.
    moved: u64,
}

impl Removal<'_> {
    /// Empties the open directory `dir`; `path` is for messages.
    fn empty(&mut self, dir: BorrowedFd<'_>, path: &Path, depth: usize) -> Result<(), StoreError> {
        let failed = |errno| failed(path, errno);
        make_writable(dir).map_err(failed)?;
        let mut names: Vec<(CString, FileType)> = Vec::new();
        for entry in Dir::read_from(dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                names.push((name.to_owned(), entry.file_type()));
            }
        }
        for (name, kind) in names {
            if kind != FileType::Directory {
                match rustix::fs::unlinkat(dir, &name, AtFlags::empty()).or_else(gone_is_fine) {
                    Ok(()) => continue,
                    Err(Errno::ISDIR) => {}
                    Err(errno) => return Err(failed_at(path, &name, errno)),
                }
            }
            self.remove_dir(dir, &name, path, depth)?;
        }
        Ok(())
    }

    fn remove_dir(&mut self, dir: BorrowedFd<'_>, name: &CStr, path: &Path, depth: usize) -> Result<(), StoreError> {
        let failed = |errno| failed_at(path, name, errno);
        let child = match open_dir(dir, name) {
            Ok(child) => child,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(failed(errno)),
        };
        if depth >= DEEPEST {
            make_writable(child.as_fd()).map_err(failed)?;
            self.moved += 1;
            let name_above = format!(".imgc-remove-{}", self.moved);
            return rustix::fs::renameat(dir, name, self.top, name_above).map_err(failed);
        }
        self.empty(child.as_fd(), &below(path, name), depth + 1)?;
        rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR).or_else(gone_is_fine).map_err(failed)
    }
}

/// Opens a directory that is really there: not through a link, not through a mount.
fn open_dir(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    match rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve) {
        Err(Errno::ACCESS) => {
            let pinned = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let pinned = rustix::fs::openat2(parent, name, pinned, Mode::empty(), resolve)?;
            // An O_PATH descriptor cannot be given to fchmod; its name in /proc can.
            let by_descriptor = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&pinned));
            rustix::fs::chmod(by_descriptor, Mode::RWXU)?;
            rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve)
        }
        other => other,
    }
}

fn make_writable(dir: BorrowedFd<'_>) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(rustix::fs::fstat(dir)?.st_mode);
    if mode.contains(Mode::RWXU) { Ok(()) } else { rustix::fs::fchmod(dir, Mode::RWXU) }
}

fn gone_is_fine(errno: Errno) -> Result<(), Errno> {
    if errno == Errno::NOENT { Ok(()) } else { Err(errno) }
}

fn below(path: &Path, name: &CStr) -> PathBuf {
    path.join(OsStr::from_bytes(name.to_bytes()))
}

fn failed(path: &Path, errno: Errno) -> StoreError {
    match errno {
        Errno::XDEV | Errno::BUSY => StoreError::Mounted { path: path.to_owned() },
        errno => StoreError::os("remove", path)(errno),
    }
}

fn failed_at(path: &Path, name: &CStr, errno: Errno) -> StoreError {
    failed(&below(path, name), errno)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn unreadable_directories_go_and_links_are_not_followed() {
        let base = tempfile::tempdir().unwrap();
        let outside = base.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("kept"), "kept").unwrap();
        let tree = base.path().join("tree");
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        std::fs::write(tree.join("a/b/file"), "x").unwrap();
        symlink(&outside, tree.join("a/link")).unwrap();
        for dir in ["a/b", "a", ""] {
            std::fs::set_permissions(tree.join(dir), PermissionsExt::from_mode(0o000)).unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        assert!(outside.join("kept").exists());
    }

    #[test]
    fn a_link_in_place_of_the_tree_is_removed_itself() {
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir(base.path().join("target")).unwrap();
        symlink("target", base.path().join("link")).unwrap();
        remove_tree(&base.path().join("link")).unwrap();
        assert!(base.path().join("target").exists());
        remove_tree(&base.path().join("link")).unwrap();
    }

    #[test]
    fn depth_beyond_any_limit_of_descriptors_or_paths_is_fine() {
        let base = tempfile::tempdir().unwrap();
        let top = base.path().join("deep");
        std::fs::create_dir(&top).unwrap();
        let mut dir = rustix::fs::open(&top, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&dir, "directory", Mode::RWXU).unwrap();
            dir = rustix::fs::openat(&dir, "directory", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        }
        remove_tree(&top).unwrap();
        assert!(!top.exists());
    }
}
