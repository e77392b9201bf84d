//! `imgc shell`: a shell in a machine as a step left it, or as it found it. Leaving it leaves nothing.

use std::io::{IsTerminal, Read, Write};

use imgc_backend::{BackendError, Close, Console, Cx, Exec, Exit as Ended, Input, Program, Stream, Tty, TtySize};
use imgc_engine::{LockMode, Moment, Opened};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{self, Sender};

use crate::args::{Format, ShellArgs};
use crate::arguments::{Arguments, Said};
use crate::commands::Context;
use crate::exit::{Exit, Outcome};
use crate::package::Package;
use crate::places::Places;
use crate::render::progress::Progress;
use crate::session::{Compiled, Session, Unsaved, runtime};
use crate::signals::Stop;

/// Bash where the image has it, else what every system has.
const SHELL: &str = "if command -v bash >/dev/null 2>&1; then exec bash; else exec sh; fi";

/// How much may be typed ahead, in pieces.
const TYPED_AHEAD: usize = 16;

/// Opens the shell.
pub(crate) fn run(args: &ShellArgs, cx: &Context) -> Outcome {
    let package = Package::find(cx.directory(), None)?;
    let places = Places::new(cx.global.cache_dir.as_deref())?;
    let settings = package.settings();
    let session = Session::open(package, &places, settings, cx)?;
    let compiled = match session.compile(Arguments::read(&Said::new(&args.params)?)?, Format::Human) {
        Ok(compiled) => compiled,
        Err(exit) => return Ok(exit),
    };
    let runtime = runtime()?;
    let result = runtime.block_on(open_and_run(args, &session, &places, compiled));
    session.save_stat_cache();
    // A thread may still wait for input that will never come.
    runtime.shutdown_background();
    result
}

async fn open_and_run(args: &ShellArgs, session: &Session, places: &Places, compiled: Compiled) -> Outcome {
    let stop = Stop::new();
    let progress = Progress::new(session.terminal, Format::Human, false, &compiled.plan);
    let cx = session.circumstances(&stop.now, progress.sink());
    let Compiled { mut plan, sources, .. } = compiled;
    session.lock((&mut plan, &sources), (&LockMode::AddMissing, Unsaved::IsSaid), None, &cx).await?;
    let moment = if args.before { Moment::Before } else { Moment::After };
    let opened = match &args.parked {
        Some(token) => {
            let parked = (places.runs.as_path(), token.as_str());
            imgc_engine::open_parked(&session.engine, &plan, &args.address, parked, &cx).await
        }
        None => imgc_engine::open_at(&session.engine, &plan, &args.address, moment, &cx).await,
    };
    let opened = opened.map_err(|error| session.engine_failure(&plan, &sources, &error))?;
    progress.finish();
    tell(args, &opened, &plan.node(opened.node).address.0, session);
    // A terminal sends Ctrl-C to the program; nobody else may end the machine from here but by ending imgc.
    let attached = attach(args, opened, &cx);
    let ended = stop.while_running(attached, |_| {}).await??;
    Ok(exit(args, ended))
}

/// Says where one is, where somebody reads it.
fn tell(args: &ShellArgs, opened: &Opened, address: &str, session: &Session) {
    if !args.command.is_empty() || !std::io::stdin().is_terminal() {
        return;
    }
    if opened.layer.is_none() {
        session.terminal.note(format_args!(
            "the very machine in which {address} failed; `exit` leaves it, and it lives on until the next apply or \
             `imgc clean`"
        ));
    } else {
        let moment = match &args.parked {
            Some(_) => "in which it failed,",
            None if args.before => "before",
            None => "after",
        };
        session.terminal.note(format_args!(
            "a copy of the machine {moment} {address}; `exit` leaves it, and nothing of it is kept"
        ));
    }
}

async fn attach(args: &ShellArgs, opened: Opened, cx: &Cx) -> Result<Ended, BackendError> {
    let Opened { mut machine, environment, .. } = opened;
    let argv = if args.command.is_empty() {
        vec!["/bin/sh".to_owned(), "-c".to_owned(), SHELL.to_owned()]
    } else {
        args.command.clone()
    };
    let exec = Exec {
        program: Program::Argv(argv),
        env: environment.env,
        user: args.user.clone().unwrap_or(environment.user),
        workdir: environment.workdir,
        network: environment.network,
        timeout: None,
    };
    let result = match machine.channel(cx).await {
        Ok(channel) => talk(channel, &exec, cx).await,
        Err(error) => Err(error),
    };
    let closed = machine.close(Close::Discard, cx).await;
    let ended = result?;
    closed?;
    Ok(ended)
}

async fn talk(channel: &mut dyn imgc_backend::Channel, exec: &Exec, cx: &Cx) -> Result<Ended, BackendError> {
    let (typed, input) = mpsc::channel(TYPED_AHEAD);
    let tty = tty();
    let raw = tty.as_ref().map(|_| Raw::enter()).transpose();
    let _raw = raw.map_err(BackendError::io("cannot set up the terminal"))?;
    let _watch = tty.is_some().then(|| watch_size(typed.clone()));
    read_input(typed);
    let output = |stream: Stream, bytes: &[u8]| write(stream, bytes);
    channel.attach(exec, Console { terminal: tty, input, output: &output }, cx).await
}

/// The terminal that a person sits at; none where either side is a pipe or file.
fn tty() -> Option<Tty> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return None;
    }
    let term = std::env::var("TERM").ok().filter(|term| !term.is_empty()).unwrap_or_else(|| "xterm".to_owned());
    Some(Tty { term, size: size()? })
}

fn size() -> Option<TtySize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(TtySize { columns: size.ws_col, rows: size.ws_row })
}

/// A terminal that passes on what is typed as it is; as it was when this goes.
struct Raw(rustix::termios::Termios);

impl Raw {
    fn enter() -> std::io::Result<Self> {
        let before = rustix::termios::tcgetattr(std::io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Drain, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Drain, &self.0);
    }
}

/// Ends with the shell.
struct Watch(tokio::task::JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn watch_size(typed: Sender<Input>) -> Watch {
    Watch(tokio::task::spawn(async move {
        let Ok(mut changed) = signal(SignalKind::window_change()) else { return };
        while changed.recv().await.is_some() {
            if let Some(size) = size()
                && typed.send(Input::Resized(size)).await.is_err()
            {
                return;
            }
        }
    }))
}

/// Reads on a thread of its own: a read of a terminal cannot be cancelled.
fn read_input(typed: Sender<Input>) {
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut chunk = vec![0; 1 << 14];
        while let Ok(count @ 1..) = stdin.read(&mut chunk) {
            let bytes = chunk.get(..count).unwrap_or_default().to_vec();
            if typed.blocking_send(Input::Bytes(bytes)).is_err() {
                return;
            }
        }
    });
}

fn write(stream: Stream, bytes: &[u8]) {
    // A reader that went away is no reason to leave a machine half closed.
    let _ = match stream {
        Stream::Stdout => {
            let mut out = std::io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        }
        Stream::Stderr | Stream::Note => std::io::stderr().lock().write_all(bytes),
    };
}

/// A shell that was left is no failure, whatever its last command was.
fn exit(args: &ShellArgs, ended: Ended) -> Exit {
    match ended {
        Ended::Code(0) => Exit::Done,
        Ended::Code(_) | Ended::Signal(_) if args.command.is_empty() && std::io::stdin().is_terminal() => Exit::Done,
        Ended::Code(code) => Exit::Of(u8::try_from(code).unwrap_or(1)),
        Ended::Signal(number) => Exit::Of(u8::try_from(128 + number.0).unwrap_or(u8::MAX)),
    }
}
