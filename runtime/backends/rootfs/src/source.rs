//! Sources: where base layers come from, and what they are pinned to.

mod archive;
mod debian;
mod packages;

use std::sync::Arc;

use imgc_backend::{BackendError, Cx, ImageConfig, Layer, Shape};
use imgc_plan::value::plain_record;
use imgc_plan::{Locked, Node, Platform};
use imgc_store::Store;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::backend::NAME;

/// 1980-01-01: the time of everything whose source has none, the first that every format can hold.
const FIRST_TIME: i64 = 315_532_800;

/// The keys that sign Debian's archives.
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScratchArgs {
    #[serde(default = "amd64")]
    platform: Platform,
}

/// What the sources read.
pub(crate) fn shapes() -> Vec<Shape> {
    let file = json!({ "path": "a", "digest": "0".repeat(64), "mode": 0o644, "size": 1 });
    vec![
        Shape::of::<debian::DebianArgs>("rootfs.debian", 1, json!({ "suite": "stable" })),
        Shape::of::<archive::OciArgs>("rootfs.oci", 1, json!({ "image": "a:1" })),
        Shape::of::<archive::TarArgs>("rootfs.tar", 1, json!({ "file": file })),
        Shape::of::<ScratchArgs>("rootfs.scratch", 1, json!({})),
    ]
}

fn amd64() -> Platform {
    Platform { os: "linux".to_owned(), arch: "amd64".to_owned(), distro: None }
}

fn debian_amd64() -> Platform {
    Platform { distro: Some("debian".to_owned()), ..amd64() }
}

/// Pins a source.
pub(crate) async fn lock(store: &Arc<Store>, node: &Node, cx: &Cx) -> Result<Locked, BackendError> {
    match node.kind.as_str() {
        "rootfs.debian" => debian::lock(store, node, cx).await,
        "rootfs.oci" => archive::lock_oci(store, node, cx).await,
        "rootfs.tar" => Ok(plain(node, "tar")),
        "rootfs.scratch" => Ok(plain(node, "scratch")),
        other => Err(unknown(other)),
    }
}

/// Brings the base layer of a locked source into the store.
pub(crate) async fn import(store: &Arc<Store>, node: &Node, locked: &Locked, cx: &Cx) -> Result<Layer, BackendError> {
    match node.kind.as_str() {
        "rootfs.debian" => debian::import(store, node, locked, cx).await,
        "rootfs.oci" => archive::import_oci(store, node, locked, cx).await,
        "rootfs.tar" => archive::import_tar(store, node, locked, cx).await,
        "rootfs.scratch" => Ok(Layer::content(NAME, Vec::new(), locked.epoch, ImageConfig::default())),
        other => Err(unknown(other)),
    }
}

/// This host's architecture as platforms name it.
pub(crate) fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

/// A source that is pinned by its arguments alone.
fn plain(node: &Node, name: &str) -> Locked {
    let (name, kind) = (name.to_owned(), node.kind.to_string());
    Locked { name, kind, epoch: FIRST_TIME, archives: Vec::new(), pins: std::collections::BTreeMap::new() }
}

fn parse<T: DeserializeOwned>(node: &Node) -> Result<T, BackendError> {
    serde_json::from_value(plain_record(&node.args))
        .map_err(|error| BackendError::Internal { message: format!("arguments of {}: {error}", node.address) })
}

fn unknown(kind: &str) -> BackendError {
    BackendError::Internal { message: format!("no source of the kind `{kind}`") }
}
