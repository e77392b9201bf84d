//! The network of a machine: a namespace of its own behind a user-mode translator (slirp4netns or pasta).

use std::io::{self, PipeReader, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Signal, WaitOptions, waitpid};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde::{Deserialize, Serialize};

use crate::protocol::Failure;
use crate::sys::{self, Forked};

/// How long a translator may take to be ready.
const PATIENCE: Duration = Duration::from_secs(5);

/// How the description of every failure to start one begins.
pub(crate) const STARTING: &str = "start a network with";

/// Which translator to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Tool {
    /// slirp4netns, at this path.
    Slirp(PathBuf),
    /// pasta, at this path.
    Pasta(PathBuf),
}

impl Tool {
    /// The one to use here, if any. slirp4netns stands first: as the machine's root pasta gives its rights away before
    /// it enters the namespace, and fails. Both need `/dev/net/tun`.
    pub(crate) fn find() -> Option<Self> {
        let tun = rustix::fs::access("/dev/net/tun", rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK);
        let found = |name| tun.is_ok().then(|| crate::enter::find_program(name)).flatten();
        found("slirp4netns").map(Self::Slirp).or_else(|| found("pasta").map(Self::Pasta))
    }

    /// Where a program behind it finds a name server.
    pub(crate) fn name_server(&self) -> &'static str {
        match self {
            Self::Slirp(_) => "10.0.2.3",
            Self::Pasta(_) => "169.254.1.1",
        }
    }

    fn command(&self, namespace: &str, ready: &Path) -> Command {
        match self {
            Self::Slirp(path) => {
                let mut command = Command::new(path);
                command.args(["--configure", "--mtu=65520", "--ready-fd=1", "--netns-type=path", namespace, "tap0"]);
                command
            }
            Self::Pasta(path) => {
                let mut command = Command::new(path);
                command.args(["--foreground", "--quiet", "--config-net", "--dns-forward", self.name_server()]);
                command.arg("--pid").arg(ready).args(["--netns", namespace]);
                command
            }
        }
    }
}

/// A running translator and the network namespace it serves.
pub(crate) struct Translator {
    namespace: OwnedFd,
    child: Child,
}

impl Translator {
    /// Makes the namespace and starts the translator. `ready` is a file that does not exist yet.
    pub(crate) fn start(tool: &Tool, ready: &Path) -> Result<Self, Failure> {
        let namespace = new_namespace().map_err(Failure::system(format!("{STARTING} a namespace of its own")))?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd());
        let mut command = tool.command(&path, ready);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        sys::die_with_keeper(&mut command);
        let doing = format!("{STARTING} {}", command.get_program().to_string_lossy());
        let mut child = command.spawn().map_err(Failure::system(doing.clone()))?;
        let ready = match tool {
            Tool::Slirp(_) => {
                child.stdout.take().is_some_and(|mut out| is_readable(&out) && out.read(&mut [0]).is_ok_and(|n| n == 1))
            }
            Tool::Pasta(_) => appears(ready, &mut child),
        };
        // From here on the translator ends with this value, on every way.
        let translator = Self { namespace, child };
        if ready { Ok(translator) } else { Err(Failure::System { doing, errno: libc::EPROTO }) }
    }

    /// The network that it serves.
    pub(crate) fn namespace(&self) -> &OwnedFd {
        &self.namespace
    }
}

impl Drop for Translator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Moves this process into a network namespace.
pub(crate) fn join(namespace: &OwnedFd) -> Result<(), Failure> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(Failure::system("enter the network of the machine"))
}

/// A network namespace with a loopback, held by nothing but the descriptor.
pub(crate) fn new_namespace() -> io::Result<OwnedFd> {
    let (mut up, mut tell) = io::pipe()?;
    let keeper = rustix::process::getpid();
    let Forked::Parent(pid) = sys::fork_into(libc::CLONE_NEWNET)? else {
        if sys::die_with(keeper).is_err() {
            sys::exit_now(1);
        }
        let errno = sys::loopback_up().err().map_or(0, |error| error.raw_os_error().unwrap_or(libc::EIO));
        let _ = tell.write_all(&errno.to_le_bytes());
        drop(tell);
        sleep_on(&up);
    };
    drop(tell);
    let mut errno = [0; 4];
    let answered = up.read_exact(&mut errno);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(format!("/proc/{pid}/ns/net"), flags, Mode::empty());
    let _ = rustix::process::kill_process(pid, Signal::KILL);
    let _ = waitpid(Some(pid), WaitOptions::empty());
    answered?;
    match i32::from_le_bytes(errno) {
        0 => Ok(opened?),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

fn sleep_on(_up: &PipeReader) -> ! {
    loop {
        std::thread::sleep(PATIENCE);
    }
}

/// Whether there is something to read before patience ends: a keeper that waits for ever serves nobody.
fn is_readable(out: &impl AsFd) -> bool {
    let timeout = rustix::fs::Timespec { tv_sec: 5, tv_nsec: 0 };
    poll(&mut [PollFd::new(out, PollFlags::IN)], Some(&timeout)).is_ok_and(|ready| ready == 1)
}

/// Whether the file comes into being before the program ends or patience does.
fn appears(file: &Path, child: &mut Child) -> bool {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if std::fs::read_to_string(file).is_ok_and(|text| text.ends_with('\n')) {
            return true;
        }
        if !matches!(child.try_wait(), Ok(None)) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}
