//! Messages: what a frame's payload means. Every length is checked against what is there before anything is taken.

use super::frame::{Frame, MAX_PAYLOAD};

/// What the client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The first message. Whatever an earlier client left running is ended.
    Hello {
        /// Given back in the welcome: older answers can be told from it.
        nonce: u64,
        /// The client's [`super::VERSION`].
        version: u32,
    },
    /// Runs a program. Its script, if any, comes as input first.
    Run(Run),
    /// Input of a program, or content of a file.
    Input(Vec<u8>),
    /// The input is complete.
    InputEnd,
    /// A signal for a program and everything it started.
    Signal(i32),
    /// The terminal of a program has another size.
    Resize(Size),
    /// Puts a file, directory or link in place; content comes as input.
    Put(Put),
    /// Reads a file.
    Get {
        /// Absolute.
        path: String,
    },
    /// A transfer is given up; nothing of it stays.
    Abort,
    /// Sets the clock.
    Clock {
        /// Since 1970.
        nanoseconds: u64,
    },
    /// Mixes these bytes into the kernel's random numbers, and makes it use them at once.
    Reseed(Vec<u8>),
    /// Writes everything to the disks.
    Sync,
    /// Writes everything to the disks and lets nothing change on them, until `Thaw` or for so long.
    Freeze {
        /// Of the guest's time.
        limit_milliseconds: u32,
    },
    /// Lets file systems change again.
    Thaw,
    /// Asks for a sign of life.
    Ping,
}

/// A program to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// The program and its arguments; the script's path is added as the last.
    pub argv: Vec<String>,
    /// The length of the script, which comes as input before anything else.
    pub script: Option<u32>,
    /// On top of what a login of the user has.
    pub env: Vec<(String, String)>,
    /// A name or number.
    pub user: String,
    /// Absolute.
    pub workdir: String,
    /// Whether it sees the guest's network, or has a loopback of its own.
    pub network: bool,
    /// Whether it has a terminal; its output comes as one stream then.
    pub terminal: Option<Size>,
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Its width.
    pub columns: u16,
    /// Its height.
    pub rows: u16,
}

/// Something to put in place. Missing parents are made; a file replaces what is not a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// Absolute.
    pub path: String,
    /// What it is.
    pub kind: FileKind,
    /// Permission bits.
    pub mode: u32,
    /// A name or number.
    pub user: String,
    /// A name or number; none: the user's primary group.
    pub group: Option<String>,
}

/// What a [`Put`] puts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    /// A file; its content comes as input.
    File,
    /// A directory; one that exists is left as it is.
    Directory,
    /// A symbolic link to this.
    Link(String),
}

/// What the agent answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To `Hello`.
    Welcome {
        /// The client's.
        nonce: u64,
        /// The agent's [`super::VERSION`].
        version: u32,
        /// Differs after each start of the guest's kernel.
        boot_id: String,
    },
    /// Output of a program.
    Stdout(Vec<u8>),
    /// Output of a program.
    Stderr(Vec<u8>),
    /// So many bytes of input were passed on.
    Taken(u32),
    /// The program ended with this code; its stream is closed.
    Exited(i32),
    /// The program was ended by this signal; its stream is closed.
    Killed(i32),
    /// It is done; the stream is closed.
    Done,
    /// It is not done; the stream is closed.
    Failed {
        /// Whose fault it is.
        failure: Failure,
        /// What was tried on what, and why it failed.
        message: String,
    },
    /// To `Get`, before the content.
    Found {
        /// In bytes, when it was opened.
        size: u64,
        /// Permission bits.
        mode: u32,
    },
    /// Content of a file; `Done` follows the last.
    Data(Vec<u8>),
    /// To `Freeze`: where the file systems that stand still are mounted.
    Frozen(Vec<String>),
    /// To `Ping`.
    Pong,
    /// The guest is going down, and the agent with it.
    Bye,
}

/// Why something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// What was asked cannot be: no such user, a directory in the way.
    Asked,
    /// The guest's disk is full.
    Space,
    /// Anything else.
    Other,
}

