//! Entering the namespaces in which trees are read and written.
//!
//! As root that is a mount namespace, so that a killed run leaves no mount. As an ordinary user it is a user namespace
//! with a full range of ids first: the process is uid 0 in it, and from there on the code is the same.

use std::io::{self, Read as _, Write as _};
use std::process::Command;

use rustix::mount::MountPropagationFlags;
use rustix::process::Pid;
use rustix::thread::UnshareFlags;

use crate::sys::{self, Forked};

/// Ids that an image may use: 0 to 65535.
const IDS_NEEDED: u32 = 65536;

/// As whom imgc runs after [`enter()`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entered {
    /// As the machine's root.
    Root,
    /// As root of a user namespace.
    UserNamespace,
}

/// Why the namespaces cannot be entered; the environment has to change (exit code 4).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EnterError {
    /// What was tried and failed.
    pub message: String,
    /// How to get it.
    pub help: Option<String>,
}

impl From<EnterError> for imgc_backend::BackendError {
    fn from(error: EnterError) -> Self {
        Self::Environment { message: error.message, help: error.help }
    }
}

impl EnterError {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: Some(help.into()) }
    }
}

/// Enters the namespaces. Must be called before any thread exists, by commands that touch trees.
///
/// # Errors
/// What is missing and how to get it: rights in a container, `uidmap`, subordinate ids, user namespaces.
pub fn enter() -> Result<Entered, EnterError> {
    let root = rustix::process::geteuid().is_root();
    if !root {
        enter_user_namespace()?;
    }
    sys::unshare(UnshareFlags::NEWNS)
        .and_then(|()| {
            let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
            Ok(rustix::mount::mount_change("/", private)?)
        })
        .map_err(|error| if root { no_mount_rights(&error) } else { namespaces_forbidden(&error) })?;
    Ok(if root && !in_user_namespace() { Entered::Root } else { Entered::UserNamespace })
}

/// Whether this process is in a user namespace other than the first: `trusted.*` attributes are out of reach then.
pub fn in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().ne(["0", "0", "4294967295"])
}

/// What ordinary users lack to use imgc here; empty where nothing does. For `imgc doctor`; enters nothing.
pub fn missing_for_users() -> Vec<EnterError> {
    let mut missing = Vec::new();
    if find_program("newuidmap").is_none() || find_program("newgidmap").is_none() {
        missing.push(no_uidmap());
    }
    if !rustix::process::geteuid().is_root() {
        missing.extend(Ids::of_this_user().err());
    }
    if let Some((what, help)) = forbidding_switch() {
        missing.push(EnterError::new(what, help));
    }
    missing
}

/// The ranges that a user's ids are mapped to.
struct Ids {
    uid: u32,
    gid: u32,
    uids: (u32, u32),
    gids: (u32, u32),
}

impl Ids {
    fn of_this_user() -> Result<Self, EnterError> {
        let uid = rustix::process::getuid().as_raw();
        let gid = rustix::process::getgid().as_raw();
        let user = user_name(uid);
        let uids = sub_ids("/etc/subuid", user.as_deref(), uid)?;
        let gids = sub_ids("/etc/subgid", user.as_deref(), uid)?;
        Ok(Self { uid, gid, uids, gids })
    }
}

fn enter_user_namespace() -> Result<(), EnterError> {
    if find_program("newuidmap").is_none() || find_program("newgidmap").is_none() {
        return Err(no_uidmap());
    }
    let ids = Ids::of_this_user()?;
    let failed = |what: &str, error: io::Error| EnterError { message: format!("cannot {what}: {error}"), help: None };
    let (go_read, go_write) = io::pipe().map_err(|e| failed("make a pipe", e))?;
    let (mut said_read, said_write) = io::pipe().map_err(|e| failed("make a pipe", e))?;
    let me = rustix::process::getpid();
    wait_for_threads_to_go();
    let Forked::Parent(mapper) = sys::fork_into(0).map_err(|e| failed("fork", e))? else {
        drop(go_write);
        map_ids(me, &ids, go_read, said_write);
    };
    drop((go_read, said_write));
    // Where this fails the pipe closes without a byte, and the mapper ends.
    let unshared = sys::unshare(UnshareFlags::NEWUSER);
    if unshared.is_ok() {
        let _ = (&go_write).write_all(b"g");
    }
    drop(go_write);
    let mut said = String::new();
    let _ = said_read.read_to_string(&mut said);
    let status = rustix::process::waitpid(Some(mapper), rustix::process::WaitOptions::empty());
    unshared.map_err(|error| namespaces_forbidden(&error))?;
    let mapped = matches!(status, Ok(Some((_, status))) if status.exit_status() == Some(0));
    if !mapped {
        return Err(EnterError::new(
            format!("cannot map the subordinate ids of this user: {}", said.trim()),
            "see that /etc/subuid and /etc/subgid give this user a range of its own, and that newuidmap is setuid root",
        ));
    }
    become_root().map_err(|error| failed("become root of the user namespace", error))
}

