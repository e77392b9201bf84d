//! The keeper of a QEMU: a small process between imgc and it, which ends it when imgc is gone, however that went.
//!
//! imgc holds the only writing end of a pipe. End of file there means that it is gone: the keeper kills QEMU and
//! removes the machine's directory. `KILL` has it killed and its directory left to imgc; `PARK` lets QEMU live on
//! without imgc, for `imgc shell`.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use imgc_backend::BackendError;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde::{Deserialize, Serialize};

/// The first argument of the process that is a keeper.
pub const ARGUMENT: &str = "qemu-keeper";

/// Tells the keeper to let its program live on.
const PARK: u8 = b'P';

/// Tells the keeper to end its program and to leave the directory alone.
const KILL: u8 = b'K';

/// How long a program beside another may take until it listens.
const READY: Duration = Duration::from_secs(20);

/// What QEMU itself has to say, in the machine's directory.
pub(crate) const LOG: &str = "qemu.log";

/// What a keeper has to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Charge {
    /// The program and its arguments.
    argv: Vec<String>,
    /// A program that it needs beside it, which listens on the socket named last, in the directory.
    #[serde(default)]
    beside: Option<(Vec<String>, String)>,
    /// Where it runs, and what is removed when imgc is gone.
    dir: PathBuf,
}

/// imgc's side: when this value goes, the program does.
#[derive(Debug)]
pub(crate) struct Kept {
    keeper: tokio::process::Child,
    pipe: Option<io::PipeWriter>,
}

impl Kept {
    /// Starts a program in a directory.
    pub(crate) fn start(argv: Vec<String>, dir: &Path) -> Result<Self, BackendError> {
        Self::start_beside(argv, None, dir)
    }

    /// Starts a program in a directory, and before it another one that it needs: a command line, and the socket on which
    /// that one listens when it is ready. It ends with the first.
    pub(crate) fn start_beside(
        argv: Vec<String>,
        beside: Option<(Vec<String>, String)>,
        dir: &Path,
    ) -> Result<Self, BackendError> {
        let charge = Charge { argv, beside, dir: dir.to_owned() };
        let spawn = || {
            let (reader, writer) = io::pipe()?;
            let keeper = tokio::process::Command::new("/proc/self/exe")
                .arg(ARGUMENT)
                .arg(serde_json::to_string(&charge)?)
                .stdin(Stdio::from(OwnedFd::from(reader)))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .process_group(0)
                .spawn()?;
            io::Result::Ok(Self { keeper, pipe: Some(writer) })
        };
        spawn().map_err(BackendError::io("cannot start the keeper of a machine (`imgc qemu-keeper`)"))
    }

    /// Whether the program has ended by itself, and how.
    pub(crate) fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.keeper.try_wait().ok().flatten()
    }

    /// Waits until the program has ended by itself.
    pub(crate) async fn wait(&mut self, limit: Duration) -> Option<std::process::ExitStatus> {
        tokio::time::timeout(limit, self.keeper.wait()).await.ok()?.ok()
    }

    /// Waits until the program has ended by itself, however long that takes.
    pub(crate) async fn finished(&mut self) -> Option<std::process::ExitStatus> {
        self.keeper.wait().await.ok()
    }

    /// Ends the program, whatever it does. Its directory stays.
    pub(crate) async fn kill(&mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            // The keeper ends by itself where its program has.
            let _ = pipe.write_all(&[KILL]);
        }
        let _ = self.keeper.wait().await;
    }

    /// Lets the program live on; its keeper removes the directory when it ends. Returns the keeper's process id.
    pub(crate) fn park(mut self) -> io::Result<Option<u32>> {
        if let Some(mut pipe) = self.pipe.take() {
            pipe.write_all(&[PARK])?;
        }
        Ok(self.keeper.id())
    }
}

/// The keeper's side: the whole program of a process that [`ARGUMENT`] names.
pub fn main() -> ExitCode {
    let charge = std::env::args().nth(2).and_then(|text| serde_json::from_str::<Charge>(&text).ok());
    let Some(charge) = charge else { return ExitCode::from(2) };
    match keep(&charge) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let said = std::fs::read_to_string(charge.dir.join(LOG)).unwrap_or_default();
            let _ = std::fs::write(charge.dir.join(LOG), format!("{said}{error}\n"));
            ExitCode::from(127)
        }
    }
}

/// How a program ended, as shells say it: 128 and the signal's number where it was one.
fn code(status: std::process::ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.signal().map_or_else(|| status.code().unwrap_or(1), |signal| 128 + signal);
    u8::try_from(code).unwrap_or(1)
}

/// Starts a program that says what it has to say to the log.
fn spawn(argv: &[String], dir: &Path, log: &File) -> io::Result<Child> {
    let (program, arguments) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(dir).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
    crate::sys::die_with_parent(&mut command);
    command.spawn().map_err(|error| io::Error::other(format!("cannot start {program}: {error}")))
}

/// A program beside another: it ends when this value goes.
struct Beside(Child);

impl Beside {
    /// Starts it, and waits until it listens.
    fn start((argv, socket): &(Vec<String>, String), dir: &Path, log: &File) -> io::Result<Self> {
        let mut beside = Self(spawn(argv, dir, log)?);
        let until = std::time::Instant::now() + READY;
        while !dir.join(socket).exists() {
            let name = argv.first().map_or("", String::as_str);
            if let Some(status) = beside.0.try_wait()? {
                return Err(io::Error::other(format!("{name} ended with {status}")));
            }
            if std::time::Instant::now() > until {
                return Err(io::Error::other(format!("{name} was not ready within {} s", READY.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(beside)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn keep(charge: &Charge) -> io::Result<u8> {
    let log = File::create(charge.dir.join(LOG))?;
    let _beside = charge.beside.as_ref().map(|beside| Beside::start(beside, &charge.dir, &log)).transpose()?;
    let mut child = spawn(&charge.argv, &charge.dir, &log)?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
    let watched = pidfd_open(pid, PidfdFlags::empty())?;
    let mut alone = false;
    loop {
        let stdin = rustix::stdio::stdin();
        let mut both = [PollFd::new(&watched, PollFlags::IN), PollFd::new(&stdin, PollFlags::IN)];
        let parts = if alone { 1 } else { 2 };
        match poll(both.get_mut(..parts).unwrap_or_default(), None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let [of_child, of_owner] = both.map(|fd| !fd.revents().is_empty());
        if of_child {
            let status = child.wait()?;
            if alone {
                std::fs::remove_dir_all(&charge.dir)?;
            }
            return Ok(code(status));
        }
        if of_owner && !alone {
            let mut byte = [0];
            match rustix::io::read(stdin, &mut byte) {
                Ok(1) if byte == [PARK] => alone = true,
                read => {
                    let _ = kill_process(pid, Signal::KILL);
                    child.wait()?;
                    if !(read == Ok(1) && byte == [KILL]) {
                        let _ = std::fs::remove_dir_all(&charge.dir);
                    }
                    return Ok(0);
                }
            }
        }
    }
}