impl Request {
    /// The request as a frame of a stream.
    pub fn frame(&self, stream: u32) -> Frame {
        let mut out = Writer::default();
        let kind = match self {
            Self::Hello { nonce, version } => of(1, out.long(*nonce).word(*version)),
            Self::Run(run) => of(2, out.run(run)),
            Self::Input(bytes) => of(3, out.raw(bytes)),
            Self::InputEnd => 4,
            Self::Signal(number) => of(5, out.word(number.cast_unsigned())),
            Self::Resize(size) => of(6, out.size(*size)),
            Self::Put(put) => of(7, out.put(put)),
            Self::Get { path } => of(8, out.text(path)),
            Self::Abort => 9,
            Self::Clock { nanoseconds } => of(10, out.long(*nanoseconds)),
            Self::Reseed(bytes) => of(11, out.raw(bytes)),
            Self::Sync => 12,
            Self::Freeze { limit_milliseconds } => of(13, out.word(*limit_milliseconds)),
            Self::Thaw => 14,
            Self::Ping => 15,
        };
        Frame { kind, stream, payload: out.0 }
    }

    /// Whether its frame holds all of it: arguments and variables together may be too long.
    pub fn fits(&self) -> bool {
        self.frame(0).payload.len() <= MAX_PAYLOAD
    }

    /// Reads a request; none where it is none, or of a newer version.
    pub fn parse(frame: &Frame) -> Option<Self> {
        let mut from = Reader(&frame.payload);
        let request = match frame.kind {
            1 => Self::Hello { nonce: from.long()?, version: from.word()? },
            2 => Self::Run(from.run()?),
            3 => return Some(Self::Input(frame.payload.clone())),
            4 => Self::InputEnd,
            5 => Self::Signal(from.word()?.cast_signed()),
            6 => Self::Resize(from.size()?),
            7 => Self::Put(from.put()?),
            8 => Self::Get { path: from.text()? },
            9 => Self::Abort,
            10 => Self::Clock { nanoseconds: from.long()? },
            11 => return Some(Self::Reseed(frame.payload.clone())),
            12 => Self::Sync,
            13 => Self::Freeze { limit_milliseconds: from.word()? },
            14 => Self::Thaw,
            15 => Self::Ping,
            _ => return None,
        };
        from.ended(request)
    }
}

impl Reply {
    /// The reply as a frame of a stream.
    pub fn frame(&self, stream: u32) -> Frame {
        let mut out = Writer::default();
        let kind = match self {
            Self::Welcome { nonce, version, boot_id } => of(65, out.long(*nonce).word(*version).text(boot_id)),
            Self::Stdout(bytes) => of(66, out.raw(bytes)),
            Self::Stderr(bytes) => of(67, out.raw(bytes)),
            Self::Taken(bytes) => of(68, out.word(*bytes)),
            Self::Exited(code) => of(69, out.word(code.cast_unsigned())),
            Self::Killed(signal) => of(70, out.word(signal.cast_unsigned())),
            Self::Done => 71,
            Self::Failed { failure, message } => {
                let failure = match failure {
                    Failure::Asked => 0,
                    Failure::Space => 1,
                    Failure::Other => 2,
                };
                of(72, out.byte(failure).text(message))
            }
            Self::Found { size, mode } => of(73, out.long(*size).word(*mode)),
            Self::Data(bytes) => of(74, out.raw(bytes)),
            Self::Frozen(mounts) => of(75, out.texts(mounts)),
            Self::Pong => 76,
            Self::Bye => 77,
        };
        Frame { kind, stream, payload: out.0 }
    }

