//! Limits that are checked on bytes, before anything recurses.

use super::MAX_NESTING;
use super::recover::{CUT, ITEM, LINE};

/// What a scan of brackets found.
pub(super) struct Nesting {
    /// The offset of the first bracket that lies too deep.
    pub(super) too_deep: Option<u32>,
}

/// Counts how deep brackets are nested; comments do not count, holes of texts do, other text does not. The text has the
/// marks that the grammar reads.
pub(super) fn nesting(text: &str) -> Nesting {
    let bytes = text.as_bytes();
    // What is open, innermost last: a bracket or a hole (false), a text in quotes (true for `"""`).
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let rest = bytes.get(at..).unwrap_or_default();
        let before = open.len();
        at += match (*byte, open.last()) {
            (ITEM | LINE, _) => at_mark(*byte, &mut open),
            (_, Some(Open::Text(text))) => in_text(rest, *text, &mut open),
            (_, Some(Open::Bracket) | None) => in_code(rest, *byte, &mut open),
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
    Text(Text),
}

/// How a text ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    /// With a quote or its line.
    Line,
    /// With `"""`.
    Block,
    /// With its line.
    CutLine,
    /// With `"""`, and its holes with their lines.
    CutBlock,
}

/// How many bytes to go on.
fn in_code(rest: &[u8], byte: u8, open: &mut Vec<Open>) -> usize {
    match byte {
        b'"' | CUT => {
            let block = rest.get(1..3) == Some(b"\"\"");
            open.push(Open::Text(match (byte == CUT, block) {
                (false, false) => Text::Line,
                (false, true) => Text::Block,
                (true, false) => Text::CutLine,
                (true, true) => Text::CutBlock,
            }));
            if block { 3 } else { 1 }
        }
        b'/' if rest.starts_with(b"//") => {
            rest.iter().position(|byte| matches!(*byte, b'\n' | ITEM | LINE)).unwrap_or(rest.len())
        }
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

fn in_text(rest: &[u8], text: Text, open: &mut Vec<Open>) -> usize {
    if rest.starts_with(b"\\{") {
        open.push(Open::Bracket);
        return 2;
    }
    match (text, rest.first()) {
        (Text::Block | Text::CutBlock, _) if rest.starts_with(b"\"\"\"") => {
            open.pop();
            return 3;
        }
        (Text::Line, Some(b'"' | b'\n')) | (Text::CutLine, Some(b'\n')) => {
            open.pop();
        }
        (Text::Line | Text::CutLine, Some(b'\\')) => {
            let is_escape = rest.get(1).is_some_and(|next| !matches!(*next, b'\n' | ITEM | LINE));
            return if is_escape { 2 } else { 1 };
        }
        (Text::Line | Text::Block | Text::CutLine | Text::CutBlock, _) => {}
    }
    1
}

/// What a mark ends: everything, or the holes of the text that it belongs to.
fn at_mark(mark: u8, open: &mut Vec<Open>) -> usize {
    let is_cut = |open: &Open| matches!(open, Open::Text(Text::CutLine | Text::CutBlock));
    let text = open.iter().position(is_cut).filter(|_| mark == LINE);
    let is_block = text.is_some_and(|at| matches!(open.get(at), Some(Open::Text(Text::CutBlock))));
    open.truncate(text.map_or(0, |at| at + usize::from(is_block)));
    1
}
