//! What a failed run tells: the place in the program, the last lines of the step, where the whole log is.

use imgc_compiler::Sources;
use imgc_engine::{EngineError, Failure as NodeFailure, Refused};
use imgc_plan::{NodeId, Plan, Work};

use super::diagnostic::{Pointer, pointed};
use crate::terminal::{Style, Terminal, paint};

/// Prints a node that failed.
pub(crate) fn node(terminal: &Terminal, plan: &Plan, sources: &Sources, failure: &NodeFailure) {
    let mut message = format!("{} failed", failure.address);
    let causes = causes(&failure.error);
    let label = causes.first().cloned().unwrap_or_default();
    if let Some(rest) = causes.get(1) {
        message = format!("{message}: {rest}");
    }
    at(terminal, plan, sources, failure.node, &message, &label, failure.error.help());
    let color = terminal.err_color;
    if !failure.last_lines.is_empty() {
        let heading = format!("last {} of its output:", super::text::count(failure.last_lines.len(), "line"));
        terminal.err(format_args!("  {}", paint(color, Style::Bold, heading)));
        for line in &failure.last_lines {
            terminal.err(format_args!("  {} {}", paint(color, Style::Dim, "│"), super::text::visible(line)));
        }
    }
    if let Some(log) = &failure.log {
        terminal.err(format_args!("  {} {}", paint(color, Style::Bold, "log:"), log.display()));
    }
    if let Work::Step(_) = plan.node(failure.node).work {
        let address = failure.address.0.replace('\'', "'\\''");
        let say = |what: &str, how: &str| {
            terminal.err(format_args!("  {} imgc shell {how} '{address}'", paint(color, Style::Bold, what)));
        };
        say("a shell where it began:", "--before");
        if let Some(token) = &failure.parked {
            say("its machine was kept, until the next apply or `imgc clean`:", &format!("--parked {token}"));
        }
    }
}

/// Prints a node that cannot be built here.
pub(crate) fn refused(terminal: &Terminal, plan: &Plan, sources: &Sources, refused: &Refused) {
    let message = format!("{}: {}", refused.address, refused.message);
    at(terminal, plan, sources, refused.node, &message, "asked for here", refused.help.as_deref());
}

/// Prints a source that cannot be locked, where the error is about one; whether it was.
pub(crate) fn lock(terminal: &Terminal, plan: &Plan, sources: &Sources, error: &EngineError) -> bool {
    let EngineError::Lock { node, source, .. } = error else { return false };
    let causes = causes(source);
    let label = causes.join(": ");
    at(terminal, plan, sources, *node, &error.to_string(), &label, source.help());
    true
}

fn at(
    terminal: &Terminal,
    plan: &Plan,
    sources: &Sources,
    node: NodeId,
    message: &str,
    label: &str,
    help: Option<&str>,
) {
    let span = plan.node(node).span.as_ref();
    let text_of = |file: &str| sources.modules().iter().find(|module| *module.path == *file).map(|module| &module.text);
    if let Some(span) = span
        && let Some(text) = text_of(&span.file)
    {
        let pointer = Pointer {
            path: &span.file,
            text,
            range: span.start as usize..first_line(text, span.start as usize, span.end as usize),
            label: label.to_owned(),
            message: message.to_owned(),
            help: help.map(str::to_owned),
        };
        terminal.err(pointed(&pointer, terminal).trim_end_matches('\n'));
        return;
    }
    let color = terminal.err_color;
    terminal.err(format_args!("{} {message}", paint(color, Style::Red, "error:")));
    terminal.err(format_args!("  because: {label}"));
    if let Some(help) = help {
        terminal.err(format_args!("  {} {help}", paint(color, Style::Cyan, "help:")));
    }
}

/// The end of the first line of a range: the head of a step is enough to find it.
fn first_line(text: &str, start: usize, end: usize) -> usize {
    let range = text.get(start..end).unwrap_or_default();
    start + range.find('\n').unwrap_or(range.len())
}

/// The error and all that is behind it.
pub(crate) fn causes(error: &dyn std::error::Error) -> Vec<String> {
    let mut found = vec![error.to_string()];
    let mut next = error.source();
    while let Some(error) = next {
        found.push(error.to_string());
        next = error.source();
    }
    found
}
