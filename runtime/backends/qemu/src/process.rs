//! A QEMU that runs: its keeper, its directory and its monitor.
//!
//! It knows how to start one, save it and take one up; nothing of layers, guests' systems and steps.

use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use imgc_backend::{BackendError, Cx};
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::command::{Image, file, node};
use crate::keeper::{Kept, LOG};
use crate::qmp::{Qmp, QmpError};
use crate::{errors, host};

/// How long QEMU may take until its monitor answers.
const START: Duration = Duration::from_secs(30);
/// How long saving or loading a guest may take.
const SAVE: Duration = Duration::from_secs(300);

/// How a guest is written out, and has to be read in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Saving {
    /// Its RAM is in a file of its own and stays there.
    pub(crate) ram_elsewhere: bool,
    /// What memory is saved goes to fixed places of the file, and what was never written to takes none
    /// (`mapped-ram`); else everything is a stream.
    pub(crate) mapped: bool,
}

impl Saving {
    /// Where a saved guest is, as QEMU is told it: in its own directory.
    fn target(self, cat: &str) -> String {
        if self.mapped { format!("file:{}", file::STATE) } else { format!("exec:{cat}{}", file::STATE) }
    }
}

/// A running QEMU. When this value goes, QEMU does.
#[derive(Debug)]
pub(crate) struct Qemu {
    pub(crate) kept: Kept,
    pub(crate) qmp: Qmp,
    dir: PathBuf,
    /// Whether it was told last to write memory to fixed places.
    mapped: bool,
}

impl Qemu {
    /// Starts one in `dir`; it stands still until [`Qemu::go`].
    pub(crate) async fn start(argv: Vec<String>, dir: &Path, cx: &Cx) -> Result<Self, BackendError> {
        Self::start_beside(argv, None, dir, cx).await
    }

    /// Starts one, and before it a program that it needs.
    pub(crate) async fn start_beside(
        argv: Vec<String>,
        beside: Option<(Vec<String>, String)>,
        dir: &Path,
        cx: &Cx,
    ) -> Result<Self, BackendError> {
        let mut kept = Kept::start_beside(argv, beside, dir)?;
        let until = tokio::time::Instant::now() + START;
        loop {
            if let Ok(stream) = connect(dir, file::QMP).await
                && let Ok(qmp) = Qmp::over(stream).await
            {
                return Ok(Self { kept, qmp, dir: dir.to_owned(), mapped: false });
            }
            if kept.ended().is_some() {
                return Err(not_started(dir));
            }
            if tokio::time::Instant::now() > until {
                kept.kill().await;
                return Err(not_started(dir));
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
                () = cx.cancel.cancelled() => {
                    kept.kill().await;
                    return Err(BackendError::Interrupted);
                }
            }
        }
    }

    /// Waits until nothing can go on in the guest, and says why: QEMU has ended, or the host has no room for what the guest
    /// writes. May be given up at any time.
    pub(crate) async fn broken(&mut self) -> BackendError {
        tokio::select! {
            _ = self.kept.finished() => gone(&self.dir),
            () = self.qmp.starved() => no_room(&self.dir),
        }
    }

    /// Lets the guest run.
    pub(crate) async fn go(&mut self) -> Result<(), BackendError> {
        self.run("cont", json!({})).await.map(drop)
    }

    /// Stops the guest's processors.
    pub(crate) async fn stop(&mut self) -> Result<(), BackendError> {
        self.run("stop", json!({})).await.map(drop)
    }

    /// Runs a command of the monitor.
    pub(crate) async fn run(&mut self, command: &str, arguments: Value) -> Result<Value, BackendError> {
        let ran = self.qmp.run(command, arguments).await;
        ran.map_err(|error| self.explain(&error))
    }

    /// Has the guest write to a new image from now on; the one it wrote to so far becomes its backing.
    pub(crate) async fn next_image(&mut self, below: &str, name: &str, image: &Image) -> Result<(), BackendError> {
        self.run("blockdev-add", node(name, image, None, false)).await?;
        self.run("blockdev-snapshot", json!({"node": below, "overlay": name})).await.map(drop)
    }

    /// Writes what the guest's devices (and RAM that is not shared) hold to [`file::STATE`]. It must stand still.
    pub(crate) async fn save(&mut self, saving: Saving) -> Result<(), BackendError> {
        self.abilities(saving).await?;
        self.run("migrate-set-parameters", json!({"max-bandwidth": 1_u64 << 40})).await?;
        self.run("migrate", json!({"uri": saving.target("cat >")})).await?;
        self.migrated("save").await
    }

    /// Takes up what [`Qemu::save`] wrote; QEMU was started to wait for it.
    pub(crate) async fn load(&mut self, saving: Saving) -> Result<(), BackendError> {
        self.abilities(saving).await?;
        self.run("migrate-incoming", json!({"uri": saving.target("cat ")})).await?;
        self.migrated("resume").await
    }

    async fn abilities(&mut self, saving: Saving) -> Result<(), BackendError> {
        // Both are said each time: what was set for loading stays set, and changes the form of what is saved.
        let ability = |name: &str, state: bool| json!({"capability": name, "state": state});
        let mut wanted = vec![ability("x-ignore-shared", saving.ram_elsewhere || !saving.mapped)];
        if saving.mapped || self.mapped {
            // A QEMU that does not know it refuses its name.
            wanted.push(ability("mapped-ram", saving.mapped));
        }
        self.mapped = saving.mapped;
        self.run("migrate-set-capabilities", json!({ "capabilities": wanted })).await.map(drop)
    }

