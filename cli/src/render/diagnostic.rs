//! Diagnostics of the compiler as reports for a terminal and as JSON.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use imgc_compiler::{Diagnostic, Label, Place, Severity, Sources, Tag};
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource};
use serde_json::json;

use crate::args::Format;
use crate::render::snippet::{harmless, shaped};
use crate::render::text;
use crate::terminal::{Style, Terminal, paint};

/// A report of `miette`: the only place that knows its types.
#[derive(Debug)]
struct Report {
    code: &'static str,
    severity: miette::Severity,
    message: String,
    source: NamedSource<Arc<str>>,
    labels: Vec<LabeledSpan>,
    help: Option<String>,
    related: Vec<Report>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Report {}

impl miette::Diagnostic for Report {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        (!self.code.is_empty()).then(|| Box::new(self.code) as Box<dyn fmt::Display>)
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        (!self.related.is_empty())
            .then(|| Box::new(self.related.iter().map(|related| related as &dyn miette::Diagnostic)) as Box<_>)
    }
}

/// The one function that turns a diagnostic into a report.
fn report(diagnostic: &Diagnostic, sources: &Sources) -> Report {
    let place = sources.place(&diagnostic.primary.at);
    let (here, elsewhere): (Vec<&Label>, Vec<&Label>) =
        diagnostic.secondary.iter().partition(|label| sources.place(&label.at).path == place.path);
    let all: Vec<&Label> = std::iter::once(&diagnostic.primary).chain(here).collect();
    // A report has one place for advice: what to do stands first, what else is to be known below it.
    let mut advice: Vec<String> = diagnostic.help.iter().cloned().collect();
    advice.extend(diagnostic.fixes.iter().map(|fix| format!("to mend it: {}", fix.title)));
    advice.extend(diagnostic.notes.iter().map(|note| format!("note: {note}")));
    let (source, labels) = marked(&all, sources, &place);
    Report {
        code: diagnostic.code,
        severity: match diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        },
        message: harmless(&diagnostic.message),
        source,
        labels,
        help: (!advice.is_empty()).then(|| harmless(&advice.join("\n"))),
        related: elsewhere.into_iter().map(|label| related(label, sources)).collect(),
    }
}

fn related(label: &Label, sources: &Sources) -> Report {
    let place = sources.place(&label.at);
    let unnamed = Label { at: label.at, text: String::new() };
    let (source, labels) = marked(&[&unnamed], sources, &place);
    Report {
        code: "",
        severity: miette::Severity::Advice,
        message: harmless(&label.text),
        source,
        labels,
        help: None,
        related: Vec::new(),
    }
}

/// The text of a place with labels in it, the first of which is the primary one.
fn marked(labels: &[&Label], sources: &Sources, place: &Place) -> (NamedSource<Arc<str>>, Vec<LabeledSpan>) {
    let range = |label: &&Label| {
        let place = sources.place(&label.at);
        place.start..place.end
    };
    let snippet = shaped(&place.text, &labels.iter().map(range).collect::<Vec<_>>());
    let mut spans = Vec::with_capacity(labels.len());
    for (label, range) in labels.iter().zip(snippet.ranges) {
        let text = (!label.text.is_empty()).then(|| harmless(&label.text));
        let primary = spans.is_empty();
        spans.push(if primary {
            LabeledSpan::new_primary_with_span(text, range)
        } else {
            LabeledSpan::new_with_span(text, range)
        });
    }
    (NamedSource::new(harmless(&place.path), snippet.text), spans)
}

/// A place in a text that something other than the compiler points at.
pub(crate) struct Pointer<'a> {
    /// Of the module, as people see it.
    pub(crate) path: &'a str,
    /// The module's whole text.
    pub(crate) text: &'a str,
    /// Bytes.
    pub(crate) range: std::ops::Range<usize>,
    /// What is to be said there.
    pub(crate) label: String,
    /// The error.
    pub(crate) message: String,
    /// What to do.
    pub(crate) help: Option<String>,
}

