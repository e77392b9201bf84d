//! One command on the server: its input, its output, its end.

use std::time::Duration;

use imgc_backend::{BackendError, Exit, Signal, Stream};
use russh::client::{Handle, Msg};
use russh::{Channel, ChannelMsg, Sig};
use tokio::time::Instant;

use crate::connect::Watch;

/// What a program left in the background may hold its output open for; the step has ended.
const AFTER_EXIT: Duration = Duration::from_secs(2);

/// A command under way.
pub(crate) struct Running {
    channel: Channel<Msg>,
    exit: Option<(Exit, Instant)>,
}

/// What a command gave.
pub(crate) enum Said {
    Output(Stream, Vec<u8>),
    Exit(Exit),
}

/// How a command ended, and what it said.
pub(crate) struct Finished {
    pub(crate) exit: Exit,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Finished {
    pub(crate) fn succeeded(&self) -> bool {
        self.exit == Exit::Code(0)
    }

    /// What it complained about, in one line.
    pub(crate) fn complaint(&self) -> String {
        let text = String::from_utf8_lossy(&self.stderr);
        text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim().to_owned()
    }
}

pub(crate) fn lost(why: &str) -> BackendError {
    BackendError::Disconnected {
        message: format!("the SSH connection ended: {why}"),
        help: Some("if the step restarts the machine, give it `disconnect = \"expected\"`".to_owned()),
    }
}

fn cut(error: &russh::Error) -> BackendError {
    lost(&error.to_string())
}

/// Opens a session.
pub(crate) async fn session(handle: &Handle<Watch>) -> Result<Channel<Msg>, BackendError> {
    if handle.is_closed() {
        return Err(lost("the server closed it"));
    }
    handle.channel_open_session().await.map_err(|error| {
        if let russh::Error::ChannelOpenFailure(_) = error {
            return BackendError::Program {
                message: format!("the SSH server opens no session: {error}"),
                help: Some("its `MaxSessions` has to allow at least two".to_owned()),
            };
        }
        cut(&error)
    })
}

/// Starts a command.
pub(crate) async fn start(handle: &Handle<Watch>, command: &str, terminal: bool) -> Result<Running, BackendError> {
    let channel = session(handle).await?;
    if terminal {
        channel.request_pty(false, "xterm", 120, 40, 0, 0, &[]).await.map_err(|error| cut(&error))?;
    }
    channel.exec(true, command).await.map_err(|error| cut(&error))?;
    Ok(Running { channel, exit: None })
}

impl Running {
    /// Gives the command its whole input.
    pub(crate) async fn input(&self, bytes: &[u8]) -> Result<(), BackendError> {
        self.channel.data(bytes).await.map_err(|error| cut(&error))
    }

    /// Says that the input is complete.
    pub(crate) async fn end_input(&self) -> Result<(), BackendError> {
        self.channel.eof().await.map_err(|error| cut(&error))
    }

    /// The next that comes; may be given up without losing anything.
    pub(crate) async fn next(&mut self) -> Result<Said, BackendError> {
        loop {
            let message = match self.exit {
                None => self.channel.wait().await,
                Some((exit, since)) => match tokio::time::timeout_at(since + AFTER_EXIT, self.channel.wait()).await {
                    Ok(message) => message,
                    Err(_) => return Ok(Said::Exit(exit)),
                },
            };
            match message {
                Some(ChannelMsg::Data { data }) => return Ok(Said::Output(Stream::Stdout, data.to_vec())),
                Some(ChannelMsg::ExtendedData { data, .. }) => return Ok(Said::Output(Stream::Stderr, data.to_vec())),
                Some(ChannelMsg::ExitStatus { exit_status }) => {
                    self.exit = Some((Exit::Code(exit_status.cast_signed()), Instant::now()));
                }
                Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                    self.exit = Some((Exit::Signal(number(&signal_name)), Instant::now()));
                }
                Some(ChannelMsg::Failure) => return Err(refused_command()),
                Some(ChannelMsg::Close) | None => {
                    return self.exit.map(|(exit, _)| Said::Exit(exit)).ok_or_else(|| lost("it was cut"));
                }
                Some(_) => {}
            }
        }
    }

    /// Its end, with everything it said.
    pub(crate) async fn finish(mut self) -> Result<Finished, BackendError> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        loop {
            match self.next().await? {
                Said::Output(Stream::Stdout, bytes) => stdout.extend_from_slice(&bytes),
                Said::Output(_, bytes) => stderr.extend_from_slice(&bytes),
                Said::Exit(exit) => return Ok(Finished { exit, stdout, stderr }),
            }
        }
    }

    /// The next bytes of its standard output; none at its end.
    pub(crate) async fn output(&mut self) -> Result<Option<Vec<u8>>, BackendError> {
        loop {
            match self.next().await? {
                Said::Output(Stream::Stdout, bytes) => return Ok(Some(bytes)),
                Said::Output(..) => {}
                Said::Exit(_) => return Ok(None),
            }
        }
    }

    /// Lets go of the command, whatever it does.
    pub(crate) async fn close(self) {
        let _ = self.channel.close().await;
    }
}

fn refused_command() -> BackendError {
    BackendError::Program {
        message: "the SSH server runs no commands for this user".to_owned(),
        help: Some("the user needs a shell, and no `ForceCommand` or `restrict` in its way".to_owned()),
    }
}

/// Runs a command with input to its end.
pub(crate) async fn run(handle: &Handle<Watch>, command: &str, input: &[u8]) -> Result<Finished, BackendError> {
    let running = start(handle, command, false).await?;
    // A command that does not read its input may end before it has come; how it ended says more then.
    let fed = running.input(input).await;
    let ended = running.end_input().await;
    let finished = running.finish().await?;
    if finished.succeeded() { fed.and(ended).map(|()| finished) } else { Ok(finished) }
}

fn number(signal: &Sig) -> Signal {
    Signal(match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        Sig::Custom(_) => 0,
    })
}
