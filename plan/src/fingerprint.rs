//! Fingerprints: one walk over what determines a node's result, with two sinks.
//!
//! [`fingerprint`] hashes the fields, [`spec`] writes them down so that a later miss can be explained by comparing
//! two of them. Labels, spans, addresses and paths of the package never enter.

use serde::{Deserialize, Serialize};

use crate::node::{Node, Plan, Work};
use crate::value::Value;
use crate::{BuildValue, CachePolicy, Digest, Fingerprint, NodeId, Part, SecretRef};

/// Raised whenever the encoding below changes its meaning.
pub const FINGERPRINT_VERSION: u32 = 2;

/// What stands for the content of a node's result in the fingerprints of its users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The bytes themselves, where a backend can compute a canonical digest.
    Content {
        /// Running digest over the digests of the non-empty layers from the source up (of the artifact itself, where
        /// it is one): as good as the list, but of one size however long the chain is. Made by [`State::content`].
        layers: Digest,
        /// Of the configuration a source brought along (environment, entry point), where there is one.
        config: Option<Digest>,
    },
    /// The step that made it, where bytes differ each time.
    Made(Fingerprint),
}

impl State {
    /// The state of these layers, from the source up; of an artifact, where it is its digest alone.
    pub fn content(layers: impl IntoIterator<Item = Digest>, config: Option<Digest>) -> Self {
        let start = Self::Content { layers: Digest::of(b"imgc 1 layers"), config };
        layers.into_iter().fold(start, |state, layer| state.and(layer))
    }

    /// The state with one more layer on top. A state that is `Made` says nothing about layers and stays as it is.
    #[must_use]
    pub fn and(&self, layer: Digest) -> Self {
        match self {
            Self::Content { layers, config } => {
                let mut both = layers.0.to_vec();
                both.extend(layer.0);
                Self::Content { layers: Digest::of(&both), config: *config }
            }
            Self::Made(fingerprint) => Self::Made(*fingerprint),
        }
    }

    /// A digest of the state, for keys and for people.
    pub fn digest(&self) -> Digest {
        let mut hash = Hash::new("imgc 1 state");
        match self {
            Self::Content { layers, config } => {
                hash.field("content", &Field::Digest(*layers));
                if let Some(config) = config {
                    hash.field("config", &Field::Digest(*config));
                }
            }
            Self::Made(fingerprint) => hash.field("made", &Field::Digest(Digest(fingerprint.0))),
        }
        hash.finish()
    }
}

/// What a node's fingerprint was computed from, written down under its address to explain later misses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// [`FINGERPRINT_VERSION`].
    pub version: u32,
    /// Path of the field (`args.script`, `args.src/index.html`, `parent.0`) and its value as text, in walking order.
    pub fields: Vec<(String, String)>,
    /// What is in no fingerprint but tells people where a field comes from: the addresses of inputs, what a source is
    /// locked to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<(String, String)>,
}

