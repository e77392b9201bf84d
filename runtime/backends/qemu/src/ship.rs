//! Getting a guest's disk ready to leave: cleaned, shut down, without anything that the build brought along.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use imgc_backend::{BackendError, Channel as _, Cx, Exec, Exit, Layer, LayerId, Program, Stream};
use imgc_store::Store;

use crate::command::Image;
use crate::detail::Detail;
use crate::further::first_disk;
use crate::link::Link;
use crate::{errors, images};

/// How long a guest may take to shut down.
const SHUTDOWN: Duration = Duration::from_secs(300);

/// What every machine has of its own is not shipped: it makes host keys, a machine id and a seed of randomness when it
/// first starts. The agent is in `/run` and goes with it. Blocks that hold nothing are given back.
const CLEAN: &str = r"
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
if [ -e /etc/machine-id ]; then : >/etc/machine-id; fi
rm -f /var/lib/systemd/random-seed /var/lib/dbus/machine-id /var/lib/systemd/credential.secret
rm -rf /var/lib/cloud/instances /var/lib/cloud/instance
sync
fstrim -a 2>/dev/null || fstrim / 2>/dev/null || true
";

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
        () = cx.cancel.cancelled() => Err(BackendError::Interrupted),
    }
}

async fn run(link: &mut Link, script: &str, limit: Duration, cx: &Cx) -> Result<Exit, BackendError> {
    let interpreter = vec!["/bin/sh".to_owned()];
    let exec = Exec {
        program: Program::Script { interpreter, text: script.to_owned() },
        env: BTreeMap::new(),
        user: "root".to_owned(),
        workdir: "/".to_owned(),
        network: true,
        timeout: Some(limit),
    };
    let output = |stream: Stream, bytes: &[u8]| {
        if let Some(node) = cx.node {
            cx.events.send(imgc_backend::Event::Output { node, stream, bytes: bytes.to_owned() });
        }
    };
    link.exec(&exec, &output, cx).await
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
        Ok(layer)
    };
    tokio::task::spawn_blocking(keep).await.map_err(errors::panicked)?
}
