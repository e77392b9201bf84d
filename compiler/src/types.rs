//! Types and how they fit: data only, unaware of syntax and of where anything is defined.

#![expect(clippy::wildcard_enum_match_arm, reason = "most types are not what a rule is about, and are answered alike")]

mod checked;
mod fit;
mod pattern;
mod version;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

pub(crate) use checked::{CheckedText, has_drive};
pub(crate) use fit::{Coercion, Fit, fit, join};
pub(crate) use pattern::{Pattern, SYSTEMS};
pub(crate) use version::{compare as compare_versions, fulfils};

use crate::evaluate::escaped;
use crate::span::ModuleId;

/// An item of one compilation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ItemId {
    pub(crate) module: ModuleId,
    pub(crate) item: u32,
}

/// A record or enum: equal where it is the same item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Nominal {
    pub(crate) id: ItemId,
    pub(crate) name: Arc<str>,
    /// Fields of a record; variants of an enum with their payload.
    pub(crate) shape: Shape,
}

/// What a nominal type is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    Record(Vec<Field>),
    Enum(Vec<VariantType>),
}

/// A field as far as types go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: Arc<str>,
    pub(crate) ty: Type,
    /// Whether it may be left out: it has a default or its type is `T?`.
    pub(crate) optional: bool,
}

/// A variant of an enum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VariantType {
    pub(crate) name: Arc<str>,
    pub(crate) payload: Vec<Field>,
}

/// The platform index of an image, source or artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PlatformIndex {
    Is(Pattern),
    /// `p`, `of.platform`: a param of a signature, or a name where it is visible; with what its type says of it.
    Path(Arc<[Arc<str>]>, Pattern),
}

/// The format index of an image, source or artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FormatIndex {
    Any,
    Of(BTreeSet<Arc<str>>),
    /// `format`, `t.format`, as for platforms.
    Path(Arc<[Arc<str>]>),
}

/// Formats that an index may name.
pub(crate) const FORMATS: [&str; 17] = [
    "rootfs", "oci", "raw", "qcow2", "vmdk", "vhd", "vhdx", "ova", "vagrant", "ami", "gce", "azure", "tar", "zst",
    "gz", "xz", "sums",
];

/// Those of them that are another file, compressed: their ending comes behind its own.
pub(crate) const WRAPPING: [&str; 3] = ["zst", "gz", "xz"];

/// The type of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Type {
    /// Of something that is wrong and was reported: fits everything.
    Error,
    /// Of the elements of `[]`: fits everything.
    Never,
    None,
    Bool,
    Int,
    Port,
    Mode,
    String,
    Size,
    Duration,
    Checked(CheckedText),
    /// One text, as a type.
    Literal(Arc<str>),
    Platform(Pattern),
    Script(Arc<str>),
    File,
    Dir,
    List(Arc<Type>),
    Set(Arc<Type>),
    Map(Arc<Type>, Arc<Type>),
    Range(Arc<Type>),
    Optional(Arc<Type>),
    Union(Arc<[Type]>),
    /// Of a record literal that nobody asked a type of.
    Anonymous(Arc<[Field]>),
    Nominal(Arc<Nominal>),
    Secret(Arc<Type>),
    Image(PlatformIndex, FormatIndex),
    Source(PlatformIndex, FormatIndex),
    Artifact(FormatIndex, PlatformIndex),
}

impl Type {
    /// `T?`, never twice.
    pub(crate) fn optional(self) -> Self {
        match self {
            Self::Optional(_) | Self::None | Self::Error => self,
            other => Self::Optional(Arc::new(other)),
        }
    }

    /// The `T` of a `T?`, else the type itself.
    pub(crate) fn required(&self) -> &Self {
        if let Self::Optional(inner) = self { inner } else { self }
    }

    /// Whether an error was already reported about it.
    pub(crate) fn is_error(&self) -> bool {
        matches!(self, Self::Error)
    }

    /// The enum, where it is one, also behind `?` and in a union.
    pub(crate) fn as_enum(&self) -> Option<&Arc<Nominal>> {
        match self {
            Self::Nominal(nominal) if matches!(nominal.shape, Shape::Enum(_)) => Some(nominal),
            Self::Optional(inner) => inner.as_enum(),
            Self::Union(members) => members.iter().find_map(Self::as_enum),
            _ => None,
        }
    }

