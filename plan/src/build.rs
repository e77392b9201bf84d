//! Values that are known only later: those of secrets, and what other nodes leave.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::NodeId;

/// The name of a secret: a key of [`crate::Plan::secrets`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretRef(pub String);

/// Where a secret comes from. Its value is in no plan: the runtime fetches it when a step that asks for it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Who has it.
    pub source: SecretSource,
    /// What the program says its version is: all that fingerprints see of it. Without one a rotation rebuilds nothing.
    pub version: Option<String>,
}

/// Who has a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// A variable of imgc's own environment.
    Env(String),
    /// A file: relative to the package, or absolute.
    File(String),
    /// What a program prints; one line end at its end does not count. Run in the package's directory.
    Command(Vec<String>),
}

impl std::fmt::Display for SecretSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "the file {path}"),
            Self::Command(argv) => write!(f, "the command `{}`", argv.join(" ")),
        }
    }
}

/// Something of another node that exists once it is built. The engine puts the value in its place before the
/// arguments reach a backend; the fingerprint holds that value, not the state of the other node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BuildValue {
    /// Whose it is: an image's last node, or an artifact.
    pub node: NodeId,
    /// What of it.
    pub what: Attribute,
}

/// What of a node a [`BuildValue`] is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attribute {
    /// A file of an image; becomes a [`crate::FileRef`].
    File {
        /// Absolute in the image.
        path: String,
    },
    /// A directory of an image; becomes a [`crate::DirRef`].
    Dir {
        /// Absolute in the image.
        path: String,
    },
    /// An artifact as a file; becomes a [`crate::FileRef`].
    Whole,
    /// The digest, as a text that begins with its algorithm.
    Digest,
    /// The id in the world it lives in, as a text.
    Id,
    /// In bytes; becomes a [`crate::Value::Size`].
    Size,
}

/// A part of a text with holes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Text as it stands.
    Text(String),
    /// The value of a secret. Never in a script.
    Secret(SecretRef),
    /// The text of a value of another node.
    Build {
        /// Which value.
        value: BuildValue,
        /// How it is written there, so that it arrives byte for byte; none: as it is.
        escape: Option<Escape>,
    },
}

/// How a value is written at its place in a script. The compiler knows the quoting state there; who fills the value
/// in needs to know nothing of shells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Escape {
    /// Before the value.
    pub open: String,
    /// After the value.
    pub close: String,
    /// What stands for a character; one that is not here stands for itself.
    pub replace: BTreeMap<char, String>,
}

impl Escape {
    /// The value as it is written; none where it holds a byte 0, which no word of a shell can.
    pub fn apply(&self, value: &str) -> Option<String> {
        let mut text = self.open.clone();
        for c in value.chars() {
            match self.replace.get(&c) {
                _ if c == '\0' => return None,
                Some(instead) => text.push_str(instead),
                None => text.push(c),
            }
        }
        text.push_str(&self.close);
        Some(text)
    }
}

impl BuildValue {
    /// As programs write it, to follow the name of the node: `.file("/out/app")`, `.digest`.
    pub fn member(&self) -> String {
        match &self.what {
            Attribute::File { path } => format!(".file(\"{path}\")"),
            Attribute::Dir { path } => format!(".dir(\"{path}\")"),
            Attribute::Whole => String::new(),
            Attribute::Digest => ".digest".to_owned(),
            Attribute::Id => ".id".to_owned(),
            Attribute::Size => ".size".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_written_by_its_table() {
        let replace = BTreeMap::from([('\'', "'\\''".to_owned())]);
        let escape = Escape { open: "'".to_owned(), close: "'".to_owned(), replace };
        assert_eq!(escape.apply("it's"), Some("'it'\\''s'".to_owned()));
        assert_eq!(escape.apply("a\0"), None);
        assert_eq!(Escape::default().apply("$x"), Some("$x".to_owned()));
    }
}
