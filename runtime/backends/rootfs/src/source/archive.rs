//! `rootfs.oci` and `rootfs.tar`: layers that others made, unpacked without trusting them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek as _};
use std::path::PathBuf;
use std::sync::Arc;

use imgc_backend::{BackendError, Cx, ImageConfig, Layer, LayerId};
use imgc_formats::tar::{Limits, Owners, UnpackError, UnpackOptions, Whiteouts, unpack};
use imgc_oci::{Image, LayerReader, Layout, Reference, Registry, RegistryError, RunConfig, Settings};
use imgc_plan::lock::Pin;
use imgc_plan::{Digest, DirRef, FileRef, Locked, Node, Platform, Sha256};
use imgc_store::{LayerTree, Manifest, Store, fail_point};
use serde::{Deserialize, Serialize};

use super::{FIRST_TIME, parse};
use crate::backend::NAME;
use crate::space::Space;
use crate::{attributes, capture, errors};

/// What a registry's image is pinned to.
const DIGEST: &str = "digest";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OciArgs {
    image: Place,
    #[serde(default = "super::amd64")]
    platform: Platform,
}

/// Where an OCI image is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Place {
    Name(String),
    /// Stands before a file, whose record has fewer fields.
    Layout(DirRef),
    Archive(FileRef),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TarArgs {
    file: FileRef,
    #[serde(default = "super::amd64", rename = "platform")]
    _platform: Platform,
}

pub(super) async fn lock_oci(store: &Arc<Store>, node: &Node, cx: &Cx) -> Result<Locked, BackendError> {
    let args: OciArgs = parse(node)?;
    let (store, cx, kind) = (Arc::clone(store), cx.clone(), node.kind.to_string());
    let look = move || {
        let space = Space::new(&store, "oci")?;
        let (name, image) = match &args.image {
            Place::Name(name) => {
                let reference = reference(name)?;
                let registry = registry(&cx)?;
                let resolved = registry.resolve(&reference, &args.platform).map_err(of_registry)?;
                let image = registry.image(&reference, resolved.digest, &args.platform).map_err(of_registry)?;
                (reference.familiar(), image)
            }
            Place::Layout(dir) => (dir.path.clone(), local(&cx, &dir.path, &args.platform, &space)?.1),
            Place::Archive(file) => (file.path.clone(), local(&cx, &file.path, &args.platform, &space)?.1),
        };
        Ok(Locked {
            name,
            kind,
            epoch: image.created.unwrap_or(FIRST_TIME),
            archives: Vec::new(),
            pins: BTreeMap::from([(DIGEST.to_owned(), Pin::Text(format!("sha256:{}", image.digest)))]),
        })
    };
    tokio::task::spawn_blocking(look).await.map_err(errors::panicked)?
}

pub(super) async fn import_oci(
    store: &Arc<Store>,
    node: &Node,
    locked: &Locked,
    cx: &Cx,
) -> Result<Layer, BackendError> {
    let args: OciArgs = parse(node)?;
    let digest = pinned(locked)?;
    let (store, cx, epoch) = (Arc::clone(store), cx.clone(), locked.epoch);
    let bring = move || {
        let space = Space::new(&store, "oci")?;
        let mut import = Import { store: &store, space: &space, cx: &cx, epoch, trees: Vec::new() };
        let image = match &args.image {
            Place::Name(name) => import.pull(&reference(name)?, digest, &args.platform)?,
            Place::Layout(dir) => import.read(&dir.path, digest, &args.platform)?,
            Place::Archive(file) => import.read(&file.path, digest, &args.platform)?,
        };
        Ok(import.finish(config(image.config)))
    };
    tokio::task::spawn_blocking(bring).await.map_err(errors::panicked)?
}

