//! The blocks of a directory: entries one after another, the last of a block reaching to its checksum.

use super::checksum::crc32c;
use crate::fields::{low16, put, put16, put32};

const BLOCK_LEN: usize = 4096;
/// The last 12 bytes of a block look like an unused entry and hold its checksum.
const TAIL: usize = BLOCK_LEN - 12;
const HEADER: usize = 8;

/// The kind that a directory entry repeats of its inode.
#[derive(Debug, Clone, Copy)]
pub(super) enum EntryType {
    File = 1,
    Dir = 2,
    Fifo = 5,
    Symlink = 7,
}

/// One name in a directory.
#[derive(Debug)]
pub(super) struct DirEntry<'a> {
    pub(super) inode: u32,
    pub(super) kind: EntryType,
    /// At most 255 bytes.
    pub(super) name: &'a [u8],
}

/// How many blocks entries with these names take, `.` and `..` among them.
pub(super) fn blocks<'a>(names: impl Iterator<Item = &'a [u8]>) -> u64 {
    let mut blocks = 1;
    let mut at = 0;
    for name in names {
        if at + entry_len(name) > TAIL {
            blocks += 1;
            at = 0;
        }
        at += entry_len(name);
    }
    blocks
}

/// All blocks of a directory; `least` is how many there are at least. `seed` is the checksum seed of its inode.
pub(super) fn encode(entries: &[DirEntry<'_>], least: usize, seed: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let mut block = Packer::new();
    for entry in entries {
        if block.at + entry_len(entry.name) > TAIL {
            out.extend_from_slice(&block.finish(seed));
            block = Packer::new();
        }
        block.push(entry);
    }
    out.extend_from_slice(&block.finish(seed));
    while out.len() < least * BLOCK_LEN {
        out.extend_from_slice(&Packer::new().finish(seed));
    }
    out
}

fn entry_len(name: &[u8]) -> usize {
    (HEADER + name.len()).next_multiple_of(4)
}

struct Packer {
    bytes: [u8; BLOCK_LEN],
    last: usize,
    at: usize,
}

impl Packer {
    fn new() -> Self {
        Self { bytes: [0; BLOCK_LEN], last: 0, at: 0 }
    }

    fn push(&mut self, entry: &DirEntry<'_>) {
        let len = entry_len(entry.name);
        put32(&mut self.bytes, self.at, entry.inode);
        put16(&mut self.bytes, self.at + 4, low16(len as u64));
        put(&mut self.bytes, self.at + 6, &[u8::try_from(entry.name.len()).unwrap_or(u8::MAX), entry.kind as u8]);
        put(&mut self.bytes, self.at + HEADER, entry.name);
        self.last = self.at;
        self.at += len;
    }

    fn finish(mut self, seed: u32) -> [u8; BLOCK_LEN] {
        put16(&mut self.bytes, self.last + 4, low16((TAIL - self.last) as u64));
        let sum = crc32c(seed, self.bytes.get(..TAIL).unwrap_or_default());
        put16(&mut self.bytes, TAIL + 4, 12);
        put(&mut self.bytes, TAIL + 7, &[0xde]);
        put32(&mut self.bytes, TAIL + 8, sum);
        self.bytes
    }
}