/// One field on the way to a sink.
enum Field<'a> {
    Text(&'a str),
    Int(i64),
    Digest(Digest),
    /// Begins a list, record or map of so many entries; keeps `[[a], b]` apart from `[a, [b]]`.
    Open(&'static str, usize),
}

/// Where a walk goes to.
trait Sink {
    fn field(&mut self, path: &str, field: &Field<'_>);
    /// Detail that only explanations need, since a digest covers it already.
    fn detail(&mut self, _path: &str, _text: &str) {}
    /// What only explanations need, and no digest covers.
    fn note(&mut self, _path: &str, _text: String) {}
    /// Whether [`Sink::detail`] and paths are of any use.
    fn explains(&self) -> bool;
}

struct Hash(blake3::Hasher);

impl Hash {
    fn new(context: &str) -> Self {
        Self(blake3::Hasher::new_derive_key(context))
    }

    fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }

    fn bytes(&mut self, tag: u8, bytes: &[u8]) {
        self.0.update(&[tag]);
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }
}

impl Sink for Hash {
    fn field(&mut self, name: &str, field: &Field<'_>) {
        self.bytes(b'n', name.as_bytes());
        match field {
            Field::Text(text) => self.bytes(b't', text.as_bytes()),
            Field::Int(n) => self.bytes(b'i', &n.to_le_bytes()),
            Field::Digest(digest) => self.bytes(b'd', &digest.0),
            Field::Open(shape, len) => {
                self.bytes(b'o', shape.as_bytes());
                self.bytes(b'l', &(*len as u64).to_le_bytes());
            }
        }
    }

    fn explains(&self) -> bool {
        false
    }
}

#[derive(Default)]
struct Written {
    fields: Vec<(String, String)>,
    notes: Vec<(String, String)>,
}

impl Sink for Written {
    fn field(&mut self, path: &str, field: &Field<'_>) {
        let text = match field {
            Field::Text(text) => (*text).to_owned(),
            Field::Int(n) => n.to_string(),
            Field::Digest(digest) => digest.to_string(),
            Field::Open(shape, len) => format!("{shape} of {len}"),
        };
        self.fields.push((path.to_owned(), text));
    }

    fn detail(&mut self, path: &str, text: &str) {
        self.fields.push((path.to_owned(), text.to_owned()));
    }

    fn note(&mut self, path: &str, text: String) {
        self.notes.push((path.to_owned(), text));
    }

    fn explains(&self) -> bool {
        true
    }
}

/// The fingerprint of a node whose inputs ([`Plan::inputs`], same order) have these states.
///
/// A source that is not locked yet has no fingerprint worth keeping; callers lock first.
pub fn fingerprint(plan: &Plan, id: NodeId, parents: &[State]) -> Fingerprint {
    fingerprint_of(plan, id, plan.node(id), parents)
}

/// As [`fingerprint()`], of a node whose build values were filled in.
pub fn fingerprint_of(plan: &Plan, id: NodeId, filled: &Node, parents: &[State]) -> Fingerprint {
    let mut hash = Hash::new("imgc 1 step");
    walk(plan, id, filled, parents, &mut hash);
    Fingerprint(hash.finish().0)
}

/// The same walk, written down.
pub fn spec(plan: &Plan, id: NodeId, parents: &[State]) -> Spec {
    spec_of(plan, id, plan.node(id), parents)
}

/// As [`spec()`], of a node whose build values were filled in.
pub fn spec_of(plan: &Plan, id: NodeId, filled: &Node, parents: &[State]) -> Spec {
    let mut written = Written::default();
    walk(plan, id, filled, parents, &mut written);
    Spec { version: FINGERPRINT_VERSION, fields: written.fields, notes: written.notes }
}

/// The one place that says what a result depends on. `node` is that of `id`, or what filling in made of it.
fn walk(plan: &Plan, id: NodeId, node: &Node, parents: &[State], sink: &mut dyn Sink) {
    sink.field("version", &Field::Int(i64::from(FINGERPRINT_VERSION)));
    sink.field("kind", &Field::Text(&node.kind));
    sink.field("revision", &Field::Int(i64::from(node.revision)));
    sink.field("backend", &Field::Text(&node.backend));
    sink.field("platform", &Field::Text(&node.platform.to_string()));
    let order = Surroundings { plan, inputs: &plan.inputs(id) };
    for (name, value) in &node.args {
        // How long a result is used says nothing about what it is; a key is there to make it another one.
        if **name == *CachePolicy::ARGUMENT
            && let (Work::Step(_), Some(policy)) = (&node.work, CachePolicy::read(value))
        {
            if let CachePolicy::Key(key) = policy {
                sink.field("cache.key", &Field::Text(key));
            }
            continue;
        }
        walk_value(&format!("args.{name}"), value, &order, sink);
    }
    for (n, state) in parents.iter().enumerate() {
        sink.field(&format!("parent.{n}"), &Field::Digest(state.digest()));
    }
    if sink.explains() {
        for (n, id) in order.inputs.iter().enumerate() {
            sink.note(&format!("parent.{n}"), plan.node(*id).address.0.clone());
        }
    }
    match &node.work {
        Work::Source(source) => {
            if let Some(locked) = &source.locked {
                sink.field("lock", &Field::Digest(locked.digest()));
                if sink.explains() {
                    note_lock(locked, sink);
                }
            }
            let counts = |name: &str| source.counts.iter().any(|counted| counted == name);
            for (name, value) in source.machine.iter().filter(|(name, _)| counts(name)) {
                walk_value(&format!("machine.{name}"), value, &order, sink);
            }
        }
        Work::Step(step) => walk_step(plan, node, step, sink),
        Work::Artifact(artifact) => {
            // The epoch of the first image is what an artifact's own time stamps are clamped to.
            if let Some(locked) = artifact.of.first().and_then(|id| locked_root(plan, *id)) {
                sink.field("epoch", &Field::Int(locked.epoch));
            }
        }
    }
}

/// What a source is locked to, one line a fact.
fn note_lock(locked: &crate::Locked, sink: &mut dyn Sink) {
    sink.note("lock.name", locked.name.clone());
    sink.note("lock.epoch", locked.epoch.to_string());
    for (n, archive) in locked.archives.iter().enumerate() {
        sink.note(&format!("lock.archives[{n}]"), archive.clone());
    }
    for (name, pin) in &locked.pins {
        match pin {
            crate::lock::Pin::Text(text) => sink.note(&format!("lock.{name}"), text.clone()),
            crate::lock::Pin::List(items) => {
                items.iter().enumerate().for_each(|(n, item)| sink.note(&format!("lock.{name}[{n}]"), item.clone()));
            }
        }
    }
}

fn walk_step(plan: &Plan, node: &Node, step: &crate::Step, sink: &mut dyn Sink) {
    // A destination that ends in a slash takes the file's own name, which else is in no fingerprint.
    if let (Some(Value::Text(dest)), Some(Value::File(file))) = (node.args.get("dest"), node.args.get("src"))
        && dest.ends_with('/')
    {
        sink.field("args.src.name", &Field::Text(file.path.rsplit('/').next().unwrap_or_default()));
    }
    sink.field("network", &Field::Int(i64::from(step.network)));
    let Some(locked) = locked_root(plan, step.source) else { return };
    sink.field("epoch", &Field::Int(locked.epoch));
    if step.network {
        for (n, archive) in locked.archives.iter().enumerate() {
            sink.field(&format!("archive.{n}"), &Field::Text(archive));
        }
    }
}

fn locked_root(plan: &Plan, id: NodeId) -> Option<&crate::Locked> {
    match &plan.node(plan.root(id)?).work {
        Work::Source(source) => source.locked.as_ref(),
        Work::Step(_) | Work::Artifact(_) => None,
    }
}

/// What a value is looked at in.
struct Surroundings<'a> {
    plan: &'a Plan,
    inputs: &'a [NodeId],
}

