//! Numbers at offsets of on-disk structures. Knows no format.
//!
//! Offsets here are constants of the formats; one outside its structure is a bug of ours that tests would meet, so it
//! is asserted in debug builds and does nothing in release builds.

/// Copies `bytes` to offset `at`.
pub(crate) fn put(buf: &mut [u8], at: usize, bytes: &[u8]) {
    let slot = at.checked_add(bytes.len()).and_then(|end| buf.get_mut(at..end));
    debug_assert!(slot.is_some(), "{} bytes at {at} leave the structure", bytes.len());
    if let Some(slot) = slot {
        slot.copy_from_slice(bytes);
    }
}

/// A little-endian 16-bit number at `at`.
pub(crate) fn put16(buf: &mut [u8], at: usize, value: u16) {
    put(buf, at, &value.to_le_bytes());
}

/// A little-endian 32-bit number at `at`.
pub(crate) fn put32(buf: &mut [u8], at: usize, value: u32) {
    put(buf, at, &value.to_le_bytes());
}

/// A big-endian 32-bit number at `at`.
pub(crate) fn put32_be(buf: &mut [u8], at: usize, value: u32) {
    put(buf, at, &value.to_be_bytes());
}

/// A big-endian 64-bit number at `at`.
pub(crate) fn put64_be(buf: &mut [u8], at: usize, value: u64) {
    put(buf, at, &value.to_be_bytes());
}

/// The low 16 bits.
pub(crate) fn low16(value: u64) -> u16 {
    u16::try_from(value & 0xffff).unwrap_or(u16::MAX)
}

/// The low 32 bits.
pub(crate) fn low32(value: u64) -> u32 {
    u32::try_from(value & 0xffff_ffff).unwrap_or(u32::MAX)
}

/// Sets bits `from..to` of a bitmap, lowest bit of each byte first.
pub(crate) fn set_bits(bitmap: &mut [u8], from: usize, to: usize) {
    let mut bit = from;
    while bit < to {
        let whole = bit.is_multiple_of(8) && to - bit >= 8;
        if let Some(byte) = bitmap.get_mut(bit / 8) {
            *byte |= if whole { 0xff } else { 1 << (bit % 8) };
        }
        bit += if whole { 8 } else { 1 };
    }
}
