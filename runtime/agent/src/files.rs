//! Files that come and go. What comes stands beside its place under another name until it is whole.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, fchown, lchown, symlink};
use std::path::{Path, PathBuf};

use crate::accounts;
use crate::protocol::{CHUNK, Failure, FileKind, Put, Reply};

/// Why a file could not be put or read, as a reply.
pub(crate) fn failed(doing: &str, error: &io::Error) -> Reply {
    let failure = match error.raw_os_error() {
        Some(28 | 122) => Failure::Space,
        _ => Failure::Other,
    };
    Reply::Failed { failure, message: format!("cannot {doing} in the guest: {error}") }
}

/// What was asked cannot be.
pub(crate) fn refused(message: impl Into<String>) -> Reply {
    Reply::Failed { failure: Failure::Asked, message: message.into() }
}

/// A file that is coming in.
pub(crate) struct Incoming {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    owner: (u32, u32),
    mode: u32,
}

/// Puts a directory or link in place at once; a file has to wait for its content.
pub(crate) fn put(put: &Put, stream: u32) -> Result<Option<Incoming>, Reply> {
    let account = accounts::account(&put.user).map_err(refused)?;
    let gid = match &put.group {
        Some(group) => accounts::group(group).map_err(refused)?,
        None => account.gid,
    };
    let owner = (account.uid, gid);
    let path = PathBuf::from(&put.path);
    let (Some(parent), true, true) = (path.parent(), path.file_name().is_some(), path.is_absolute()) else {
        return if path == Path::new("/") && put.kind == FileKind::Directory {
            Ok(None)
        } else {
            Err(refused(format!("`{}` is not the path of a file", put.path)))
        };
    };
    let doing = format!("write {}", put.path);
    let failing = |error: io::Error| failed(&doing, &error);
    fs::DirBuilder::new().recursive(true).mode(0o755).create(parent).map_err(failing)?;
    let is_directory = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
    match &put.kind {
        FileKind::Directory => directory(&path, owner, put.mode).map(|()| None).map_err(failing),
        FileKind::File | FileKind::Link(_) if is_directory => {
            Err(refused(format!("cannot put a file at {}: the guest has a directory there", put.path)))
        }
        FileKind::Link(target) => {
            let temporary = parent.join(format!(".imgc-{stream}"));
            let _ = fs::remove_file(&temporary);
            symlink(target, &temporary)
                .and_then(|()| lchown(&temporary, Some(owner.0), Some(owner.1)))
                .and_then(|()| fs::rename(&temporary, &path))
                .map(|()| None)
                .map_err(failing)
        }
        FileKind::File => {
            let temporary = parent.join(format!(".imgc-{stream}"));
            let _ = fs::remove_file(&temporary);
            let file = File::create_new(&temporary).map_err(failing)?;
            Ok(Some(Incoming { path, temporary, file, owner, mode: put.mode }))
        }
    }
}

fn directory(path: &Path, owner: (u32, u32), mode: u32) -> io::Result<()> {
    // A link to a directory is kept as well.
    if path.is_dir() {
        return Ok(());
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::DirBuilder::new().mode(0o700).create(path)?;
    let made = File::open(path)?;
    finish(&made, owner, mode)
}

/// Owner first: changing it takes setuid bits away.
fn finish(file: &File, owner: (u32, u32), mode: u32) -> io::Result<()> {
    fchown(file, Some(owner.0), Some(owner.1))?;
    file.set_permissions(Permissions::from_mode(mode & 0o7777))
}

impl Incoming {
    /// Adds content.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Reply> {
        self.file.write_all(bytes).map_err(|error| self.failed(&error))
    }

    /// Puts it in its place.
    pub(crate) fn finish(&self) -> Result<(), Reply> {
        finish(&self.file, self.owner, self.mode)
            .and_then(|()| fs::rename(&self.temporary, &self.path))
            .map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> Reply {
        failed(&format!("write {}", self.path.display()), error)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Gone already where it was put in its place.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// A file that is going out.
pub(crate) struct Outgoing {
    path: String,
    file: File,
}

/// Opens a file for reading, and says what was found.
pub(crate) fn get(path: &str) -> Result<(Outgoing, Reply), Reply> {
    let missing = || refused(format!("the guest has no file {path}"));
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
        Err(error) => return Err(failed(&format!("read {path}"), &error)),
    };
    // Opening a device or a pipe could wait for ever.
    if !found.is_file() {
        return Err(refused(format!("{path} of the guest is not a file")));
    }
    let file = File::open(path).map_err(|error| failed(&format!("read {path}"), &error))?;
    let reply = Reply::Found { size: found.len(), mode: found.permissions().mode() & 0o7777 };
    Ok((Outgoing { path: path.to_owned(), file }, reply))
}

impl Outgoing {
    /// The next piece, or the reply that ends the transfer.
    pub(crate) fn read(&mut self) -> Result<Reply, Reply> {
        let mut bytes = vec![0; CHUNK];
        match self.file.read(&mut bytes) {
            Ok(0) => Err(Reply::Done),
            Ok(length) => {
                bytes.truncate(length);
                Ok(Reply::Data(bytes))
            }
            Err(error) => Err(failed(&format!("read {}", self.path), &error)),
        }
    }
}
