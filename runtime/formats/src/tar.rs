//! Tar archives of layers: packing them canonically, unpacking them without trusting them.
//!
//! [`pack`] gives the same bytes for equal manifests, whatever the host, user, directory and time. [`unpack`] resolves
//! every path below the directory it is given and ends in a tree as overlayfs wants it as a lower layer. Neither
//! knows of registries, images or the store's layout.

mod beneath;
mod compression;
mod header;
mod pack;
mod read;
mod tree;
mod unpack;

pub use compression::{Compression, decompress};
pub use header::{BLOCK, END, Member, MemberKind, padding};
pub use pack::{PackError, PackOptions, pack, pack_with, packed_size};
pub use read::{Located, next_header};
pub use unpack::{Limits, Owners, Refusal, Skipped, UnpackError, UnpackOptions, Unpacked, unpack};

/// What names that begin with `.wh.` mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Whiteouts {
    /// Whiteouts and opaque markers, as the OCI image specification ("Image Layer Filesystem Changeset") has them.
    #[default]
    Oci,
    /// Nothing: the archive is a plain tree.
    Plain,
}

/// A path inside a tree for people: absolute as in the image, odd bytes replaced.
fn shown(path: &imgc_store::TreePath) -> String {
    format!("/{}", String::from_utf8_lossy(&path.0).escape_debug())
}

/// The path of `name` in the directory `parent`.
fn below(parent: &imgc_store::TreePath, name: &[u8]) -> imgc_store::TreePath {
    let separator: &[u8] = if parent.0.is_empty() { b"" } else { b"/" };
    imgc_store::TreePath([&parent.0, separator, name].concat())
}
