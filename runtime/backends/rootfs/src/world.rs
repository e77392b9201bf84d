//! What a program finds around it: `/proc`, `/sys`, `/dev`, `/run`, and the files of ours that are in no layer.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use crate::accounts::Account;
use crate::protocol::{Failure, Lent, Network, OURS, Root, Run, SCRIPT};
use crate::{overlay, sys, within};

/// Device nodes of the host that every program gets.
const NODES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Links in `/dev`.
const LINKS: [(&str, &str); 5] = [
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Capabilities that reach beyond a step's namespaces, and that root of a user namespace does not have either.
const BEYOND: [libc::c_int; 7] = [16, 17, 22, 25, 27, 34, 35];

/// A copy of a mount and all that is below it.
const CLONE: OpenTreeFlags =
    OpenTreeFlags::OPEN_TREE_CLONE.union(OpenTreeFlags::OPEN_TREE_CLOEXEC).union(OpenTreeFlags::AT_RECURSIVE);

/// The capability to configure networks.
const CONFIGURE_NETWORKS: libc::c_int = 12;

/// The capability to make device nodes.
const MAKE_NODES: libc::c_int = 27;

/// Mount points that the tree did not have and that were made in it.
pub(crate) struct Made(Vec<String>);

impl Made {
    /// Takes them away again, so that they enter no layer.
    pub(crate) fn undo(self) {
        for path in self.0.iter().rev() {
            let _ = rustix::mount::unmount(path.as_str(), UnmountFlags::DETACH);
            let _ = rustix::fs::unlink(path.as_str()).or_else(|_| rustix::fs::rmdir(path.as_str()));
        }
    }
}

/// Builds the world of a program and makes it this process's own.
pub(crate) fn build(run: &Run) -> Result<Made, Failure> {
    match &run.root {
        Root::Host { mount } => {
            if let Some((overlay, at)) = mount {
                overlay::mount_at(overlay, at).map_err(Failure::system("mount an overlay for a host tool"))?;
            }
            // What it makes must be the same whoever runs it, and users cannot make device nodes.
            sys::drop_capability(MAKE_NODES);
            let proc = proc().map_err(Failure::system("mount /proc"))?;
            attach(&proc, CWD, "/proc").map_err(Failure::system("mount /proc"))?;
            Ok(Made(Vec::new()))
        }
        Root::Overlay { overlay, at, over, ours } => {
            overlay::mount_at(overlay, at).map_err(Failure::system("mount the layers"))?;
            let root = open_root(at).map_err(Failure::system("open the root of the step"))?;
            let mut world = World { root, made: Vec::new() };
            world.fill(run, over, ours)?;
            pivot(at).map_err(Failure::system("change the root"))?;
            run.lent.iter().try_for_each(place)?;
            for capability in BEYOND {
                sys::drop_capability(capability);
            }
            if run.network == Network::Host {
                sys::drop_capability(CONFIGURE_NETWORKS);
            }
            Ok(Made(world.made))
        }
    }
}

/// A file of the host, as a mount of its own that cannot be written through.
fn read_only_file(from: &Path) -> Result<OwnedFd, Errno> {
    let tree = open_tree(CWD, from, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?;
    sys::read_only(tree.as_fd()).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
    Ok(tree)
}

fn open_root(at: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(at, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

struct World {
    root: OwnedFd,
    made: Vec<String>,
}

impl World {
    fn fill(
        &mut self,
        run: &Run,
        over: &[(std::path::PathBuf, String)],
        ours: &[(std::path::PathBuf, String)],
    ) -> Result<(), Failure> {
        self.mount("/proc", proc)?;
        self.guard_proc().map_err(Failure::system("make the kernel's settings read-only"))?;
        self.mount("/sys", sys_fs)?;
        self.mount("/dev", || tmpfs("0755"))?;
        self.fill_dev().map_err(Failure::system("fill /dev"))?;
        self.mount("/run", || tmpfs("0755"))?;
        self.fill_run(run, ours).map_err(Failure::system("fill /run"))?;
        for (from, to) in over {
            self.lay_over(from, to).map_err(Failure::system(format!("lay {} over {to}", from.display())))?;
        }
        Ok(())
    }

    fn mount(&mut self, path: &str, make: impl FnOnce() -> Result<OwnedFd, Errno>) -> Result<(), Failure> {
        let dir = within::ensure_dir(&self.root, path, &mut self.made);
        let dir = dir.map_err(Failure::system(format!("make the mount point {path}")))?;
        let mount = make().map_err(Failure::system(format!("mount {path}")))?;
        attach(&mount, dir.as_fd(), "").map_err(Failure::system(format!("mount {path}")))
    }

    /// Root of the machine must not change its kernel from within a step, any more than other users can.
    fn guard_proc(&self) -> Result<(), Errno> {
        for name in ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"] {
            let target = match within::open(&self.root, name, OFlags::PATH) {
                Err(Errno::NOENT) => continue,
                result => result?,
            };
            let tree = open_tree(target.as_fd(), "", CLONE | OpenTreeFlags::AT_EMPTY_PATH)?;
            sys::read_only(tree.as_fd()).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
            attach(&tree, target.as_fd(), "")?;
        }
        Ok(())
    }

    fn fill_dev(&self) -> Result<(), Errno> {
        let dev = within::open(&self.root, "/dev", OFlags::PATH | OFlags::DIRECTORY)?;
        for node in NODES {
            let tree = open_tree(
                CWD,
                format!("/dev/{node}"),
                OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
            )?;
            empty_file(dev.as_fd(), node, 0o666)?;
            attach(&tree, dev.as_fd(), node)?;
        }
        for (link, target) in LINKS {
            rustix::fs::symlinkat(target, &dev, link)?;
        }
        for dir in ["pts", "shm"] {
            rustix::fs::mkdirat(&dev, dir, Mode::from_raw_mode(0o755))?;
        }
        attach(&devpts()?, dev.as_fd(), "pts")?;
        attach(&tmpfs("1777")?, dev.as_fd(), "shm")
    }

    fn fill_run(&self, run: &Run, ours: &[(std::path::PathBuf, String)]) -> std::io::Result<()> {
        let lock = within::ensure_dir(&self.root, "/run/lock", &mut Vec::new())?;
        rustix::fs::fchmod(&lock, Mode::from_raw_mode(0o1777))?;
        let dir = within::ensure_dir(&self.root, OURS, &mut Vec::new())?;
        let put = |name: &str, bytes: &[u8], mode: u32| {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&dir, name, flags, Mode::from_raw_mode(mode))?;
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
            std::io::Write::write_all(&mut std::fs::File::from(file), bytes)
        };
        if let Some(script) = &run.script {
            put(within::split(SCRIPT).1, script.as_bytes(), 0o555)?;
        }
        // Laid in, not copied: with the certificates of a host they are larger than most of what a step writes.
        for (from, name) in ours {
            empty_file(dir.as_fd(), name, 0o444)?;
            attach(&read_only_file(from)?, dir.as_fd(), name)?;
        }
        Ok(())
    }

    /// Lays a file of ours over one of the tree; where there is none, it is there as long as the program runs.
    fn lay_over(&mut self, from: &Path, to: &str) -> Result<(), Errno> {
        let target = match within::open(&self.root, to, OFlags::PATH) {
            Err(Errno::NOENT) => match self.make_file(to)? {
                Some(target) => target,
                None => return Ok(()),
            },
            result => result?,
        };
        attach(&read_only_file(from)?, target.as_fd(), "")
    }

    /// Makes an empty file at `path`, or where the link at `path` leads if that is in the fresh `/run`.
    fn make_file(&mut self, path: &str) -> Result<Option<OwnedFd>, Errno> {
        let (parent, name) = within::split(path);
        let Ok(dir) = within::open(&self.root, parent, OFlags::PATH | OFlags::DIRECTORY) else { return Ok(None) };
        let link = rustix::fs::readlinkat(&dir, name, Vec::new()).ok().and_then(|link| link.into_string().ok());
        let path = match link.as_deref().map(|link| link.trim_start_matches("../")) {
            None => {
                self.made.push(path.to_owned());
                path.to_owned()
            }
            Some(link) if link.trim_start_matches('/').starts_with("run/") => {
                format!("/{}", link.trim_start_matches('/'))
            }
            Some(_) => return Ok(None),
        };
        let (parent, name) = within::split(&path);
        let dir = within::ensure_dir(&self.root, parent, &mut Vec::new())?;
        empty_file(dir.as_fd(), name, 0o644)?;
        within::open(&self.root, &path, OFlags::PATH).map(Some)
    }
}

/// Puts a file into the fresh `/run`; there is no link there yet that could lead elsewhere.
fn place(lent: &Lent) -> Result<(), Failure> {
    let account = Account::find(&lent.owner)?;
    let write = || -> std::io::Result<()> {
        within::ensure_dir(open_root(Path::new("/"))?, within::split(&lent.path).0, &mut Vec::new())?;
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&lent.path)?;
        std::io::Write::write_all(&mut file, lent.text.as_bytes())?;
        std::os::unix::fs::fchown(&file, Some(account.uid), Some(account.gid))?;
        file.set_permissions(std::fs::Permissions::from_mode(lent.mode))
    };
    write().map_err(Failure::system(format!("put the secret file {} in place", lent.path)))
}

fn empty_file(dir: BorrowedFd<'_>, name: &str, mode: u32) -> Result<(), Errno> {
    rustix::fs::mknodat(dir, name, FileType::RegularFile, Mode::from_raw_mode(mode), 0)
}

fn attach(mount: &OwnedFd, dir: BorrowedFd<'_>, path: &str) -> Result<(), Errno> {
    let mut flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    if path.is_empty() {
        flags |= MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    }
    move_mount(mount.as_fd(), "", dir, path, flags)
}

fn fresh(kind: &str, options: &[(&str, &str)], attributes: MountAttrFlags) -> Result<OwnedFd, Errno> {
    let fs = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, value) in options {
        fsconfig_set_string(fs.as_fd(), *name, *value)?;
    }
    fsconfig_create(fs.as_fd())?;
    fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn no_programs() -> MountAttrFlags {
    MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC
}

fn tmpfs(mode: &str) -> Result<OwnedFd, Errno> {
    fresh("tmpfs", &[("mode", mode)], MountAttrFlags::MOUNT_ATTR_NOSUID)
}

fn devpts() -> Result<OwnedFd, Errno> {
    let options = [("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")];
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fresh("devpts", &options, attributes)
}

/// The namespace's own `/proc`; in containers that hide parts of theirs the kernel refuses that, and theirs serves.
fn proc() -> Result<OwnedFd, Errno> {
    fresh("proc", &[], no_programs()).or_else(|error| match error {
        Errno::PERM | Errno::ACCESS => host_tree("/proc"),
        error => Err(error),
    })
}

/// A read-only `/sys`: fresh where the network namespace is ours, else the host's.
fn sys_fs() -> Result<OwnedFd, Errno> {
    let read_only = no_programs() | MountAttrFlags::MOUNT_ATTR_RDONLY;
    fresh("sysfs", &[], read_only).or_else(|_| {
        let tree = host_tree("/sys")?;
        sys::read_only(tree.as_fd()).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        Ok(tree)
    })
}

fn host_tree(path: &str) -> Result<OwnedFd, Errno> {
    open_tree(CWD, path, CLONE)
}

/// Makes `root` the root and lets go of the old one.
fn pivot(root: &Path) -> Result<(), Errno> {
    rustix::process::chdir(root)?;
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")
}
