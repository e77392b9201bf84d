//! The journal: how large, and its first block. It is empty, so nothing else in it counts.

use super::BLOCK;
use crate::fields::{low32, put, put32_be};

const MAGIC: u32 = 0xc03b_3998;
const SUPERBLOCK_V2: u32 = 4;

/// How many blocks the journal of a file system of so many blocks has; the sizes of `mke2fs`. Zero: no journal.
pub(super) fn blocks(file_system: u64) -> u64 {
    match file_system {
        0..2048 => 0,
        2048..32_768 => 1024,
        32_768..262_144 => 4096,
        262_144..524_288 => 8192,
        524_288..4_194_304 => 16_384,
        4_194_304..8_388_608 => 32_768,
        8_388_608..16_777_216 => 65_536,
        16_777_216..33_554_432 => 131_072,
        33_554_432.. => 262_144,
    }
}

/// The first block of an empty journal (`journal_superblock_t` of jbd2, big-endian).
pub(super) fn superblock(blocks: u64, uuid: &[u8; 16]) -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    put32_be(&mut bytes, 0, MAGIC);
    put32_be(&mut bytes, 4, SUPERBLOCK_V2);
    put32_be(&mut bytes, 12, low32(BLOCK));
    put32_be(&mut bytes, 16, low32(blocks));
    // First block of log, first expected commit; a start of zero says that the log is empty.
    put32_be(&mut bytes, 20, 1);
    put32_be(&mut bytes, 24, 1);
    put(&mut bytes, 48, uuid);
    put32_be(&mut bytes, 64, 1);
    bytes
}
