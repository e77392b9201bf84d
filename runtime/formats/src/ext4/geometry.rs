//! Where block groups and their metadata lie. Knows sizes only, nothing of files.
//!
//! Bitmaps and inode tables of up to 16 groups stand together in the first of them (`flex_bg`), so that files are
//! cut by metadata only every 2 GiB; copies of the superblock and group descriptors stand in group 1 and in the powers
//! of 3, 5 and 7 (`sparse_super`).

use std::ops::Range;

use super::{BLOCK, Ext4Error};

pub(super) const BLOCKS_PER_GROUP: u64 = 8 * BLOCK;
pub(super) const INODES_PER_BLOCK: u64 = BLOCK / INODE_SIZE;
pub(super) const INODE_SIZE: u64 = 256;
pub(super) const DESCRIPTOR_SIZE: u64 = 64;
/// Disk space for which one inode is made; the default of `mke2fs`.
const BYTES_PER_INODE: u64 = 16384;
const MAX_INODES_PER_GROUP: u64 = 8 * BLOCK;
/// A last group with less room than this for files is left out.
const LEAST_LAST_GROUP: u64 = 64;

#[derive(Debug, Clone)]
pub(super) struct Geometry {
    /// In blocks of 4 KiB.
    pub(super) blocks: u64,
    pub(super) groups: u64,
    pub(super) inodes_per_group: u64,
    pub(super) flex_log: u8,
}

impl Geometry {
    /// For `bytes` of space and at least `inodes` inodes.
    pub(super) fn new(bytes: u64, inodes: u64) -> Result<Self, Ext4Error> {
        let mut blocks = bytes / BLOCK;
        loop {
            let geometry = Self::for_blocks(blocks, inodes)?;
            let last = geometry.groups - 1;
            if geometry.group(last).end - geometry.group(last).start >= geometry.metadata(last) + LEAST_LAST_GROUP {
                return Ok(geometry);
            }
            if last == 0 {
                return Err(Ext4Error::TooSmall { bytes });
            }
            blocks = last * BLOCKS_PER_GROUP;
        }
    }

    fn for_blocks(blocks: u64, inodes: u64) -> Result<Self, Ext4Error> {
        // Block and inode numbers here are kept below 32 bits.
        let groups = blocks.div_ceil(BLOCKS_PER_GROUP);
        if groups == 0 {
            return Err(Ext4Error::TooSmall { bytes: blocks * BLOCK });
        }
        let wanted = (blocks * BLOCK / BYTES_PER_INODE).max(inodes);
        let inodes_per_group = wanted.div_ceil(groups).next_multiple_of(INODES_PER_BLOCK);
        if inodes_per_group > MAX_INODES_PER_GROUP || groups * inodes_per_group > u64::from(u32::MAX) {
            return Err(Ext4Error::TooManyFiles { files: inodes, room: groups * MAX_INODES_PER_GROUP });
        }
        if blocks > u64::from(u32::MAX) {
            return Err(Ext4Error::TooLarge { bytes: blocks * BLOCK });
        }
        let mut geometry = Self { blocks, groups, inodes_per_group, flex_log: 4 };
        while geometry.flex_log > 0 && geometry.flex() * geometry.tables() > BLOCKS_PER_GROUP / 2 {
            geometry.flex_log -= 1;
        }
        Ok(geometry)
    }

    pub(super) fn flex(&self) -> u64 {
        1 << self.flex_log
    }

    pub(super) fn inode_table_blocks(&self) -> u64 {
        self.inodes_per_group / INODES_PER_BLOCK
    }

    pub(super) fn descriptor_blocks(&self) -> u64 {
        (self.groups * DESCRIPTOR_SIZE).div_ceil(BLOCK)
    }

    /// Blocks kept behind each copy of the descriptors, so that the file system can grow to 1024 times its size, as with
    /// `mke2fs`.
    pub(super) fn reserved_descriptor_blocks(&self) -> u64 {
        const MOST: u64 = BLOCK / 4; // what one indirect block can name
        let grown = self.blocks.saturating_mul(1024).min(u64::from(u32::MAX)).div_ceil(BLOCKS_PER_GROUP);
        (grown * DESCRIPTOR_SIZE).div_ceil(BLOCK).saturating_sub(self.descriptor_blocks()).min(MOST)
    }

    pub(super) fn inodes(&self) -> u64 {
        self.groups * self.inodes_per_group
    }

    /// The blocks of a group.
    pub(super) fn group(&self, group: u64) -> Range<u64> {
        let start = group * BLOCKS_PER_GROUP;
        start..(start + BLOCKS_PER_GROUP).min(self.blocks)
    }

    /// Whether the group starts with a copy of superblock and descriptors.
    pub(super) fn has_super(group: u64) -> bool {
        let is_power_of = |base: u64| {
            let mut power = base;
            while power < group {
                power *= base;
            }
            power == group
        };
        group <= 1 || [3, 5, 7].into_iter().any(is_power_of)
    }

    fn super_blocks(&self, group: u64) -> u64 {
        if Self::has_super(group) { 1 + self.descriptor_blocks() + self.reserved_descriptor_blocks() } else { 0 }
    }

    /// Blocks of bitmaps and inode table that each group needs.
    fn tables(&self) -> u64 {
        2 + self.inode_table_blocks()
    }

    /// How many groups have their bitmaps and tables in this one.
    fn hosted(&self, group: u64) -> u64 {
        if group.is_multiple_of(self.flex()) { self.flex().min(self.groups - group) } else { 0 }
    }

    /// How many blocks at the start of a group are metadata.
    pub(super) fn metadata(&self, group: u64) -> u64 {
        self.super_blocks(group) + self.hosted(group) * self.tables()
    }

    /// The first block of bitmaps and tables of the flex group of `group`, how many groups share it, and which of them
    /// `group` is.
    fn tables_of(&self, group: u64) -> (u64, u64, u64) {
        let first = group - group % self.flex();
        (first * BLOCKS_PER_GROUP + self.super_blocks(first), self.hosted(first), group - first)
    }

    pub(super) fn block_bitmap(&self, group: u64) -> u64 {
        let (start, _, index) = self.tables_of(group);
        start + index
    }

    pub(super) fn inode_bitmap(&self, group: u64) -> u64 {
        let (start, hosted, index) = self.tables_of(group);
        start + hosted + index
    }

    pub(super) fn inode_table(&self, group: u64) -> u64 {
        let (start, hosted, index) = self.tables_of(group);
        start + 2 * hosted + index * self.inode_table_blocks()
    }

    /// The blocks of a group that may hold files.
    pub(super) fn room(&self, group: u64) -> Range<u64> {
        let all = self.group(group);
        all.start + self.metadata(group)..all.end
    }

    /// How many blocks may hold files in all.
    pub(super) fn total_room(&self) -> u64 {
        (0..self.groups).map(|group| self.room(group)).map(|room| room.end - room.start).sum()
    }
}
