//! Typed arguments of nodes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{DirRef, FileRef, NodeId, Platform};

/// Fields by name, in sorted order.
pub type Record = BTreeMap<String, Value>;

/// One argument of a node, as the compiler evaluated it and the plan file holds it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// `none`.
    None,
    /// A truth value.
    Bool(bool),
    /// A number, a `Port` or a `Mode`.
    Int(i64),
    /// A text, a checked text or a `GuestPath`.
    Text(String),
    /// In bytes.
    Size(u64),
    /// In milliseconds.
    Duration(u64),
    /// A platform.
    Platform(Platform),
    /// A list, or a set in sorted order.
    List(Vec<Value>),
    /// A record, or a map whose keys are texts.
    Record(Record),
    /// A variant of an enum, with its payload.
    Variant {
        /// The variant's name.
        name: String,
        /// Empty for a plain variant.
        payload: Record,
    },
    /// A script with every interpolated value already escaped.
    Script {
        /// `sh`, `powershell`, …
        shell: String,
        /// The whole text.
        text: String,
    },
    /// A file of the package.
    File(FileRef),
    /// A directory of the package.
    Dir(DirRef),
    /// Another node of the plan: an image (its last step) or an artifact.
    Node(NodeId),
}

impl Value {
    /// The value in the shape that the structs of backends deserialise, without its tags: sizes and durations are
    /// numbers (bytes, milliseconds), a plain variant is its name, one with payload is `{"name": {…}}`, a script is
    /// its text, files and directories are their records.
    pub fn to_plain(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Self::None => Json::Null,
            Self::Bool(b) => Json::Bool(*b),
            Self::Int(n) => Json::from(*n),
            Self::Size(n) | Self::Duration(n) => Json::from(*n),
            Self::Text(s) => Json::String(s.clone()),
            Self::Script { text, .. } => Json::String(text.clone()),
            Self::Platform(p) => Json::String(p.to_string()),
            Self::List(items) => Json::Array(items.iter().map(Self::to_plain).collect()),
            Self::Record(fields) => plain_record(fields),
            Self::Variant { name, payload } if payload.is_empty() => Json::String(name.clone()),
            Self::Variant { name, payload } => {
                Json::Object([(name.clone(), plain_record(payload))].into_iter().collect())
            }
            Self::File(file) => serde_json::to_value(file).unwrap_or(Json::Null),
            Self::Dir(dir) => serde_json::to_value(dir).unwrap_or(Json::Null),
            Self::Node(id) => Json::from(id.0),
        }
    }

    /// Every node this value refers to, in order of appearance.
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
            | Self::Text(_)
            | Self::Size(_)
            | Self::Duration(_)
            | Self::Platform(_)
            | Self::Script { .. }
            | Self::File(_)
            | Self::Dir(_) => {}
        }
    }
}

/// The fields as the structs of backends deserialise them: see [`Value::to_plain`].
pub fn plain_record(fields: &Record) -> serde_json::Value {
    serde_json::Value::Object(fields.iter().map(|(name, value)| (name.clone(), value.to_plain())).collect())
}
