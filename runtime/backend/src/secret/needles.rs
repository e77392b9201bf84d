//! What a secret looks like in other places: as it is, and in the encodings that programs like to print.

use aho_corasick::{AhoCorasick, Input, MatchKind};
use zeroize::Zeroizing;

/// Shorter values are in no layer scan: any program holds them by chance.
const SHORTEST_IN_FILES: usize = 6;
/// Shorter values are not masked: a log would be nothing but stars.
const SHORTEST_IN_LOGS: usize = 3;
/// Lines and pieces of a value count alone only from this length on.
const SHORTEST_PIECE: usize = 12;

/// The looks of some secrets, to search bytes for.
#[derive(Debug, Clone, Default)]
pub struct Needles {
    looks: Vec<Look>,
    search: Option<AhoCorasick>,
    longest: usize,
}

#[derive(Clone)]
struct Look {
    secret: String,
    form: &'static str,
    bytes: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.secret, self.form)
    }
}

/// A secret that was found where it must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// The name of the secret.
    pub secret: &'a str,
    /// `as it is`, `in base64`.
    pub form: &'static str,
}

impl Needles {
    /// The looks of these secrets (name and value) for a search in files.
    pub fn for_files<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::new(secrets, SHORTEST_IN_FILES)
    }

    /// The looks of these secrets (name and value) for masking.
    pub fn for_logs<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::new(secrets, SHORTEST_IN_LOGS)
    }

    fn new<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a str)>, shortest: usize) -> Self {
        let mut looks = Vec::new();
        for (name, value) in secrets {
            let value = value.trim();
            if value.len() >= shortest {
                looks_of(name, value, &mut looks);
            }
        }
        looks.sort_by(|a, b| a.bytes.cmp(&b.bytes));
        looks.dedup_by(|a, b| a.bytes == b.bytes);
        let longest = looks.iter().map(|look| look.bytes.len()).max().unwrap_or(0);
        // Too many or too long for an automaton means nothing is found, so it is built of what fits in any case.
        let search = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(looks.iter().map(|look| look.bytes.as_slice()))
            .ok()
            .filter(|_| !looks.is_empty());
        Self { looks, search, longest }
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.search.is_none()
    }

    /// The first of them in `bytes`.
    pub fn find(&self, bytes: &[u8]) -> Option<Found<'_>> {
        let found = self.search.as_ref()?.find(bytes)?;
        let look = self.looks.get(found.pattern().as_usize())?;
        Some(Found { secret: &look.secret, form: look.form })
    }

    /// The first of them in what a reader gives.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn find_in(&self, mut reader: impl std::io::Read) -> std::io::Result<Option<Found<'_>>> {
        if self.is_empty() {
            return Ok(None);
        }
        let keep = self.longest.saturating_sub(1);
        let mut held = Zeroizing::new(Vec::with_capacity(keep + (1 << 16)));
        let mut chunk = Zeroizing::new(vec![0; 1 << 16]);
        loop {
            let read = match reader.read(&mut chunk) {
                Ok(0) => return Ok(None),
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            held.extend_from_slice(chunk.get(..read).unwrap_or_default());
            if let Some(found) = self.find(&held) {
                return Ok(Some(found));
            }
            let done = held.len().saturating_sub(keep);
            held.drain(..done);
        }
    }

    /// The text with each of them replaced by stars.
    pub fn masked(&self, text: &str) -> String {
        let mut mask = Mask::default();
        let mut bytes = mask.feed(self, text.as_bytes());
        bytes.extend(mask.rest(self));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How many bytes at the end of `bytes` may be the beginning of one of them.
    fn begun(&self, bytes: &[u8]) -> usize {
        let most = self.longest.saturating_sub(1).min(bytes.len());
        (1..=most)
            .rev()
            .find(|len| {
                let tail = bytes.get(bytes.len() - len..).unwrap_or_default();
                self.looks.iter().any(|look| look.bytes.len() > tail.len() && look.bytes.starts_with(tail))
            })
            .unwrap_or(0)
    }
}

