//! Backends and their machines.

use std::path::PathBuf;
use std::time::SystemTime;

use imgc_plan::{Digest, Fingerprint, Locked, Node, Platform, Sha256, Value};
use serde::{Deserialize, Serialize};

use crate::{BackendError, Channel, Cx, Effect, Layer, LayerId, Offers, Presence, Refusal, Resources};

/// Where images are built. A handle without state of its own; one crate each.
///
/// Every method that waits returns soon after `cx.cancel` fires, with nothing left running.
#[async_trait::async_trait]
pub trait Backend: Send + Sync {
    /// What it can do. Pure.
    fn offers(&self) -> &Offers;

    /// What a node takes, or why it cannot be built here. `machine` is the record of its image, as [`MachineSpec`] has
    /// it. Pure but for looking whether host tools exist.
    fn needs(&self, node: &Node, machine: &serde_json::Value) -> Result<Resources, Refusal>;

    /// Whether a source of this backend has anything to pin: one that its arguments say all about gets no entry in the
    /// lock, and [`Backend::lock`], which must be quick and need no network then, is asked each time. Pure.
    fn pins(&self, _source: &Node) -> bool {
        true
    }

    /// Pins a source. Called by `imgc update` and for a missing lock entry only; may use the network.
    async fn lock(&self, source: &Node, cx: &Cx) -> Result<Locked, BackendError>;

    /// Brings the base layer of a locked source into the store.
    async fn import(&self, source: &Node, locked: &Locked, cx: &Cx) -> Result<Layer, BackendError>;

    /// A file or directory of a layer, as a step of any image can copy it: [`imgc_plan::Value::File`] or
    /// [`imgc_plan::Value::Dir`] with absolute paths on this host, which stay as long as the layer is in the store.
    /// Blocks; reads nothing but the store.
    ///
    /// # Errors
    /// [`BackendError::Program`] where it is not there or is something else; the caller names path and image.
    fn find(&self, _layer: &Layer, _path: &str, _wanted: Wanted) -> Result<Value, BackendError> {
        let message = format!("nothing can be taken out of images of the backend `{}` yet", self.offers().backend);
        Err(BackendError::Program { message, help: Some("make the file in an image of `rootfs`".to_owned()) })
    }

    /// Whether layers can still be opened: one call for many, one answer each, in order.
    async fn present(&self, layers: &[Layer], cx: &Cx) -> Result<Vec<Presence>, BackendError>;

    /// Opens a machine that stands on a layer. Never writes to the layer.
    async fn open(&self, on: &Layer, spec: &MachineSpec, cx: &Cx) -> Result<(Box<dyn Machine>, CameUp), BackendError>;

    /// Makes an artifact out of layers and other artifacts.
    async fn make(&self, node: &Node, inputs: &[ArtifactInput], cx: &Cx) -> Result<Artifact, BackendError>;

    /// Takes up a journalled effect of a run that died: adopts or destroys it. May be called again after it did.
    async fn recover(&self, effect: &Effect, cx: &Cx) -> Result<Recovered, BackendError>;

    /// What a parked machine of a run that ended left, where that is a tree at rest: a machine that is opened on it
    /// stands as that one stood. None where the effect is anything else.
    fn parked(&self, _effect: &Effect) -> Option<Layer> {
        None
    }

    /// Enters the parked machine of a run that ended, where that lives on by itself. It is not the caller's: closing it
    /// leaves it as it is. None where the effect is anything else.
    async fn enter(
        &self,
        _effect: &Effect,
        _spec: &MachineSpec,
        _cx: &Cx,
    ) -> Result<Option<Box<dyn Machine>>, BackendError> {
        Ok(None)
    }

    /// The bytes that a layer alone keeps in the store, for budgets and `imgc cache ls`; zero if unknown.
    fn layer_size(&self, layer: &Layer) -> u64;

    /// The memory parts of its layers: what lets a machine go on where it was. None where machines are always started
    /// anew. Blocks.
    fn memory_parts(&self) -> Vec<MemoryPart> {
        Vec::new()
    }

