//! Manifests: what is in a file tree, in a canonical form that layers, archives and disks are made from.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use imgc_plan::Digest;
use serde::{Deserialize, Serialize};

/// A path in a tree: bytes without a leading or trailing `/`; the root is empty. Orders by its parts, so that a
/// directory stands directly before all that is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TreePath(pub Vec<u8>);

impl Ord for TreePath {
    /// By parts: as if `/` were less than every other byte, which names never contain.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let rank = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
        match self.0.iter().zip(&other.0).find(|(a, b)| a != b) {
            Some((a, b)) => rank(a).cmp(&rank(b)),
            None => self.0.len().cmp(&other.0.len()),
        }
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl TreePath {
    /// The names between the slashes; none for the root.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|b| *b == b'/').filter(|part| !part.is_empty())
    }

    /// Whether it is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory it is in, as bytes; none for the root.
    pub fn parent(&self) -> Option<&[u8]> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|b| *b == b'/').unwrap_or(0);
        self.0.get(..end)
    }

    /// Whether it is somewhere below `other`, and not `other` itself.
    pub fn is_below(&self, other: &Self) -> bool {
        other.is_root() && !self.is_root()
            || self.0.strip_prefix(other.0.as_slice()).is_some_and(|rest| rest.first() == Some(&b'/'))
    }

    /// Where it is when the tree is unpacked at `dir`.
    pub fn on(&self, dir: &Path) -> PathBuf {
        if self.is_root() { dir.to_owned() } else { dir.join(OsStr::from_bytes(&self.0)) }
    }
}

impl From<&str> for TreePath {
    /// Without the slashes at both ends.
    fn from(text: &str) -> Self {
        Self(text.trim_matches('/').as_bytes().to_vec())
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", String::from_utf8_lossy(&self.0))
    }
}

/// The entries of a tree or layer, sorted by path, each path once. A layer also holds whiteouts and opaque
/// directories; a merged tree does not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Sorted by path. The root itself may be there; where it is not, it is root:root 0755.
    pub entries: Vec<Entry>,
}

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where.
    pub path: TreePath,
    /// What.
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky: `0o7777` at most.
    pub mode: u32,
    /// Numeric owner inside the image.
    pub uid: u32,
    /// Numeric group inside the image.
    pub gid: u32,
    /// Seconds since 1970, clamped to the epoch.
    pub mtime: i64,
    /// Names with their prefix; only those that layers keep: `security.capability`, `user.*`, POSIX ACLs.
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

/// What an entry is. Device nodes and sockets never get into a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A directory.
    Dir {
        /// Whether it hides what layers below have in it.
        opaque: bool,
    },
    /// A regular file.
    File {
        /// BLAKE3 of its content.
        digest: Digest,
        /// In bytes.
        size: u64,
    },
    /// A symbolic link.
    Symlink {
        /// Its text.
        target: Vec<u8>,
    },
    /// Another name of the file at `to`, which is in the same manifest and sorts before this one.
    Hardlink {
        /// The first name.
        to: TreePath,
    },
    /// A named pipe.
    Fifo,
    /// Nothing: hides what a layer below has there. Its other fields are zero.
    Whiteout,
}
