//! Build values: what a node takes of others is put into its arguments before its fingerprint is computed and before
//! its backend sees them. So the fingerprint holds what is read, not the state of all it is read from.

use std::borrow::Cow;
use std::sync::Arc;

use imgc_backend::{Backend, BackendError, Layer, Wanted};
use imgc_plan::value::size_text;
use imgc_plan::{Address, Attribute, BuildValue, Digest, FileRef, Node, NodeId, Part, Plan, Record, Value, node::Work};

use crate::Engine;
use crate::result::NodeResult;

/// The node with every value of other nodes in its place; `result` gives what they left.
///
/// # Errors
/// A path that is not there, an attribute that an artifact has not; it names both.
pub(crate) fn filled<'p, R: AsRef<NodeResult>>(
    engine: &Engine,
    plan: &'p Plan,
    id: NodeId,
    mut result: impl FnMut(NodeId) -> Option<R>,
) -> Result<Cow<'p, Node>, BackendError> {
    let node = plan.node(id);
    if plan.builds(id).is_empty() {
        return Ok(Cow::Borrowed(node));
    }
    let mut find = |value: &BuildValue| {
        let result = result(value.node).ok_or_else(|| BackendError::Internal {
            message: format!("`{}` was started before what it needs", node.address),
        })?;
        found(engine, plan, value, result.as_ref())
    };
    let mut node = node.clone();
    name_file(&mut node)?;
    fill_record(&mut node.args, &mut find)?;
    if let Work::Source(source) = &mut node.work {
        fill_record(&mut source.machine, &mut find)?;
    }
    Ok(Cow::Owned(node))
}

/// The text of an output that is made of build values.
///
/// # Errors
/// As [`filled`].
pub(crate) fn text<R: AsRef<NodeResult>>(
    engine: &Engine,
    plan: &Plan,
    value: &Value,
    result: impl FnMut(NodeId) -> Option<R>,
) -> Result<String, BackendError> {
    text_of(&known(engine, plan, value, result)?)
}

/// The file of an output that is taken out of an image, or that is an artifact used as a file.
///
/// # Errors
/// As [`filled`]; a directory, which is more than one file.
pub(crate) fn file<R: AsRef<NodeResult>>(
    engine: &Engine,
    plan: &Plan,
    value: &Value,
    result: impl FnMut(NodeId) -> Option<R>,
) -> Result<FileRef, BackendError> {
    let value = known(engine, plan, value, result)?;
    if let Value::File(file) = value {
        return Ok(Arc::unwrap_or_clone(file));
    }
    if let Value::Dir(dir) = &value {
        return Err(BackendError::Program {
            message: format!("{} is a directory, and an output is one file", dir.path),
            help: Some("copy it into an image from `rootfs.scratch()` and output `oci.archive(…)` of that".to_owned()),
        });
    }
    Err(BackendError::Internal { message: format!("no file can be made of {}", value.to_plain()) })
}

/// The value with what it takes of others in its place.
fn known<R: AsRef<NodeResult>>(
    engine: &Engine,
    plan: &Plan,
    value: &Value,
    mut result: impl FnMut(NodeId) -> Option<R>,
) -> Result<Value, BackendError> {
    let mut value = value.clone();
    let mut find = |value: &BuildValue| {
        let missing = || BackendError::Internal { message: "an output was asked for before it was built".to_owned() };
        found(engine, plan, value, result(value.node).ok_or_else(missing)?.as_ref())
    };
    fill(&mut value, &mut find)?;
    Ok(value)
}

/// A destination that ends in a slash takes the name that the file was asked for under, which its place in the store
/// need not have.
fn name_file(node: &mut Node) -> Result<(), BackendError> {
    let name = match node.args.get("src") {
        Some(Value::Build(BuildValue { what: Attribute::File { path }, .. })) => path.rsplit('/').next(),
        Some(Value::Build(BuildValue { what: Attribute::Whole, .. })) => None,
        _ => return Ok(()),
    };
    let name = name.map(str::to_owned);
    let Some(Value::Text(dest)) = node.args.get_mut("dest") else { return Ok(()) };
    if dest.ends_with('/') {
        let name = name.ok_or_else(|| BackendError::Program {
            message: format!("`dest` of `{}` has to name the file: an artifact has no name of its own", node.address),
            help: Some(format!("write `dest = \"{dest}NAME\"`")),
        })?;
        *dest = format!("{dest}{name}").into();
    }
    Ok(())
}

type Find<'f> = &'f mut dyn FnMut(&BuildValue) -> Result<Value, BackendError>;

fn fill_record(fields: &mut Record, find: Find<'_>) -> Result<(), BackendError> {
    fields.values_mut().try_for_each(|value| fill(value, find))
}

fn fill(value: &mut Value, find: Find<'_>) -> Result<(), BackendError> {
    match value {
        Value::Build(of) => *value = find(of)?,
        Value::Template { shell, parts } => *value = template(shell.take(), std::mem::take(parts), find)?,
        Value::List(items) => items.iter_mut().try_for_each(|item| fill(item, find))?,
        Value::Record(fields) | Value::Variant { payload: fields, .. } => fill_record(fields, find)?,
        Value::None
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Mode(_)
        | Value::Text(_)
        | Value::Size(_)
        | Value::Duration(_)
        | Value::Platform(_)
        | Value::Script { .. }
        | Value::File(_)
        | Value::Dir(_)
        | Value::Node(_)
        | Value::Secret(_) => {}
    }
    Ok(())
}

