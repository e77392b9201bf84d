//! Values while a program is evaluated. Cheap to clone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use imgc_plan::Platform;

use super::build::{Built, Hole};
use crate::span::Location;
use crate::types::ItemId;

/// Fields by name.
pub(crate) type Fields = BTreeMap<Arc<str>, Value>;

/// An image of one evaluation, every image after those it continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ImageId(pub(crate) u32);

/// An artifact of one evaluation; equal artifacts have one id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ArtifactId(pub(crate) u32);

/// A value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// Permissions.
    Mode(u32),
    Text(Arc<str>),
    /// In bytes.
    Size(u64),
    /// In milliseconds.
    Duration(u64),
    Platform(Arc<Platform>),
    List(Arc<Vec<Value>>),
    Set(Arc<BTreeSet<Value>>),
    Map(Arc<BTreeMap<Value, Value>>),
    Record(Arc<Fields>),
    Variant {
        name: Arc<str>,
        payload: Arc<Fields>,
    },
    Script {
        shell: Arc<str>,
        text: Arc<str>,
    },
    /// Both ends are in it.
    Range(Arc<(Value, Value)>),
    /// A path as [`crate::World`] takes it; digests are asked when the plan is made.
    File(Arc<str>),
    Dir {
        path: Arc<str>,
        ignore: Arc<Vec<String>>,
    },
    Source(Arc<SourceValue>),
    Image(ImageId),
    /// The file name that `file:` asked for is no part of the artifact itself.
    Artifact {
        id: ArtifactId,
        file: Option<Arc<str>>,
    },
    /// By the name that the plan has it under.
    Secret(Arc<str>),
    /// Something that is known once its image or artifact is built.
    Build(Arc<Built>),
    /// A text, or a script of this shell, with holes.
    Template {
        shell: Option<Arc<str>>,
        parts: Arc<Vec<Hole>>,
    },
}

/// A call of a source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SourceValue {
    pub(crate) of: ItemId,
    pub(crate) args: Fields,
    pub(crate) platform: Platform,
    pub(crate) at: Location,
}

