//! Virtual machines beside Packer, in one run: the same disk, the same three shell steps with an `apt-get install`.
//!
//! `make bench-machines` prints two tables, row by row. Both sides emulate where there is no KVM; each figure is one run, as
//! one of Packer's takes minutes. Absolute times belong to the machine, ratios are what to read. An argument chooses rows
//! by a part of their name. A row that fails says why, and the others go on.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench ends where something does not hold, and prints"
)]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The disk that both sides start from, reached by a key. Its guests install from the mirror that this host installs from.
fn base(public: &str) -> String {
    let mirror = mirror();
    format!(
        "image base {{\n  from = rootfs.debian(suite: \"bookworm\", packages: [\"systemd-sysv\", \"udev\", \
         \"linux-image-cloud-amd64\", \"openssh-server\", \"systemd-resolved\"])\n  use net.dhcp()\n  use ssh.authorized_key(\"root\", \
         \"{public}\")\n  sh \"mirror\" {{ script = \"\"\"\n    rm -f /etc/apt/sources.list.d/*\n    \
         echo 'deb {mirror} bookworm main' >/etc/apt/sources.list\n    \"\"\" }}\n}}\n\
         output bare = disk.image(base, size: 2GiB, format: qcow2)\n"
    )
}

/// The first Debian mirror in the host's list of sources, else Debian's own.
fn mirror() -> String {
    let lists = ["/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources"];
    let texts = lists.map(|list| fs::read_to_string(list).unwrap_or_default()).join("\n");
    let lines = texts.lines().filter(|line| line.starts_with("deb ") || line.starts_with("URIs:"));
    let mut words = lines.flat_map(str::split_whitespace).filter(|word| word.starts_with("http"));
    words.next().unwrap_or("http://deb.debian.org/debian").to_owned()
}

/// The three steps, with what is edited in the first and in the last.
fn steps(first: &str, last: &str) -> [String; 3] {
    [
        format!("mkdir -p /srv; echo {first} >/srv/first"),
        "export DEBIAN_FRONTEND=noninteractive; apt-get update -qq && apt-get install -qq -y --no-install-recommends \
         tree >/dev/null"
            .to_owned(),
        format!("tree /srv >/srv/last; echo {last} >>/srv/last"),
    ]
}

/// The four builds that are timed.
#[derive(Debug, Clone, Copy)]
struct Edit {
    what: &'static str,
    first: &'static str,
    last: &'static str,
}

const EDITS: [Edit; 4] = [
    Edit { what: "first build", first: "a", last: "a" },
    Edit { what: "nothing changed", first: "a", last: "a" },
    Edit { what: "the last step changed", first: "a", last: "b" },
    Edit { what: "the first of three changed", first: "b", last: "b" },
];

fn main() {
    // `cargo test --benches` and nextest ask for a list of tests: there are none here.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let bench = Bench::new(wanted);
    let failed = bench.beside_packer() + bench.by_memory();
    assert_eq!(failed, 0, "rows failed");
}

struct Bench {
    /// Parts of the names of rows; none: all rows.
    wanted: Vec<String>,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new(wanted: Vec<String>) -> Self {
        let dir = tempfile::Builder::new().prefix("imgc-bench-").tempdir_in("/var/tmp").expect("a folder in /var/tmp");
        let bench = Self { wanted, dir };
        let key = bench.path("key");
        must(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f"]).arg(&key));
        let public = fs::read_to_string(bench.path("key.pub")).expect("key");
        bench.write("base", &base(public.trim()));
        must(&mut bench.apply("base", &[]));
        bench
    }

    fn path(&self, sub: &str) -> PathBuf {
        self.dir.path().join(sub)
    }

    fn write(&self, package: &str, program: &str) {
        let dir = self.path(package);
        fs::create_dir_all(&dir).expect("folder");
        fs::write(dir.join("main.imgc"), program).expect("program");
        for (from, to) in [("key", "key"), ("base/out/bare.qcow2", "base.qcow2")] {
            if self.path(from).exists() && !dir.join(to).exists() {
                must(Command::new("cp").arg(self.path(from)).arg(dir.join(to)));
            }
        }
    }

    fn imgc(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgc"));
        command.args(args).env("IMGC_CACHE", self.path("cache")).env("XDG_STATE_HOME", self.path("state"));
        command
    }

    fn apply(&self, package: &str, args: &[&str]) -> Command {
        let mut command = self.imgc(&["apply"]);
        command.arg(self.path(package)).args(args);
        command
    }

    /// A program with the steps in a machine with so much memory, and its disk where that is wanted.
    fn program(&self, package: &str, memory: &str, steps: &[String], disk: bool) {
        let mut program = format!(
            "image vm {{\n  from = qemu.disk(file(\"./base.qcow2\"))\n  machine = {{ memory = {memory}, firmware = uefi, \
             login = {{ key = file(\"./key\") }} }}\n"
        );
        for (number, script) in steps.iter().enumerate() {
            let _ = write!(program, "  sh \"{number}\" {{ script = \"\"\"\n    {script}\n    \"\"\" }}\n");
        }
        program.push_str(if disk {
            "}\noutput shipped = disk.convert(vm, format: qcow2)\n"
        } else {
            "}\noutput vm = vm\n"
        });
        self.write(package, &program.replace("output vm = vm", "output kept = vm"));
    }

    /// Prints a row, or why there is none; whether it failed.
    fn row(&self, name: &str, cells: impl FnOnce() -> Vec<String>) -> usize {
        if !self.wanted.is_empty() && !self.wanted.iter().any(|part| name.contains(part.as_str())) {
            return 0;
        }
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(cells));
        let failed = usize::from(made.is_err());
        // What it was is on the standard error.
        println!("| {name} | {} |", made.unwrap_or_else(|_| vec!["failed".to_owned()]).join(" | "));
        failed
    }

