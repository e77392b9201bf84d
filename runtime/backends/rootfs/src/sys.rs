//! The few system calls that have no safe wrapper. Everything unsafe of this crate is in here.

#![expect(unsafe_code, reason = "fork, clone and signal handling have no safe form; each block says why it holds")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Pid;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Which side of a fork this is.
pub(crate) enum Forked {
    /// The new process.
    Child,
    /// The old one, with the id of the new one.
    Parent(Pid),
}

/// Forks with new namespaces for the child: [`libc::CLONE_NEWPID`] and so on; none for a plain fork.
///
/// The child is a copy of a single-threaded process: the keeper and [`crate::enter()`] call it before any thread exists,
/// so that everything is allowed in the child.
pub(crate) fn fork_into(namespaces: libc::c_int) -> io::Result<Forked> {
    // As an unsigned long, as clone(2) takes them.
    let flags = libc::c_long::from(namespaces | libc::SIGCHLD);
    // SAFETY: without CLONE_VM and with no new stack, clone is fork; no thread exists that could hold a lock.
    let result = unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize) };
    match i32::try_from(result).unwrap_or(-1) {
        0 => Ok(Forked::Child),
        pid if pid > 0 => Pid::from_raw(pid).map(Forked::Parent).ok_or_else(io::Error::last_os_error),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A descriptor that tokio watches.
pub(crate) fn watched(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd names the same open file until it is dropped, which AsyncFd does after it has stopped watching.
    unsafe { AsyncFd::register_with_interest(fd, interest) }.map_err(io::Error::from)
}

/// Ends a forked child at once, without running what its parent registered for its own exit.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Moves this process into new namespaces.
pub(crate) fn unshare(flags: rustix::thread::UnshareFlags) -> io::Result<()> {
    // SAFETY: CLONE_FILES, the flag that makes this unsafe, is never passed.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// A set of signals, blocked in this process.
#[derive(Clone, Copy)]
pub(crate) struct Blocked(libc::sigset_t);

impl Blocked {
    /// Blocks these signals, so that they wait until [`Blocked::next`] takes them.
    pub(crate) fn new(signals: &[libc::c_int]) -> io::Result<Self> {
        // SAFETY: sigset_t is plain data that sigemptyset fills in.
        let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: `set` is a valid set for the calls below.
        unsafe {
            libc::sigemptyset(&raw mut set);
            for signal in signals {
                libc::sigaddset(&raw mut set, *signal);
            }
            if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Self(set))
    }

    /// Waits for one of the signals.
    pub(crate) fn next(&self) -> libc::c_int {
        loop {
            // SAFETY: the set is valid; no information is asked for.
            let signal = unsafe { libc::sigwaitinfo(&raw const self.0, std::ptr::null_mut()) };
            if signal > 0 {
                return signal;
            }
        }
    }
}

/// Whether huge pages were off before [`without_huge_pages`].
static HAD_NONE: AtomicBool = AtomicBool::new(false);

/// Keeps this process and its forks on small pages: the allocator asks for huge ones, and to clear one of them for the few
/// values that a program's world is built from takes a tenth of a trivial step.
pub(crate) fn without_huge_pages() {
    HAD_NONE.store(rustix::thread::transparent_huge_pages_are_disabled().unwrap_or(false), Ordering::Relaxed);
    // A kernel without them has nothing to switch off.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Gives a program the pages that it would have had without [`without_huge_pages`].
pub(crate) fn pages_as_found() {
    let _ = rustix::thread::disable_transparent_huge_pages(HAD_NONE.load(Ordering::Relaxed));
}

/// Gives every signal its default action and blocks none, as a program expects to find them.
pub(crate) fn default_signals() {
    // SAFETY: default actions need no handler; the empty set is valid.
    unsafe {
        for signal in 1..=31 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Sends a signal to every process of this pid namespace but this one.
pub(crate) fn signal_all(signal: libc::c_int) {
    // SAFETY: kill has no memory preconditions; -1 is meant, and only pid 1 of a namespace calls this.
    unsafe { libc::kill(-1, signal) };
}

/// Brings the loopback interface of this network namespace up.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)?;
    // SAFETY: ifreq is plain data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::try_from(*from).unwrap_or_default();
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or_default();
    // SAFETY: the socket is open and the request lives through the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Has the program killed when the thread that starts it ends; for the keeper, which has one thread only.
pub(crate) fn die_with_keeper(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt as _;
    let keeper = rustix::process::getpid();
    // SAFETY: the closure makes two system calls and allocates nothing.
    unsafe { command.pre_exec(move || die_with(keeper)) };
}

/// Has this process, a child of `parent` in the same pid namespace, killed when that one ends.
///
/// # Errors
/// It has ended already: the signal would never come.
pub(crate) fn die_with(parent: Pid) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}

/// A pipe that is open for writing as long as the process that made it lives: what a child in a pid namespace of its
/// own, who sees no parent, can tell by whether that one has ended.
pub(crate) struct Life {
    read: io::PipeReader,
    write: Option<io::PipeWriter>,
}

impl Life {
    /// Of this process.
    pub(crate) fn new() -> io::Result<Self> {
        let (read, write) = io::pipe()?;
        Ok(Self { read, write: Some(write) })
    }

    /// In a forked child: has it killed when its parent ends, and ends it now where that has happened.
    ///
    /// The order decides: once the signal is asked for it comes for every later death, and an earlier one has closed
    /// the last writing end of the pipe. (Between clone and the asking there is time for the parent to be killed.)
    pub(crate) fn end_with_parent(&mut self) {
        drop(self.write.take());
        let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
        let mut fds = [rustix::event::PollFd::new(&self.read, rustix::event::PollFlags::IN)];
        let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: 0 };
        let _ = rustix::event::poll(&mut fds, Some(&now));
        let [read] = fds;
        if !read.revents().is_empty() {
            exit_now(1);
        }
    }
}

/// Makes a mount and all below it read-only.
pub(crate) fn read_only(mount: BorrowedFd<'_>) -> io::Result<()> {
    let attributes = libc::mount_attr { attr_set: libc::MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    // SAFETY: the descriptor is open, the path is empty and the attributes live through the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes a capability out of this process's reach and that of all it starts.
pub(crate) fn drop_capability(number: libc::c_int) {
    // SAFETY: prctl with numbers only.
    unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) };
}

/// Has every descriptor but the standard ones closed in programs, whoever opened it.
pub(crate) fn keep_descriptors_from_programs() {
    // SAFETY: sets a flag on descriptors; none is closed here.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}
