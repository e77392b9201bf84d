//! imgc's side of a keeper: starts it, has it run programs, passes their output on.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use imgc_backend::{BackendError, Cx, Output, Stream};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

use crate::protocol::{Reply, Request, Run, body_length, decode, encode};
use crate::step_init;
use crate::translator::Tool;

/// How long a program has to end after it was asked to.
const GRACE: Duration = Duration::from_secs(10);

/// A keeper. When this value goes, however, the keeper ends with all it runs.
#[derive(Debug)]
pub(crate) struct Keeper {
    child: Child,
    control: UnixStream,
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
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
    pub(crate) async fn start(guarded: Guarded) -> Result<Self, BackendError> {
        let mut keeper =
            Self::spawn().map_err(BackendError::io("cannot start the keeper of a machine (`imgc step-init`)"))?;
        let Guarded { mount, scratch, translator } = guarded;
        keeper.send(&Request::Guard { mount, scratch, translator }).await?;
        Ok(keeper)
    }

    fn spawn() -> io::Result<Self> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let (stdout, stdout_write) = io::pipe()?;
        let (stderr, stderr_write) = io::pipe()?;
        let child = Command::new("/proc/self/exe")
            .arg(step_init::ARGUMENT)
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
        Ok(Self { child, control: UnixStream::from_std(ours)?, stdout: receiver(stdout)?, stderr: receiver(stderr)? })
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
                _ = self.stdout.readable() => pass_on(&self.stdout, Stream::Stdout, output),
                _ = self.stderr.readable() => pass_on(&self.stderr, Stream::Stderr, output),
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
        pass_on(&self.stdout, Stream::Stdout, output);
        pass_on(&self.stderr, Stream::Stderr, output);
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
        let _ = self.child.wait().await;
    }
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

fn pass_on(pipe: &pipe::Receiver, stream: Stream, output: Output<'_>) {
    let mut chunk = vec![0; 1 << 16];
    while let Ok(n @ 1..) = pipe.try_read(&mut chunk) {
        output(stream, chunk.get(..n).unwrap_or_default());
    }
}

fn gone() -> BackendError {
    BackendError::Environment {
        message: "the keeper of the machine (`imgc step-init`) was killed".to_owned(),
        help: Some("was it out of memory? Run the same command again: what was built stays cached".to_owned()),
    }
}