    /// Removes memory parts: first those whose layer is gone, then those that were not used for longest, until the rest
    /// takes at most `budget` bytes; none: what the backend holds to be right for this store. Layers stay whole, and
    /// what a machine uses stays too. Blocks.
    fn trim_memory(&self, _budget: Option<u64>) -> TrimmedMemory {
        TrimmedMemory::default()
    }
}

/// A live machine. Steps are not its business: `imgc-guest` runs them over the channel.
#[async_trait::async_trait]
pub trait Machine: Send {
    /// The way in; asked again after a commit or a restart, since either may replace the process behind it.
    async fn channel(&mut self, cx: &Cx) -> Result<&mut dyn Channel, BackendError>;

    /// Keeps what happened since the last commit as a layer; afterwards the machine stands on that layer.
    async fn commit(&mut self, step: &Fingerprint, keep: Keep, cx: &Cx) -> Result<Layer, BackendError>;

    /// Ends the machine. Nothing of it is left running, whatever the result, unless it was parked.
    async fn close(self: Box<Self>, how: Close, cx: &Cx) -> Result<Closed, BackendError>;
}

/// The machine to open. Backends whose machines have shape (memory, CPUs, firmware) find it in the image's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineSpec {
    /// The platform of the guest.
    pub platform: Platform,
    /// Of the image, for names, logs and journals.
    pub image: String,
    /// What the image's `machine = { … }` says, in plain form ([`imgc_plan::value::plain_record`]), defaults filled
    /// in; an empty object where the source has no machine record. Texts may hold secrets: [`crate::Text`].
    pub machine: serde_json::Value,
    /// Whether it is to stand on what leaves of the layer, as those will find it who get the image: for tests.
    pub shipped: bool,
}

/// What is kept of a machine's memory beside a layer. Nothing depends on it: a layer without one is started anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPart {
    /// The layer it belongs to.
    pub layer: LayerId,
    /// The step after which it was taken, where that is known.
    pub step: Option<Fingerprint>,
    /// What it takes in the store.
    pub bytes: u64,
    /// When it was used last.
    pub used: SystemTime,
}

/// What became of memory parts that were to be trimmed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrimmedMemory {
    /// How many were removed.
    pub parts: u64,
    /// The bytes that were freed.
    pub bytes: u64,
}

/// What is looked for in a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// A regular file.
    File,
    /// A directory with all that is in it.
    Dir,
}

/// How a machine came to stand on its layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CameUp {
    /// It goes on where it was.
    Resumed,
    /// It was started anew.
    Started {
        /// Why it could not resume; none where its kind never does.
        why: Option<String>,
    },
}

/// Whether a layer must be openable after the machine is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Yes: it goes into the store.
    Layer,
    /// No: only its state is wanted, the chain goes on.
    State,
}

/// How to end a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// What happened since the last commit is dropped.
    Discard,
    /// Clean shutdown, so that its disk can be shipped.
    ShutDown,
    /// Left for `imgc shell`, journalled.
    Park,
}

/// What closing left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// Nothing.
    Gone,
    /// A layer that was completed by the shutdown.
    Shipped(Box<Layer>),
    /// A machine that waits; the text is the effect's id in the journal.
    Parked(String),
}

/// An input of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtifactInput {
    /// An image.
    Layer(Layer),
    /// Another artifact.
    Artifact(Artifact),
}

/// A finished artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// The file in the store, absolute; none where only an id exists.
    pub path: Option<PathBuf>,
    /// BLAKE3 of the file, or of the id.
    pub digest: Digest,
    /// SHA-256 of the file, for `SHA256SUMS`.
    pub sha256: Option<Sha256>,
    /// In bytes.
    pub size: u64,
    /// An id in another world: an AMI, an OCI manifest digest.
    pub id: Option<String>,
    /// A line or more that tell how to start or load it; `{file}` stands for the path it landed at.
    pub usage: Vec<String>,
}

/// What became of an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovered {
    /// It had never been made, or is gone.
    Gone,
    /// It was destroyed.
    Destroyed,
    /// It is whole and of use.
    Adopted(Box<Layer>),
}
