//! The few calls of the kernel that the standard library does not offer, each behind a safe function.

#![expect(unsafe_code, reason = "foreign functions; each block says why it holds")]

use std::ffi::{CStr, c_char, c_int, c_long, c_short, c_uint, c_ulong, c_void};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

pub(crate) const POLLIN: c_short = 1;
pub(crate) const POLLOUT: c_short = 4;
pub(crate) const POLLHUP: c_short = 16;

pub(crate) const SIGHUP: i32 = 1;
pub(crate) const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
const SIGCHLD: i32 = 17;

const O_NONBLOCK: c_int = 0o4000;
const O_RDWR_NOCTTY: c_int = 0o2 | 0o400 | 0o2_000_000;
const F_GETFL: c_int = 3;
const F_SETFL: c_int = 4;
const CLONE_NEWNET: c_int = 0x4000_0000;
const CLOCK_REALTIME: c_int = 0;

const TIOCSCTTY: c_ulong = 0x540e;
const TIOCSWINSZ: c_ulong = 0x5414;
const TIOCGPTN: c_ulong = 0x8004_5430;
const TIOCSPTLCK: c_ulong = 0x4004_5431;
const SIOCGIFFLAGS: c_ulong = 0x8913;
const SIOCSIFFLAGS: c_ulong = 0x8914;
const RNDADDENTROPY: c_ulong = 0x4008_5203;
const RNDRESEEDCRNG: c_ulong = 0x5207;
const FIFREEZE: c_ulong = 0xc004_5877;
const FITHAW: c_ulong = 0xc004_5878;

/// One entry of [`poll`].
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct PollFd {
    fd: RawFd,
    events: c_short,
    revents: c_short,
}

impl PollFd {
    pub(crate) fn new(fd: BorrowedFd<'_>, events: c_short) -> Self {
        Self { fd: fd.as_raw_fd(), events, revents: 0 }
    }

    /// Never reports anything, but keeps its place.
    pub(crate) fn unused() -> Self {
        Self { fd: -1, events: 0, revents: 0 }
    }

    /// Whether any of these came, or an error or the end did.
    pub(crate) fn came(self, events: c_short) -> bool {
        self.revents & (events | 8 | POLLHUP | 32) != 0
    }
}

#[repr(C)]
struct TimeSpec {
    seconds: i64,
    nanoseconds: c_long,
}