/// Masks a stream: what may be the beginning of a secret is held back until more of the stream is there.
#[derive(Debug, Default)]
pub struct Mask {
    held: Zeroizing<Vec<u8>>,
}

impl Mask {
    /// What can be shown now that these bytes came.
    pub fn feed(&mut self, needles: &Needles, bytes: &[u8]) -> Vec<u8> {
        if needles.is_empty() {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        let begun = needles.begun(&self.held);
        let (shown, taken) = needles.replace(&self.held, self.held.len() - begun);
        self.held.drain(..taken);
        shown
    }

    /// What was held back, once nothing follows.
    pub fn rest(&mut self, needles: &Needles) -> Vec<u8> {
        let held = std::mem::take(&mut *self.held);
        needles.replace(&held, held.len()).0
    }
}

impl Needles {
    /// The bytes up to `upto` with stars for each secret, and how many bytes that took: a match that begins before
    /// `upto` is taken whole.
    fn replace(&self, bytes: &[u8], upto: usize) -> (Vec<u8>, usize) {
        let mut shown = Vec::with_capacity(upto);
        let mut at = 0;
        if let Some(search) = &self.search {
            while let Some(found) = search.find(Input::new(bytes).range(at..)) {
                if found.start() >= upto {
                    break;
                }
                shown.extend_from_slice(bytes.get(at..found.start()).unwrap_or_default());
                shown.extend_from_slice(b"***");
                at = found.end();
            }
        }
        shown.extend_from_slice(bytes.get(at..upto.max(at)).unwrap_or_default());
        (shown, upto.max(at))
    }
}

fn looks_of(name: &str, value: &str, looks: &mut Vec<Look>) {
    let mut add = |form: &'static str, text: String| {
        looks.push(Look { secret: name.to_owned(), form, bytes: Zeroizing::new(text.into_bytes()) });
    };
    add("as it is", value.to_owned());
    for line in value.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_PIECE && !line.starts_with("-----")) {
        add("as it is", line.to_owned());
    }
    let hex = hex(value);
    add("in hexadecimal", hex.to_uppercase());
    add("in hexadecimal", hex);
    for (lower, form) in [(false, "URL-encoded"), (true, "URL-encoded")] {
        add(form, url(value, lower, false));
        add(form, url(value, lower, true));
    }
    add("quoted as JSON", json(value));
    for alphabet in [base64::STANDARD, base64::URL] {
        for shift in 0..3 {
            let inner = base64::inner(value.as_bytes(), shift, alphabet);
            // Programs break long base64 into lines.
            for width in [76, 64] {
                if shift == 0 && inner.len() > width {
                    let lines = inner.as_bytes().chunks(width).filter(|line| line.len() >= SHORTEST_PIECE);
                    lines.for_each(|line| add("in base64", String::from_utf8_lossy(line).into_owned()));
                }
            }
            if inner.len() >= SHORTEST_IN_LOGS {
                add("in base64", inner);
            }
        }
    }
}

fn url(value: &str, lower: bool, plus: bool) -> String {
    value.bytes().fold(String::new(), |mut text, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            b' ' if plus => text.push('+'),
            byte => {
                text.push('%');
                text.push(digit(byte >> 4, lower));
                text.push(digit(byte & 15, lower));
            }
        }
        text
    })
}

fn hex(value: &str) -> String {
    value.bytes().flat_map(|byte| [digit(byte >> 4, true), digit(byte & 15, true)]).collect()
}

fn digit(four_bits: u8, lower: bool) -> char {
    let digit = char::from_digit(u32::from(four_bits), 16).unwrap_or('0');
    if lower { digit } else { digit.to_ascii_uppercase() }
}

/// As it stands between the quotes of a JSON text.
fn json(value: &str) -> String {
    let quoted = serde_json::to_string(value).unwrap_or_default();
    quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(&quoted).to_owned()
}

