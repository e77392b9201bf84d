//! Where a text that is not whole goes on: places that the grammar cannot see, since it knows neither columns nor how a
//! line ends, are marked for it.
//!
//! Nothing is marked in a text whose brackets, texts and holes all have their ends. Else each part between two items at
//! the first column is looked at alone. One that is not whole in itself ends where the next begins, whatever is open in
//! it; and a hole of a text that is open at the end of its line ends there, so that it takes no more of the program.
//! Marks replace single bytes, so that places stay what they are. Knows nothing of expressions, statements or types.

use std::ops::Range;

/// Stands for the line break before an item; no rule but that of the file goes past it.
pub(super) const ITEM: u8 = 0x1E;

/// Stands for the line break behind a hole that has no end; only the text around the hole goes past it.
pub(super) const LINE: u8 = 0x1D;

/// Stands for the first quote of a text with such a hole.
pub(super) const CUT: u8 = 0x1C;

/// Stands for one of the others where a program has it.
const OTHER: u8 = 0x1F;

/// How many beginnings of items a part may go past and still be whole: texts and bodies at the first column have some.
const MAX_PASSED: usize = 16;

/// A line at the first column that begins an item.
#[derive(Debug, Clone, Copy)]
struct Start {
    /// With the comments above it.
    at: usize,
    /// Bodies have `let` as well, so that it may lie in a bracket.
    is_let: bool,
}

/// The text as the grammar should read it, if that is not as it is.
pub(super) fn marked(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let is_mark = |byte: &u8| matches!(*byte, ITEM | LINE | CUT);
    let has_marks = bytes.iter().any(is_mark);
    let whole = is_whole(bytes);
    if whole && !has_marks {
        return None;
    }
    let mut marked: Vec<u8> = bytes.iter().map(|byte| if is_mark(byte) { OTHER } else { *byte }).collect();
    if !whole {
        let starts = starts(bytes);
        let mut part = 0;
        while let Some(start) = starts.get(part) {
            if let Some(next) = whole_until(bytes, &starts, part) {
                part = next;
                continue;
            }
            part += 1;
            let end = starts.get(part).map_or(bytes.len(), |next| next.at);
            cut_holes(bytes, start.at..end, &mut marked);
            if end < bytes.len() {
                put(&mut marked, end - 1, ITEM);
            }
        }
    }
    // Bytes of ASCII were replaced by others.
    String::from_utf8(marked).ok()
}

fn put(marked: &mut [u8], at: usize, mark: u8) {
    if let Some(byte) = marked.get_mut(at) {
        *byte = mark;
    }
}

/// The lines that begin items, in order; the first is the beginning of the text.
fn starts(bytes: &[u8]) -> Vec<Start> {
    let mut found = vec![Start { at: 0, is_let: false }];
    let mut comments = None;
    let mut at = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"//") {
            comments.get_or_insert(at);
        } else if let Some(is_let) = begins_item(line) {
            let start = Start { at: comments.unwrap_or(at), is_let };
            match found.last_mut().filter(|last| last.at == start.at) {
                Some(first) => *first = start,
                None => found.push(start),
            }
            comments = None;
        } else {
            comments = None;
        }
        at += line.len();
    }
    found
}

/// Whether a line begins an item, and whether that is a `let`; the same as `top_start` of the grammar, with a name.
fn begins_item(line: &[u8]) -> Option<bool> {
    let (word, rest) = word(line);
    let is_name = |rest: &[u8]| rest.first().is_some_and(|byte| *byte == b'_' || byte.is_ascii_alphabetic());
    match word {
        b"let" => is_name(rest).then_some(true),
        b"param" | b"image" | b"output" | b"recipe" | b"record" | b"secret" | b"test" | b"fn" | b"enum" | b"extern" => {
            is_name(rest).then_some(false)
        }
        b"import" => (is_name(rest) || rest.starts_with(b"\"") || rest.starts_with(b"{")).then_some(false),
        b"edition" => rest.first().is_some_and(u8::is_ascii_digit).then_some(false),
        b"pub" => begins_item(rest).map(|_| false),
        b"" => (line.starts_with(b"@") && is_name(line.get(1..).unwrap_or_default())).then_some(false),
        _ => None,
    }
}

