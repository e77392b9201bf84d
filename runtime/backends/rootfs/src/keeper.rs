//! imgc's side of a keeper: starts it, has it run programs, passes their output on.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use imgc_backend::{BackendError, Created, Cx, Effect, Intended, Lasting, MARKER, Output, Recovered, Stream};
use imgc_store::Process;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

use crate::backend::NAME;
use crate::protocol::{Reply, Request, Run, body_length, decode, encode};
use crate::step_init;
use crate::translator::Tool;

/// How long a program has to end after it was asked to.
const GRACE: Duration = Duration::from_secs(10);

/// How long a keeper has to clean up after imgc died, before it is ended by who comes next.
const CLEANING: Duration = Duration::from_secs(10);

/// What journals call a keeper.
const KIND: &str = "keeper";

/// A keeper. When this value goes, however, the keeper ends with all it runs.
#[derive(Debug)]
pub(crate) struct Keeper {
    child: Child,
    control: UnixStream,
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
    /// Its line in the journal; none where that could not be written to the end.
    journalled: Option<Created>,
}

/// What the keeper has to look after.
#[derive(Debug, Clone)]
pub(crate) struct Guarded {
    /// To be unmounted before it is removed.
    pub(crate) mount: Option<PathBuf>,
    /// Directories that go when imgc is gone.
    pub(crate) scratch: Vec<PathBuf>,
    /// What gives programs a network of the machine's own.
    pub(crate) translator: Option<Tool>,
}

/// Why a program is being stopped.
enum Stopping {
    No,
    Timeout,
    Asked,
}

impl Keeper {
    /// Starts one.
    pub(crate) async fn start(guarded: Guarded, cx: &Cx) -> Result<Self, BackendError> {
        let tags = BTreeMap::new();
        let intended = Intended { backend: NAME, kind: KIND, lasting: Lasting::Boot, tags };
        let intent = cx.journal.intend(intended)?;
        let started = Self::spawn(cx.journal.run())
            .map_err(BackendError::io("cannot start the keeper of a machine (`imgc step-init`)"));
        let mut keeper = match started {
            Ok(keeper) => keeper,
            Err(error) => {
                intent.abandoned()?;
                return Err(error);
            }
        };
        // Without its line it would only not be waited for by the next run: it ends by itself.
        let process = keeper.child.id().and_then(Process::of);
        keeper.journalled = Some(intent.created(serde_json::to_value(process).unwrap_or_default())?);
        let Guarded { mount, scratch, translator } = guarded;
        keeper.send(&Request::Guard { mount, scratch, translator }).await?;
        Ok(keeper)
    }

    fn spawn(run: Option<&str>) -> io::Result<Self> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let (stdout, stdout_write) = io::pipe()?;
        let (stderr, stderr_write) = io::pipe()?;
        let child = Command::new("/proc/self/exe")
            .arg(step_init::ARGUMENT)
            .envs(run.map(|run| (MARKER, run)))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(stdout_write)
            .stderr(stderr_write)
            .process_group(0)
            .spawn()?;
        let receiver = |pipe: io::PipeReader| {
            let fd = OwnedFd::from(pipe);
            rustix::io::ioctl_fionbio(&fd, true)?;
            pipe::Receiver::from_owned_fd(fd)
        };
        let control = UnixStream::from_std(ours)?;
        Ok(Self { child, control, stdout: receiver(stdout)?, stderr: receiver(stderr)?, journalled: None })
    }

    async fn send(&mut self, request: &Request) -> Result<(), BackendError> {
        let frame = encode(request).map_err(BackendError::io("cannot write down what to run"))?;
        self.control.write_all(&frame).await.map_err(|_| gone())
    }

    /// Runs a program to its end, or to the timeout, or until `cx` is cancelled.
    pub(crate) async fn run(
        &mut self,
        run: Run,
        timeout: Option<Duration>,
        output: Output<'_>,
        cx: &Cx,
    ) -> Result<Reply, BackendError> {
        if cx.cancel.is_cancelled() {
            return Err(BackendError::Interrupted);
        }
        self.send(&Request::Run(Box::new(run))).await?;
        let mut stopping = Stopping::No;
        let mut frame = Vec::new();
        // A pipe that has ended is always readable: asked on, it would keep this thread from ever seeing that the
        // keeper, which holds the other ends, was killed.
        let mut open = (true, true);
        let alarm = tokio::time::sleep(timeout.unwrap_or(Duration::from_hours(24 * 365)));
        tokio::pin!(alarm);
        let reply = loop {
            tokio::select! {
                ready = self.control.readable() => {
                    ready.map_err(|_| gone())?;
                    if let Some(reply) = read_reply(&self.control, &mut frame)? {
                        break reply;
                    }
                }
                _ = self.stdout.readable(), if open.0 => open.0 = pass_on(&self.stdout, Stream::Stdout, output).await,
                _ = self.stderr.readable(), if open.1 => open.1 = pass_on(&self.stderr, Stream::Stderr, output).await,
                () = &mut alarm => {
                    if matches!(stopping, Stopping::No) {
                        stopping = Stopping::Timeout;
                    }
                    alarm.as_mut().reset(tokio::time::Instant::now() + GRACE);
                    self.send(&Request::Kill).await?;
                }
                () = cx.cancel.cancelled(), if matches!(stopping, Stopping::No) => {
                    stopping = Stopping::Asked;
                    alarm.as_mut().reset(tokio::time::Instant::now() + GRACE);
                    self.send(&Request::Terminate).await?;
                }
            }
        };
        // All writers are gone: what is in the pipes is all there will be.
        while pass_some(&self.stdout, Stream::Stdout, output) == Passed::Some {}
        while pass_some(&self.stderr, Stream::Stderr, output) == Passed::Some {}
        match stopping {
            Stopping::No => Ok(reply),
            Stopping::Timeout => {
                Err(BackendError::TimedOut { what: String::new(), after: timeout.unwrap_or_default() })
            }
            Stopping::Asked => Err(BackendError::Interrupted),
        }
    }

    /// Ends the keeper, leaving what it guards to the caller.
    pub(crate) async fn leave(mut self) {
        let _ = self.send(&Request::Leave).await;
        drop(self.control);
        if self.child.wait().await.is_ok()
            && let Some(journalled) = self.journalled
        {
            // Left open, the line costs the next run a look at a process that is gone.
            let _ = journalled.destroyed();
        }
    }
}