pub(super) async fn import_tar(
    store: &Arc<Store>,
    node: &Node,
    locked: &Locked,
    cx: &Cx,
) -> Result<Layer, BackendError> {
    let args: TarArgs = parse(node)?;
    let (store, cx, epoch) = (Arc::clone(store), cx.clone(), locked.epoch);
    let bring = move || {
        let space = Space::new(&store, "tar")?;
        let path = cx.package.join(&args.file.path);
        let reading = || BackendError::io(format!("cannot read {}", path.display()));
        let mut file = File::open(&path).map_err(reading())?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&mut file).map_err(reading())?;
        if Digest(*hasher.finalize().as_bytes()) != args.file.digest {
            let message = format!("{} changed since the plan was made", path.display());
            return Err(BackendError::Program { message, help: Some("run the same command again".to_owned()) });
        }
        file.rewind().map_err(reading())?;
        let mut import = Import { store: &store, space: &space, cx: &cx, epoch, trees: Vec::new() };
        import.unpack(&mut file, Whiteouts::Plain, &args.file.path)?;
        Ok(import.finish(ImageConfig::default()))
    };
    tokio::task::spawn_blocking(bring).await.map_err(errors::panicked)?
}

/// Layers on their way into the store, the lowest first.
struct Import<'a> {
    store: &'a Store,
    space: &'a Space,
    cx: &'a Cx,
    epoch: i64,
    trees: Vec<LayerTree>,
}

impl Import<'_> {
    /// Pulls all layers of an image from its registry.
    fn pull(&mut self, reference: &Reference, digest: Sha256, platform: &Platform) -> Result<Image, BackendError> {
        let registry = registry(self.cx)?;
        let image = registry.image(reference, digest, platform).map_err(of_registry)?;
        let blob = self.space.on_disk().join("blob");
        for (number, layer) in image.layers.iter().enumerate() {
            self.cx.note(format!("layer {} of {}", number + 1, image.layers.len()));
            let _ = std::fs::remove_file(&blob);
            registry.fetch(reference, &layer.blob, &blob, &mut |_| {}).map_err(of_registry)?;
            let file = File::open(&blob).map_err(BackendError::io(format!("cannot read {}", blob.display())))?;
            let reader = LayerReader::new(file, layer).map_err(BackendError::io("cannot read a layer"))?;
            self.layer(reader, &reference.familiar())?;
        }
        let _ = std::fs::remove_file(&blob);
        Ok(image)
    }

    /// Reads all layers of an image in a layout or archive.
    fn read(&mut self, path: &str, digest: Sha256, platform: &Platform) -> Result<Image, BackendError> {
        let (layout, image) = local(self.cx, path, platform, self.space)?;
        if image.digest != digest {
            return Err(BackendError::Source {
                message: format!("{path} holds sha256:{}, the lock has sha256:{digest}", image.digest),
                help: Some("run `imgc update` to take what is there now".to_owned()),
            });
        }
        for number in 0..image.layers.len() {
            let reader = layout.layer(&image, number).map_err(|error| of_source(&error, None))?;
            self.layer(reader, path)?;
        }
        Ok(image)
    }

    fn layer(&mut self, mut reader: LayerReader<'_>, from: &str) -> Result<(), BackendError> {
        self.unpack(&mut reader, Whiteouts::Oci, from)?;
        // A layer whose bytes turn out wrong is in the store by its own digest, but no image refers to it.
        reader.finish().map_err(|error| of_source(&error, None))
    }

    fn unpack(&mut self, reader: &mut (dyn Read + Send), whiteouts: Whiteouts, from: &str) -> Result<(), BackendError> {
        if self.cx.cancel.is_cancelled() {
            return Err(BackendError::Interrupted);
        }
        let into: PathBuf = self.space.path().join("layer");
        std::fs::create_dir(&into).map_err(BackendError::io(format!("cannot make {}", into.display())))?;
        let below: Vec<&Manifest> = self.trees.iter().map(|tree| &*tree.manifest).collect();
        let options = UnpackOptions {
            epoch: self.epoch,
            opaque_xattr: attributes::opaque_name(),
            whiteouts,
            owners: Owners::Set,
            below: &below,
            limits: Limits::default(),
        };
        fail_point!("unpack.begin");
        let unpacked = unpack(reader, &into, &options).map_err(|error| of_unpack(error, from))?;
        for skipped in &unpacked.skipped {
            self.cx.note(format!("left out: {} at {}", skipped.what, String::from_utf8_lossy(&skipped.path.0)));
        }
        if unpacked.manifest.is_empty() && unpacked.manifest.entries.iter().all(capture::is_plain_root) {
            return imgc_store::remove_tree(&into).map_err(errors::store);
        }
        fail_point!("unpack.done");
        let digest = self.space.keep(&unpacked.manifest, &into)?;
        fail_point!("unpack.kept");
        let gone = || BackendError::Internal { message: "a layer that was just made is not in the store".to_owned() };
        self.trees.push(self.store.tree(&digest).map_err(errors::store)?.ok_or_else(gone)?);
        Ok(())
    }

    fn finish(self, config: ImageConfig) -> Layer {
        let chain = self.trees.iter().map(|tree| LayerId(tree.digest)).collect();
        Layer::content(NAME, chain, self.epoch, config)
    }
}