/// The word at the beginning, and what follows the blanks behind it; nothing follows where no blank does.
fn word(line: &[u8]) -> (&[u8], &[u8]) {
    let length = line.iter().position(|byte| !is_word(*byte)).unwrap_or(line.len());
    let (word, rest) = line.split_at(length);
    let blanks = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(rest.len());
    (word, if blanks == 0 { &[] } else { rest.get(blanks..).unwrap_or_default() })
}

fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

/// How much of a text belongs to a comment that begins there; nothing where none does.
fn comment(rest: &[u8]) -> Option<usize> {
    rest.starts_with(b"//").then(|| rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()))
}

// --- what is whole -----------------------------------------------------------------------------------------------

/// Something that waits for its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    /// A bracket, by the byte that closes it.
    Bracket(u8),
    /// `\{` in a text.
    Hole,
    /// A text in single quotes.
    Line,
    /// A text in `"""`, and where it begins.
    Block(usize),
}

/// Whether everything that is opened is closed in its turn.
fn is_whole(bytes: &[u8]) -> bool {
    let (mut open, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        match step(bytes, at, &mut open) {
            Some(next) => at = next,
            None => return false,
        }
    }
    open.is_empty()
}

/// The first beginning of an item after `part` up to which everything is closed; nothing if there is none, or if there
/// would be only by taking an item for a part of another.
fn whole_until(bytes: &[u8], starts: &[Start], part: usize) -> Option<usize> {
    let (mut open, mut at) = (Vec::new(), starts.get(part)?.at);
    let mut next = part + 1;
    while at < bytes.len() {
        if let Some(start) = starts.get(next).filter(|start| start.at == at) {
            if open.is_empty() {
                return Some(next);
            }
            let in_text = matches!(open.last(), Some(Open::Block(_)));
            if next - part > MAX_PASSED || !(in_text || start.is_let) {
                return None;
            }
            next += 1;
        }
        let before = open.last().copied();
        let after = step(bytes, at, &mut open)?;
        // A text that goes past the beginning of an item has its end in a line of its own; other quotes begin a text.
        if let Some(Open::Block(from)) = before
            && after == at + 3
            && starts.get(next - 1).is_some_and(|start| start.at > from)
            && !is_alone(bytes, at)
        {
            return None;
        }
        at = after;
    }
    open.is_empty().then_some(starts.len())
}

/// Whether nothing but blanks stands before `at` in its line.
fn is_alone(bytes: &[u8], at: usize) -> bool {
    let before = bytes.get(..at).unwrap_or_default();
    let last = before.iter().rev().find(|byte| !matches!(byte, b' ' | b'\t'));
    last.is_none_or(|byte| *byte == b'\n')
}

/// Behind the next token, as programs without a fault have them; nothing where there is a fault. Stops at each line.
fn step(bytes: &[u8], at: usize, open: &mut Vec<Open>) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let byte = *rest.first()?;
    match open.last() {
        Some(Open::Line | Open::Block(_)) if rest.starts_with(b"\\{") => {
            open.push(Open::Hole);
            return Some(at + 2);
        }
        Some(Open::Line) => match byte {
            b'"' => {
                open.pop();
            }
            b'\n' => return None,
            b'\\' if rest.get(1).is_some_and(|next| *next != b'\n') => return Some(at + 2),
            _ => {}
        },
        Some(Open::Block(_)) => {
            if rest.starts_with(b"\"\"\"") {
                open.pop();
                return Some(at + 3);
            }
        }
        Some(Open::Bracket(_) | Open::Hole) | None => return code(rest, byte, at, open),
    }
    Some(at + 1)
}

/// As [`step`], outside of texts.
fn code(rest: &[u8], byte: u8, at: usize, open: &mut Vec<Open>) -> Option<usize> {
    match byte {
        b'"' if rest.starts_with(b"\"\"\"") => {
            open.push(Open::Block(at));
            return Some(at + 3);
        }
        b'"' => open.push(Open::Line),
        b'/' => return Some(at + comment(rest).unwrap_or(1)),
        b'(' => open.push(Open::Bracket(b')')),
        b'[' => open.push(Open::Bracket(b']')),
        b'{' => open.push(Open::Bracket(b'}')),
        b')' | b']' | b'}' => match open.pop() {
            Some(Open::Bracket(close)) if close == byte => {}
            Some(Open::Hole) if byte == b'}' => {}
            Some(Open::Bracket(_) | Open::Hole | Open::Line | Open::Block(_)) | None => return None,
        },
        _ => {}
    }
    Some(at + 1)
}

