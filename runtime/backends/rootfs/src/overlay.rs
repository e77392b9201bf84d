//! Mounting overlays.
//!
//! Every mount stays in the namespace of the process that makes it, so none outlives that process.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount,
};

use crate::protocol::Overlay;

/// Features that would put what only this kernel or mount understands into a layer are off. For redirects `nofollow`
/// is that: `off` may mean `follow`, which `userxattr` forbids.
const OPTIONS: [(&CStr, &CStr); 4] =
    [(c"redirect_dir", c"nofollow"), (c"metacopy", c"off"), (c"index", c"off"), (c"xino", c"off")];

/// Mounts `overlay` on the directory `at`, in this process's mount namespace.
///
/// Changes the working directory where the kernel takes no long list of lowers, so only for forked children.
pub(crate) fn mount_at(overlay: &Overlay, at: &Path) -> io::Result<()> {
    match detached(overlay) {
        Ok(mount) => Ok(move_mount(mount.as_fd(), "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => classic(overlay, at),
        Err(error) => Err(error.into()),
    }
}

/// Mounts `overlay` where no path leads, and gives its root. The mount ends when the last descriptor on it is closed.
///
/// `at` is an empty directory for kernels that cannot do without a mount point; the caller's mount namespace has it
/// for an instant then.
pub(crate) fn open(overlay: &Overlay, at: &Path) -> io::Result<OwnedFd> {
    match detached(overlay) {
        Ok(mount) => Ok(mount),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => std::thread::scope(|scope| {
            // A thread of its own, since the classic way needs a working directory of its own.
            let classic = || {
                crate::sys::unshare(rustix::thread::UnshareFlags::FS)?;
                classic(overlay, at)?;
                let root = rustix::fs::open(at, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
                rustix::mount::unmount(at, UnmountFlags::DETACH)?;
                Ok(root)
            };
            scope.spawn(classic).join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
        }),
        Err(error) => Err(error.into()),
    }
}

/// The lowers from the top down, each once: the kernel refuses a directory that stands there twice, as it does where
/// a step made again what another had undone. Every path of the same layer further down is covered by the one above.
fn lowers(overlay: &Overlay) -> Vec<&Path> {
    let mut once: Vec<&Path> = Vec::with_capacity(overlay.lowers.len());
    for lower in &overlay.lowers {
        if !once.contains(&lower.as_path()) {
            once.push(lower);
        }
    }
    once
}

/// The new way (Linux 6.8 and later): each lower given for itself, mounted nowhere.
fn detached(overlay: &Overlay) -> Result<OwnedFd, Errno> {
    let fs = fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let fs = fs.as_fd();
    for lower in lowers(overlay) {
        fsconfig_set_string(fs, c"lowerdir+", lower)?;
    }
    fsconfig_set_string(fs, c"upperdir", &overlay.upper)?;
    fsconfig_set_string(fs, c"workdir", &overlay.work)?;
    for (name, value) in OPTIONS {
        fsconfig_set_string(fs, name, value)?;
    }
    fsconfig_set_flag(fs, c"volatile")?;
    if crate::in_user_namespace() {
        fsconfig_set_flag(fs, c"userxattr")?;
    }
    fsconfig_create(fs)?;
    fsmount(fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

/// The old way: all options in one page, so lowers are named by short links relative to the working directory.
fn classic(overlay: &Overlay, at: &Path) -> io::Result<()> {
    let _ = std::fs::remove_dir_all(&overlay.links);
    std::fs::create_dir(&overlay.links)?;
    let mut names = Vec::new();
    for (number, lower) in lowers(overlay).into_iter().enumerate() {
        std::os::unix::fs::symlink(lower, overlay.links.join(number.to_string()))?;
        names.push(number.to_string());
    }
    let link = |name: &str, to: &Path| std::os::unix::fs::symlink(to, overlay.links.join(name));
    link("u", &overlay.upper)?;
    link("w", &overlay.work)?;
    rustix::process::chdir(&overlay.links)?;
    let options = OPTIONS.map(|(name, value)| format!(",{}={}", name.to_string_lossy(), value.to_string_lossy()));
    let user = if crate::in_user_namespace() { ",userxattr" } else { "" };
    let data = format!("lowerdir={},upperdir=u,workdir=w{}{user},volatile", names.join(":"), options.concat());
    let data = std::ffi::CString::new(data)?;
    Ok(rustix::mount::mount(c"overlay", at, c"overlay", MountFlags::empty(), data.as_c_str())?)
}
