//! Disk and file system formats.

pub mod disk;
pub mod ext4;
pub mod tree;
pub mod tar;