// --- holes without an end ----------------------------------------------------------------------------------------

/// What is open in a text that has a hole, or may have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// A text: where it begins, and whether in `"""`.
    Text { from: usize, block: bool },
    /// A hole of the text before it.
    Hole,
    /// A bracket in a hole, by the byte that closes it.
    Bracket(u8),
}

/// Marks the texts of a part whose holes are open where their line ends.
fn cut_holes(bytes: &[u8], part: Range<usize>, marked: &mut [u8]) {
    let mut cutter = Cutter { within: Vec::new(), has_value: false };
    let mut at = part.start;
    while at < part.end {
        let rest = bytes.get(at..part.end).unwrap_or_default();
        let Some(byte) = rest.first() else { return };
        // A hole, and what is in it.
        if *byte == b'\n' && cutter.within.len() > 1 {
            if let Some(Within::Text { from, block }) = cutter.within.first().copied() {
                put(marked, from, CUT);
                put(marked, at, LINE);
                cutter.within.truncate(usize::from(block));
            }
            at += 1;
            continue;
        }
        at += match cutter.within.last() {
            None => Cutter::outside(rest, at, &mut cutter.within),
            Some(Within::Text { block, .. }) => {
                let block = *block;
                cutter.text(rest, block)
            }
            Some(Within::Hole | Within::Bracket(_)) => cutter.hole(rest, *byte, at),
        };
    }
}

/// Follows a text with its holes, and sees the same ends of them as the grammar.
struct Cutter {
    within: Vec<Within>,
    /// Whether a value has just ended, so that an operator may follow.
    has_value: bool,
}

impl Cutter {
    /// How many bytes to go on, outside of texts.
    fn outside(rest: &[u8], at: usize, within: &mut Vec<Within>) -> usize {
        if let Some(length) = comment(rest) {
            return length;
        }
        let block = rest.starts_with(b"\"\"\"");
        if rest.starts_with(b"\"") {
            within.push(Within::Text { from: at, block });
        }
        if block { 3 } else { 1 }
    }

    /// As above, in a text.
    fn text(&mut self, rest: &[u8], block: bool) -> usize {
        if rest.starts_with(b"\\{") {
            self.within.push(Within::Hole);
            self.has_value = false;
            return 2;
        }
        let end: &[u8] = if block { b"\"\"\"" } else { b"\"" };
        if rest.starts_with(end) {
            self.within.pop();
            self.has_value = true;
            return end.len();
        }
        match rest {
            // Without an end, and without a hole.
            [b'\n', ..] if !block => {
                self.within.pop();
            }
            [b'\\', next, ..] if !block && *next != b'\n' => return 2,
            _ => {}
        }
        1
    }

    /// As above, in a hole or a bracket of one.
    fn hole(&mut self, rest: &[u8], byte: u8, at: usize) -> usize {
        let in_bracket = matches!(self.within.last(), Some(Within::Bracket(_)));
        if let Some(length) = comment(rest) {
            return length;
        }
        match byte {
            b' ' | b'\t' | b'\r' => {}
            b'(' | b'[' | b'{' => {
                let close = if byte == b'(' { b')' } else { byte + 2 };
                self.within.push(Within::Bracket(close));
                self.has_value = false;
            }
            b')' | b']' | b'}' => return self.close(byte),
            b'"' if in_bracket || !self.has_value => {
                let block = rest.starts_with(b"\"\"\"");
                self.within.push(Within::Text { from: at, block });
                return if block { 3 } else { 1 };
            }
            _ if is_word(byte) => {
                let (word, _) = word(rest);
                let joins = matches!(word, b"in" | b"then" | b"else" | b"if" | b"for" | b"match");
                if self.has_value && !in_bracket && !joins {
                    return self.end_hole();
                }
                self.has_value = !joins;
                return word.len();
            }
            b'+' | b'-' | b'*' | b'/' | b'%' | b'!' | b'<' | b'>' | b'=' | b'&' | b'|' | b'?' | b'.' => {
                self.has_value = false;
            }
            _ if in_bracket => self.has_value = false,
            _ => return self.end_hole(),
        }
        1
    }

