//! The store: objects and unpacked trees by digest, the index, leases, garbage collection.
//!
//! It knows bytes, digests and opaque records; nothing of steps, plans or backends. Everything here blocks; callers
//! in async code use `spawn_blocking`.
//!
//! ```text
//! version            format of the whole directory
//! objects/aa/DIGEST  bytes, with DIGEST.json beside them (SHA-256, size, stat)
//! trees/aa/DIGEST/   tree/ and manifest, which is `manifest-BOOT` until all of it is on the disk
//! entries/aa/FP.json the index, one file an entry: what index.sqlite is rebuilt from
//! index.sqlite       entries, aliases, specs
//! scratch/  locks/  quarantine/
//! ```

mod carry;
mod collect;
mod depot;
mod error;
pub mod fault;
mod filesystem;
mod index;
mod layer_tree;
mod layout;
mod lock;
pub mod manifest;
mod merged;
mod object;
pub mod place;
mod process;
mod publisher;
mod remove;
mod scratch;
mod sidecar;
mod stat_cache;
mod store;
pub mod tree;
mod verify;

pub use carry::{Exported, Imported};
pub use collect::{Removed, Selection, Trimmed, Usage, default_budget};
pub use depot::{Depot, Pushed};
pub use error::{Note, StoreError};
pub use filesystem::FileSystem;
pub use index::{IndexEntry, Payload};
pub use layer_tree::LayerTree;
pub use lock::{Lease, Sharing, leases_at_once};
pub use manifest::ManifestError;
pub use merged::{Merged, MergedEntry};
pub use object::{Hashed, Object, hash_file};
pub use process::Process;
pub use publisher::{NewEntry, NewSpec, Publisher};
pub use remove::remove_tree;
pub use scratch::{Scratch, Swept, is_swept};
pub use stat_cache::{FileStamp, StatCache};
pub use store::Store;
pub use tree::{Entry, EntryKind, Manifest, TreePath};
pub use verify::{Damage, Verified};
