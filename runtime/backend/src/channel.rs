//! Channels: how a step reaches a machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use imgc_plan::Digest;

use crate::{BackendError, Console, Cx, Stream};

/// Receives output as it comes. A name of its own, since `async_trait` would tie the slice to the call's lifetime.
pub type Output<'a> = &'a (dyn Fn(Stream, &[u8]) + Send + Sync);

/// A way to run programs and put files in a live machine. One call at a time.
#[async_trait::async_trait]
pub trait Channel: Send {
    /// Runs a program to its end; output streams to `output` as it comes.
    ///
    /// When `cx.cancel` fires the program is stopped (terminate, 10 s, kill) with everything it started, and the
    /// result is [`BackendError::Interrupted`]. A timeout gives [`BackendError::TimedOut`] with `what` empty: the
    /// caller knows the step's name.
    async fn exec(&mut self, exec: &Exec, output: Output<'_>, cx: &Cx) -> Result<Exit, BackendError>;

    /// Runs a program that somebody talks to while it runs, without a timeout.
    ///
    /// When `cx.cancel` fires the program is stopped as by [`Channel::exec`].
    ///
    /// Channels that cannot say so.
    async fn attach(&mut self, exec: &Exec, console: Console<'_>, cx: &Cx) -> Result<Exit, BackendError> {
        let (_, _, _) = (exec, console, cx);
        Err(BackendError::Environment {
            message: "nobody can talk to a program in a machine that is reached in this way".to_owned(),
            help: None,
        })
    }

    /// Puts files in place, each given by path in the guest. Missing parent directories are made (root, 0755); links
    /// on the way are followed inside the guest only. Content is hashed as it is read and must have the digest that
    /// the placement names.
    async fn put(&mut self, placement: &Placement, cx: &Cx) -> Result<(), BackendError>;

    /// Takes files that every program finds from now on and that no layer, memory or parked machine ever holds, in place of
    /// those it took before; an empty list takes them away. They lie below `/run`.
    ///
    /// A machine that has no such place of its own says so by `false`: whoever asks puts them there and removes them.
    fn lend(&mut self, _files: &[PlacementItem]) -> bool {
        false
    }

    /// Says why a step failed, where more is known of the machine than the channel could tell: what its console says,
    /// how it ended. Called once a failed step.
    async fn explain(&mut self, error: BackendError, _cx: &Cx) -> BackendError {
        error
    }

    /// Waits until the machine answers again after it restarted or its connection was lost, at most for `within`.
    ///
    /// # Errors
    /// [`BackendError::Disconnected`] where it does not come back; [`BackendError::Program`] where the machine is one
    /// that cannot start again, which is the default.
    async fn reconnect(&mut self, _within: Duration, _cx: &Cx) -> Result<(), BackendError> {
        Err(BackendError::Program {
            message: "this machine has no boot of its own and cannot restart".to_owned(),
            help: Some("build the image on a backend with virtual machines, such as `qemu`".to_owned()),
        })
    }
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// The program.
    pub program: Program,
    /// On top of the image's environment.
    pub env: BTreeMap<String, String>,
    /// A name or number known in the guest.
    pub user: String,
    /// Absolute in the guest.
    pub workdir: String,
    /// Whether the program may reach the network; without, it has a loopback of its own.
    pub network: bool,
    /// Wall clock; none: no limit.
    pub timeout: Option<Duration>,
}

/// What a program is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// A script handed to `interpreter` as its last argument, as a file that is in no layer.
    Script {
        /// `["/bin/sh", "-e"]`.
        interpreter: Vec<String>,
        /// The text.
        text: String,
    },
    /// A program and its arguments.
    Argv(Vec<String>),
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(Signal),
}

/// The number of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(pub i32);

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(Signal(9)) => f.write_str("signal 9 (killed; was it out of memory?)"),
            Self::Signal(Signal(number)) => write!(f, "signal {number}"),
        }
    }
}

/// Files to put into a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// In an order in which parents stand before what is in them.
    pub items: Vec<PlacementItem>,
}

/// One file, directory or link to put in place; it replaces a file or link that is there, directories are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacementItem {
    /// Absolute in the guest.
    pub path: String,
    /// What to put there.
    pub kind: PlacementKind,
    /// Permission bits; ignored for links.
    pub mode: u32,
    /// Who owns it.
    pub owner: Owner,
}

/// Who owns a file that is put in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// A name or number, resolved by the guest's own `/etc/passwd`.
    pub user: String,
    /// A name or number, resolved by the guest's own `/etc/group`; none: the user's primary group.
    pub group: Option<String>,
}

/// What a [`PlacementItem`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlacementKind {
    /// A directory.
    Dir,
    /// A file with the content of a file on the host.
    HostFile {
        /// Absolute on the host.
        from: PathBuf,
        /// What its content must be.
        digest: Digest,
        /// In bytes.
        size: u64,
    },
    /// A file with this content.
    Bytes(Vec<u8>),
    /// A symbolic link.
    Symlink {
        /// The link's text.
        target: String,
    },
}
