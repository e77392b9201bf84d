//! Parking: a guest that lives on without imgc, for `imgc shell`.

use std::time::Duration;

use imgc_backend::journal::{Intended, Lasting};
use imgc_backend::{BackendError, Cx, Effect, Recovered};
use imgc_store::Scratch;
use serde::{Deserialize, Serialize};

use crate::backend::NAME;
use crate::command::file;
use crate::link::Link;

/// What a parked guest is found by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// The process that keeps it; ending that ends the guest.
    pub keeper: u32,
    /// The machine's directory.
    pub dir: std::path::PathBuf,
    /// The port of this host that leads to its SSH server.
    pub port: Option<u16>,
    /// The socket of its serial console.
    pub console: std::path::PathBuf,
    /// Where a VNC viewer finds its screen: a socket, or an address of this host.
    pub screen: String,
    /// The socket of its agent.
    pub agent: std::path::PathBuf,
}

/// Lets a guest live on, and says how it is reached; the name of the effect in the journal.
pub(crate) async fn park(mut link: Link, scratch: Scratch, cx: &Cx) -> Result<String, BackendError> {
    let tags = std::collections::BTreeMap::new();
    let intent = cx.journal.intend(Intended { backend: NAME, kind: "guest", lasting: Lasting::Boot, tags })?;
    let token = intent.token().to_owned();
    let (dir, port) = (link.dir.clone(), link.port());
    let screen = link.qemu.screen().await.unwrap_or_else(|| dir.join(file::VNC).display().to_string());
    let ssh = port.map(|port| link.access().command(port, &cx.package));
    let keeper = link.qemu.kept.park().map_err(BackendError::io("cannot park the guest"))?.unwrap_or_default();
    let parked = Parked { keeper, port, console: dir.join(file::CONSOLE), screen, agent: dir.join(file::AGENT), dir };
    let told = told(&parked, ssh.as_deref());
    let detail = serde_json::to_value(&parked).unwrap_or_default();
    // What is dropped stays in the journal: the next run, or `imgc clean`, ends the guest.
    drop(intent.created(detail)?);
    // Its keeper removes the directory when the guest ends.
    std::mem::forget(scratch);
    cx.note(told);
    Ok(token)
}

/// The ways to a guest that was kept, for a person.
fn told(parked: &Parked, ssh: Option<&str>) -> String {
    let ssh = ssh.map(|ssh| format!("`{ssh}`, ")).unwrap_or_default();
    format!(
        "the guest lives on: {ssh}serial console `socat -,raw,echo=0 UNIX-CONNECT:{}`, screen (VNC) {}; `imgc clean` ends it",
        parked.console.display(),
        parked.screen
    )
}

/// Ends a parked guest of a dead run.
pub(crate) async fn recover(effect: &Effect) -> Result<Recovered, BackendError> {
    let Ok(parked) = serde_json::from_value::<Parked>(effect.detail.clone()) else { return Ok(Recovered::Gone) };
    let ours = std::fs::read(format!("/proc/{}/cmdline", parked.keeper)).unwrap_or_default();
    let dir = parked.dir.display().to_string();
    if !String::from_utf8_lossy(&ours).contains(&dir) {
        let _ = std::fs::remove_dir_all(&parked.dir);
        return Ok(Recovered::Gone);
    }
    if let Some(pid) = i32::try_from(parked.keeper).ok().and_then(rustix::process::Pid::from_raw) {
        // The guest goes with its keeper.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let _ = std::fs::remove_dir_all(&parked.dir);
    Ok(Recovered::Destroyed)
}
