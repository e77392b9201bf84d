//! `disk.kernel_and_initrd` of a virtual machine: its kernel, fetched out of the guest.
//!
//! No file system of a guest is read on this host: what `/boot` is, and on which partition, the guest knows best.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use imgc_backend::{BackendError, Close, Cx, Exit, Layer, Machine as _, MachineSpec, Program};
use imgc_formats::direct::{self, DirectError};
use imgc_formats::tree::Content;
use imgc_plan::Platform;
use imgc_store::Store;
use serde::{Deserialize, Serialize};

use crate::errors;
use crate::machine::QemuMachine;

/// The arguments of `disk.kernel_and_initrd`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DirectArgs {
    #[serde(rename = "of")]
    _of: u32,
    #[serde(rename = "file", default)]
    _file: Option<String>,
}

/// The names of regular files where kernels are, and of what the image says for its kernel's command line.
const LIST: &str = r#"
for file in /boot/* /etc/kernel/cmdline; do
  if [ -f "$file" ]; then printf '%s\n' "${file#/}"; fi
done
"#;

/// How to start what is in the archive.
pub(crate) const USAGE: &str = "tar -xf {file} && qemu-system-x86_64 -M q35 -m 1024 -nographic -kernel vmlinuz -initrd \
                                initrd.img -append \"$(cat cmdline)\"";

/// Writes the archive of a layer's kernel to `out`; the files of the guest pass through `scratch`.
pub(crate) async fn write(
    store: &Arc<Store>,
    layer: &Layer,
    spec: &MachineSpec,
    scratch: &Path,
    out: &Path,
    cx: &Cx,
) -> Result<(), BackendError> {
    let (mut machine, _) = QemuMachine::open(store, layer, spec, cx).await?;
    let fetched = fetch(&mut machine, &spec.platform, scratch, cx).await;
    // Whatever went wrong, the guest ends; the first error is the one to tell.
    let closed = Box::new(machine).close(Close::Discard, cx).await;
    let files = fetched?;
    closed?;
    let (platform, epoch, out) = (spec.platform.clone(), layer.epoch, out.to_owned());
    let write = move || {
        let tree = direct::tree(files, epoch)?;
        direct::write(&tree, &platform, epoch, &out)
    };
    tokio::task::spawn_blocking(write).await.map_err(errors::panicked)?.map_err(failed)
}

/// The files that the archive is made of, by their paths in the guest.
async fn fetch(
    machine: &mut QemuMachine,
    platform: &Platform,
    scratch: &Path,
    cx: &Cx,
) -> Result<Vec<(String, Content)>, BackendError> {
    let names = list(machine, cx).await?;
    let mut files = Vec::new();
    for (number, name) in direct::sources(&names, platform).map_err(failed)?.into_iter().enumerate() {
        let path = scratch.join(format!("guest-{number}"));
        let io = || BackendError::io(format!("cannot write {}", path.display()));
        let mut file = tokio::fs::File::create(&path).await.map_err(io())?;
        let size = machine.link()?.get(&format!("/{name}"), &mut file, cx).await?;
        files.push((name, Content::Host { path, size, digest: None }));
    }
    Ok(files)
}

async fn list(machine: &mut QemuMachine, cx: &Cx) -> Result<Vec<String>, BackendError> {
    let said = Mutex::new(Vec::new());
    let output = |_, bytes: &[u8]| said.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
    let program = Program::Script { interpreter: vec!["/bin/sh".to_owned()], text: LIST.to_owned() };
    let exit = machine.link()?.ask(&crate::ship::by_root(program), &output, cx).await?;
    match exit {
        Exit::Code(0) => {}
        how @ (Exit::Code(_) | Exit::Signal(_)) => {
            let what = "looking for the guest's kernel".to_owned();
            return Err(BackendError::StepFailed { what, how: how.to_string() });
        }
    }
    let said = said.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(String::from_utf8_lossy(&said).lines().map(str::to_owned).collect())
}

fn failed(error: DirectError) -> BackendError {
    match error {
        DirectError::Disk(error) => BackendError::Program { message: errors::chain(&error), help: error.help() },
        DirectError::Io { doing, source } => BackendError::Io { doing, source },
        error @ DirectError::Pack(_) => BackendError::Source { message: errors::chain(&error), help: None },
    }
}
