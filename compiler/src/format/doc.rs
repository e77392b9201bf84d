//! Documents: text with places where it may break, and the printer that decides where it does. Unaware of the language.

/// Columns that a line should not pass.
const WIDTH: usize = 100;

/// Blanks a level.
const STEP: usize = 2;

/// A text that may be laid out in more than one way.
#[derive(Debug, Clone)]
pub(super) struct Doc {
    kind: Kind,
    /// Whether something in it ends a line in every layout.
    breaks: bool,
}

#[derive(Debug, Clone)]
enum Kind {
    Text(String),
    /// Several lines as they are.
    Verbatim(String),
    /// Nothing when flat, else a line end.
    Soft,
    /// A blank when flat, else a line end.
    Line,
    /// A line end.
    Hard,
    /// A line end without indentation after it.
    Empty,
    /// A comment that stands at the end of the line, wherever that is.
    Comment(String),
    /// Stands only where its group is broken.
    IfBroken(&'static str),
    /// Stands only where its group is flat.
    IfFlat(&'static str),
    /// Ends the line if comments wait for that: a text of several lines comes, and must not swallow them.
    Flush,
    Concat(Vec<Doc>),
    Indent(Vec<Doc>),
    /// Flat if it fits, else every soft and hard line in it ends a line.
    Group(Vec<Doc>),
}

impl Doc {
    fn new(kind: Kind, breaks: bool) -> Self {
        Self { kind, breaks }
    }

    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::new(Kind::Text(text.into()), false)
    }

    pub(super) fn verbatim(text: impl Into<String>) -> Self {
        let text = text.into();
        if !text.contains('\n') {
            return Self::text(text);
        }
        Self::concat(vec![Self::flush(), Self::new(Kind::Verbatim(text), true)])
    }

    pub(super) fn flush() -> Self {
        Self::new(Kind::Flush, false)
    }

    /// A comment on a line of its own.
    pub(super) fn own_line(text: &str) -> Self {
        Self::new(Kind::Text(text.trim_end().to_owned()), true)
    }

    pub(super) fn if_flat(text: &'static str) -> Self {
        Self::new(Kind::IfFlat(text), false)
    }

    pub(super) fn soft() -> Self {
        Self::new(Kind::Soft, false)
    }

    pub(super) fn line() -> Self {
        Self::new(Kind::Line, false)
    }

    pub(super) fn hard() -> Self {
        Self::new(Kind::Hard, true)
    }

    pub(super) fn empty_line() -> Self {
        Self::new(Kind::Empty, true)
    }

    pub(super) fn comment(text: &str) -> Self {
        Self::new(Kind::Comment(text.trim_end().to_owned()), true)
    }

    pub(super) fn if_broken(text: &'static str) -> Self {
        Self::new(Kind::IfBroken(text), false)
    }

    pub(super) fn concat(parts: Vec<Doc>) -> Self {
        let breaks = parts.iter().any(|part| part.breaks);
        Self::new(Kind::Concat(parts), breaks)
    }

    pub(super) fn indent(parts: Vec<Doc>) -> Self {
        let breaks = parts.iter().any(|part| part.breaks);
        Self::new(Kind::Indent(parts), breaks)
    }

    pub(super) fn group(parts: Vec<Doc>) -> Self {
        let breaks = parts.iter().any(|part| part.breaks);
        Self::new(Kind::Group(parts), breaks)
    }

    /// A group that is broken whether it fits or not.
    pub(super) fn broken(parts: Vec<Doc>) -> Self {
        Self::new(Kind::Group(parts), true)
    }

    /// Whether it has more than one line in every layout.
    pub(super) fn breaks(&self) -> bool {
        self.breaks
    }
}

/// Something to print: how deep, whether flat, what.
type Command<'d> = (usize, bool, &'d Doc);

/// Prints documents into one text.
#[derive(Default)]
pub(super) struct Printer {
    out: String,
    column: usize,
    /// Comments that wait for the end of the line.
    comments: Vec<String>,
    /// Indentation that is due before the next text.
    due: usize,
}

