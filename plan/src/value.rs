//! Typed arguments of nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{BuildValue, DirRef, FileRef, NodeId, Part, Platform, SecretRef};

/// Fields by name, in sorted order. Large plans have the same few names in each node: they are shared.
pub type Record = BTreeMap<Arc<str>, Value>;

/// One argument of a node, as the compiler evaluated it and the plan file holds it. Large plans have as many as no other
/// thing: it is small, and what is in it is shared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// `none`.
    None,
    /// A truth value.
    Bool(bool),
    /// A number or a `Port`.
    Int(i64),
    /// Permissions.
    Mode(u32),
    /// A text, a checked text or a `GuestPath`.
    Text(Arc<str>),
    /// In bytes.
    Size(u64),
    /// In milliseconds.
    Duration(u64),
    /// A platform.
    Platform(Arc<Platform>),
    /// A list, or a set in sorted order.
    List(Vec<Value>),
    /// A record, or a map whose keys are texts.
    Record(Record),
    /// A variant of an enum, with its payload.
    Variant {
        /// The variant's name.
        name: Arc<str>,
        /// Empty for a plain variant.
        payload: Record,
    },
    /// A script with every interpolated value already escaped.
    Script {
        /// `sh`, `powershell`, …
        shell: Arc<str>,
        /// The whole text.
        text: Arc<str>,
    },
    /// A file of the package.
    File(Arc<FileRef>),
    /// A directory of the package.
    Dir(Arc<DirRef>),
    /// Another node of the plan: an image (its last step) or an artifact.
    Node(NodeId),
    /// A secret: its name, never its value.
    Secret(SecretRef),
    /// Something of another node. The engine puts another kind of value in its place before anybody else sees it.
    Build(BuildValue),
    /// A text or script with holes. Build values are filled in by the engine; what is left then holds secrets and is
    /// no script.
    Template {
        /// As in [`Value::Script`]; none for a text.
        shell: Option<Arc<str>>,
        /// In order.
        parts: Vec<Part>,
    },
}

impl From<Platform> for Value {
    fn from(platform: Platform) -> Self {
        Self::Platform(Arc::new(platform))
    }
}

impl From<FileRef> for Value {
    fn from(file: FileRef) -> Self {
        Self::File(Arc::new(file))
    }
}

impl From<DirRef> for Value {
    fn from(dir: DirRef) -> Self {
        Self::Dir(Arc::new(dir))
    }
}

