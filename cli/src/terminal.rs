//! The two streams that people and programs read, and whether they take colours.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use crate::args::ColorWhen;

/// Standard output and standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    /// Colours on standard output.
    pub(crate) out_color: bool,
    /// Colours on standard error.
    pub(crate) err_color: bool,
    /// Whether standard error is a terminal that can redraw lines.
    pub(crate) live: bool,
    /// Characters in a line.
    pub(crate) width: usize,
}

/// A colour or weight of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Headings, names.
    Bold,
    /// What matters less.
    Dim,
    /// Errors.
    Red,
    /// What is new or went well.
    Green,
    /// What changes, warnings.
    Yellow,
    /// What is pending, help.
    Cyan,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "31;1",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Cyan => "36",
        }
    }
}

/// The text in a style, or as it is where there are no colours.
pub(crate) fn paint(color: bool, style: Style, text: impl Display) -> String {
    if color { format!("\u{1b}[{}m{text}\u{1b}[0m", style.code()) } else { text.to_string() }
}

#[expect(clippy::unused_self, reason = "the streams are the terminal's, though the process holds them")]
impl Terminal {
    /// A question on standard error, whose answer follows on the same line.
    pub(crate) fn prompt(self, text: &str) {
        let mut stream = std::io::stderr().lock();
        // Who cannot be asked does not answer.
        let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
    }

    /// The streams of this process.
    pub(crate) fn new(when: ColorWhen) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let wanted = |terminal: bool| match when {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => terminal && !no_color && !dumb,
        };
        let err_terminal = std::io::stderr().is_terminal();
        Self {
            out_color: wanted(std::io::stdout().is_terminal()),
            err_color: wanted(err_terminal),
            live: err_terminal && !dumb,
            width: width(),
        }
    }

    /// A line on standard output. What cannot be written is told by [`Terminal::finish`].
    pub(crate) fn out(&self, text: impl Display) {
        note_failure(writeln!(std::io::stdout().lock(), "{text}"));
    }

    /// Writes out what is still held back, and says whether all of standard output could be written. A reader that went
    /// away is no error: it has what it wanted.
    pub(crate) fn finish(&self) -> std::io::Result<()> {
        note_failure(std::io::stdout().lock().flush());
        match FAILED.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error),
            Some(_) | None => Ok(()),
        }
    }

    /// A line on standard error.
    pub(crate) fn err(&self, text: impl Display) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// Text on standard output as it is.
    pub(crate) fn write(&self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        note_failure(out.write_all(bytes).and_then(|()| out.flush()));
    }

    /// `note: …` on standard error.
    pub(crate) fn note(&self, text: impl Display) {
        self.err(format_args!("{} {text}", paint(self.err_color, Style::Cyan, "note:")));
    }

    /// `warning: …` on standard error.
    pub(crate) fn warning(&self, text: impl Display) {
        self.err(format_args!("{} {text}", paint(self.err_color, Style::Yellow, "warning:")));
    }
}

/// The first failure to write to standard output: there is one such stream in a process.
static FAILED: Mutex<Option<std::io::Error>> = Mutex::new(None);

fn note_failure(written: std::io::Result<()>) {
    if let Err(error) = written {
        FAILED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// Of standard error or output, whichever is a terminal; `COLUMNS` where neither is, else 80.
fn width() -> usize {
    let of = |size: Result<rustix::termios::Winsize, _>| size.ok().map(|size| usize::from(size.ws_col));
    of(rustix::termios::tcgetwinsize(std::io::stderr()))
        .or_else(|| of(rustix::termios::tcgetwinsize(std::io::stdout())))
        .or_else(|| std::env::var("COLUMNS").ok()?.parse().ok())
        .filter(|width| *width >= 20)
        .unwrap_or(80)
}
