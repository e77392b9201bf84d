//! A running program: its pipes or terminal, its input on the way, its end, and all that it started.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::chown;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::accounts::{self, Account};
use crate::files::{failed, refused};
use crate::protocol::{CHUNK, INPUT_WINDOW, Reply, Run};
use crate::sys::{self, Identity};

const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What may be in a pipe when its program ends. What comes after that is from what it left in the background.
const LEFT_IN_PIPE: usize = 64 * 1024;

pub(crate) struct Program {
    child: Child,
    input: Option<File>,
    pending: VecDeque<u8>,
    input_ended: bool,
    outputs: Vec<Output>,
    terminal: bool,
    script: Option<PathBuf>,
    status: Option<ExitStatus>,
    signalled: bool,
}

struct Output {
    file: File,
    error: bool,
    /// Read since the program ended.
    after_end: usize,
}

impl Program {
    /// Starts a program; `directory` holds its script.
    pub(crate) fn start(run: &Run, script: Option<&[u8]>, directory: &Path, stream: u32) -> Result<Self, Reply> {
        let account = accounts::account(&run.user).map_err(refused)?;
        let Some((program, arguments)) = run.argv.split_first() else { return Err(refused("no program is named")) };
        if !Path::new(&run.workdir).is_dir() {
            return Err(refused(format!("the guest has no directory {} to run in", run.workdir)));
        }
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(environment(run, &account)).current_dir(&run.workdir);
        let script = script.map(|text| keep_script(text, directory, stream, &account)).transpose();
        let script = script.map_err(|error| failed("keep the script", &error))?;
        command.args(&script);
        let identity = Identity {
            uid: account.uid,
            gid: account.gid,
            groups: account.groups,
            network: run.network,
            terminal: run.terminal.is_some(),
        };
        sys::before_exec(&mut command, identity);
        let started = match run.terminal {
            Some(size) => Self::on_terminal(command, size.columns, size.rows),
            None => Self::on_pipes(command),
        };
        let mut started = started.map_err(|error| {
            forget(script.as_deref());
            // Which of the calls before the exec failed cannot be told; without a network it is the likely one.
            let network = if run.network { "" } else { " without a network" };
            refused(format!("cannot start {program}{network} in the guest: {error}"))
        })?;
        started.script = script;
        Ok(started)
    }

    fn on_pipes(mut command: Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let input = child.stdin.take().map(OwnedFd::from);
        let output = child.stdout.take().map(OwnedFd::from);
        let error = child.stderr.take().map(OwnedFd::from);
        Self::over(child, input, output, error, false)
    }

    fn on_terminal(mut command: Command, columns: u16, rows: u16) -> io::Result<Self> {
        let (ours, theirs) = sys::open_terminal(columns, rows)?;
        let copy = || theirs.try_clone().map(Stdio::from);
        let child = command.stdin(copy()?).stdout(copy()?).stderr(copy()?).spawn()?;
        Self::over(child, Some(ours.try_clone()?), Some(ours), None, true)
    }

    fn over(
        child: Child,
        input: Option<OwnedFd>,
        output: Option<OwnedFd>,
        error: Option<OwnedFd>,
        terminal: bool,
    ) -> io::Result<Self> {
        let mut outputs = Vec::new();
        for (fd, error) in [(output, false), (error, true)] {
            let Some(fd) = fd else { continue };
            sys::never_wait(fd.as_fd())?;
            outputs.push(Output { file: fd.into(), error, after_end: 0 });
        }
        if let Some(input) = &input {
            sys::never_wait(input.as_fd())?;
        }
        Ok(Self {
            child,
            input: input.map(File::from),
            pending: VecDeque::new(),
            input_ended: false,
            outputs,
            terminal,
            script: None,
            status: None,
            signalled: false,
        })
    }

    /// Takes input; an error where the client sends more than it may.
    pub(crate) fn give(&mut self, bytes: &[u8]) -> Result<(), Reply> {
        if self.pending.len() + bytes.len() > INPUT_WINDOW {
            return Err(refused("more input came than was asked for"));
        }
        self.pending.extend(bytes);
        Ok(())
    }

    pub(crate) fn end_input(&mut self) {
        self.input_ended = true;
        // A terminal's end of input is a character, and closing one of its descriptors ends nothing.
        if self.pending.is_empty() && !self.terminal {
            self.input = None;
        }
    }

