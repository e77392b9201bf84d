//! Texts from texts: pieces are cut, doubled, moved, mixed with those of others, and bytes are changed.

/// Numbers that look random and are the same for a seed (`SplitMix64`).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below `limit`; zero where that is zero.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % limit.max(1) as u64).unwrap_or(0)
    }
}

/// What programs are made of, and what they should not be.
const PIECES: [&str; 48] = [
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "\"",
    "\"\"\"",
    "\\{",
    "//",
    "///",
    "\n",
    "\r\n",
    " ",
    ",",
    ":",
    "=",
    "=>",
    "->",
    "...",
    "..=",
    "..",
    "??",
    "?",
    "|",
    "!",
    "-",
    "*",
    "/",
    "%",
    "${",
    "@allow(",
    "if ",
    "else ",
    "for x in ",
    "match platform ",
    "image a ",
    "let a = ",
    "none",
    "linux/*",
    "5M",
    "0o9",
    "\u{0}",
    "\u{1b}[2J",
    "\u{feff}",
    "é",
    "9223372036854775807",
    "'",
];

/// A sample with one to six changes.
pub(crate) fn changed(samples: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let pick = |random: &mut Random| samples.get(random.below(samples.len())).cloned().unwrap_or_default();
    let mut text = pick(random);
    // Long texts take long and show no more.
    text.truncate(16 << 10);
    for _ in 0..=random.below(6) {
        let from = random.below(text.len() + 1);
        let to = (from + random.below(40)).min(text.len());
        let part = text.get(from..to).unwrap_or_default().to_vec();
        match random.below(8) {
            0 => drop(text.splice(from..to, [])),
            1 => drop(text.splice(from..from, part)),
            2 => {
                let at = random.below(text.len() + 1);
                text.splice(at..at, part);
            }
            3 => {
                let other = pick(random);
                let start = random.below(other.len() + 1);
                let end = (start + random.below(200)).min(other.len());
                text.splice(from..from, other.get(start..end).unwrap_or_default().iter().copied());
            }
            4 => {
                let byte = u8::try_from(random.below(256)).unwrap_or(0);
                text.splice(from..from, [byte]);
            }
            5 => {
                let piece = PIECES.get(random.below(PIECES.len())).copied().unwrap_or_default();
                text.splice(from..from, piece.repeat(1 + random.below(300)).into_bytes());
            }
            _ => {
                let piece = PIECES.get(random.below(PIECES.len())).copied().unwrap_or_default();
                text.splice(from..from, piece.bytes());
            }
        }
    }
    text
}
