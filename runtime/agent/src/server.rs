//! The one loop that serves everything: it never waits for one thing only, and holds no more than a few buffers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::files::{self, Incoming, Outgoing, refused};
use crate::freeze::Frozen;
use crate::process::Program;
use crate::protocol::{Failure, Frame, Parser, Reply, Request, Run, VERSION};
use crate::sys::{self, POLLHUP, POLLIN, POLLOUT, PollFd};

/// Beyond this much unsent output nothing more is read from programs and files.
const UNSENT: usize = 256 * 1024;

/// A script is held in memory until it is whole.
const LONGEST_SCRIPT: u32 = 32 * 1024 * 1024;

/// How long to look away from a port without a client, whose every poll would return at once.
const NOBODY: Duration = Duration::from_millis(5);

/// The virtio-serial port of this name.
///
/// # Errors
/// There is none, or another program serves it.
pub fn find_port(name: &str) -> io::Result<File> {
    let mut path = Path::new("/dev/virtio-ports").join(name);
    if !path.exists() {
        // Without udev there are no names in `/dev`, but the kernel has them.
        let ports = std::fs::read_dir("/sys/class/virtio-ports").into_iter().flatten().flatten();
        let named = |port: &std::fs::DirEntry| {
            std::fs::read_to_string(port.path().join("name")).is_ok_and(|found| found.trim_end() == name)
        };
        if let Some(port) = ports.into_iter().find(named) {
            path = Path::new("/dev").join(port.file_name());
        }
    }
    let opened = File::options().read(true).write(true).open(&path);
    opened.map_err(|error| io::Error::new(error.kind(), format!("cannot open {}: {error}", path.display())))
}

/// Goes on in the background, out of reach of what stops sessions, and of the kernel when memory runs out.
///
/// # Errors
/// The process cannot fork.
pub fn detach() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    sys::detach(null.as_fd())?;
    // Whichever of these hierarchies the guest has; a session's own would be stopped with the session.
    for hierarchy in ["", "unified/", "systemd/"] {
        let _ = std::fs::write(format!("/sys/fs/cgroup/{hierarchy}cgroup.procs"), std::process::id().to_string());
    }
    let _ = std::fs::write("/proc/self/oom_score_adj", "-1000");
    std::env::set_current_dir("/")
}

/// Serves a port, one client after the other, until the guest shuts down; or a socket, until its other end closes.
/// `directory` is for scripts, and should be in memory.
///
/// # Errors
/// The port or the kernel's means of waiting fail.
pub fn serve(port: impl Into<std::os::fd::OwnedFd>, directory: &Path) -> io::Result<()> {
    let port = File::from(port.into());
    sys::never_wait(port.as_fd())?;
    sys::usual_umask();
    std::fs::DirBuilder::new().recursive(true).mode(0o711).create(directory)?;
    let (signals, wake) = io::pipe()?;
    sys::never_wait(signals.as_fd())?;
    sys::never_wait(wake.as_fd())?;
    sys::wake_by_signals(wake.as_fd());
    let lasting = port.metadata()?.file_type().is_char_device();
    let mut server = Server {
        port,
        lasting,
        parser: Parser::default(),
        unsent: Unsent::default(),
        streams: BTreeMap::new(),
        frozen: Frozen::default(),
        directory: directory.to_owned(),
        nobody: false,
    };
    let mut came = [0; 64];
    loop {
        server.turn(signals.as_fd())?;
        let length = (&signals).read(&mut came).unwrap_or(0);
        if came.iter().take(length).any(|byte| *byte == 1) {
            server.say_goodbye();
            return Ok(());
        }
        if server.nobody && !server.lasting {
            return Ok(());
        }
    }
}

struct Server {
    port: File,
    /// The port outlives its clients.
    lasting: bool,
    parser: Parser,
    unsent: Unsent,
    streams: BTreeMap<u32, Stream>,
    frozen: Frozen,
    directory: PathBuf,
    /// No client is connected.
    nobody: bool,
}

enum Stream {
    /// A program whose script is not whole yet.
    Script(Run, Vec<u8>),
    Program(Box<Program>),
    Incoming(Incoming),
    Outgoing(Outgoing),
}

#[derive(Default)]
struct Unsent {
    bytes: Vec<u8>,
    sent: usize,
}