/// An error that happened while something ran, shown where the program asks for it.
pub(crate) fn pointed(pointer: &Pointer<'_>, terminal: &Terminal) -> String {
    let end = pointer.range.end.min(pointer.text.len());
    let start = pointer.range.start.min(end);
    let snippet = shaped(&Arc::from(pointer.text), std::slice::from_ref(&(start..end)));
    let label = |range| LabeledSpan::new_primary_with_span(Some(harmless(&pointer.label)), range);
    let report = Report {
        code: "",
        severity: miette::Severity::Error,
        message: harmless(&pointer.message),
        source: NamedSource::new(harmless(pointer.path), snippet.text),
        labels: snippet.ranges.into_iter().map(label).collect(),
        help: pointer.help.as_deref().map(harmless),
        related: Vec::new(),
    };
    render(&report, terminal)
}

fn render(report: &Report, terminal: &Terminal) -> String {
    let theme = if terminal.err_color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(terminal.width).with_links(false);
    let mut text = String::new();
    match handler.render_report(&mut text, report) {
        Ok(()) => text,
        Err(fmt::Error) => format!("{}: {}\n", report.code, report.message),
    }
}

/// Prints diagnostics in their order: for people on standard error, for programs as one
/// JSON document on standard output.
pub(crate) fn print(terminal: &Terminal, format: Format, diagnostics: &[Diagnostic], sources: &Sources) {
    match format {
        Format::Human => print_human(terminal, diagnostics, sources),
        Format::Json => terminal.out(safe(&document(diagnostics, sources))),
    }
}

fn print_human(terminal: &Terminal, diagnostics: &[Diagnostic], sources: &Sources) {
    for diagnostic in diagnostics {
        terminal.err(render(&report(diagnostic, sources), terminal).trim_end_matches('\n'));
    }
    let count = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let warned = (warnings > 0).then(|| paint(terminal.err_color, Style::Yellow, text::count(warnings, "warning")));
    let failed = (errors > 0).then(|| paint(terminal.err_color, Style::Red, text::count(errors, "error")));
    let counted: Vec<String> = failed.into_iter().chain(warned).collect();
    if !counted.is_empty() {
        terminal.err(counted.join(", "));
    }
}

/// JSON in which no character could change a terminal.
pub(crate) fn safe(document: &serde_json::Value) -> String {
    let mut text = String::new();
    for c in document.to_string().chars() {
        // The characters below U+0020 are escaped by JSON itself.
        if c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text
}

/// Diagnostics as one JSON value.
pub(crate) fn document(diagnostics: &[Diagnostic], sources: &Sources) -> serde_json::Value {
    let place = |label: &Label| {
        let place = sources.place(&label.at);
        json!({
            "file": &*place.path, "line": place.line, "column": place.column,
            "start": place.start, "end": place.end, "text": label.text,
        })
    };
    let all: Vec<_> = diagnostics
        .iter()
        .map(|d| {
            json!({
                "code": d.code,
                "severity": match d.severity { Severity::Error => "error", Severity::Warning => "warning" },
                "message": d.message,
                "primary": place(&d.primary),
                "secondary": d.secondary.iter().map(place).collect::<Vec<_>>(),
                "notes": d.notes,
                "help": d.help,
                "tags": d.tags.iter().map(|tag| match tag {
                    Tag::Unnecessary => "unnecessary",
                    Tag::Deprecated => "deprecated",
                }).collect::<Vec<_>>(),
                "fixes": d.fixes.iter().map(|fix| json!({
                    "title": fix.title,
                    "applicability": match fix.applicability {
                        imgc_compiler::diagnostic::Applicability::Safe => "safe",
                        imgc_compiler::diagnostic::Applicability::Maybe => "maybe",
                        imgc_compiler::diagnostic::Applicability::Placeholder => "placeholder",
                    },
                    "edits": fix.edits.iter().map(|(at, text)| {
                        let place = sources.place(at);
                        json!({ "file": &*place.path, "start": place.start, "end": place.end, "text": text })
                    }).collect::<Vec<_>>(),
                })).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({ "format": 1, "event": "diagnostics", "diagnostics": all })
}

/// Whether there is an error among them.
pub(crate) fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|d| d.severity == Severity::Error)
}
