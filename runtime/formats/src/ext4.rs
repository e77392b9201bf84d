//! ext4 file systems, written from a file tree in one go. Knows nothing of disks, partitions and booting.

pub(crate) const BLOCK: u64 = 4096;

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
    #[error("{bytes} bytes are too many: the root file system is limited to 16 TiB")]
    TooLarge {
        /// What was asked.
        bytes: u64,
    },
    /// More files than the file system can have inodes.
    #[error("the image has {files} files, but a file system of this size holds at most {room}")]
    TooManyFiles {
        /// How many there are.
        files: u64,
        /// How many could be.
        room: u64,
    },
}
