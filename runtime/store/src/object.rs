//! Objects: bytes by BLAKE3, with their SHA-256 from the same pass.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use imgc_plan::{Digest, Sha256};

use crate::error::StoreError;
use crate::fail_point;
use crate::layer_tree::sync_shard;
use crate::place::{clone_or_copy, reserve_shard};
use crate::sidecar::{ObjectSidecar, Sidecar};
use crate::store::{Store, write_atomically};

/// Bytes in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// BLAKE3.
    pub digest: Digest,
    /// SHA-256.
    pub sha256: Sha256,
    /// In bytes.
    pub size: u64,
    /// Where they are: a read-only file that nobody may write to.
    pub path: PathBuf,
}

/// What one pass over a file tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashed {
    /// BLAKE3.
    pub digest: Digest,
    /// SHA-256.
    pub sha256: Sha256,
    /// In bytes.
    pub size: u64,
}

impl Store {
    /// Keeps these bytes.
    pub fn insert_bytes(&self, bytes: &[u8]) -> Result<Object, StoreError> {
        let (temporary, _owner) = self.scratch_path("object")?;
        let made = std::fs::write(&temporary, bytes).map_err(StoreError::io("write", &temporary));
        let hashed = Hashed { digest: Digest::of(bytes), sha256: Sha256::of(bytes), size: bytes.len() as u64 };
        self.settle_or_remove(made.map(|()| hashed), &temporary)
    }

    /// Keeps a file of a [`crate::Scratch`] of this store by moving it: nothing is at `path` afterwards.
    pub fn insert_file(&self, path: &Path) -> Result<Object, StoreError> {
        self.settle_or_remove(hash_file(path), path)
    }

    /// Keeps a copy of a file, which may be anywhere: a reflink where possible, else without the holes.
    pub fn insert_copy(&self, path: &Path) -> Result<Object, StoreError> {
        let (temporary, _owner) = self.scratch_path("object")?;
        let hashed = clone_or_copy(path, &temporary).and_then(|()| hash_file(&temporary));
        self.settle_or_remove(hashed, &temporary)
    }

    /// The object of this digest. Nothing where there is none; where its file changed since it was made it is read
    /// again, and set aside if it is not the same any more.
    pub fn object(&self, digest: &Digest) -> Result<Option<Object>, StoreError> {
        let path = self.layout().object(digest);
        let found = match path.symlink_metadata() {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("examine", &path)(error)),
        };
        if let Some(known) = ObjectSidecar::read(&self.layout().object_sidecar(digest))
            && known.stamp == stamp(&found)
        {
            return Ok(Some(Object { digest: *digest, sha256: known.sha256, size: known.size, path }));
        }
        let hashed = hash_file(&path)?;
        if hashed.digest != *digest {
            self.quarantine(&path, "its content changed")?;
            return Ok(None);
        }
        self.describe(&hashed, &path)?;
        Ok(Some(Object { digest: *digest, sha256: hashed.sha256, size: hashed.size, path }))
    }

    /// As [`Store::object`], and always reads it: what leaves the store is what its digest says.
    pub fn object_read(&self, digest: &Digest) -> Result<Option<Object>, StoreError> {
        let Some(object) = self.object(digest)? else { return Ok(None) };
        if digest_file(&object.path).map_err(StoreError::io("read", &object.path))?.0 == *digest {
            return Ok(Some(object));
        }
        self.quarantine(&object.path, "its content changed, though its time stamp did not")?;
        Ok(None)
    }

    /// As [`Store::object`], by SHA-256.
    pub fn object_by_sha256(&self, sha256: &Sha256) -> Result<Option<Object>, StoreError> {
        match self.index.digest_of(sha256)? {
            Some(digest) => Ok(self.object(&digest)?.filter(|object| object.sha256 == *sha256)),
            None => Ok(None),
        }
    }

    fn settle_or_remove(&self, hashed: Result<Hashed, StoreError>, path: &Path) -> Result<Object, StoreError> {
        let settled = hashed.and_then(|hashed| self.settle_object(hashed, path));
        if settled.is_err() {
            let _ = std::fs::remove_file(path);
        }
        settled
    }

    fn settle_object(&self, hashed: Hashed, from: &Path) -> Result<Object, StoreError> {
        if let Some(object) = self.object(&hashed.digest)? {
            std::fs::remove_file(from).map_err(StoreError::io("remove", from))?;
            return Ok(object);
        }
        let path = self.layout().object(&hashed.digest);
        reserve_shard(&path)?;
        std::fs::set_permissions(from, PermissionsExt::from_mode(0o444)).map_err(StoreError::io("protect", from))?;
        crate::store::sync(from)?;
        fail_point!("object.written");
        std::fs::rename(from, &path).map_err(StoreError::io("move into the cache", &path))?;
        fail_point!("object.there");
        self.describe(&hashed, &path)?;
        fail_point!("object.described");
        sync_shard(&path)?;
        Ok(Object { digest: hashed.digest, sha256: hashed.sha256, size: hashed.size, path })
    }

    /// Writes down what is known about an object.
    pub(crate) fn describe(&self, hashed: &Hashed, path: &Path) -> Result<(), StoreError> {
        let found = path.symlink_metadata().map_err(StoreError::io("examine", path))?;
        let known = ObjectSidecar::new(hashed, stamp(&found));
        let (temporary, _owner) = self.scratch_path("sidecar")?;
        write_atomically(&self.layout().object_sidecar(&hashed.digest), &temporary, &known.encode()?)?;
        fail_point!("object.sidecar");
        self.index.put_object(hashed)
    }
}

/// What changes when somebody writes to a file; not its links, which `place_link` changes.
fn stamp(found: &std::fs::Metadata) -> [i64; 4] {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    [signed(found.size()), signed(found.ino()), found.mtime(), found.mtime_nsec()]
}

/// Both digests of a file in one pass.
pub fn hash_file(path: &Path) -> Result<Hashed, StoreError> {
    let mut file = File::open(path).map_err(StoreError::io("read", path))?;
    let mut blake3 = blake3::Hasher::new();
    let mut sha256 = <sha2::Sha256 as sha2::Digest>::new();
    let mut size = 0;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(StoreError::io("read", path)(error)),
        };
        let Some(bytes) = buffer.get(..count) else { break };
        // The two take about the same time, so that on two cores one pass costs what the slower does.
        if count < 64 << 10 {
            blake3.update(bytes);
            sha2::Digest::update(&mut sha256, bytes);
        } else {
            rayon::join(|| blake3.update(bytes), || sha2::Digest::update(&mut sha256, bytes));
        }
        size += count as u64;
    }
    let digest = Digest(*blake3.finalize().as_bytes());
    Ok(Hashed { digest, sha256: Sha256(sha2::Digest::finalize(sha256).into()), size })
}

/// The BLAKE3 digest and size of a file.
pub(crate) fn digest_file(path: &Path) -> io::Result<(Digest, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let size = io::copy(&mut file, &mut hasher)?;
    Ok((Digest(*hasher.finalize().as_bytes()), size))
}
