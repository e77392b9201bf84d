//! The host's end of a program that somebody talks to: a pseudo terminal or a pipe, and what moves bytes through it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use imgc_backend::{BackendError, Console, Input, Output, Stream, TtySize};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::protocol::Streams;
use crate::sys;

/// A console that a program can be started on.
pub(crate) struct Wired {
    /// What is written to it the program reads; with a terminal, what is read from it the program has written.
    near: Option<AsyncFd<OwnedFd>>,
    /// The program's end. The keeper opens it by its name; it is held here until the program has ended, since a terminal
    /// that nobody holds is hung up.
    far: OwnedFd,
    terminal: bool,
}

impl Wired {
    /// The two ends for a console.
    pub(crate) fn new(console: &Console<'_>) -> Result<Self, BackendError> {
        let failed = || BackendError::io("cannot make a terminal for the shell");
        let (near, far) = if let Some(tty) = &console.terminal {
            terminal(tty.size).map_err(failed())?
        } else {
            let (read, write) = io::pipe().map_err(failed())?;
            (OwnedFd::from(write), OwnedFd::from(read))
        };
        rustix::io::ioctl_fionbio(&near, true).map_err(io::Error::from).map_err(failed())?;
        let interest =
            if console.terminal.is_some() { Interest::READABLE | Interest::WRITABLE } else { Interest::WRITABLE };
        let near = sys::watched(near, interest).map_err(failed())?;
        Ok(Self { near: Some(near), far, terminal: console.terminal.is_some() })
    }

    /// What the keeper is told.
    pub(crate) fn streams(&self) -> Streams {
        let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.far.as_raw_fd()));
        if self.terminal { Streams::Terminal(path) } else { Streams::Input(path) }
    }

    /// Moves bytes both ways until it is dropped; never comes to an end by itself.
    pub(crate) async fn pump(&mut self, console: &mut Console<'_>) {
        let mut waiting: Vec<u8> = Vec::new();
        let mut ended = false;
        loop {
            let Some(near) = &self.near else { return std::future::pending().await };
            tokio::select! {
                input = console.input.recv(), if !ended && waiting.is_empty() => match input {
                    Some(Input::Bytes(bytes)) => waiting = bytes,
                    Some(Input::Resized(size)) => drop(resize(near.get_ref(), size)),
                    // End of file is the end of the pipe; a terminal says it by its own character.
                    None if self.terminal => (waiting, ended) = (vec![END_OF_TRANSMISSION], true),
                    None => self.near = None,
                },
                written = near.async_io(Interest::WRITABLE, |fd| Ok(rustix::io::write(fd, &waiting)?)),
                    if !waiting.is_empty() => match written {
                    Ok(count) => drop(waiting.drain(..count.min(waiting.len()))),
                    // The program has closed its end.
                    Err(_) => waiting.clear(),
                },
                () = readable(near), if self.terminal => {
                    if !pass_on(near, console.output) {
                        return std::future::pending().await;
                    }
                }
            }
        }
    }

    /// Passes on what is left after the program has ended.
    pub(crate) fn drain(&self, output: Output<'_>) {
        if let (Some(near), true) = (&self.near, self.terminal) {
            pass_on(near, output);
        }
    }
}

/// What Ctrl-D sends.
const END_OF_TRANSMISSION: u8 = 4;

fn terminal(size: TtySize) -> io::Result<(OwnedFd, OwnedFd)> {
    let near = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    rustix::pty::unlockpt(&near)?;
    // By the descriptor, not by a path: the terminal may belong to another mount of devpts than this process sees.
    let far = rustix::pty::ioctl_tiocgptpeer(&near, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    resize(&near, size)?;
    Ok((near, far))
}

fn resize(near: impl AsFd, size: TtySize) -> io::Result<()> {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(near, size)?)
}

async fn readable(near: &AsyncFd<OwnedFd>) {
    if near.readable().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Passes on what can be read now; false at the end.
fn pass_on(near: &AsyncFd<OwnedFd>, output: Output<'_>) -> bool {
    let mut chunk = vec![0; 1 << 14];
    loop {
        match near.try_io(Interest::READABLE, |fd| Ok(rustix::io::read(fd, &mut chunk)?)) {
            Ok(count @ 1..) => output(Stream::Stdout, chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return false,
        }
    }
}