/// Waits a moment until this is the only thread: who joins one goes on shortly before the kernel has let it go, and until then
/// `unshare` says EINVAL. Threads that stay are told by that error.
fn wait_for_threads_to_go() {
    let alone = || std::fs::read_dir("/proc/self/task").map_or(true, |tasks| tasks.count() <= 1);
    for _ in 0..200 {
        if alone() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// The mapper's whole life: waits until its parent is in its namespace, then maps ids into it from outside.
fn map_ids(parent: Pid, ids: &Ids, mut go: io::PipeReader, mut said: io::PipeWriter) -> ! {
    let mut byte = [0];
    if go.read_exact(&mut byte).is_err() {
        sys::exit_now(0);
    }
    let maps = [("newuidmap", ids.uid, ids.uids), ("newgidmap", ids.gid, ids.gids)];
    for (program, own, (start, count)) in maps {
        let numbers = [0, own, 1, 1, start, count].map(|n| n.to_string());
        let output = Command::new(program).arg(parent.to_string()).args(numbers).output();
        let error = match output {
            Ok(output) if output.status.success() => continue,
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => format!("{program}: {error}"),
        };
        let _ = said.write_all(error.as_bytes());
        sys::exit_now(1);
    }
    sys::exit_now(0);
}

fn become_root() -> io::Result<()> {
    let gid = rustix::process::Gid::ROOT;
    let uid = rustix::process::Uid::ROOT;
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// The largest range that `path` gives a user, by name or number; long enough for every id an image may use.
fn sub_ids(path: &str, user: Option<&str>, uid: u32) -> Result<(u32, u32), EnterError> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let number = uid.to_string();
    let best = text
        .lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let (owner, start, count) = (fields.next()?, fields.next()?, fields.next()?);
            let ours = Some(owner) == user || owner == number;
            Some((start.parse().ok()?, count.parse::<u32>().ok()?)).filter(|_| ours)
        })
        .max_by_key(|(_, count)| *count);
    match best {
        Some((start, count)) if count >= IDS_NEEDED - 1 => Ok((start, count)),
        Some((_, count)) => Err(EnterError::new(
            format!("{path} gives this user {count} subordinate ids, images need {IDS_NEEDED}"),
            sub_ids_help(user),
        )),
        None => Err(EnterError::new(format!("{path} gives this user no subordinate ids"), sub_ids_help(user))),
    }
}

fn sub_ids_help(user: Option<&str>) -> String {
    let user = user.unwrap_or("$USER");
    format!("give it a free range: `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}`")
}

fn user_name(uid: u32) -> Option<String> {
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let number = uid.to_string();
    let known = text.lines().find(|line| line.split(':').nth(2) == Some(&number));
    known.and_then(|line| line.split(':').next()).map(str::to_owned).or_else(|| std::env::var("USER").ok())
}

/// Where a program is, by `PATH` and the places that hold administrators' programs.
pub(crate) fn find_program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(std::path::PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|dir| dir.join(name)).find(|file| file.is_file())
}

fn no_uidmap() -> EnterError {
    EnterError::new(
        "cannot use imgc as an ordinary user: newuidmap and newgidmap are not installed",
        "install them (`sudo apt-get install uidmap`), or run imgc as root",
    )
}

fn no_mount_rights(error: &io::Error) -> EnterError {
    EnterError::new(
        format!("cannot make a mount namespace as root: {error}"),
        "in a container imgc needs CAP_SYS_ADMIN and a seccomp and AppArmor profile that allow mounts: \
         `docker run --privileged`, or `--cap-add SYS_ADMIN --security-opt seccomp=unconfined \
         --security-opt apparmor=unconfined`",
    )
}

fn namespaces_forbidden(error: &io::Error) -> EnterError {
    match forbidding_switch() {
        Some((what, help)) => EnterError::new(format!("cannot make a user namespace ({error}): {what}"), help),
        None => EnterError::new(
            format!("cannot make a user namespace: {error}"),
            "in a container, run it with `--privileged` or `--security-opt seccomp=unconfined`; else run imgc as root",
        ),
    }
}

/// The kernel setting that forbids user namespaces, and how to change it.
fn forbidding_switch() -> Option<(&'static str, &'static str)> {
    let value = |name: &str| std::fs::read_to_string(format!("/proc/sys/{name}")).ok().map(|v| v.trim().to_owned());
    if value("kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1") {
        return Some((
            "AppArmor keeps ordinary users from using user namespaces",
            "allow them with `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or run imgc as root",
        ));
    }
    if value("kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        return Some((
            "this kernel keeps ordinary users from using user namespaces",
            "allow them with `sudo sysctl -w kernel.unprivileged_userns_clone=1`, or run imgc as root",
        ));
    }
    if value("user/max_user_namespaces").as_deref() == Some("0") {
        return Some((
            "user namespaces are switched off",
            "allow them with `sudo sysctl -w user.max_user_namespaces=15000`, or run imgc as root",
        ));
    }
    None
}
