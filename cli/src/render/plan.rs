//! A plan and its forecast as a tree for people, and as JSON.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};

use imgc_engine::{Forecast, NodeForecast, Selection, Standing};
use imgc_plan::{Image, NodeId, OutputValue, Plan, Value, Work};
use serde_json::json;

use super::text::{count, duration};
use crate::terminal::{Style, Terminal, paint};

/// The four marks of a plan.
fn mark(standing: &Standing) -> (&'static str, Style) {
    match standing {
        Standing::Cached | Standing::Unneeded => ("=", Style::Dim),
        Standing::New | Standing::Pending { new: true, .. } => ("+", Style::Green),
        Standing::Changed { .. } | Standing::Follows { .. } => ("~", Style::Yellow),
        Standing::Pending { new: false, .. } => ("?", Style::Cyan),
    }
}

/// What the lines are made from.
struct Tree<'a> {
    plan: &'a Plan,
    /// A place for each node of the plan.
    by_node: Vec<Option<&'a NodeForecast>>,
    terminal: &'a Terminal,
    text: String,
}

/// The whole text that `imgc plan` prints, without a line end.
pub(crate) fn text(plan: &Plan, selection: &Selection, forecast: &Forecast, terminal: &Terminal) -> String {
    let mut by_node = vec![None; plan.nodes.len()];
    for node in &forecast.nodes {
        if let Some(place) = by_node.get_mut(node.node.index()) {
            *place = Some(node);
        }
    }
    let mut tree = Tree { plan, by_node, terminal, text: String::new() };
    plan.images.iter().for_each(|image| tree.image(image));
    tree.outputs(selection);
    tree.text.push_str(&summary(forecast, terminal));
    tree.text
}

impl<'a> Tree<'a> {
    fn paint(&self, style: Style, text: impl Display) -> String {
        paint(self.terminal.out_color, style, text)
    }

    fn line(&mut self, text: impl Display) {
        // Nothing refuses to be written to a text.
        let _ = writeln!(self.text, "{text}");
    }

    fn forecast(&self, id: NodeId) -> Option<&'a NodeForecast> {
        self.by_node.get(id.index()).copied().flatten()
    }

    fn image(&mut self, image: &Image) {
        let nodes: Vec<NodeId> = image.nodes.iter().copied().filter(|id| self.forecast(*id).is_some()).collect();
        if nodes.is_empty() {
            return;
        }
        let from = image.from.as_ref().map(|from| format!(", from {from}")).unwrap_or_default();
        let about = self.paint(Style::Dim, format_args!("({}{from})", image.platform));
        let name = self.paint(Style::Bold, &image.address);
        self.line(format_args!("{name} {about}"));
        for id in nodes {
            self.node(id, &image.address.0);
        }
        self.line("");
    }

    fn node(&mut self, id: NodeId, below: &str) {
        let Some(forecast) = self.forecast(id) else { return };
        let node = self.plan.node(id);
        let address =
            node.address.0.strip_prefix(below).map_or(node.address.0.as_str(), |rest| rest.trim_start_matches('/'));
        let name = match &node.work {
            Work::Source(source) => match &source.locked {
                Some(locked) => Cow::from(format!("{address}: {} {}", node.kind, self.paint(Style::Dim, &locked.name))),
                None => Cow::from(format!("{address}: {}", node.kind)),
            },
            Work::Step(_) => Cow::from(address),
            Work::Artifact(_) => Cow::from(format!("{address}: {}", node.kind)),
        };
        let (mark, style) = mark(&forecast.standing);
        let (mark, why) = (self.paint(style, mark), self.why(&forecast.standing));
        self.line(format_args!("  {mark} {name}{why}"));
    }

    /// What stands behind the name: nothing for what is cached.
    fn why(&self, standing: &Standing) -> String {
        let text = match standing {
            Standing::Cached | Standing::Unneeded | Standing::New | Standing::Pending { new: true, .. } => {
                return String::new();
            }
            Standing::Changed { cause, following: 0 } => format!("will run: {cause}"),
            Standing::Changed { cause, following: 1 } => format!("will run: {cause}, 1 node follows from it"),
            Standing::Changed { cause, following } => {
                format!("will run: {cause}, {} follow from it", count(*following, "node"))
            }
            Standing::Pending { below, .. } => format!("depends on what {} leaves", self.plan.node(*below).address),
            Standing::Follows { below } => format!("will run after {}", self.plan.node(*below).address),
        };
        format!("  {}", self.paint(Style::Dim, &text))
    }

    fn outputs(&mut self, selection: &Selection) {
        if self.plan.outputs.is_empty() {
            self.line("no outputs: nothing is built");
            return;
        }
        let title = self.paint(Style::Bold, "outputs");
        self.line(title);
        for target in &selection.targets {
            match &target.value {
                Some(Value::None) => continue,
                Some(_) => {
                    self.line(format_args!("    {} = known once it is built", target.name));
                    continue;
                }
                None => {}
            }
            let node = self.plan.node(target.node);
            let Some(forecast) = self.forecast(target.node) else { continue };
            let (mark, style) = mark(&forecast.standing);
            let file = target.file.as_ref().map(|file| format!(" → {file}")).unwrap_or_default();
            let kind = if target.file.is_some() { node.kind.as_str() } else { "image" };
            let (mark, why) = (self.paint(style, mark), self.why(&forecast.standing));
            self.line(format_args!("  {mark} {}: {kind}{file}{why}", target.name));
        }
        let plan = self.plan;
        for output in &plan.outputs {
            match &output.value {
                OutputValue::Text(text) => self.line(format_args!("    {} = {text}", output.name)),
                OutputValue::None => self.line(format_args!("    {} = none", output.name)),
                OutputValue::Build(_)
                | OutputValue::File { .. }
                | OutputValue::Artifact { .. }
                | OutputValue::Image(_)
                | OutputValue::List(_)
                | OutputValue::Map(_) => {}
            }
        }
        self.line("");
    }
}

