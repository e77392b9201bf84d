//! Gives every node of a tree its inode number and its blocks. Reads no file.

use std::collections::BTreeMap;

use imgc_store::TreePath;

use super::allocate::{Allocator, Extent};
use super::directory::{self, EntryType};
use super::extent::{self, ExtentTree, ROOT};
use super::geometry::Geometry;
use super::superblock::{Contents, RESERVED, covered};
use super::{BLOCK, Ext4Error, FIRST_INODE, LOST_AND_FOUND, journal, xattr};
use crate::tree::{Content, FileTree, Node, NodeKind, show};

const ROOT_INODE: u32 = 2;
/// `e2fsck` wants blocks in it before it needs them.
const LOST_AND_FOUND_BLOCKS: u64 = 4;
/// Longer ones need a block of their own.
const MAX_SHORT_SYMLINK: usize = ROOT - 1;
const MAX_LINKS: u64 = 65_000;

/// Everything in its place.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) geometry: Geometry,
    pub(super) inodes: Vec<Planned<'a>>,
    pub(super) journal: Option<Placed>,
    /// The block through which the inode for growing leads to the reserved descriptor blocks.
    pub(super) growth: u64,
    pub(super) contents: Contents,
}

/// Blocks with their extent tree.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) extents: Vec<Extent>,
    pub(super) tree: ExtentTree,
}

impl Placed {
    /// Takes `count` blocks.
    fn take(count: u64, allocator: &mut Allocator<'_>) -> Option<Self> {
        let extents = allocator.take(count)?;
        let tree = extent::lay_out(&extents, allocator)?;
        Some(Self { extents, tree })
    }

    /// Data and tree, in units of 512 bytes.
    pub(super) fn sectors(&self) -> u64 {
        (covered(&self.extents) + self.tree.blocks.len() as u64) * (BLOCK / 512)
    }
}

/// One inode.
#[derive(Debug)]
pub(super) struct Planned<'a> {
    pub(super) number: u32,
    pub(super) path: &'a TreePath,
    pub(super) node: &'a Node,
    pub(super) parent: u32,
    /// Names pointing here; for a directory, with its own and those of its subdirectories.
    pub(super) links: u64,
    /// In a directory: name, inode, kind; sorted by name.
    pub(super) entries: Vec<(&'a [u8], u32, EntryType)>,
    pub(super) xattrs: xattr::Xattrs,
    pub(super) xattr_block: u64,
    /// `None`: nothing outside of the inode.
    pub(super) placed: Option<Placed>,
}

impl Planned<'_> {
    fn is_dir(&self) -> bool {
        self.node.is_dir()
    }

    /// Blocks of its own, without those of its extent tree.
    pub(super) fn blocks(&self) -> u64 {
        match &self.node.kind {
            NodeKind::Dir => {
                let own: [&[u8]; 2] = [b".", b".."];
                let names = own.into_iter().chain(self.entries.iter().map(|(name, ..)| *name));
                let least = if self.number == FIRST_INODE { LOST_AND_FOUND_BLOCKS } else { 1 };
                directory::blocks(names).max(least)
            }
            NodeKind::File(content) => content.size().div_ceil(BLOCK),
            NodeKind::Symlink(target) => u64::from(target.len() > MAX_SHORT_SYMLINK),
            NodeKind::Fifo | NodeKind::Hardlink(_) => 0,
        }
    }

    /// What stands as its size in the inode.
    pub(super) fn size(&self) -> u64 {
        match &self.node.kind {
            NodeKind::Dir => self.blocks() * BLOCK,
            NodeKind::File(content) => content.size(),
            NodeKind::Symlink(target) => target.len() as u64,
            NodeKind::Fifo | NodeKind::Hardlink(_) => 0,
        }
    }

    pub(super) fn content(&self) -> Option<&Content> {
        match &self.node.kind {
            NodeKind::File(content) => Some(content),
            NodeKind::Dir | NodeKind::Symlink(_) | NodeKind::Hardlink(_) | NodeKind::Fifo => None,
        }
    }
}

/// How many bytes of files and directories a file system on `bytes` with that many files has room for.
pub(super) fn capacity(bytes: u64, inodes: u64) -> Result<u64, Ext4Error> {
    let geometry = Geometry::new(bytes, inodes)?;
    let kept = journal::blocks(geometry.blocks) + geometry.blocks / RESERVED + 1;
    Ok(geometry.total_room().saturating_sub(kept) * BLOCK)
}

