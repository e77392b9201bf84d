//! An agent of one's own, and short ways to ask it.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use imgc_backend::{
    BackendError, Channel as _, Cx, EventSink, Exec, Exit, Owner, Placement, PlacementItem, PlacementKind, Program,
    Settings, Stream,
};
use imgc_guest::agent::{self, Client};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

/// An agent that serves a socket; it ends with the bed.
pub(crate) struct Bed {
    pub(crate) client: Client<UnixStream>,
    pub(crate) cx: Cx,
    pub(crate) dir: tempfile::TempDir,
    agent: Child,
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}

/// Whether this is root, as agents in machines are; says so where it is not.
pub(crate) fn root() -> bool {
    let root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    if !root {
        eprintln!("skipped: an agent that serves all users needs root");
    }
    root
}

pub(crate) fn cx() -> Cx {
    Cx {
        cancel: CancellationToken::new(),
        events: EventSink::new(|_| {}),
        node: None,
        package: "/".into(),
        settings: Arc::new(Settings::default()),
        journal: imgc_backend::Journal::default(),
        secrets: imgc_backend::Secrets::default(),
    }
}

/// Starts the embedded agent; the other end of its socket.
pub(crate) fn start(dir: &std::path::Path) -> (Child, UnixStream) {
    let program = dir.join("agent");
    std::fs::write(&program, agent::binary("x86_64").expect("an agent is embedded")).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut command = Command::new(&program);
    let child = command.arg(dir.join("run")).arg("-").stdin(Stdio::from(OwnedFd::from(theirs))).spawn().unwrap();
    (child, UnixStream::from_std(ours).unwrap())
}

impl Bed {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let (agent, stream) = start(dir.path());
        let cx = cx();
        let client = Client::over(stream, Duration::from_secs(20), &cx).await.unwrap();
        Self { client, cx, dir, agent }
    }

    pub(crate) async fn run(&mut self, exec: &Exec) -> (Result<Exit, BackendError>, String, String) {
        let said = Mutex::new((String::new(), String::new()));
        let output = |stream: Stream, bytes: &[u8]| {
            let mut said = said.lock().unwrap();
            let text = String::from_utf8_lossy(bytes).into_owned();
            if stream == Stream::Stdout { said.0.push_str(&text) } else { said.1.push_str(&text) }
        };
        let result = self.client.exec(exec, &output, &self.cx).await;
        let (stdout, stderr) = said.into_inner().unwrap();
        (result, stdout, stderr)
    }

    /// Runs a script that must succeed; its output.
    pub(crate) async fn sh(&mut self, text: &str) -> String {
        let (result, stdout, stderr) = self.run(&script(text)).await;
        assert_eq!(result.unwrap(), Exit::Code(0), "{stderr}");
        stdout
    }

    pub(crate) async fn put(&mut self, path: &str, kind: PlacementKind, mode: u32) -> Result<(), BackendError> {
        let owner = Owner { user: "root".to_owned(), group: None };
        let items = vec![PlacementItem { path: path.to_owned(), kind, mode, owner }];
        self.client.put(&Placement { items }, &self.cx).await
    }
}

pub(crate) fn script(text: &str) -> Exec {
    Exec {
        program: Program::Script { interpreter: vec!["/bin/sh".to_owned(), "-e".to_owned()], text: text.to_owned() },
        env: BTreeMap::new(),
        user: "root".to_owned(),
        workdir: "/".to_owned(),
        network: true,
        timeout: None,
    }
}
