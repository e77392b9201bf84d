//! Writing image archives: one file that `docker load`, `podman load` and `skopeo` all take.
//!
//! The archive is a tar of an OCI layout with Docker's `manifest.json` beside it, whose paths point into `blobs/`:
//! Docker before 25 reads only that file, later ones and everything else the layout. Layers are stored as plain tar:
//! every reader takes them, they need no compressor whose bytes change with its version, and a layer's digest is
//! its diff id, so that each is hashed once.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use imgc_formats::tar::{self, Member, PackError, PackOptions, padding};
use imgc_plan::{Digest, Platform, Sha256};
use imgc_store::{Entry, LayerTree, Manifest, Merged};
use rayon::prelude::*;
use serde::Serialize;
use sha2::Digest as _;

use crate::image::{
    OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, RunConfig, WireConfig, WireDescriptor, WireHistory, WireManifest,
    WirePlatform, WireRootfs,
};
use crate::{Reference, time};

/// What `docker load` takes at most: its layer store says "max depth exceeded" beyond (moby, `layer/layer_store.go`,
/// `maxLayerDepth`). The 127 that are often told are what the overlay mount of a container may have, with the two
/// layers that every container adds.
pub const MAX_LAYERS: usize = 125;

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
    let mut head = Documents { bytes: Vec::new(), epoch: spec.created_epoch };
    head.dir(b"blobs/");
    head.dir(b"blobs/sha256/");
    file.write_all_at(&head.bytes, 0).map_err(failed)?;

    let parts = parts(&spec.layers);
    let places = places(&parts, head.bytes.len() as u64)?;
    let target = Target { file: &file, path: out, epoch: spec.created_epoch };
    let digests = target.write_layers(&parts, &places)?;
    let blobs: Vec<(Sha256, u64)> =
        places.iter().filter_map(|place| Some((*digests.get(place.first)?, place.size))).collect();

    let at = places.iter().map(Place::end).max().unwrap_or(head.bytes.len() as u64);
    let mut tail = Documents { bytes: Vec::new(), epoch: spec.created_epoch };
    let (id, manifest) = tail.add(spec, &parts, &blobs);
    tail.bytes.extend_from_slice(&tar::END);
    file.write_all_at(&tail.bytes, at).map_err(failed)?;
    Ok(Written { manifest, id, layers: blobs, size: at + tail.bytes.len() as u64 })
}

/// Digest and size of a layer's tar, as [`write()`] stores it.
pub fn layer_digest(manifest: &Manifest, dir: &Path) -> Result<(Sha256, u64), PackError> {
    let mut sink = BufWriter::with_capacity(BUFFER, Hashing { inner: std::io::sink(), hash: sha2::Sha256::new() });
    tar::pack(manifest, dir, &mut sink, &PackOptions::default())?;
    let sink = sink.into_inner().map_err(|e| PackError::Write { source: e.into_error() })?;
    let size = tar::packed_size(manifest, &PackOptions::default())?;
    Ok((Sha256(sink.hash.finalize().into()), size))
}

const BUFFER: usize = 1 << 20;

/// One layer as it goes into the archive.
struct Part<'a> {
    manifest: Cow<'a, Manifest>,
    created_by: Cow<'a, str>,
    content: Content<'a>,
}

enum Content<'a> {
    Dir(&'a Path),
    Merged(Merged),
}

impl<'a> Part<'a> {
    fn single(layer: &'a ArchiveLayer) -> Self {
        let ArchiveLayer { manifest, dir, created_by } = layer;
        Part { manifest: Cow::Borrowed(manifest), created_by: created_by.into(), content: Content::Dir(dir) }
    }

    fn pack(&self, out: &mut dyn Write) -> Result<(), PackError> {
        let options = PackOptions::default();
        match &self.content {
            Content::Dir(dir) => tar::pack(&self.manifest, dir, out, &options),
            Content::Merged(merged) => {
                let mut open = |entry: &Entry| match merged.get(&entry.path) {
                    Some(found) => File::open(&found.host),
                    None => Err(std::io::ErrorKind::NotFound.into()),
                };
                tar::pack_with(&self.manifest, &mut open, out, &options)
            }
        }
    }

    fn failed(&self, number: usize) -> impl Fn(PackError) -> ArchiveError {
        move |source| ArchiveError::Layer { number, created_by: self.created_by.to_string(), source }
    }
}

/// The layers as they go into the archive, the lowest merged where there are too many.
fn parts(layers: &[ArchiveLayer]) -> Vec<Part<'_>> {
    let surplus = if layers.len() > MAX_LAYERS { layers.len() - MAX_LAYERS + 1 } else { 0 };
    let (lowest, rest) = layers.split_at(surplus);
    let merged = (!lowest.is_empty()).then(|| {
        let tree = |layer: &ArchiveLayer| LayerTree {
            digest: layer.manifest.digest(),
            manifest: Arc::clone(&layer.manifest),
            dir: layer.dir.clone(),
            size: layer.manifest.size(),
        };
        let merged = Merged::new(&lowest.iter().map(tree).collect::<Vec<_>>());
        Part {
            manifest: Cow::Owned(merged.manifest()),
            created_by: format!("{} layers merged", lowest.len()).into(),
            content: Content::Merged(merged),
        }
    });
    merged.into_iter().chain(rest.iter().map(Part::single)).collect()
}

