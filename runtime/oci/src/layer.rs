//! Reading layer blobs: decompressed and checked on the way.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use imgc_formats::tar;
use imgc_plan::Sha256;
use sha2::Digest as _;

use crate::image::{Descriptor, ImageError, ImageLayer};

/// The plain archive inside a layer blob. Hashes both as it is read; [`LayerReader::finish`] compares.
pub struct LayerReader<'r> {
    layer: ImageLayer,
    plain: Box<dyn Read + Send + 'r>,
    plain_hash: sha2::Sha256,
    stored: Shared<'r>,
}

impl<'r> LayerReader<'r> {
    /// Reads the blob of `layer` from `stored`: gzip, zstd or plain, whatever its media type says.
    pub fn new(stored: impl Read + Send + 'r, layer: &ImageLayer) -> io::Result<Self> {
        let hashed = Hashed { inner: Box::new(stored), hash: sha2::Sha256::new(), bytes: 0 };
        let stored = Shared(Arc::new(Mutex::new(hashed)));
        let (plain, _) = tar::decompress(stored.clone())?;
        Ok(Self { layer: layer.clone(), plain, plain_hash: sha2::Sha256::new(), stored })
    }

    /// Reads what is left and compares both digests with what manifest and configuration say. Until this has
    /// returned well, nothing that was unpacked may be used.
    pub fn finish(mut self) -> Result<(), LayerError> {
        let rest = io::copy(&mut self, &mut io::sink()).and_then(|_| io::copy(&mut self.stored, &mut io::sink()));
        let Descriptor { digest, size, .. } = self.layer.blob;
        let stored = self.stored.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = Sha256(stored.hash.clone().finalize().into());
        if let Some(expected) = size.filter(|size| *size != stored.bytes) {
            return Err(ImageError::SizeMismatch { what: "layer", digest, expected, found: stored.bytes }.into());
        }
        // Where no manifest names the blob, only what is in it is known.
        let is_named = size.is_some() || digest != self.layer.diff_id;
        if is_named && found != digest {
            return Err(ImageError::DigestMismatch { what: "layer", expected: digest, found }.into());
        }
        rest.map_err(|source| LayerError::Read { digest, source })?;
        let (expected, found) = (self.layer.diff_id, Sha256(self.plain_hash.finalize().into()));
        if found != expected {
            return Err(ImageError::DigestMismatch { what: "content of a layer", expected, found }.into());
        }
        Ok(())
    }
}

/// Why a layer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// It is not what was named.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// It cannot be read or decompressed.
    #[error("cannot read the layer sha256:{digest}")]
    Read {
        /// Of the blob.
        digest: Sha256,
        /// Why.
        source: io::Error,
    },
}

impl Read for LayerReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.plain.read(buffer)?;
        self.plain_hash.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

impl std::fmt::Debug for LayerReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayerReader").field("layer", &self.layer).finish_non_exhaustive()
    }
}

/// Bytes hashed and counted as they pass.
struct Hashed<'r> {
    inner: Box<dyn Read + Send + 'r>,
    hash: sha2::Sha256,
    bytes: u64,
}

/// The stored bytes, held by the decompressor and by whoever asks for their digest afterwards. Never contended.
#[derive(Clone)]
struct Shared<'r>(Arc<Mutex<Hashed<'r>>>);

impl Read for Shared<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut hashed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let read = hashed.inner.read(buffer)?;
        hashed.hash.update(buffer.get(..read).unwrap_or_default());
        hashed.bytes += read as u64;
        Ok(read)
    }
}
