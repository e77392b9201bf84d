//! Guests that have just booted: each is kept as it is then, so that not even a first step waits for a boot twice.
//!
//! Such a part belongs to no step. It is found by what it was booted from and by the machine record, and has beside its
//! memory what the guest wrote to its disks since: the guest goes on with copies of that as the images it writes to, so a
//! layer that is made afterwards is no other than after a boot.

use imgc_backend::{BackendError, Cx, Layer, MachineSpec};
use imgc_plan::Digest;
use imgc_store::Store;

use crate::command::file;
use crate::machine::{QemuMachine, copy, gather};
use crate::memory::{self, Part};
use crate::shape::Shape;
use crate::{errors, further};

/// The name of the part of a machine that boots from a layer; none where it is not kept: a shipped disk is there to show
/// that it boots.
pub(crate) fn name(on: &Layer, spec: &MachineSpec, shape: &Shape) -> Option<String> {
    if spec.shipped {
        return None;
    }
    let whole = serde_json::to_vec(&(&on.chain, &spec.machine, shape.class())).ok()?;
    Some(format!("booted-{}", Digest::of(&whole)))
}

/// The part of this name, where this run may take it up.
pub(crate) fn find(store: &Store, name: &str, on: &Layer, shape: &Shape, cx: &Cx) -> Option<Part> {
    if cx.settings.cold || cx.settings.afresh {
        return None;
    }
    memory::find(store, name, &shape.class(), &chain(on)).ok()
}

/// Keeps a guest that has booted, unless it is kept already or knows a secret. That it could not be kept is no error.
///
/// # Errors
/// The guest does not go on.
pub(crate) async fn keep(machine: &mut QemuMachine, name: &str, cx: &Cx) -> Result<(), BackendError> {
    let Ok(keeping) = machine.shape.keeping else { return Ok(()) };
    // A seed's secrets are in the guest's memory by now.
    let known = memory::is_kept(&machine.store, name) && !cx.settings.afresh;
    if known || !cx.needles().is_empty() {
        return Ok(());
    }
    let saving = keeping.saving(machine.shared);
    machine.link.qemu.stop().await?;
    let saved = machine.link.qemu.save(saving).await;
    let kept = match saved {
        Ok(()) => publish(machine, name, saving.mapped).await,
        Err(error) => Err(error),
    };
    machine.link.qemu.go().await?;
    match kept {
        Ok(()) => tracing::debug!(name, "the booted guest is kept"),
        Err(error) => tracing::info!(%error, "the booted guest is not kept"),
    }
    Ok(())
}

/// Copies what a guest that stands still has in memory and on its disk, and moves that into the store.
async fn publish(machine: &QemuMachine, name: &str, mapped: bool) -> Result<(), BackendError> {
    let (store, name, shared) = (machine.store.clone(), name.to_owned(), machine.shared);
    let (class, chain) = (machine.shape.class(), chain(&machine.layer));
    let dir = machine.scratch.path().to_owned();
    let further = machine.further.iter().enumerate().map(|(n, disk)| (&disk.chain, further::file_name(n)));
    let disks = std::iter::once((&machine.chain, file::DISK.to_owned())).chain(further);
    let disks: Vec<_> = disks.filter_map(|(chain, name)| Some((chain.last()?.path.clone(), name))).collect();
    let publish = move || {
        let failed = || BackendError::io("cannot copy a guest that has booted");
        let part = gather(&dir, shared).map_err(failed())?;
        // QEMU wrote everything to its images when the guest was saved.
        for (image, name) in disks {
            copy(&image, &part.join(name)).map_err(failed())?;
        }
        memory::keep(&store, &name, &part, None, class, chain, mapped)
    };
    tokio::task::spawn_blocking(publish).await.map_err(errors::panicked)?
}

fn chain(layer: &Layer) -> Vec<Digest> {
    layer.chain.iter().map(|id| id.0).collect()
}