unsafe extern "C" {
    fn poll(fds: *mut PollFd, count: c_ulong, timeout: c_int) -> c_int;
    fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn signal(number: c_int, handler: usize) -> usize;
    fn write(fd: c_int, from: *const c_void, length: usize) -> isize;
    fn setsid() -> c_int;
    fn geteuid() -> c_uint;
    fn fork() -> c_int;
    fn _exit(code: c_int) -> !;
    fn dup2(from: c_int, to: c_int) -> c_int;
    fn unshare(flags: c_int) -> c_int;
    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn close(fd: c_int) -> c_int;
    fn setgroups(count: usize, groups: *const c_uint) -> c_int;
    fn setgid(group: c_uint) -> c_int;
    fn setuid(user: c_uint) -> c_int;
    fn umask(mask: c_uint) -> c_uint;
    fn clock_settime(clock: c_int, to: *const TimeSpec) -> c_int;
    fn sync();
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Waits until one of them has something to say; an interruption by a signal counts as the end of the time.
pub(crate) fn wait(fds: &mut [PollFd], at_most: Duration) -> io::Result<()> {
    let milliseconds = c_int::try_from(at_most.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: the pointer and the count are those of one slice of structs that have the kernel's layout.
    let result = check(unsafe { poll(fds.as_mut_ptr(), fds.len() as c_ulong, milliseconds) });
    match result {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            for fd in fds.iter_mut() {
                fd.revents = 0;
            }
            Ok(())
        }
        other => other.map(drop),
    }
}

/// Reads and writes give up instead of waiting.
pub(crate) fn never_wait(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as it is borrowed; these commands take an integer or nothing.
    unsafe {
        let flags = check(fcntl(fd.as_raw_fd(), F_GETFL))?;
        check(fcntl(fd.as_raw_fd(), F_SETFL, flags | O_NONBLOCK)).map(drop)
    }
}

/// Sends a signal; a process that is gone is no error, nor is one that may not be signalled.
pub(crate) fn send(pid: i32, number: i32) {
    // SAFETY: takes two integers.
    let _ = unsafe { kill(pid, number) };
}

/// Where the handlers write a byte that says which signal came.
static WAKE: AtomicI32 = AtomicI32::new(-1);

extern "C" fn woken(number: c_int) {
    let byte = u8::from(number == SIGTERM);
    // SAFETY: `write` may be called in a handler; the byte lives on this stack. A full pipe wakes as well.
    unsafe { write(WAKE.load(Ordering::Relaxed), (&raw const byte).cast(), 1) };
}

/// From now on the end of a child writes a zero to `fd`, and the request to end a one.
pub(crate) fn wake_by_signals(fd: BorrowedFd<'_>) {
    WAKE.store(fd.as_raw_fd(), Ordering::Relaxed);
    // SAFETY: the handler is a function of the right type that only calls what handlers may call.
    unsafe {
        signal(SIGCHLD, woken as *const () as usize);
        signal(SIGTERM, woken as *const () as usize);
        // Not ignored, which programs would inherit.
        signal(SIGHUP, woken as *const () as usize);
    }
}

/// Goes on as a child in a session of its own, with nothing open to whoever started it.
pub(crate) fn detach(null: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: there is one thread only, so the child may do whatever the parent might; the parent ends at once.
    unsafe {
        if check(fork())? > 0 {
            _exit(0);
        }
        check(setsid())?;
        for standard in 0..3 {
            check(dup2(null.as_raw_fd(), standard))?;
        }
    }
    Ok(())
}

/// What a program gets before it starts; called between fork and exec.
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) network: bool,
    /// Standard input is a terminal that becomes the session's own.
    pub(crate) terminal: bool,
}

impl Identity {
    /// Takes it on: a session, a network, ids.
    pub(crate) fn assume(&self) -> io::Result<()> {
        // The agent itself is to outlive a guest without memory; a program that takes it all must not. The path is short
        // enough that nothing is allocated for it.
        let _ = std::fs::write("/proc/self/oom_score_adj", "0");
        // SAFETY: plain calls of the kernel with integers, and a slice with its length.
        unsafe {
            check(setsid())?;
            if self.terminal {
                check(ioctl(0, TIOCSCTTY, 0))?;
            }
            if !self.network {
                check(unshare(CLONE_NEWNET))?;
                loopback_up()?;
            }
            umask(0o022);
            // Where the agent is not root it serves its own user only, and may not change groups.
            if geteuid() == 0 {
                check(setgroups(self.groups.len(), self.groups.as_ptr()))?;
                check(setgid(self.gid))?;
                check(setuid(self.uid))?;
            }
        }
        Ok(())
    }
}

