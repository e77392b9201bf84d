//! Artifacts: archives and disks made of layers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use imgc_backend::{Artifact, ArtifactInput, BackendError, Cx, Fault, ImageConfig, Layer, LayerId, Refusal, Shape};
use imgc_formats::direct::{self, DirectError};
use imgc_formats::disk::{self, Boot, DiskError, DiskFormat, DiskSpec};
use imgc_formats::region::Cancel;
use imgc_formats::tree::FileTree;
use imgc_oci::{ArchiveLayer, ArchiveSpec, Reference, RunConfig, archive};
use imgc_plan::value::plain_record;
use imgc_plan::{Digest, Node, Value};
use imgc_store::{LayerTree, Merged, Scratch, Store};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{errors, packed};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArchiveArgs {
    #[serde(rename = "of")]
    _of: u32,
    #[serde(default)]
    entrypoint: Vec<String>,
    #[serde(default)]
    cmd: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    ports: Vec<u16>,
    #[serde(default)]
    user: String,
    workdir: Option<String>,
    tag: Option<String>,
    #[serde(rename = "file")]
    _file: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DiskArgs {
    #[serde(rename = "of")]
    _of: u32,
    size: u64,
    #[serde(default = "raw")]
    format: String,
    #[serde(default = "uefi")]
    boot: String,
    #[serde(rename = "file")]
    _file: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DirectArgs {
    #[serde(rename = "of")]
    _of: u32,
    #[serde(rename = "file")]
    _file: Option<String>,
}

fn raw() -> String {
    "raw".to_owned()
}

fn uefi() -> String {
    "uefi".to_owned()
}

/// What the artifacts read.
pub(crate) fn shapes() -> Vec<Shape> {
    let own = vec![
        Shape::of::<ArchiveArgs>("oci.archive", 1, json!({ "of": 0 })),
        Shape::of::<DiskArgs>("disk.image", 1, json!({ "of": 0, "size": 1 })),
        Shape::of::<DirectArgs>("disk.kernel_and_initrd", 1, json!({ "of": 0 })),
    ];
    [own, packed::shapes()].concat()
}

/// Refuses artifacts whose arguments ask for what cannot be made yet.
pub(crate) fn refuse(node: &Node) -> Result<(), Refusal> {
    let format = match (node.kind.as_str(), node.args.get("format")) {
        ("disk.image", Some(Value::Variant { name, .. } | Value::Text(name))) => &**name,
        _ => return Ok(()),
    };
    match format {
        "raw" | "qcow2" => Ok(()),
        other => Err(Refusal {
            message: format!("disks in the format {other} are not built yet"),
            help: Some("`format: raw` and `format: qcow2` are".to_owned()),
            fault: Fault::NotBuilt,
        }),
    }
}

/// Makes an artifact.
pub(crate) fn make(store: &Store, node: &Node, inputs: &[ArtifactInput], cx: &Cx) -> Result<Artifact, BackendError> {
    if cx.cancel.is_cancelled() {
        return Err(BackendError::Interrupted);
    }
    if let packed::COMPRESS | packed::CHECKSUM = node.kind.as_str() {
        return packed::make(store, node, inputs, cx);
    }
    let [ArtifactInput::Layer(layer)] = inputs else {
        return Err(BackendError::Internal { message: format!("{} is made of one image", node.address) });
    };
    let made = Making {
        store,
        node,
        layer,
        trees: trees(store, layer)?,
        scratch: store.scratch("artifact").map_err(errors::store)?,
        cancel: &cx.cancel,
    };
    match node.kind.as_str() {
        "oci.archive" => made.archive(),
        "disk.image" => made.disk(),
        "disk.kernel_and_initrd" => made.direct(),
        other => Err(BackendError::Internal { message: format!("no artifact of the kind `{other}`") }),
    }
}

fn trees(store: &Store, layer: &Layer) -> Result<Vec<LayerTree>, BackendError> {
    let gone = |digest: &Digest| BackendError::Environment {
        message: format!("the layer {} is no longer in the cache", digest.short()),
        help: Some("run the same command again: it is built anew".to_owned()),
    };
    let tree = |LayerId(digest): &LayerId| store.tree(digest).map_err(errors::store)?.ok_or_else(|| gone(digest));
    layer.chain.iter().map(tree).collect()
}

struct Making<'a> {
    store: &'a Store,
    node: &'a Node,
    layer: &'a Layer,
    trees: Vec<LayerTree>,
    scratch: Scratch,
    cancel: &'a CancellationToken,
}

impl Making<'_> {
    fn archive(&self) -> Result<Artifact, BackendError> {
        let args: ArchiveArgs = parse(self.node)?;
        let tag =
            args.tag.as_deref().map(str::parse::<Reference>).transpose().map_err(|error| BackendError::Program {
                message: errors::chain(&error),
                help: Some("write a tag such as `web:1`".to_owned()),
            })?;
        let layers = self.trees.iter().map(|tree| ArchiveLayer {
            manifest: Arc::clone(&tree.manifest),
            dir: tree.dir.clone(),
            created_by: "imgc".to_owned(),
        });
        let usage = archive_usage(tag.as_ref());
        let spec = ArchiveSpec {
            platform: (*self.node.platform).clone(),
            created_epoch: self.layer.epoch,
            layers: layers.collect(),
            config: run_config(&self.layer.config, args),
            tag,
        };
        let out = self.scratch.path().join("archive.tar");
        let written = archive::write(&spec, &out).map_err(|error| of_files(&error))?;
        self.keep(&out, Some(format!("sha256:{}", written.manifest)), usage)
    }

    fn disk(&self) -> Result<Artifact, BackendError> {
        let args: DiskArgs = parse(self.node)?;
        let unknown = |what: &str| BackendError::Internal { message: format!("no disk with {what}") };
        let format = match args.format.as_str() {
            "raw" => DiskFormat::Raw,
            "qcow2" => DiskFormat::Qcow2,
            other => return Err(unknown(other)),
        };
        let boot = match args.boot.as_str() {
            "uefi" => Boot::Uefi,
            other => return Err(unknown(other)),
        };
        let tree = FileTree::of_layers(&Merged::new(&self.trees), self.layer.epoch)
            .map_err(|error| of_disk(DiskError::Tree(error)))?;
        // Equal content gives equal identifiers; the format changes nothing about what a guest sees.
        let seed = format!("imgc 1 disk {} {} {}", self.layer.state.digest(), args.size, args.boot);
        let spec = DiskSpec {
            size: args.size,
            format,
            boot,
            platform: &self.node.platform,
            epoch: self.layer.epoch,
            seed: Digest::of(seed.as_bytes()),
            tree,
            cancel: Cancel(&|| self.cancel.is_cancelled()),
        };
        let out = self.scratch.path().join("disk");
        let built = disk::build(&spec, &out);
        if built.is_err() && self.cancel.is_cancelled() {
            return Err(BackendError::Interrupted);
        }
        built.map_err(of_disk)?;
        self.keep(&out, None, disk_usage(&args.format))
    }

    fn direct(&self) -> Result<Artifact, BackendError> {
        let DirectArgs { .. } = parse(self.node)?;
        let tree = FileTree::of_layers(&Merged::new(&self.trees), self.layer.epoch)
            .map_err(|error| of_disk(DiskError::Tree(error)))?;
        let out = self.scratch.path().join("boot.tar");
        direct::write(&tree, &self.node.platform, self.layer.epoch, &out).map_err(|error| match error {
            DirectError::Disk(error) => of_disk(error),
            DirectError::Io { doing, source } => BackendError::Io { doing, source },
            error @ DirectError::Pack(_) => of_files(&error),
        })?;
        let usage = "tar -xf {file} && qemu-system-x86_64 -M q35 -m 1024 -nographic -kernel vmlinuz -initrd initrd.img \
                     -append \"$(cat cmdline)\"";
        self.keep(&out, None, vec![usage.to_owned()])
    }

    fn keep(&self, file: &Path, id: Option<String>, usage: Vec<String>) -> Result<Artifact, BackendError> {
        let object = self.store.insert_file(file).map_err(errors::store)?;
        Ok(Artifact {
            path: Some(object.path),
            digest: object.digest,
            sha256: Some(object.sha256),
            size: object.size,
            id,
            usage,
        })
    }
}

