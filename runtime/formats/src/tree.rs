//! The file tree that a file system is made from: entries by path, each with the place its content comes from. Knows no
//! on-disk format.

use std::collections::BTreeMap;
use std::path::PathBuf;

use imgc_plan::Digest;
use imgc_store::{Entry, EntryKind, Merged, MergedEntry, TreePath};

/// Why entries do not make a tree.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// An entry below something that is not a directory.
    #[error("`/{path}` is inside of something that is not a directory")]
    NotInDirectory {
        /// The entry.
        path: String,
    },
    /// A hard link to nothing, a directory or another link.
    #[error("`/{path}` is a hard link to `/{to}`, which is not there or cannot have two names")]
    DanglingLink {
        /// The link.
        path: String,
        /// What it links to.
        to: String,
    },
    /// A file where a directory is.
    #[error("`/{path}` is a directory in the image, but must be a file")]
    IsDirectory {
        /// The directory.
        path: String,
    },
    /// A name that no file system takes.
    #[error("`/{path}` has a name that a Linux file system cannot hold")]
    Name {
        /// The entry.
        path: String,
    },
}

/// Where the bytes of a regular file come from.
#[derive(Debug, Clone)]
pub enum Content {
    /// A file on the host, which must hold `size` bytes with that digest.
    Host {
        /// Where.
        path: PathBuf,
        /// In bytes.
        size: u64,
        /// BLAKE3; checked while reading, where it is given.
        digest: Option<Digest>,
    },
    /// These bytes.
    Bytes(Vec<u8>),
}

impl Content {
    /// In bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Host { size, .. } => *size,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum NodeKind {
    /// A directory.
    Dir,
    /// A regular file.
    File(Content),
    /// A symbolic link with its text.
    Symlink(Vec<u8>),
    /// Another name of what is there.
    Hardlink(TreePath),
    /// A named pipe.
    Fifo,
}

/// One entry of a tree. A hard link's owner, mode and times are those of the file it names.
#[derive(Debug, Clone)]
pub struct Node {
    /// What.
    pub kind: NodeKind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: i64,
    /// Names with their prefix, values as `getxattr(2)` gives them.
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

impl Node {
    /// Something of root's without extended attributes.
    pub fn of_root(kind: NodeKind, mode: u32, mtime: i64) -> Self {
        Self { kind, mode, uid: 0, gid: 0, mtime, xattrs: BTreeMap::new() }
    }

    /// One entry of a layer; nothing for a whiteout.
    fn of_entry(merged: &MergedEntry) -> Option<Self> {
        let kind = match &merged.kind {
            EntryKind::Dir { .. } => NodeKind::Dir,
            EntryKind::File { digest, size } => {
                NodeKind::File(Content::Host { path: merged.host.clone(), size: *size, digest: Some(*digest) })
            }
            EntryKind::Symlink { target } => NodeKind::Symlink(target.clone()),
            EntryKind::Hardlink { to } => NodeKind::Hardlink(to.clone()),
            EntryKind::Fifo => NodeKind::Fifo,
            EntryKind::Whiteout => return None,
        };
        let Entry { mode, uid, gid, mtime, xattrs, .. } = merged.entry.clone();
        Some(Self { kind, mode, uid, gid, mtime, xattrs })
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        matches!(self.kind, NodeKind::Dir)
    }
}

/// A whole file tree. The root and every parent are there, names are valid, and hard links lead to what can have two
/// names.
#[derive(Debug, Clone)]
pub struct FileTree {
    nodes: BTreeMap<TreePath, Node>,
}

impl FileTree {
    /// Checks that `nodes` make a tree. Missing parents become directories of root's with mode 0755 and time `epoch`.
    ///
    /// # Errors
    /// The first entry that does not fit.
    pub fn new(mut nodes: BTreeMap<TreePath, Node>, epoch: i64) -> Result<Self, TreeError> {
        let mut missing = vec![TreePath(Vec::new())];
        for path in nodes.keys() {
            if path.parts().any(|name| name.len() > 255 || name == b"." || name == b".." || name.contains(&0)) {
                return Err(TreeError::Name { path: show(path) });
            }
            missing.extend(parents(path).filter(|parent| !nodes.contains_key(parent)));
        }
        for path in missing {
            nodes.entry(path).or_insert_with(|| Node::of_root(NodeKind::Dir, 0o755, epoch));
        }
        let tree = Self { nodes };
        for (path, node) in &tree.nodes {
            if parents(path).any(|parent| !tree.get(&parent).is_some_and(Node::is_dir)) {
                return Err(TreeError::NotInDirectory { path: show(path) });
            }
            if let NodeKind::Hardlink(to) = &node.kind
                && tree.get(to).is_none_or(|node| matches!(node.kind, NodeKind::Dir | NodeKind::Hardlink(_)))
            {
                return Err(TreeError::DanglingLink { path: show(path), to: show(to) });
            }
        }
        Ok(tree)
    }