/// Brings up the loopback of this network namespace.
fn loopback_up() -> io::Result<()> {
    #[repr(C)]
    struct Request {
        name: [u8; 16],
        flags: c_short,
        rest: [u8; 22],
    }
    let mut request = Request { name: *b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0", flags: 0, rest: [0; 22] };
    // SAFETY: the struct has the layout and size of `ifreq`, and outlives the calls.
    unsafe {
        let fd = check(socket(2, 2, 0))?;
        let result = check(ioctl(fd, SIOCGIFFLAGS, &raw mut request)).and_then(|_| {
            request.flags |= 1 | 0x40;
            check(ioctl(fd, SIOCSIFFLAGS, &raw mut request))
        });
        close(fd);
        result.map(drop)
    }
}

/// A terminal: the side that is ours, and the side of a program.
pub(crate) fn open_terminal(columns: u16, rows: u16) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut number: c_uint = 0;
    let unlocked: c_int = 0;
    // SAFETY: the path ends in a zero; the requests read or write one integer, which outlives the call.
    let ours = unsafe {
        let fd = check(open(c"/dev/ptmx".as_ptr(), O_RDWR_NOCTTY))?;
        let ours = OwnedFd::from_raw_fd(fd);
        check(ioctl(fd, TIOCSPTLCK, &raw const unlocked))?;
        check(ioctl(fd, TIOCGPTN, &raw mut number))?;
        ours
    };
    let path = format!("/dev/pts/{number}\0");
    let path = CStr::from_bytes_with_nul(path.as_bytes()).map_err(io::Error::other)?;
    // SAFETY: the path ends in a zero; the descriptor is new and nobody else's.
    let theirs = unsafe { OwnedFd::from_raw_fd(check(open(path.as_ptr(), O_RDWR_NOCTTY))?) };
    resize(ours.as_fd(), columns, rows)?;
    Ok((ours, theirs))
}

/// Changes the size of a terminal.
pub(crate) fn resize(terminal: BorrowedFd<'_>, columns: u16, rows: u16) -> io::Result<()> {
    let size: [u16; 4] = [rows, columns, 0, 0];
    // SAFETY: the request reads four shorts, which outlive the call.
    check(unsafe { ioctl(terminal.as_raw_fd(), TIOCSWINSZ, size.as_ptr()) }).map(drop)
}

/// Sets the clock.
pub(crate) fn set_clock(since_1970: Duration) -> io::Result<()> {
    let seconds = i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX);
    let to = TimeSpec { seconds, nanoseconds: c_long::from(since_1970.subsec_nanos()) };
    // SAFETY: the struct outlives the call.
    check(unsafe { clock_settime(CLOCK_REALTIME, &raw const to) }).map(drop)
}

/// Mixes bytes into the kernel's pool as entropy, and makes the generator take them up at once.
pub(crate) fn add_entropy(random: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    let length = i32::try_from(bytes.len()).map_err(io::Error::other)?;
    // `rand_pool_info`: bits, bytes, and the bytes themselves, in whole words.
    let mut info = vec![length.saturating_mul(8), length];
    for chunk in bytes.chunks(4) {
        let mut word = [0; 4];
        word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        info.push(i32::from_ne_bytes(word));
    }
    // SAFETY: the buffer has the layout that the request reads, and its own length in it.
    unsafe {
        check(ioctl(random.as_raw_fd(), RNDADDENTROPY, info.as_ptr()))?;
        check(ioctl(random.as_raw_fd(), RNDRESEEDCRNG)).map(drop)
    }
}

/// New files and directories are readable, and writable by their owner.
pub(crate) fn usual_umask() {
    // SAFETY: takes an integer and cannot fail.
    unsafe { umask(0o022) };
}

/// Writes everything to the disks.
pub(crate) fn sync_all() {
    // SAFETY: takes nothing and cannot fail.
    unsafe { sync() };
}

/// Lets nothing change in the file system of an open directory.
pub(crate) fn freeze(directory: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the request ignores its argument.
    check(unsafe { ioctl(directory.as_raw_fd(), FIFREEZE, 0) }).map(drop)
}

/// Lets it change again.
pub(crate) fn thaw(directory: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the request ignores its argument.
    check(unsafe { ioctl(directory.as_raw_fd(), FITHAW, 0) }).map(drop)
}

/// Lets `identity` be taken on by a program between its fork and its exec.
pub(crate) fn before_exec(command: &mut std::process::Command, identity: Identity) {
    use std::os::unix::process::CommandExt as _;
    // SAFETY: the closure makes calls of the kernel only, and allocates at most to report an error.
    unsafe { command.pre_exec(move || identity.assume()) };
}