impl Value {
    /// A text.
    pub(crate) fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into())
    }

    /// Adds the text of a value that has one to another.
    pub(crate) fn add_text(&self, to: &mut String) -> Option<()> {
        match self {
            Self::Text(text) | Self::Script { text, .. } => to.push_str(text),
            // Nothing refuses to be written to a text.
            Self::Int(n) => {
                let _ = write!(to, "{n}");
            }
            other => to.push_str(&other.to_text()?),
        }
        Some(())
    }

    /// The text of a value that has one.
    pub(crate) fn to_text(&self) -> Option<String> {
        Some(match self {
            Self::Bool(b) => b.to_string(),
            Self::Int(n) => n.to_string(),
            // As `chmod` and configuration files take it.
            Self::Mode(bits) => format!("{bits:04o}"),
            Self::Text(text) | Self::Script { text, .. } => text.to_string(),
            Self::Size(bytes) => size_text(*bytes),
            Self::Duration(millis) => duration_text(*millis),
            Self::Platform(platform) => platform.to_string(),
            Self::Variant { name, .. } => name.to_string(),
            Self::None
            | Self::List(_)
            | Self::Set(_)
            | Self::Map(_)
            | Self::Record(_)
            | Self::Range(_)
            | Self::File(_)
            | Self::Dir { .. }
            | Self::Source(_)
            | Self::Image(_)
            | Self::Artifact { .. }
            | Self::Secret(_)
            | Self::Build(_)
            | Self::Template { .. } => return None,
        })
    }

    /// The value as `plan` shows it: as a program would write it, as far as it can be written.
    pub(crate) fn shown(&self) -> String {
        let all = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(", ");
        match self {
            Self::None => "none".to_owned(),
            Self::Text(text) => format!("\"{}\"", escaped(text)),
            Self::List(items) => format!("[{}]", all(&mut items.iter().map(Self::shown))),
            Self::Set(items) => format!("[{}]", all(&mut items.iter().map(Self::shown))),
            Self::Map(map) => {
                format!("{{ {} }}", all(&mut map.iter().map(|(k, v)| format!("{} => {}", k.shown(), v.shown()))))
            }
            Self::Record(fields) => {
                format!("{{ {} }}", all(&mut fields.iter().map(|(k, v)| format!("{k} = {}", v.shown()))))
            }
            Self::Variant { name, payload } if !payload.is_empty() => {
                format!("{name}({})", all(&mut payload.iter().map(|(k, v)| format!("{k}: {}", v.shown()))))
            }
            Self::Range(ends) => format!("{}..={}", ends.0.shown(), ends.1.shown()),
            Self::File(path) => format!("file(\"{path}\")"),
            Self::Dir { path, .. } => format!("dir(\"{path}\")"),
            Self::Source(_) => "source".to_owned(),
            Self::Image(_) => "image".to_owned(),
            Self::Artifact { .. } => "artifact".to_owned(),
            Self::Mode(bits) => format!("0o{bits:o}"),
            Self::Secret(name) => format!("secret {name}"),
            Self::Build(_) | Self::Template { .. } => "known once it is built".to_owned(),
            Self::Bool(_)
            | Self::Int(_)
            | Self::Size(_)
            | Self::Duration(_)
            | Self::Platform(_)
            | Self::Variant { .. }
            | Self::Script { .. } => self.to_text().unwrap_or_default(),
        }
    }

    /// Every image and artifact in it, in order of appearance.
    pub(crate) fn nodes(&self, found: &mut Vec<NodeRef>) {
        match self {
            Self::Image(id) => found.push(NodeRef::Image(*id)),
            Self::Artifact { id, .. } => found.push(NodeRef::Artifact(*id)),
            Self::Build(value) => found.push(value.of),
            Self::Template { parts, .. } => found.extend(parts.iter().filter_map(|part| match part {
                Hole::Build { value, .. } => Some(value.of),
                Hole::Text(_) | Hole::Secret(_) => None,
            })),
            Self::List(items) => items.iter().for_each(|v| v.nodes(found)),
            Self::Set(items) => items.iter().for_each(|v| v.nodes(found)),
            Self::Map(map) => map.values().for_each(|v| v.nodes(found)),
            Self::Record(fields) | Self::Variant { payload: fields, .. } => {
                fields.values().for_each(|v| v.nodes(found));
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
            | Self::Range(_)
            | Self::File(_)
            | Self::Dir { .. }
            | Self::Source(_)
            | Self::Secret(_) => {}
        }
    }
}

/// Something of the graph that a value refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum NodeRef {
    Image(ImageId),
    Artifact(ArtifactId),
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

/// The largest unit that leaves a whole number; binary units win where both do.
pub(crate) fn size_text(bytes: u64) -> String {
    imgc_plan::value::size_text(bytes)
}

/// `1h30m`, `250ms`.
pub(crate) fn duration_text(millis: u64) -> String {
    let mut rest = millis;
    let mut text = String::new();
    for (unit, name) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")] {
        if rest >= unit {
            let _ = write!(text, "{}{name}", rest / unit);
            rest %= unit;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Reads `512MiB`, `20GB`, `100B`.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '_')?;
    let (number, unit) = text.split_at(digits);
    let unit = if unit == "B" { 1 } else { SIZES.iter().find(|(name, _)| *name == unit)?.1 };
    number.replace('_', "").parse::<u64>().ok()?.checked_mul(unit).filter(|n| i64::try_from(*n).is_ok())
}

/// Reads `1h30m`, `250ms`.
pub(crate) fn parse_duration(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let unit = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        rest = tail;
    }
    (!text.is_empty() && i64::try_from(total).is_ok()).then_some(total)
}

/// A text as it stands between quotes.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    add_escaped(text, &mut escaped);
    escaped
}

/// Adds a text to another as it stands between quotes.
pub(crate) fn add_escaped(text: &str, to: &mut String) {
    for c in text.chars() {
        match c {
            '\n' => to.push_str("\\n"),
            '\t' => to.push_str("\\t"),
            '"' => to.push_str("\\\""),
            '\\' => to.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(to, "\\u{{{:x}}}", u32::from(c));
            }
            c => to.push(c),
        }
    }
}