    /// At a closing bracket: what it closes ends, and what was opened since.
    fn close(&mut self, byte: u8) -> usize {
        let closes = |within: &Within| *within == Within::Bracket(byte) || (*within == Within::Hole && byte == b'}');
        let hole = self.within.iter().rposition(|within| *within == Within::Hole).unwrap_or(0);
        let own = self.within.get(hole..).unwrap_or_default();
        match own.iter().rposition(closes) {
            Some(position) => {
                self.within.truncate(hole + position);
                self.has_value = true;
                1
            }
            None => self.end_hole(),
        }
    }

    /// The hole ends without its bracket, before what stands here: the text goes on.
    fn end_hole(&mut self) -> usize {
        let hole = self.within.iter().rposition(|within| *within == Within::Hole).unwrap_or(0);
        self.within.truncate(hole);
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text with its marks made visible.
    fn shown(text: &str) -> String {
        let marked = marked(text).unwrap_or_else(|| text.to_owned());
        assert_eq!(marked.len(), text.len());
        marked.replace('\u{1E}', "¶\n").replace('\u{1D}', "¬\n").replace('\u{1C}', "«").replace('\u{1F}', "?")
    }

    #[test]
    fn whole_programs_are_read_as_they_are() {
        for text in [
            "",
            "let a = f(1)\nlet b = \"\\{a}\"\n",
            // Not in the style, but right.
            "image a {\nlet b = 1\n  from = x\n}\nlet c = \"\\{f(\n  1)}\"\n",
            "image a {\n  sh \"x\" { script = \"\"\"\nlet a=1\nimage x\n\"\"\" }\n}\n",
        ] {
            assert_eq!(marked(text), None, "{text}");
        }
    }

    #[test]
    fn an_item_that_is_not_whole_ends_where_the_next_begins() {
        assert_eq!(shown("let a = f(\nlet b = 2\n"), "let a = f(¶\nlet b = 2\n");
        assert_eq!(
            shown("let a = f(\n\n// Of b.\n/// B.\nlet b = 2\n"),
            "let a = f(\n¶\n// Of b.\n/// B.\nlet b = 2\n"
        );
        assert_eq!(shown("let a = [\n@deprecated(\"x\")\nlet b = 2\n"), "let a = [¶\n@deprecated(\"x\")\nlet b = 2\n");
        // What is indented is inside, and what only looks like an item is none.
        assert_eq!(shown("let a = f(\n  let b = 2\nletter\nlet\n"), "let a = f(\n  let b = 2\nletter\nlet\n");
        // A text that has no end, and one of another item that has.
        let open = "let a = \"\"\"\n  x\nlet b = \"\"\"\n  y\n  \"\"\"\nlet c = \"\"\"\nlet d = 1\n\"\"\"\n";
        let marked = "let a = \"\"\"\n  x¶\nlet b = \"\"\"\n  y\n  \"\"\"\nlet c = \"\"\"\nlet d = 1\n\"\"\"\n";
        assert_eq!(shown(open), marked);
        // Another item is whole, whatever stands at its first column.
        let other = "let a = (\nimage b {\nlet c = 1\n}\n";
        assert_eq!(shown(other), "let a = (¶\nimage b {\nlet c = 1\n}\n");
    }

    #[test]
    fn a_hole_without_an_end_ends_with_its_line() {
        assert_eq!(shown("image a {\n  b = \"x \\{\n  c = 1\n}\n"), "image a {\n  b = «x \\{¬\n  c = 1\n}\n");
        assert_eq!(shown("let b = \"\\{f(\"y\n"), "let b = «\\{f(\"y¬\n");
        assert_eq!(
            shown("let b = \"\"\"\n  \\{f(x\n  \\{y}\n  \"\"\"\n"),
            "let b = «\"\"\n  \\{f(x¬\n  \\{y}\n  \"\"\"\n"
        );
        // The text has its end, though the hole has none.
        for text in
            ["let b = (\"\\{a\"\n", "let b = (\"\\{a b\\{c}\"\n", "let b = (\"\\{f(a}\"\n", "let b = (\"\\{a]\"\n"]
        {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn marks_of_the_program_itself_are_none() {
        assert_eq!(shown("let a = \"\u{1E}\u{1D}\u{1C}\"\n"), "let a = \"???\"\n");
    }
}
