//! Nodes, images and outputs of a plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::lock::{Locked, SourceKey};
use crate::value::{Record, plain_record};
use crate::{Address, BuildValue, DirRef, FileRef, Name, Platform, Secret, Value};

/// The plan format this imgc writes and reads.
pub const PLAN_FORMAT: u32 = 2;

/// A node of one plan: an index into [`Plan::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The position in [`Plan::nodes`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What is to be built: inert, complete and deterministic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// [`PLAN_FORMAT`].
    pub format: u32,
    /// The version of imgc that made it.
    pub imgc: String,
    /// Every input stands before its user.
    pub nodes: Vec<Node>,
    /// In order of their addresses.
    pub images: Vec<Image>,
    /// In order of their names.
    pub outputs: Vec<Output>,
    /// In order of their addresses. Their nodes are in [`Plan::nodes`] but in no output: only `imgc test` runs them.
    #[serde(default)]
    pub tests: Vec<Test>,
    /// Where the secrets come from that arguments name: `token`, `base::token`.
    #[serde(default)]
    pub secrets: BTreeMap<String, Secret>,
    /// What the plan was made from, so that `apply --plan` can see whether it still holds.
    pub asked: Asked,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Unique in the plan.
    pub address: Address,
    /// Where the source text asks for it; in no fingerprint.
    pub span: Option<SourceSpan>,
    /// What it runs on or is for.
    pub platform: Arc<Platform>,
    /// The backend's name: `rootfs`.
    pub backend: Name,
    /// As users write it: `rootfs.debian`, `sh`, `oci.archive`.
    pub kind: Name,
    /// Of the kind, as its extern declares it.
    pub revision: u32,
    /// All of them, defaults filled in.
    pub args: Record,
    /// What is done.
    pub work: Work,
}

/// What a node does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Brings a base layer in.
    Source(Source),
    /// Runs a step on top of a layer.
    Step(Step),
    /// Makes a file, or something with an id, out of images and artifacts.
    Artifact(Artifact),
}

/// The part of a node that only sources have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// What it is locked under.
    pub key: SourceKey,
    /// Filled in from `imgc.lock` before anything runs.
    pub locked: Option<Locked>,
    /// What the image's `machine = { … }` says, defaults filled in; empty where the source has no machine record.
    #[serde(default)]
    pub machine: Record,
    /// The fields of `machine` that change the bytes of layers and so are part of the fingerprint. Filled in by the
    /// engine from what the backend offers: memory does not change a disk, firmware does.
    #[serde(default)]
    pub counts: Vec<String>,
}

/// The part of a node that only steps have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The source or step whose layer it runs on.
    pub on: NodeId,
    /// The source at the root of its chain: its epoch and archives enter the fingerprint.
    pub source: NodeId,
    /// The label as written: in no fingerprint.
    pub label: Arc<str>,
    /// Whether the step may reach the network.
    pub network: bool,
}

/// The part of a node that only artifacts have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// The nodes that its arguments refer to, in order of appearance; their states enter the fingerprint.
    pub of: Vec<NodeId>,
    /// The ending of its file, without a dot: `tar`, `qcow2`.
    pub extension: String,
}

/// An image: a source and the steps on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// `web`, `base::web`, `web[amd64]`.
    pub address: Address,
    /// The platform of the result.
    pub platform: Platform,
    /// The image it continues, where its `from` is another image.
    pub from: Option<Address>,
    /// Its own source node (none where `from` is an image) and steps, in order.
    pub nodes: Vec<NodeId>,
    /// The node whose layer is the image.
    pub last: NodeId,
}

/// A test: steps that run on a throwaway copy of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// `serves`, `serves[amd64]`.
    pub address: Address,
    /// The node whose layer is the image under test.
    pub image: NodeId,
    /// The test's steps in order, the first of them on `image`; may be empty.
    pub nodes: Vec<NodeId>,
    /// Where it stands.
    pub span: Option<SourceSpan>,
}

/// What `apply` builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: OutputValue,
    /// Where it stands.
    pub span: Option<SourceSpan>,
}