/// A text where no secret is left in it, else what holds the secrets.
fn template(shell: Option<Arc<str>>, parts: Vec<Part>, find: Find<'_>) -> Result<Value, BackendError> {
    let mut whole: Vec<Part> = Vec::with_capacity(parts.len());
    for part in parts {
        let text = match part {
            Part::Secret(_) => {
                whole.push(part);
                continue;
            }
            Part::Text(text) => text,
            Part::Build { value, escape } => {
                let text = text_of(&find(&value)?)?;
                let zero = || BackendError::Program {
                    message: "a value with a NUL byte cannot stand in a script".to_owned(),
                    help: None,
                };
                match escape {
                    Some(escape) => escape.apply(&text).ok_or_else(zero)?,
                    None => text,
                }
            }
        };
        match whole.last_mut() {
            Some(Part::Text(before)) => before.push_str(&text),
            Some(Part::Secret(_) | Part::Build { .. }) | None => whole.push(Part::Text(text)),
        }
    }
    Ok(match (shell, whole.as_slice()) {
        (Some(shell), []) => Value::Script { shell, text: Arc::from("") },
        (Some(shell), [Part::Text(text)]) => Value::Script { shell, text: text.as_str().into() },
        (None, []) => Value::Text(Arc::from("")),
        (None, [Part::Text(text)]) => Value::Text(text.as_str().into()),
        (shell, _) => Value::Template { shell, parts: whole },
    })
}

fn text_of(value: &Value) -> Result<String, BackendError> {
    if let Value::Text(text) = value {
        return Ok(text.to_string());
    }
    if let Value::Size(bytes) = value {
        return Ok(size_text(*bytes));
    }
    Err(BackendError::Internal { message: format!("no text can be made of {}", value.to_plain()) })
}

fn found(engine: &Engine, plan: &Plan, value: &BuildValue, result: &NodeResult) -> Result<Value, BackendError> {
    let name = name(plan, value.node);
    let lacks = |what: &str, help: &str| BackendError::Program {
        message: format!("`{name}` has no {what}"),
        help: Some(help.to_owned()),
    };
    match (&value.what, result) {
        (Attribute::File { path }, NodeResult::Layer(layer)) => {
            look_into(engine, layer, &name, path, Wanted::File).map_err(|error| error.at(value))
        }
        (Attribute::Dir { path }, NodeResult::Layer(layer)) => {
            look_into(engine, layer, &name, path, Wanted::Dir).map_err(|error| error.at(value))
        }
        (Attribute::Whole, NodeResult::Artifact(artifact)) => {
            let Some(path) = artifact.path.as_ref().and_then(|path| path.to_str()) else {
                return Err(lacks("file", "it only has an id: `.id`"));
            };
            let (path, digest, size) = (path.to_owned(), artifact.digest, artifact.size);
            Ok(Value::from(FileRef { path, digest, mode: 0o644, size }))
        }
        (Attribute::Digest, NodeResult::Layer(layer)) => Ok(Value::Text(blake3(layer.state.digest()).into())),
        (Attribute::Digest, NodeResult::Artifact(artifact)) => {
            let sha256 = artifact.sha256.map(|sha256| format!("sha256:{sha256}"));
            Ok(Value::Text(sha256.unwrap_or_else(|| blake3(artifact.digest)).into()))
        }
        (Attribute::Id, NodeResult::Artifact(artifact)) => match &artifact.id {
            Some(id) => Ok(Value::Text(id.as_str().into())),
            None => Err(lacks("id", "it is a file: take its `.digest`")),
        },
        (Attribute::Size, NodeResult::Artifact(artifact)) => Ok(Value::Size(artifact.size)),
        (what, _) => Err(BackendError::Internal { message: format!("`{name}` is nothing that has {what:?}") }),
    }
}

fn blake3(digest: Digest) -> String {
    format!("blake3:{digest}")
}

fn look_into(engine: &Engine, layer: &Layer, name: &str, path: &str, wanted: Wanted) -> Result<Value, NotTaken> {
    let backend = engine.backends.get(layer.backend.as_str()).map(AsRef::as_ref);
    let find = |backend: &dyn Backend| backend.find(layer, path, wanted);
    match backend.map(find) {
        Some(Ok(value)) => Ok(value),
        Some(Err(cause)) => Err(NotTaken { image: name.to_owned(), cause }),
        None => Err(NotTaken {
            image: name.to_owned(),
            cause: BackendError::Internal { message: format!("no backend is named `{}`", layer.backend) },
        }),
    }
}

/// A path that could not be taken out of an image.
struct NotTaken {
    image: String,
    cause: BackendError,
}

impl NotTaken {
    /// The error with the path and the image named.
    fn at(self, value: &BuildValue) -> BackendError {
        let path = match &value.what {
            Attribute::File { path } | Attribute::Dir { path } => path.as_str(),
            Attribute::Whole | Attribute::Digest | Attribute::Id | Attribute::Size => "",
        };
        let Self { image, mut cause } = self;
        if let BackendError::Program { message, .. } = &mut cause {
            *message = format!("cannot take {path} out of the image `{image}`: {message}");
        }
        cause
    }
}

/// What people call a node that others take something of: the image that it ends, else its address.
pub(crate) fn name(plan: &Plan, id: NodeId) -> String {
    let Address(own) = &plan.node(id).address;
    plan.images.iter().find(|image| image.last == id).map_or_else(|| own.clone(), |image| image.address.0.clone())
}
