//! Disk and file system formats.

mod boot;
pub mod compress;
pub mod content;
pub mod direct;
pub mod disk;
pub mod ext4;
mod fat;
mod fields;
mod gpt;
mod identity;
pub mod iso9660;
pub mod qcow2;
pub mod region;
pub mod tar;
pub mod tree;
