//! A picture as DOT, as Mermaid and as JSON.

use std::fmt::Write;

use imgc_engine::{Forecast, Selection};
use imgc_plan::{NodeId, Plan};
use serde_json::json;

use super::{Picture, Row, STATES, State, picture};

/// Graphviz's language: a cluster an image.
pub(crate) fn dot(picture: &Picture) -> String {
    let mut out = String::from(
        "digraph plan {\n  rankdir=LR\n  node [shape=box style=\"rounded,filled\" fontname=\"monospace\" fontsize=11]\n",
    );
    for (index, card) in picture.cards.iter().enumerate() {
        put(&mut out, format_args!("  subgraph cluster_{index} {{\n    label={}\n", quoted(&card.title)));
        for row in &card.rows {
            let (paper, ink) = row.state.colors();
            put(
                &mut out,
                format_args!(
                    "    n{} [label={} tooltip={} fillcolor=\"{paper}\" fontcolor=\"{ink}\"]\n",
                    row.node.0,
                    quoted(&label(row)),
                    quoted(&row.why)
                ),
            );
        }
        out.push_str("  }\n");
    }
    for (from, to) in edges(picture) {
        put(&mut out, format_args!("  n{} -> n{}\n", from.0, to.0));
    }
    out.push_str("}\n");
    out
}

/// Mermaid's flow chart: a subgraph an image.
pub(crate) fn mermaid(picture: &Picture) -> String {
    let mut out = String::from("flowchart LR\n");
    for (index, card) in picture.cards.iter().enumerate() {
        put(&mut out, format_args!("  subgraph c{index}[\"{}\"]\n    direction TB\n", entities(&card.title)));
        for row in &card.rows {
            put(&mut out, format_args!("    n{}[\"{}\"]:::{}\n", row.node.0, entities(&label(row)), row.state.name()));
        }
        out.push_str("  end\n");
    }
    for (from, to) in edges(picture) {
        put(&mut out, format_args!("  n{} --> n{}\n", from.0, to.0));
    }
    for state in STATES.into_iter().chain([State::Unknown]) {
        let (paper, ink) = state.colors();
        put(&mut out, format_args!("  classDef {} fill:{paper},color:{ink},stroke:{ink}\n", state.name()));
    }
    out
}

/// For programs: every selected node with what it needs.
pub(crate) fn json(plan: &Plan, selection: &Selection, forecast: Option<&Forecast>) -> serde_json::Value {
    let picture = picture(plan, selection, forecast);
    let rows = picture.cards.iter().flat_map(|card| card.rows.iter().map(move |row| (card, row)));
    let nodes: Vec<_> = rows
        .map(|(card, row)| {
            let node = plan.node(row.node);
            let inputs: Vec<_> = plan.parents(row.node).into_iter().map(|id| &plan.node(id).address).collect();
            json!({
                "address": node.address, "kind": node.kind, "backend": node.backend,
                "platform": node.platform.to_string(), "of": card.title, "inputs": inputs,
                "state": row.state.name(), "why": row.why,
            })
        })
        .collect();
    let outputs: Vec<_> = selection
        .targets
        .iter()
        .map(|target| json!({ "name": target.name, "node": plan.node(target.node).address, "file": target.file }))
        .collect();
    json!({ "format": 1, "nodes": nodes, "outputs": outputs })
}

/// Writing to a text cannot fail.
fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

fn label(row: &Row) -> String {
    match row.state {
        State::Unknown => row.text.clone(),
        state @ (State::Cached | State::New | State::Changed | State::Pending) => {
            format!("{} {}", state.mark(), row.text)
        }
    }
}

/// All of them: that a row follows from one above it, only the SVG makes plain without an arrow.
fn edges(picture: &Picture) -> Vec<(NodeId, NodeId)> {
    let mut edges = Vec::new();
    for card in &picture.cards {
        edges.extend(card.rows.iter().flat_map(|row| row.above.iter().map(|above| (*above, row.node))));
    }
    edges
}

/// A quoted text of DOT: only quotes and backslashes are special, and line ends would split the file's lines.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A quoted text of Mermaid, where special characters are written as entities that begin with `#`.
fn entities(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '"' | '#' | '<' | '>' | '&' | '`' | '[' | ']' | '{' | '}' | '|' | '\\' | ';' => {
                put(&mut out, format_args!("#{};", u32::from(c)));
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
