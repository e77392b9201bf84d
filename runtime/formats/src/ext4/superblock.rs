//! The superblock, the group descriptors and the bitmaps.

use super::allocate::Extent;
use super::checksum::crc32c;
use super::extent::ROOT;
use super::geometry::{BLOCKS_PER_GROUP, DESCRIPTOR_SIZE, Geometry, INODE_SIZE};
use super::{Ext4Options, FIRST_INODE};
use crate::fields::{low16, low32, put, put16, put32, set_bits};

const COMPAT: u32 = 0x4 | 0x8 | 0x10 | 0x20; // has_journal, ext_attr, resize_inode, dir_index
const HAS_JOURNAL: u32 = 0x4;
const INCOMPAT: u32 = 0x2 | 0x40 | 0x80 | 0x200; // filetype, extents, 64bit, flex_bg
// sparse_super, large_file, huge_file, dir_nlink, extra_isize, metadata_csum
const RO_COMPAT: u32 = 0x1 | 0x2 | 0x8 | 0x20 | 0x40 | 0x400;
const JOURNAL_INODE: u32 = 8;
/// One block in so many is kept for root.
pub(super) const RESERVED: u64 = 100;

/// What the file system holds, once everything has its place.
#[derive(Debug)]
pub(super) struct Contents {
    /// Blocks that may hold files and are not below it are free.
    pub(super) position: u64,
    /// The highest inode in use.
    pub(super) last_inode: u64,
    /// The inodes that are directories, ascending.
    pub(super) dirs: Vec<u32>,
    /// The journal's inode fields, which the superblock repeats: root of extents and size.
    pub(super) journal: Option<([u8; ROOT], u64)>,
}

impl Contents {
    fn free_blocks(&self, geometry: &Geometry, group: u64) -> u64 {
        let room = geometry.room(group);
        room.end - room.start.max(self.position).min(room.end)
    }

    fn used_inodes(&self, geometry: &Geometry, group: u64) -> u64 {
        self.last_inode.saturating_sub(group * geometry.inodes_per_group).min(geometry.inodes_per_group)
    }

    fn used_dirs(&self, geometry: &Geometry, group: u64) -> u64 {
        let below = |inode: u64| self.dirs.partition_point(|dir| u64::from(*dir) <= inode) as u64;
        below((group + 1) * geometry.inodes_per_group) - below(group * geometry.inodes_per_group)
    }
}

/// The superblock as it stands in the copy of `group`: 1024 bytes.
pub(super) fn superblock(options: &Ext4Options, geometry: &Geometry, contents: &Contents, group: u64) -> Vec<u8> {
    let free_blocks: u64 = (0..geometry.groups).map(|group| contents.free_blocks(geometry, group)).sum();
    let epoch = low32(options.epoch.clamp(0, i64::from(u32::MAX)).cast_unsigned());
    let mut sb = vec![0; 1024];
    put32(&mut sb, 0, low32(geometry.inodes()));
    put32(&mut sb, 4, low32(geometry.blocks));
    put32(&mut sb, 8, low32(geometry.blocks / RESERVED));
    put32(&mut sb, 12, low32(free_blocks));
    put32(&mut sb, 16, low32(geometry.inodes() - contents.last_inode));
    put32(&mut sb, 24, 2); // log2 of block size, above 1024
    put32(&mut sb, 28, 2);
    put32(&mut sb, 32, low32(BLOCKS_PER_GROUP));
    put32(&mut sb, 36, low32(BLOCKS_PER_GROUP));
    put32(&mut sb, 40, low32(geometry.inodes_per_group));
    put32(&mut sb, 48, epoch); // written
    put16(&mut sb, 54, u16::MAX); // no check after some number of mounts
    put16(&mut sb, 56, 0xef53);
    put16(&mut sb, 58, 1); // clean
    put16(&mut sb, 60, 1); // continue on errors
    put32(&mut sb, 64, epoch); // checked
    put32(&mut sb, 76, 1); // revision
    put32(&mut sb, 84, FIRST_INODE);
    put16(&mut sb, 88, low16(INODE_SIZE));
    put16(&mut sb, 90, low16(group));
    put32(&mut sb, 92, if contents.journal.is_some() { COMPAT } else { COMPAT & !HAS_JOURNAL });
    put32(&mut sb, 96, INCOMPAT);
    put32(&mut sb, 100, RO_COMPAT);
    put(&mut sb, 104, &options.uuid);
    put16(&mut sb, 0xce, low16(geometry.reserved_descriptor_blocks()));
    put(&mut sb, 0xec, &options.hash_seed);
    put(&mut sb, 0xfc, &[1]); // half MD4
    put16(&mut sb, 0xfe, low16(DESCRIPTOR_SIZE));
    put32(&mut sb, 0x100, 0xc); // mount with user_xattr and acl
    put32(&mut sb, 0x108, epoch); // made
    if let Some((root, size)) = &contents.journal {
        put32(&mut sb, 0xe0, JOURNAL_INODE);
        put(&mut sb, 0xfd, &[1]); // what follows is a copy of the journal's inode
        put(&mut sb, 0x10c, root);
        put32(&mut sb, 0x10c + ROOT, low32(size >> 32));
        put32(&mut sb, 0x10c + ROOT + 4, low32(*size));
    }
    put16(&mut sb, 0x15c, 32); // extra inode size: least and wanted
    put16(&mut sb, 0x15e, 32);
    put32(&mut sb, 0x160, 1); // hashes take bytes as signed, as on x86
    put(&mut sb, 0x174, &[geometry.flex_log, 1]); // and the checksum is CRC-32C
    let sum = crc32c(!0, sb.get(..1020).unwrap_or_default());
    put32(&mut sb, 1020, sum);
    sb
}

