//! What a serial console says. Kernels, firmwares and boot loaders have fixed words for what goes wrong.

use super::{Cause, Kind};

/// What a line must hold, and what it means then.
struct Sign {
    words: &'static [&'static str],
    kind: Kind,
    message: &'static str,
    help: &'static str,
}

const MORE_MEMORY: &str = "give the machine more with `memory`, or make the step take less";
const MORE_DISK: &str = "give the machine a larger disk with `disk`, or remove what the steps before leave behind";
const BROKEN: &str = "is the image damaged, or the host's disk full? `qemu-img check` tells of the image";

/// After these nothing goes on. The last of them that the console has counts: an earlier one was survived.
const FATAL: &[Sign] = &[
    Sign {
        words: &["Kernel panic - not syncing: VFS: Unable to mount root fs"],
        kind: Kind::NoBoot,
        message: "the guest's kernel finds no root file system",
        help: "its initrd lacks the driver of the disk, or `root=` on its command line names another",
    },
    Sign {
        words: &["Kernel panic - not syncing: Out of memory"],
        kind: Kind::Memory,
        message: "the guest ran out of memory, and its kernel stopped",
        help: MORE_MEMORY,
    },
    Sign {
        words: &["Kernel panic - not syncing: System is deadlocked on memory"],
        kind: Kind::Memory,
        message: "the guest ran out of memory, and its kernel stopped",
        help: MORE_MEMORY,
    },
    Sign {
        words: &["Kernel panic - not syncing: Attempted to kill init!"],
        kind: Kind::Panic,
        message: "the guest's first process ended, and its kernel stopped",
        help: "what it wrote before stands on the serial console",
    },
    Sign {
        words: &["Kernel panic - not syncing"],
        kind: Kind::Panic,
        message: "the guest's kernel stopped",
        help: "the serial console has its whole report",
    },
    Sign {
        words: &["ALERT!", "does not exist.  Dropping to a shell!"],
        kind: Kind::NoBoot,
        message: "the guest's initrd does not find the root file system",
        help: "`root=` on the kernel's command line names a disk that the machine does not have, or the driver is missing",
    },
    Sign {
        words: &["You are in emergency mode"],
        kind: Kind::Rescue,
        message: "the guest stopped half way through its start, in emergency mode",
        help: "a file system of its `/etc/fstab` may be missing; the lines before say which unit failed",
    },
    Sign {
        words: &["Give root password for maintenance"],
        kind: Kind::Rescue,
        message: "the guest stopped half way through its start, and waits for repairs",
        help: "a file system of its `/etc/fstab` may be missing; the lines before say which unit failed",
    },
    Sign {
        words: &["No bootable device"],
        kind: Kind::NoBoot,
        message: "the firmware finds no disk that it can boot from",
        help: "a disk that boots by UEFI needs `firmware = uefi`",
    },
    Sign {
        words: &["No bootable option or device was found"],
        kind: Kind::NoBoot,
        message: "the firmware finds no disk that it can boot from",
        help: "a disk that boots by BIOS needs `firmware = bios`",
    },
    Sign {
        words: &["grub rescue>"],
        kind: Kind::NoBoot,
        message: "the boot loader does not find its files",
        help: "the disk lacks a partition that it was installed with",
    },
];