mod base64 {
    //! What of a base64 text depends on nothing but the value, wherever in the encoded bytes it begins.

    pub(super) const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    pub(super) const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    /// The digits that stand for six bits of `value` and of nothing else, where `shift` bytes go before it.
    pub(super) fn inner(value: &[u8], shift: usize, alphabet: &[u8; 64]) -> String {
        let bit = |n: usize| -> Option<u8> {
            let byte = value.get((n / 8).checked_sub(shift)?)?;
            Some(byte >> (7 - n % 8) & 1)
        };
        let digits = (0..(shift + value.len()) * 8).step_by(6).filter_map(|first| {
            let six = (first..first + 6).try_fold(0_u8, |six, n| Some(six << 1 | bit(n)?))?;
            alphabet.get(usize::from(six)).copied().map(char::from)
        });
        digits.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "hunter2/ \"quoted\" ~ p\u{e4}ss";

    fn found(bytes: &[u8]) -> Option<&'static str> {
        Needles::for_files([("token", VALUE)]).find(bytes).map(|found| found.form)
    }

    #[test]
    fn encodings_are_found_at_any_alignment() {
        assert_eq!(found(format!("x{VALUE}y").as_bytes()), Some("as it is"));
        assert_eq!(found(b"68756e746572322f202271756f74656422207e2070c3a47373"), Some("in hexadecimal"));
        assert_eq!(found(b"hunter2%2F%20%22quoted%22%20~%20p%C3%A4ss"), Some("URL-encoded"));
        assert_eq!(found(b"hunter2%2f+%22quoted%22+~+p%c3%a4ss"), Some("URL-encoded"));
        assert_eq!(found(b"hunter2/ \\\"quoted\\\" ~ p\xc3\xa4ss"), Some("quoted as JSON"));
        // base64 of "", "x" and "xy" before the value.
        assert_eq!(found(b"aHVudGVyMi8gInF1b3RlZCIgfiBww6Rzcw=="), Some("in base64"));
        assert_eq!(found(b"eGh1bnRlcjIvICJxdW90ZWQiIH4gcMOkc3M="), Some("in base64"));
        assert_eq!(found(b"eHlodW50ZXIyLyAicXVvdGVkIiB+IHDDpHNz"), Some("in base64"));
        assert_eq!(found(b"hunter2"), None);
    }

    #[test]
    fn short_values_are_masked_but_not_searched_for() {
        assert!(Needles::for_files([("pin", "1234")]).is_empty());
        assert_eq!(Needles::for_logs([("pin", "1234")]).masked("pin 1234!"), "pin ***!");
        assert!(Needles::for_logs([("empty", " \n")]).is_empty());
    }

    #[test]
    fn a_mask_holds_back_what_may_go_on() {
        let needles = Needles::for_logs([("token", "secret-value")]);
        for cut in 0..=24 {
            let text = b"a secret-value, secretive".as_slice();
            let (before, after) = text.split_at(cut);
            let mut mask = Mask::default();
            let mut shown = mask.feed(&needles, before);
            shown.extend(mask.feed(&needles, after));
            shown.extend(mask.rest(&needles));
            assert_eq!(String::from_utf8_lossy(&shown), "a ***, secretive", "cut at {cut}");
        }
        let mut mask = Mask::default();
        assert_eq!(mask.feed(&needles, b"nothing to hold\n"), b"nothing to hold\n");
        assert_eq!(mask.feed(&needles, b"a s"), b"a ");
    }

    #[test]
    fn a_reader_is_searched_across_its_chunks() {
        let needles = Needles::for_files([("token", "secret-value")]);
        for before in [0, 65_530, 65_536, 131_067] {
            let mut bytes = vec![b'.'; before];
            bytes.extend(b"secret-value");
            assert!(needles.find_in(bytes.as_slice()).unwrap().is_some(), "{before}");
        }
        assert_eq!(needles.find_in(vec![b'.'; 200_000].as_slice()).unwrap(), None);
    }
}
