//! The world of one program: built by the first process of its namespaces, which then waits for it.

use std::io::PipeWriter;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use imgc_backend::MARKER;
use imgc_store::fail_point;
use rustix::process::{Gid, Pid, Uid, WaitOptions, wait};

use crate::accounts::Account;
use crate::protocol::{Failure, Reply, Root, Run, SCRIPT, Streams, send};
use crate::sys::{self, Blocked, Forked, Life};
use crate::translator;
use crate::world;

/// The name of every step's host: a build must not depend on where it runs.
const HOST_NAME: &[u8] = b"imgc";

/// The life of the first process in a step's namespaces: builds the world, starts the program, reaps until it ends,
/// and says how. With it the kernel ends everything the program left behind.
pub(crate) fn init(
    run: &Run,
    console: Option<&OwnedFd>,
    network: Option<&OwnedFd>,
    life: &mut Life,
    mut answer: PipeWriter,
) -> ! {
    fail_point!("step.cloned");
    // A second net beside the keeper's pipe. It holds here: the keeper has one thread only.
    life.end_with_parent();
    let reply = match supervise(run, console, network, &mut answer) {
        Ok(reply) => reply,
        Err(failure) => Reply::Failed(failure),
    };
    let _ = send(&mut answer, &reply);
    sys::exit_now(0);
}

fn supervise(
    run: &Run,
    console: Option<&OwnedFd>,
    network: Option<&OwnedFd>,
    answer: &mut PipeWriter,
) -> Result<Reply, Failure> {
    let signals = Blocked::new(&[libc::SIGTERM, libc::SIGCHLD]).map_err(Failure::system("block signals"))?;
    if let Some(network) = network {
        translator::join(network)?;
    }
    if let Root::Overlay { .. } = run.root {
        rustix::system::sethostname(HOST_NAME).map_err(Failure::system("set the host name"))?;
    }
    fail_point!("mount.begin");
    let made = world::build(run)?;
    fail_point!("mount.done");
    let reply = match sys::fork_into(0).map_err(Failure::system("fork"))? {
        Forked::Child => program(run, console, answer),
        Forked::Parent(pid) => {
            fail_point!("step.running");
            reap(pid, signals)
        }
    };
    fail_point!("step.ended");
    made.undo();
    Ok(reply)
}

/// Waits for the program and for every orphan of the namespace until the program has ended.
fn reap(program: Pid, signals: Blocked) -> Reply {
    loop {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == program {
                let signal = status.terminating_signal().map(Reply::Signal);
                return signal.unwrap_or(Reply::Code(status.exit_status().unwrap_or(-1)));
            }
        }
        if signals.next() == libc::SIGTERM {
            sys::signal_all(libc::SIGTERM);
        }
    }
}

/// Becomes the program, or says why that is not possible.
fn program(run: &Run, console: Option<&OwnedFd>, answer: &mut PipeWriter) -> ! {
    let failure = execute(run, console);
    let _ = send(answer, &Reply::Failed(failure));
    sys::exit_now(127);
}

fn execute(run: &Run, console: Option<&OwnedFd>) -> Failure {
    match prepare(run, console) {
        Ok(mut command) => {
            let error = command.exec();
            let program = command.get_program().to_string_lossy().into_owned();
            if error.kind() == std::io::ErrorKind::NotFound {
                let help = (program == "/bin/sh")
                    .then(|| "scripts need a shell: begin the image with a source that has one".to_owned());
                return Failure::Missing {
                    message: format!("the image has no `{program}`, or not what it needs to run"),
                    help,
                };
            }
            Failure::system::<std::io::Error>(format!("execute {program}"))(error)
        }
        Err(failure) => failure,
    }
}

fn prepare(run: &Run, console: Option<&OwnedFd>) -> Result<Command, Failure> {
    let _ = rustix::process::setsid();
    if let Some(console) = console {
        connect(&run.streams, console).map_err(Failure::system("connect the program to its console"))?;
    }
    sys::default_signals();
    sys::pages_as_found();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let mut env = run.env.clone();
    if let Root::Overlay { .. } = run.root {
        let account = Account::find(&run.user)?;
        let set = |name: &str, value: &str, env: &mut Vec<(String, String)>| {
            if !env.iter().any(|(known, _)| known == name) {
                env.push((name.to_owned(), value.to_owned()));
            }
        };
        set("HOME", &account.home, &mut env);
        set("USER", &account.name, &mut env);
        set("LOGNAME", &account.name, &mut env);
        become_account(&account)?;
    }
    std::env::set_current_dir(&run.workdir).map_err(|error| Failure::Missing {
        message: format!("cannot enter the working directory `{}` in the image: {error}", run.workdir),
        help: Some("make it in an earlier step".to_owned()),
    })?;
    let (name, arguments) = run
        .argv
        .split_first()
        .ok_or_else(|| Failure::Missing { message: "the program to run has no name".to_owned(), help: None })?;
    let mut command = Command::new(name);
    command.args(arguments).env_clear().envs(env);
    if run.script.is_some() {
        command.arg(SCRIPT);
    }
    if let (Root::Host { .. }, Some(run)) = (&run.root, std::env::var_os(MARKER)) {
        command.env(MARKER, run);
    }
    Ok(command)
}

/// Makes the console the program's standard streams.
fn connect(streams: &Streams, console: &OwnedFd) -> rustix::io::Result<()> {
    rustix::stdio::dup2_stdin(console)?;
    match streams {
        Streams::Output | Streams::Input(_) => Ok(()),
        Streams::Terminal(_) => {
            rustix::stdio::dup2_stdout(console)?;
            rustix::stdio::dup2_stderr(console)?;
            rustix::process::ioctl_tiocsctty(console)
        }
    }
}

fn become_account(account: &Account) -> Result<(), Failure> {
    let fail = || Failure::system::<rustix::io::Errno>(format!("become the user `{}`", account.name));
    let groups: Vec<Gid> = account.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    rustix::thread::set_thread_groups(&groups).map_err(fail())?;
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(fail())?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(fail())
}
