//! Further disks of a machine: empty at first, and kept with every layer from then on, each as a chain of its own.

use std::path::Path;

use imgc_backend::{BackendError, Cx, Layer, LayerId};
use imgc_store::Store;

use crate::command::{Image, extra_disk};
use crate::detail::Detail;
use crate::images::{self, Grain};
use crate::process::Qemu;
use crate::record::Machine;

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct Further {
    /// Its images, the highest being the one that the guest writes to.
    pub(crate) chain: Vec<Image>,
    /// The name of the node that is written to.
    top: String,
    /// What the guest sees, in bytes.
    size: u64,
}

/// The further disks of a machine that stands on a layer, each with a fresh image on top, or a copy of the one that a
/// guest which had just booted left in `kept`.
pub(crate) async fn open(
    store: &Store,
    machine: &Machine,
    detail: &Detail,
    dir: &Path,
    kept: Option<&Path>,
    cx: &Cx,
) -> Result<Vec<Further>, BackendError> {
    let mut all = Vec::new();
    for (n, disk) in machine.disks.iter().enumerate() {
        let below: Vec<LayerId> = detail.disks.get(n).into_iter().flatten().map(|digest| LayerId(*digest)).collect();
        let mut chain = images::objects(store, &below, "qcow2")?;
        let at = dir.join(file_name(n));
        chain.push(match kept {
            Some(kept) => images::copied(kept.join(file_name(n)), at).await?,
            None if chain.is_empty() => images::blank(store, &at, disk.size, cx).await?,
            None => images::overlay(store, &at, disk.size, Grain::Usual, cx).await?,
        });
        all.push(Further { chain, top: extra_disk(n), size: disk.size });
    }
    Ok(all)
}

/// What the first image that a guest writes to on a further disk is called.
pub(crate) fn file_name(disk: usize) -> String {
    format!("{}.qcow2", extra_disk(disk))
}

/// The images that the disks write to after the next layer: made before the guest stops.
pub(crate) async fn prepare(
    store: &Store,
    disks: &[Further],
    dir: &Path,
    count: u32,
    cx: &Cx,
) -> Result<Vec<Image>, BackendError> {
    let mut next = Vec::new();
    for (n, disk) in disks.iter().enumerate() {
        let at = dir.join(format!("{}-{count}.qcow2", extra_disk(n)));
        next.push(images::overlay(store, &at, disk.size, Grain::Usual, cx).await?);
    }
    Ok(next)
}

/// Has a guest that stands still write to the next images.
pub(crate) async fn switch(
    qemu: &mut Qemu,
    disks: &mut [Further],
    next: &[Image],
    count: u32,
) -> Result<(), BackendError> {
    for (n, (disk, image)) in disks.iter_mut().zip(next).enumerate() {
        let name = format!("{}-{count}", extra_disk(n));
        qemu.next_image(&disk.top, &name, image).await?;
        disk.top = name;
    }
    Ok(())
}

/// Moves the images that were completed into the store; the layer names them from then on.
pub(crate) fn publish(
    store: &Store,
    complete: &[Image],
    layer: &mut Layer,
    detail: &mut Detail,
) -> Result<(), BackendError> {
    detail.disks.resize(complete.len(), Vec::new());
    for (image, below) in complete.iter().zip(&mut detail.disks) {
        if let Some(below) = below.last() {
            images::name_below(&image.path, below)?;
        }
        let object = images::publish(store, &image.path)?;
        below.push(object.digest);
        layer.chain.push(LayerId(object.digest));
    }
    Ok(())
}

/// The part of a layer's chain that is its first disk.
pub(crate) fn first_disk(layer: &Layer, detail: &Detail) -> Vec<LayerId> {
    let is_further = |id: &&LayerId| detail.disks.iter().flatten().any(|digest| *digest == id.0);
    layer.chain.iter().filter(|id| !is_further(id)).copied().collect()
}
