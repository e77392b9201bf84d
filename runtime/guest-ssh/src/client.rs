//! The client: a connection that can be made anew, and what is known of the server's user.

use std::time::Duration;

use imgc_backend::{BackendError, Channel, Cx, Exec, Exit, Output, Placement};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use crate::connect::{Connection, NotConnected, open};
use crate::login::{Endpoint, HostKeys, Login};
use crate::remote::{self, Finished};
use crate::shell::quote;

/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(300);

/// A channel over SSH.
pub struct Client {
    pub(crate) connection: Connection,
    pub(crate) user: User,
    login: Login,
    endpoint: Endpoint,
    keys: HostKeys,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.login.user, self.endpoint)
    }
}

/// Who the login is in the guest.
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// Connects once.
///
/// # Errors
/// [`BackendError::Disconnected`] where nobody answers, [`BackendError::Program`] where the login is refused or the
/// host key is not the one that was seen before.
pub async fn connect(login: &Login, endpoint: &Endpoint, keys: &HostKeys, cx: &Cx) -> Result<Client, BackendError> {
    tokio::select! {
        () = cx.cancel.cancelled() => Err(BackendError::Interrupted),
        connected = once(login, endpoint, keys) => connected.map_err(|why| why.into_error(endpoint)),
    }
}

/// Connects as soon as the server is up, at most for `within`. What no waiting mends ends it at once.
///
/// # Errors
/// As [`connect()`] has them.
pub async fn connect_within(
    login: &Login,
    endpoint: &Endpoint,
    keys: &HostKeys,
    within: Duration,
    cx: &Cx,
) -> Result<Client, BackendError> {
    let until = Instant::now() + within;
    loop {
        let tried = tokio::select! {
            () = cx.cancel.cancelled() => return Err(BackendError::Interrupted),
            tried = tokio::time::timeout_at(until, once(login, endpoint, keys)) => tried,
        };
        let why = match tried {
            Ok(Ok(client)) => return Ok(client),
            Ok(Err(NotConnected::Unreachable(why))) => why,
            Ok(Err(refused @ NotConnected::Refused(_))) => return Err(refused.into_error(endpoint)),
            Err(_) => "it does not answer".to_owned(),
        };
        if Instant::now() + PAUSE >= until {
            let why = format!("{why} (tried for {} s)", within.as_secs());
            return Err(NotConnected::Unreachable(why).into_error(endpoint));
        }
        tokio::select! {
            () = cx.cancel.cancelled() => return Err(BackendError::Interrupted),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

async fn once(login: &Login, endpoint: &Endpoint, keys: &HostKeys) -> Result<Client, NotConnected> {
    let connection = open(login, endpoint, keys).await?;
    let said = remote::run(&connection.handle, "id -u && id -un", &[]).await;
    let said = said.map_err(|error| {
        // A server that is going down still lets in whom it throws out at once.
        if let BackendError::Disconnected { message, .. } = error {
            NotConnected::Unreachable(message)
        } else {
            NotConnected::Refused(error)
        }
    })?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let mut lines = text.lines();
    match (said.succeeded(), lines.next(), lines.next()) {
        (true, Some(uid), Some(name)) => {
            let user = User { name: name.trim().to_owned(), uid: uid.trim().to_owned() };
            Ok(Client { connection, user, login: login.clone(), endpoint: endpoint.clone(), keys: keys.clone() })
        }
        _ => Err(NotConnected::Refused(BackendError::Program {
            message: format!("the user `{}` at {endpoint} cannot run commands: {}", login.user, said.complaint()),
            help: Some("the user needs a shell that takes POSIX commands".to_owned()),
        })),
    }
}

impl Client {
    /// Whether the connection has ended.
    pub fn is_lost(&self) -> bool {
        self.connection.handle.is_closed()
    }

    /// Runs the agent in the guest, in memory and detached, to serve the virtio-serial port `port`.
    ///
    /// # Errors
    /// The login cannot become root, or the guest has no such port.
    pub async fn start_agent(&mut self, agent: &[u8], port: &str, cx: &Cx) -> Result<(), BackendError> {
        // Debian mounts `/run` so that nothing there can be executed; hence a file system of our own.
        let script = format!(
            "set -e\nd=/run/imgc\nmkdir -p $d\n\
             grep -q \" $d \" /proc/mounts || mount -t tmpfs -o mode=0711,size=32m,nosuid,nodev imgc $d\n\
             cat \"${{0%/*}}/agent\" >$d/agent.new\nrm -rf \"${{0%/*}}\"\nchmod 0700 $d/agent.new\n\
             mv -f $d/agent.new $d/agent\nexec $d/agent $d {}\n",
            quote(port),
        );
        let started = async {
            let stage = self.stage("/dev/shm").await?;
            self.upload(&format!("{stage}/agent"), agent).await?;
            self.upload(&format!("{stage}/run"), script.as_bytes()).await?;
            self.run_as_root(&stage).await
        };
        let finished = tokio::select! {
            () = cx.cancel.cancelled() => return Err(BackendError::Interrupted),
            finished = started => finished?,
        };
        if finished.succeeded() {
            return Ok(());
        }
        Err(BackendError::Program {
            message: format!("cannot start the agent in the guest: {}", finished.complaint()),
            help: None,
        })
    }

    /// Reads a file of the guest; its size.
    ///
    /// # Errors
    /// [`BackendError::Program`] where there is no such file.
    pub async fn get(
        &mut self,
        path: &str,
        to: &mut (dyn AsyncWrite + Unpin + Send),
        cx: &Cx,
    ) -> Result<u64, BackendError> {
        let word = quote(path);
        let command = self.as_root(&format!("/bin/sh -c {}", quote(&format!("test -f {word} && exec cat {word}"))));
        let mut running = remote::start(&self.connection.handle, &command, false).await?;
        let keeping = || BackendError::io(format!("cannot keep {path} of the guest"));
        let mut size = 0;
        loop {
            let said = tokio::select! {
                () = cx.cancel.cancelled() => Err(BackendError::Interrupted),
                said = running.next() => said,
            };
            match said? {
                remote::Said::Output(imgc_backend::Stream::Stdout, bytes) => {
                    size += bytes.len() as u64;
                    to.write_all(&bytes).await.map_err(keeping())?;
                }
                remote::Said::Output(..) => {}
                remote::Said::Exit(Exit::Code(0)) => break,
                remote::Said::Exit(_) => {
                    let message = format!("the guest has no file {path}, or `{}` may not read it", self.user.name);
                    return Err(BackendError::Program { message, help: None });
                }
            }
        }
        to.flush().await.map_err(keeping())?;
        Ok(size)
    }

    /// Makes a directory of our own in the guest, in memory or, for what is large, on the disk.
    pub(crate) async fn stage(&self, below: &str) -> Result<String, BackendError> {
        let command =
            format!("umask 077; mktemp -d {below}/imgc.XXXXXXXXXX 2>/dev/null || mktemp -d /tmp/imgc.XXXXXXXXXX");
        let finished = remote::run(&self.connection.handle, &command, &[]).await?;
        let path = String::from_utf8_lossy(&finished.stdout).trim().to_owned();
        // It will stand in commands.
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
        if finished.succeeded() && path.starts_with('/') && path.bytes().all(sound) {
            return Ok(path);
        }
        Err(BackendError::Program {
            message: format!("cannot make a directory in the guest: {}", finished.complaint()),
            help: Some(format!("`{}` has to be able to write to /tmp, and its disk must not be full", self.user.name)),
        })
    }

    /// Writes a file of the stage.
    pub(crate) async fn upload(&self, path: &str, bytes: &[u8]) -> Result<(), BackendError> {
        let finished = remote::run(&self.connection.handle, &format!("cat >{path}"), bytes).await?;
        if finished.succeeded() {
            return Ok(());
        }
        let complaint = finished.complaint();
        Err(BackendError::Program {
            message: format!("cannot write {path} in the guest: {complaint}"),
            help: full_disk(&complaint),
        })
    }

    /// Runs the file `run` of a stage as root.
    pub(crate) async fn run_as_root(&self, stage: &str) -> Result<Finished, BackendError> {
        let command = self.as_root(&format!("/bin/sh {stage}/run"));
        let terminal = self.login.terminal && !self.is_root();
        let finished = remote::start(&self.connection.handle, &command, terminal).await?.finish().await?;
        let said = finished.complaint();
        let refused = said.contains("sudo:");
        if finished.succeeded() || self.is_root() || !refused {
            return Ok(finished);
        }
        Err(self.not_root(&said))
    }

    pub(crate) fn not_root(&self, said: &str) -> BackendError {
        BackendError::Program {
            message: format!("the guest's user `{}` cannot become root: {said}", self.user.name),
            help: Some("log in as root, or let the user use sudo without a password".to_owned()),
        }
    }

    pub(crate) fn is_root(&self) -> bool {
        self.user.uid == "0"
    }

    /// A command, run as root.
    pub(crate) fn as_root(&self, command: &str) -> String {
        if self.is_root() { command.to_owned() } else { format!("sudo -n {command}") }
    }

    pub(crate) fn wants_terminal(&self) -> bool {
        self.login.terminal
    }
}

/// What to do where a program of the guest complains about its disk.
pub(crate) fn full_disk(complaint: &str) -> Option<String> {
    let help = || "give the machine a larger disk, or remove what the steps before leave behind".to_owned();
    complaint.contains("No space left").then(help)
}

#[async_trait::async_trait]
impl Channel for Client {
    async fn exec(&mut self, exec: &Exec, output: Output<'_>, cx: &Cx) -> Result<Exit, BackendError> {
        self.run_step(exec, output, cx).await
    }

    async fn put(&mut self, placement: &Placement, cx: &Cx) -> Result<(), BackendError> {
        self.put_all(placement, cx).await
    }

    async fn reconnect(&mut self, within: Duration, cx: &Cx) -> Result<(), BackendError> {
        *self = connect_within(&self.login, &self.endpoint, &self.keys, within, cx).await?;
        Ok(())
    }
}
