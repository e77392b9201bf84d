//! Identifiers of a disk and its file systems, derived from one seed.

use std::fmt;

use imgc_plan::Digest;

/// A UUID of version 4, as bytes in the order they are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Uuid(pub(crate) [u8; 16]);

impl Uuid {
    /// The one for `purpose`.
    pub(crate) fn derive(seed: Digest, purpose: &str) -> Self {
        let [mut bytes @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = derive(seed, purpose);
        let [.., version, _, variant, _, _, _, _, _, _, _] = &mut bytes;
        *version = *version & 0x0f | 0x40;
        *variant = *variant & 0x3f | 0x80;
        Self(bytes)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

/// The serial number of a FAT volume.
pub(crate) fn volume_id(seed: Digest, purpose: &str) -> u32 {
    let [a, b, c, d, ..] = derive(seed, purpose);
    u32::from_le_bytes([a, b, c, d])
}

/// A volume id as `blkid` and `/dev/disk/by-uuid` print it.
pub(crate) fn show_volume_id(id: u32) -> String {
    format!("{:04X}-{:04X}", id >> 16, id & 0xffff)
}

fn derive(seed: Digest, purpose: &str) -> [u8; 32] {
    *blake3::keyed_hash(&seed.0, format!("imgc disk 1: {purpose}").as_bytes()).as_bytes()
}