impl Value {
    /// The value in the shape that the structs of backends deserialise, without its tags: sizes and durations are
    /// numbers (bytes, milliseconds), a plain variant is its name, one with payload is `{"name": {…}}`, a script is
    /// its text, files and directories are their records. A text that holds secrets is `{"template": [parts]}`: what
    /// `imgc_backend::Text` reads.
    pub fn to_plain(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Self::None => Json::Null,
            Self::Bool(b) => Json::Bool(*b),
            Self::Int(n) => Json::from(*n),
            Self::Mode(bits) => Json::from(*bits),
            Self::Size(n) | Self::Duration(n) => Json::from(*n),
            Self::Text(s) => Json::from(&**s),
            Self::Script { text, .. } => Json::from(&**text),
            Self::Platform(p) => Json::String(p.to_string()),
            Self::List(items) => Json::Array(items.iter().map(Self::to_plain).collect()),
            Self::Record(fields) => plain_record(fields),
            Self::Variant { name, payload } if payload.is_empty() => Json::from(&**name),
            Self::Variant { name, payload } => {
                Json::Object([(name.to_string(), plain_record(payload))].into_iter().collect())
            }
            Self::File(file) => serde_json::to_value(file).unwrap_or(Json::Null),
            Self::Dir(dir) => serde_json::to_value(dir).unwrap_or(Json::Null),
            Self::Node(id) => Json::from(id.0),
            Self::Secret(name) => plain_template(&[Part::Secret(name.clone())]),
            Self::Template { parts, .. } => plain_template(parts),
            Self::Build(value) => serde_json::json!({ "build": value }),
        }
    }

    /// Every secret this value holds, in order of appearance.
    pub fn secrets(&self, found: &mut Vec<SecretRef>) {
        match self {
            Self::Secret(name) => found.push(name.clone()),
            Self::Template { parts, .. } => {
                found.extend(parts.iter().filter_map(|part| match part {
                    Part::Secret(name) => Some(name.clone()),
                    Part::Text(_) | Part::Build { .. } => None,
                }));
            }
            Self::List(items) => items.iter().for_each(|v| v.secrets(found)),
            Self::Record(fields) | Self::Variant { payload: fields, .. } => {
                for value in fields.values() {
                    value.secrets(found);
                }
            }
            Self::None
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Mode(_)
            | Self::Text(_)
            | Self::Size(_)
            | Self::Duration(_)
            | Self::Platform(_)
            | Self::Script { .. }
            | Self::File(_)
            | Self::Dir(_)
            | Self::Node(_)
            | Self::Build(_) => {}
        }
    }

    /// Every value of another node that it waits for, in order of appearance.
    pub fn builds<'a>(&'a self, found: &mut Vec<&'a BuildValue>) {
        match self {
            Self::Build(value) => found.push(value),
            Self::Template { parts, .. } => {
                found.extend(parts.iter().filter_map(|part| match part {
                    Part::Build { value, .. } => Some(value),
                    Part::Text(_) | Part::Secret(_) => None,
                }));
            }
            Self::List(items) => items.iter().for_each(|v| v.builds(found)),
            Self::Record(fields) | Self::Variant { payload: fields, .. } => {
                for value in fields.values() {
                    value.builds(found);
                }
            }
            Self::None
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Mode(_)
            | Self::Text(_)
            | Self::Size(_)
            | Self::Duration(_)
            | Self::Platform(_)
            | Self::Script { .. }
            | Self::File(_)
            | Self::Dir(_)
            | Self::Node(_)
            | Self::Secret(_) => {}
        }
    }

    /// [`Value::nodes`], and the nodes of [`Value::builds`], in one walk: large plans are full of values without either.
    pub(crate) fn links(&self, nodes: &mut Vec<NodeId>, builds: &mut Vec<NodeId>) {
        match self {
            Self::Node(id) => nodes.push(*id),
            Self::Build(value) => builds.push(value.node),
            Self::Template { parts, .. } => {
                builds.extend(parts.iter().filter_map(|part| match part {
                    Part::Build { value, .. } => Some(value.node),
                    Part::Text(_) | Part::Secret(_) => None,
                }));
            }
            Self::List(items) => items.iter().for_each(|v| v.links(nodes, builds)),
            Self::Record(fields) | Self::Variant { payload: fields, .. } => {
                for value in fields.values() {
                    value.links(nodes, builds);
                }
            }
            Self::None
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Mode(_)
            | Self::Text(_)
            | Self::Size(_)
            | Self::Duration(_)
            | Self::Platform(_)
            | Self::Script { .. }
            | Self::File(_)
            | Self::Dir(_)
            | Self::Secret(_) => {}
        }
    }

    /// Every node whose result as a whole this value is, in order of appearance. Nodes of build values are not among
    /// them: see [`Value::builds`].
    pub fn nodes(&self, found: &mut Vec<NodeId>) {
        match self {
            Self::Node(id) => found.push(*id),
            Self::List(items) => items.iter().for_each(|v| v.nodes(found)),
            Self::Record(fields) | Self::Variant { payload: fields, .. } => {
                for value in fields.values() {
                    value.nodes(found);
                }
            }
            Self::None
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Mode(_)
            | Self::Text(_)
            | Self::Size(_)
            | Self::Duration(_)
            | Self::Platform(_)
            | Self::Script { .. }
            | Self::File(_)
            | Self::Dir(_)
            | Self::Secret(_)
            | Self::Build(_)
            | Self::Template { .. } => {}
        }
    }
}

fn plain_template(parts: &[Part]) -> serde_json::Value {
    serde_json::json!({ "template": parts })
}

const SIZES: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
];

/// The text of a size in bytes: the largest unit that leaves a whole number; binary units win where both do.
pub fn size_text(bytes: u64) -> String {
    let fits = |(_, unit): &&(&str, u64)| bytes > 0 && bytes.is_multiple_of(*unit);
    let best = SIZES.iter().filter(fits).min_by_key(|(name, unit)| (bytes / unit, !name.ends_with("iB")));
    best.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

/// The fields as the structs of backends deserialise them: see [`Value::to_plain`].
pub fn plain_record(fields: &Record) -> serde_json::Value {
    serde_json::Value::Object(fields.iter().map(|(name, value)| (name.to_string(), value.to_plain())).collect())
}
