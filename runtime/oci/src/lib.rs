//! OCI images: archives written, layouts and archives read, registries pulled from.
//!
//! It knows manifests, configurations, layers and digests; nothing of steps, plans or the store's index. Everything
//! blocks; callers put it on threads of their own. The JSON documents have types of their own here, since ours must
//! come out in one order and foreign ones must be read leniently.

pub mod archive;
pub mod image;
pub mod layer;
pub mod layout;
pub mod reference;
pub mod registry;
mod time;

pub use archive::{ArchiveError, ArchiveLayer, ArchiveSpec, Written, layer_digest};
pub use image::{Descriptor, Image, ImageError, ImageLayer, RunConfig};
pub use layer::{LayerError, LayerReader};
pub use layout::{Layout, LayoutError};
pub use reference::{Reference, ReferenceError};
pub use registry::{Registry, RegistryError, Resolved, Settings};
