//! What imgc and its keeper say to each other: frames of a length and JSON over one socket.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// No frame is longer: a script of 16 MiB (the language's limit) and its escapes fit.
const LONGEST: u32 = 64 << 20;

/// From imgc to the keeper.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// First of all: what to remove when imgc dies.
    Guard {
        /// To be unmounted first.
        mount: Option<PathBuf>,
        /// Directories.
        scratch: Vec<PathBuf>,
        /// What gives programs a network of the machine's own, where there is such a tool.
        translator: Option<crate::translator::Tool>,
    },
    /// Run a program to its end; answered by one [`Reply`].
    Run(Box<Run>),
    /// Ask the running program and all it started to end.
    Terminate,
    /// End it.
    Kill,
    /// End, and leave the scratch directories to imgc.
    Leave,
}

/// A program and the world it sees.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Its root.
    pub(crate) root: Root,
    /// Its network.
    pub(crate) network: Network,
    /// The program with its arguments; [`SCRIPT`] stands for the script's file.
    pub(crate) argv: Vec<String>,
    /// Files that only this program finds.
    pub(crate) lent: Vec<Lent>,
    /// Written to [`SCRIPT`].
    pub(crate) script: Option<String>,
    /// The whole environment but for what follows from the user (`HOME`, `USER`, `LOGNAME`).
    pub(crate) env: Vec<(String, String)>,
    /// A name or number of the root's own `/etc/passwd`, with `:group` if wished.
    pub(crate) user: String,
    /// Absolute in the root.
    pub(crate) workdir: String,
    /// Where it reads from and writes to.
    pub(crate) streams: Streams,
}

/// A file in a program's fresh `/run`, readable by one user.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lent {
    /// Absolute, below `/run`.
    pub(crate) path: String,
    /// All it holds: a secret.
    pub(crate) text: String,
    /// Permission bits.
    pub(crate) mode: u32,
    /// As [`Run::user`].
    pub(crate) owner: String,
}

impl std::fmt::Debug for Lent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lent({})", self.path)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.text);
    }
}

/// The standard streams of a program.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Streams {
    /// Nothing to read; output goes to the keeper's pipes.
    Output,
    /// It reads from this path on the host, a pipe.
    Input(PathBuf),
    /// All three are this terminal, which becomes its own.
    Terminal(PathBuf),
}

/// What a program sees as `/`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Root {
    /// The host's own tree, for host tools such as mmdebstrap.
    Host {
        /// An overlay that is laid over a directory of it.
        mount: Option<(Overlay, PathBuf)>,
    },
    /// A machine's tree.
    Overlay {
        /// What to mount.
        overlay: Overlay,
        /// Where; an empty directory.
        at: PathBuf,
        /// Files laid over those of the tree: from the host, to this path in the tree.
        over: Vec<(PathBuf, String)>,
        /// Files put in [`OURS`], by name.
        ours: Vec<(PathBuf, String)>,
    },
}

/// An overlay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Overlay {
    /// From the top down; at least one.
    pub(crate) lowers: Vec<PathBuf>,
    /// Where changes land.
    pub(crate) upper: PathBuf,
    /// Empty, on the same file system.
    pub(crate) work: PathBuf,
    /// Links to the lowers, for kernels that take no long list.
    pub(crate) links: PathBuf,
}

/// What network a program gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Network {
    /// A loopback of its own and nothing else.
    None,
    /// The host's.
    Host,
    /// The machine's own, behind a translator that the keeper starts when it is first needed.
    Own,
}

/// A fresh directory in every program's `/run` for what is ours; never in a layer.
pub(crate) const OURS: &str = "/run/imgc";

/// Where the script stands.
pub(crate) const SCRIPT: &str = "/run/imgc/script";

/// From the keeper to imgc.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The program ended by itself.
    Code(i32),
    /// The program was ended by a signal.
    Signal(i32),
    /// The program was never run.
    Failed(Failure),
}

/// Why a program was never run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Failure {
    /// The program asks for something the tree does not have.
    Missing {
        /// One sentence.
        message: String,
        /// What to do.
        help: Option<String>,
    },
    /// A system call of ours failed.
    System {
        /// What was tried.
        doing: String,
        /// The error number.
        errno: i32,
    },
}

impl Failure {
    /// Whether it is the machine's network that could not be made.
    pub(crate) fn is_of_translator(&self) -> bool {
        matches!(self, Self::System { doing, .. } if doing.starts_with(crate::translator::STARTING))
    }

    /// For `map_err`: what was being done.
    pub(crate) fn system<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        let doing = doing.into();
        move |error| Self::System { doing, errno: error.into().raw_os_error().unwrap_or(libc::EIO) }
    }
}

/// One frame.
pub(crate) fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).ok().filter(|n| *n <= LONGEST).ok_or(io::ErrorKind::FileTooLarge)?;
    let mut frame = length.to_le_bytes().to_vec();
    frame.extend(json);
    Ok(frame)
}

/// The message in a frame's body.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    Ok(serde_json::from_slice(body)?)
}

/// The length of a frame's body.
pub(crate) fn body_length(head: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_le_bytes(head);
    if length > LONGEST { Err(io::ErrorKind::InvalidData.into()) } else { Ok(length as usize) }
}

/// Writes one frame.
pub(crate) fn send<T: Serialize>(to: &mut impl Write, message: &T) -> io::Result<()> {
    to.write_all(&encode(message)?)
}

/// Reads one frame; none at the end of the stream.
pub(crate) fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut head = [0; 4];
    match from.read_exact(&mut head) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut body = vec![0; body_length(head)?];
    from.read_exact(&mut body)?;
    decode(&body).map(Some)
}
