//! What is told and kept of a guest that failed: the cause, from its console, its end and its network; the console itself
//! and a picture of the screen.

use std::fmt::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use imgc_backend::{BackendError, Cx, Exec, Fault, Program, Stream};
use imgc_guest::diagnosis::{Cause, Ended, Evidence, NETWORK, Screen, diagnose, fatal};
use imgc_store::Store;

use crate::command::file;
use crate::errors;
use crate::host::Room;
use crate::link::Link;

/// How many guests that failed leave their console and their screen behind.
const KEPT: usize = 20;
/// As much of a console is read at most.
const LONGEST: u64 = 1 << 20;
/// As much of a step's output is looked at.
const TAIL: usize = 8 << 10;
/// A guest whose kernel stopped may write its report for a while.
const REPORT: Duration = Duration::from_secs(2);

/// Where what is kept of failures goes, and what it is called.
#[derive(Debug, Clone)]
pub(crate) struct Keeping {
    folder: PathBuf,
    image: String,
}

impl Keeping {
    pub(crate) fn new(store: &Store, image: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        Self { folder: store.root().join("failures"), image: image.chars().map(plain).take(60).collect() }
    }
}

/// The console's text from a place on.
pub(crate) fn console(dir: &Path, from: u64) -> String {
    let read = || {
        let file = std::fs::File::open(dir.join(file::SERIAL))?;
        let size = file.metadata()?.len();
        let from = from.max(size.saturating_sub(LONGEST)).min(size);
        let mut bytes = vec![0; usize::try_from(size - from).unwrap_or(0)];
        file.read_exact_at(&mut bytes, from)?;
        std::io::Result::Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// How long the console is by now.
pub(crate) fn console_size(dir: &Path) -> u64 {
    std::fs::metadata(dir.join(file::SERIAL)).map_or(0, |meta| meta.len())
}

/// Waits until the console says that nothing will go on in the guest.
pub(crate) async fn stopped(dir: &Path, from: u64) {
    loop {
        let size = console_size(dir);
        tokio::time::sleep(REPORT).await;
        // One that still writes may yet go on, or has more to say.
        if console_size(dir) == size && size > from && fatal(&console(dir, from)).is_some() {
            return;
        }
    }
}

/// What Linux says last before the firmware takes over.
const RESTARTS: &str = "reboot: machine restart";

/// Where a guest that starts fell silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silent {
    /// Between a system that went down and the first program of the one that comes up: nothing can be lost.
    Starting,
    /// No system has said anything yet: there may be one that does not speak here.
    Unheard,
}

/// Waits until a guest that starts has said nothing on its console for so long that it may have hung where nothing of its
/// system runs yet.
pub(crate) async fn hung(dir: &Path, silence: Duration) -> Silent {
    let mut since = (console_size(dir), tokio::time::Instant::now());
    loop {
        tokio::time::sleep(REPORT).await;
        let size = console_size(dir);
        if size != since.0 {
            since = (size, tokio::time::Instant::now());
        } else if since.1.elapsed() > silence
            && let Some(silent) = starts(&console(dir, 0))
        {
            return silent;
        }
    }
}

/// Where in its start a system is, by all that the console says; none where its programs run.
fn starts(console: &str) -> Option<Silent> {
    let restarted = console.rfind(RESTARTS).and_then(|at| console.get(at + RESTARTS.len()..));
    let last = restarted.unwrap_or(console);
    if last.contains("Linux version") {
        return (!last.contains("systemd")).then_some(Silent::Starting);
    }
    // Where the one before spoke, the next one would.
    Some(if restarted.is_some() { Silent::Starting } else { Silent::Unheard })
}

/// The last output of a step.
#[derive(Debug, Default)]
pub(crate) struct Tail(Mutex<Vec<u8>>);

impl Tail {
    pub(crate) fn add(&self, bytes: &[u8]) {
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(bytes.get(bytes.len().saturating_sub(TAIL)..).unwrap_or_default());
        let over = tail.len().saturating_sub(TAIL);
        tail.drain(..over);
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

/// What happened while something ran in a guest, or while it started.
#[derive(Debug, Default)]
pub(crate) struct Moment {
    /// Where its console was when it began.
    pub(crate) from: u64,
    pub(crate) output: String,
    /// How long an answer was waited for, where none came.
    pub(crate) waited: Option<u64>,
}

/// The error with its cause, and with where console and screen are kept.
pub(crate) async fn explained(
    link: &mut Link,
    keeping: &Keeping,
    moment: &Moment,
    error: BackendError,
    cx: &Cx,
) -> BackendError {
    if matches!(error, BackendError::Interrupted | BackendError::Internal { .. }) {
        return error;
    }
    if matches!(error, BackendError::Disconnected { .. }) {
        // What QEMU ends with comes a moment after its connections.
        let _ = link.qemu.kept.wait(Duration::from_millis(500)).await;
    }
    let ended = link.qemu.kept.ended().map(how);
    let network = if suspects_network(&error, &moment.output) { ask_network(link, cx).await } else { None };
    let serial = console(&link.dir, moment.from);
    let room = Room::of(&link.dir);
    let full = room.is_none().then(|| room.to_string());
    let cause = diagnose(&Evidence {
        serial: &serial,
        ended,
        error: Some(&error),
        output: &moment.output,
        network: network.as_deref(),
        waited: moment.waited,
        full_host: full.as_deref(),
    });
    // Where the host is full the error says it, whatever the guest has to say.
    let cause = cause.filter(|_| !link.qemu.qmp.is_starved());
    let kept = keep(link, keeping, cx).await;
    told(&error, cause, moment, &kept)
}

/// How the machine's program ended, as its keeper says it.
fn how(status: ExitStatus) -> Ended {
    match (status.signal(), status.code().unwrap_or(1)) {
        (Some(signal), _) => Ended::Signal(signal),
        (None, 0) => Ended::PowerOff,
        (None, code @ 129..=192) => Ended::Signal(code - 128),
        (None, code) => Ended::Code(code),
    }
}

/// Whether it is worth to ask the guest about its network.
fn suspects_network(error: &BackendError, output: &str) -> bool {
    const WORDS: [&str; 9] = [
        "resolve",
        "resolution",
        "unreachable",
        "timed out",
        "No route to host",
        "onnection refused",
        "ailed to connect",
        "not connect",
        "etwork is down",
    ];
    matches!(error, BackendError::TimedOut { .. })
        || matches!(error, BackendError::StepFailed { .. }) && WORDS.iter().any(|word| output.contains(word))
}

async fn ask_network(link: &mut Link, cx: &Cx) -> Option<String> {
    let exec = Exec {
        program: Program::Script { interpreter: vec!["/bin/sh".to_owned()], text: NETWORK.to_owned() },
        env: std::collections::BTreeMap::new(),
        user: "root".to_owned(),
        workdir: "/".to_owned(),
        network: true,
        timeout: Some(Duration::from_secs(20)),
    };
    let said = Tail::default();
    let output = |stream: Stream, bytes: &[u8]| {
        if stream == Stream::Stdout {
            said.add(bytes);
        }
    };
    link.ask(&exec, &output, cx).await.ok()?;
    Some(said.text())
}

/// What was kept of a guest that failed.
#[derive(Debug, Default)]
struct Kept {
    console: Option<PathBuf>,
    screen: Option<PathBuf>,
}

/// Keeps the console and the screen of a guest that failed. What cannot be kept is left out: the failure itself counts.
async fn keep(link: &mut Link, keeping: &Keeping, cx: &Cx) -> Kept {
    let Keeping { folder, image } = keeping;
    // What a guest says may be nobody else's business.
    let _ = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    prune(folder);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let stem = format!("{:013}-{}-{image}", now.as_millis(), std::process::id());
    let to = folder.join(format!("{stem}.serial.log"));
    let needles = cx.needles();
    let copied = if needles.is_empty() {
        std::fs::copy(link.dir.join(file::SERIAL), &to).map(drop)
    } else {
        // What user data has a guest say stands there as well.
        std::fs::write(&to, needles.masked(&console(&link.dir, 0)))
    };
    let console = (console_size(&link.dir) > 0 && copied.is_ok()).then_some(to);
    let screen = folder.join(format!("{stem}.screen.png"));
    let shot = tokio::time::timeout(Duration::from_secs(10), screenshot(link, &screen)).await;
    Kept { console, screen: (shot == Ok(Some(()))).then_some(screen) }
}

/// A picture of the screen; none where QEMU is gone or nothing is on it.
async fn screenshot(link: &mut Link, to: &Path) -> Option<()> {
    link.qemu.kept.ended().is_none().then_some(())?;
    let raw = link.dir.join("screen.ppm");
    link.qemu.screenshot(&raw).await.ok()?;
    let bytes = std::fs::read(&raw).ok()?;
    let _ = std::fs::remove_file(&raw);
    let screen = Screen::from_ppm(&bytes).ok().filter(|screen| !screen.is_blank())?;
    std::fs::write(to, screen.to_png().ok()?).ok()
}

/// The whole story. Whose fault it is stays as it was where a cause does not say otherwise.
fn told(error: &BackendError, cause: Option<Cause>, moment: &Moment, kept: &Kept) -> BackendError {
    let what = errors::chain(error);
    let mut message = match (&cause, error) {
        (None, _) => what,
        (Some(cause), _) if what.contains(&cause.message) => what,
        (Some(cause), BackendError::StepFailed { .. } | BackendError::TimedOut { .. }) => format!("{what}: {cause}"),
        (Some(cause), _) => cause.message.clone(),
    };
    let line = cause.as_ref().and_then(|cause| cause.line.as_ref());
    // The step's own output is shown anyway.
    if let Some(line) = line.filter(|line| !message.contains(*line) && !moment.output.contains(*line)) {
        let _ = write!(message, "; its console says `{line}`");
    }
    let help = cause.map(|cause| cause.help).or_else(|| error.help().map(str::to_owned));
    let mut help: Vec<String> = help.into_iter().filter(|help| !help.is_empty()).collect();
    help.extend(kept.console.iter().map(|path| format!("the guest's console is kept in {}", path.display())));
    help.extend(kept.screen.iter().map(|path| format!("its screen is kept in {}", path.display())));
    let help = Some(help.join("; ")).filter(|help| !help.is_empty());
    match error.fault() {
        Fault::Program => BackendError::Program { message, help },
        Fault::Environment => BackendError::Environment { message, help },
        Fault::Build | Fault::NotBuilt | Fault::Interrupted | Fault::Internal => {
            BackendError::Machine { message, help }
        }
    }
}

/// Removes the oldest of what was kept.
fn prune(folder: &Path) {
    let read = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = read.map(|entry| entry.path()).collect();
    files.sort();
    let many = files.len().saturating_sub(KEPT * 2);
    for file in files.into_iter().take(many) {
        let _ = std::fs::remove_file(file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_step_names_its_cause_once() {
        let cause = || {
            diagnose(&Evidence { serial: "[ 12.3] Out of memory: Killed process 7 (tail)\n", ..Evidence::default() })
        };
        let failed = BackendError::StepFailed { what: "sh \"fill\"".into(), how: "exit code 137".into() };
        let kept = Kept { console: Some("/c".into()), screen: None };
        let error = told(&failed, cause(), &Moment::default(), &kept);
        assert_eq!(
            error.to_string(),
            "sh \"fill\" ended with exit code 137: the guest ran out of memory, and its kernel killed a process; its \
             console says `Out of memory: Killed process 7 (tail)`"
        );
        assert!(error.help().unwrap().ends_with("; the guest's console is kept in /c"), "{error:?}");
        let alone = BackendError::StepFailed { what: "sh \"x\"".into(), how: "exit code 1".into() };
        assert_eq!(
            told(&alone, None, &Moment::default(), &Kept::default()).to_string(),
            "sh \"x\" ended with exit code 1"
        );
    }

    #[tokio::test]
    async fn a_guest_that_stopped_while_it_started_has_hung() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(file::SERIAL), "[   70.556809] reboot: machine restart\r\n").unwrap();
        tokio::time::timeout(REPORT * 3, hung(dir.path(), Duration::ZERO)).await.unwrap();
        let down = "systemd-shutdown[1]: Rebooting.\r\n[   70.5] reboot: machine restart\r\n";
        let kernel =
            "Welcome to GRUB!\r\n[    0.0] Linux version 6.1\r\n[   28.1] virtio_blk virtio0: [vda] 4194304\r\n";
        let system = "[   31.2] systemd[1]: Detected virtualization qemu.\r\n";
        for (console, silent) in [
            (down.to_owned(), Some(Silent::Starting)),
            (format!("{down}BdsDxe: loading Boot0001\r\n"), Some(Silent::Starting)),
            (format!("{down}{kernel}"), Some(Silent::Starting)),
            (format!("{down}{kernel}{system}"), None),
            ("BdsDxe: loading Boot0001\r\n".to_owned(), Some(Silent::Unheard)),
            (String::new(), Some(Silent::Unheard)),
        ] {
            assert_eq!(starts(&console), silent, "{console}");
        }
    }

    #[test]
    fn keepers_say_signals_as_shells_do() {
        assert_eq!(how(ExitStatus::from_raw(137 << 8)), Ended::Signal(9));
        assert_eq!(how(ExitStatus::from_raw(0)), Ended::PowerOff);
        assert_eq!(how(ExitStatus::from_raw(1 << 8)), Ended::Code(1));
    }

    #[test]
    fn a_tail_is_the_end() {
        let tail = Tail::default();
        tail.add(&[b'a'; TAIL]);
        tail.add(b"end");
        assert!(tail.text().ends_with("aend") && tail.text().len() == TAIL);
    }
}