fn walk_value(path: &str, value: &Value, around: &Surroundings<'_>, sink: &mut dyn Sink) {
    let below = |part: &str, sink: &dyn Sink| if sink.explains() { format!("{path}{part}") } else { part.to_owned() };
    match value {
        Value::None => sink.field(path, &Field::Open("none", 0)),
        Value::Bool(b) => sink.field(path, &Field::Text(if *b { "true" } else { "false" })),
        Value::Int(n) => sink.field(path, &Field::Int(*n)),
        Value::Mode(bits) => sink.field(path, &Field::Text(&format!("0o{bits:o}"))),
        Value::Text(text) => sink.field(path, &Field::Text(text)),
        Value::Size(n) | Value::Duration(n) => sink.field(path, &Field::Int(i64::try_from(*n).unwrap_or(i64::MAX))),
        Value::Platform(platform) => sink.field(path, &Field::Text(&platform.to_string())),
        Value::Script { shell, text } => {
            sink.field(&below(".shell", sink), &Field::Text(shell));
            sink.field(path, &Field::Text(text));
        }
        Value::List(items) => {
            sink.field(path, &Field::Open("list", items.len()));
            for (n, item) in items.iter().enumerate() {
                walk_value(&below(&format!("[{n}]"), sink), item, around, sink);
            }
        }
        Value::Record(fields) => walk_fields(path, "record", fields, around, sink),
        Value::Variant { name, payload } => {
            sink.field(&below(".variant", sink), &Field::Text(name));
            walk_fields(path, "variant", payload, around, sink);
        }
        Value::File(file) => {
            sink.field(&below(".mode", sink), &Field::Int(i64::from(file.mode)));
            sink.field(path, &Field::Digest(file.digest));
        }
        Value::Dir(dir) => {
            sink.field(path, &Field::Digest(dir.digest));
            if sink.explains() {
                for entry in &dir.entries {
                    sink.detail(&format!("{path}/{}", entry.path), &entry_text(entry));
                }
            }
        }
        // The states of parents are walked by position; here only which of them it is.
        Value::Node(id) => {
            let position = around.inputs.iter().position(|p| p == id).unwrap_or(usize::MAX);
            sink.field(path, &Field::Open("node", position));
        }
        Value::Secret(name) => walk_secret(path, name, around, sink),
        Value::Build(value) => walk_build(path, value, around, sink),
        Value::Template { shell, parts } => {
            sink.field(&below(".shell", sink), &Field::Text(shell.as_deref().unwrap_or("")));
            sink.field(path, &Field::Open("template", parts.len()));
            for (n, part) in parts.iter().enumerate() {
                let path = below(&format!("[{n}]"), sink);
                match part {
                    Part::Text(text) => sink.field(&path, &Field::Text(text)),
                    Part::Secret(name) => walk_secret(&path, name, around, sink),
                    Part::Build { value, .. } => walk_build(&path, value, around, sink),
                }
            }
        }
    }
}