    /// How many rows failed.
    fn beside_packer(&self) -> usize {
        println!(
            "| what | imgc | with the disk | `--cold` | cold ÷ imgc | Packer | Packer ÷ imgc | Packer ÷ with the disk |"
        );
        println!("|---|---|---|---|---|---|---|---|");
        EDITS.iter().map(|edit| self.row(edit.what, || self.edited(edit))).sum()
    }

    fn edited(&self, Edit { what, first, last }: &Edit) -> Vec<String> {
        let steps = steps(first, last);
        self.program("steps", "512MiB", &steps, false);
        let ours = must(&mut self.apply("steps", &[]));
        self.program("steps", "512MiB", &steps, true);
        let shipped = ours + must(&mut self.apply("steps", &[]));
        self.program("steps", "512MiB", &steps, false);
        // What ran just now, from its disk alone.
        let again: &[&str] = match *what {
            "the last step changed" => &["--cold", "--rerun", "vm/sh \"2\""],
            "the first of three changed" => &["--cold", "--rerun", "vm/sh \"0\""],
            _ => &[],
        };
        let cold = (!again.is_empty()).then(|| must(&mut self.apply("steps", again)));
        let packer = self.packer(&steps);
        let times = |of: Duration, by: Duration| format!("{:.1}", of.as_secs_f64() / by.as_secs_f64());
        let none = || "–".to_owned();
        vec![
            show(ours),
            show(shipped),
            cold.map_or_else(none, show),
            cold.map_or_else(none, |cold| times(cold, ours)),
            show(packer),
            times(packer, ours),
            times(packer, shipped),
        ]
    }

    /// One build by Packer: it has no cache, so each takes the same.
    fn packer(&self, steps: &[String]) -> Duration {
        let dir = self.path("packer");
        fs::create_dir_all(&dir).expect("folder");
        let _ = fs::remove_dir_all(dir.join("out"));
        let accelerator = if kvm_works() { "kvm" } else { "tcg" };
        let template = json!({
            "builders": [{
                "type": "qemu", "accelerator": accelerator, "headless": true, "disk_image": true,
                "iso_url": self.path("base/out/bare.qcow2"), "iso_checksum": "none", "format": "qcow2",
                "disk_size": "2048M", "disk_interface": "virtio", "net_device": "virtio-net", "memory": 512, "cpus": 2,
                "qemuargs": [["-bios", "/usr/share/ovmf/OVMF.fd"], ["-machine", format!("q35,accel={accelerator}")]],
                "ssh_username": "root", "ssh_private_key_file": self.path("key"), "ssh_timeout": "20m",
                "shutdown_command": "systemctl poweroff", "output_directory": dir.join("out"),
            }],
            "provisioners": steps.iter().map(|step| json!({ "type": "shell", "inline": [step] })).collect::<Vec<_>>(),
        });
        let file = dir.join("build.json");
        fs::write(&file, template.to_string()).expect("template");
        let mut packer = Command::new("packer");
        packer.args(["build", "-color=false"]).arg(&file).current_dir(&dir).env("PACKER_CACHE_DIR", dir.join("cache"));
        must(packer.env("CHECKPOINT_DISABLE", "1"))
    }