/// The value of an output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputValue {
    /// `none`: builds nothing.
    None,
    /// An artifact, landing in `file` (relative to the output directory).
    Artifact {
        /// The node that makes it.
        node: NodeId,
        /// `out/container.tar` is `container.tar`.
        file: String,
    },
    /// An image that is built and kept in the store, with nothing to put in `out/`.
    Image(NodeId),
    /// A value that is known already, as text.
    Text(String),
    /// A value that is known once what it is made of is built; shown as text.
    Build(Box<Value>),
    /// A file or directory that is known once the image it is in, or the artifact it is, is built; lands in `file`.
    File {
        /// What it is: a [`Value::Build`].
        value: Box<Value>,
        /// Relative to the output directory.
        file: String,
    },
    /// By position.
    List(Vec<OutputValue>),
    /// Records and maps.
    Map(BTreeMap<String, OutputValue>),
}

/// A range of source text: what the runtime needs to point at it, in no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceSpan {
    /// The module's file, relative to the package.
    pub file: Arc<str>,
    /// Byte offset of the first byte.
    pub start: u32,
    /// Byte offset after the last byte.
    pub end: u32,
    /// 1-based line of `start`.
    pub line: u32,
}

/// What a compilation asked of the world, in sorted order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Every module's file, relative to the package, and the digest of its text.
    pub modules: BTreeMap<String, crate::Digest>,
    /// Every file that a value is made of.
    pub files: Vec<FileRef>,
    /// Every directory.
    pub dirs: Vec<DirRef>,
    /// Every param of the applied module: where its value came from and the value as text.
    pub params: BTreeMap<String, Param>,
}

/// The value of a param of the applied module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Param {
    /// As `plan` prints it.
    pub value: String,
    /// `default`, `--set`, `--vars prod.toml`, `IMGC_VAR_n`.
    pub origin: String,
}

/// What a node needs of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Links {
    /// [`Plan::parents`].
    pub parents: Vec<NodeId>,
    /// How many of them, from the first, are [`Plan::inputs`].
    pub inputs: usize,
    /// Whether [`Plan::builds`] has any.
    pub waits: bool,
}

impl Plan {
    /// The node with this id. Ids of a plan are always in range; a plan that was read is checked by [`Plan::verify`].
    pub fn node(&self, id: NodeId) -> &Node {
        #[expect(clippy::indexing_slicing, reason = "ids are made with the plan, and a plan that was read is verified")]
        &self.nodes[id.index()]
    }

