//! Writing image archives: one file that `docker load`, `podman load` and `skopeo` all take.
//!
//! The archive is a tar of an OCI layout with Docker's `manifest.json` beside it, whose paths point into `blobs/`:
//! Docker before 25 reads only that file, later ones and everything else the layout. Layers are stored as plain tar:
//! every reader takes them, they need no compressor whose bytes change with its version, and a layer's digest is
//! its diff id, so that each is hashed once.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use imgc_formats::tar::{self, Member, PackError, PackOptions, padding};
use imgc_plan::{Platform, Sha256};
use imgc_store::Manifest;
use rayon::prelude::*;
use serde::Serialize;
use sha2::Digest as _;

use crate::image::{
    OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, RunConfig, WireConfig, WireDescriptor, WireHistory, WireManifest,
    WirePlatform, WireRootfs,
};
use crate::{Reference, time};

/// Docker refuses images with more layers: the options of its overlay mounts must fit a page.
pub const MAX_LAYERS: usize = 127;

/// An archive to be written.
#[derive(Debug, Clone)]
pub struct ArchiveSpec {
    /// What the image is for.
    pub platform: Platform,
    /// How its containers run.
    pub config: RunConfig,
    /// Seconds since 1970: the time that everything in the archive has.
    pub created_epoch: i64,
    /// Lowest first; beyond [`MAX_LAYERS`] the lowest are merged into one.
    pub layers: Vec<ArchiveLayer>,
    /// The name the image is loaded under; none leaves it without one.
    pub tag: Option<Reference>,
}

/// One layer of an archive.
#[derive(Debug, Clone)]
pub struct ArchiveLayer {
    /// What is in it.
    pub manifest: Arc<Manifest>,
    /// Where its content is.
    pub dir: PathBuf,
    /// What made it, for the image's history: `sh "install"`.
    pub created_by: String,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Of the manifest: what registries call the image's digest.
    pub manifest: Sha256,
    /// Of the configuration: what Docker calls the image's id.
    pub id: Sha256,
    /// Digest (and diff id) and size of each layer, lowest first.
    pub layers: Vec<(Sha256, u64)>,
    /// Of the whole file, in bytes.
    pub size: u64,
}

/// Why an archive cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A layer cannot be packed.
    #[error("cannot pack layer {number} (`{created_by}`)")]
    Layer {
        /// From 1, lowest first.
        number: usize,
        /// What made it.
        created_by: String,
        /// Why.
        source: PackError,
    },
    /// The file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The archive.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Writes the archive to `out`, replacing what is there. Equal specs give equal bytes.
///
/// Each layer is packed once, straight to its place, all at the same time: where it lies follows from the manifests
/// alone, and its header, whose name is the digest, is written after it.
pub fn write(spec: &ArchiveSpec, out: &Path) -> Result<Written, ArchiveError> {
    let failed = |source| ArchiveError::Write { path: out.to_owned(), source };
    let file = File::options().write(true).create(true).truncate(true).open(out).map_err(failed)?;
    let layers = &spec.layers;
    let mut tail = Tail { at: 0, bytes: Vec::new(), epoch: spec.created_epoch };
    tail.dir(b"blobs/");
    tail.dir(b"blobs/sha256/");
    file.write_all_at(&tail.bytes, 0).map_err(failed)?;

    let blobs = write_layers(layers, &file, tail.bytes.len() as u64, spec.created_epoch, out)?;
    let end = blobs.last().map_or(tail.bytes.len() as u64, |blob| blob.end());
    let mut tail = Tail { at: end, bytes: Vec::new(), epoch: spec.created_epoch };
    let (id, manifest) = tail.documents(spec, layers, &blobs);
    tail.bytes.extend_from_slice(&tar::END);
    file.write_all_at(&tail.bytes, tail.at).map_err(failed)?;
    let layers = blobs.iter().map(|blob| (blob.digest, blob.size)).collect();
    Ok(Written { manifest, id, layers, size: tail.at + tail.bytes.len() as u64 })
}

/// Digest and size of a layer's tar, as [`write`] stores it.
pub fn layer_digest(manifest: &Manifest, dir: &Path) -> Result<(Sha256, u64), PackError> {
    let mut sink = BufWriter::with_capacity(BUFFER, Hashing { inner: std::io::sink(), hash: sha2::Sha256::new() });
    tar::pack(manifest, dir, &mut sink, &PackOptions::default())?;
    let sink = sink.into_inner().map_err(|e| PackError::Write { source: e.into_error() })?;
    let size = tar::packed_size(manifest, &PackOptions::default())?;
    Ok((Sha256(sink.hash.finalize().into()), size))
}

const BUFFER: usize = 1 << 20;

/// A layer's place in the archive.
struct Blob {
    /// Of its header.
    at: u64,
    size: u64,
    digest: Sha256,
}

impl Blob {
    fn end(&self) -> u64 {
        self.at + tar::BLOCK + self.size.next_multiple_of(tar::BLOCK)
    }
}

fn blob_name(digest: Sha256) -> String {
    format!("blobs/sha256/{digest}")
}

