//! `disk.convert`: disks in the formats that others read, from images of this backend and from disks of any. And the
//! kernel of a machine without its disk.

use std::sync::Arc;

use imgc_backend::{Artifact, ArtifactInput, BackendError, Cx, Layer, MachineSpec};
use imgc_plan::value::plain_record;
use imgc_plan::{Digest, Node};
use imgc_store::{Object, Scratch, Store};
use serde::{Deserialize, Serialize};

use crate::command::Image;
use crate::detail::Detail;
use crate::further::first_disk;
use crate::record::{Firmware, Machine};
use crate::{direct, errors, images, ship};

/// What leaves of a machine for hypervisors that load a kernel themselves.
pub(crate) const DIRECT: &str = "disk.kernel_and_initrd";

/// The arguments of `disk.convert`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConvertArgs {
    pub(crate) of: u32,
    pub(crate) format: String,
    #[serde(default)]
    pub(crate) file: Option<String>,
}

/// Makes an artifact.
pub(crate) async fn make(
    store: &Arc<Store>,
    node: &Node,
    inputs: &[ArtifactInput],
    cx: &Cx,
) -> Result<Artifact, BackendError> {
    if node.kind == DIRECT {
        return kernel(store, node, inputs, cx).await;
    }
    if node.kind != "disk.convert" {
        return Err(BackendError::Internal { message: format!("no artifact of the kind `{}`", node.kind) });
    }
    let args: ConvertArgs =
        serde_json::from_value(plain_record(&node.args)).map_err(|error| errors::arguments(&node.address, &error))?;
    let scratch = store.scratch("convert").map_err(errors::store)?;
    let out = scratch.path().join("disk");
    match inputs {
        [ArtifactInput::Layer(layer)] => {
            let machine = Detail::of(layer).machine;
            let (platform, image) = ((*node.platform).clone(), node.address.0.clone());
            let spec = MachineSpec { platform, image, machine, shipped: true };
            let shipped = ship::shipped(store, layer, &spec, cx).await?;
            let detail = Detail::of(&shipped);
            let chain = images::objects(store, &first_disk(&shipped, &detail), &detail.base)?;
            images::flatten(store, &chain, &args.format, &out, cx).await?;
            keep(store, scratch, usage(layer, &args.format)).await
        }
        [ArtifactInput::Artifact(disk)] => {
            let path = disk.path.clone().ok_or_else(|| BackendError::Program {
                message: format!("`{}` is made of something that is no file", node.address),
                help: Some("name a disk".to_owned()),
            })?;
            let info = images::info(store, &path, None, cx).await?;
            images::refuse_strange(&info, "the disk")?;
            let image = Image { path, format: info.format };
            images::flatten(store, &[image], &args.format, &out, cx).await?;
            keep(store, scratch, Vec::new()).await
        }
        _ => Err(BackendError::Internal { message: format!("{} is made of one disk", node.address) }),
    }
}

async fn kernel(store: &Arc<Store>, node: &Node, inputs: &[ArtifactInput], cx: &Cx) -> Result<Artifact, BackendError> {
    let [ArtifactInput::Layer(layer)] = inputs else {
        return Err(BackendError::Internal { message: format!("{} is made of one image", node.address) });
    };
    let (platform, image, machine) = ((*node.platform).clone(), node.address.0.clone(), Detail::of(layer).machine);
    let spec = MachineSpec { platform, image, machine, shipped: false };
    if spec.machine.is_null() {
        return Err(BackendError::Program {
            message: format!("`{}` is of an image that nothing ran in: its guest was never started", node.address),
            help: Some("give the image a step, or take the kernel from what its disk was made of".to_owned()),
        });
    }
    let scratch = store.scratch("kernel").map_err(errors::store)?;
    direct::write(store, layer, &spec, scratch.path(), &scratch.path().join("disk"), cx).await?;
    keep(store, scratch, vec![direct::USAGE.to_owned()]).await
}

async fn keep(store: &Arc<Store>, scratch: Scratch, usage: Vec<String>) -> Result<Artifact, BackendError> {
    let store = Arc::clone(store);
    let keep = move || store.insert_file(&scratch.path().join("disk")).map_err(errors::store);
    let object: Object = tokio::task::spawn_blocking(keep).await.map_err(errors::panicked)??;
    let digest: Digest = object.digest;
    let (sha256, size) = (Some(object.sha256), object.size);
    Ok(Artifact { path: Some(object.path), digest, sha256, size, id: None, usage })
}

/// How to start the disk by hand.
fn usage(layer: &Layer, format: &str) -> Vec<String> {
    let machine = Machine::read(&Detail::of(layer).machine).unwrap_or_default();
    let firmware = match machine.firmware {
        Firmware::Bios => "",
        Firmware::Uefi | Firmware::UefiSecure => {
            " -drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE.fd"
        }
    };
    let format = if format == "vhd" { "vpc" } else { format };
    let memory = machine.memory >> 20;
    vec![format!(
        "qemu-system-x86_64 -M {} -m {memory} -nographic -snapshot{firmware} -drive \
         file={{file}},format={format},if=virtio -nic user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:2222-:22",
        machine.board("amd64")
    )]
}