    /// The ids of all nodes, in dependency order.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)).map(NodeId)
    }

    /// The nodes that `id` needs directly: those of [`Plan::inputs`], then each other one that an argument takes a
    /// build value from.
    pub fn parents(&self, id: NodeId) -> Vec<NodeId> {
        self.links(id).parents
    }

    /// What `id` needs of other nodes, found in one walk through its values.
    pub fn links(&self, id: NodeId) -> Links {
        let node = self.node(id);
        let (mut parents, mut builds) = (Vec::new(), Vec::new());
        if let Work::Step(step) = &node.work {
            parents.push(step.on);
        }
        node.values().for_each(|value| value.links(&mut parents, &mut builds));
        if let Work::Artifact(artifact) = &node.work {
            parents.clone_from(&artifact.of);
        }
        let links = Links { inputs: parents.len(), waits: !builds.is_empty(), parents };
        builds.into_iter().fold(links, |mut links, build| {
            if !links.parents.contains(&build) {
                links.parents.push(build);
            }
            links
        })
    }

    /// The nodes whose results as a whole go into `id`, and whose states are in its fingerprint.
    pub fn inputs(&self, id: NodeId) -> Vec<NodeId> {
        let Links { mut parents, inputs, .. } = self.links(id);
        parents.truncate(inputs);
        parents
    }

    /// What `id` waits for of other nodes, in order of appearance.
    pub fn builds(&self, id: NodeId) -> Vec<&BuildValue> {
        let mut found = Vec::new();
        self.node(id).values().for_each(|v| v.builds(&mut found));
        found
    }

    /// The source at the root of a source or step.
    pub fn root(&self, id: NodeId) -> Option<NodeId> {
        match &self.node(id).work {
            Work::Source(_) => Some(id),
            Work::Step(step) => Some(step.source),
            Work::Artifact(_) => None,
        }
    }

    /// The machine record of the image that a source or step belongs to, as backends deserialise it.
    pub fn machine(&self, id: NodeId) -> serde_json::Value {
        match self.root(id).map(|root| &self.node(root).work) {
            Some(Work::Source(source)) => plain_record(&source.machine),
            Some(Work::Step(_) | Work::Artifact(_)) | None => plain_record(&Record::new()),
        }
    }

    /// Whether a plan that was read can be used.
    ///
    /// # Errors
    /// A newer format, or a reference to a node that does not stand before its user.
    pub fn verify(&self) -> Result<(), PlanError> {
        if self.format != PLAN_FORMAT {
            return Err(PlanError::Format { found: self.format });
        }
        for (index, node) in self.nodes.iter().enumerate() {
            let (mut refs, mut builds, mut secrets) = (Vec::new(), Vec::new(), Vec::new());
            for value in node.values() {
                value.nodes(&mut refs);
                value.builds(&mut builds);
                value.secrets(&mut secrets);
            }
            refs.extend(builds.iter().map(|value| value.node));
            if let Some(secret) = secrets.iter().find(|secret| !self.secrets.contains_key(&secret.0)) {
                return Err(PlanError::Secret { address: node.address.clone(), name: secret.0.clone() });
            }
            match &node.work {
                Work::Source(_) => {}
                Work::Step(step) => refs.extend([step.on, step.source]),
                Work::Artifact(artifact) => refs.extend(&artifact.of),
            }
            if refs.iter().any(|id| id.index() >= index) {
                return Err(PlanError::Order { address: node.address.clone() });
            }
        }
        let images = self.images.iter().flat_map(|i| i.nodes.iter().chain([&i.last])).copied();
        let tests = self.tests.iter().flat_map(|t| t.nodes.iter().chain([&t.image])).copied();
        let mut outputs = Vec::new();
        self.outputs.iter().for_each(|o| o.value.nodes(&mut outputs));
        if images.chain(tests).chain(outputs).any(|id| id.index() >= self.nodes.len()) {
            return Err(PlanError::Order { address: Address("outputs".to_owned()) });
        }
        Ok(())
    }
}

impl Node {
    /// Its arguments, and of a source what its machine is.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        let machine = match &self.work {
            Work::Source(source) => Some(source.machine.values()),
            Work::Step(_) | Work::Artifact(_) => None,
        };
        self.args.values().chain(machine.into_iter().flatten())
    }
}

impl OutputValue {
    /// Every node the output needs, in order.
    pub fn nodes(&self, found: &mut Vec<NodeId>) {
        match self {
            Self::None | Self::Text(_) => {}
            Self::Artifact { node, .. } | Self::Image(node) => found.push(*node),
            Self::Build(value) | Self::File { value, .. } => {
                let mut builds = Vec::new();
                value.builds(&mut builds);
                value.nodes(found);
                found.extend(builds.iter().map(|value| value.node));
            }
            Self::List(items) => items.iter().for_each(|v| v.nodes(found)),
            Self::Map(items) => items.values().for_each(|v| v.nodes(found)),
        }
    }
}

/// A plan that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Written by another imgc.
    #[error("the plan has format {found}, this imgc reads format {PLAN_FORMAT}")]
    Format {
        /// The number in the file.
        found: u32,
    },
    /// Damaged or edited by hand.
    #[error("the plan refers from `{address}` to a node that does not stand before it")]
    Order {
        /// The node that does.
        address: Address,
    },
    /// Damaged or edited by hand.
    #[error("the plan names in `{address}` a secret `{name}` that it does not have")]
    Secret {
        /// The node that does.
        address: Address,
        /// The name.
        name: String,
    },
}
