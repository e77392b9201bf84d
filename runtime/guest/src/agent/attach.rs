//! A program that somebody talks to while it runs.

use imgc_backend::{BackendError, Console, Cx, Exec, Exit, Input, TtySize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::client::{Client, PING, SILENCE, Stopping, at, ended};
use super::lost;
use super::protocol::{CHUNK, INPUT_WINDOW, Reply, Request, Size};

enum Event {
    Reply(Reply),
    Typed(Option<Input>),
    Stop,
    Late,
    Ping,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Client<S> {
    /// Runs a program on a terminal, or with pipes, until it ends.
    pub(super) async fn talk(&mut self, exec: &Exec, console: Console<'_>, cx: &Cx) -> Result<Exit, BackendError> {
        let Console { terminal, mut input, output } = console;
        let mut exec = exec.clone();
        if let Some(terminal) = &terminal {
            exec.env.entry("TERM".to_owned()).or_insert_with(|| terminal.term.clone());
        }
        let stream = self.start(&exec, terminal.map(|terminal| size(terminal.size))).await?;
        let (mut open, mut heard, mut typed) = (true, Instant::now(), Typed::default());
        let mut stopping: Option<Stopping> = None;
        let mut ping = tokio::time::interval_at(Instant::now() + PING, PING);
        loop {
            let deadline = stopping.as_ref().map(|stopping| stopping.until);
            let event = tokio::select! {
                reply = self.reply(stream) => Event::Reply(reply?),
                more = input.recv(), if open && typed.waiting.is_empty() => Event::Typed(more),
                () = cx.cancel.cancelled(), if stopping.is_none() => Event::Stop,
                () = at(deadline) => Event::Late,
                _ = ping.tick() => Event::Ping,
            };
            match event {
                Event::Reply(reply) => {
                    heard = Instant::now();
                    if let Reply::Taken(bytes) = &reply {
                        typed.on_the_way = typed.on_the_way.saturating_sub(*bytes as usize);
                        self.pass_on(stream, &mut typed).await?;
                    }
                    if let Some(exit) = ended(reply, output)? {
                        return stopping.map_or(Ok(exit), |stopping| Err(stopping.why));
                    }
                }
                Event::Typed(Some(Input::Bytes(bytes))) => {
                    typed.waiting.extend(bytes);
                    self.pass_on(stream, &mut typed).await?;
                }
                Event::Typed(Some(Input::Resized(now))) => self.send(stream, &Request::Resize(size(now))).await?,
                Event::Typed(None) => {
                    open = false;
                    self.send(stream, &Request::InputEnd).await?;
                }
                Event::Stop => stopping = Some(self.stop(stream, BackendError::Interrupted).await?),
                Event::Late => return Err(lost("a program does not end when it is asked to")),
                Event::Ping if heard.elapsed() > SILENCE => {
                    return Err(lost(&format!("the guest has been silent for {} s", heard.elapsed().as_secs())));
                }
                Event::Ping => self.send(0, &Request::Ping).await?,
            }
        }
    }

    /// Passes on as much of the input as the agent keeps for a program that does not read.
    async fn pass_on(&mut self, stream: u32, typed: &mut Typed) -> Result<(), BackendError> {
        loop {
            let room = INPUT_WINDOW.saturating_sub(typed.on_the_way).min(CHUNK).min(typed.waiting.len());
            if room == 0 {
                return Ok(());
            }
            typed.on_the_way += room;
            self.send(stream, &Request::Input(typed.waiting.drain(..room).collect())).await?;
        }
    }
}

/// Input that was read and not yet passed on, and how much was that the program has not taken.
#[derive(Default)]
struct Typed {
    waiting: Vec<u8>,
    on_the_way: usize,
}

fn size(size: TtySize) -> Size {
    Size { columns: size.columns, rows: size.rows }
}