/// Waits for a keeper that a dead imgc left, which removes the machine's scratch and ends; ends it where it does not.
/// Blocks.
pub(crate) fn recover(effect: &Effect) -> Result<Recovered, BackendError> {
    let Ok(process) = serde_json::from_value::<Process>(effect.detail.clone()) else {
        // Intended and never seen: it had the end of its pipe at once.
        return Ok(Recovered::Gone);
    };
    if !process.is_alive() {
        return Ok(Recovered::Gone);
    }
    if process.wait(CLEANING) {
        return Ok(Recovered::Destroyed);
    }
    let failed = || BackendError::io(format!("cannot end the keeper of a dead run ({process})"));
    process.signal(rustix::process::Signal::KILL).map_err(failed())?;
    if process.wait(CLEANING) { Ok(Recovered::Destroyed) } else { Err(failed()(io::ErrorKind::TimedOut.into())) }
}

fn read_reply(control: &UnixStream, frame: &mut Vec<u8>) -> Result<Option<Reply>, BackendError> {
    let mut chunk = [0; 4096];
    loop {
        match control.try_read(&mut chunk) {
            Ok(0) => return Err(gone()),
            Ok(n) => frame.extend(chunk.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(_) => return Err(gone()),
        }
    }
    let Some((head, body)) = frame.split_first_chunk::<4>() else { return Ok(None) };
    let malformed = |_| BackendError::Internal { message: "the keeper's answer cannot be read".to_owned() };
    let length = body_length(*head).map_err(malformed)?;
    match body.get(..length) {
        Some(body) => decode(body).map(Some).map_err(malformed),
        None => Ok(None),
    }
}

/// What is left in a pipe after something was taken out.
#[derive(PartialEq, Eq)]
enum Passed {
    /// Maybe more.
    Some,
    /// Nothing for now.
    All,
    /// Nothing ever.
    Ended,
}

/// How much is passed on before others have their turn.
const TURN: usize = 16;

/// Passes on what there is, but no more than a turn's; whether the pipe is still open.
async fn pass_on(pipe: &pipe::Receiver, stream: Stream, output: Output<'_>) -> bool {
    for _ in 0..TURN {
        match pass_some(pipe, stream, output) {
            Passed::Some => {}
            Passed::All => return true,
            Passed::Ended => return false,
        }
    }
    // A program that writes without end must not keep timeouts and interrupts from being seen.
    tokio::task::yield_now().await;
    true
}

fn pass_some(pipe: &pipe::Receiver, stream: Stream, output: Output<'_>) -> Passed {
    let mut chunk = vec![0; 1 << 16];
    match pipe.try_read(&mut chunk) {
        Ok(n @ 1..) => {
            output(stream, chunk.get(..n).unwrap_or_default());
            Passed::Some
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Passed::All,
        Ok(_) | Err(_) => Passed::Ended,
    }
}

fn gone() -> BackendError {
    BackendError::Environment {
        message: "the keeper of the machine (`imgc step-init`) was killed".to_owned(),
        help: Some("was it out of memory? Run the same command again: what was built stays cached".to_owned()),
    }
}
