//! Values that are known only while the plan is executed: secrets, and what steps and artifacts leave. They are passed
//! on, and texts are made of them; nothing looks into one, so that the graph is complete before the first step runs.

use std::sync::Arc;

use imgc_plan::{Attribute, Digest, Escape, SecretSource};

use crate::core::{Builtin, Expr, Item, Origin};
use crate::diagnostic::{evaluate as say, platform as say_platform};
use crate::paths;
use crate::span::Location;

use super::{Base, Evaluator, Frame, ImageData, ImageId, InstanceId, Known, NodeRef, SourceValue, Stop, Value};

/// Something of an image or artifact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Built {
    pub(crate) of: NodeRef,
    pub(crate) what: Attribute,
}

/// A part of a text that is not whole yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hole {
    Text(Arc<str>),
    /// By the name that the plan has it under.
    Secret(Arc<str>),
    Build {
        value: Arc<Built>,
        /// How it is written there; none: as it is.
        escape: Option<Escape>,
    },
}

/// A secret as it was declared.
#[derive(Debug, Clone)]
pub(crate) struct SecretData {
    pub(crate) source: SecretSource,
    pub(crate) version: Option<String>,
}

/// Something that is done with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// A comparison or sum.
    Operator,
    /// `match`.
    Match,
    /// Part of a map, of a set, or of an address by `for`.
    Key,
    /// The label of a step, the name of a file.
    Name,
    /// A function of what is in it.
    Content,
    /// A text whose form is tested.
    Form,
}

impl Value {
    /// Whether some of it is known only once something is built.
    pub(crate) fn is_open(&self) -> bool {
        match self {
            Self::Build(_) | Self::Template { .. } => true,
            Self::List(items) => items.iter().any(Self::is_open),
            Self::Set(items) => items.iter().any(Self::is_open),
            Self::Map(map) => map.values().any(Self::is_open),
            Self::Record(fields) | Self::Variant { payload: fields, .. } => fields.values().any(Self::is_open),
            _ => false,
        }
    }
}

impl Value {
    /// The bytes of its text that are known.
    pub(super) fn known_length(&self) -> usize {
        let known = |part: &Hole| match part {
            Hole::Text(text) => text.len(),
            Hole::Secret(_) | Hole::Build { .. } => 0,
        };
        match self {
            Self::Template { parts, .. } => parts.iter().map(known).sum(),
            Self::Text(text) | Self::Script { text, .. } => text.len(),
            other => other.to_text().map_or(0, |text| text.len()),
        }
    }
}

/// The text of a script to put into another, with something in each hole, to see where the other's own holes stand.
pub(super) fn example(value: &Value) -> Option<String> {
    match value {
        Value::Template { parts, .. } => {
            let text = parts.iter().map(|part| match part {
                Hole::Text(text) => Some(text.to_string()),
                Hole::Build { escape: Some(escape), .. } => escape.apply("x"),
                Hole::Build { escape: None, .. } | Hole::Secret(_) => Some("x".to_owned()),
            });
            text.collect()
        }
        other => other.to_text(),
    }
}

impl<'a> Evaluator<'a> {
    /// Refuses to look into a value that is not known yet.
    pub(super) fn must_know(&mut self, value: &Value, look: Look, at: Location) -> Known<()> {
        if value.is_open() { Err(self.report(say_platform::not_yet_known(at, look))) } else { Ok(()) }
    }

    /// As [`Evaluator::must_know`], of what evaluation gave.
    pub(super) fn known(&mut self, value: Known, look: Look, at: Location) -> Known {
        let value = value?;
        self.must_know(&value, look, at)?;
        Ok(value)
    }

    /// What is matched is known, but for the payload of a variant.
    pub(super) fn subject(&mut self, frame: &mut Frame, subject: &'a Expr) -> Known {
        let value = self.eval(frame, subject)?;
        if matches!(value, Value::Build(_) | Value::Template { .. }) {
            self.must_know(&value, Look::Match, subject.at)?;
        }
        Ok(value)
    }

    /// A member of an image, artifact or source.
    pub(super) fn on_graph(
        &mut self,
        frame: &Frame,
        builtin: Builtin,
        (base, arg): (&Value, Option<&Value>),
        at: Location,
    ) -> Known {
        let of = match base {
            Value::Image(id) => NodeRef::Image(*id),
            Value::Artifact { id, .. } => NodeRef::Artifact(*id),
            _ if builtin == Builtin::PlatformOf => {
                return self.platform_of(base).map(|p| Value::Platform(Arc::new(p))).ok_or(Stop::Reported);
            }
            Value::Source(_) if builtin == Builtin::Id => return Err(self.report(say_platform::source_attribute(at))),
            Value::Source(source) => NodeRef::Image(self.image_of_source(frame, source)?),
            _ => return Err(Stop::Reported),
        };
        let path = |this: &mut Self| -> Known<String> {
            match arg {
                Some(Value::Text(path)) => {
                    guest_path(path).ok_or_else(|| this.report(say_platform::image_path(at, path)))
                }
                Some(other) => this.must_know(other, Look::Content, at).and(Err(Stop::Reported)),
                None => Err(Stop::Reported),
            }
        };
        let what = match builtin {
            Builtin::BuildFile => Attribute::File { path: path(self)? },
            Builtin::BuildDir => Attribute::Dir { path: path(self)? },
            Builtin::Digest => Attribute::Digest,
            Builtin::Id => Attribute::Id,
            Builtin::BuiltSize => Attribute::Size,
            _ => return self.platform_of(base).map(|p| Value::Platform(Arc::new(p))).ok_or(Stop::Reported),
        };
        Ok(Value::Build(Arc::new(Built { of, what })))
    }