/// A secret counts by its name and its version, never by its value.
fn walk_secret(path: &str, name: &SecretRef, around: &Surroundings<'_>, sink: &mut dyn Sink) {
    let version = around.plan.secrets.get(&name.0).and_then(|secret| secret.version.as_deref());
    sink.field(&format!("{path}.secret"), &Field::Text(&name.0));
    sink.field(&format!("{path}.version"), &Field::Text(version.unwrap_or("")));
    sink.field(&format!("{path}.versioned"), &Field::Int(i64::from(version.is_some())));
}

/// A build value that was not filled in: by the address it comes from, so that nodes keep apart. The fingerprint is
/// worth nothing yet; the engine fills in first.
fn walk_build(path: &str, value: &BuildValue, around: &Surroundings<'_>, sink: &mut dyn Sink) {
    let text = format!("{}{}", around.plan.node(value.node).address, value.member());
    sink.field(&format!("{path}.build"), &Field::Text(&text));
}

fn walk_fields(
    path: &str,
    shape: &'static str,
    fields: &crate::Record,
    around: &Surroundings<'_>,
    sink: &mut dyn Sink,
) {
    sink.field(path, &Field::Open(shape, fields.len()));
    for (name, value) in fields {
        let path = if sink.explains() { format!("{path}.{name}") } else { format!(".{name}") };
        walk_value(&path, value, around, sink);
    }
}

fn entry_text(entry: &crate::TreeEntry) -> String {
    match &entry.kind {
        crate::EntryKind::Dir => format!("dir {:o}", entry.mode),
        crate::EntryKind::File { digest, size } => format!("file {:o} {size} {digest}", entry.mode),
        crate::EntryKind::Symlink { target } => format!("symlink {target}"),
    }
}
