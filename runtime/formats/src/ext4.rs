//! ext4 file systems, written from a file tree in one go. Knows nothing of disks, partitions and booting.
//!
//! Blocks of 4 KiB, inodes of 256 bytes; extents, flexible block groups, checksums over all metadata, an empty journal
//! of the size that `mke2fs` would choose, and room for the descriptors of a file system grown 1024 times. Directories are linear: the kernel indexes those that grow. One block in a
//! hundred is kept for root. Layout in `geometry`, numbers and places in `plan`, bytes in `write`.

use std::io;

use imgc_store::TreePath;

use crate::content::ContentError;
use crate::region::Region;
use crate::tree::{FileTree, Node, NodeKind, TreeError};

mod allocate;
mod checksum;
mod directory;
mod extent;
mod geometry;
mod growth;
mod inode;
mod journal;
mod plan;
mod superblock;
mod write;
mod xattr;

const BLOCK: u64 = 4096;
/// The first inode that is not reserved; by custom it is `lost+found`.
const FIRST_INODE: u32 = 11;
const LOST_AND_FOUND: &[u8] = b"lost+found";

/// What a file system is made with besides its files.
#[derive(Debug, Clone)]
pub struct Ext4Options {
    /// Its UUID, as bytes in the order they are printed.
    pub uuid: [u8; 16],
    /// What the hashes of file names start from; a UUID.
    pub hash_seed: [u8; 16],
    /// Seconds since 1970: when it was made, and the change time of every inode.
    pub epoch: i64,
}

/// Why there is no file system.
#[derive(Debug, thiserror::Error)]
pub enum Ext4Error {
    /// Not even the metadata fit.
    #[error("{bytes} bytes are too few for an ext4 file system")]
    TooSmall {
        /// What there is.
        bytes: u64,
    },
    /// More than 16 TiB.
    #[error("{bytes} bytes are too many for an ext4 file system of ours: the limit is 16 TiB")]
    TooLarge {
        /// What was asked.
        bytes: u64,
    },
    /// More files than the file system can have inodes.
    #[error("{files} files are too many for a file system of this size: it holds at most {room}")]
    TooManyFiles {
        /// How many there are.
        files: u64,
        /// How many could be.
        room: u64,
    },
    /// The files do not fit.
    #[error("the files need {needs} bytes, but the file system leaves {leaves}")]
    Full {
        /// In bytes.
        needs: u64,
        /// In bytes, without journal and reserve.
        leaves: u64,
        /// How many inodes they need.
        inodes: u64,
    },
    /// An extended attribute of a kind that ext4 does not store.
    #[error("`/{path}` has the extended attribute `{name}`, which ext4 cannot hold with this value")]
    Xattr {
        /// The file.
        path: String,
        /// The attribute.
        name: String,
    },
    /// Too many extended attributes.
    #[error("the extended attributes of `/{path}` are larger than the 4 KiB that ext4 has for them")]
    XattrsTooLarge {
        /// The file.
        path: String,
    },
    /// Too many names for one file.
    #[error("`/{path}` has {links} names; ext4 allows 65000")]
    TooManyLinks {
        /// The first name.
        path: String,
        /// How many there are.
        links: u64,
    },
    /// A symbolic link that cannot be.
    #[error("the symbolic link `/{path}` is empty, or longer than the 4095 bytes that ext4 has for it")]
    Symlink {
        /// The link.
        path: String,
    },
    /// The name that ext4 needs is taken.
    #[error("`/lost+found` is not a directory, which ext4 needs it to be")]
    LostAndFound,
    /// A file could not be copied.
    #[error(transparent)]
    Content(ContentError),
    /// The file system could not be written.
    #[error("cannot write the file system")]
    Write(#[source] io::Error),
}

/// Writes a file system with `tree` over all of `region`, which must read as zeros.
///
/// # Errors
/// See [`Ext4Error`]; what was written then is useless.
pub fn write(mut tree: FileTree, options: &Ext4Options, region: Region<'_>) -> Result<(), Ext4Error> {
    let lost_and_found = TreePath(LOST_AND_FOUND.to_vec());
    if tree.get(&lost_and_found).is_none() {
        let node = Node::of_root(NodeKind::Dir, 0o700, options.epoch);
        tree.insert(&lost_and_found, node).map_err(|_: TreeError| Ext4Error::LostAndFound)?;
    }
    let plan = plan::plan(&tree, region.len())?;
    write::Writer::new(&plan, options, region).write()
}

/// How many bytes of files and directories a file system over `bytes` with that many inodes has room for.
///
/// # Errors
/// It is too small or too large to be one.
pub fn capacity(bytes: u64, inodes: u64) -> Result<u64, Ext4Error> {
    plan::capacity(bytes, inodes)
}
