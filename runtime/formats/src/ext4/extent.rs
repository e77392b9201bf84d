//! The tree of extents of one file: up to four in the inode, else in blocks of their own.

use super::BLOCK;
use super::allocate::{Allocator, Extent};
use super::checksum::crc32c;
use crate::fields::{low16, low32, put16, put32};

/// The 60 bytes of an inode that hold an extent tree's root, a short symbolic link or nothing.
pub(super) const ROOT: usize = 60;
const IN_ROOT: usize = 4;
const IN_BLOCK: usize = 340;
const HEADER: usize = 12;
const ENTRY: usize = 12;
const MAGIC: u16 = 0xf30a;

/// An extent tree ready to be written.
#[derive(Debug)]
pub(super) struct ExtentTree {
    /// What the inode holds.
    pub(super) root: [u8; ROOT],
    /// Blocks below the root, still without checksums.
    pub(super) blocks: Vec<(u64, Vec<u8>)>,
}

/// Lays out the tree of `extents`; `None` when the disk is full.
pub(super) fn lay_out(extents: &[Extent], allocator: &mut Allocator<'_>) -> Option<ExtentTree> {
    let mut level: Vec<[u8; ENTRY]> = extents.iter().map(leaf).collect();
    let mut firsts: Vec<u64> = extents.iter().map(|extent| extent.logical).collect();
    let mut blocks = Vec::new();
    let mut depth = 0;
    while level.len() > IN_ROOT {
        let mut above = Vec::new();
        for entries in level.chunks(IN_BLOCK) {
            let block = allocator.take_one()?;
            let mut bytes = vec![0; usize::try_from(BLOCK).ok()?];
            fill(&mut bytes, entries, IN_BLOCK, depth);
            blocks.push((block, bytes));
            above.push(block);
        }
        firsts = firsts.iter().step_by(IN_BLOCK).copied().collect();
        level = firsts.iter().zip(&above).map(|(first, block)| index(*first, *block)).collect();
        depth += 1;
    }
    let mut root = [0; ROOT];
    fill(&mut root, &level, IN_ROOT, depth);
    Some(ExtentTree { root, blocks })
}

/// Puts the checksum behind the entries of a block; `seed` is that of the inode.
pub(super) fn seal(block: &mut [u8], seed: u32) {
    let tail = HEADER + IN_BLOCK * ENTRY;
    let sum = crc32c(seed, block.get(..tail).unwrap_or_default());
    put32(block, tail, sum);
}

fn leaf(extent: &Extent) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    put32(&mut entry, 0, low32(extent.logical));
    put16(&mut entry, 4, low16(extent.len));
    put16(&mut entry, 6, low16(extent.physical >> 32));
    put32(&mut entry, 8, low32(extent.physical));
    entry
}

fn index(first: u64, block: u64) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    put32(&mut entry, 0, low32(first));
    put32(&mut entry, 4, low32(block));
    put16(&mut entry, 8, low16(block >> 32));
    entry
}

fn fill(bytes: &mut [u8], entries: &[[u8; ENTRY]], max: usize, depth: u16) {
    put16(bytes, 0, MAGIC);
    put16(bytes, 2, low16(entries.len() as u64));
    put16(bytes, 4, low16(max as u64));
    put16(bytes, 6, depth);
    for (slot, entry) in bytes.get_mut(HEADER..).unwrap_or_default().chunks_exact_mut(ENTRY).zip(entries) {
        slot.copy_from_slice(entry);
    }
}
