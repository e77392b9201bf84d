//! Unpacking: an archive that nobody vouches for becomes a tree and its manifest.

use std::io::Read;
use std::path::Path;

use imgc_store::{Manifest, TreePath};

use super::Whiteouts;

/// How to unpack.
#[derive(Debug, Clone)]
pub struct UnpackOptions<'a> {
    /// Seconds since 1970 that later time stamps become; earlier ones stay.
    pub epoch: i64,
    /// The name of the attribute that marks opaque directories on disk: `trusted.overlay.opaque` as real root,
    /// `user.overlay.opaque` in a user namespace. Its value is `y`.
    pub opaque_xattr: &'a str,
    /// What `.wh.` names mean.
    pub whiteouts: Whiteouts,
    /// Whether owners are set on disk.
    pub owners: Owners,
    /// The manifests of the layers below, lowest first. Directories that the archive leaves out but has something in
    /// take their owner and mode from there, so that unpacking over a layer does not change them.
    pub below: &'a [&'a Manifest],
    /// How much an archive may ask for.
    pub limits: Limits,
}

/// Whether owners are set on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// Yes: the process is root, or uid 0 of a user namespace with enough ids.
    Set,
    /// No: files stay with the user; the manifest has the owners. For tests and inspection.
    Record,
}

/// How much an archive may ask for before it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Members.
    pub entries: u64,
    /// Bytes of content in all files together.
    pub content: u64,
    /// Bytes of names, link targets and attributes together, which are held in memory.
    pub metadata: u64,
    /// Bytes of one path.
    pub path: usize,
    /// Bytes of the PAX or GNU records before one member.
    pub records: u64,
}

impl Default for Limits {
    /// Far above what real images have, far below what would harm the host.
    fn default() -> Self {
        Self { entries: 4_000_000, content: 256 << 30, metadata: 1 << 30, path: 4_000, records: 1 << 20 }
    }
}

/// What unpacking gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// The tree, as it now stands in the directory.
    pub manifest: Manifest,
    /// What was left out, in the archive's order.
    pub skipped: Vec<Skipped>,
}

/// Something that layers do not hold and that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where it was to be.
    pub path: TreePath,
    /// `device node`, `attribute user.overlay.redirect`.
    pub what: String,
}

/// Why an archive was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `..` among the parts of a path.
    #[error("its path leads upwards with `..`")]
    Upwards,
}

/// Why unpacking failed. What was written by then is the caller's to remove with the directory.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// A member is not what an honest archive has.
    #[error("the archive is refused at `{path}`: {why}")]
    Refused {
        /// As the archive has it, odd bytes replaced.
        path: String,
        /// Why.
        why: Refusal,
    },
}

/// Unpacks an archive (plain, gzip or zstd) into the empty directory `into`.
///
/// Reads `reader` to its end, so that a digest computed on the way covers all of it.
pub fn unpack(
    reader: &mut (dyn Read + Send),
    into: &Path,
    options: &UnpackOptions<'_>,
) -> Result<Unpacked, UnpackError> {
    let _ = (reader, into, options);
    Err(UnpackError::Refused { path: String::new(), why: Refusal::Upwards })
}
