//! The link to a guest: the agent on its virtio-serial port, brought there by SSH.
//!
//! A guest that booted is reached by SSH, given the agent in its `/run`, and served by it from then on: the port needs no
//! network and survives being saved and taken up. A guest that was taken up has the agent running already.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use imgc_backend::{BackendError, Channel, Console, Cx, Event, Exec, Exit, Output, Placement, Stream};
use imgc_guest::agent::{Client, PORT};
use imgc_guest_ssh::HostKeys;
use imgc_plan::Platform;
use tokio::net::UnixStream;

use crate::command::file;
use crate::failure::{self, Keeping, Moment, Silent, Tail};
use crate::process::Qemu;
use crate::ssh::{self, Access};

/// How long a running agent may take to answer. Emulation on a busy host takes seconds for what takes none.
const ANSWER: Duration = Duration::from_secs(60);
/// What share of its time a guest may say nothing while it starts before it is taken to have hung. On emulated processors
/// it does, once in many starts: the firmware, or the kernel in its first read of a disk. What made it hang may be there
/// still, so it is reset again, each time after twice as long: a slow host is not the guest's fault.
const SILENT: u64 = 8;
/// But not less than this: a busy host is no fault of the guest.
const SILENCE: Duration = Duration::from_secs(60);
/// How long file systems may stay frozen before the agent thaws them by itself.
const FROZEN: Duration = Duration::from_secs(120);

/// A guest and the way to it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) qemu: Qemu,
    pub(crate) dir: PathBuf,
    access: Access,
    platform: Platform,
    /// Where what is left of a failure goes.
    keeping: Keeping,
    /// What the step at hand has shown so far.
    moment: Moment,
    port: Option<u16>,
    /// What is known of the guest's host keys: the first is pinned.
    keys: HostKeys,
    client: Option<Client<UnixStream>>,
    /// Whether the guest has booted, and what it did then was not looked at yet.
    pub(crate) just_booted: bool,
    /// Whether its system ran since QEMU was started.
    was_up: bool,
}

impl Link {
    pub(crate) fn new(qemu: Qemu, dir: PathBuf, access: Access, platform: Platform, keeping: Keeping) -> Self {
        let (keys, moment) = (HostKeys::default(), Moment::default());
        let (port, client, just_booted, was_up) = (None, None, false, false);
        Self { qemu, dir, access, platform, keeping, moment, port, keys, client, just_booted, was_up }
    }

    /// The port of this host that leads to the guest's SSH server.
    pub(crate) fn port(&self) -> Option<u16> {
        self.port
    }

    /// How one gets into the guest.
    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// Waits for a guest that boots, and brings it the agent.
    pub(crate) async fn after_boot(&mut self, cx: &Cx) -> Result<(), BackendError> {
        self.client = None;
        self.look_up_port().await?;
        let waited = self.access.login.timeout / 1000;
        self.moment = Moment { waited: Some(waited), from: self.moment.from, output: String::new() };
        let port = self.port.ok_or_else(|| BackendError::Program {
            message: "the machine has no network card by which its SSH server could be reached".to_owned(),
            help: Some("leave a card in `nics`".to_owned()),
        })?;
        self.agent(port, waited, cx).await?;
        self.greet(cx).await?;
        self.moment.waited = None;
        self.just_booted = true;
        Ok(())
    }

    /// Waits until the guest can be reached, and starts the agent in it.
    async fn agent(&mut self, port: u16, waited: u64, cx: &Cx) -> Result<(), BackendError> {
        let bring = ssh::bring_agent(&self.access, &self.platform, &self.keys, port, cx);
        tokio::pin!(bring);
        let mut silence = SILENCE.max(Duration::from_secs(waited / SILENT));
        // What the guest had said and written when it was silent for half of that time.
        let mut before = None;
        loop {
            let silent = tokio::select! {
                brought = &mut bring => return brought,
                broken = self.qemu.broken() => return Err(broken),
                () = failure::stopped(&self.dir, self.moment.from) => return Err(halted()),
                silent = failure::hung(&self.dir, silence / 2) => silent,
            };
            // A system that runs without a word to this console writes to its disks while it starts.
            let now = (failure::console_size(&self.dir), self.qemu.written().await?);
            let stands = before.replace(now) == Some(now);
            let hung = stands && (silent != Silent::Unheard || !self.was_up);
            if hung {
                // Its file systems are closed, or not open yet: nothing can be lost.
                silence *= 2;
                before = None;
                let text = "the guest hung while it started, and was reset".to_owned();
                cx.events.send(Event::Note { text });
                self.qemu.run("system_reset", serde_json::json!({})).await?;
            }
        }
    }

    /// Takes up the agent of a guest that was saved with it, and tells it what changed since.
    pub(crate) async fn after_resume(&mut self, cx: &Cx) -> Result<(), BackendError> {
        self.greet(cx).await?;
        let client = self.client.as_mut().ok_or_else(no_agent)?;
        let told = async {
            client.thaw(cx).await?;
            client.clock(SystemTime::now(), cx).await?;
            client.reseed(cx).await
        };
        tokio::select! {
            told = told => told,
            broken = self.qemu.broken() => Err(broken),
        }
    }

