//! Sidecars: small JSON files, one a record, from which a lost index is rebuilt.

use std::path::Path;
use std::time::Duration;

use imgc_plan::{Digest, Fingerprint, Sha256};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::index::{IndexEntry, Payload};
use crate::object::Hashed;

pub(crate) const SIDECAR_VERSION: u32 = 1;

/// How many hexadecimal digits of a digest a sidecar carries of itself: it is to find accidents.
const CHECK_DIGITS: usize = 16;

/// A record with a version that is written as JSON.
pub(crate) trait Sidecar: Serialize + DeserializeOwned {
    fn version(&self) -> u32;

    /// Nothing where there is none, or none of this version that can be read: sidecars are never relied on.
    fn read(path: &Path) -> Option<Self> {
        let bytes = std::fs::read(path).ok()?;
        let (json, check) = bytes.split_at_checked(bytes.len().checked_sub(CHECK_DIGITS + 1)?)?;
        if check.strip_prefix(b"\n")? != check_of(json) {
            return None;
        }
        serde_json::from_slice::<Self>(json).ok().filter(|sidecar| sidecar.version() == SIDECAR_VERSION)
    }

    /// JSON, and on a line of its own the beginning of its digest.
    fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let mut bytes = serde_json::to_vec(self).map_err(StoreError::Payload)?;
        let check = check_of(&bytes);
        bytes.push(b'\n');
        bytes.extend(check);
        Ok(bytes)
    }
}

fn check_of(json: &[u8]) -> Vec<u8> {
    let mut digits = Digest::of(json).to_string().into_bytes();
    digits.truncate(CHECK_DIGITS);
    digits
}

/// About an object.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ObjectSidecar {
    version: u32,
    pub(crate) sha256: Sha256,
    pub(crate) size: u64,
    /// Of the file when it was last known to be right.
    pub(crate) stamp: [i64; 4],
}

impl ObjectSidecar {
    pub(crate) fn new(hashed: &Hashed, stamp: [i64; 4]) -> Self {
        Self { version: SIDECAR_VERSION, sha256: hashed.sha256, size: hashed.size, stamp }
    }
}

impl Sidecar for ObjectSidecar {
    fn version(&self) -> u32 {
        self.version
    }
}

/// An entry of the index.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EntrySidecar {
    version: u32,
    fingerprint: Fingerprint,
    payload: String,
    refs: Vec<Digest>,
    size: u64,
    cost_ms: u64,
    created: i64,
}

impl EntrySidecar {
    pub(crate) fn new(entry: &IndexEntry) -> Self {
        Self {
            version: SIDECAR_VERSION,
            fingerprint: entry.fingerprint,
            payload: entry.payload.as_str().to_owned(),
            refs: entry.refs.clone(),
            size: entry.size,
            cost_ms: u64::try_from(entry.cost.as_millis()).unwrap_or(u64::MAX),
            created: entry.created,
        }
    }

    pub(crate) fn into_entry(self) -> IndexEntry {
        IndexEntry {
            fingerprint: self.fingerprint,
            payload: Payload::from_json(self.payload),
            refs: self.refs,
            size: self.size,
            cost: Duration::from_millis(self.cost_ms),
            created: self.created,
            used: self.created,
        }
    }
}

impl Sidecar for EntrySidecar {
    fn version(&self) -> u32 {
        self.version
    }
}