/// What the image's source said, with what the program says on top.
fn run_config(base: &ImageConfig, args: ArchiveArgs) -> RunConfig {
    let or = |own: Vec<String>, base: &[String]| if own.is_empty() { base.to_vec() } else { own };
    let text = |own: String, base: &str| if own.is_empty() { base.to_owned() } else { own };
    let mut ports = base.ports.clone();
    ports.extend(args.ports.iter().map(|port| format!("{port}/tcp")));
    ports.sort();
    ports.dedup();
    // A new entry point makes the old command meaningless, as in Dockerfiles.
    let cmd = if args.entrypoint.is_empty() { or(args.cmd, &base.cmd) } else { args.cmd };
    RunConfig {
        env: base.env.clone().into_iter().chain(args.env).collect(),
        entrypoint: or(args.entrypoint, &base.entrypoint),
        cmd,
        user: text(args.user, &base.user),
        workdir: text(args.workdir.unwrap_or_default(), &base.workdir),
        labels: base.labels.clone().into_iter().chain(args.labels).collect(),
        ports,
    }
}

fn archive_usage(tag: Option<&Reference>) -> Vec<String> {
    let name = tag.map(|tag| format!("   # then: docker run {}", tag.familiar())).unwrap_or_default();
    vec![
        format!("docker load -i {{file}}{name}"),
        format!("podman load -i {{file}}{}", name.replace("docker", "podman")),
    ]
}

fn disk_usage(format: &str) -> Vec<String> {
    let ovmf = "-drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE.fd";
    vec![format!(
        "qemu-system-x86_64 -M q35 -m 1024 -nographic -snapshot {ovmf} -drive file={{file}},format={format},if=virtio \
         -nic user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=tcp:127.0.0.1:2222-:22"
    )]
}

pub(crate) fn parse<T: DeserializeOwned>(node: &Node) -> Result<T, BackendError> {
    serde_json::from_value(plain_record(&node.args))
        .map_err(|error| BackendError::Internal { message: format!("arguments of {}: {error}", node.address) })
}

/// A failure to write a file: the environment's fault where its cause says so.
fn of_files(error: &dyn std::error::Error) -> BackendError {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            let source = std::io::Error::new(io.kind(), io.to_string());
            return BackendError::Io { doing: error.to_string(), source };
        }
        cause = inner.source();
    }
    BackendError::Source { message: errors::chain(error), help: None }
}

fn of_disk(error: DiskError) -> BackendError {
    let help = error.help();
    if let DiskError::Io { doing, source } = error {
        return BackendError::Io { doing, source };
    }
    let message = errors::chain(&error);
    if matches!(error, DiskError::NoBootLoader { .. }) {
        BackendError::Environment { message, help }
    } else {
        BackendError::Program { message, help }
    }
}