    /// Reads a reply; none where it is none, or of a newer version.
    pub fn parse(frame: &Frame) -> Option<Self> {
        let mut from = Reader(&frame.payload);
        let reply = match frame.kind {
            65 => Self::Welcome { nonce: from.long()?, version: from.word()?, boot_id: from.text()? },
            66 => return Some(Self::Stdout(frame.payload.clone())),
            67 => return Some(Self::Stderr(frame.payload.clone())),
            68 => Self::Taken(from.word()?),
            69 => Self::Exited(from.word()?.cast_signed()),
            70 => Self::Killed(from.word()?.cast_signed()),
            71 => Self::Done,
            72 => {
                let failure = match from.byte()? {
                    0 => Failure::Asked,
                    1 => Failure::Space,
                    _ => Failure::Other,
                };
                Self::Failed { failure, message: from.text()? }
            }
            73 => Self::Found { size: from.long()?, mode: from.word()? },
            74 => return Some(Self::Data(frame.payload.clone())),
            75 => Self::Frozen(from.texts()?),
            76 => Self::Pong,
            77 => Self::Bye,
            _ => return None,
        };
        from.ended(reply)
    }
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.push(byte);
        self
    }

    fn short(&mut self, number: u16) -> &mut Self {
        self.raw(&number.to_le_bytes())
    }

    fn word(&mut self, number: u32) -> &mut Self {
        self.raw(&number.to_le_bytes())
    }

    fn long(&mut self, number: u64) -> &mut Self {
        self.raw(&number.to_le_bytes())
    }

    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn count(&mut self, count: usize) -> &mut Self {
        self.word(u32::try_from(count).unwrap_or(u32::MAX))
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.count(text.len()).raw(text.as_bytes())
    }

    fn texts(&mut self, texts: &[String]) -> &mut Self {
        texts.iter().fold(self.count(texts.len()), |out, text| out.text(text))
    }

    fn optional(&mut self, text: Option<&String>) -> &mut Self {
        match text {
            Some(text) => self.byte(1).text(text),
            None => self.byte(0),
        }
    }

    fn size(&mut self, size: Size) -> &mut Self {
        self.short(size.columns).short(size.rows)
    }

    fn run(&mut self, run: &Run) -> &mut Self {
        self.texts(&run.argv);
        match run.script {
            Some(length) => self.byte(1).word(length),
            None => self.byte(0),
        };
        self.count(run.env.len());
        for (name, value) in &run.env {
            self.text(name).text(value);
        }
        self.text(&run.user).text(&run.workdir).byte(u8::from(run.network));
        match run.terminal {
            Some(size) => self.byte(1).size(size),
            None => self.byte(0),
        }
    }

    fn put(&mut self, put: &Put) -> &mut Self {
        self.text(&put.path);
        match &put.kind {
            FileKind::File => self.byte(0),
            FileKind::Directory => self.byte(1),
            FileKind::Link(target) => self.byte(2).text(target),
        };
        self.word(put.mode).text(&put.user).optional(put.group.as_ref())
    }
}

/// The kind of a message whose payload has just been written.
fn of(kind: u8, _written: &mut Writer) -> u8 {
    kind
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn short(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn word(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn long(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.word()?).ok()?;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    fn texts(&mut self) -> Option<Vec<String>> {
        // No room is taken for the count that is claimed: each text takes at least four bytes that must be there.
        (0..self.word()?).map(|_| self.text()).collect()
    }

    fn size(&mut self) -> Option<Size> {
        Some(Size { columns: self.short()?, rows: self.short()? })
    }

    fn run(&mut self) -> Option<Run> {
        let argv = self.texts()?;
        let script = if self.flag()? { Some(self.word()?) } else { None };
        let env = (0..self.word()?).map(|_| Some((self.text()?, self.text()?))).collect::<Option<_>>()?;
        let (user, workdir, network) = (self.text()?, self.text()?, self.flag()?);
        let terminal = if self.flag()? { Some(self.size()?) } else { None };
        Some(Run { argv, script, env, user, workdir, network, terminal })
    }

    fn put(&mut self) -> Option<Put> {
        let path = self.text()?;
        let kind = match self.byte()? {
            0 => FileKind::File,
            1 => FileKind::Directory,
            2 => FileKind::Link(self.text()?),
            _ => return None,
        };
        let (mode, user) = (self.word()?, self.text()?);
        let group = if self.flag()? { Some(self.text()?) } else { None };
        Some(Put { path, kind, mode, user, group })
    }

    /// The message, unless something follows that should not.
    fn ended<T>(&self, message: T) -> Option<T> {
        self.0.is_empty().then_some(message)
    }
}
