//! The disks boot: firmware, the disk and a network card, nothing else, under TCG.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::bed::{Bed, Running, Who, free_port, has, lacking, must, run, shared, within};

/// A guest under TCG needs about a minute on an idle machine; ten leave room for a busy one.
const BOOT: Duration = Duration::from_secs(600);

/// A key pair that all tests of one run share, since it is an argument of the image; `(private, public text)`.
pub(crate) fn key() -> (PathBuf, String) {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = dir.join("e2e-key");
    let lock = fs::File::create(dir.join("e2e-key.lock")).expect("lock");
    lock.lock().expect("lock");
    if !path.exists() {
        must(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "e2e", "-f"]).arg(&path));
    }
    (path.clone(), fs::read_to_string(path.with_extension("pub")).expect("public key").trim().to_owned())
}

/// A guest that runs on an overlay of a disk, and what it needs to be talked to.
struct Guest {
    qemu: Running,
    ssh: u16,
    http: u16,
    serial: PathBuf,
    key: PathBuf,
}

impl Guest {
    /// Starts a guest with firmware, a disk and a network card.
    fn start(disk: &Path, dir: &Path) -> Self {
        let (ssh, http) = (free_port(), free_port());
        let serial = dir.join("serial.log");
        let child = Command::new("qemu-system-x86_64")
            .args([
                "-machine",
                "q35",
                "-accel",
                "tcg,thread=multi",
                "-cpu",
                "max",
                "-smp",
                "2",
                "-m",
                "1024",
                "-display",
                "none",
            ])
            .args(["-bios", "/usr/share/ovmf/OVMF.fd", "-no-reboot"])
            .arg("-drive")
            .arg(format!("file={},if=virtio,cache=unsafe", disk.display()))
            .arg("-nic")
            .arg(format!("user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:{ssh}-:22,hostfwd=tcp:127.0.0.1:{http}-:80"))
            .arg("-serial")
            .arg(format!("file:{}", serial.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("qemu-system-x86_64");
        Self { qemu: Running(child), ssh, http, serial, key: key().0 }
    }

    fn ssh(&self, script: &str) -> Command {
        let mut command = Command::new("ssh");
        command
            .args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"])
            .args(["-o", "ConnectTimeout=10", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i"])
            .arg(&self.key)
            .args(["-p", &self.ssh.to_string(), "root@127.0.0.1", script])
            .stdin(Stdio::null());
        command
    }

    /// Waits for a login by key.
    fn up(&mut self) {
        let start = std::time::Instant::now();
        loop {
            if run(&mut self.ssh("true")).status.success() {
                return;
            }
            let gone = self.qemu.0.try_wait().expect("wait").is_some();
            if gone || start.elapsed() > BOOT {
                let serial = fs::read(&self.serial).unwrap_or_default();
                let text = String::from_utf8_lossy(&serial);
                let tail: Vec<_> = text.lines().rev().take(60).collect();
                panic!(
                    "no login (guest gone: {gone}); the end of the serial console:\n{}",
                    tail.into_iter().rev().collect::<Vec<_>>().join("\n")
                );
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Powers the guest off from inside and waits for its end.
    fn off(mut self) {
        let _ = run(&mut self.ssh("systemctl poweroff"));
        within(BOOT, "the guest powers off", || self.qemu.0.try_wait().expect("wait"));
    }
}

/// An overlay over a disk that stays as it is.
fn overlay(disk: &Path, at: &Path) {
    must(Command::new("qemu-img").args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"]).arg(disk).arg(at));
}

/// `e2fsck -fn` of the root partition of a disk; panics where it is not clean.
fn fsck(disk: &Path, dir: &Path) {
    let raw = dir.join("fsck.raw");
    must(Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(disk).arg(&raw));
    let table = must(Command::new("sgdisk").arg("-i2").arg(&raw));
    let first: u64 = table
        .lines()
        .find_map(|l| l.strip_prefix("First sector: "))
        .and_then(|l| l.split_whitespace().next())
        .and_then(|n| n.parse().ok())
        .unwrap_or_else(|| panic!("no second partition: {table}"));
    let found = must(Command::new("e2fsck").arg("-fn").arg(format!("{}?offset={}", raw.display(), first * 512)));
    fs::remove_file(&raw).expect("rm");
    assert!(!found.contains("WARNING"), "{found}");
}

fn ready() -> bool {
    for program in ["qemu-system-x86_64", "mmdebstrap", "e2fsck", "sgdisk", "ssh"] {
        if !has(program) {
            return !lacking(program);
        }
    }
    true
}

#[test]
fn machine_web_answers_and_survives_a_power_off() {
    if !ready() {
        return;
    }
    let bed = shared();
    let package = bed.example("web");
    bed.apply(&package, &["--set", &format!("admin_key={}", key().1), "vm"]);
    let disk = package.join("out/vm.qcow2");
    must(Command::new("qemu-img").args(["check", "-q"]).arg(&disk));
    let dir = bed.path("tmp");
    fsck(&disk, &dir);
    let top = dir.join("top.qcow2");
    overlay(&disk, &top);
    for boot in 1..=2 {
        let mut guest = Guest::start(&top, &dir);
        guest.up();
        let page = within(BOOT, "HTTP answers", || {
            let answer =
                run(Command::new("curl").args(["-fsS", "-m", "20", &format!("http://127.0.0.1:{}/", guest.http)]));
            answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).into_owned())
        });
        assert!(page.contains("Hello"), "boot {boot}: {page}");
        assert_eq!(must(&mut guest.ssh("cat /etc/motd")).trim(), "built by imgc", "boot {boot}");
        let bad = must(
            &mut guest.ssh("dmesg | grep -E 'EXT4-fs (error|warning)' || true; systemctl --failed --no-legend --plain"),
        );
        assert_eq!(bad.trim(), "", "boot {boot}");
        guest.off();
        fsck(&top, &dir);
    }
}

/// Paths with an owner, mode or attribute that is easy to lose, and what `stat -c '%a %U:%G %F'` (and more) says of each.
const PATHS: &[(&str, &str, &str)] = &[
    ("suid", "cp /bin/true suid; chmod 4755 suid", "4755 root:root regular file"),
    ("sgid", "cp /bin/true sgid; chgrp adm sgid; chmod 2755 sgid", "2755 root:adm regular file"),
    ("capable", "cp /bin/true capable; setcap cap_net_bind_service=ep capable", "755 root:root regular file"),
    ("www", "echo w > www; chown www-data:www-data www; chmod 640 www", "640 www-data:www-data regular file"),
    ("sticky", "mkdir sticky; chmod 1777 sticky", "1777 root:root directory"),
    ("shared", "mkdir shared; chgrp staff shared; chmod 2775 shared", "2775 root:staff directory"),
    ("none", "echo n > none; chmod 0 none", "0 root:root regular file"),
    ("nobody", "echo n > nobody; chown nobody:nogroup nobody; chmod 600 nobody", "600 nobody:nogroup regular file"),
    ("pipe", "mkfifo -m 600 pipe", "600 root:root fifo"),
    ("link", "ln -s ../nowhere link", "777 root:root symbolic link"),
    ("first", "echo f > first; ln first second", "644 root:root regular file"),
    ("empty", ": > empty; chown 12345:54321 empty; chmod 604 empty", "604 UNKNOWN:UNKNOWN regular empty file"),
];

#[test]
fn machine_owners_modes_and_capabilities_arrive() {
    if !ready() {
        return;
    }
    // Built by an ordinary user: there every owner and capability has to cross a user namespace.
    let bed = Bed::new(Who::User);
    let package = bed.example("web");
    let program = package.join("main.imgc");
    let text = fs::read_to_string(&program).expect("program").replace("\"curl\"", "\"curl\", \"libcap2-bin\"");
    let make: Vec<_> = PATHS.iter().map(|(_, script, _)| format!("      {script}")).collect();
    let step = format!(
        "  sh \"paths\" {{\n    script = \"\"\"\n      mkdir /srv/e2e && cd /srv/e2e\n{}\n      \"\"\"\n  }}\n",
        make.join("\n")
    );
    let (head, tail) = text.split_once("\n}\n\noutput").expect("the end of the image");
    fs::write(&program, format!("{head}\n{step}}}\n\noutput{tail}")).expect("program");
    bed.apply(&package, &["--set", &format!("admin_key={}", key().1), "vm"]);
    let dir = bed.path("tmp");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).expect("mode");
    let top = dir.join("top.qcow2");
    overlay(&package.join("out/vm.qcow2"), &top);
    let mut guest = Guest::start(&top, &dir);
    guest.up();
    for (name, _, expected) in PATHS {
        let found = must(&mut guest.ssh(&format!("stat -c '%a %U:%G %F' /srv/e2e/{name}")));
        assert_eq!(found.trim(), *expected, "{name}");
    }
    let found = must(&mut guest.ssh("cd /srv/e2e; getcap capable; readlink link; stat -c '%h %u:%g' first empty; stat -c %i first second | uniq | wc -l"));
    assert_eq!(found, "capable cap_net_bind_service=ep\n../nowhere\n2 0:0\n1 12345:54321\n1\n");
    guest.off();
    fsck(&top, &dir);
}
