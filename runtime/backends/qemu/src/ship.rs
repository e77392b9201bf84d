//! Getting a guest's disk ready to leave: cleaned, shut down, without anything that the build brought along.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use imgc_backend::{BackendError, Channel as _, Cx, Exec, Exit, Layer, LayerId, MachineSpec, Program, Stream};
use imgc_plan::Digest;
use imgc_store::Store;

use crate::command::Image;
use crate::detail::Detail;
use crate::further::first_disk;
use crate::link::Link;
use crate::machine::QemuMachine;
use crate::{errors, images};

/// How long a guest may take to shut down.
const SHUTDOWN: Duration = Duration::from_secs(300);

/// What every machine has of its own is not shipped: it makes host keys, a machine id and a seed of randomness when it
/// first starts. Nor is what the build brought: its key, and the user that was made for it, go by the mark that
/// `imgc_guest::seed` gives them. The agent is in `/run` and goes with it. Blocks that hold nothing are given back.
const CLEAN: &str = r#"
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
if [ -e /etc/machine-id ]; then : >/etc/machine-id; fi
rm -f /var/lib/systemd/random-seed /var/lib/dbus/machine-id /var/lib/systemd/credential.secret
rm -rf /var/lib/cloud/instances /var/lib/cloud/instance /var/lib/cloud/data /var/lib/cloud/sem
rm -f /var/log/cloud-init.log /var/log/cloud-init-output.log
awk -F: '$5 ~ /^imgc-build(,|$)/ { print $1 }' /etc/passwd | while read -r name; do
  userdel -rf "$name" 2>/dev/null || deluser --remove-home "$name" 2>/dev/null || true
  for file in /etc/sudoers.d/*; do
    if [ -f "$file" ]; then sed -i -e "/^$name[[:space:]]/d" -e "/^# User rules for $name\$/d" "$file"; fi
  done
done
cut -d: -f6 /etc/passwd | sort -u | while read -r home; do
  for file in "$home/.ssh/authorized_keys" "$home/.ssh/authorized_keys2"; do
    if [ -f "$file" ] && grep -q ' imgc-build$' "$file"; then
      sed -i '/ imgc-build$/d' "$file"
      if ! [ -s "$file" ]; then rm -f "$file"; fi
    fi
  done
done
sync
fstrim -a 2>/dev/null || fstrim / 2>/dev/null || true
"#;

/// Where it is written down what leaves of a layer.
const SHIPPED: &str = "shipped";

/// What leaves of a layer: its guest cleaned and shut down. Done once for all disks that are made of the layer and for all
/// tests of it, so that what is tested is what is shipped.
pub(crate) async fn shipped(
    store: &Arc<Store>,
    layer: &Layer,
    spec: &MachineSpec,
    cx: &Cx,
) -> Result<Layer, BackendError> {
    if layer.chain.len() == 1 {
        // Nothing ran in it: the disk is what its source gave.
        return Ok(layer.clone());
    }
    let (record, lock) = record(store, layer)?;
    // Whoever comes second finds it done.
    while lock.try_lock().is_err() {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
            () = cx.cancel.cancelled() => return Err(BackendError::Interrupted),
        }
    }
    if let Some(known) = known(store, &record) {
        return Ok(known);
    }
    let spec = MachineSpec { shipped: false, ..spec.clone() };
    let (machine, _) = QemuMachine::open(store, layer, &spec, cx).await?;
    let (chain, scratch) = machine.shut_down(cx).await?;
    let shipped = as_layer(store, layer, &chain).await?;
    drop(scratch);
    let written = serde_json::to_vec(&shipped).map_err(std::io::Error::from);
    let written = written.and_then(|bytes| std::fs::write(&record, bytes));
    written.map_err(BackendError::io(format!("cannot write {}", record.display())))?;
    Ok(shipped)
}

/// The file that says what leaves of a layer, and the one that is locked while somebody finds that out.
fn record(store: &Store, layer: &Layer) -> Result<(PathBuf, File), BackendError> {
    let folder = store.root().join(SHIPPED);
    let chain: String = layer.chain.iter().map(|LayerId(digest)| digest.to_string()).collect();
    // What was cleaned in another way is made anew.
    let name = Digest::of(format!("{CLEAN}{chain}").as_bytes());
    let lock = folder.join(format!("{name}.lock"));
    let open = || {
        std::fs::create_dir_all(&folder)?;
        File::create(&lock)
    };
    Ok((
        folder.join(format!("{name}.json")),
        open().map_err(BackendError::io(format!("cannot lock {}", lock.display())))?,
    ))
}

/// What is written down, where its disks are all there.
fn known(store: &Store, record: &Path) -> Option<Layer> {
    let layer: Layer = serde_json::from_slice(&std::fs::read(record).ok()?).ok()?;
    let there = |LayerId(disk): &LayerId| store.object(disk).is_ok_and(|object| object.is_some());
    layer.chain.iter().all(there).then_some(layer)
}

/// Removes what belongs to this one machine.
pub(crate) async fn clean(link: &mut Link, cx: &Cx) -> Result<(), BackendError> {
    match run(link, CLEAN, Duration::from_secs(300), cx).await? {
        Exit::Code(0) => Ok(()),
        how @ (Exit::Code(_) | Exit::Signal(_)) => {
            Err(BackendError::StepFailed { what: "cleaning the guest for shipping".to_owned(), how: how.to_string() })
        }
    }
}

/// Ends a guest by its own means and waits until it is gone.
pub(crate) async fn power_off(link: &mut Link, cx: &Cx) -> Result<(), BackendError> {
    let script = "systemctl poweroff 2>/dev/null || poweroff 2>/dev/null || shutdown -h now || halt -p";
    // The agent goes with the guest: that the connection ends is what was asked for.
    if let Err(BackendError::Interrupted) = run(link, script, Duration::from_secs(60), cx).await {
        return Err(BackendError::Interrupted);
    }
    tokio::select! {
        ended = link.qemu.kept.wait(SHUTDOWN) => match ended {
            Some(status) if status.success() => Ok(()),
            Some(_) => Err(crate::process::gone(&link.dir)),
            None => Err(BackendError::TimedOut { what: "the guest's shutdown".to_owned(), after: SHUTDOWN }),
        },
        () = link.qemu.qmp.starved() => Err(crate::process::no_room(&link.dir)),
        () = cx.cancel.cancelled() => Err(BackendError::Interrupted),
    }
}

async fn run(link: &mut Link, script: &str, limit: Duration, cx: &Cx) -> Result<Exit, BackendError> {
    let program = Program::Script { interpreter: vec!["/bin/sh".to_owned()], text: script.to_owned() };
    let exec = Exec { timeout: Some(limit), ..by_root(program) };
    let output = |stream: Stream, bytes: &[u8]| {
        if let Some(node) = cx.node {
            cx.events.send(imgc_backend::Event::Output { node, stream, bytes: bytes.to_owned() });
        }
    };
    link.exec(&exec, &output, cx).await
}

/// Something that is no step, run by root.
pub(crate) fn by_root(program: Program) -> Exec {
    let (user, workdir) = ("root".to_owned(), "/".to_owned());
    Exec { program, env: BTreeMap::new(), user, workdir, network: true, timeout: Some(Duration::from_secs(60)) }
}

/// The images of a machine that was shut down, as a layer on the one it stood on.
pub(crate) async fn as_layer(store: &Arc<Store>, before: &Layer, chain: &[Image]) -> Result<Layer, BackendError> {
    let Some(top) = chain.last().cloned() else { return Ok(before.clone()) };
    let (store, before) = (Arc::clone(store), before.clone());
    let keep = move || {
        if let Some(LayerId(below)) = first_disk(&before, &Detail::of(&before)).last() {
            images::name_below(&top.path, below)?;
        }
        let object = store.insert_file(&top.path).map_err(errors::store)?;
        let mut layer = before;
        layer.chain.push(LayerId(object.digest));
        // The guest is gone: there is nothing to go on from, and nothing to say about it.
        layer.detail = Detail { memory: None, why: None, ..Detail::of(&layer) }.json();
        Ok(layer)
    };
    tokio::task::spawn_blocking(keep).await.map_err(errors::panicked)?
}
