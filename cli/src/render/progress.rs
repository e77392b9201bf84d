//! What a run tells while it goes on: live lines on a terminal, prefixed lines elsewhere, events for programs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use imgc_backend::{Event, EventSink, Stream};
use imgc_engine::Estimate;
use imgc_plan::{NodeId, Plan};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::outlook::Outlook;
use super::text::{duration, visible};
use crate::args::Format;
use crate::terminal::{Style, Terminal, paint};

/// The format number of events.
const EVENTS_FORMAT: u32 = 1;
/// A line longer than this is shown in pieces.
const LONGEST_LINE: usize = 16 * 1024;

/// The progress of one run. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Progress(Arc<Mutex<State>>);

struct State {
    terminal: Terminal,
    format: Format,
    /// Also tells what was cached.
    verbose: bool,
    addresses: Vec<String>,
    outlook: Option<Outlook>,
    /// The unfinished last line of each stream.
    partial: BTreeMap<(NodeId, &'static str), Vec<u8>>,
    live: Option<Live>,
}

struct Live {
    all: MultiProgress,
    bars: BTreeMap<NodeId, ProgressBar>,
}

impl Progress {
    /// The progress of a run of `plan`, whose nodes are expected to take so long.
    pub(crate) fn new(terminal: Terminal, format: Format, verbose: bool, plan: &Plan) -> Self {
        let live = (terminal.live && format == Format::Human).then(|| Live {
            all: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
            bars: BTreeMap::new(),
        });
        Self(Arc::new(Mutex::new(State {
            terminal,
            format,
            verbose,
            addresses: plan.nodes.iter().map(|node| node.address.to_string()).collect(),
            outlook: None,
            partial: BTreeMap::new(),
            live,
        })))
    }

    /// How long the run is expected to take.
    pub(crate) fn expect(&self, estimate: Estimate) {
        self.with(|state| state.outlook = Some(Outlook::new(estimate, state.live.as_ref().map(|live| &live.all))));
    }

    /// Does something with the live lines out of the way, and nothing else printed meanwhile.
    pub(crate) fn suspended<T>(&self, f: impl FnOnce() -> T) -> T {
        self.with(|state| match &state.live {
            Some(live) => live.all.suspend(f),
            None => f(),
        })
    }

    /// Where the engine sends events.
    pub(crate) fn sink(&self) -> EventSink {
        let progress = self.clone();
        EventSink::new(move |event| progress.with(|state| state.receive(event)))
    }

    /// Something that the command itself has to say.
    pub(crate) fn say(&self, text: &str) {
        self.with(|state| state.note(text));
    }

