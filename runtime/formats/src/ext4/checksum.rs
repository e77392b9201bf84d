//! CRC-32C as ext4 uses it: no final inversion, so that sums can be continued.

const TABLE: [u32; 256] = table();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which checks the bounds")]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    let mut first: u32 = 0;
    while index < table.len() {
        let mut value = first;
        let mut bit = 0;
        while bit < 8 {
            value = (value >> 1) ^ (0x82f6_3b78 * (value & 1));
            bit += 1;
        }
        table[index] = value;
        index += 1;
        first += 1;
    }
    table
}

/// Continues the sum `crc` over `bytes`; a new sum starts from `!0`.
pub(super) fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, byte| {
        let [low, ..] = crc.to_le_bytes();
        (crc >> 8) ^ TABLE.get(usize::from(low ^ byte)).copied().unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn agrees_with_the_published_check_value() {
        assert_eq!(!super::crc32c(!0, b"123456789"), 0xe306_9283);
    }
}
