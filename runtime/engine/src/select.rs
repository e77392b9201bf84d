//! Which nodes of a plan are wanted.

use std::collections::BTreeSet;

use imgc_plan::{NodeId, OutputValue, Plan, Value};

use crate::EngineError;

/// The nodes that a command is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// What was asked for and all that it needs.
    pub nodes: BTreeSet<NodeId>,
    /// What was asked for, in the order of the plan's outputs; images and steps that were named stand last.
    pub targets: Vec<Target>,
}

/// One thing that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `container`, `boot[amd64]`, or the address that was named.
    pub name: String,
    /// The node that makes it.
    pub node: NodeId,
    /// Where it lands below the output directory; none where it only stays in the store.
    pub file: Option<String>,
    /// The value of an output that is known once this and the nodes of the targets that follow are built: the file to
    /// put in place where `file` is some, else shown. Of those that follow it is [`Value::None`].
    pub value: Option<Value>,
}

/// Finds what `wanted` names: outputs, parts of outputs (`boot[amd64]`), images and addresses. None: all outputs.
///
/// # Errors
/// [`EngineError::UnknownName`].
pub fn select(plan: &Plan, wanted: &[String]) -> Result<Selection, EngineError> {
    let all = outputs(plan);
    let mut targets = Vec::new();
    if wanted.is_empty() {
        targets = all;
    } else {
        for name in wanted {
            targets.extend(named(plan, &all, name)?);
        }
        let mut seen = BTreeSet::new();
        targets.retain(|t| seen.insert((t.name.clone(), t.node)));
    }
    let nodes = ancestors(plan, targets.iter().map(|t| t.node));
    Ok(Selection { nodes, targets })
}

/// The files of all outputs of the plan, below the output directory.
pub(crate) fn files(plan: &Plan) -> BTreeSet<String> {
    outputs(plan).into_iter().filter_map(|target| target.file).collect()
}

/// Every part of every output that is made by a node.
fn outputs(plan: &Plan) -> Vec<Target> {
    let mut found = Vec::new();
    for output in &plan.outputs {
        parts(&output.name, &output.value, &mut found);
    }
    found
}

fn parts(name: &str, value: &OutputValue, found: &mut Vec<Target>) {
    match value {
        OutputValue::None | OutputValue::Text(_) => {}
        OutputValue::Artifact { node, file } => {
            found.push(Target { name: name.to_owned(), node: *node, file: Some(file.clone()), value: None });
        }
        OutputValue::Image(node) => found.push(Target { name: name.to_owned(), node: *node, file: None, value: None }),
        OutputValue::Build(of) => built(name, value, of, None, found),
        OutputValue::File { value: of, file } => built(name, value, of, Some(file), found),
        OutputValue::List(items) => {
            for (n, item) in items.iter().enumerate() {
                parts(&format!("{name}[{n}]"), item, found);
            }
        }
        OutputValue::Map(items) => {
            for (key, item) in items {
                parts(&format!("{name}[{key}]"), item, found);
            }
        }
    }
}

/// A part whose value is known once its nodes are built, and lands in `file` where it is one.
fn built(name: &str, part: &OutputValue, value: &Value, file: Option<&String>, found: &mut Vec<Target>) {
    let mut nodes = Vec::new();
    part.nodes(&mut nodes);
    // The first of its nodes carries it; the others are only built for it.
    let carried = std::iter::once((value.clone(), file.cloned())).chain(std::iter::repeat((Value::None, None)));
    let target = |(node, (value, file))| Target { name: name.to_owned(), node, file, value: Some(value) };
    found.extend(nodes.into_iter().zip(carried).map(target));
}

fn named(plan: &Plan, all: &[Target], name: &str) -> Result<Vec<Target>, EngineError> {
    let below = format!("{name}[");
    let of_outputs: Vec<Target> =
        all.iter().filter(|t| t.name == name || t.name.starts_with(&below)).cloned().collect();
    // An output whose value is `none` or a text is known, and builds nothing.
    if !of_outputs.is_empty() || plan.outputs.iter().any(|o| o.name == name) {
        return Ok(of_outputs);
    }
    let image = plan.images.iter().find(|image| image.address.0 == name).map(|image| image.last);
    let node = || plan.ids().find(|id| plan.node(*id).address.0 == name);
    match image.or_else(node) {
        Some(node) => Ok(vec![Target { name: name.to_owned(), node, file: None, value: None }]),
        None => Err(EngineError::UnknownName { name: name.to_owned(), near: near(plan, all, name) }),
    }
}

/// `wanted` and all that they need.
pub(crate) fn ancestors(plan: &Plan, wanted: impl Iterator<Item = NodeId>) -> BTreeSet<NodeId> {
    let mut open: Vec<NodeId> = wanted.collect();
    let mut is_found = vec![false; plan.nodes.len()];
    while let Some(id) = open.pop() {
        let is_found = is_found.get_mut(id.index());
        if is_found.is_some_and(|is_found| !std::mem::replace(is_found, true)) {
            open.extend(plan.parents(id));
        }
    }
    plan.ids().zip(is_found).filter(|(_, is_found)| *is_found).map(|(id, _)| id).collect()
}

/// At most three names that are like `name`, the likest first.
pub(crate) fn near(plan: &Plan, all: &[Target], name: &str) -> Vec<String> {
    let outputs = plan.outputs.iter().map(|o| o.name.as_str()).chain(all.iter().map(|t| t.name.as_str()));
    let images = plan.images.iter().map(|i| i.address.0.as_str());
    let nodes = plan.nodes.iter().map(|n| n.address.0.as_str());
    let names: BTreeSet<&str> = outputs.chain(images).chain(nodes).collect();
    let limit = name.chars().count() / 3 + 1;
    let mut by_distance: Vec<(usize, &str)> =
        names.into_iter().map(|other| (distance(name, other, limit), other)).filter(|(d, _)| *d <= limit).collect();
    by_distance.sort_unstable();
    by_distance.into_iter().take(3).map(|(_, other)| other.to_owned()).collect()
}

/// The number of single-letter edits between two texts; more than `limit` where they are further apart than that.
fn distance(a: &str, b: &str, limit: usize) -> usize {
    let b: Vec<char> = b.chars().collect();
    if a.chars().count().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, pair) in b.iter().zip(row.windows(2)) {
            let [diagonal, above] = pair else { continue };
            left = (diagonal + usize::from(x != *y)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(limit + 1)
}