    /// The image that a source is before any step. Its address is made of what the source is, so that the order of items
    /// does not count.
    fn image_of_source(&mut self, frame: &Frame, source: &Arc<SourceValue>) -> Known<ImageId> {
        let key = (source.of, source.args.clone());
        if let Some(id) = self.source_ids.get(&key) {
            return Ok(*id);
        }
        self.count_node(source.at)?;
        let machine = self.machine_of(frame, source, Value::Record(Arc::default()), source.at)?;
        let kind = match self.program.item(source.of).map(|item| &**item) {
            Some(Item::Source(signature)) => signature.kind.clone(),
            _ => return Err(Stop::Reported),
        };
        let shown: Vec<String> = source.args.iter().map(|(name, value)| format!("{name}={}", value.shown())).collect();
        let digest = Digest::of(shown.join("\0").as_bytes()).to_string();
        let address = format!("{kind}@{}", digest.get(..8).unwrap_or_default());
        let id = ImageId(u32::try_from(self.result.images.len()).unwrap_or(u32::MAX));
        let (platform, base) = (source.platform.clone(), Base::Source(source.clone()));
        self.result.images.push(ImageData { address, platform, base, steps: Vec::new(), machine });
        self.source_ids.insert(key, id);
        Ok(id)
    }

    /// A member of a file or directory of an image: its path is known, its content is not.
    pub(super) fn on_build(&mut self, builtin: Builtin, built: &Built, arg: Option<&Value>, at: Location) -> Known {
        let below = |this: &mut Self, dir: &str| match arg {
            Some(Value::Text(path)) => {
                paths::join(dir, path).map_err(|_| this.report(say_platform::image_path(at, path)))
            }
            _ => Err(Stop::Reported),
        };
        let of = built.of;
        let what = match (builtin, &built.what) {
            (Builtin::FileName, Attribute::File { path }) => {
                return Ok(Value::text(path.rsplit('/').next().unwrap_or(path)));
            }
            (Builtin::DirFile, Attribute::Dir { path }) => Attribute::File { path: below(self, path)? },
            (Builtin::DirDir, Attribute::Dir { path }) => Attribute::Dir { path: below(self, path)? },
            (_, _) => return Err(self.report(say_platform::not_yet_known(at, Look::Content))),
        };
        Ok(Value::Build(Arc::new(Built { of, what })))
    }

    /// Declares a secret and gives the handle to it.
    pub(super) fn secret(
        &mut self,
        instance: InstanceId,
        name: &str,
        (origin, value): (Origin, &'a Expr),
        version: Option<&'a Expr>,
    ) -> Known {
        let mut frame = Frame::new(instance);
        let given = self.eval(&mut frame, value)?;
        let version = match version {
            Some(version) => {
                let text = self.eval(&mut frame, version)?;
                self.must_know(&text, Look::Name, version.at)?;
                text.to_text()
            }
            None => None,
        };
        self.must_know(&given, Look::Name, value.at)?;
        let text = given.to_text().unwrap_or_default();
        let source = match origin {
            Origin::Env => SecretSource::Env(text),
            Origin::File if text.starts_with('/') => SecretSource::File(text),
            Origin::File => {
                let module = self.modules.all.get(value.at.module.0 as usize).map(|m| m.path.to_string());
                let path = paths::resolve(&module.unwrap_or_default(), &text);
                SecretSource::File(path.map_err(|_| self.report(say::outside(value.at, &text)))?)
            }
            Origin::Command => match &given {
                Value::List(words) => SecretSource::Command(words.iter().filter_map(Value::to_text).collect()),
                _ => return Err(Stop::Reported),
            },
        };
        let prefix = self.instances.get(instance.0).map(|i| i.prefix.clone()).unwrap_or_default();
        let name: Arc<str> = format!("{prefix}{name}").into();
        self.result.secrets.insert(name.clone(), SecretData { source, version });
        Ok(Value::Secret(name))
    }
}

/// An absolute path in an image, without `.`, `..` and empty parts.
fn guest_path(path: &str) -> Option<String> {
    let rest = path.strip_prefix('/')?;
    if rest.is_empty() {
        return Some("/".to_owned());
    }
    paths::join("/", rest).ok()
}