/// `3 to run, 14 cached, about 12s`.
pub(crate) fn summary(forecast: &Forecast, terminal: &Terminal) -> String {
    let mut parts = vec![format!("{} to run", forecast.to_run)];
    if forecast.pending > 0 {
        parts.push(format!("{} pending", forecast.pending));
    }
    parts.push(format!("{} cached", forecast.cached));
    if let Some(estimate) = forecast.estimate.filter(|_| forecast.to_run > 0) {
        parts.push(format!("about {}", duration(estimate)));
    }
    paint(terminal.out_color, Style::Bold, parts.join(", "))
}

/// The forecast as one JSON value.
pub(crate) fn document(plan: &Plan, forecast: &Forecast) -> serde_json::Value {
    let nodes: Vec<_> = forecast
        .nodes
        .iter()
        .map(|node| {
            let (mark, _) = mark(&node.standing);
            let (cause, below) = match &node.standing {
                Standing::Cached | Standing::Unneeded | Standing::New => (None, None),
                Standing::Changed { cause, .. } => (Some((cause.to_string(), cause)), None),
                Standing::Pending { below, .. } | Standing::Follows { below } => {
                    (None, Some(plan.node(*below).address.to_string()))
                }
            };
            json!({
                "address": node.address,
                "kind": plan.node(node.node).kind,
                "mark": mark,
                "cause": cause.as_ref().map(|(text, _)| text),
                "why": cause.as_ref().map(|(_, cause)| cause),
                "below": below,
                "seconds": node.took.map(|took| took.as_secs_f64()),
            })
        })
        .collect();
    json!({
        "format": 1,
        "nodes": nodes,
        "to_run": forecast.to_run,
        "pending": forecast.pending,
        "cached": forecast.cached,
        "estimate_seconds": forecast.estimate.map(|time| time.as_secs_f64()),
        "refused": forecast.refused.iter().map(|refused| json!({
            "address": refused.address, "message": refused.message, "help": refused.help,
        })).collect::<Vec<_>>(),
    })
}
