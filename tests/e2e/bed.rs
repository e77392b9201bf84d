//! Where tests build: a store, a state folder and a user each; and the programs they start.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The ordinary user that `scripts/setup.sh` makes where the tests run as root.
const USER: &str = "imgc-test";

/// Who runs imgc.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Who {
    /// Real root.
    Root,
    /// A user with subordinate ids.
    User,
}

/// The repository.
pub(crate) fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("cli/ is in the repository").to_owned()
}

/// Whether this test process is root.
pub(crate) fn is_root() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    *ROOT.get_or_init(|| String::from_utf8_lossy(&run(Command::new("id").arg("-u")).stdout).trim() == "0")
}

/// Ends the test where something is missing: a failure in CI, a loud skip elsewhere.
pub(crate) fn lacking(what: &str) -> bool {
    assert!(std::env::var_os("CI").is_none(), "CI must have {what}: see scripts/setup.sh");
    eprintln!("SKIPPED: this machine lacks {what}; scripts/setup.sh installs it");
    true
}

/// Whether a program can be started.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    path.split(':').any(|dir| Path::new(dir).join(program).is_file())
}

/// Runs a command to its end, whatever the end is.
pub(crate) fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"))
}

/// Runs a command that must succeed; its standard output.
pub(crate) fn must(command: &mut Command) -> String {
    let output = run(command);
    assert!(
        output.status.success(),
        "{command:?} failed: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A command with root's rights: itself, or through sudo.
pub(crate) fn as_root(program: &str) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg("-n").arg(program);
    command
}

/// A folder of its own with a store, a state folder and a copy of the binary, for one user.
pub(crate) struct Bed {
    who: Who,
    dir: tempfile::TempDir,
}

impl Bed {
    /// A fresh one with an empty store.
    pub(crate) fn new(who: Who) -> Self {
        let dir = tempfile::Builder::new().prefix("imgc-e2e-").tempdir_in("/var/tmp").expect("a folder in /var/tmp");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("mode");
        let bed = Self { who, dir };
        fs::copy(env!("CARGO_BIN_EXE_imgc"), bed.path("imgc")).expect("copy of the binary");
        for sub in ["cache", "state", "home", "tmp"] {
            fs::create_dir(bed.path(sub)).expect("folder");
        }
        bed.own();
        bed
    }

    /// A path in the folder.
    pub(crate) fn path(&self, sub: &str) -> PathBuf {
        self.dir.path().join(sub)
    }

    /// Gives everything in the folder to the user.
    pub(crate) fn own(&self) {
        if self.switches() {
            must(Command::new("chown").args(["-R", &format!("{USER}:{USER}")]).arg(self.dir.path()));
        }
    }

    /// Copies a package of the repository here, so that each user can write next to it.
    pub(crate) fn example(&self, name: &str) -> PathBuf {
        let to = self.path(name);
        must(Command::new("cp").arg("-R").arg(repository().join("examples").join(name)).arg(&to));
        let _ = fs::remove_dir_all(to.join("out"));
        let _ = fs::remove_file(to.join("imgc.lock"));
        self.own();
        to
    }

    /// Writes a package with this program and an executable static busybox beside it.
    pub(crate) fn package(&self, name: &str, program: &str) -> PathBuf {
        let dir = self.path(name);
        fs::create_dir_all(&dir).expect("folder");
        fs::write(dir.join("main.imgc"), program).expect("program");
        fs::copy("/bin/busybox", dir.join("busybox")).expect("busybox-static");
        fs::set_permissions(dir.join("busybox"), fs::Permissions::from_mode(0o755)).expect("mode");
        self.own();
        dir
    }

    fn switches(&self) -> bool {
        self.who == Who::User && is_root()
    }

    /// `imgc …` as the bed's user with the bed's store.
    pub(crate) fn imgc(&self, args: &[&str]) -> Command {
        let mut command = match (self.who, is_root()) {
            (Who::User, true) => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", USER, "--regid", USER, "--init-groups", "--"]).arg(self.path("imgc"));
                command
            }
            (Who::Root, false) => {
                let mut command = Command::new("sudo");
                command.args(["-n", "--preserve-env"]).arg(self.path("imgc"));
                command
            }
            (Who::User, false) | (Who::Root, true) => Command::new(self.path("imgc")),
        };
        command
            .args(args)
            .env("IMGC_CACHE", self.path("cache"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .env_remove("XDG_CACHE_HOME")
            .env("NO_COLOR", "1")
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// `imgc apply` of a package, which must succeed; its standard output.
    pub(crate) fn apply(&self, package: &Path, args: &[&str]) -> String {
        let path = package.to_str().expect("UTF-8");
        must(self.imgc(&["apply", path]).args(args))
    }

    /// The lines of `out/SHA256SUMS` of a package by file name.
    pub(crate) fn sums(package: &Path) -> BTreeMap<String, String> {
        let text = fs::read_to_string(package.join("out/SHA256SUMS")).expect("out/SHA256SUMS");
        text.lines()
            .filter_map(|line| line.split_once("  "))
            .map(|(sum, file)| (file.to_owned(), sum.to_owned()))
            .collect()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        // What a user's build left belongs to subordinate ids.
        let _ = as_root("rm").arg("-rf").arg(self.dir.path()).status();
    }
}

/// A store that tests of one run share, so that a base image is built once; imgc itself keeps them apart.
pub(crate) fn shared() -> Bed {
    let bed = Bed::new(Who::Root);
    let store = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("e2e-store");
    fs::create_dir_all(&store).expect("folder");
    let _ = fs::remove_dir(bed.path("cache"));
    std::os::unix::fs::symlink(&store, bed.path("cache")).expect("link");
    bed
}

/// Asks again and again until there is an answer, at most so long.
pub(crate) fn within<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A child process that does not outlive the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port on loopback that nobody listens on.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port()
}

/// The files of an OCI archive's merged tree by path, small files only: what `tar` says after unpacking each layer in order.
pub(crate) fn unpack_archive(archive: &Path, into: &Path) {
    let layout = into.join("layout");
    let root = into.join("root");
    fs::create_dir_all(&layout).expect("folder");
    fs::create_dir_all(&root).expect("folder");
    must(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(&layout));
    let text = fs::read_to_string(layout.join("manifest.json")).expect("manifest.json");
    let manifest: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for layer in manifest[0]["Layers"].as_array().expect("Layers") {
        must(Command::new("tar").arg("-xf").arg(layout.join(layer.as_str().expect("path"))).arg("-C").arg(&root));
    }
}
