//! `qemu.disk`: base images from files, artifacts and addresses.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use imgc_backend::{BackendError, Cx, ImageConfig, Layer, LayerId};
use imgc_plan::lock::Pin;
use imgc_plan::value::plain_record;
use imgc_plan::{FileRef, Locked, Node, Platform, Sha256, State};
use imgc_store::{Object, Store};
use serde::{Deserialize, Serialize};

use crate::backend::NAME;
use crate::command::Image;
use crate::detail::Detail;
use crate::{download, errors, images};

/// 1980-01-01: the time of everything whose source has none.
const FIRST_TIME: i64 = 315_532_800;
/// What a downloaded file is pinned to.
const SHA256: &str = "sha256";

/// The arguments of `qemu.disk`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiskArgs {
    pub(crate) image: Place,
    #[serde(default)]
    pub(crate) digest: Option<String>,
    #[serde(default)]
    pub(crate) format: Option<String>,
    #[serde(default = "usual_platform")]
    pub(crate) platform: Platform,
}

/// As the standard library declares it.
fn usual_platform() -> Platform {
    Platform { os: "linux".to_owned(), distro: None, arch: "amd64".to_owned() }
}

/// Where an image is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Place {
    /// An address.
    Url(String),
    /// A file, or an artifact as one.
    File(FileRef),
    /// An artifact that was not built yet: seen only where a source is pinned.
    Unbuilt(serde_json::Value),
}

/// Pins a source.
pub(crate) async fn lock(store: &Arc<Store>, node: &Node, cx: &Cx) -> Result<Locked, BackendError> {
    let args = read(node)?;
    let (name, pins) = match &args.image {
        Place::File(file) => (file.path.clone(), BTreeMap::new()),
        Place::Unbuilt(_) => (format!("{} of {}", node.kind, node.address), BTreeMap::new()),
        Place::Url(url) => {
            let sha256 = match named_digest(&args)? {
                Some(sha256) => sha256,
                None => download::get(store, url, None, cx).await?.sha256,
            };
            (url.clone(), BTreeMap::from([(SHA256.to_owned(), Pin::Text(sha256.to_string()))]))
        }
    };
    Ok(Locked { name, kind: node.kind.to_string(), epoch: FIRST_TIME, archives: Vec::new(), pins })
}

/// Brings a base image into the store.
pub(crate) async fn import(store: &Arc<Store>, node: &Node, locked: &Locked, cx: &Cx) -> Result<Layer, BackendError> {
    let args = read(node)?;
    let (object, what) = match &args.image {
        Place::File(file) => (of_file(store, file, cx).await?, file.path.clone()),
        Place::Url(url) => (download::get(store, url, Some(&pinned(locked)?), cx).await?, url.clone()),
        Place::Unbuilt(_) => {
            let message = format!("{} was started before the disk it stands on was built", node.address);
            return Err(BackendError::Internal { message });
        }
    };
    let declared = args.format.as_deref().map(|format| if format == "vhd" { "vpc" } else { format });
    let info =
        images::info(store, &object.path, declared, cx).await.map_err(|error| not_that(&what, declared, error))?;
    images::refuse_strange(&info, &what)?;
    if info.format == "raw" && declared.is_none() {
        refuse_no_disk(&object.path, &what)?;
    }
    let (object, base) = match info.format.as_str() {
        "raw" => (object, "raw"),
        "qcow2" => {
            check(store, &object.path, &what, cx).await?;
            (object, "qcow2")
        }
        other => (converted(store, &object.path, other, cx).await?, "qcow2"),
    };
    let detail = Detail {
        base: base.to_owned(),
        size: info.virtual_size,
        memory: None,
        why: None,
        disks: Vec::new(),
        machine: serde_json::Value::Null,
    };
    Ok(Layer {
        backend: NAME.to_owned(),
        state: State::content([object.digest], None),
        chain: vec![LayerId(object.digest)],
        epoch: locked.epoch,
        config: ImageConfig::default(),
        detail: detail.json(),
    })
}