/// These may be survived, but go before mere silence.
const GRAVE: &[Sign] = &[
    Sign {
        words: &["Out of memory: Kill"],
        kind: Kind::Memory,
        message: "the guest ran out of memory, and its kernel killed a process",
        help: MORE_MEMORY,
    },
    Sign {
        words: &["oom-kill:"],
        kind: Kind::Memory,
        message: "the guest ran out of memory, and its kernel killed a process",
        help: MORE_MEMORY,
    },
    Sign {
        words: &["No space left on device"],
        kind: Kind::DiskFull,
        message: "a disk of the guest is full",
        help: MORE_DISK,
    },
    Sign {
        words: &["Delayed block allocation failed", "error 28"],
        kind: Kind::DiskFull,
        message: "a disk of the guest is full",
        help: MORE_DISK,
    },
    Sign {
        words: &["I/O error, dev "],
        kind: Kind::DiskBroken,
        message: "a disk of the guest does not work",
        help: BROKEN,
    },
    Sign {
        words: &["EXT4-fs error"],
        kind: Kind::DiskBroken,
        message: "a file system of the guest is damaged",
        help: BROKEN,
    },
    Sign {
        words: &["XFS", "Corruption"],
        kind: Kind::DiskBroken,
        message: "a file system of the guest is damaged",
        help: BROKEN,
    },
    Sign {
        words: &["NIC Link is Down"],
        kind: Kind::Network,
        message: "the guest's network card lost its link",
        help: "did a step take it down?",
    },
    Sign {
        words: &["Lost carrier"],
        kind: Kind::Network,
        message: "the guest's network card lost its link",
        help: "did a step take it down?",
    },
];

/// What firmware says of a boot loader that secure boot refuses, before it goes on to look for another disk.
const REFUSED: &[Sign] = &[Sign {
    words: &["Access Denied", "BdsDxe: failed to load Boot"],
    kind: Kind::NoBoot,
    message: "secure boot refuses the guest's boot loader",
    help: "it is not signed by anybody whom the firmware trusts: sign it, or use `firmware = uefi`",
}];

/// Why the guest cannot go on.
pub(super) fn fatal(text: &str) -> Option<Cause> {
    let cause = last_sign(text, FATAL)?;
    // That nothing is left to boot from is only what comes of it.
    let refused = cause.line.as_ref().is_some_and(|line| line.contains("No bootable option"));
    let refused = refused.then(|| last_sign(text, REFUSED)).flatten();
    Some(refused.unwrap_or(cause))
}

/// What may be why.
pub(super) fn grave(text: &str) -> Option<Cause> {
    last_sign(text, GRAVE)
}

/// Whether programs complained about a full disk.
pub(super) fn full_disk(text: &str) -> Option<Cause> {
    last_sign(text, GRAVE).filter(|cause| cause.kind == Kind::DiskFull)
}

fn last_sign(text: &str, signs: &[Sign]) -> Option<Cause> {
    // The kernel's last line is the first of its report again, in brackets.
    text.lines().rev().filter(|line| !line.contains("---[ end ")).find_map(|line| {
        let sign = signs.iter().find(|sign| sign.words.iter().all(|word| line.contains(word)))?;
        let line = clean(line);
        // What the kernel adds after its fixed words says most.
        let detail = line.split_once("not syncing: ").map(|(_, detail)| format!(": {}", detail.trim()));
        let detail = detail.filter(|_| sign.kind == Kind::Panic).unwrap_or_default();
        Some(Cause {
            kind: sign.kind,
            message: format!("{}{detail}", sign.message),
            help: sign.help.to_owned(),
            line: Some(line),
        })
    })
}

/// The last line with something on it.
pub(super) fn last_line(text: &str) -> Option<String> {
    text.lines().rev().map(clean).find(|line| !line.is_empty())
}

/// Whether a line is a getty's question.
pub(super) fn is_login(line: &str) -> bool {
    line.trim_end().ends_with("login:")
}

/// A line without what terminals take for commands, and without the time that kernels put before it.
fn clean(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            // `ESC [ … letter`, the only kind that consoles get.
            '\u{1b}' => {
                if rest.next() == Some('[') {
                    for c in rest.by_ref() {
                        if c.is_ascii_alphabetic() {
                            break;
                        }
                    }
                }
            }
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    let text = out.trim();
    let untimed = text
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
        .filter(|(time, _)| time.trim().bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
    let text = untimed.map_or(text, |(_, rest)| rest);
    text.chars().take(200).collect()
}
