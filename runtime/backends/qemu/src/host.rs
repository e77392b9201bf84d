//! What this host has to run guests with: programs, firmware, accelerators; and what each QEMU was seen to be able to.
//!
//! Nothing is believed because it is there: `/dev/kvm` may exist and not work, and a QEMU may know a capability by name
//! only. A guest that is tried out says it. What was seen is remembered for as long as the program and the boot of the
//! host are the same.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use imgc_backend::{BackendError, Fault, Refusal};
use imgc_plan::{Digest, Platform};
use imgc_store::Store;
use serde::{Deserialize, Serialize};

use crate::process::Saving;
use crate::record::{Accelerator, Firmware, Machine};
use crate::{memory, probe};

/// A QEMU of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) program: PathBuf,
    /// Names this very program: its path, size and time.
    pub(crate) build: String,
}

/// The files that a UEFI machine boots by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Firmwares {
    pub(crate) code: PathBuf,
    pub(crate) vars: PathBuf,
    pub(crate) secure: bool,
}

/// What a QEMU was seen to be able to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// What runs guests here.
    pub(crate) accelerator: Accelerator,
    /// Why it is not the one that one would expect; to be said once.
    pub(crate) why: Option<String>,
    /// Whether memory parts work, and if not why.
    pub(crate) memory: Result<Keeping, String>,
}

/// In which ways a QEMU keeps the memory of a guest. Both say whether memory is written to fixed places of the file
/// (`mapped-ram`, QEMU 9) or as a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keeping {
    /// Where the RAM stays in a file of its own: the other memories. QEMU 9 and 10 fail at this (they look for a map of
    /// the RAM that they left out), so it is tried.
    pub(crate) mapped_beside: bool,
    /// Where the RAM is saved with everything else.
    pub(crate) mapped: bool,
}

impl Keeping {
    /// How a guest is saved whose RAM is in a file that stays, or is not.
    pub(crate) fn saving(self, ram_elsewhere: bool) -> Saving {
        Saving { ram_elsewhere, mapped: if ram_elsewhere { self.mapped_beside } else { self.mapped } }
    }
}

impl Host {
    /// The QEMU for guests of a platform.
    pub(crate) fn find(platform: &Platform) -> Result<Self, Refusal> {
        let (name, package) = match platform.arch.as_str() {
            "amd64" => ("qemu-system-x86_64", "qemu-system-x86"),
            "arm64" => ("qemu-system-aarch64", "qemu-system-arm"),
            "386" => ("qemu-system-i386", "qemu-system-x86"),
            "riscv64" => ("qemu-system-riscv64", "qemu-system-misc"),
            other => {
                return Err(Refusal {
                    message: format!("the qemu backend has no machine for {other}"),
                    help: Some("it has amd64, 386, arm64 and riscv64".to_owned()),
                    fault: Fault::Program,
                });
            }
        };
        let program = find_program(name).ok_or_else(|| missing(name, package))?;
        let meta = std::fs::metadata(&program).map_err(|error| Refusal {
            message: format!("cannot look at {}: {error}", program.display()),
            help: None,
            fault: Fault::Environment,
        })?;
        let build = format!("{} {} {}.{}", program.display(), meta.size(), meta.mtime(), meta.mtime_nsec());
        Ok(Self { program, build })
    }

    /// What it was seen to be able to; looks now where it was not seen since the host booted.
    pub(crate) async fn seen(&self, store: &Store, platform: &Platform) -> Result<Seen, BackendError> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let key = Digest::of(format!("imgc 2 probe\n{}\n{}\n{}", self.build, boot.trim(), platform.arch).as_bytes());
        let file = memory::folder(store)?.join(format!("probe-{}.json", key.short()));
        if let Ok(text) = std::fs::read(&file)
            && let Ok(seen) = serde_json::from_slice(&text)
        {
            return Ok(seen);
        }
        let seen = probe::look(self, store, platform).await?;
        // What cannot be remembered is looked at again the next time.
        if let Ok(text) = serde_json::to_vec(&seen) {
            let _ = std::fs::write(&file, text);
        }
        Ok(seen)
    }
}

/// The firmware that a machine asks for; none for a BIOS, which QEMU brings along.
pub(crate) fn firmware(machine: &Machine, platform: &Platform) -> Result<Option<Firmwares>, Refusal> {
    let secure = match machine.firmware {
        Firmware::Bios => return Ok(None),
        Firmware::Uefi => false,
        Firmware::UefiSecure => true,
    };
    if let Some(said) = std::env::var_os("IMGC_OVMF").filter(|said| !said.is_empty()) {
        return named(&said.to_string_lossy(), secure).map(Some);
    }
    let found = places(platform, secure).find(|files| files.code.is_file() && files.vars.is_file());
    found.map(Some).ok_or_else(|| Refusal {
        message: "this machine boots by UEFI, and no OVMF firmware was found".to_owned(),
        help: Some(
            "install it: `sudo apt-get install ovmf`; or name its two files in IMGC_OVMF: `CODE.fd:VARS.fd`".to_owned(),
        ),
        fault: Fault::Environment,
    })
}