impl Unsent {
    fn add(&mut self, stream: u32, reply: &Reply) {
        self.bytes.drain(..self.sent);
        self.sent = 0;
        self.bytes.extend_from_slice(&reply.frame(stream).encode());
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    fn has_room(&self) -> bool {
        self.rest().len() < UNSENT
    }

    /// Sends what the port takes.
    fn send(&mut self, mut port: &File) {
        while !self.rest().is_empty() {
            match port.write(self.rest()) {
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}

impl Server {
    /// Waits once and does whatever there is to do.
    fn turn(&mut self, signals: std::os::fd::BorrowedFd<'_>) -> io::Result<()> {
        let port_hung_up = self.wait(signals)?;
        self.receive()?;
        if port_hung_up && self.nobody {
            std::thread::sleep(NOBODY);
        }
        self.advance();
        self.unsent.send(&self.port);
        Ok(())
    }

    fn wait(&mut self, signals: std::os::fd::BorrowedFd<'_>) -> io::Result<bool> {
        let room = self.unsent.has_room();
        let mut at_most = self.frozen.overdue().unwrap_or(Duration::from_secs(60));
        let wanted = if self.unsent.rest().is_empty() { POLLIN } else { POLLIN | POLLOUT };
        let mut fds = vec![PollFd::new(self.port.as_fd(), wanted), PollFd::new(signals, POLLIN)];
        for stream in self.streams.values() {
            match stream {
                Stream::Program(program) => {
                    fds.extend(program.wants_to_write().map(|fd| PollFd::new(fd, POLLOUT)));
                    if room {
                        fds.extend(program.reads_from().map(|fd| PollFd::new(fd, POLLIN)));
                        if program.is_draining() {
                            at_most = Duration::ZERO;
                        }
                    }
                }
                Stream::Outgoing(_) if room => at_most = Duration::ZERO,
                Stream::Outgoing(_) | Stream::Script(..) | Stream::Incoming(_) => {}
            }
        }
        if self.nobody {
            // Its hang-up would end the wait at once, again and again.
            at_most = at_most.min(NOBODY);
            fds.first_mut().into_iter().for_each(|port| *port = PollFd::unused());
        }
        sys::wait(&mut fds, at_most)?;
        Ok(fds.first().is_some_and(|port| port.came(POLLHUP)))
    }

    /// Reads what the client sent, as far as it goes without waiting.
    fn receive(&mut self) -> io::Result<()> {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            match (&self.port).read(&mut bytes) {
                Ok(0) => {
                    self.client_left();
                    return Ok(());
                }
                Ok(length) => {
                    self.nobody = false;
                    self.parser.push(bytes.get(..length).unwrap_or_default());
                    while let Some(frame) = self.parser.next() {
                        self.answer(&frame);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.nobody = false;
                    return Ok(());
                }
                Err(error) if !self.lasting && error.kind() == io::ErrorKind::ConnectionReset => {
                    self.client_left();
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn client_left(&mut self) {
        if !self.nobody {
            self.nobody = true;
            self.parser.reset();
            self.unsent = Unsent::default();
            self.streams.clear();
        }
    }

    fn answer(&mut self, frame: &Frame) {
        let stream = frame.stream;
        let result = match Request::parse(frame) {
            Some(request) => self.carry_out(stream, request),
            None => Err(refused("the agent does not understand this; it is of another version")),
        };
        match result {
            Ok(None) => {}
            Ok(Some(reply)) => self.unsent.add(stream, &reply),
            Err(reply) => self.close(stream, &reply),
        }
    }

    fn close(&mut self, stream: u32, reply: &Reply) {
        self.streams.remove(&stream);
        self.unsent.add(stream, reply);
    }

    fn carry_out(&mut self, stream: u32, request: Request) -> Result<Option<Reply>, Reply> {
        match request {
            Request::Hello { nonce, .. } => {
                self.streams.clear();
                self.unsent = Unsent { bytes: self.unsent.rest().to_vec(), sent: 0 };
                let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
                Ok(Some(Reply::Welcome { nonce, version: VERSION, boot_id: boot_id.trim().to_owned() }))
            }
            Request::Run(run) => self.run(stream, run),
            Request::Input(bytes) => self.input(stream, &bytes),
            Request::InputEnd => self.input_end(stream),
            Request::Signal(number) => {
                self.program(stream).into_iter().for_each(|program| program.signal(number));
                Ok(None)
            }
            Request::Resize(size) => {
                self.program(stream).into_iter().for_each(|program| program.resize(size.columns, size.rows));
                Ok(None)
            }
            Request::Put(put) => match files::put(&put, stream)? {
                Some(incoming) => {
                    self.streams.insert(stream, Stream::Incoming(incoming));
                    Ok(None)
                }
                None => Ok(Some(Reply::Done)),
            },
            Request::Get { path } => {
                let (outgoing, found) = files::get(&path)?;
                self.streams.insert(stream, Stream::Outgoing(outgoing));
                Ok(Some(found))
            }
            Request::Abort => Err(refused("given up")),
            Request::Clock { nanoseconds } => {
                done("set the guest's clock", sys::set_clock(Duration::from_nanos(nanoseconds)))
            }
            Request::Reseed(bytes) => done("add to the guest's random numbers", reseed(&bytes)),
            Request::Sync => {
                sys::sync_all();
                Ok(Some(Reply::Done))
            }
            Request::Freeze { limit_milliseconds } => {
                let frozen = self.frozen.freeze(Duration::from_millis(u64::from(limit_milliseconds)));
                Ok(Some(
                    frozen.map_or_else(|message| Reply::Failed { failure: Failure::Other, message }, Reply::Frozen),
                ))
            }
            Request::Thaw => {
                self.frozen.thaw();
                Ok(Some(Reply::Done))
            }
            Request::Ping => Ok(Some(Reply::Pong)),
        }
    }

    fn program(&mut self, stream: u32) -> Option<&mut Program> {
        match self.streams.get_mut(&stream) {
            Some(Stream::Program(program)) => Some(program),
            _ => None,
        }
    }

    fn run(&mut self, stream: u32, run: Run) -> Result<Option<Reply>, Reply> {
        if self.streams.contains_key(&stream) {
            return Err(refused("this stream is in use"));
        }
        match run.script {
            Some(length) if length > LONGEST_SCRIPT => return Err(refused("the script is too long")),
            Some(length) if length > 0 => drop(self.streams.insert(stream, Stream::Script(run, Vec::new()))),
            script => self.start(stream, &run, script.map(|_| [].as_slice()))?,
        }
        Ok(None)
    }

    fn start(&mut self, stream: u32, run: &Run, script: Option<&[u8]>) -> Result<(), Reply> {
        let program = Program::start(run, script, &self.directory, stream)?;
        self.streams.insert(stream, Stream::Program(Box::new(program)));
        Ok(())
    }

    fn input(&mut self, stream: u32, bytes: &[u8]) -> Result<Option<Reply>, Reply> {
        match self.streams.remove(&stream) {
            Some(Stream::Script(run, mut text)) => {
                text.extend_from_slice(bytes);
                let length = usize::try_from(run.script.unwrap_or(0)).unwrap_or(usize::MAX);
                match text.len().cmp(&length) {
                    std::cmp::Ordering::Less => drop(self.streams.insert(stream, Stream::Script(run, text))),
                    std::cmp::Ordering::Equal => self.start(stream, &run, Some(&text))?,
                    std::cmp::Ordering::Greater => return Err(refused("the script is longer than was said")),
                }
            }
            Some(Stream::Program(mut program)) => {
                program.give(bytes)?;
                self.streams.insert(stream, Stream::Program(program));
            }
            Some(Stream::Incoming(mut incoming)) => {
                incoming.write(bytes)?;
                self.streams.insert(stream, Stream::Incoming(incoming));
            }
            Some(Stream::Outgoing(outgoing)) => drop(self.streams.insert(stream, Stream::Outgoing(outgoing))),
            // It has ended meanwhile, which the client will learn.
            None => {}
        }
        Ok(None)
    }

    fn input_end(&mut self, stream: u32) -> Result<Option<Reply>, Reply> {
        match self.streams.get_mut(&stream) {
            Some(Stream::Program(program)) => program.end_input(),
            Some(Stream::Incoming(incoming)) => {
                incoming.finish()?;
                return Err(Reply::Done);
            }
            Some(Stream::Script(..)) => return Err(refused("the script is shorter than was said")),
            Some(Stream::Outgoing(_)) | None => {}
        }
        Ok(None)
    }

    /// Moves input and output of everything that runs.
    fn advance(&mut self) {
        let mut ended = Vec::new();
        for (stream, running) in &mut self.streams {
            match running {
                Stream::Program(program) => {
                    let taken = program.write();
                    if taken > 0 {
                        self.unsent.add(*stream, &Reply::Taken(u32::try_from(taken).unwrap_or(u32::MAX)));
                    }
                    if self.unsent.has_room() {
                        program.read().iter().for_each(|reply| self.unsent.add(*stream, reply));
                        ended.extend(program.ended().map(|reply| (*stream, reply)));
                    }
                }
                Stream::Outgoing(outgoing) if self.unsent.has_room() => match outgoing.read() {
                    Ok(reply) => self.unsent.add(*stream, &reply),
                    Err(reply) => ended.push((*stream, reply)),
                },
                Stream::Outgoing(_) | Stream::Script(..) | Stream::Incoming(_) => {}
            }
        }
        for (stream, reply) in ended {
            self.close(stream, &reply);
        }
    }

    fn say_goodbye(&mut self) {
        self.frozen.thaw();
        self.unsent.add(0, &Reply::Bye);
        self.unsent.send(&self.port);
    }
}

fn done(doing: &str, result: io::Result<()>) -> Result<Option<Reply>, Reply> {
    let failed =
        |error: io::Error| Reply::Failed { failure: Failure::Other, message: format!("cannot {doing}: {error}") };
    result.map(|()| Some(Reply::Done)).map_err(failed)
}

fn reseed(bytes: &[u8]) -> io::Result<()> {
    let random = File::options().write(true).open("/dev/urandom")?;
    sys::add_entropy(random.as_fd(), bytes)
}
