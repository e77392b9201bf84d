//! `out/MANIFEST.json`: what an apply made, and of what, for whoever has to tell later.
//!
//! It holds nothing that differs from one apply of the same plan to the next: no time, no host, no path outside `out/`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use imgc_engine::{Applied, Placed};
use imgc_plan::{Digest, Fingerprint, NodeId, Plan, Work};
use serde::Serialize;

use crate::exit::Failure;
use crate::lockfile;

/// The format this imgc writes; its schema is `docs/schema/manifest.schema.json`.
const FORMAT: u32 = 1;

/// The file's name in the output directory.
pub(crate) const NAME: &str = "MANIFEST.json";

#[derive(Serialize)]
struct Manifest<'a> {
    format: u32,
    /// The version of imgc that built it.
    imgc: &'a str,
    /// Params of the applied module, as text.
    params: BTreeMap<&'a str, &'a str>,
    artifacts: Vec<Artifact<'a>>,
}

#[derive(Serialize)]
struct Artifact<'a> {
    name: &'a str,
    kind: &'a str,
    platform: String,
    /// Relative to the manifest; none where it has only an id or is kept in the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blake3: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    /// Everything it is made of, in dependency order, itself last.
    made_of: Vec<Part<'a>>,
}

/// One node.
#[derive(Serialize)]
struct Part<'a> {
    address: &'a str,
    kind: &'a str,
    revision: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<Fingerprint>,
    /// What a source is locked to: its name and pins.
    #[serde(skip_serializing_if = "Option::is_none")]
    locked: Option<serde_json::Value>,
}

/// Writes the manifest of an apply; where it stands.
pub(crate) fn write(plan: &Plan, applied: &Applied, out_dir: &Path) -> Result<PathBuf, Failure> {
    let fingerprints: BTreeMap<NodeId, Fingerprint> =
        applied.nodes.iter().map(|node| (node.node, node.fingerprint)).collect();
    let manifest = Manifest {
        format: FORMAT,
        imgc: env!("CARGO_PKG_VERSION"),
        params: plan.asked.params.iter().map(|(name, param)| (name.as_str(), param.value.as_str())).collect(),
        artifacts: applied.outputs.iter().map(|placed| artifact(plan, placed, &fingerprints, out_dir)).collect(),
    };
    let mut bytes = serde_json::to_vec_pretty(&manifest)
        .map_err(|error| Failure::internal(format!("the manifest cannot be written down: {error}")))?;
    bytes.push(b'\n');
    let path = out_dir.join(NAME);
    std::fs::create_dir_all(out_dir).map_err(Failure::io(format!("cannot make {}", out_dir.display())))?;
    // One that is the same keeps its times.
    if std::fs::read(&path).ok().as_deref() != Some(bytes.as_slice()) {
        lockfile::write_whole(&path, &bytes)?;
    }
    Ok(path)
}

fn artifact<'a>(
    plan: &'a Plan,
    placed: &'a Placed,
    fingerprints: &BTreeMap<NodeId, Fingerprint>,
    out_dir: &Path,
) -> Artifact<'a> {
    let made = placed.artifact.as_ref();
    let relative = |file: &PathBuf| file.strip_prefix(out_dir).unwrap_or(file).to_owned();
    Artifact {
        name: &placed.name,
        kind: &placed.kind,
        platform: placed.platform.to_string(),
        file: placed.file.as_ref().map(relative),
        size: made.map(|made| made.size),
        blake3: made.map(|made| made.digest),
        sha256: made.and_then(|made| made.sha256).map(|sum| sum.to_string()),
        id: made.and_then(|made| made.id.as_deref()),
        made_of: needed(plan, placed.node).into_iter().map(|id| part(plan, id, fingerprints)).collect(),
    }
}

/// The node and all that it needs, in dependency order.
fn needed(plan: &Plan, id: NodeId) -> Vec<NodeId> {
    let mut open = vec![id];
    let mut found = std::collections::BTreeSet::new();
    while let Some(id) = open.pop() {
        if found.insert(id) {
            open.extend(plan.parents(id));
        }
    }
    found.into_iter().collect()
}

fn part<'a>(plan: &'a Plan, id: NodeId, fingerprints: &BTreeMap<NodeId, Fingerprint>) -> Part<'a> {
    let node = plan.node(id);
    let locked = match &node.work {
        Work::Source(source) => source.locked.as_ref().and_then(|locked| serde_json::to_value(locked).ok()),
        Work::Step(_) | Work::Artifact(_) => None,
    };
    Part {
        address: &node.address.0,
        kind: &node.kind,
        revision: node.revision,
        fingerprint: fingerprints.get(&id).copied(),
        locked,
    }
}