impl Printer {
    /// Prints a document that begins at the start of a line, and ends its last line.
    pub(super) fn print(&mut self, doc: &Doc) {
        let mut stack: Vec<Command<'_>> = vec![(0, false, doc)];
        while let Some((depth, flat, doc)) = stack.pop() {
            match &doc.kind {
                Kind::Text(text) => self.write(text),
                Kind::Verbatim(text) => self.write_lines(text),
                Kind::Soft if flat => {}
                Kind::Line if flat => self.write(" "),
                Kind::Soft | Kind::Line | Kind::Hard => self.end_line(depth * STEP),
                Kind::Empty => self.end_line(0),
                Kind::Comment(text) => self.comments.push(text.clone()),
                Kind::Flush => {
                    if !self.comments.is_empty() {
                        self.end_line(depth * STEP);
                    }
                }
                Kind::IfBroken(text) if !flat => self.write(text),
                Kind::IfFlat(text) if flat => self.write(text),
                Kind::IfBroken(_) | Kind::IfFlat(_) => {}
                Kind::Concat(parts) => stack.extend(parts.iter().rev().map(|part| (depth, flat, part))),
                Kind::Indent(parts) => stack.extend(parts.iter().rev().map(|part| (depth + 1, flat, part))),
                Kind::Group(parts) => {
                    let flat = flat || !doc.breaks && self.fits(parts, &stack);
                    stack.extend(parts.iter().rev().map(|part| (depth, flat, part)));
                }
            }
        }
        self.end_line(0);
    }

    /// An empty line, between lines.
    pub(super) fn blank(&mut self) {
        self.out.push('\n');
    }

    /// Whether nothing was printed yet.
    pub(super) fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    /// Whether the parts of a group, and what follows up to the next line end, fit on the line.
    fn fits(&self, parts: &[Doc], after: &[Command<'_>]) -> bool {
        let used = self.column + self.due;
        let mut left = WIDTH.saturating_sub(used);
        let mut stack: Vec<(bool, &Doc)> = parts.iter().rev().map(|part| (true, part)).collect();
        let mut after = after.iter().rev();
        loop {
            let Some((flat, doc)) = stack.pop().or_else(|| after.next().map(|(_, flat, doc)| (*flat, *doc))) else {
                return true;
            };
            match &doc.kind {
                Kind::Text(text) => match left.checked_sub(text.chars().count()) {
                    Some(rest) => left = rest,
                    None => return false,
                },
                Kind::Verbatim(text) => return text.lines().next().is_none_or(|line| line.chars().count() <= left),
                Kind::Line if flat => match left.checked_sub(1) {
                    Some(rest) => left = rest,
                    None => return false,
                },
                Kind::Soft if flat => {}
                Kind::Soft | Kind::Line | Kind::Hard | Kind::Empty => return true,
                Kind::IfFlat(text) if flat => match left.checked_sub(text.len()) {
                    Some(rest) => left = rest,
                    None => return false,
                },
                Kind::Comment(_) | Kind::IfBroken(_) | Kind::IfFlat(_) | Kind::Flush => {}
                Kind::Concat(parts) | Kind::Indent(parts) => stack.extend(parts.iter().rev().map(|part| (flat, part))),
                // A group behind this one can still break.
                Kind::Group(parts) => stack.extend(parts.iter().rev().map(|part| (flat, part))),
            }
        }
    }

    fn write(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.out.extend(std::iter::repeat_n(' ', self.due));
        self.column += self.due + text.chars().count();
        self.due = 0;
        self.out.push_str(text);
    }

    fn write_lines(&mut self, text: &str) {
        self.write(text);
        self.column = text.rsplit('\n').next().map_or(0, |line| line.chars().count());
    }

    fn end_line(&mut self, indent: usize) {
        for comment in std::mem::take(&mut self.comments) {
            if self.column > 0 {
                self.write(" ");
            }
            self.write(&comment);
        }
        self.out.push('\n');
        self.column = 0;
        self.due = indent;
    }
}
