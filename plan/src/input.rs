//! Files and directories that a program names: their digests, never their bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// A file that the program named with `file()`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileRef {
    /// Relative to the package with `/` between parts, or absolute for an argument from outside the package.
    /// In no fingerprint.
    pub path: String,
    /// Of the content.
    pub digest: Digest,
    /// `0o644` or `0o755`, unless modes are exact.
    pub mode: u32,
    /// In bytes.
    pub size: u64,
}

/// A directory that the program named with `dir()`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DirRef {
    /// As in [`FileRef::path`].
    pub path: String,
    /// Merkle digest over path, type, mode, link target and content of the entries: [`DirRef::merkle`].
    pub digest: Digest,
    /// What the program left out with `ignore:`, so that the set can be read again.
    pub ignore: Vec<String>,
    /// Whether modes are kept as they are (`modes: exact`).
    pub exact_modes: bool,
    /// Sorted by path, without the directory itself; may be empty.
    pub entries: Vec<TreeEntry>,
    /// Where the content of files is that are not below `path`: by the path of their entry, absolute. Those of a
    /// directory out of an image lie in several layers. In no fingerprint.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub places: BTreeMap<String, String>,
}

/// One entry of a [`DirRef`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TreeEntry {
    /// Relative to the directory, `/` between parts.
    pub path: String,
    /// What stands there.
    pub kind: EntryKind,
    /// Permission bits; `0o777` for links.
    pub mode: u32,
}

/// What a [`TreeEntry`] is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A directory.
    Dir,
    /// A regular file.
    File {
        /// Of the content.
        digest: Digest,
        /// In bytes.
        size: u64,
    },
    /// A symbolic link, as it is.
    Symlink {
        /// The link's text.
        target: String,
    },
}

impl DirRef {
    /// The Merkle digest of `entries`, which are sorted by path.
    pub fn merkle(entries: &[TreeEntry]) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key("imgc 1 directory");
        let mut text = |s: &str| {
            hasher.update(&(s.len() as u64).to_le_bytes());
            hasher.update(s.as_bytes());
        };
        for entry in entries {
            text(&entry.path);
            text(&format!("{:o}", entry.mode));
            match &entry.kind {
                EntryKind::Dir => text("dir"),
                EntryKind::File { digest, .. } => {
                    text("file");
                    text(&digest.to_string());
                }
                EntryKind::Symlink { target } => {
                    text("symlink");
                    text(target);
                }
            }
        }
        Digest(*hasher.finalize().as_bytes())
    }
}
