//! Source text as a terminal may see it: nothing that moves a cursor, and no lines that fill the screen.

use std::ops::Range;
use std::sync::Arc;

/// Lines longer than this, in bytes, are cut around what is marked in them.
const LONG: usize = 240;
/// Bytes that stay before and behind a mark in a line that is cut.
const AROUND: usize = 60;
/// The most bytes of a mark in a line that is cut.
const MARK: usize = 100;
/// Lines around marked lines that are shown, too.
const CONTEXT: usize = 2;
/// What stands for the rest of a line.
const CUT: &str = "…";

/// A text and ranges in it.
pub(crate) struct Snippet {
    /// Harmless, with all its lines.
    pub(crate) text: Arc<str>,
    /// Where the ranges are now.
    pub(crate) ranges: Vec<Range<usize>>,
}

/// Makes a text and the ranges that are to be marked in it fit to be shown.
pub(crate) fn shaped(text: &Arc<str>, ranges: &[Range<usize>]) -> Snippet {
    // A byte order mark is nothing to see.
    if let Some(text) = text.strip_prefix('\u{feff}') {
        let mark = '\u{feff}'.len_utf8();
        let moved = |range: &Range<usize>| range.start.saturating_sub(mark)..range.end.saturating_sub(mark);
        return shaped(&Arc::from(text), &ranges.iter().map(moved).collect::<Vec<_>>());
    }
    let text = if text.chars().any(is_harmful) { Arc::from(harmless_bytes(text)) } else { text.clone() };
    cut(&text, ranges).unwrap_or(Snippet { text, ranges: ranges.to_vec() })
}

/// A text without what could change a terminal.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|c| if is_harmful(c) { '\u{fffd}' } else { c }).collect()
}

/// Control characters but for line feed and tab, and those that turn the direction of writing or cannot be seen.
fn is_harmful(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        || matches!(c, '\u{2028}' | '\u{2029}')
}

/// As [`harmless`], with as many bytes for each character, so that places stay where they are.
fn harmless_bytes(text: &str) -> String {
    let replaced = |c: char| match (is_harmful(c), c.len_utf8()) {
        (false, _) => c,
        (true, 1) if c == '\r' => ' ',
        (true, 1) => '?',
        (true, 2) => '¿',
        (true, _) => '\u{fffd}',
    };
    text.chars().map(replaced).collect()
}

/// Cuts long lines near the ranges; none where there are none.
fn cut(text: &str, ranges: &[Range<usize>]) -> Option<Snippet> {
    let mut starts = vec![0];
    starts.extend(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1));
    let line_of = |at: usize| starts.partition_point(|start| *start <= at).saturating_sub(1);
    let mut near: Vec<usize> = Vec::new();
    for range in ranges {
        let (first, last) = (line_of(range.start), line_of(range.end));
        near.extend(first.saturating_sub(CONTEXT)..=first + CONTEXT);
        near.extend(last.saturating_sub(CONTEXT)..=last + CONTEXT);
    }
    near.sort_unstable();
    near.dedup();
    let line = |number: usize| -> Option<Range<usize>> {
        let start = *starts.get(number)?;
        Some(start..starts.get(number + 1).map_or(text.len(), |next| next - 1))
    };
    let mut pieces: Vec<(Range<usize>, &'static str)> = Vec::new();
    for long in near.into_iter().filter_map(line).filter(|line| line.len() > LONG) {
        let keep = window(text, &long, ranges);
        pieces.push((long.start..keep.start, if keep.start > long.start { CUT } else { "" }));
        pieces.push((keep.end..long.end, if keep.end < long.end { CUT } else { "" }));
    }
    (!pieces.is_empty()).then(|| replaced(text, ranges, &pieces))
}

/// The part of a long line that stays: around the first mark in it.
fn window(text: &str, line: &Range<usize>, ranges: &[Range<usize>]) -> Range<usize> {
    let mark = ranges.iter().find(|range| range.start <= line.end && range.end >= line.start);
    let start = mark.map_or(line.start, |mark| mark.start.max(line.start));
    let end = mark.map_or(line.start, |mark| mark.end.min(line.end)).min(start + MARK);
    let floor = |at: usize| (line.start..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(line.start);
    floor(start.saturating_sub(AROUND).max(line.start))..floor((end + AROUND).min(line.end))
}

/// The text with pieces replaced, and the ranges moved along; what lies in a piece moves to its begin.
fn replaced(text: &str, ranges: &[Range<usize>], pieces: &[(Range<usize>, &'static str)]) -> Snippet {
    let mut out = String::with_capacity(text.len().min(1 << 16));
    let mut end = 0;
    for (piece, with) in pieces {
        out.push_str(text.get(end..piece.start).unwrap_or_default());
        out.push_str(with);
        end = piece.end;
    }
    out.push_str(text.get(end..).unwrap_or_default());
    let moved = |at: usize| {
        let mut to = at;
        for (piece, with) in pieces {
            if piece.end <= at {
                to = to + with.len() - piece.len();
            } else if piece.start < at {
                return to - (at - piece.start);
            }
        }
        to
    };
    let ranges = ranges.iter().map(|range| moved(range.start)..moved(range.end).max(moved(range.start))).collect();
    Snippet { text: Arc::from(out), ranges }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_bytes_become_signs_of_the_same_length() {
        let text: Arc<str> = Arc::from("a\u{1b}[31m \u{9b}2J\r\n\u{202e}x\tb\n");
        let shaped = shaped(&text, std::slice::from_ref(&(0..1)));
        assert_eq!(&*shaped.text, "a?[31m ¿2J \n\u{fffd}x\tb\n");
        assert_eq!(shaped.text.len(), text.len());
    }

    #[test]
    fn a_byte_order_mark_is_not_shown() {
        let shaped = shaped(&Arc::from("\u{feff}let a = b\n"), &[3 + 8..3 + 9, 0..0]);
        assert_eq!((&*shaped.text, shaped.ranges), ("let a = b\n", vec![8..9, 0..0]));
    }

    #[test]
    fn long_lines_are_cut_around_the_mark() {
        let text: Arc<str> = Arc::from(format!("first\nlet a = {}x{}\nlast\n", "[".repeat(5000), "]".repeat(5000)));
        let mark = 6 + 8 + 5000..6 + 8 + 5001;
        let shaped = shaped(&text, &[mark, 0..5]);
        assert!(shaped.text.lines().all(|line| line.len() < 300));
        assert_eq!(shaped.text.lines().count(), 3);
        let (mark, first) = (shaped.ranges[0].clone(), shaped.ranges[1].clone());
        assert_eq!((&shaped.text[mark], &shaped.text[first]), ("x", "first"));
        assert!(shaped.text.contains("…[[[") && shaped.text.contains("]]…\n"));
    }

    #[test]
    fn a_mark_over_a_whole_long_line_stays_in_it() {
        let text: Arc<str> = Arc::from(format!("{}\nb\n", "é".repeat(4000)));
        let shaped = shaped(&text, &[0..8000, 8001..8002]);
        assert!(shaped.ranges[0].end <= shaped.text.len() && shaped.text.is_char_boundary(shaped.ranges[0].end));
        assert_eq!(&shaped.text[shaped.ranges[1].clone()], "b");
    }
}
