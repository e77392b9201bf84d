//! The plan: the inert data that compiler and runtime agree on.
//!
//! A [`Plan`] holds nodes in dependency order, each with its address, kind, typed arguments and references to the
//! nodes it needs; [`fingerprint()`] turns a node and the states of its parents into the digest that caching rests on.
//! This crate does no I/O and knows neither syntax nor any backend.

pub mod address;
pub mod build;
pub mod digest;
pub mod fingerprint;
pub mod input;
pub mod lock;
pub mod name;
pub mod node;
pub mod platform;
pub mod policy;
pub mod value;

pub use address::Address;
pub use build::{Attribute, BuildValue, Escape, Part, Secret, SecretRef, SecretSource};
pub use digest::{Digest, Fingerprint, Sha256};
pub use fingerprint::{Spec, State, fingerprint, fingerprint_of, spec, spec_of};
pub use input::{DirRef, EntryKind, FileRef, TreeEntry};
pub use lock::{Locked, Lockfile, SourceKey};
pub use name::Name;
pub use node::{Artifact, Image, Links, Node, NodeId, Output, OutputValue, Plan, Source, SourceSpan, Step, Test, Work};
pub use platform::Platform;
pub use policy::CachePolicy;
pub use value::{Record, Value};
