//! Disk and file system formats.

pub mod content;
pub mod disk;
pub mod ext4;
mod fields;
pub mod region;
pub mod tree;
pub mod tar;