    /// The texts that it lists.
    pub(crate) fn literals(&self) -> Vec<&str> {
        match self {
            Self::Literal(text) => vec![text],
            Self::Optional(inner) => inner.literals(),
            Self::Union(members) => members.iter().flat_map(Self::literals).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether only listed texts fit.
    pub(crate) fn has_literals(&self) -> bool {
        !self.literals().is_empty()
    }

    /// Whether a value of it has a text, so that it can be interpolated.
    pub(crate) fn has_text(&self) -> bool {
        match self {
            Self::Error
            | Self::Never
            | Self::Bool
            | Self::Int
            | Self::Port
            | Self::Mode
            | Self::String
            | Self::Size
            | Self::Duration
            | Self::Checked(_)
            | Self::Literal(_)
            | Self::Platform(_) => true,
            Self::Nominal(nominal) => nominal.is_plain_enum(),
            Self::Union(members) => members.iter().all(Self::has_text),
            _ => false,
        }
    }

    /// Whether a value of it is a secret, or may be one.
    pub(crate) fn is_secret(&self) -> bool {
        match self {
            Self::Secret(_) => true,
            Self::Optional(inner) => inner.is_secret(),
            Self::Union(members) => members.iter().any(Self::is_secret),
            _ => false,
        }
    }

    /// Whether a secret is in it somewhere.
    pub(crate) fn holds_secret(&self) -> bool {
        match self {
            Self::Secret(_) => true,
            Self::Optional(inner) | Self::List(inner) | Self::Set(inner) | Self::Map(_, inner) => inner.holds_secret(),
            Self::Union(members) => members.iter().any(Self::holds_secret),
            Self::Anonymous(fields) => fields.iter().any(|field| field.ty.holds_secret()),
            Self::Nominal(nominal) => match &nominal.shape {
                Shape::Record(fields) => fields.iter().any(|field| field.ty.holds_secret()),
                Shape::Enum(variants) => variants.iter().flat_map(|v| &v.payload).any(|f| f.ty.holds_secret()),
            },
            _ => false,
        }
    }

    /// Whether `==` is defined.
    pub(crate) fn is_comparable(&self) -> bool {
        match self {
            Self::None => true,
            Self::Optional(inner) | Self::List(inner) | Self::Set(inner) => inner.is_comparable(),
            Self::Map(key, value) => key.is_comparable() && value.is_comparable(),
            Self::Union(members) => members.iter().all(Self::is_comparable),
            Self::Anonymous(fields) => fields.iter().all(|f| f.ty.is_comparable()),
            Self::Nominal(nominal) => match &nominal.shape {
                Shape::Record(fields) => fields.iter().all(|f| f.ty.is_comparable()),
                Shape::Enum(variants) => variants.iter().flat_map(|v| &v.payload).all(|f| f.ty.is_comparable()),
            },
            other => other.has_text(),
        }
    }

    /// Whether `<` is defined.
    pub(crate) fn is_ordered(&self) -> bool {
        matches!(
            self,
            Self::Error
                | Self::Never
                | Self::Int
                | Self::Port
                | Self::Mode
                | Self::Size
                | Self::Duration
                | Self::String
                | Self::Literal(_)
                | Self::Checked(CheckedText::Semver)
        )
    }

    /// Whether it can be the key of a map, of an `image … for`, and part of an address.
    pub(crate) fn is_key(&self) -> bool {
        match self {
            Self::Error
            | Self::Never
            | Self::Bool
            | Self::Int
            | Self::Port
            | Self::String
            | Self::Platform(_)
            | Self::Literal(_)
            | Self::Checked(_) => true,
            Self::Nominal(nominal) => nominal.is_plain_enum(),
            Self::Union(members) => members.iter().all(Self::is_key),
            _ => false,
        }
    }

    /// The same with other indices.
    pub(crate) fn indexed(
        &self,
        platform: &mut dyn FnMut(&PlatformIndex) -> PlatformIndex,
        format: &mut dyn FnMut(&FormatIndex) -> FormatIndex,
    ) -> Self {
        match self {
            Self::Image(p, f) => Self::Image(platform(p), format(f)),
            Self::Source(p, f) => Self::Source(platform(p), format(f)),
            Self::Artifact(f, p) => Self::Artifact(format(f), platform(p)),
            Self::Optional(inner) => Self::Optional(Arc::new(inner.indexed(platform, format))),
            Self::List(inner) => Self::List(Arc::new(inner.indexed(platform, format))),
            Self::Set(inner) => Self::Set(Arc::new(inner.indexed(platform, format))),
            Self::Map(key, value) => Self::Map(key.clone(), Arc::new(value.indexed(platform, format))),
            Self::Union(members) => Self::Union(members.iter().map(|m| m.indexed(platform, format)).collect()),
            Self::Anonymous(fields) => Self::Anonymous(
                fields.iter().map(|field| Field { ty: field.ty.indexed(platform, format), ..field.clone() }).collect(),
            ),
            other => other.clone(),
        }
    }

    /// What `.platform` of it is.
    pub(crate) fn platform(&self) -> Option<&PlatformIndex> {
        match self {
            Self::Image(platform, _) | Self::Source(platform, _) | Self::Artifact(_, platform) => Some(platform),
            _ => None,
        }
    }
}

impl Nominal {
    fn is_plain_enum(&self) -> bool {
        matches!(&self.shape, Shape::Enum(variants) if variants.iter().all(|v| v.payload.is_empty()))
    }

    /// The fields of a record; none of an enum.
    pub(crate) fn fields(&self) -> &[Field] {
        if let Shape::Record(fields) = &self.shape { fields } else { &[] }
    }

    /// The variants of an enum; none of a record.
    pub(crate) fn variants(&self) -> &[VariantType] {
        if let Shape::Enum(variants) = &self.shape { variants } else { &[] }
    }
}

impl PlatformIndex {
    /// The pattern; of a path what its type says.
    pub(crate) fn pattern(&self) -> Pattern {
        let (Self::Is(pattern) | Self::Path(_, pattern)) = self;
        pattern.clone()
    }
}

impl FormatIndex {
    /// Exactly one format.
    pub(crate) fn one(name: &str) -> Self {
        Self::Of(BTreeSet::from([Arc::from(name)]))
    }
}

impl fmt::Display for PlatformIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(pattern) => pattern.fmt(f),
            Self::Path(path, _) => f.write_str(&path.join(".")),
        }
    }
}

