//! The keeper: starts every program of one machine and outlives imgc just long enough to clean up.
//!
//! Its standard input is a socket whose other end only imgc has. End of file there means that imgc is gone, however it
//! ended: the keeper kills the pid namespace of what runs, removes the machine's scratch directories and ends. It is
//! single-threaded, so it may fork programs straight into their namespaces, without executing imgc again for each.
//! Standard output and error are pipes for the programs; the keeper itself never writes to them.

use std::io::{self, PipeReader, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

use imgc_store::fail_point;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::protocol::{Failure, Network, Reply, Request, Run, Streams, receive, send};
use crate::sandbox;
use crate::sys::{self, Forked, Life};
use crate::translator::{Tool, Translator, new_namespace};

/// What is tried for a step without network. Containers often lack the second right.
const ALONE: &str = "make a network namespace with a loopback (it takes CAP_SYS_ADMIN and CAP_NET_ADMIN)";

/// The argument by which the `imgc` binary knows that it is to be the keeper.
pub const ARGUMENT: &str = "step-init";

/// Runs the keeper; `imgc step-init` calls it before anything else.
pub fn main() -> ExitCode {
    // Ctrl-C on the terminal is imgc's to handle; a group of its own keeps the keeper out of it.
    let _ = rustix::process::setsid();
    sys::keep_descriptors_from_programs();
    sys::without_huge_pages();
    let (Ok(control), Ok(life)) = (control(), Life::new()) else { return ExitCode::FAILURE };
    let mut keeper =
        Keeper { control, life, mount: None, guarded: Vec::new(), tool: None, translator: None, alone: None };
    match keeper.serve() {
        Ok(Served::Left) => {
            fail_point!("keeper.leaving");
            ExitCode::SUCCESS
        }
        Ok(Served::Orphaned) | Err(_) => {
            fail_point!("keeper.orphaned");
            drop(keeper.translator.take());
            keeper.clean();
            fail_point!("keeper.cleaned");
            ExitCode::FAILURE
        }
    }
}

/// The socket that is standard input; programs get `/dev/null` in its place.
fn control() -> io::Result<UnixStream> {
    let control = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty())?;
    rustix::stdio::dup2_stdin(null)?;
    Ok(control.into())
}

struct Keeper {
    control: UnixStream,
    /// Of this process.
    life: Life,
    mount: Option<PathBuf>,
    guarded: Vec<PathBuf>,
    tool: Option<Tool>,
    translator: Option<Translator>,
    /// A network with nothing but a loopback. It serves all programs of the machine that get none: making one for each
    /// takes longer than all the rest of a trivial step.
    alone: Option<OwnedFd>,
}

/// How serving ended.
enum Served {
    /// Asked to end.
    Left,
    /// imgc is gone.
    Orphaned,
}

/// How a program ended.
enum Ended {
    /// With an answer for imgc.
    Answer(Reply),
    /// It was killed, since imgc is gone.
    Orphaned,
}

impl Keeper {
    fn serve(&mut self) -> io::Result<Served> {
        loop {
            match receive(&mut self.control)? {
                None => return Ok(Served::Orphaned),
                Some(Request::Leave) => return Ok(Served::Left),
                Some(Request::Guard { mount, scratch, translator }) => {
                    (self.mount, self.guarded, self.tool) = (mount, scratch, translator);
                }
                // Nothing runs: it ended while the request was on its way.
                Some(Request::Terminate | Request::Kill) => {}
                Some(Request::Run(run)) => match self.run(&run) {
                    Ok(Ended::Answer(reply)) => send(&mut self.control, &reply)?,
                    Ok(Ended::Orphaned) => return Ok(Served::Orphaned),
                    Err(failure) => send(&mut self.control, &Reply::Failed(failure))?,
                },
            }
        }
    }

    /// Removes what a dead imgc cannot.
    fn clean(&self) {
        if let Some(mount) = &self.mount {
            let _ = rustix::mount::unmount(mount, rustix::mount::UnmountFlags::DETACH);
        }
        for scratch in &self.guarded {
            let _ = imgc_store::remove_tree(scratch);
        }
    }

    fn run(&mut self, run: &Run) -> Result<Ended, Failure> {
        if let (Network::Own, None, Some(tool)) = (run.network, &self.translator, &self.tool) {
            let ready = self.guarded.first().map(|dir| dir.join("translator")).unwrap_or_default();
            self.translator = Some(Translator::start(tool, &ready)?);
        }
        if run.network == Network::None && self.alone.is_none() {
            self.alone = Some(new_namespace().map_err(Failure::system(ALONE))?);
        }
        // Opened while the host's paths can be seen.
        let opened = open_streams(&run.streams)?;
        let namespaces = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
        let (read, write) = io::pipe().map_err(Failure::system("make a pipe"))?;
        let forked = sys::fork_into(namespaces).map_err(Failure::system("make the namespaces of a step"))?;
        let Forked::Parent(init) = forked else {
            drop(read);
            let network = match run.network {
                Network::None => self.alone.as_ref(),
                Network::Own => self.translator.as_ref().map(Translator::namespace),
                Network::Host => None,
            };
            sandbox::init(run, opened.as_ref(), network, &mut self.life, write);
        };
        drop((write, opened));
        Ok(self.wait(init, read))
    }

    /// Waits until the namespace is empty, passing on what imgc asks meanwhile.
    fn wait(&mut self, init: Pid, mut answer: PipeReader) -> Ended {
        let mut orphaned = false;
        loop {
            let fds = &mut [PollFd::new(&self.control, PollFlags::IN), PollFd::new(&answer, PollFlags::IN)];
            if let Err(error) = poll(fds, None) {
                if error == rustix::io::Errno::INTR {
                    continue;
                }
                orphaned = true;
            }
            let [control, answered] = fds;
            let asked = !control.revents().is_empty();
            if !answered.revents().is_empty() {
                break;
            }
            if asked {
                match receive(&mut self.control) {
                    Ok(Some(Request::Terminate)) => drop(kill_process(init, Signal::TERM)),
                    Ok(Some(Request::Kill)) => drop(kill_process(init, Signal::KILL)),
                    Ok(Some(Request::Guard { .. } | Request::Run(_) | Request::Leave) | None) | Err(_) => {
                        orphaned = true;
                    }
                }
            }
            if orphaned {
                let _ = kill_process(init, Signal::KILL);
                break;
            }
        }
        let mut said = Vec::new();
        let _ = answer.read_to_end(&mut said);
        // When the first process of a pid namespace can be waited for, all others are gone.
        let _ = waitpid(Some(init), WaitOptions::empty());
        if orphaned {
            return Ended::Orphaned;
        }
        let first = receive(&mut said.as_slice()).ok().flatten();
        Ended::Answer(first.unwrap_or(Reply::Signal(libc::SIGKILL)))
    }
}

/// What a program reads from, where that is not nothing.
fn open_streams(streams: &Streams) -> Result<Option<OwnedFd>, Failure> {
    use rustix::fs::{Mode, OFlags};
    let (path, how) = match streams {
        Streams::Output => return Ok(None),
        Streams::Input(path) => (path, OFlags::RDONLY),
        Streams::Terminal(path) => (path, OFlags::RDWR | OFlags::NOCTTY),
    };
    let opened = rustix::fs::open(path, how | OFlags::CLOEXEC, Mode::empty());
    opened.map(Some).map_err(Failure::system::<rustix::io::Errno>("open the console of the program"))
}
