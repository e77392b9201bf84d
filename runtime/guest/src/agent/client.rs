//! The connection: one call at a time, with limits for everything that is waited for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use imgc_backend::{BackendError, Channel, Console, Cx, Exec, Exit, Output, Placement, Program, Signal, Stream};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lost;
use super::protocol::{CHUNK, Failure, Frame, MAX_PAYLOAD, Parser, Reply, Request, Run, Size, VERSION};

/// A guest that is silent for so long while something runs is gone. Slow emulation on a busy host takes seconds.
pub(super) const SILENCE: Duration = Duration::from_secs(45);

/// How often a silent guest is asked for a sign of life.
pub(super) const PING: Duration = Duration::from_secs(5);

/// A polite request to end is followed by another after so long.
const GRACE: Duration = Duration::from_secs(10);

/// How long the agent may take to welcome a client before the half frame of an older client is presumed.
const WELCOME: Duration = Duration::from_secs(2);

/// What the agent said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Of the protocol.
    pub version: u32,
    /// Differs after each start of the guest's kernel.
    pub boot_id: String,
}

/// A client of an agent. After [`BackendError::Disconnected`] it is of no more use.
#[derive(Debug)]
pub struct Client<S> {
    stream: S,
    buffer: Vec<u8>,
    parser: Parser,
    hello: Hello,
    next_stream: u32,
    lost: CancellationToken,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Client<S> {
    /// Greets the agent at the other end, which ends whatever an earlier client left running.
    ///
    /// # Errors
    /// [`BackendError::Disconnected`] where no agent answers `within` this time.
    pub async fn over(stream: S, within: Duration, cx: &Cx) -> Result<Self, BackendError> {
        let hello = Hello { version: 0, boot_id: String::new() };
        let parser = Parser::default();
        let mut client =
            Self { stream, buffer: vec![0; CHUNK], parser, hello, next_stream: 1, lost: CancellationToken::new() };
        let greeting = async {
            let mut first = true;
            loop {
                if let Some(hello) = client.greet(first).await? {
                    return Ok(hello);
                }
                first = false;
            }
        };
        let answered = tokio::select! {
            () = cx.cancel.cancelled() => return Err(BackendError::Interrupted),
            answered = tokio::time::timeout(within, greeting) => answered,
        };
        client.hello = answered.map_err(|_| lost(&format!("it does not answer within {within:?}")))??;
        if client.hello.version != VERSION {
            let message = format!("the guest's agent speaks version {}, not {VERSION}", client.hello.version);
            return Err(BackendError::Internal { message });
        }
        Ok(client)
    }

    /// Says hello once; none where the answer takes too long.
    async fn greet(&mut self, first: bool) -> Result<Option<Hello>, BackendError> {
        let nonce = nonce();
        if !first {
            // Completes the frame in whose midst an earlier client died; an agent that waits for none skips it.
            self.write(&vec![0; MAX_PAYLOAD]).await?;
        }
        self.send(0, &Request::Hello { nonce, version: VERSION }).await?;
        let until = Instant::now() + WELCOME;
        loop {
            let Ok(frame) = tokio::time::timeout_at(until, self.receive()).await else { return Ok(None) };
            match Reply::parse(&frame?) {
                Some(Reply::Welcome { nonce: given, version, boot_id }) if given == nonce => {
                    return Ok(Some(Hello { version, boot_id }));
                }
                _ => {}
            }
        }
    }

    /// What the agent said of itself.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Whoever knows better than silence that the guest is gone fires this; what runs ends at once then.
    pub fn lost_when(&mut self, lost: CancellationToken) {
        self.lost = lost;
    }

    /// Gives the stream back.
    pub fn into_inner(self) -> S {
        self.stream
    }

    /// Sets the guest's clock.
    pub async fn clock(&mut self, now: SystemTime, cx: &Cx) -> Result<(), BackendError> {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanoseconds = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        self.ask(&Request::Clock { nanoseconds }, cx).await.map(drop)
    }

    /// Gives the guest random numbers that no other guest resumed from the same memory has.
    pub async fn reseed(&mut self, cx: &Cx) -> Result<(), BackendError> {
        self.ask(&Request::Reseed(random(64)?), cx).await.map(drop)
    }

    /// Writes everything to the guest's disks.
    pub async fn sync(&mut self, cx: &Cx) -> Result<(), BackendError> {
        self.ask(&Request::Sync, cx).await.map(drop)
    }

    /// Writes everything to the guest's disks and lets nothing change on them until [`Client::thaw`], or until `limit`
    /// of the guest's own time has gone. Gives the places where the frozen file systems are mounted.
    pub async fn freeze(&mut self, limit: Duration, cx: &Cx) -> Result<Vec<String>, BackendError> {
        let limit_milliseconds = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        match self.ask(&Request::Freeze { limit_milliseconds }, cx).await? {
            Reply::Frozen(places) => Ok(places),
            other => Err(unexpected(&other)),
        }
    }

    /// Lets the guest's file systems change again.
    pub async fn thaw(&mut self, cx: &Cx) -> Result<(), BackendError> {
        self.ask(&Request::Thaw, cx).await.map(drop)
    }

    /// Asks something that is answered by one reply. Writing out a full cache may take a slow disk minutes, so what is
    /// watched is that the agent, which does nothing else meanwhile, answers at all.
    async fn ask(&mut self, request: &Request, cx: &Cx) -> Result<Reply, BackendError> {
        let stream = self.begin();
        self.send(stream, request).await?;
        let reply = tokio::select! {
            () = cx.cancel.cancelled() => return Err(BackendError::Interrupted),
            reply = tokio::time::timeout(SILENCE * 4, self.reply(stream)) => reply,
        };
        match reply.map_err(|_| lost("it has not answered for minutes"))?? {
            Reply::Failed { failure, message } => Err(failed(failure, message)),
            reply => Ok(reply),
        }
    }

    /// A number for the next call: late answers to earlier ones are told from its own.
    pub(super) fn begin(&mut self) -> u32 {
        let stream = self.next_stream;
        self.next_stream = self.next_stream.checked_add(1).unwrap_or(1);
        stream
    }

    /// The next reply to a call.
    pub(super) async fn reply(&mut self, stream: u32) -> Result<Reply, BackendError> {
        loop {
            let frame = self.receive().await?;
            match Reply::parse(&frame) {
                Some(Reply::Bye) => return Err(lost("the guest is going down")),
                Some(reply) if frame.stream == stream || reply == Reply::Pong => return Ok(reply),
                _ => {}
            }
        }
    }

    pub(super) async fn send(&mut self, stream: u32, request: &Request) -> Result<(), BackendError> {
        self.write(&request.frame(stream).encode()).await
    }

    /// Sends content in pieces.
    pub(super) async fn send_content(&mut self, stream: u32, bytes: &[u8]) -> Result<(), BackendError> {
        for chunk in bytes.chunks(CHUNK) {
            self.send(stream, &Request::Input(chunk.to_vec())).await?;
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), BackendError> {
        let writing = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        tokio::select! {
            () = self.lost.cancelled() => Err(lost("the machine stopped or restarted")),
            () = tokio::time::sleep(SILENCE) => Err(lost("it takes nothing any more")),
            written = writing => written.map_err(|error| lost(&error.to_string())),
        }
    }

    /// The next frame; may be given up at any time without losing bytes.
    async fn receive(&mut self) -> Result<Frame, BackendError> {
        loop {
            if let Some(frame) = self.parser.next() {
                return Ok(frame);
            }
            let read = tokio::select! {
                () = self.lost.cancelled() => return Err(lost("the machine stopped or restarted")),
                read = self.stream.read(&mut self.buffer) => read,
            };
            match read {
                Ok(0) => return Err(lost("its port was closed")),
                Ok(length) => self.parser.push(self.buffer.get(..length).unwrap_or_default()),
                Err(error) => return Err(lost(&error.to_string())),
            }
        }
    }

    /// Runs a program whose request stands, and watches it to its end.
    async fn watch(
        &mut self,
        stream: u32,
        timeout: Option<Duration>,
        output: Output<'_>,
        cx: &Cx,
    ) -> Result<Exit, BackendError> {
        let began = Instant::now();
        let mut heard = began;
        let mut stopping: Option<Stopping> = None;
        let mut ping = tokio::time::interval_at(began + PING, PING);
        loop {
            let deadline = match (&stopping, timeout) {
                (Some(stopping), _) => Some(stopping.until),
                (None, timeout) => timeout.map(|timeout| began + timeout),
            };
            let event = tokio::select! {
                reply = self.reply(stream) => Event::Reply(reply?),
                () = cx.cancel.cancelled(), if stopping.is_none() => Event::Stop(BackendError::Interrupted),
                () = at(deadline) => Event::Late,
                _ = ping.tick() => Event::Ping,
            };
            match event {
                Event::Reply(reply) => {
                    heard = Instant::now();
                    if let Some(exit) = ended(reply, output)? {
                        return stopping.map_or(Ok(exit), |stopping| Err(stopping.why));
                    }
                }
                Event::Ping if heard.elapsed() > SILENCE => {
                    return Err(lost(&format!("the guest has been silent for {} s", heard.elapsed().as_secs())));
                }
                Event::Ping => self.send(0, &Request::Ping).await?,
                Event::Stop(why) => stopping = Some(self.stop(stream, why).await?),
                Event::Late => match &mut stopping {
                    None => {
                        let why = BackendError::TimedOut { what: String::new(), after: timeout.unwrap_or_default() };
                        stopping = Some(self.stop(stream, why).await?);
                    }
                    Some(stopping) if stopping.killed => return Err(lost("a program does not end when it is killed")),
                    Some(stopping) => {
                        (stopping.killed, stopping.until) = (true, Instant::now() + GRACE);
                        self.send(stream, &Request::Signal(9)).await?;
                    }
                },
            }
        }
    }

    /// Asks for a program, and gives the number of its stream.
    pub(super) async fn start(&mut self, exec: &Exec, terminal: Option<Size>) -> Result<u32, BackendError> {
        let (argv, script) = match &exec.program {
            Program::Script { interpreter, text } => (interpreter.clone(), Some(text.as_bytes())),
            Program::Argv(argv) => (argv.clone(), None),
        };
        let too_long = |what: &str| BackendError::Program {
            message: format!("the {what} are too long for the guest"),
            help: Some("put the data into a file with `write` or `copy` and read it in the script".to_owned()),
        };
        let length =
            script.map(|text| u32::try_from(text.len())).transpose().map_err(|_| too_long("script's lines"))?;
        let run = Run {
            argv,
            script: length,
            env: exec.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            user: exec.user.clone(),
            workdir: exec.workdir.clone(),
            network: exec.network,
            terminal,
        };
        let request = Request::Run(run);
        if !request.fits() {
            return Err(too_long("arguments and environment variables"));
        }
        let stream = self.begin();
        self.send(stream, &request).await?;
        self.send_content(stream, script.unwrap_or_default()).await?;
        Ok(stream)
    }

    pub(super) async fn stop(&mut self, stream: u32, why: BackendError) -> Result<Stopping, BackendError> {
        self.send(stream, &Request::Signal(15)).await?;
        Ok(Stopping { why, killed: false, until: Instant::now() + GRACE })
    }
}

enum Event {
    Reply(Reply),
    Stop(BackendError),
    Late,
    Ping,
}

/// A program that was asked to end.
pub(super) struct Stopping {
    pub(super) why: BackendError,
    killed: bool,
    pub(super) until: Instant,
}

pub(super) async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Passes output on; the exit where it was the end.
pub(super) fn ended(reply: Reply, output: Output<'_>) -> Result<Option<Exit>, BackendError> {
    match reply {
        Reply::Stdout(bytes) => output(Stream::Stdout, &bytes),
        Reply::Stderr(bytes) => output(Stream::Stderr, &bytes),
        Reply::Exited(code) => return Ok(Some(Exit::Code(code))),
        Reply::Killed(signal) => return Ok(Some(Exit::Signal(Signal(signal)))),
        Reply::Failed { failure, message } => return Err(failed(failure, message)),
        Reply::Taken(_) | Reply::Pong => {}
        other => return Err(unexpected(&other)),
    }
    Ok(None)
}

pub(super) fn failed(failure: Failure, message: String) -> BackendError {
    let help = match failure {
        Failure::Asked => None,
        Failure::Space => {
            Some("give the machine a larger disk, or remove what the steps before leave behind".to_owned())
        }
        Failure::Other => return BackendError::Io { doing: message, source: std::io::Error::other("see above") },
    };
    BackendError::Program { message, help }
}

pub(super) fn unexpected(reply: &Reply) -> BackendError {
    let text = format!("{reply:?}");
    let short: String = text.chars().take(80).collect();
    BackendError::Internal { message: format!("the agent gave an answer that does not belong here: {short}") }
}

fn random(length: usize) -> Result<Vec<u8>, BackendError> {
    use std::io::Read as _;
    let mut bytes = vec![0; length];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes));
    read.map(|()| bytes).map_err(BackendError::io("cannot read random numbers of the host"))
}

/// Different for each greeting of one client, and for the greetings of two with all likelihood.
fn nonce() -> u64 {
    let bytes = random(8).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u64::from_le_bytes)
}

#[async_trait::async_trait]
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Channel for Client<S> {
    async fn exec(&mut self, exec: &Exec, output: Output<'_>, cx: &Cx) -> Result<Exit, BackendError> {
        let stream = self.start(exec, None).await?;
        self.send(stream, &Request::InputEnd).await?;
        self.watch(stream, exec.timeout, output, cx).await
    }

    async fn attach(&mut self, exec: &Exec, console: Console<'_>, cx: &Cx) -> Result<Exit, BackendError> {
        self.talk(exec, console, cx).await
    }

    async fn put(&mut self, placement: &Placement, cx: &Cx) -> Result<(), BackendError> {
        self.put_all(placement, cx).await
    }
}
