//! The store: objects and unpacked trees by digest, the index, leases, garbage collection.
//!
//! It knows bytes, digests and opaque records; nothing of steps, plans or backends.

pub mod tree;

pub use tree::{Entry, EntryKind, Manifest, TreePath};
