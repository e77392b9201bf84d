//! Disk and file system formats.

pub mod disk;
pub mod ext4;
pub mod tar;
pub mod tree;
