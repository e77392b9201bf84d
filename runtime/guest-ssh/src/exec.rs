//! Running a step.

use std::time::Duration;

use imgc_backend::{BackendError, Cx, Exec, Exit, Output, Stream};
use tokio::time::Instant;

use crate::client::Client;
use crate::remote::{self, Running, Said};
use crate::shell;

/// How `sudo` begins whatever it says, and how shells begin what they say of it.
const SUDO: &str = "sudo: ";
/// A line that is longer is none of theirs.
const LONGEST_COMPLAINT: usize = 4 << 10;

/// The runner is polite for ten seconds, and is given as much again to finish.
const STOPPING: Duration = Duration::from_secs(25);

impl Client {
    pub(crate) async fn run_step(&mut self, exec: &Exec, output: Output<'_>, cx: &Cx) -> Result<Exit, BackendError> {
        let token = token()?;
        let starting = async {
            let stage = self.stage("/dev/shm").await?;
            self.upload(&format!("{stage}/run"), shell::runner(exec, &token).as_bytes()).await?;
            let itself = exec.user == self.user.name || exec.user == self.user.uid;
            let command = format!("/bin/sh {stage}/run");
            let command = if itself && exec.network { command } else { self.as_root(&command) };
            remote::start(&self.connection.handle, &command, self.wants_terminal()).await
        };
        let running = tokio::select! {
            () = cx.cancel.cancelled() => return Err(BackendError::Interrupted),
            running = starting => running?,
        };
        self.watch(running, exec, &token, output, cx).await
    }

    async fn watch(
        &self,
        mut running: Running,
        exec: &Exec,
        token: &str,
        output: Output<'_>,
        cx: &Cx,
    ) -> Result<Exit, BackendError> {
        let mut deadline = exec.timeout.map(|timeout| Instant::now() + timeout);
        let mut stopped: Option<BackendError> = None;
        let mut complaint = Vec::new();
        loop {
            let why = tokio::select! {
                said = running.next() => match said? {
                    Said::Output(_, bytes) if self.complains(&complaint, &bytes, token) => {
                        complaint.extend_from_slice(&bytes);
                        continue;
                    }
                    Said::Output(stream, bytes) => {
                        output(stream, &bytes);
                        continue;
                    }
                    Said::Exit(exit) => return stopped.map_or_else(|| self.ended(exit, &complaint, token, output), Err),
                },
                () = cx.cancel.cancelled(), if stopped.is_none() => BackendError::Interrupted,
                () = at(deadline) => match stopped {
                    Some(_) => return Err(remote::lost("a program does not end when it is killed")),
                    None => BackendError::TimedOut { what: String::new(), after: exec.timeout.unwrap_or_default() },
                },
            };
            // With a terminal the end of the input is but a character; closing hangs the terminal up instead.
            if self.wants_terminal() {
                running.close().await;
                return Err(why);
            }
            deadline = Some(Instant::now() + STOPPING);
            stopped = Some(why);
            running.end_input().await?;
        }
    }

    /// Whether output begins what `sudo` or our own shell says instead of starting a step, or goes on with that line: `sudo`
    /// writes its name, the colon and the rest one by one.
    fn complains(&self, so_far: &[u8], bytes: &[u8], token: &str) -> bool {
        if !so_far.is_empty() {
            return !so_far.ends_with(b"\n") && so_far.len() < LONGEST_COMPLAINT;
        }
        let begins = |whole: &str| bytes.starts_with(whole.as_bytes()) || whole.as_bytes().starts_with(bytes);
        let sudo = || !self.is_root() && (begins(SUDO) || String::from_utf8_lossy(bytes).contains(SUDO));
        !bytes.is_empty() && (sudo() || begins(&shell::complaint(token)))
    }

    /// How a step ended, or why it did not start.
    fn ended(&self, exit: Exit, complaint: &[u8], token: &str, output: Output<'_>) -> Result<Exit, BackendError> {
        let text = String::from_utf8_lossy(complaint);
        let text = text.trim();
        match text.strip_prefix(shell::complaint(token).trim_end()) {
            Some(message) => Err(BackendError::Program { message: message.trim().to_owned(), help: None }),
            // `sudo` ends with 1, and a shell that does not find it with 127; a step that talks of it with anything.
            None if matches!(exit, Exit::Code(1 | 127)) && text.contains(SUDO) => Err(self.not_root(text)),
            None => {
                output(Stream::Stderr, complaint);
                Ok(exit)
            }
        }
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// A word that is in no script.
fn token() -> Result<String, BackendError> {
    use std::io::Read as _;
    let mut bytes = [0; 12];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes));
    read.map(|()| hex::encode(bytes)).map_err(BackendError::io("cannot read random numbers of the host"))
}