    /// Where input waits to be passed on.
    pub(crate) fn wants_to_write(&self) -> Option<BorrowedFd<'_>> {
        self.input.as_ref().filter(|_| !self.pending.is_empty()).map(AsFd::as_fd)
    }

    /// Where output may come from.
    pub(crate) fn reads_from(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.outputs.iter().map(|output| output.file.as_fd())
    }

    /// Passes input on; the number of bytes that the client may send anew.
    pub(crate) fn write(&mut self) -> usize {
        let before = self.pending.len();
        while let Some(input) = &mut self.input {
            let (front, _) = self.pending.as_slices();
            if front.is_empty() {
                break;
            }
            match input.write(front) {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // It does not read any more, which is its own affair.
                Err(_) => self.input = None,
            }
        }
        if self.input.is_none() {
            self.pending.clear();
        }
        if self.input_ended {
            self.end_input();
        }
        before - self.pending.len()
    }

    /// Reads what is there, one piece a pipe.
    pub(crate) fn read(&mut self) -> Vec<Reply> {
        let ended = self.status.is_some();
        let mut replies = Vec::new();
        self.outputs.retain_mut(|output| {
            let mut bytes = vec![0; CHUNK];
            match output.file.read(&mut bytes) {
                Ok(0) => false,
                Ok(length) => {
                    bytes.truncate(length);
                    replies.push(if output.error { Reply::Stderr(bytes) } else { Reply::Stdout(bytes) });
                    output.after_end += if ended { length } else { 0 };
                    output.after_end < LEFT_IN_PIPE
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => !ended,
                // A terminal whose other side is closed.
                Err(_) => false,
            }
        });
        replies
    }

    /// How it ended, once it has and its output is read.
    pub(crate) fn ended(&mut self) -> Option<Reply> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        let status = self.status?;
        if !self.outputs.is_empty() {
            return None;
        }
        if self.signalled {
            self.signal(sys::SIGKILL);
        }
        Some(match status.signal() {
            Some(signal) => Reply::Killed(signal),
            None => Reply::Exited(status.code().unwrap_or(-1)),
        })
    }

    /// Whether its end has been seen, so that the rest of its output is to be read without waiting.
    pub(crate) fn is_draining(&self) -> bool {
        self.status.is_some()
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        if self.terminal
            && let Some(output) = self.outputs.first()
        {
            let _ = sys::resize(output.file.as_fd(), columns, rows);
        }
    }

    /// Signals the program and everything it started.
    pub(crate) fn signal(&mut self, number: i32) {
        self.signalled = true;
        let leader = self.child.id().cast_signed();
        let alive = self.status.is_none();
        for process in family(leader) {
            // The number of a program that was waited for may be another's by now; that of its session is not.
            if alive || process != leader {
                sys::send(process, number);
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.status.is_none() {
            self.signal(sys::SIGHUP);
            self.signal(sys::SIGKILL);
            let _ = self.child.wait();
        }
        forget(self.script.as_deref());
    }
}

fn environment(run: &Run, account: &Account) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = BTreeMap::new();
    let base = [
        ("PATH", SEARCH_PATH),
        ("LANG", "C.UTF-8"),
        ("HOME", account.home.as_str()),
        ("USER", account.name.as_str()),
        ("LOGNAME", account.name.as_str()),
        ("SHELL", account.shell.as_str()),
    ];
    env.extend(base.map(|(name, value)| (name.to_owned(), value.to_owned())));
    // A name with an equals sign, or a zero, would make another variable or none at all.
    let sound = |text: &str| !text.contains('\0');
    let given =
        run.env.iter().filter(|(name, value)| !name.is_empty() && !name.contains('=') && sound(name) && sound(value));
    env.extend(given.cloned());
    env
}

/// Keeps the script where only its user can read it.
fn keep_script(text: &[u8], directory: &Path, stream: u32, account: &Account) -> io::Result<PathBuf> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = directory.join(format!("step-{stream}"));
    let _ = fs::remove_file(&path);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(&path)?;
    file.write_all(text)?;
    match chown(&path, Some(account.uid), Some(account.gid)) {
        // Not root: the file is its own user's already.
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(error),
        _ => Ok(path),
    }
}

fn forget(script: Option<&Path>) {
    if let Some(path) = script {
        let _ = fs::remove_file(path);
    }
}

/// The processes of a session and all descendants of its leader.
fn family(leader: i32) -> BTreeSet<i32> {
    let mut processes: Vec<(i32, i32, i32)> = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        if let Some((parent, session)) = parent_and_session(&stat) {
            processes.push((pid, parent, session));
        }
    }
    let of_session = processes.iter().filter(|(.., session)| *session == leader).map(|(pid, ..)| *pid);
    let mut family: BTreeSet<i32> = of_session.chain([leader]).collect();
    loop {
        let before = family.len();
        for (pid, parent, _) in &processes {
            if family.contains(parent) {
                family.insert(*pid);
            }
        }
        if family.len() == before {
            return family;
        }
    }
}

/// From `/proc/N/stat`, whose second field may hold blanks and brackets.
fn parent_and_session(stat: &str) -> Option<(i32, i32)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(1);
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    Some((parent, session))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parent_and_session_are_found_behind_any_name() {
        assert_eq!(parent_and_session("12 (a) b) c) S 7 11 9 0 -1"), Some((7, 9)));
        assert_eq!(parent_and_session("12 (a"), None);
    }
}
