//! What engine, guest and every backend share: the traits [`Backend`], [`Machine`] and [`Channel`], layers and events.
//!
//! Data and signatures only; no I/O. How a root file system, a resumed virtual machine, a Docker engine, a cloud
//! instance and a remote executor each implement the traits is told in `docs/decisions/0002-backend-traits.md`.

pub mod channel;
pub mod console;
pub mod context;
pub mod error;
pub mod event;
pub mod journal;
pub mod layer;
pub mod machine;
pub mod offers;
pub mod secret;
pub mod shape;

pub use channel::{Channel, Exec, Exit, Output, Owner, Placement, PlacementItem, PlacementKind, Program, Signal};
pub use console::{Console, Input, Tty, TtySize};
pub use context::{Cx, Settings};
pub use error::{BackendError, Fault};
pub use event::{Event, EventSink, Stream};
pub use journal::{Created, Effect, Intended, Intent, Journal, Lasting, Ledger, MARKER, Mark, Settled};
pub use layer::{ImageConfig, Layer, LayerId, Presence};
pub use machine::{
    Artifact, ArtifactInput, Backend, CameUp, Close, Closed, Keep, Machine, MachineSpec, MemoryPart, Recovered,
    TrimmedMemory, Wanted,
};
pub use offers::{CommitCost, Kind, Need, Offers, Refusal, Resources, States};
pub use secret::{Needles, Secrets, Text, Vault};
pub use shape::Shape;
