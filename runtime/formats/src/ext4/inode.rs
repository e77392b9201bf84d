//! One inode of 256 bytes.

use super::checksum::crc32c;
use super::extent::ROOT;
use super::xattr;
use crate::fields::{low16, low32, put, put16, put32};

const SIZE: usize = 256;
const EXTRA: u16 = 32;

/// What an inode says.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) number: u32,
    /// With the bits of its kind.
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds since 1970; access and modification.
    pub(super) mtime: i64,
    /// Seconds since 1970; change and birth.
    pub(super) ctime: i64,
    pub(super) links: u16,
    pub(super) size: u64,
    /// All that belong to it, in units of 512 bytes.
    pub(super) sectors: u64,
    /// Whether `root` is the root of an extent tree.
    pub(super) has_extents: bool,
    pub(super) root: [u8; ROOT],
    /// The block of its extended attributes, or zero.
    pub(super) xattr_block: u64,
    /// From [`xattr::IN_INODE`] on.
    pub(super) xattrs: Vec<u8>,
}

impl Inode {
    /// Its bytes; `seed` is the checksum seed of the file system.
    pub(super) fn encode(&self, seed: u32) -> [u8; SIZE] {
        const EXTENTS: u32 = 0x8_0000;
        let mut bytes = [0; SIZE];
        put16(&mut bytes, 0, self.mode);
        put16(&mut bytes, 2, low16(u64::from(self.uid)));
        put32(&mut bytes, 4, low32(self.size));
        put16(&mut bytes, 24, low16(u64::from(self.gid)));
        put16(&mut bytes, 26, self.links);
        put32(&mut bytes, 28, low32(self.sectors));
        put32(&mut bytes, 32, if self.has_extents { EXTENTS } else { 0 });
        put(&mut bytes, 40, &self.root);
        put32(&mut bytes, 104, low32(self.xattr_block));
        put32(&mut bytes, 108, low32(self.size >> 32));
        put16(&mut bytes, 116, low16(self.sectors >> 32));
        put16(&mut bytes, 118, low16(self.xattr_block >> 32));
        put16(&mut bytes, 120, low16(u64::from(self.uid) >> 16));
        put16(&mut bytes, 122, low16(u64::from(self.gid) >> 16));
        put16(&mut bytes, 128, EXTRA);
        for (at, at_extra, time) in
            [(8, 140, self.mtime), (12, 132, self.ctime), (16, 136, self.mtime), (144, 148, self.ctime)]
        {
            let (seconds, epoch) = time_fields(time);
            put32(&mut bytes, at, seconds);
            put32(&mut bytes, at_extra, epoch);
        }
        put(&mut bytes, xattr::IN_INODE, &self.xattrs);
        let sum = crc32c(checksum_seed(seed, self.number), &bytes);
        put16(&mut bytes, 124, low16(u64::from(sum)));
        put16(&mut bytes, 130, low16(u64::from(sum) >> 16));
        bytes
    }
}

/// What checksums of an inode and of its blocks start from: its number and its generation, which is zero.
pub(super) fn checksum_seed(seed: u32, number: u32) -> u32 {
    crc32c(crc32c(seed, &number.to_le_bytes()), &[0; 4])
}

/// A time as its low 32 bits, signed, and how many times 2³² to add: 1901 to 2310. What ext4 could hold beyond is taken
/// by `e2fsck` for times before 1970 that an old kernel wrote.
fn time_fields(time: i64) -> (u32, u32) {
    let time = time.clamp(i64::from(i32::MIN), i64::from(i32::MAX) + (2 << 32));
    let low = low32(time.cast_unsigned());
    let epoch = (time - i64::from(low.cast_signed())) >> 32;
    (low, low32(epoch.cast_unsigned()) & 3)
}

#[cfg(test)]
mod tests {
    use super::time_fields;

    #[test]
    fn times_keep_their_sign_and_their_century() {
        assert_eq!(time_fields(0), (0, 0));
        assert_eq!(time_fields(-1), (u32::MAX, 0));
        assert_eq!(time_fields(0x8000_0000), (0x8000_0000, 1));
        assert_eq!(time_fields(0x1_0000_0000), (0, 1));
        assert_eq!(time_fields(i64::MAX), (0x7fff_ffff, 2));
    }
}