/// The bitmaps of one group: blocks, then inodes.
pub(super) fn bitmaps(geometry: &Geometry, contents: &Contents, group: u64) -> (Vec<u8>, Vec<u8>) {
    let block_len = index(BLOCKS_PER_GROUP / 8);
    let (mut blocks, mut inodes) = (vec![0; block_len], vec![0; block_len]);
    let all = geometry.group(group);
    let free = index(contents.free_blocks(geometry, group));
    let len = index(all.end - all.start);
    set_bits(&mut blocks, 0, len - free);
    set_bits(&mut blocks, len, block_len * 8);
    set_bits(&mut inodes, 0, index(contents.used_inodes(geometry, group)));
    set_bits(&mut inodes, index(geometry.inodes_per_group), block_len * 8);
    (blocks, inodes)
}

/// All group descriptors.
pub(super) fn descriptors(geometry: &Geometry, contents: &Contents, seed: u32) -> Vec<u8> {
    let mut all = Vec::new();
    for group in 0..geometry.groups {
        all.extend_from_slice(&descriptor(geometry, contents, seed, group));
    }
    all
}

fn descriptor(geometry: &Geometry, contents: &Contents, seed: u32, group: u64) -> [u8; 64] {
    const ITABLE_ZEROED: u16 = 4;
    let (blocks, inodes) = bitmaps(geometry, contents, group);
    let inode_bytes = index(geometry.inodes_per_group / 8);
    let block_sum = crc32c(seed, &blocks);
    let inode_sum = crc32c(seed, inodes.get(..inode_bytes).unwrap_or_default());
    let unused_inodes = geometry.inodes_per_group - contents.used_inodes(geometry, group);
    let mut d = [0; 64];
    put32(&mut d, 0, low32(geometry.block_bitmap(group)));
    put32(&mut d, 4, low32(geometry.inode_bitmap(group)));
    put32(&mut d, 8, low32(geometry.inode_table(group)));
    put16(&mut d, 12, low16(contents.free_blocks(geometry, group)));
    put16(&mut d, 14, low16(unused_inodes));
    put16(&mut d, 16, low16(contents.used_dirs(geometry, group)));
    // Tables are holes and so are zero: the kernel has nothing to initialise in the background.
    put16(&mut d, 18, ITABLE_ZEROED);
    put16(&mut d, 24, low16(u64::from(block_sum)));
    put16(&mut d, 26, low16(u64::from(inode_sum)));
    put16(&mut d, 28, low16(unused_inodes));
    put16(&mut d, 56, low16(u64::from(block_sum) >> 16));
    put16(&mut d, 58, low16(u64::from(inode_sum) >> 16));
    let sum = crc32c(crc32c(seed, &low32(group).to_le_bytes()), &d);
    put16(&mut d, 30, low16(u64::from(sum)));
    d
}

/// How many blocks a list of extents covers.
pub(super) fn covered(extents: &[Extent]) -> u64 {
    extents.iter().map(|extent| extent.len).sum()
}

/// A number of at most one group's bits as an index.
fn index(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