    /// What layers show together. Missing parents and the root get time `epoch`.
    ///
    /// # Errors
    /// As [`FileTree::new`]; layers of the store give none.
    pub fn of_layers(merged: &Merged, epoch: i64) -> Result<Self, TreeError> {
        let node = |entry: &MergedEntry| Some((entry.path.clone(), Node::of_entry(entry)?));
        Self::new(merged.entries().iter().filter_map(node).collect(), epoch)
    }

    /// The node at `path`.
    pub fn get(&self, path: &TreePath) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Where the regular file is that `path` leads to, through symbolic and hard links.
    pub fn resolve(&self, path: &TreePath) -> Option<(&TreePath, &Content)> {
        let mut todo: Vec<Vec<u8>> = names(&path.0);
        let mut at = TreePath(Vec::new());
        // More links in a row are a circle, as for the kernel.
        let mut links = 40;
        while let Some(name) = todo.pop() {
            let parent = at.clone();
            match name.as_slice() {
                b"." => continue,
                b".." => {
                    at = parents(&at).last().unwrap_or(parent);
                    continue;
                }
                _ => at = join(&at, &name),
            }
            if let NodeKind::Symlink(target) = &self.get(&at)?.kind {
                links -= 1;
                if links == 0 {
                    return None;
                }
                todo.extend(names(target));
                at = if target.starts_with(b"/") { TreePath(Vec::new()) } else { parent };
            }
        }
        let (mut path, mut node) = self.nodes.get_key_value(&at)?;
        if let NodeKind::Hardlink(to) = &node.kind {
            (path, node) = self.nodes.get_key_value(to)?;
        }
        match &node.kind {
            NodeKind::File(content) => Some((path, content)),
            NodeKind::Dir | NodeKind::Symlink(_) | NodeKind::Hardlink(_) | NodeKind::Fifo => None,
        }
    }

    /// All nodes by path, the root first, a directory directly before what is in it.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = (&TreePath, &Node)> {
        self.nodes.iter()
    }

    /// What is in the directory at `parent`, sorted by name.
    pub fn children(&self, parent: TreePath) -> impl Iterator<Item = (&TreePath, &Node)> {
        let depth = parent.parts().count();
        let below = self.nodes.range(parent.clone()..).skip(1);
        below
            .take_while(move |(path, _)| path.parts().take(depth).eq(parent.parts()))
            .filter(move |(path, _)| path.parts().count() == depth + 1)
    }

    /// Puts a node there, with its missing parents. Other names of a file that was there stay names of that file.
    ///
    /// # Errors
    /// A parent is not a directory, or the node would hide a directory.
    pub fn insert(&mut self, path: &TreePath, node: Node) -> Result<(), TreeError> {
        for parent in parents(path) {
            let parent = self.nodes.entry(parent).or_insert_with(|| Node::of_root(NodeKind::Dir, 0o755, node.mtime));
            if !parent.is_dir() {
                return Err(TreeError::NotInDirectory { path: show(path) });
            }
        }
        if self.get(path).is_some_and(Node::is_dir) && !node.is_dir() {
            return Err(TreeError::IsDirectory { path: show(path) });
        }
        if let Some(old) = self.nodes.insert(path.clone(), node) {
            self.hand_over(path, old);
        }
        Ok(())
    }

    /// Makes the first other name of the file that was at `gone` its first name.
    fn hand_over(&mut self, gone: &TreePath, old: Node) {
        let is_link = |node: &Node| matches!(&node.kind, NodeKind::Hardlink(to) if to == gone);
        let links: Vec<TreePath> =
            self.nodes.iter().filter(|(_, node)| is_link(node)).map(|(path, _)| path.clone()).collect();
        let mut links = links.into_iter();
        let Some(first) = links.next() else { return };
        for link in links {
            self.nodes.entry(link).and_modify(|node| node.kind = NodeKind::Hardlink(first.clone()));
        }
        self.nodes.insert(first, old);
    }
}

/// A path for messages.
pub(crate) fn show(path: &TreePath) -> String {
    String::from_utf8_lossy(&path.0).into_owned()
}

/// The names in a path or link, the last first.
fn names(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).rev().map(<[u8]>::to_vec).collect()
}

/// The path of `name` in a directory.
fn join(dir: &TreePath, name: &[u8]) -> TreePath {
    let mut path = dir.0.clone();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    TreePath(path)
}

/// All directories above `path`, the root first.
fn parents(path: &TreePath) -> impl Iterator<Item = TreePath> {
    let parts: Vec<&[u8]> = path.parts().collect();
    (0..parts.len()).map(move |count| TreePath(parts.get(..count).unwrap_or_default().join(&b'/')))
}