fn read(node: &Node) -> Result<DiskArgs, BackendError> {
    serde_json::from_value(plain_record(&node.args)).map_err(|error| errors::arguments(&node.address, &error))
}

/// The digest that the program itself says.
fn named_digest(args: &DiskArgs) -> Result<Option<Sha256>, BackendError> {
    let Some(text) = &args.digest else { return Ok(None) };
    let plain = text.strip_prefix("sha256:").unwrap_or(text);
    plain.parse().map(Some).map_err(|_| BackendError::Program {
        message: format!("`{text}` is no SHA-256 digest"),
        help: Some("write `sha256:` and 64 hexadecimal digits".to_owned()),
    })
}

fn pinned(locked: &Locked) -> Result<Sha256, BackendError> {
    match locked.pins.get(SHA256) {
        Some(Pin::Text(text)) => text.parse().ok(),
        Some(Pin::List(_)) | None => None,
    }
    .ok_or_else(|| BackendError::Program {
        message: format!("the lock of {} has no digest", locked.name),
        help: Some(format!("run `imgc update {}`", locked.name)),
    })
}

async fn of_file(store: &Arc<Store>, file: &FileRef, cx: &Cx) -> Result<Object, BackendError> {
    let (store, file, path) = (Arc::clone(store), file.clone(), cx.package.join(&file.path));
    let bring = move || {
        // An artifact is in the store already.
        if let Some(object) = store.object(&file.digest).map_err(errors::store)? {
            return Ok(object);
        }
        let object = store.insert_copy(&path).map_err(errors::store)?;
        if object.digest != file.digest {
            let message = format!("{} changed since the plan was made", path.display());
            return Err(BackendError::Program { message, help: Some("run the same command again".to_owned()) });
        }
        Ok(object)
    };
    tokio::task::spawn_blocking(bring).await.map_err(errors::panicked)?
}

fn not_that(what: &str, declared: Option<&str>, error: BackendError) -> BackendError {
    match (error, declared) {
        (BackendError::Source { message, .. }, Some(format)) => BackendError::Source {
            message: format!("{what} is no {format} image: {message}"),
            help: Some("leave `format` out: imgc then looks what it is".to_owned()),
        },
        (error, _) => error,
    }
}

/// A file in no known format is taken for a raw disk only where it looks like one.
fn refuse_no_disk(path: &Path, what: &str) -> Result<(), BackendError> {
    let mut sector = [0; 512];
    let mut file = File::open(path).map_err(BackendError::io(format!("cannot read {what}")))?;
    let whole = file.read_exact(&mut sector).is_ok();
    if whole && sector.ends_with(&[0x55, 0xaa]) {
        return Ok(());
    }
    Err(BackendError::Source {
        message: format!("{what} is no disk image that QEMU knows, and has no partition table"),
        help: Some("a raw disk without one needs `format: raw`".to_owned()),
    })
}

/// Refuses an image whose own tables contradict each other.
async fn check(store: &Store, path: &Path, what: &str, cx: &Cx) -> Result<(), BackendError> {
    let argv = ["qemu-img", "check", "-q", "-f", "qcow2"].iter().map(|&word| word.to_owned());
    let argv = argv.chain([path.display().to_string()]).collect();
    match images::tool(store, argv, cx).await {
        Ok(_) => Ok(()),
        Err(BackendError::Source { message, .. }) => Err(BackendError::Source {
            message: format!("{what} is damaged: {message}"),
            help: Some("fetch it again, or mend it with `qemu-img check -r all`".to_owned()),
        }),
        Err(error) => Err(error),
    }
}

async fn converted(store: &Store, path: &Path, format: &str, cx: &Cx) -> Result<Object, BackendError> {
    let scratch = store.scratch("import").map_err(errors::store)?;
    let to = scratch.path().join("disk.qcow2");
    let image = Image { path: path.to_owned(), format: format.to_owned() };
    images::flatten(store, &[image], "qcow2", &to, cx).await?;
    store.insert_file(&to).map_err(errors::store)
}