    /// What a step costs beyond its work, and what it keeps, by the memory of its machine; how many rows failed.
    fn by_memory(&self) -> usize {
        println!(
            "\n| memory | boot to an answered command | resume to an answered command | boot ÷ resume | pause a step | time to the \
             next step | the same step, `--cold` ÷ resumed | disk a step | memory a step |"
        );
        println!("|---|---|---|---|---|---|---|---|---|");
        ["512MiB", "2GiB"].iter().map(|memory| self.row(memory, || self.of_memory(memory))).sum()
    }

    fn of_memory(&self, memory: &str) -> Vec<String> {
        let package = format!("memory-{memory}");
        // One of its own: in the other store a guest with this disk has booted already.
        let store = self.path(&format!("cache-{memory}"));
        // Each build has so many steps, and those that are new say so.
        let build = |count: usize, last: &str, args: &[&str]| {
            let steps = (0..count).map(|step| format!("echo {step}{} >/root/{step}", if step > 0 { last } else { "" }));
            self.program(&package, memory, &steps.collect::<Vec<_>>(), false);
            let mut apply = self.imgc(&["-v", "apply"]);
            apply.arg(self.path(&package)).args(args).env("IMGC_CACHE", &store);
            timed(&mut apply)
        };
        let (_, said) = build(1, "", &[]);
        let boot = median(&said, "a booted guest answers", "ms=");
        let (two, said) = build(2, "a", &[]);
        let resumed: Vec<String> = ["b", "c", "d", "e"].iter().map(|edit| build(2, edit, &[]).1).collect();
        let resume = median(&(said + &resumed.concat()), "a resumed guest answers", "ms=");
        let (six, said) = build(6, "f", &[]);
        let pause = median(&said, "stood still", "pause_ms=");
        let next = six.saturating_sub(two) / 4;
        let (cold, _) = build(2, "f", &["--cold", "--rerun", "vm/sh \"1\""]);
        let (disk, kept) = self.stored(&self.path(&package), &store);
        vec![
            show(boot),
            show(resume),
            format!("{:.0}", boot.as_secs_f64() / resume.as_secs_f64()),
            show(pause),
            show(next),
            format!("{:.1}", cold.as_secs_f64() / two.as_secs_f64()),
            format!("{} KiB", disk >> 10),
            format!("{} MiB", kept >> 20),
        ]
    }

    /// The bytes of the one step of a package: its layer, and its memory part.
    fn stored(&self, package: &Path, store: &Path) -> (u64, u64) {
        let mut list = self.imgc(&["cache", "ls", "--format", "json"]);
        let output = list.env("IMGC_CACHE", store).output().expect("imgc");
        let list: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let package = format!("{}/main.imgc", package.display());
        let is_meant = |entry: &&Value| {
            let made = |it: &Value| it["package"] == package.as_str() && it["address"] == "vm/sh \"0\"";
            entry["addresses"].as_array().is_some_and(|all| all.iter().any(made))
        };
        let entry = list["entries"].as_array().and_then(|all| all.iter().find(is_meant)).expect("the step");
        (entry["bytes"].as_u64().unwrap_or(0), entry["memory_bytes"].as_u64().unwrap_or(0))
    }
}

/// Whether KVM starts a guest: its device can be there, and open, and yet run none (nested, without the means).
fn kvm_works() -> bool {
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-nodefaults", "-display", "none", "-machine", "q35,accel=kvm", "-cpu", "host", "-monitor", "stdio"]);
    let mut child = qemu.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("QEMU");
    // It may have ended already; then its exit code says so.
    let _ = child.stdin.take().map(|mut monitor| monitor.write_all(b"quit\n"));
    child.wait().is_ok_and(|status| status.success())
}

fn must(command: &mut Command) -> Duration {
    timed(command).0
}

/// The median of a number of milliseconds that lines of a log say.
fn median(log: &str, line: &str, field: &str) -> Duration {
    let said = log.lines().filter(|text| text.contains(line)).filter_map(|text| text.split_once(field));
    let mut all: Vec<u64> = said.filter_map(|(_, rest)| rest.split(' ').next()?.trim().parse().ok()).collect();
    all.sort_unstable();
    let middle = all.get(all.len() / 2);
    Duration::from_millis(*middle.unwrap_or_else(|| panic!("nothing says `{line}`:\n{log}")))
}

/// How long it took, and its standard error.
fn timed(command: &mut Command) -> (Duration, String) {
    let start = Instant::now();
    let output =
        command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let took = start.elapsed();
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (took, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn show(time: Duration) -> String {
    if time < Duration::from_secs(2) {
        format!("{:.0} ms", time.as_secs_f64() * 1e3)
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}