    /// Takes the live lines away.
    pub(crate) fn finish(&self) {
        self.with(|state| {
            if let Some(outlook) = state.outlook.take() {
                outlook.finish();
            }
            if let Some(live) = state.live.take() {
                live.bars.values().for_each(ProgressBar::finish_and_clear);
                let _ = live.all.clear();
            }
        });
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn receive(&mut self, event: Event) {
        if let Some(outlook) = &mut self.outlook {
            outlook.receive(&event);
        }
        match event {
            Event::Started { node, address } => {
                self.event("started", &address.0, json!({}));
                self.begin(node, &address.0);
            }
            Event::Output { node, stream, bytes } => self.output(node, stream, &bytes),
            Event::Cached { address, .. } => {
                self.event("cached", &address.0, json!({}));
                if self.verbose {
                    self.line(&format!("{} {address}", self.mark(Style::Dim, "=")));
                }
            }
            Event::Finished { node, address, took } => {
                self.flush(node);
                self.event("finished", &address.0, json!({ "seconds": took.as_secs_f64() }));
                self.end(node);
                self.line(&format!("{} {address} ({})", self.mark(Style::Green, "✓"), duration(took)));
            }
            Event::Failed { node, address, error } => {
                self.flush(node);
                self.event("failed", &address.0, json!({ "error": error }));
                self.end(node);
                self.line(&format!("{} {address}: {error}", self.mark(Style::Red, "✗")));
            }
            Event::Note { text } => self.note(&text),
        }
    }

    fn mark(&self, style: Style, mark: &str) -> String {
        paint(self.terminal.err_color, style, mark)
    }

    fn note(&self, text: &str) {
        match self.format {
            Format::Json => self.terminal.out(json!({ "format": EVENTS_FORMAT, "event": "note", "text": text })),
            Format::Human => self.line(&format!("{} {text}", self.mark(Style::Cyan, "note:"))),
        }
    }

    /// A line for people, above the live lines.
    fn line(&self, text: &str) {
        match (self.format, &self.live) {
            (Format::Json, _) => {}
            (Format::Human, Some(live)) => live.all.suspend(|| self.terminal.err(text)),
            (Format::Human, None) => self.terminal.err(text),
        }
    }

    fn event(&self, event: &str, address: &str, more: serde_json::Value) {
        if self.format == Format::Human {
            return;
        }
        let mut line = json!({ "format": EVENTS_FORMAT, "event": event, "address": address });
        if let (Some(line), serde_json::Value::Object(more)) = (line.as_object_mut(), more) {
            line.extend(more);
        }
        self.terminal.out(line);
    }

    fn begin(&mut self, node: NodeId, address: &str) {
        let Some(live) = &mut self.live else {
            self.line(&format!("{} {address}", self.mark(Style::Cyan, "▸")));
            return;
        };
        let bar = live.all.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {elapsed} {wide_msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(address.to_owned());
        if let Some(expected) = self.outlook.as_ref().and_then(|outlook| outlook.expected(node)) {
            bar.set_message(format!("of about {}", duration(expected)));
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        live.bars.insert(node, bar);
    }

    fn end(&mut self, node: NodeId) {
        if let Some(live) = &mut self.live
            && let Some(bar) = live.bars.remove(&node)
        {
            bar.finish_and_clear();
            live.all.remove(&bar);
        }
    }

    /// Shows whole lines as they become whole; output comes in pieces that end anywhere.
    fn output(&mut self, node: NodeId, stream: Stream, bytes: &[u8]) {
        let name = stream_name(stream);
        let mut partial = self.partial.remove(&(node, name)).unwrap_or_default();
        partial.extend_from_slice(bytes);
        while let Some(end) = partial.iter().position(|b| *b == b'\n') {
            let rest = partial.split_off(end + 1);
            self.output_line(node, name, &partial);
            partial = rest;
        }
        if partial.len() > LONGEST_LINE {
            self.output_line(node, name, &partial);
            partial.clear();
        }
        if !partial.is_empty() {
            self.partial.insert((node, name), partial);
        }
    }

    fn flush(&mut self, node: NodeId) {
        for name in ["stdout", "stderr", "note"] {
            if let Some(rest) = self.partial.remove(&(node, name)) {
                self.output_line(node, name, &rest);
            }
        }
    }

    fn output_line(&self, node: NodeId, stream: &str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_end_matches('\n');
        let address = self.addresses.get(node.index()).map_or("", String::as_str);
        if self.format == Format::Json {
            self.event("output", address, json!({ "stream": stream, "text": text }));
            return;
        }
        match &self.live {
            None => self.terminal.err(format_args!("{address} | {}", visible(text))),
            Some(live) => {
                let text = visible(text);
                if let Some(bar) = live.bars.get(&node)
                    && !text.trim().is_empty()
                {
                    let expected = self.outlook.as_ref().and_then(|outlook| outlook.expected(node));
                    let of = expected.map(|time| format!("of about {}  ", duration(time))).unwrap_or_default();
                    bar.set_message(format!("{of}{text}"));
                }
            }
        }
    }
}

fn stream_name(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
        Stream::Note => "note",
    }
}