fn write_layers(
    layers: &[ArchiveLayer],
    file: &File,
    start: u64,
    epoch: i64,
    out: &Path,
) -> Result<Vec<Blob>, ArchiveError> {
    let mut at = start;
    let mut places = Vec::new();
    for (n, layer) in layers.iter().enumerate() {
        let failed = |source| ArchiveError::Layer { number: n + 1, created_by: layer.created_by.clone(), source };
        let size = tar::packed_size(&layer.manifest, &PackOptions::default()).map_err(failed)?;
        let blob = Blob { at, size, digest: Sha256([0; 32]) };
        at = blob.end();
        places.push((n, blob));
    }
    let write_one = |(n, mut blob): (usize, Blob)| {
        let layer = layers.get(n);
        if let Some(layer) = layer {
            let failed = |source| ArchiveError::Layer { number: n + 1, created_by: layer.created_by.clone(), source };
            let to = Positioned { file, at: blob.at + tar::BLOCK };
            let hashing = Hashing { inner: to, hash: sha2::Sha256::new() };
            let mut sink = BufWriter::with_capacity(BUFFER, hashing);
            tar::pack(&layer.manifest, &layer.dir, &mut sink, &PackOptions::default()).map_err(failed)?;
            let sink = sink.into_inner().map_err(|e| failed(PackError::Write { source: e.into_error() }))?;
            blob.digest = Sha256(sink.hash.finalize().into());
            let header = Member::file(blob_name(blob.digest).as_bytes(), blob.size, epoch).header();
            file.write_all_at(&header, blob.at)
                .map_err(|source| ArchiveError::Write { path: out.to_owned(), source })?;
        }
        Ok(blob)
    };
    places.into_par_iter().map(write_one).collect()
}

/// Writes at an offset of its own into a file that others write to as well.
struct Positioned<'f> {
    file: &'f File,
    at: u64,
}

impl Write for Positioned<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write_at(bytes, self.at)?;
        self.at += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Hashes what it passes on.
struct Hashing<W> {
    inner: W,
    hash: sha2::Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// The small members of the archive.
struct Tail {
    at: u64,
    bytes: Vec<u8>,
    epoch: i64,
}

/// One image of Docker's `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SavedImage {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

impl Tail {
    fn dir(&mut self, name: &[u8]) {
        self.bytes.extend(Member::dir(name, self.epoch).header());
    }

    fn file(&mut self, name: &str, content: &[u8]) {
        let size = content.len() as u64;
        self.bytes.extend(Member::file(name.as_bytes(), size, self.epoch).header());
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len() + padding(size), 0);
    }

    /// Adds a document as a blob and gives its descriptor.
    fn blob(&mut self, media_type: &str, document: &impl Serialize) -> (Sha256, WireDescriptor) {
        let bytes = json(document);
        let digest = Sha256::of(&bytes);
        self.file(&blob_name(digest), &bytes);
        (digest, wire(media_type, digest, bytes.len() as u64))
    }

    /// All documents; gives the digests of configuration and manifest.
    fn documents(&mut self, spec: &ArchiveSpec, layers: &[ArchiveLayer], blobs: &[Blob]) -> (Sha256, Sha256) {
        let (id, config) = self.blob(OCI_CONFIG, &configuration(spec, layers, blobs));
        let layers = blobs.iter().map(|blob| wire(OCI_LAYER, blob.digest, blob.size)).collect();
        let document = WireManifest {
            schema_version: 2,
            media_type: OCI_MANIFEST.to_owned(),
            config: Some(config),
            layers: Some(layers),
            manifests: None,
        };
        let (manifest, mut named) = self.blob(OCI_MANIFEST, &document);
        named.platform = Some(WirePlatform::of(&spec.platform));
        if let Some(tag) = &spec.tag {
            let name = tag.tag.clone().unwrap_or_else(|| "latest".to_owned());
            named.annotations.insert("org.opencontainers.image.ref.name".to_owned(), name);
            named.annotations.insert("io.containerd.image.name".to_owned(), tag.to_string());
        }
        let index = WireManifest {
            schema_version: 2,
            media_type: OCI_INDEX.to_owned(),
            config: None,
            layers: None,
            manifests: Some(vec![named]),
        };
        self.file("index.json", &json(&index));
        let saved = SavedImage {
            config: blob_name(id),
            repo_tags: spec.tag.iter().map(Reference::familiar).collect(),
            layers: blobs.iter().map(|blob| blob_name(blob.digest)).collect(),
        };
        self.file("manifest.json", &json(&[saved]));
        self.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        (id, manifest)
    }
}

fn wire(media_type: &str, digest: Sha256, size: u64) -> WireDescriptor {
    let digest = format!("sha256:{digest}");
    WireDescriptor { media_type: media_type.to_owned(), digest, size, annotations: Default::default(), platform: None }
}

/// The documents are plain structs with string keys, which cannot fail to serialize.
fn json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).unwrap_or_default()
}

fn configuration(spec: &ArchiveSpec, layers: &[ArchiveLayer], blobs: &[Blob]) -> WireConfig {
    let platform = WirePlatform::of(&spec.platform);
    let created = Some(time::format(spec.created_epoch));
    let entry =
        |layer: &ArchiveLayer| WireHistory { created: created.clone(), created_by: Some(layer.created_by.clone()) };
    WireConfig {
        architecture: platform.architecture,
        config: (&spec.config).into(),
        history: layers.iter().map(entry).collect(),
        os: platform.os,
        rootfs: WireRootfs {
            diff_ids: blobs.iter().map(|blob| format!("sha256:{}", blob.digest)).collect(),
            kind: "layers".to_owned(),
        },
        variant: platform.variant,
        created,
    }
}
