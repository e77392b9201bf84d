//! Programs of the host, run under a keeper: killed with all they started when imgc goes.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use imgc_backend::{BackendError, Cx, Event, Stream};

use crate::errors;
use crate::keeper::{Guarded, Keeper};
use crate::protocol::{Network, Overlay, Reply, Root, Run, Streams};
use crate::space::Space;

/// How a tool ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) how: Reply,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Whether it succeeded.
    pub(crate) fn well(&self) -> bool {
        matches!(self.how, Reply::Code(0))
    }

    /// How it ended, in words.
    pub(crate) fn how(&self) -> String {
        match &self.how {
            Reply::Code(code) => format!("ended with exit code {code}"),
            Reply::Signal(number) => format!("was killed by signal {number}"),
            Reply::Failed(_) => "could not be started".to_owned(),
        }
    }

    /// The last lines of its error output.
    pub(crate) fn last_words(&self) -> String {
        let lines: Vec<&str> = self.stderr.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join("\n")
    }
}

/// Runs a tool; what it says on standard error is passed on as it comes. `mount` is an overlay that it sees at a
/// directory and that is gone when it has ended.
pub(crate) async fn run(
    argv: Vec<String>,
    env: Vec<(String, String)>,
    mount: Option<(Overlay, PathBuf)>,
    space: &Space,
    cx: &Cx,
) -> Result<Ended, BackendError> {
    let guarded = Guarded {
        mount: space.mounted().map(ToOwned::to_owned),
        scratch: vec![space.on_disk().to_owned()],
        translator: None,
    };
    let mut keeper = Keeper::start(guarded, cx).await?;
    let said = Mutex::new((Vec::new(), Vec::new()));
    let output = |stream: Stream, bytes: &[u8]| {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        if stream == Stream::Stdout {
            said.0.extend_from_slice(bytes);
            return;
        }
        said.1.extend_from_slice(bytes);
        if let Some(node) = cx.node {
            cx.events.send(Event::Output { node, stream, bytes: bytes.to_vec() });
        }
    };
    let run = Run {
        root: Root::Host { mount },
        network: Network::Host,
        argv,
        script: None,
        lent: Vec::new(),
        env,
        user: "root".to_owned(),
        workdir: "/".to_owned(),
        streams: Streams::Output,
    };
    let ended = keeper.run(run, None, &output, cx).await;
    keeper.leave().await;
    let (stdout, stderr) = said.into_inner().unwrap_or_else(PoisonError::into_inner);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    match ended? {
        Reply::Failed(failure) => Err(errors::never_run(failure)),
        how @ (Reply::Code(_) | Reply::Signal(_)) => Ok(Ended { how, stdout: text(stdout), stderr: text(stderr) }),
    }
}