/// The firmware that the environment names. Where it is not there, no other takes its place: a machine that boots by
/// another firmware than it was told to may boot something else.
fn named(said: &str, secure: bool) -> Result<Firmwares, Refusal> {
    let refuse = |message: String| Refusal {
        message,
        help: Some("name the two files of the firmware: `IMGC_OVMF=CODE.fd:VARS.fd`".to_owned()),
        fault: Fault::Environment,
    };
    let Some((code, vars)) = said.split_once(':') else {
        return Err(refuse(format!("IMGC_OVMF is `{said}`, which does not name two files")));
    };
    match [code, vars].iter().find(|file| !Path::new(file).is_file()) {
        Some(lost) => Err(refuse(format!("IMGC_OVMF names `{lost}`, and there is no such file"))),
        None => Ok(Firmwares { code: code.into(), vars: vars.into(), secure }),
    }
}

/// Where distributions put UEFI firmware.
fn places(platform: &Platform, secure: bool) -> impl Iterator<Item = Firmwares> {
    let pairs: &[(&str, &str)] = match (platform.arch.as_str(), secure) {
        ("amd64", false) => &[
            ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
            ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
            ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
            ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
            ("/opt/homebrew/share/qemu/edk2-x86_64-code.fd", "/opt/homebrew/share/qemu/edk2-i386-vars.fd"),
        ],
        ("amd64", true) => &[
            // Debian 12's small one does not come up in an emulated guest.
            ("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"),
            ("/usr/share/OVMF/OVMF_CODE.secboot.fd", "/usr/share/OVMF/OVMF_VARS.ms.fd"),
            ("/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.secboot.fd"),
        ],
        ("arm64", _) => &[("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd")],
        _ => &[],
    };
    pairs.iter().map(move |(code, vars)| Firmwares { code: code.into(), vars: vars.into(), secure })
}

/// The memory of this host in bytes; zero where it does not say.
pub(crate) fn memory_size() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

/// The processors that this process may use; zero where nobody says.
pub(crate) fn processors() -> u32 {
    std::thread::available_parallelism().map_or(0, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}

/// What is left of the file system that a directory is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Room {
    /// Where it is mounted.
    mount: PathBuf,
    /// In bytes.
    free: u64,
    size: u64,
}

impl Room {
    pub(crate) fn of(dir: &Path) -> Self {
        let device = |path: &Path| std::fs::metadata(path).ok().map(|meta| meta.dev());
        let here = device(dir);
        let mount = dir.ancestors().take_while(|path| device(path) == here).last().unwrap_or(dir).to_owned();
        let (free, size) = rustix::fs::statvfs(dir).map_or((0, 0), |stat| {
            (stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize))
        });
        Self { mount, free, size }
    }

    /// Whether it is too little for anything.
    pub(crate) fn is_none(&self) -> bool {
        self.size > 0 && self.free < 1 << 20
    }
}

impl std::fmt::Display for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (free, size) = (self.free >> 10, self.size >> 20);
        write!(f, "the file system at {} ({free} KiB of {size} MiB are free)", self.mount.display())
    }
}

/// A program in `PATH`, or in the folders of system programs.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/local/bin", "/usr/bin", "/usr/sbin", "/sbin"]);
    folders.filter(|folder| !folder.is_empty()).map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

/// The refusal of a machine whose program is not there.
pub(crate) fn missing(program: &str, package: &str) -> Refusal {
    Refusal {
        message: format!("{program} is not installed here"),
        help: Some(format!("install it: `sudo apt-get install {package}`; `imgc doctor` tells all")),
        fault: Fault::Environment,
    }
}

/// How long a probe guest may take to show a sign of life.
pub(crate) const SIGN_OF_LIFE: Duration = Duration::from_secs(8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firmware_that_is_named_and_not_there_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name).display().to_string();
        let both = format!("{}:{}", file("code.fd"), file("vars.fd"));
        std::fs::write(file("code.fd"), "").unwrap();
        let lost = named(&both, false).unwrap_err();
        assert_eq!(lost.message, format!("IMGC_OVMF names `{}`, and there is no such file", file("vars.fd")));
        std::fs::write(file("vars.fd"), "").unwrap();
        assert_eq!(named(&both, true).unwrap().vars.display().to_string(), file("vars.fd"));
        let one = named("/usr/share/OVMF", false).unwrap_err();
        assert_eq!(one.message, "IMGC_OVMF is `/usr/share/OVMF`, which does not name two files");
        assert_eq!(one.help.unwrap(), "name the two files of the firmware: `IMGC_OVMF=CODE.fd:VARS.fd`");
    }
}
