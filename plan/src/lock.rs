//! `imgc.lock`: what the sources of a package are pinned to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::value::Record;
use crate::{Digest, Platform, Value};

/// The lock format this imgc writes. A file with a higher number is left untouched.
pub const LOCK_VERSION: u32 = 1;

/// What a source is locked under: the digest of its kind, platform and arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceKey(pub Digest);

impl SourceKey {
    /// The key of a source with these arguments.
    pub fn new(kind: &str, platform: &Platform, args: &Record) -> Self {
        let canonical = serde_json::json!([kind, platform, Value::Record(args.clone())]);
        Self(Digest::of(canonical.to_string().as_bytes()))
    }
}

/// The contents of `imgc.lock` (TOML).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lockfile {
    /// [`LOCK_VERSION`].
    pub version: u32,
    /// By key, sorted, so that the file never changes for no reason.
    #[serde(default)]
    pub sources: BTreeMap<String, Locked>,
}

/// One locked source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locked {
    /// What people call it, as `imgc update NAME` takes it: `debian:bookworm`, `registry/name:tag`.
    pub name: String,
    /// The source kind, such as `rootfs.debian`.
    pub kind: String,
    /// Seconds since 1970 that every time stamp is clamped to; belongs to the source, never to the host or git.
    pub epoch: i64,
    /// Digests of the package archives behind the image (of each `InRelease` file): what a step with network may read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub archives: Vec<String>,
    /// What the backend pinned, by names of its own: `digest`, `packages`, …
    pub pins: BTreeMap<String, Pin>,
}

/// One pinned fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Pin {
    /// One text: a digest, a mirror.
    Text(String),
    /// A sorted list: packages as `name=version=sha256`.
    List(Vec<String>),
}

impl Locked {
    /// A digest over all that is pinned, for fingerprints; the name does not count.
    pub fn digest(&self) -> Digest {
        let canonical = serde_json::json!([self.kind, self.epoch, self.archives, self.pins]);
        Digest::of(canonical.to_string().as_bytes())
    }
}
