//! Lines and columns of a text: between the byte offsets of the compiler and the positions of the protocol.
//!
//! The only place that knows how a client counts characters.

use std::ops::Range;
use std::sync::Arc;

use gen_lsp_types as lsp;

/// How a client counts characters within a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// In bytes.
    Utf8,
    /// In units of UTF-16, two for what is outside the basic plane.
    Utf16,
}

/// A text and where its lines begin. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    text: Arc<str>,
    /// Of each line, in bytes; never empty.
    starts: Arc<[usize]>,
}

impl Text {
    /// Lines end at `\n`, `\r\n` and `\r`, as the protocol says.
    pub(crate) fn new(text: Arc<str>) -> Self {
        let bytes = text.as_bytes();
        let ends = bytes.iter().enumerate().filter(|(at, byte)| match byte {
            b'\n' => true,
            b'\r' => bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        });
        let starts = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    /// All of it.
    pub(crate) fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// The position of a byte offset; one past the end is the end, one inside a character is its begin.
    pub(crate) fn position(&self, offset: usize, encoding: Encoding) -> lsp::Position {
        let offset = floor_char(&self.text, offset);
        let line = self.starts.partition_point(|start| *start <= offset).saturating_sub(1);
        let start = self.starts.get(line).copied().unwrap_or_default();
        let before = self.text.get(start..offset).unwrap_or_default();
        let character = match encoding {
            Encoding::Utf8 => before.len(),
            Encoding::Utf16 => utf16_len(before),
        };
        lsp::Position { line: number(line), character: number(character) }
    }

    /// The byte offset of a position; a column past the end of its line is that end, a line past the end is the end.
    pub(crate) fn offset(&self, position: lsp::Position, encoding: Encoding) -> usize {
        let line = position.line as usize;
        let Some(start) = self.starts.get(line).copied() else { return self.text.len() };
        let end = self.starts.get(line + 1).copied().unwrap_or(self.text.len());
        let line = self.text.get(start..end).unwrap_or_default().trim_end_matches(['\n', '\r']);
        let column = position.character as usize;
        let within = match encoding {
            Encoding::Utf8 => floor_char(line, column),
            Encoding::Utf16 => utf16_offset(line, column),
        };
        start + within
    }

    /// The range of two byte offsets.
    pub(crate) fn range(&self, range: &Range<usize>, encoding: Encoding) -> lsp::Range {
        lsp::Range { start: self.position(range.start, encoding), end: self.position(range.end, encoding) }
    }

    /// The byte offsets of a range; a range that is turned around is taken the other way.
    pub(crate) fn span(&self, range: lsp::Range, encoding: Encoding) -> Range<usize> {
        let (start, end) = (self.offset(range.start, encoding), self.offset(range.end, encoding));
        start.min(end)..start.max(end)
    }

    /// The text with changes applied in order; each counts in the text that those before it left.
    #[must_use]
    pub(crate) fn changed(&self, changes: Vec<lsp::TextDocumentContentChangeEvent>, encoding: Encoding) -> Self {
        let mut text = self.clone();
        for change in changes {
            text = match change {
                lsp::TextDocumentContentChangeEvent::TextDocumentContentChangePartial(part) => {
                    let span = text.span(part.range, encoding);
                    let before = text.text.get(..span.start).unwrap_or_default();
                    let after = text.text.get(span.end..).unwrap_or_default();
                    Self::new(Arc::from([before, &part.text, after].concat()))
                }
                lsp::TextDocumentContentChangeEvent::TextDocumentContentChangeWholeDocument(whole) => {
                    Self::new(Arc::from(whole.text))
                }
            };
        }
        text
    }
}

/// The length of a piece in units of UTF-16, for offsets within a label.
pub(crate) fn utf16_len(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(char::len_utf16).sum() }
}

fn utf16_offset(line: &str, units: usize) -> usize {
    let mut seen = 0;
    for (at, character) in line.char_indices() {
        if seen + character.len_utf16() > units {
            return at;
        }
        seen += character.len_utf16();
    }
    line.len()
}

/// The last character boundary at or before `at`.
fn floor_char(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u32, character: u32) -> lsp::Position {
        lsp::Position { line, character }
    }

    #[test]
    fn positions_and_offsets_are_each_others_inverse() {
        let text = Text::new(Arc::from("a\r\nbä𝄞c\rd\n\nend"));
        for encoding in [Encoding::Utf8, Encoding::Utf16] {
            for (offset, _) in text.text().char_indices().filter(|(at, c)| *c != '\n' || *at != 2) {
                assert_eq!(text.offset(text.position(offset, encoding), encoding), offset, "{encoding:?}");
            }
        }
        // `b`, two bytes of `ä`, four of the clef; the clef is two units of UTF-16.
        assert_eq!(text.position(10, Encoding::Utf16), at(1, 4));
        assert_eq!(text.position(10, Encoding::Utf8), at(1, 7));
        assert_eq!(text.position(12, Encoding::Utf8), at(2, 0));
    }

    #[test]
    fn what_lies_outside_is_brought_to_the_nearest_place() {
        let text = Text::new(Arc::from("ab\r\nc𝄞\n"));
        assert_eq!(text.offset(at(0, 99), Encoding::Utf16), 2);
        assert_eq!(text.offset(at(99, 0), Encoding::Utf16), text.text().len());
        // In the middle of a pair of surrogates, and of a sequence of bytes.
        assert_eq!(text.offset(at(1, 2), Encoding::Utf16), 5);
        assert_eq!(text.offset(at(1, 3), Encoding::Utf8), 5);
        assert_eq!(text.position(usize::MAX, Encoding::Utf8), at(2, 0));
    }

    #[test]
    fn changes_count_in_the_text_before_them() {
        let partial = |range, new: &str| {
            lsp::TextDocumentContentChangeEvent::TextDocumentContentChangePartial(
                lsp::TextDocumentContentChangePartial { range, text: new.to_owned(), ..Default::default() },
            )
        };
        let range = |a, b| lsp::Range { start: a, end: b };
        let text = Text::new(Arc::from("one\ntwo\n"));
        let changes = vec![
            partial(range(at(1, 0), at(1, 3)), "𝄞 zwei"),
            partial(range(at(1, 2), at(1, 3)), ""),
            // Turned around, and past the end.
            partial(range(at(9, 9), at(2, 0)), "end"),
        ];
        assert_eq!(&**text.changed(changes, Encoding::Utf16).text(), "one\n𝄞zwei\nend");
    }
}
