//! The inode that owns the blocks reserved for more group descriptors (`resize_inode`), so that a mounted file system can
//! grow without changing its layout.
//!
//! It is a file of the old kind. Its doubly indirect block names the reserved blocks of the first group, and each of
//! these, as an indirect block, names its counterparts in the groups with copies (`ext2fs_create_resize_inode` of
//! e2fsprogs).

use super::BLOCK;
use super::extent::ROOT;
use super::geometry::{BLOCKS_PER_GROUP, Geometry};
use crate::fields::{low32, put32};

pub(super) const INODE: u32 = 7;
/// How many block numbers one block holds.
const NUMBERS: u64 = BLOCK / 4;
/// As if all blocks up to the end of the doubly indirect one were there.
pub(super) const SIZE: u64 = (12 + NUMBERS + NUMBERS * NUMBERS) * BLOCK;
/// Where an inode names its doubly indirect block.
const DOUBLY_INDIRECT: usize = 13 * 4;

/// What the inode holds, when its doubly indirect block is `block`.
pub(super) fn root(block: u64) -> [u8; ROOT] {
    let mut root = [0; ROOT];
    put32(&mut root, DOUBLY_INDIRECT, low32(block));
    root
}

/// How many blocks the inode owns.
pub(super) fn block_count(geometry: &Geometry) -> u64 {
    1 + geometry.reserved_descriptor_blocks() * (1 + copies(geometry).count() as u64)
}

/// The doubly indirect block, which is `block`, and all that it names in the first group.
pub(super) fn blocks(geometry: &Geometry, block: u64) -> impl Iterator<Item = (u64, Vec<u8>)> {
    let used = geometry.descriptor_blocks();
    let reserved = (0..geometry.reserved_descriptor_blocks()).map(move |index| used + index);
    let mut names = vec![0; BLOCK_LEN];
    for index in reserved.clone() {
        // Behind the superblock; placed as if the descriptors in use were named, too.
        let slot = usize::try_from(index % NUMBERS).unwrap_or_default();
        put32(&mut names, slot * 4, low32(1 + index));
    }
    let groups: Vec<u64> = copies(geometry).collect();
    let indirect = reserved.map(move |index| {
        let mut bytes = vec![0; BLOCK_LEN];
        for (slot, group) in groups.iter().enumerate() {
            put32(&mut bytes, slot * 4, low32(group * BLOCKS_PER_GROUP + 1 + index));
        }
        (1 + index, bytes)
    });
    std::iter::once((block, names)).chain(indirect)
}

const BLOCK_LEN: usize = 4096;

/// The groups with copies of superblock and descriptors, ascending.
fn copies(geometry: &Geometry) -> impl Iterator<Item = u64> {
    (1..geometry.groups).filter(|group| Geometry::has_super(*group))
}
