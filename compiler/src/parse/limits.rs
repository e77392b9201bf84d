//! Limits that are checked on bytes, before anything recurses.

use super::MAX_NESTING;

/// What a scan of brackets found.
pub(super) struct Nesting {
    /// The offset of the first bracket that lies too deep.
    pub(super) too_deep: Option<u32>,
}

/// Counts how deep brackets are nested; comments do not count, holes of texts do, other text does not.
pub(super) fn nesting(text: &str) -> Nesting {
    let bytes = text.as_bytes();
    // What is open, innermost last: a bracket or a hole (false), a text in quotes (true for `"""`).
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let rest = bytes.get(at..).unwrap_or_default();
        let before = open.len();
        at += match open.last() {
            Some(Open::Text { block }) => in_text(rest, *block, &mut open),
            Some(Open::Bracket) | None => in_code(rest, *byte, &mut open),
        };
        if open.len() > before && open.iter().filter(|open| matches!(open, Open::Bracket)).count() > MAX_NESTING {
            return Nesting { too_deep: u32::try_from(at - 1).ok() };
        }
    }
    Nesting { too_deep: None }
}

/// Something that is open.
enum Open {
    /// A bracket, or the hole of a text.
    Bracket,
    /// A text.
    Text {
        /// In `"""`.
        block: bool,
    },
}

/// How many bytes to go on.
fn in_code(rest: &[u8], byte: u8, open: &mut Vec<Open>) -> usize {
    match byte {
        b'"' => {
            let block = rest.starts_with(b"\"\"\"");
            open.push(Open::Text { block });
            if block { 3 } else { 1 }
        }
        b'/' if rest.starts_with(b"//") => rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
        b'(' | b'[' | b'{' => {
            open.push(Open::Bracket);
            1
        }
        b')' | b']' | b'}' => {
            open.pop();
            1
        }
        _ => 1,
    }
}

fn in_text(rest: &[u8], block: bool, open: &mut Vec<Open>) -> usize {
    if rest.starts_with(b"\\{") {
        open.push(Open::Bracket);
        return 2;
    }
    if block {
        if rest.starts_with(b"\"\"\"") {
            open.pop();
            return 3;
        }
        return 1;
    }
    match rest.first() {
        Some(b'"' | b'\n') => {
            open.pop();
            1
        }
        Some(b'\\') => 2,
        _ => 1,
    }
}
