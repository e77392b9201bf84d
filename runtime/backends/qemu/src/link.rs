//! The link to a guest: the agent on its virtio-serial port, brought there by SSH.
//!
//! A guest that booted is reached by SSH, given the agent in its `/run`, and served by it from then on: the port needs no
//! network and survives being saved and taken up. A guest that was taken up has the agent running already.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use imgc_backend::{BackendError, Channel, Cx, Exec, Exit, Output, Placement};
use imgc_guest::agent::{Client, PORT};
use imgc_guest_ssh::HostKeys;
use imgc_plan::Platform;
use tokio::net::UnixStream;

use crate::command::file;
use crate::process::{Qemu, gone};
use crate::record::Login;
use crate::ssh;

/// How long a running agent may take to answer. Emulation on a busy host takes seconds for what takes none.
const ANSWER: Duration = Duration::from_secs(60);
/// How long file systems may stay frozen before the agent thaws them by itself.
const FROZEN: Duration = Duration::from_secs(120);

/// A guest and the way to it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) qemu: Qemu,
    pub(crate) dir: PathBuf,
    login: Login,
    platform: Platform,
    port: Option<u16>,
    /// What is known of the guest's host keys: the first is pinned.
    keys: HostKeys,
    client: Option<Client<UnixStream>>,
}

impl Link {
    pub(crate) fn new(qemu: Qemu, dir: PathBuf, login: Login, platform: Platform) -> Self {
        Self { qemu, dir, login, platform, port: None, keys: HostKeys::default(), client: None }
    }

    /// The port of this host that leads to the guest's SSH server.
    pub(crate) fn port(&self) -> Option<u16> {
        self.port
    }

    /// Waits for a guest that boots, and brings it the agent.
    pub(crate) async fn after_boot(&mut self, cx: &Cx) -> Result<(), BackendError> {
        self.client = None;
        self.look_up_port().await?;
        let port = self.port.ok_or_else(|| BackendError::Internal { message: "the guest has no port".to_owned() })?;
        let bring = ssh::bring_agent(&self.login, &self.platform, &self.keys, port, cx);
        tokio::select! {
            brought = bring => brought?,
            _ = self.qemu.kept.finished() => return Err(gone(&self.dir)),
        }
        self.greet(cx).await
    }

    /// Takes up the agent of a guest that was saved with it, and tells it what changed since.
    pub(crate) async fn after_resume(&mut self, cx: &Cx) -> Result<(), BackendError> {
        self.greet(cx).await?;
        let client = self.client()?;
        client.thaw(cx).await?;
        client.clock(SystemTime::now(), cx).await?;
        client.reseed(cx).await
    }

    async fn greet(&mut self, cx: &Cx) -> Result<(), BackendError> {
        let stream = self.qemu.connect(file::AGENT).await?;
        self.client = Some(Client::over(stream, ANSWER, cx).await?);
        Ok(())
    }

    pub(crate) async fn look_up_port(&mut self) -> Result<(), BackendError> {
        self.port = self.qemu.forwarded_port().await?;
        Ok(())
    }

    /// Has the guest write out and hold what its file systems have. Afterwards its disks are whole.
    pub(crate) async fn freeze(&mut self, cx: &Cx) -> Result<(), BackendError> {
        let client = self.client()?;
        client.sync(cx).await?;
        client.freeze(FROZEN, cx).await.map(drop)
    }

    /// Lets the guest's file systems go on.
    pub(crate) async fn thaw(&mut self, cx: &Cx) -> Result<(), BackendError> {
        self.client()?.thaw(cx).await
    }

    fn client(&mut self) -> Result<&mut Client<UnixStream>, BackendError> {
        self.client.as_mut().ok_or_else(no_agent)
    }
}

fn no_agent() -> BackendError {
    BackendError::Disconnected { message: format!("the guest has no agent at {PORT}"), help: None }
}

#[async_trait::async_trait]
impl Channel for Link {
    async fn exec(&mut self, exec: &Exec, output: Output<'_>, cx: &Cx) -> Result<Exit, BackendError> {
        let client = self.client.as_mut().ok_or_else(no_agent)?;
        tokio::select! {
            exit = client.exec(exec, output, cx) => exit,
            _ = self.qemu.kept.finished() => Err(gone(&self.dir)),
        }
    }

    async fn put(&mut self, placement: &Placement, cx: &Cx) -> Result<(), BackendError> {
        let client = self.client.as_mut().ok_or_else(no_agent)?;
        tokio::select! {
            put = client.put(placement, cx) => put,
            _ = self.qemu.kept.finished() => Err(gone(&self.dir)),
        }
    }

    async fn reconnect(&mut self, within: Duration, cx: &Cx) -> Result<(), BackendError> {
        // Since nobody knows when the guest went, the old agent may answer still for a moment: whoever restarts it waits
        // for that.
        tokio::time::timeout(within, self.after_boot(cx)).await.map_err(|_| BackendError::Disconnected {
            message: format!("the guest did not come back within {}s", within.as_secs()),
            help: None,
        })?
    }
}