fn local(cx: &Cx, path: &str, platform: &Platform, space: &Space) -> Result<(Layout, Image), BackendError> {
    let layout = Layout::open(&cx.package.join(path), space.on_disk()).map_err(|error| of_source(&error, None))?;
    let image = layout.image(platform, None).map_err(|error| of_source(&error, None))?;
    Ok((layout, image))
}

fn reference(name: &str) -> Result<Reference, BackendError> {
    name.parse().map_err(|error: imgc_oci::ReferenceError| BackendError::Program {
        message: errors::chain(&error),
        help: Some("write a name such as `debian:12` or `registry.example:5000/team/app:1`".to_owned()),
    })
}

fn registry(cx: &Cx) -> Result<Registry, BackendError> {
    let cancel = cx.cancel.clone();
    Registry::new(Settings {
        proxies: cx.settings.proxies.clone(),
        ca_files: cx.settings.ca_files.clone(),
        mirrors: cx.settings.registry_mirrors.clone(),
        cancelled: Some(Arc::new(move || cancel.is_cancelled())),
    })
    .map_err(of_registry)
}

fn pinned(locked: &Locked) -> Result<Sha256, BackendError> {
    let text = match locked.pins.get(DIGEST) {
        Some(Pin::Text(text)) => text.strip_prefix("sha256:").and_then(|hex| hex.parse().ok()),
        Some(Pin::List(_)) | None => None,
    };
    text.ok_or_else(|| BackendError::Program {
        message: format!("the lock entry of {} has no digest", locked.name),
        help: Some(format!("run `imgc update {}`", locked.name)),
    })
}

fn config(run: RunConfig) -> ImageConfig {
    let RunConfig { env, entrypoint, cmd, user, workdir, labels, ports } = run;
    ImageConfig { env, entrypoint, cmd, user, workdir, labels, ports }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn of_registry(error: RegistryError) -> BackendError {
    if matches!(error, RegistryError::Cancelled) {
        return BackendError::Interrupted;
    }
    of_source(&error, error.help().map(ToString::to_string))
}

fn of_source(error: &dyn std::error::Error, help: Option<String>) -> BackendError {
    BackendError::Source { message: errors::chain(error), help }
}

fn of_unpack(error: UnpackError, from: &str) -> BackendError {
    // A full disk or a missing right is no fault of the archive.
    if let UnpackError::Place { doing, path, source } = error {
        return BackendError::Io { doing: format!("cannot {doing} `{path}` of {from}"), source };
    }
    BackendError::Source { message: format!("cannot unpack {from}: {}", errors::chain(&error)), help: None }
}
