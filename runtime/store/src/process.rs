//! Processes by a name that no other process ever has: boot, process id and start time.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// A process. Ids are used again, also within one boot; together with the time of the start they are not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The kernel's id of the boot it runs in; empty where the kernel does not say.
    pub boot: String,
    /// Its id, as this process's pid namespace has it.
    pub pid: u32,
    /// When it started, in clock ticks since the boot; zero where the kernel does not say.
    pub start: u64,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.pid)
    }
}

impl Process {
    /// This process.
    pub fn this() -> Self {
        let pid = std::process::id();
        Self { boot: boot_id(), pid, start: start_time(pid).unwrap_or(0) }
    }

    /// The process with this id, a child that was not waited for as a rule; nothing where there is none.
    pub fn of(pid: u32) -> Option<Self> {
        Some(Self { boot: boot_id(), pid, start: start_time(pid)? })
    }

    /// Whether it still runs. One that ended and was not waited for by its parent runs no more.
    pub fn is_alive(&self) -> bool {
        self.boot == boot_id() && start_time(self.pid) == Some(self.start)
    }

    /// Sends it a signal; never to another process that was given its id. Returns whether it was there.
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return Ok(false) };
        // The descriptor is taken first: what is found to be the right process then, stays it.
        let there = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(there) => there,
            Err(rustix::io::Errno::SRCH) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        };
        if !self.is_alive() {
            return Ok(false);
        }
        match pidfd_send_signal(&there, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Waits until it has ended; false where it has not within `limit`. Blocks.
    pub fn wait(&self, limit: Duration) -> bool {
        let start = Instant::now();
        while self.is_alive() {
            if start.elapsed() > limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }
}

/// Names this boot of the machine; empty where the kernel does not say.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// Nothing where there is no such process, or only what is left of it until its parent waits for it.
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may itself hold spaces and parentheses.
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ');
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_one_with_its_id_from_another_time_does_not() {
        let this = Process::this();
        assert!(this.is_alive());
        for other in
            [Process { start: this.start + 1, ..this.clone() }, Process { boot: "another".to_owned(), ..this.clone() }]
        {
            assert!(!other.is_alive());
            assert!(!other.signal(Signal::KILL).unwrap());
        }
    }

    #[test]
    fn a_child_is_known_until_it_ends_even_when_nobody_waited_for_it() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let process = Process::of(child.id()).unwrap();
        assert!(process.is_alive() && !process.wait(Duration::from_millis(1)));
        assert!(process.signal(Signal::KILL).unwrap());
        assert!(process.wait(Duration::from_secs(60)));
        assert!(!process.signal(Signal::KILL).unwrap());
        child.wait().unwrap();
    }
}
