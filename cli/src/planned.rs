//! What a plan leaves for editors: how each output and image stands, and what the sources are pinned to.
//!
//! Nothing is decided by it: it may be old, and it may be missing.

use std::collections::BTreeMap;
use std::path::Path;

use imgc_engine::{Forecast, Standing};
use imgc_plan::{Locked, NodeId, OutputValue, Plan, Work, lock::Pin};
use imgc_store::place::{Durable, write_file};
use serde::{Deserialize, Serialize};

/// The format this imgc writes and reads.
const FORMAT: u32 = 1;

/// The record of one package's last plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Planned {
    /// [`FORMAT`].
    format: u32,
    /// Outputs and images of the applied module by name, each with a few words: `3 to run, 14 cached`.
    pub(crate) states: BTreeMap<String, String>,
    /// By the address of the source: `web/from`.
    pub(crate) pins: BTreeMap<String, String>,
    /// What addresses of a module's images begin with where another imports it, by its file: `base::`.
    #[serde(default)]
    imported: BTreeMap<String, String>,
}

/// How many of some nodes do what.
#[derive(Default)]
struct Count {
    to_run: usize,
    pending: usize,
    cached: usize,
}

impl Count {
    fn add(&mut self, standing: &Standing) {
        match standing {
            Standing::Cached | Standing::Unneeded => self.cached += 1,
            Standing::New | Standing::Changed { .. } | Standing::Follows { .. } => self.to_run += 1,
            Standing::Pending { .. } => self.pending += 1,
        }
    }

    fn words(&self) -> String {
        let all = [(self.to_run, "to run"), (self.pending, "pending"), (self.cached, "cached")];
        let words: Vec<_> = all.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        words.join(", ")
    }
}

impl Planned {
    /// What a forecast says.
    pub(crate) fn new(plan: &Plan, forecast: &Forecast) -> Self {
        let standings: BTreeMap<NodeId, &Standing> =
            forecast.nodes.iter().map(|node| (node.node, &node.standing)).collect();
        let mut counts: BTreeMap<String, Count> = BTreeMap::new();
        let mut add = |name: &str, nodes: &[NodeId]| {
            let mut known = nodes.iter().filter_map(|node| standings.get(node)).peekable();
            if known.peek().is_some() {
                let count = counts.entry(name.to_owned()).or_default();
                known.for_each(|standing| count.add(standing));
            }
        };
        for image in &plan.images {
            // `web[amd64]` and `web[arm64]` are written once.
            let address = image.address.to_string();
            add(address.split('[').next().unwrap_or_default(), &image.nodes);
        }
        for output in &plan.outputs {
            let mut nodes = Vec::new();
            nodes_of(&output.value, &mut nodes);
            add(&output.name, &nodes);
        }
        let states = counts.into_iter().map(|(name, count)| (name, count.words())).collect();
        let pins = plan.nodes.iter().filter_map(|node| match &node.work {
            Work::Source(source) => Some((node.address.to_string(), pin(source.locked.as_ref()?)?)),
            Work::Step(_) | Work::Artifact(_) => None,
        });
        Self { format: FORMAT, states, pins: pins.collect(), imported: imported(plan) }
    }

    /// What it says of a module that the planned one imports, by whatever name: addresses as in the module. Where it is
    /// imported more than once, of the first.
    pub(crate) fn of_import(mut self, module: &str) -> Self {
        let Some(prefix) = self.imported.remove(module) else { return Self::default() };
        let own = |all: BTreeMap<String, String>| {
            let below =
                all.into_iter().filter_map(|(address, said)| Some((address.strip_prefix(&prefix)?.to_owned(), said)));
            below.collect()
        };
        Self { format: self.format, states: own(self.states), pins: own(self.pins), imported: BTreeMap::new() }
    }

    /// Writes it, as well as that goes: a plan that was shown is a plan.
    pub(crate) fn write(&self, path: &Path) {
        let written = path.parent().map(std::fs::create_dir_all).transpose().map_err(|error| error.to_string());
        let written = written.and_then(|_| serde_json::to_vec(self).map_err(|error| error.to_string()));
        // Not worth the wait for the disk: whoever finds no record plans again.
        let kept = |bytes: Vec<u8>| write_file(path, &bytes, Durable::Later).map_err(|error| error.to_string());
        let written = written.and_then(kept);
        if let Err(error) = written {
            tracing::info!("nothing was left for editors: {error}");
        }
    }

    /// Reads one; none if there is none that this imgc understands.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let planned: Self = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        (planned.format == FORMAT).then_some(planned)
    }
}

/// Sources of images stand in the module of the image; an address names the imports that lead to it.
fn imported(plan: &Plan) -> BTreeMap<String, String> {
    let mut imported = BTreeMap::new();
    for node in plan.nodes.iter().filter(|node| matches!(node.work, Work::Source(_))) {
        let address = node.address.to_string();
        let item = address.split(['/', '[']).next().unwrap_or_default();
        if let (Some((module, _)), Some(span)) = (item.rsplit_once("::"), &node.span) {
            imported.entry(span.file.to_string()).or_insert_with(|| format!("{module}::"));
        }
    }
    imported
}

fn nodes_of(value: &OutputValue, nodes: &mut Vec<NodeId>) {
    match value {
        OutputValue::Artifact { node, .. } | OutputValue::Image(node) => nodes.push(*node),
        OutputValue::List(all) => all.iter().for_each(|one| nodes_of(one, nodes)),
        OutputValue::Map(all) => all.values().for_each(|one| nodes_of(one, nodes)),
        OutputValue::None | OutputValue::Text(_) | OutputValue::Build(_) | OutputValue::File { .. } => {}
    }
}

/// The digest of a lock entry, short enough to stand beside a line.
fn pin(locked: &Locked) -> Option<String> {
    let digest = match locked.pins.get("digest").or_else(|| locked.pins.get("sha256")) {
        Some(Pin::Text(digest)) => digest,
        Some(Pin::List(_)) | None => locked.archives.first()?,
    };
    let hex = digest.rsplit(':').next().unwrap_or_default();
    Some(format!("sha256:{}", hex.get(..12).unwrap_or(hex)))
}
