//! Addresses of artifacts: the name of the output that holds it, else of the `let`, else its place in another.

use std::collections::BTreeMap;

use crate::evaluate::{ArtifactId, Evaluated, NodeRef, Value};

/// An address for every artifact that an output or `let` of the applied module leads to. Where several do, the first
/// by name, so that it does not matter in which order items stand.
pub(super) fn artifacts(evaluated: &Evaluated) -> BTreeMap<ArtifactId, String> {
    let mut addresses = BTreeMap::new();
    let mut outputs: Vec<_> = evaluated.outputs.iter().map(|(name, value, _)| (name, value)).collect();
    outputs.sort();
    let mut lets: Vec<_> = evaluated.lets.iter().map(|(name, value)| (name, value)).collect();
    lets.sort();
    for (name, value) in outputs.into_iter().chain(lets) {
        holder(value, name, &mut addresses);
    }
    // Those that stand as arguments of others; ids of arguments are smaller, so one pass from the last is enough.
    for (artifact, id) in evaluated.artifacts.iter().rev().zip(0_u32..) {
        let id = ArtifactId(u32::try_from(evaluated.artifacts.len()).unwrap_or(u32::MAX) - 1 - id);
        let Some(address) = addresses.get(&id).cloned() else { continue };
        for (name, value) in &artifact.args {
            holder(value, &format!("{address}/{name}"), &mut addresses);
        }
    }
    addresses
}

fn holder(value: &Value, address: &str, addresses: &mut BTreeMap<ArtifactId, String>) {
    match value {
        Value::Artifact { id, .. } => {
            addresses.entry(*id).or_insert_with(|| address.to_owned());
        }
        Value::Build(built) => {
            if let NodeRef::Artifact(id) = built.of {
                addresses.entry(id).or_insert_with(|| address.to_owned());
            }
        }
        Value::List(items) => {
            for (n, item) in items.iter().enumerate() {
                holder(item, &format!("{address}[{n}]"), addresses);
            }
        }
        Value::Map(map) => {
            for (key, item) in map.iter() {
                holder(item, &format!("{address}[{}]", key.to_text().unwrap_or_default()), addresses);
            }
        }
        Value::Record(fields) => {
            for (key, item) in fields.iter() {
                holder(item, &format!("{address}[{key}]"), addresses);
            }
        }
        _ => {}
    }
}