    async fn migrated(&mut self, doing: &str) -> Result<(), BackendError> {
        let until = tokio::time::Instant::now() + SAVE;
        let mut pause = Duration::from_millis(1);
        loop {
            let answer = self.run("query-migrate", json!({})).await?;
            match answer.get("status").and_then(Value::as_str) {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => {
                    let why = answer.get("error-desc").and_then(Value::as_str).unwrap_or("no reason given");
                    let message = format!("QEMU could not {doing} the guest: {why}{}", last_words(&self.dir));
                    return Err(BackendError::Environment { message, help: None });
                }
                Some(_) | None => {}
            }
            if tokio::time::Instant::now() > until {
                let message = format!("QEMU did not {doing} the guest within {}s", SAVE.as_secs());
                return Err(BackendError::Environment { message, help: None });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// The port of this host that leads to the guest's.
    pub(crate) async fn forwarded_port(&mut self) -> Result<Option<u16>, BackendError> {
        let said = self.qmp.human("info usernet").await.map_err(|error| self.explain(&error))?;
        Ok(forwarded(&said))
    }

    /// How often the guest has written to its disks; what the firmware keeps is not among them.
    pub(crate) async fn written(&mut self) -> Result<u64, BackendError> {
        Ok(writes(&self.run("query-blockstats", json!({})).await?))
    }

    /// Writes what is on the guest's screen as a PPM file, the form that every QEMU knows.
    pub(crate) async fn screenshot(&mut self, to: &Path) -> Result<(), BackendError> {
        let arguments = json!({"filename": to.display().to_string()});
        self.run("screendump", arguments).await.map(drop)
    }

    /// Where a VNC viewer finds the screen, where that is an address.
    pub(crate) async fn screen(&mut self) -> Option<String> {
        let said = self.run("query-vnc", json!({})).await.ok()?;
        let field = |name: &str| said.get(name).and_then(Value::as_str);
        let (host, service) = (field("host")?, field("service")?);
        (field("family")? != "unix").then(|| format!("{host}:{service}"))
    }

    /// A connection to one of the machine's sockets.
    pub(crate) async fn connect(&self, socket: &str) -> Result<UnixStream, BackendError> {
        let doing = format!("cannot reach the guest by {}", self.dir.join(socket).display());
        connect(&self.dir, socket).await.map_err(BackendError::io(doing))
    }

    fn explain(&mut self, error: &QmpError) -> BackendError {
        match error {
            QmpError::Closed => gone(&self.dir),
            QmpError::Refused { .. } | QmpError::Silent { .. } | QmpError::Malformed(_) => errors::qmp(error),
        }
    }
}

/// Connects to a socket in a directory whose own path may be too long for the name of a socket.
pub(crate) async fn connect(dir: &Path, socket: &str) -> std::io::Result<UnixStream> {
    let handle = std::fs::File::open(dir)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{socket}", handle.as_raw_fd())).await
}

/// The port in what `info usernet` says: `TCP[HOST_FORWARD]  14  127.0.0.1 34959  10.0.2.15  22  0  0`.
fn forwarded(said: &str) -> Option<u16> {
    let line = said.lines().find(|line| line.contains("HOST_FORWARD"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

fn not_started(dir: &Path) -> BackendError {
    let said = last_words(dir);
    // imgc's own ports are chosen by the kernel.
    let taken = said.contains("Address already in use") || said.contains("Could not set up host forwarding");
    let help = if taken {
        "another program has a port that `qemu_args` names: choose another one, or leave it to QEMU"
    } else {
        "`imgc doctor` tells what this machine lacks"
    };
    BackendError::Environment { message: format!("QEMU did not start{said}"), help: Some(help.to_owned()) }
}

fn writes(stats: &Value) -> u64 {
    let is_disk = |disk: &&Value| {
        let name = disk.get("device").and_then(Value::as_str).unwrap_or_default();
        !name.starts_with("pflash")
    };
    let of = |disk: &Value| disk.get("stats")?.get("wr_operations")?.as_u64();
    stats.as_array().into_iter().flatten().filter(is_disk).filter_map(of).sum()
}

/// QEMU ended while it was needed.
pub(crate) fn gone(dir: &Path) -> BackendError {
    BackendError::Environment {
        message: format!("QEMU was killed or crashed while the guest ran{}", last_words(dir)),
        help: Some("was the host out of memory? Run the same command again: what was built stays cached".to_owned()),
    }
}

/// QEMU stopped the guest: what that writes has no room.
pub(crate) fn no_room(dir: &Path) -> BackendError {
    BackendError::Environment {
        message: format!(
            "the host's disk is full: QEMU stopped the guest, as there is no room for what it writes in {}",
            host::Room::of(dir)
        ),
        help: Some(
            "make room there (`imgc cache gc` removes what was not used for longest), then run the same command again: it \
             goes on from the last layer"
                .to_owned(),
        ),
    }
}

/// The last line that QEMU itself said.
fn last_words(dir: &Path) -> String {
    let text = std::fs::read_to_string(dir.join(LOG)).unwrap_or_default();
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(|line| format!(": {line}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forwarded_port_is_read() {
        let said = "Hub -1 (net0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n  \
                    TCP[HOST_FORWARD]  14       127.0.0.1 34959       10.0.2.15    22     0     0\r\n";
        assert_eq!(forwarded(said), Some(34959));
        assert_eq!(forwarded("nothing"), None);
    }

    #[test]
    fn writes_to_disks_are_counted_and_not_those_of_the_firmware() {
        let disk = |device: &str, count: u64| json!({"device": device, "qdev": "/machine/peripheral/disk0/virtio-backend", "stats": {"wr_operations": count, "rd_operations": 9}});
        assert_eq!(writes(&json!([disk("pflash0", 5), disk("", 3), disk("pflash1", 7), disk("", 4)])), 7);
        assert_eq!(writes(&json!([])), 0);
    }
}
