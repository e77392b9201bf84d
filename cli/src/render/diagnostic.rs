//! Diagnostics of the compiler as reports for a terminal and as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use imgc_compiler::{Diagnostic, Label, Severity, Sources};
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource};
use serde_json::json;

use crate::args::Format;
use crate::terminal::{Style, Terminal, paint};

/// So many are shown of one file; the rest is counted.
const MOST: usize = 100;

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
    let mut labels = vec![span(&diagnostic.primary, sources, true)];
    labels.extend(here.into_iter().map(|label| span(label, sources, false)));
    // A report has one place for advice: what to do stands first, what else is to be known below it.
    let mut advice: Vec<String> = diagnostic.help.iter().cloned().collect();
    advice.extend(diagnostic.fixes.iter().map(|fix| format!("to mend it: {}", fix.title)));
    advice.extend(diagnostic.notes.iter().map(|note| format!("note: {note}")));
    Report {
        code: diagnostic.code,
        severity: match diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        },
        message: diagnostic.message.clone(),
        source: NamedSource::new(&place.path, place.text),
        labels,
        help: (!advice.is_empty()).then(|| advice.join("\n")),
        related: elsewhere.into_iter().map(|label| related(label, sources)).collect(),
    }
}

fn related(label: &Label, sources: &Sources) -> Report {
    let place = sources.place(&label.at);
    Report {
        code: "",
        severity: miette::Severity::Advice,
        message: label.text.clone(),
        source: NamedSource::new(&place.path, place.text),
        labels: vec![LabeledSpan::new_with_span(None, place.start..place.end)],
        help: None,
        related: Vec::new(),
    }
}

fn span(label: &Label, sources: &Sources, primary: bool) -> LabeledSpan {
    let place = sources.place(&label.at);
    let text = (!label.text.is_empty()).then(|| label.text.clone());
    if primary {
        LabeledSpan::new_primary_with_span(text, place.start..place.end)
    } else {
        LabeledSpan::new_with_span(text, place.start..place.end)
    }
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
    let report = Report {
        code: "",
        severity: miette::Severity::Error,
        message: pointer.message.clone(),
        source: NamedSource::new(pointer.path, Arc::from(pointer.text)),
        labels: vec![LabeledSpan::new_primary_with_span(Some(pointer.label.clone()), start..end)],
        help: pointer.help.clone(),
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

/// Prints diagnostics in their order, at most [`MOST`] a file: for people on standard error, for programs as one
/// JSON document on standard output.
pub(crate) fn print(terminal: &Terminal, format: Format, diagnostics: &[Diagnostic], sources: &Sources) {
    match format {
        Format::Human => print_human(terminal, diagnostics, sources),
        Format::Json => terminal.out(document(diagnostics, sources)),
    }
}

fn print_human(terminal: &Terminal, diagnostics: &[Diagnostic], sources: &Sources) {
    let mut shown: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    for diagnostic in diagnostics {
        let count = shown.entry(sources.place(&diagnostic.primary.at).path).or_default();
        *count += 1;
        if *count <= MOST {
            terminal.err(render(&report(diagnostic, sources), terminal).trim_end_matches('\n'));
        }
    }
    for (path, count) in shown.into_iter().filter(|(_, count)| *count > MOST) {
        terminal.err(format_args!("{path}: {} more are not shown", count - MOST));
    }
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    if errors > 0 {
        let text = if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") };
        terminal.err(paint(terminal.err_color, Style::Red, text));
    }
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