/// Places `tree`, in which `lost+found` is, on `bytes`.
pub(super) fn plan(tree: &FileTree, bytes: u64) -> Result<Plan<'_>, Ext4Error> {
    let mut inodes = number(tree)?;
    let count = u64::from(FIRST_INODE) + inodes.len() as u64;
    let needs =
        inodes.iter().map(|inode| inode.blocks() + u64::from(inode.xattrs.in_block.is_some())).sum::<u64>() * BLOCK;
    let full = |needs| Ext4Error::Full { needs, leaves: capacity(bytes, count).unwrap_or_default(), inodes: count };
    let geometry = match Geometry::new(bytes, count) {
        Err(Ext4Error::TooSmall { .. }) => return Err(full(needs)),
        geometry => geometry?,
    };
    if capacity(bytes, count)? < needs {
        return Err(full(needs));
    }
    let mut allocator = Allocator::new(&geometry);
    let growth = allocator.take_one().ok_or_else(|| full(needs))?;
    // Only trees of extents are not counted yet; they are small beside the reserve.
    let journal = place(&mut inodes, &geometry, &mut allocator).ok_or_else(|| full(needs + needs / 100))?;
    let journal = Some(journal).filter(|placed| !placed.extents.is_empty());
    let contents = Contents {
        position: allocator.position(),
        last_inode: inodes.iter().map(|inode| u64::from(inode.number)).max().unwrap_or_default(),
        dirs: inodes.iter().filter(|inode| inode.is_dir()).map(|inode| inode.number).collect(),
        journal: journal.as_ref().map(|placed| (placed.tree.root, covered(&placed.extents) * BLOCK)),
    };
    Ok(Plan { geometry, inodes, journal, growth, contents })
}

/// Gives all their blocks: the journal, which it returns, directories and the like, then files. `None` when the disk is
/// full.
fn place(inodes: &mut [Planned<'_>], geometry: &Geometry, allocator: &mut Allocator<'_>) -> Option<Placed> {
    let journal = Placed::take(journal::blocks(geometry.blocks), allocator)?;
    for inode in inodes.iter_mut() {
        if inode.xattrs.in_block.is_some() {
            inode.xattr_block = allocator.take_one()?;
        }
        let blocks = inode.blocks();
        if blocks > 0 && inode.content().is_none() {
            inode.placed = Some(Placed::take(blocks, allocator)?);
        }
    }
    for inode in inodes.iter_mut().filter(|inode| inode.content().is_some()) {
        inode.placed = Some(Placed::take(inode.blocks(), allocator)?);
    }
    Some(journal)
}

/// All inodes by number, with names and links counted.
fn number(tree: &FileTree) -> Result<Vec<Planned<'_>>, Ext4Error> {
    let mut inodes = Vec::new();
    let mut index_of = BTreeMap::new();
    let mut next = FIRST_INODE + 1;
    for (path, node) in tree.nodes() {
        if matches!(node.kind, NodeKind::Hardlink(_)) {
            continue;
        }
        let number = match path.0.as_slice() {
            b"" => ROOT_INODE,
            LOST_AND_FOUND => FIRST_INODE,
            _ => next,
        };
        next = next
            .checked_add(u32::from(number == next))
            .ok_or(Ext4Error::TooManyFiles { files: tree.nodes().len() as u64, room: u64::from(u32::MAX) })?;
        let xattrs = xattr::encode(&show(path), &node.xattrs)?;
        let links = if node.is_dir() { 2 } else { 0 };
        index_of.insert(path, inodes.len());
        inodes.push(Planned {
            number,
            path,
            node,
            parent: ROOT_INODE,
            links,
            entries: Vec::new(),
            xattrs,
            xattr_block: 0,
            placed: None,
        });
    }
    link(tree, &mut inodes, &index_of);
    check(&inodes)?;
    inodes.sort_by_key(|inode| inode.number);
    Ok(inodes)
}

/// Enters every node in its directory.
fn link<'a>(tree: &'a FileTree, inodes: &mut [Planned<'a>], index_of: &BTreeMap<&TreePath, usize>) {
    for (path, node) in tree.nodes().skip(1) {
        let target = if let NodeKind::Hardlink(to) = &node.kind { to } else { path };
        let (parent, name) = split(path);
        let Some(parent) = index_of.get(&parent).copied() else { continue };
        let parent_number = inodes.get(parent).map_or(ROOT_INODE, |parent| parent.number);
        let Some(child) = index_of.get(target).and_then(|index| inodes.get_mut(*index)) else { continue };
        let (number, is_dir) = (child.number, child.is_dir());
        child.parent = parent_number;
        if !is_dir {
            child.links += 1;
        }
        let kind = match &child.node.kind {
            NodeKind::Dir => EntryType::Dir,
            NodeKind::File(_) | NodeKind::Hardlink(_) => EntryType::File,
            NodeKind::Symlink(_) => EntryType::Symlink,
            NodeKind::Fifo => EntryType::Fifo,
        };
        if let Some(parent) = inodes.get_mut(parent) {
            parent.links += u64::from(is_dir);
            parent.entries.push((name, number, kind));
        }
    }
}

fn check(inodes: &[Planned<'_>]) -> Result<(), Ext4Error> {
    for inode in inodes {
        if inode.number == FIRST_INODE && !inode.is_dir() {
            return Err(Ext4Error::LostAndFound);
        }
        if !inode.is_dir() && inode.links > MAX_LINKS {
            return Err(Ext4Error::TooManyLinks { path: show(inode.path), links: inode.links });
        }
        if let NodeKind::Symlink(target) = &inode.node.kind
            && (target.is_empty() || target.len() as u64 >= BLOCK || target.contains(&0))
        {
            return Err(Ext4Error::Symlink { path: show(inode.path) });
        }
    }
    Ok(())
}

/// The directory and the name of a path.
fn split(path: &TreePath) -> (TreePath, &[u8]) {
    match path.0.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (TreePath(path.0.get(..at).unwrap_or_default().to_vec()), path.0.get(at + 1..).unwrap_or_default()),
        None => (TreePath(Vec::new()), &path.0),
    }
}