    async fn greet(&mut self, cx: &Cx) -> Result<(), BackendError> {
        let stream = self.qemu.connect(file::AGENT).await?;
        self.client = Some(Client::over(stream, ANSWER, cx).await?);
        self.was_up = true;
        Ok(())
    }

    pub(crate) async fn look_up_port(&mut self) -> Result<(), BackendError> {
        self.port = self.qemu.forwarded_port().await?;
        Ok(())
    }

    /// Has the guest write out and hold what its file systems have. Afterwards its disks are whole.
    pub(crate) async fn freeze(&mut self, cx: &Cx) -> Result<(), BackendError> {
        let client = self.client.as_mut().ok_or_else(no_agent)?;
        let frozen = async {
            client.sync(cx).await?;
            client.freeze(FROZEN, cx).await.map(drop)
        };
        tokio::select! {
            frozen = frozen => frozen,
            broken = self.qemu.broken() => Err(broken),
        }
    }

    /// Lets the guest's file systems go on.
    pub(crate) async fn thaw(&mut self, cx: &Cx) -> Result<(), BackendError> {
        let client = self.client.as_mut().ok_or_else(no_agent)?;
        tokio::select! {
            thawed = client.thaw(cx) => thawed,
            broken = self.qemu.broken() => Err(broken),
        }
    }
}

fn no_agent() -> BackendError {
    BackendError::Disconnected { message: format!("the guest has no agent at {PORT}"), help: None }
}

/// The console said that nothing goes on; what it was is found there again.
fn halted() -> BackendError {
    BackendError::Disconnected { message: "the guest stopped".to_owned(), help: None }
}

impl Link {
    /// How long the guest may take to start.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_millis(self.access.login.timeout)
    }

    /// Asks the guest something that is no step.
    pub(crate) async fn ask(&mut self, exec: &Exec, output: Output<'_>, cx: &Cx) -> Result<Exit, BackendError> {
        let client = self.client.as_mut().ok_or_else(no_agent)?;
        let exit = tokio::select! {
            exit = client.exec(exec, output, cx) => exit,
            broken = self.qemu.broken() => Err(broken),
            () = failure::stopped(&self.dir, self.moment.from) => Err(halted()),
        };
        self.forget_lost(exit)
    }

    /// Reads a file of the guest; its size.
    pub(crate) async fn get(
        &mut self,
        path: &str,
        to: &mut (dyn tokio::io::AsyncWrite + Unpin + Send),
        cx: &Cx,
    ) -> Result<u64, BackendError> {
        let client = self.client.as_mut().ok_or_else(no_agent)?;
        let got = tokio::select! {
            got = client.get(path, to, cx) => got,
            broken = self.qemu.broken() => Err(broken),
            () = failure::stopped(&self.dir, self.moment.from) => Err(halted()),
        };
        self.forget_lost(got)
    }

    /// A client that lost its agent, or was given up in the midst of something, is of no more use.
    fn forget_lost<T>(&mut self, result: Result<T, BackendError>) -> Result<T, BackendError> {
        if matches!(result, Err(BackendError::Disconnected { .. } | BackendError::Environment { .. })) {
            self.client = None;
        }
        result
    }

    fn begin(&mut self) {
        self.moment = Moment { from: failure::console_size(&self.dir), ..Moment::default() };
    }
}

#[async_trait::async_trait]
impl Channel for Link {
    async fn exec(&mut self, exec: &Exec, output: Output<'_>, cx: &Cx) -> Result<Exit, BackendError> {
        self.begin();
        let tail = Tail::default();
        let both = |stream: Stream, bytes: &[u8]| {
            tail.add(bytes);
            output(stream, bytes);
        };
        let exit = self.ask(exec, &both, cx).await;
        self.moment.output = tail.text();
        exit
    }

    async fn attach(&mut self, exec: &Exec, console: Console<'_>, cx: &Cx) -> Result<Exit, BackendError> {
        self.begin();
        let client = self.client.as_mut().ok_or_else(no_agent)?;
        let exit = tokio::select! {
            exit = client.attach(exec, console, cx) => exit,
            broken = self.qemu.broken() => Err(broken),
        };
        self.forget_lost(exit)
    }

    async fn put(&mut self, placement: &Placement, cx: &Cx) -> Result<(), BackendError> {
        self.begin();
        let client = self.client.as_mut().ok_or_else(no_agent)?;
        let put = tokio::select! {
            put = client.put(placement, cx) => put,
            broken = self.qemu.broken() => Err(broken),
            () = failure::stopped(&self.dir, self.moment.from) => Err(halted()),
        };
        self.forget_lost(put)
    }

    async fn explain(&mut self, error: BackendError, cx: &Cx) -> BackendError {
        let (keeping, moment) = (self.keeping.clone(), std::mem::take(&mut self.moment));
        failure::explained(self, &keeping, &moment, error, cx).await
    }

    async fn reconnect(&mut self, within: Duration, cx: &Cx) -> Result<(), BackendError> {
        // Whoever restarts a guest knows when it went; an old agent may answer still for a moment.
        self.moment.from = failure::console_size(&self.dir);
        let back = tokio::time::timeout(within, self.after_boot(cx)).await;
        back.map_err(|_| BackendError::Disconnected {
            message: format!("the guest did not come back within {}s", within.as_secs()),
            help: None,
        })?
    }
}