impl fmt::Display for FormatIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Of(formats) => f.write_str(&formats.iter().map(|f| &**f).collect::<Vec<_>>().join(" | ")),
            Self::Path(path) => f.write_str(&path.join(".")),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error | Self::Never => f.write_str("_"),
            Self::None => f.write_str("none"),
            Self::Bool => f.write_str("Bool"),
            Self::Int => f.write_str("Int"),
            Self::Port => f.write_str("Port"),
            Self::Mode => f.write_str("Mode"),
            Self::String => f.write_str("String"),
            Self::Size => f.write_str("Size"),
            Self::Duration => f.write_str("Duration"),
            Self::Checked(checked) => f.write_str(checked.name()),
            Self::Literal(text) => write!(f, "\"{}\"", escaped(text)),
            Self::Platform(pattern) if *pattern == Pattern::ANY => f.write_str("Platform"),
            Self::Platform(pattern) => pattern.fmt(f),
            Self::Script(shell) => write!(f, "Script<{shell}>"),
            Self::File => f.write_str("File"),
            Self::Dir => f.write_str("Dir"),
            Self::List(inner) => write!(f, "List<{inner}>"),
            Self::Set(inner) => write!(f, "Set<{inner}>"),
            Self::Map(key, value) => write!(f, "Map<{key}, {value}>"),
            Self::Range(inner) => write!(f, "range of {inner}"),
            Self::Optional(inner) if matches!(**inner, Self::Union(_)) => write!(f, "({inner})?"),
            Self::Optional(inner) => write!(f, "{inner}?"),
            Self::Union(members) => {
                f.write_str(&members.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "))
            }
            Self::Anonymous(fields) => {
                let fields: Vec<String> = fields.iter().map(|field| format!("{}: {}", field.name, field.ty)).collect();
                write!(f, "{{ {} }}", fields.join(", "))
            }
            Self::Nominal(nominal) => f.write_str(&nominal.name),
            Self::Secret(inner) => write!(f, "Secret<{inner}>"),
            Self::Image(platform, format) => write!(f, "Image<{platform}, {format}>"),
            Self::Source(platform, format) => write!(f, "Source<{platform}, {format}>"),
            Self::Artifact(format, platform) => write!(f, "Artifact<{format}, {platform}>"),
        }
    }
}