/// Where a layer lies in the archive.
struct Place {
    /// Of its header.
    at: u64,
    size: u64,
    /// Its own index, or that of the earlier layer whose bytes it shares.
    first: usize,
}

impl Place {
    fn end(&self) -> u64 {
        self.at + tar::BLOCK + self.size.next_multiple_of(tar::BLOCK)
    }
}

/// One place for each layer, in order; equal layers share one.
fn places(parts: &[Part<'_>], start: u64) -> Result<Vec<Place>, ArchiveError> {
    let mut at = start;
    let mut places: Vec<Place> = Vec::new();
    let mut known: BTreeMap<Digest, usize> = BTreeMap::new();
    for (n, part) in parts.iter().enumerate() {
        let first = *known.entry(part.manifest.digest()).or_insert(n);
        if let Some(Place { at, size, .. }) = places.get(first) {
            let place = Place { at: *at, size: *size, first };
            places.push(place);
            continue;
        }
        let size = tar::packed_size(&part.manifest, &PackOptions::default()).map_err(part.failed(n + 1))?;
        let place = Place { at, size, first };
        at = place.end();
        places.push(place);
    }
    Ok(places)
}

/// The archive being written.
struct Target<'a> {
    file: &'a File,
    path: &'a Path,
    epoch: i64,
}

impl Target<'_> {
    /// Packs all layers to their places at the same time. One digest for each part; that of a shared place stands at
    /// its first.
    fn write_layers(&self, parts: &[Part<'_>], places: &[Place]) -> Result<Vec<Sha256>, ArchiveError> {
        let jobs: Vec<(usize, (&Part<'_>, &Place))> = parts.iter().zip(places).enumerate().collect();
        let write_one = |(n, (part, place)): (usize, (&Part<'_>, &Place))| {
            if place.first == n { self.write_layer(n + 1, part, place) } else { Ok(Sha256([0; 32])) }
        };
        jobs.into_par_iter().map(write_one).collect()
    }

    fn write_layer(&self, number: usize, part: &Part<'_>, place: &Place) -> Result<Sha256, ArchiveError> {
        let failed = |source| ArchiveError::Write { path: self.path.to_owned(), source };
        let inner = Positioned { file: self.file, at: place.at + tar::BLOCK };
        let mut sink = BufWriter::with_capacity(BUFFER, Hashing { inner, hash: sha2::Sha256::new() });
        part.pack(&mut sink).map_err(|e| match e {
            PackError::Write { source } => failed(source),
            e @ (PackError::Changed { .. }
            | PackError::Unrepresentable { .. }
            | PackError::Manifest { .. }
            | PackError::Read { .. }) => part.failed(number)(e),
        })?;
        let sink = sink.into_inner().map_err(|e| failed(e.into_error()))?;
        let digest = Sha256(sink.hash.finalize().into());
        let header = Member::file(blob_name(digest).as_bytes(), place.size, self.epoch).header();
        self.file.write_all_at(&header, place.at).map_err(failed)?;
        Ok(digest)
    }
}

fn blob_name(digest: Sha256) -> String {
    format!("blobs/sha256/{digest}")
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
struct Documents {
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

impl Documents {
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
    fn add(&mut self, spec: &ArchiveSpec, parts: &[Part<'_>], blobs: &[(Sha256, u64)]) -> (Sha256, Sha256) {
        let (id, config) = self.blob(OCI_CONFIG, &configuration(spec, parts, blobs));
        let layers = blobs.iter().map(|(digest, size)| wire(OCI_LAYER, *digest, *size)).collect();
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
            layers: blobs.iter().map(|(digest, _)| blob_name(*digest)).collect(),
        };
        self.file("manifest.json", &json(&[saved]));
        self.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        (id, manifest)
    }
}

fn wire(media_type: &str, digest: Sha256, size: u64) -> WireDescriptor {
    let digest = format!("sha256:{digest}");
    WireDescriptor { media_type: media_type.to_owned(), digest, size, annotations: BTreeMap::new(), platform: None }
}

/// The documents are plain structs with string keys, which cannot fail to serialize.
fn json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).unwrap_or_default()
}

fn configuration(spec: &ArchiveSpec, parts: &[Part<'_>], blobs: &[(Sha256, u64)]) -> WireConfig {
    let platform = WirePlatform::of(&spec.platform);
    let created = Some(time::format(spec.created_epoch));
    let entry =
        |part: &Part<'_>| WireHistory { created: created.clone(), created_by: Some(part.created_by.to_string()) };
    WireConfig {
        architecture: platform.architecture,
        config: (&spec.config).into(),
        history: parts.iter().map(entry).collect(),
        os: platform.os,
        rootfs: WireRootfs {
            diff_ids: blobs.iter().map(|(digest, _)| format!("sha256:{digest}")).collect(),
            kind: "layers".to_owned(),
        },
        variant: platform.variant,
        created,
    }
}
