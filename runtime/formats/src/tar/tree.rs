//! The tree under construction: on disk and, at the same time, as entries in memory.
//!
//! What stands where is decided by the entries alone, so no link on disk is ever followed.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use imgc_plan::Digest;
use imgc_store::{Entry, EntryKind, Manifest, TreePath};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};

use super::beneath::Beneath;
use super::read::Members;
use super::shown;
use super::unpack::{Owners, PlaceError, Refusal, UnpackError, UnpackOptions};

const ACL: &str = "system.posix_acl_access";

/// What a member has beside its kind, as far as layers keep it.
#[derive(Debug, Clone)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: i64,
    pub(super) xattrs: BTreeMap<String, Vec<u8>>,
}

/// What stands at one path.
#[derive(Debug, Clone)]
enum Node {
    Dir {
        opaque: bool,
        attributes: Attributes,
    },
    /// Names of one inode share its number.
    File {
        inode: u64,
        digest: Digest,
        size: u64,
        attributes: Attributes,
    },
    Symlink {
        target: Vec<u8>,
        attributes: Attributes,
    },
    Fifo {
        attributes: Attributes,
    },
    Whiteout,
}

/// A tree below a directory that is empty at first.
pub(super) struct Tree<'a> {
    root: Beneath,
    options: &'a UnpackOptions<'a>,
    /// Without the root, which is always there.
    nodes: BTreeMap<TreePath, Node>,
    /// Of the root, once the archive has said something about it.
    root_attributes: Option<Attributes>,
    /// The directory that was last worked in.
    parent: Option<(TreePath, Rc<OwnedFd>)>,
    inodes: u64,
    entries: u64,
    metadata: u64,
    buffer: Vec<u8>,
}

type Placed = Result<(), PlaceError>;

