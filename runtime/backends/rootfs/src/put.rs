//! Putting files in place without starting anything: bytes go straight into the overlay, links of the guest are
//! followed inside it only, owners are those of its own `/etc/passwd` and `/etc/group`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use imgc_backend::{BackendError, Owner, Placement, PlacementItem, PlacementKind};
use imgc_plan::Digest;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use crate::accounts::{Account, group_id};
use crate::within;

/// Puts all items in place below `root`.
pub(crate) fn put(root: &OwnedFd, placement: &Placement) -> Result<(), BackendError> {
    let mut owners = Owners { root, known: HashMap::new() };
    for item in &placement.items {
        let owner = owners.find(&item.owner)?;
        place(root, item, owner)?;
    }
    Ok(())
}

struct Owners<'a> {
    root: &'a OwnedFd,
    known: HashMap<(String, Option<String>), (u32, u32)>,
}

impl Owners<'_> {
    fn find(&mut self, owner: &Owner) -> Result<(u32, u32), BackendError> {
        let key = (owner.user.clone(), owner.group.clone());
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let text = |path: &str| {
            within::read(self.root, path).map_err(BackendError::io(format!("cannot read {path} of the image")))
        };
        let group = text("/etc/group")?;
        let missing = |message| BackendError::Program { message, help: Some("add it in an earlier step".to_owned()) };
        let account = Account::among(&owner.user, &text("/etc/passwd")?, &group).map_err(missing)?;
        let gid = match &owner.group {
            None => account.gid,
            Some(name) => group_id(name, &group).ok_or_else(|| missing(format!("the image has no group `{name}`")))?,
        };
        self.known.insert(key, (account.uid, gid));
        Ok((account.uid, gid))
    }
}

fn place(root: &OwnedFd, item: &PlacementItem, owner: (u32, u32)) -> Result<(), BackendError> {
    let failed = |error: Errno| placing(&item.path, error);
    if let PlacementKind::Dir = item.kind
        && within::open(root, &item.path, OFlags::PATH | OFlags::DIRECTORY).is_ok()
    {
        return Ok(());
    }
    let (parent, name) = within::split(&item.path);
    if name.is_empty() || name == "." || name == ".." {
        return Err(BackendError::Program {
            message: format!("`{}` is not the path of a file", item.path),
            help: None,
        });
    }
    let dir = within::ensure_dir(root, parent, &mut Vec::new()).map_err(failed)?;
    match rustix::fs::unlinkat(&dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(Errno::ISDIR) => {
            let message = format!("cannot put a file at {}: the image has a directory there", item.path);
            return Err(BackendError::Program { message, help: None });
        }
        Err(error) => return Err(failed(error)),
    }
    let (uid, gid) = (Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)));
    match &item.kind {
        PlacementKind::Symlink { target } => {
            rustix::fs::symlinkat(target.as_str(), &dir, name).map_err(failed)?;
            rustix::fs::chownat(&dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)
        }
        PlacementKind::Dir => {
            rustix::fs::mkdirat(&dir, name, Mode::from_raw_mode(0o700)).map_err(failed)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let made = rustix::fs::openat(&dir, name, flags, Mode::empty()).map_err(failed)?;
            finish(&made, uid, gid, item.mode).map_err(failed)
        }
        PlacementKind::HostFile { .. } | PlacementKind::Bytes(_) => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let made = rustix::fs::openat(&dir, name, flags, Mode::from_raw_mode(0o600)).map_err(failed)?;
            let mut file = File::from(made);
            fill(&mut file, item)?;
            finish(&file.into(), uid, gid, item.mode).map_err(failed)
        }
    }
}

/// Owner first: changing it takes setuid bits away.
fn finish(fd: &OwnedFd, uid: Option<Uid>, gid: Option<Gid>, mode: u32) -> Result<(), Errno> {
    rustix::fs::fchown(fd.as_fd(), uid, gid)?;
    rustix::fs::fchmod(fd, Mode::from_raw_mode(mode & 0o7777))
}

fn fill(file: &mut File, item: &PlacementItem) -> Result<(), BackendError> {
    let writing = || BackendError::io(format!("cannot write {} in the image", item.path));
    match &item.kind {
        PlacementKind::Bytes(bytes) => file.write_all(bytes).map_err(writing()),
        PlacementKind::HostFile { from, digest, size } => {
            let (read, found) =
                copy(from, file).map_err(BackendError::io(format!("cannot copy {}", from.display())))?;
            if (read, found) == (*size, *digest) {
                return Ok(());
            }
            Err(BackendError::Program {
                message: format!("{} changed since the plan was made", from.display()),
                help: Some("run the same command again: the plan is made anew then".to_owned()),
            })
        }
        PlacementKind::Dir | PlacementKind::Symlink { .. } => Ok(()),
    }
}

/// Copies a file's content, hashing it on the way.
fn copy(from: &Path, to: &mut File) -> io::Result<(u64, Digest)> {
    let mut from = File::open(from)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    let mut size = 0;
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => buffer.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(read);
        to.write_all(read)?;
        size += read.len() as u64;
    }
    Ok((size, Digest(*hasher.finalize().as_bytes())))
}

fn placing(path: &str, error: Errno) -> BackendError {
    match error {
        Errno::NOTDIR => BackendError::Program {
            message: format!("cannot put anything at {path}: something on the way is not a directory in the image"),
            help: None,
        },
        Errno::EXIST | Errno::LOOP => BackendError::Program {
            message: format!("cannot put anything at {path}: a link on the way leads nowhere in the image"),
            help: Some("make what it leads to in an earlier step".to_owned()),
        },
        error => BackendError::Io { doing: format!("cannot put {path} in place in the image"), source: error.into() },
    }
}
