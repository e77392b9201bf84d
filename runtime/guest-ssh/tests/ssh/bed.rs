//! A server, logins for it, and steps in one line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use imgc_backend::{
    BackendError, Channel as _, Cx, Event, EventSink, Exec, Exit, Journal, Program, Secrets, Settings, Stream,
};
use imgc_guest_ssh::{Auth, Client, Endpoint, HostKeys, Login, connect_within, ephemeral_key};
use tokio_util::sync::CancellationToken;

/// A user with this password, made once.
pub(crate) const USER: &str = "imgc-ssh-test";
pub(crate) const PASSWORD: &str = "correct horse";

/// A server; it ends with the bed.
pub(crate) struct Bed {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) endpoint: Endpoint,
    pub(crate) keys: HostKeys,
    pub(crate) cx: Cx,
    /// What was noted.
    pub(crate) notes: Arc<Mutex<String>>,
    server: Child,
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a server can be run here.
fn possible() -> bool {
    let root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    let possible = root && Path::new("/usr/sbin/sshd").exists();
    if !possible {
        assert!(std::env::var_os("CI").is_none() || !root, "CI needs openssh-server");
        eprintln!("skipped: a server for other users needs root and openssh-server");
    }
    possible
}

fn make_user() {
    static MADE: Mutex<bool> = Mutex::new(false);
    let mut made = MADE.lock().unwrap();
    if !*made {
        // Each test is a process of its own: a lock file keeps them from doing it at once.
        let script = format!(
            "exec 9>/run/imgc-ssh-test.lock; flock 9; id {USER} >/dev/null 2>&1 || useradd -m -s /bin/sh {USER}; \
             grep -q '^{USER}:[$]' /etc/shadow || echo '{USER}:{PASSWORD}' | chpasswd; mkdir -p /run/sshd"
        );
        run("sh", &["-c", &script]);
        *made = true;
    }
}

impl Bed {
    /// A server with further lines of configuration; none where it cannot be.
    pub(crate) fn new(config: &str) -> Option<Self> {
        if !possible() {
            return None;
        }
        make_user();
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        new_host_key(dir.path());
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = dir.path().display();
        let text = format!(
            "{config}\nPort {port}\nListenAddress 127.0.0.1\nHostKey {at}/host\nPidFile none\nUsePAM no\nStrictModes no\n\
             PermitRootLogin yes\nAuthorizedKeysFile {at}/authorized\nSubsystem sftp internal-sftp\n"
        );
        std::fs::write(dir.path().join("config"), text).unwrap();
        std::fs::write(dir.path().join("authorized"), "").unwrap();
        let server = serve(dir.path());
        let notes = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&notes);
        let events = EventSink::new(move |event| {
            if let Event::Note { text } = event {
                heard.lock().unwrap().push_str(&text);
            }
        });
        let cx = Cx {
            cancel: CancellationToken::new(),
            events,
            node: None,
            package: "/".into(),
            settings: Arc::new(Settings::default()),
            journal: Journal::default(),
            secrets: Secrets::default(),
        };
        Some(Self { dir, endpoint: Endpoint::new("127.0.0.1", port), keys: HostKeys::default(), cx, notes, server })
    }

    /// The same server with another host key.
    pub(crate) fn replace_server(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
        new_host_key(self.dir.path());
        self.server = serve(self.dir.path());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A login by a key that the server knows.
    pub(crate) fn by_key(&self, user: &str) -> Login {
        let key = ephemeral_key().unwrap();
        let authorized = std::fs::read_to_string(self.path("authorized")).unwrap();
        std::fs::write(self.path("authorized"), format!("{authorized}{}\n", key.public)).unwrap();
        login(user, Auth::Key { key: key.private, passphrase: None, certificate: None })
    }

    pub(crate) async fn connect(&self, login: &Login) -> Result<Client, BackendError> {
        connect_within(login, &self.endpoint, &self.keys, Duration::from_secs(20), &self.cx).await
    }

    pub(crate) async fn root(&self) -> Client {
        self.connect(&self.by_key("root")).await.unwrap()
    }
}

pub(crate) fn login(user: &str, auth: Auth) -> Login {
    Login { user: user.to_owned(), auth: vec![auth], terminal: false }
}

fn new_host_key(dir: &Path) {
    for name in ["host", "host.pub"] {
        let _ = std::fs::remove_file(dir.join(name));
    }
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &dir.join("host").display().to_string()]);
}

fn serve(dir: &Path) -> Child {
    let log = std::fs::File::create(dir.join("log")).unwrap();
    let config = dir.join("config").display().to_string();
    let mut command = Command::new("/usr/sbin/sshd");
    command.args(["-D", "-e", "-f", &config]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().unwrap()
}

pub(crate) async fn exec(client: &mut Client, exec: &Exec, cx: &Cx) -> (Result<Exit, BackendError>, String, String) {
    let said = Mutex::new((String::new(), String::new()));
    let output = |stream: Stream, bytes: &[u8]| {
        let mut said = said.lock().unwrap();
        let text = String::from_utf8_lossy(bytes).into_owned();
        if stream == Stream::Stdout { said.0.push_str(&text) } else { said.1.push_str(&text) }
    };
    let result = client.exec(exec, &output, cx).await;
    let (stdout, stderr) = said.into_inner().unwrap();
    (result, stdout, stderr)
}

/// Runs a script that must succeed; its output.
pub(crate) async fn sh(client: &mut Client, text: &str, cx: &Cx) -> String {
    let (result, stdout, stderr) = exec(client, &script(text), cx).await;
    assert_eq!(result.unwrap(), Exit::Code(0), "{stderr}");
    stdout
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