impl<'a> Tree<'a> {
    pub(super) fn new(into: &Path, options: &'a UnpackOptions<'a>) -> Result<Self, UnpackError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, into, flags, Mode::empty()).map_err(|e| UnpackError::Place {
            doing: "open the directory",
            path: into.display().to_string(),
            source: e.into(),
        })?;
        Ok(Self {
            root: Beneath::new(root),
            options,
            nodes: BTreeMap::new(),
            root_attributes: None,
            parent: None,
            inodes: 0,
            entries: 0,
            metadata: 0,
            buffer: vec![0; 128 * 1024],
        })
    }

    pub(super) fn dir(&mut self, path: &TreePath, attributes: Attributes) -> Placed {
        self.count(path, &attributes, 0)?;
        if path.0.is_empty() {
            self.root_attributes = Some(attributes);
            return Ok(());
        }
        if let Some(Node::Dir { attributes: old, .. }) = self.nodes.get_mut(path) {
            *old = attributes;
            return Ok(());
        }
        let opaque = self.clear(path)?;
        self.make_dir(path, attributes, opaque)
    }

    pub(super) fn file(
        &mut self,
        path: &TreePath,
        attributes: Attributes,
        size: u64,
        members: &mut Members<'_>,
    ) -> Placed {
        self.count(path, &attributes, 0)?;
        self.clear(path)?;
        let (dir, name) = self.parent_of(path)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&*dir, name, flags, Mode::from_raw_mode(0o600));
        let mut file = File::from(file.map_err(place("make the file", path))?);
        let mut hash = blake3::Hasher::new();
        loop {
            let read = members.content(&mut self.buffer)?;
            let bytes = self.buffer.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            hash.update(bytes);
            file.write_all(bytes).map_err(|e| failed("write the file", path, e))?;
        }
        let attributes = self.dress(path, file.as_fd(), attributes, None)?;
        self.inodes += 1;
        let digest = Digest(*hash.finalize().as_bytes());
        self.nodes.insert(path.clone(), Node::File { inode: self.inodes, digest, size, attributes });
        Ok(())
    }

    pub(super) fn symlink(&mut self, path: &TreePath, attributes: Attributes, target: Vec<u8>) -> Placed {
        self.count(path, &attributes, target.len())?;
        self.clear(path)?;
        let (dir, name) = self.parent_of(path)?;
        rustix::fs::symlinkat(OsStr::from_bytes(&target), &*dir, name).map_err(place("make the link", path))?;
        let attributes = Attributes { mode: 0o777, ..attributes };
        self.dress_name(path, &dir, name, &attributes)?;
        self.nodes.insert(path.clone(), Node::Symlink { target, attributes });
        Ok(())
    }

    pub(super) fn fifo(&mut self, path: &TreePath, attributes: Attributes) -> Placed {
        self.count(path, &attributes, 0)?;
        self.clear(path)?;
        let (dir, name) = self.parent_of(path)?;
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(&*dir, name, FileType::Fifo, mode, 0).map_err(place("make the pipe", path))?;
        self.dress_name(path, &dir, name, &attributes)?;
        let mode = Mode::from_raw_mode(attributes.mode);
        rustix::fs::chmodat(&*dir, name, mode, AtFlags::empty()).map_err(place("set the mode of", path))?;
        self.nodes.insert(path.clone(), Node::Fifo { attributes });
        Ok(())
    }

    pub(super) fn hardlink(&mut self, path: &TreePath, to: &TreePath) -> Placed {
        if path == to {
            return Err(Refusal::SelfHardlink.into());
        }
        // First, since the target may be in what the link replaces.
        self.clear(path)?;
        let target = shown(to);
        match self.nodes.get(to).cloned() {
            Some(Node::File { inode, digest, size, attributes }) => {
                self.count(path, &attributes, 0)?;
                let (from_dir, from_name) = self.parent_of(to)?;
                let (dir, name) = self.parent_of(path)?;
                rustix::fs::linkat(&*from_dir, from_name, &*dir, name, AtFlags::empty())
                    .map_err(place("make the hard link", path))?;
                self.nodes.insert(path.clone(), Node::File { inode, digest, size, attributes });
                Ok(())
            }
            // Manifests have further names for files only; two links or pipes are as good.
            Some(Node::Symlink { target, attributes }) => self.symlink(path, attributes, target),
            Some(Node::Fifo { attributes }) => self.fifo(path, attributes),
            Some(Node::Dir { .. }) => Err(Refusal::DirHardlink { target }.into()),
            None if to.0.is_empty() => Err(Refusal::DirHardlink { target }.into()),
            Some(Node::Whiteout) | None => Err(Refusal::DanglingHardlink { target }.into()),
        }
    }

    /// Hides what the layers below have at `path`. What this layer has there hides it already and stays.
    pub(super) fn whiteout(&mut self, path: &TreePath) -> Placed {
        match self.nodes.get_mut(path) {
            Some(Node::Dir { opaque, .. }) => {
                *opaque = true;
                return Ok(());
            }
            Some(Node::File { .. } | Node::Symlink { .. } | Node::Fifo { .. } | Node::Whiteout) => return Ok(()),
            None => {}
        }
        self.count_entry(path.0.len())?;
        self.parents(path, false)?;
        let (dir, name) = self.parent_of(path)?;
        rustix::fs::mknodat(&*dir, name, FileType::CharacterDevice, Mode::empty(), 0)
            .map_err(place("make the whiteout", path))?;
        self.nodes.insert(path.clone(), Node::Whiteout);
        Ok(())
    }

    /// Hides what the layers below have in the directory `path`.
    pub(super) fn opaque(&mut self, path: &TreePath) -> Placed {
        self.parents(path, true)?;
        if let Some(Node::Dir { opaque, .. }) = self.nodes.get_mut(path) {
            *opaque = true;
        }
        Ok(())
    }

    /// Gives all directories their attributes and the tree its manifest.
    pub(super) fn finish(mut self) -> Result<Manifest, UnpackError> {
        // From the last to the first, so that no directory is closed to its owner before what is in it is done.
        let mut nodes = std::mem::take(&mut self.nodes);
        for (path, node) in nodes.iter_mut().rev() {
            if let Node::Dir { opaque, attributes } = node {
                let marker = opaque.then_some(self.options.opaque_xattr);
                *attributes = self.dress_dir(path, attributes.clone(), marker)?;
            }
        }
        let root = TreePath(Vec::new());
        let said = self.root_attributes.take();
        let attributes = said.clone().unwrap_or_else(|| self.inherited(&root));
        let attributes = self.dress_dir(&root, attributes, None)?;
        let root = said.map(|_| entry(root, EntryKind::Dir { opaque: false }, attributes));
        let mut first_names: HashMap<u64, TreePath> = HashMap::new();
        let named = nodes.into_iter().map(|(path, node)| match node {
            Node::Dir { opaque, attributes } => entry(path, EntryKind::Dir { opaque }, attributes),
            Node::Symlink { target, attributes } => entry(path, EntryKind::Symlink { target }, attributes),
            Node::Fifo { attributes } => entry(path, EntryKind::Fifo, attributes),
            Node::Whiteout => {
                let nothing = Attributes { mode: 0, uid: 0, gid: 0, mtime: 0, xattrs: BTreeMap::new() };
                entry(path, EntryKind::Whiteout, nothing)
            }
            Node::File { inode, digest, size, attributes } => {
                let kind = if let Some(first) = first_names.get(&inode) {
                    EntryKind::Hardlink { to: first.clone() }
                } else {
                    first_names.insert(inode, path.clone());
                    EntryKind::File { digest, size }
                };
                entry(path, kind, attributes)
            }
        });
        Ok(Manifest { entries: root.into_iter().chain(named).collect() })
    }

    /// Makes room at `path`: its parents are made, what stood there is gone. Whether a whiteout was among that.
    fn clear(&mut self, path: &TreePath) -> Result<bool, PlaceError> {
        self.parents(path, false)?;
        let gone: Vec<TreePath> = match self.nodes.get(path) {
            None => return Ok(false),
            Some(Node::Dir { .. }) => {
                let own = |at: &TreePath| at.parts().zip(path.parts()).filter(|(a, b)| a == b).count();
                let depth = path.parts().count();
                self.nodes.range(path..).map(|(at, _)| at).take_while(|at| own(at) == depth).cloned().collect()
            }
            Some(_) => vec![path.clone()],
        };
        let mut was_whiteout = false;
        for at in gone.iter().rev() {
            let (dir, name) = self.parent_of(at)?;
            let flags = match self.nodes.get(at) {
                Some(Node::Dir { .. }) => AtFlags::REMOVEDIR,
                Some(Node::File { .. } | Node::Symlink { .. } | Node::Fifo { .. } | Node::Whiteout) | None => {
                    AtFlags::empty()
                }
            };
            rustix::fs::unlinkat(&*dir, name, flags).map_err(place("replace", at))?;
            was_whiteout = matches!(self.nodes.remove(at), Some(Node::Whiteout));
        }
        self.parent = None;
        Ok(was_whiteout)
    }

    /// Makes the directories above `path`, and `path` itself if `whole`, as far as they are not there.
    fn parents(&mut self, path: &TreePath, whole: bool) -> Placed {
        let slashes = path.0.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
        let ends: Vec<usize> = slashes.chain(whole.then_some(path.0.len())).collect();
        // The common case: the innermost is there, hence all are.
        let innermost = ends.last().and_then(|end| path.0.get(..*end));
        if innermost.is_some_and(|at| matches!(self.nodes.get(&TreePath(at.to_vec())), Some(Node::Dir { .. }))) {
            return Ok(());
        }
        for end in ends {
            let at = TreePath(path.0.get(..end).unwrap_or_default().to_vec());
            match self.nodes.get(&at) {
                Some(Node::Dir { .. }) => {}
                Some(Node::Symlink { .. }) => return Err(Refusal::ThroughLink { link: shown(&at) }.into()),
                Some(Node::File { .. } | Node::Fifo { .. }) => {
                    return Err(Refusal::ThroughFile { file: shown(&at) }.into());
                }
                Some(Node::Whiteout) | None => {
                    let attributes = self.inherited(&at);
                    self.count(&at, &attributes, 0)?;
                    let opaque = self.clear(&at)?;
                    self.make_dir(&at, attributes, opaque)?;
                }
            }
        }
        Ok(())
    }

    fn make_dir(&mut self, path: &TreePath, attributes: Attributes, opaque: bool) -> Placed {
        let (dir, name) = self.parent_of(path)?;
        rustix::fs::mkdirat(&*dir, name, Mode::from_raw_mode(0o700)).map_err(place("make the directory", path))?;
        self.nodes.insert(path.clone(), Node::Dir { opaque, attributes });
        Ok(())
    }

    /// What a directory has that the archive says nothing of: that of the layers below, or root's usual.
    fn inherited(&self, path: &TreePath) -> Attributes {
        let usual =
            || Attributes { mode: 0o755, uid: 0, gid: 0, mtime: self.options.epoch.max(0), xattrs: BTreeMap::new() };
        for manifest in self.options.below.iter().rev() {
            let find = |at: &TreePath| {
                let found = manifest.entries.binary_search_by(|entry| entry.path.cmp(at)).ok();
                found.and_then(|n| manifest.entries.get(n))
            };
            match find(path) {
                Some(Entry { kind: EntryKind::Dir { .. }, mode, uid, gid, mtime, xattrs, .. }) => {
                    return Attributes { mode: *mode, uid: *uid, gid: *gid, mtime: *mtime, xattrs: xattrs.clone() };
                }
                Some(_) => return usual(),
                None => {}
            }
            let ends = path.0.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
            let hides = |at: &[u8]| match find(&TreePath(at.to_vec())).map(|entry| &entry.kind) {
                Some(EntryKind::Dir { opaque }) => *opaque,
                Some(_) => true,
                None => false,
            };
            if ends.filter_map(|end| path.0.get(..end)).any(hides) {
                return usual();
            }
        }
        usual()
    }

    /// The directory that `path` is in, open, and its name there.
    fn parent_of<'p>(&mut self, path: &'p TreePath) -> Result<(Rc<OwnedFd>, &'p OsStr), PlaceError> {
        let slash = path.0.iter().rposition(|b| *b == b'/');
        let (dir, name) = match slash {
            Some(at) => (path.0.get(..at).unwrap_or_default(), path.0.get(at + 1..).unwrap_or_default()),
            None => (b"".as_slice(), path.0.as_slice()),
        };
        let name = OsStr::from_bytes(name);
        if let Some((at, fd)) = &self.parent
            && at.0 == dir
        {
            return Ok((Rc::clone(fd), name));
        }
        let fd = self.root.open_dir(dir).map_err(|e| failed("open the directory of", path, e))?;
        let fd = Rc::new(fd);
        self.parent = Some((TreePath(dir.to_vec()), Rc::clone(&fd)));
        Ok((fd, name))
    }

    fn count(&mut self, path: &TreePath, attributes: &Attributes, more: usize) -> Placed {
        let xattrs: usize = attributes.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.count_entry(path.0.len() + xattrs + more)
    }

    fn count_entry(&mut self, metadata: usize) -> Placed {
        let limits = &self.options.limits;
        self.entries += 1;
        // What an entry takes in memory beside its texts.
        self.metadata += metadata as u64 + 200;
        if self.entries > limits.entries {
            return Err(UnpackError::Limit { what: "members", limit: limits.entries }.into());
        }
        if self.metadata > limits.metadata {
            return Err(UnpackError::Limit { what: "bytes of names and attributes", limit: limits.metadata }.into());
        }
        Ok(())
    }

    fn dress_dir(
        &self,
        path: &TreePath,
        attributes: Attributes,
        marker: Option<&str>,
    ) -> Result<Attributes, UnpackError> {
        let dir = self.root.open_dir_to_read(path).map_err(|e| failed("open the directory", path, e))?;
        self.dress(path, dir.as_fd(), attributes, marker)
    }

    /// Sets owner, mode, attributes and time, in the order in which none undoes another: a change of owner takes
    /// setuid and capabilities away, an ACL changes the mode. Gives what then stands there.
    fn dress(
        &self,
        path: &TreePath,
        fd: BorrowedFd<'_>,
        mut attributes: Attributes,
        marker: Option<&str>,
    ) -> Result<Attributes, UnpackError> {
        let Attributes { uid, gid, .. } = attributes;
        if self.options.owners == Owners::Set {
            rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                .map_err(|e| UnpackError::Owner { path: shown(path), uid, gid, source: e.into() })?;
        }
        rustix::fs::fchmod(fd, Mode::from_raw_mode(attributes.mode)).map_err(place("set the mode of", path))?;
        for (name, value) in &attributes.xattrs {
            let set = rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty());
            if self.options.owners == Owners::Set || name != "security.capability" {
                set.map_err(place("set an attribute of", path))?;
            }
        }
        if let Some(marker) = marker {
            rustix::fs::fsetxattr(fd, marker, b"y", XattrFlags::empty()).map_err(place("mark as opaque", path))?;
        }
        rustix::fs::futimens(fd, &times(attributes.mtime)).map_err(place("set the time of", path))?;
        if attributes.xattrs.contains_key(ACL) {
            let stat = rustix::fs::fstat(fd).map_err(place("look at", path))?;
            attributes.mode = stat.st_mode & 0o7777;
        }
        Ok(attributes)
    }

    /// The same by name, for what cannot be opened: owner and time.
    fn dress_name(&self, path: &TreePath, dir: &OwnedFd, name: &OsStr, attributes: &Attributes) -> Placed {
        let Attributes { uid, gid, mtime, .. } = *attributes;
        if self.options.owners == Owners::Set {
            let (owner, group) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
            rustix::fs::chownat(dir, name, owner, group, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|e| UnpackError::Owner { path: shown(path), uid, gid, source: e.into() })?;
        }
        rustix::fs::utimensat(dir, name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(place("set the time of", path))?;
        Ok(())
    }
}

fn entry(path: TreePath, kind: EntryKind, attributes: Attributes) -> Entry {
    let Attributes { mode, uid, gid, mtime, xattrs } = attributes;
    Entry { path, kind, mode, uid, gid, mtime, xattrs }
}

fn times(mtime: i64) -> Timestamps {
    let time = Timespec { tv_sec: mtime, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

fn place(doing: &'static str, path: &TreePath) -> impl FnOnce(rustix::io::Errno) -> UnpackError {
    move |e| failed(doing, path, e.into())
}

fn failed(doing: &'static str, path: &TreePath, source: io::Error) -> UnpackError {
    UnpackError::Place { doing, path: shown(path), source }
}
