//! Parking: a guest that lives on without imgc, and is entered again by `imgc shell`.

use std::time::Duration;

use imgc_backend::journal::{Intended, Lasting};
use imgc_backend::{
    BackendError, Channel, Close, Closed, Cx, Effect, Keep, Layer, Machine as Live, MachineSpec, Recovered,
};
use imgc_guest::agent::Client;
use imgc_guest_ssh::HostKeys;
use imgc_plan::Fingerprint;
use imgc_store::{Scratch, Store};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::UnixStream;

use crate::backend::NAME;
use crate::command::file;
use crate::link::Link;
use crate::qmp::Qmp;
use crate::record::Machine;
use crate::{process, seed, ssh};

/// How long the agent of a guest that was kept may take to answer: it may have ended with what failed.
const ANSWER: Duration = Duration::from_secs(30);
/// How long its SSH server may take after that, in milliseconds.
const LOGIN: u64 = 20_000;

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

impl Parked {
    fn of(effect: &Effect) -> Option<Self> {
        serde_json::from_value(effect.detail.clone()).ok()
    }

    /// Whether the guest still runs: its keeper does, and the number of that process belongs to nobody else by now.
    fn lives(&self) -> bool {
        let ours = std::fs::read(format!("/proc/{}/cmdline", self.keeper)).unwrap_or_default();
        String::from_utf8_lossy(&ours).contains(&self.dir.display().to_string())
    }

    /// Whether nobody in the guest has the agent's port open: what is not there need not be waited for.
    async fn lacks_agent(&self) -> bool {
        let Ok(stream) = process::connect(&self.dir, file::QMP).await else { return false };
        let Ok(mut qmp) = Qmp::over(stream).await else { return false };
        let ports = qmp.run("query-chardev", json!({})).await.unwrap_or_default();
        let mut ports = ports.as_array().into_iter().flatten();
        ports.any(|port| port["label"] == "agent" && port["frontend-open"] == false)
    }

    async fn client(&self, cx: &Cx) -> Result<Client<UnixStream>, BackendError> {
        let stream = process::connect(&self.dir, file::AGENT).await;
        let stream = stream.map_err(BackendError::io(format!("cannot reach {}", self.agent.display())))?;
        Client::over(stream, ANSWER, cx).await
    }
}

/// Enters a guest that was parked: by its agent, or where that does not answer by SSH, which brings the agent again. None
/// where the effect is no such guest.
pub(crate) async fn enter(
    store: &Store,
    effect: &Effect,
    spec: &MachineSpec,
    cx: &Cx,
) -> Result<Option<Box<dyn Live>>, BackendError> {
    let Some(parked) = Parked::of(effect) else { return Ok(None) };
    if !parked.lives() {
        return Err(BackendError::Environment {
            message: "the guest that was kept has ended".to_owned(),
            help: Some("build it again with --on-error keep".to_owned()),
        });
    }
    let answered = if parked.lacks_agent().await { None } else { Some(parked.client(cx).await) };
    let client = match answered {
        Some(Ok(client)) => client,
        Some(Err(BackendError::Interrupted)) => return Err(BackendError::Interrupted),
        Some(Err(_)) | None => {
            cx.note("the guest's agent does not answer, so it is brought again by SSH");
            let brought = bring_agent(store, &parked, spec, cx).await;
            brought.map_err(|error| unreachable(&parked, &error))?;
            parked.client(cx).await?
        }
    };
    Ok(Some(Box::new(Entered(client))))
}

async fn bring_agent(store: &Store, parked: &Parked, spec: &MachineSpec, cx: &Cx) -> Result<(), BackendError> {
    let port = parked.port.ok_or_else(|| BackendError::Disconnected {
        message: "no port of this host leads to the guest".to_owned(),
        help: None,
    })?;
    let (mut access, _) = seed::access(&Machine::read(&spec.machine)?, store)?;
    access.login.timeout = access.login.timeout.min(LOGIN);
    ssh::bring_agent(&access, &spec.platform, &HostKeys::default(), port, cx).await
}

/// Nobody in the guest answers; a person can still look at it.
fn unreachable(parked: &Parked, error: &BackendError) -> BackendError {
    if matches!(error, BackendError::Interrupted) {
        return BackendError::Interrupted;
    }
    BackendError::Environment {
        message: format!("the guest that was kept answers neither by its agent nor by SSH: {error}"),
        help: Some(format!("it still runs: {}", told(parked, None).trim_start_matches("the guest lives on: "))),
    }
}

/// A guest that somebody else started: it is talked to, and left as it is.
#[derive(Debug)]
struct Entered(Client<UnixStream>);

#[async_trait::async_trait]
impl Live for Entered {
    async fn channel(&mut self, _cx: &Cx) -> Result<&mut dyn Channel, BackendError> {
        Ok(&mut self.0)
    }

    async fn commit(&mut self, _step: &Fingerprint, _keep: Keep, _cx: &Cx) -> Result<Layer, BackendError> {
        Err(BackendError::Internal { message: "nothing is built on a guest that was kept".to_owned() })
    }

    async fn close(self: Box<Self>, _how: Close, _cx: &Cx) -> Result<Closed, BackendError> {
        Ok(Closed::Gone)
    }
}

/// Ends a parked guest of a dead run.
pub(crate) async fn recover(effect: &Effect) -> Result<Recovered, BackendError> {
    let Some(parked) = Parked::of(effect) else { return Ok(Recovered::Gone) };
    if !parked.lives() {
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
