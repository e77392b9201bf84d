//! Diagnostics and plans as plain text, for snapshots.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use imgc_compiler::syntax::{Kind, NodeRef, Tree};
use imgc_compiler::{Diagnostic, Location, Sources};
use imgc_plan::{OutputValue, Plan, Value, Work};

fn place(sources: &Sources, at: &Location) -> String {
    let place = sources.place(at);
    // Lines of the standard library may move without any change of meaning.
    if place.path.starts_with("std/") {
        return place.path.to_string();
    }
    let text = place.text.get(place.start..place.end).unwrap_or_default();
    let first = text.lines().next().unwrap_or_default();
    let more = if text.lines().count() > 1 { " …" } else { "" };
    format!("{}:{}:{} `{first}`{more}", place.path, place.line, place.column)
}

/// One block a diagnostic.
pub(crate) fn diagnostics(all: &[Diagnostic], sources: &Sources) -> String {
    let mut text = String::new();
    for d in all {
        let _ = writeln!(text, "{:?}[{}]: {}", d.severity, d.code, d.message);
        let _ = writeln!(text, "  at {} {}", place(sources, &d.primary.at), d.primary.text);
        for label in &d.secondary {
            let _ = writeln!(text, "  also {} {}", place(sources, &label.at), label.text);
        }
        for note in &d.notes {
            let _ = writeln!(text, "  note {note}");
        }
        if let Some(help) = &d.help {
            let _ = writeln!(text, "  help {help}");
        }
        for fix in &d.fixes {
            let edits: Vec<String> =
                fix.edits.iter().map(|(at, to)| format!("{} -> `{to}`", place(sources, at))).collect();
            let _ = writeln!(text, "  fix {} {:?}: {}", fix.title, fix.applicability, edits.join(", "));
        }
    }
    text
}

fn shown(value: &Value) -> String {
    match value {
        Value::File(file) => format!("file {}", file.path),
        Value::Dir(dir) => format!("dir {} of {}", dir.path, dir.entries.len()),
        Value::Node(id) => format!("node {}", id.0),
        other => sorted(other.to_plain()).to_string(),
    }
}

/// With the keys of all objects in order, whether or not something else in the workspace has `serde_json` keep them as
/// they were written.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            serde_json::Value::Object(fields.into_iter().collect())
        }
        serde_json::Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

fn output(value: &OutputValue) -> String {
    match value {
        OutputValue::None => "none".to_owned(),
        OutputValue::Artifact { node, file } => format!("node {} -> {file}", node.0),
        OutputValue::Image(node) => format!("image at node {}", node.0),
        OutputValue::Text(text) => format!("text {text}"),
        OutputValue::Build(value) => format!("build {}", shown(value)),
        OutputValue::File { value, file } => format!("file {} -> {file}", shown(value)),
        OutputValue::List(items) => format!("[{}]", items.iter().map(output).collect::<Vec<_>>().join(", ")),
        OutputValue::Map(items) => {
            let items: Vec<String> = items.iter().map(|(key, value)| format!("{key}: {}", output(value))).collect();
            format!("{{{}}}", items.join(", "))
        }
    }
}

/// One line a node with its arguments below, then images, outputs and params.
pub(crate) fn plan(plan: &Plan) -> String {
    let mut text = String::new();
    for (n, node) in plan.nodes.iter().enumerate() {
        let on = match &node.work {
            Work::Source(_) => String::new(),
            Work::Step(step) => format!(" on {} root {} network {}", step.on.0, step.source.0, step.network),
            Work::Artifact(artifact) => {
                format!(" of {:?} .{}", artifact.of.iter().map(|id| id.0).collect::<Vec<_>>(), artifact.extension)
            }
        };
        let span = node.span.as_ref().map(|s| format!("{}:{}", s.file, s.line)).unwrap_or_default();
        let _ = writeln!(
            text,
            "{n} {} = {}@{} [{} {}]{on} <{span}>",
            node.address, node.kind, node.revision, node.backend, node.platform
        );
        for (name, value) in &node.args {
            let _ = writeln!(text, "    {name} = {}", shown(value));
        }
        if let Work::Source(source) = &node.work {
            for (name, value) in &source.machine {
                let _ = writeln!(text, "    machine.{name} = {}", shown(value));
            }
        }
    }
    for (name, secret) in &plan.secrets {
        let version = secret.version.as_deref().map(|version| format!(" version {version}")).unwrap_or_default();
        let _ = writeln!(text, "secret {name} from {}{version}", secret.source);
    }
    for image in &plan.images {
        let from = image.from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
        let nodes: Vec<u32> = image.nodes.iter().map(|id| id.0).collect();
        let _ = writeln!(text, "image {} [{}]{from} {nodes:?} last {}", image.address, image.platform, image.last.0);
    }
    for test in &plan.tests {
        let nodes: Vec<u32> = test.nodes.iter().map(|id| id.0).collect();
        let _ = writeln!(text, "test {} of {} {nodes:?}", test.address, test.image.0);
    }
    for out in &plan.outputs {
        let _ = writeln!(text, "output {} = {}", out.name, output(&out.value));
    }
    for (name, param) in &plan.asked.params {
        let _ = writeln!(text, "param {name} = {} by {}", param.value, param.origin);
    }
    text
}

/// The tree in brackets, one line an item, field, step or statement.
pub(crate) fn syntax(tree: &Tree) -> String {
    let mut text = String::new();
    for root in tree.roots() {
        node(root, 0, &mut text);
        text.push('\n');
    }
    text
}

fn node(of: NodeRef<'_>, depth: usize, text: &mut String) {
    let begins_a_line = matches!(
        of.kind(),
        Kind::Field
            | Kind::Step
            | Kind::Use
            | Kind::LetStatement
            | Kind::IfStatement
            | Kind::ForStatement
            | Kind::MatchStatement
            | Kind::BlockArm
            | Kind::Member
            | Kind::Variant
            | Kind::ExprArm
    );
    if begins_a_line {
        let _ = write!(text, "\n{}", "  ".repeat(depth));
    } else if !text.is_empty() && !text.ends_with('\n') {
        text.push(' ');
    }
    let children: Vec<_> = of.children().collect();
    // An error is all that people look for here; what it has swallowed is in the program.
    let mark = if of.kind().is_error() { "!" } else { "" };
    if children.is_empty() {
        let shown: String = of.text().chars().take(40).collect();
        let more = if of.text().chars().count() > 40 { "…" } else { "" };
        let _ = write!(text, "{mark}{:?}", of.kind());
        if !shown.is_empty() {
            let _ = write!(text, "`{}{more}`", shown.escape_debug());
        }
        return;
    }
    let _ = write!(text, "{mark}({:?}", of.kind());
    for child in children {
        node(child, depth + usize::from(begins_a_line || of.kind() == Kind::Item), text);
    }
    text.push(')');
}

/// The name that an item gives.
pub(crate) fn name_of_item(root: NodeRef<'_>) -> Option<NodeRef<'_>> {
    let named = |node: &NodeRef<'_>| node.kind() == Kind::Name;
    root.children().find(named).or_else(|| root.children().find_map(|inner| inner.children().find(named)))
}
