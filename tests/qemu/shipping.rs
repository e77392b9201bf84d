//! What leaves of a virtual machine, and what does not: its disk without anything of the build, secrets nowhere, tests on
//! throwaway overlays of just that disk; and machines that boot where their memory was dropped.
//!
//! One boot for all that can go on from its memory; what boots besides does so side by side.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::bed::{Bed, Running, Who, has, lacking, must, run, within};
use crate::guests::{Place, said, skipped, text};
use crate::resuming::root_partition;

/// What a build leaves in its machine, by hand: the key and the user that the seed of a build makes carry that mark. And
/// a file that was deleted again, whose blocks are not to be shipped.
fn program(more: &str) -> String {
    format!(
        r#"
secret token: String from env("IMGC_TEST_TOKEN")

image vm {{
  from = qemu.disk(file("./base.qcow2"))
  machine = {{ memory = 512MiB, firmware = uefi, login = {{ key = file("./key") }} }}
  sh "build" {{
    script = """
      echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOfthebuild imgc-build' >>/root/.ssh/authorized_keys
      useradd -m -c imgc-build builder
      mkdir -p /etc/sudoers.d
      echo 'builder ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/90-cloud-init-users
      head -c 150000000 /dev/urandom >/root/large
      sync
      rm /root/large
      echo built >/root/built
      ls /etc/ssh/ssh_host_* >/root/keys
      """
    network = false
  }}
}}
{more}
"#
    )
}

const SHIPPED: &str = "
output shipped = disk.convert(vm, format: qcow2)
output other = disk.convert(vm, format: vmdk)
";

const TESTS: &str = r#"
test clean of vm {
  sh "looks" {
    script = """
      echo "boot=$(cat /proc/sys/kernel/random/boot_id)"
      grep -qx built /root/built
      if grep -rqs imgc-build /root/.ssh /etc/passwd || [ -e /home/builder ]; then exit 4; fi
      touch /root/marked
      """
  }
}
test fresh of vm {
  sh "alone" {
    script = """
      echo "boot=$(cat /proc/sys/kernel/random/boot_id)"
      if [ -e /root/marked ]; then exit 5; fi
      touch /root/marked
      """
  }
}
"#;

/// A guest that is given one secret and leaks another, and one whose seed has one: both boot, side by side. Afterwards
/// there are steps without a secret, in guests that have seen one.
const SECRETS: &str = r##"
secret leaked: String from env("IMGC_TEST_LEAK")
secret planted: String from env("IMGC_TEST_SEED")

image told {
  from = vm
  sh "uses" {
    script = """
      echo "found=$(cat /root/built)"
      printf %s "$T" | sha256sum
      echo "file=$(sha256sum </run/secrets/token | cut -d ' ' -f 1) $(stat -c %a:%U /run/secrets/token)"
      echo used >/root/used
      """
    env = { T = token }
    secret_files = { "/run/secrets/token" => token }
    network = false
  }
  sh "after" { script = "test ! -e /run/secrets/token; echo after >/root/after" network = false }
  sh "leaks" { script = "printf %s \"$T\" >/root/leaked; sync" env = { T = leaked } network = false }
}
output kept_told = told

image seeded {
  from = qemu.disk(file("./base.qcow2"))
  machine = {
    memory = 512MiB
    firmware = uefi
    login = { key = file("./key") }
    seed = { user_data = "#cloud-config\n# \{planted}\n" }
  }
  sh "reads" {
    script = """
      mkdir -p /run/seed
      mount -t iso9660 -o ro /dev/disk/by-label/cidata /run/seed
      printf %s "$(sed -n 's/^# //p' /run/seed/user-data)" | sha256sum
      umount /run/seed
      """
    network = false
  }
  sh "after" { script = "echo after >/root/after" network = false }
}
output kept_seeded = seeded
"##;

#[test]
fn machine_ships_nothing_of_its_build() {
    if skipped() || ["debugfs", "sgdisk"].iter().any(|program| !has(program) && lacking(program)) {
        return;
    }
    let secrets = ["token", "leak", "seed"].map(canary);
    let place = apart();
    place.write(&program(SHIPPED));
    apply(&place, &secrets);
    let disk = place.package.join("out/shipped.qcow2");
    let sum = must(Command::new("sha256sum").arg(&disk));
    the_disk_is_clean(&place, &disk);

    memory_has_a_budget(&place);
    secrets_are_nowhere(&place, &secrets);

    place.write(&program(&format!("{SHIPPED}{TESTS}")));
    let (alone, serial) = by_itself(&place, &secrets);
    let mut imgc =
        place.bed.imgc(&["-C", place.package.to_str().expect("UTF-8"), "test", "--format", "tap", "-j", "2"]);
    let tested = run(with(&mut imgc, &secrets));
    let said = text(&tested);
    assert!(tested.status.success(), "{said}");
    assert!(said.contains("ok 1 - clean") && said.contains("ok 2 - fresh"), "{said}");
    within(Duration::from_secs(600), "the shipped disk boots by QEMU alone", || {
        let text = fs::read(&serial).unwrap_or_default();
        String::from_utf8_lossy(&text).contains("login:").then_some(())
    });
    drop(alone);
    assert!(place.running().is_empty(), "a guest is left");
    assert_eq!(must(Command::new("sha256sum").arg(&disk)), sum, "the shipped disk was written to");
    apply(&place, &secrets);
    assert_eq!(must(Command::new("sha256sum").arg(&disk)), sum, "a test changed what is shipped");
}

/// The shipped disk in a plain QEMU, by the command that `imgc show` names, and where that writes its serial console. Only
/// the port is another one: the one of the command may be taken.
fn by_itself(place: &Place, secrets: &[String; 3]) -> (Running, PathBuf) {
    let shown = must(with(place.bed.imgc(&["show"]).current_dir(&place.package), secrets));
    let of_disk = |line: &&str| line.contains("qemu-system-x86_64 ") && line.contains("shipped.qcow2");
    let line = shown.lines().find(of_disk).unwrap_or_else(|| panic!("no command:\n{shown}"));
    let line = line.split_once("qemu-system-x86_64 ").expect("a command").1.trim();
    let line = line.replace("tcp:127.0.0.1:2222-:22", "tcp:127.0.0.1:0-:22");
    let log = place.bed.path("serial.log");
    let mut qemu = Command::new("sh");
    qemu.args(["-c", &format!("exec qemu-system-x86_64 {line}")]).current_dir(&place.package);
    qemu.stdin(Stdio::null()).stdout(fs::File::create(&log).expect("log"));
    (Running(qemu.spawn().expect("QEMU")), log)
}

/// A store of its own, which can be trimmed while other tests build, with the disk that they share.
fn apart() -> Place {
    apart_in(Bed::new(Who::Root))
}

pub(crate) fn apart_in(bed: Bed) -> Place {
    let others = Place::new("output bare = disk0\n");
    others.apply(&[]);
    let package = bed.path("vm");
    fs::create_dir_all(&package).expect("folder");
    for (from, to) in [("key", "key"), ("out/bare.qcow2", "base.qcow2")] {
        must(Command::new("cp").arg("--sparse=always").arg(others.package.join(from)).arg(package.join(to)));
    }
    Place { bed, package }
}

/// A text that is nowhere else.
pub(crate) fn canary(name: &str) -> String {
    let bytes = fs::read("/proc/sys/kernel/random/uuid").expect("a uuid");
    format!("canary-{name}-{}", String::from_utf8_lossy(&bytes).trim())
}

fn with<'a>(imgc: &'a mut Command, [token, leak, seed]: &[String; 3]) -> &'a mut Command {
    imgc.env("IMGC_TEST_TOKEN", token).env("IMGC_TEST_LEAK", leak).env("IMGC_TEST_SEED", seed)
}

fn apply(place: &Place, secrets: &[String; 3]) -> String {
    let mut apply = place.bed.imgc(&["apply", place.package.to_str().expect("UTF-8"), "-j", "4"]);
    let output = run(with(&mut apply, secrets));
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    said
}

/// Sound, of one piece, no larger than what is in it, and with nothing of the build inside: seen without a mount.
fn the_disk_is_clean(place: &Place, disk: &Path) {
    must(Command::new("qemu-img").args(["check", "-q"]).arg(disk));
    let info = must(Command::new("qemu-img").args(["info", "--output=json"]).arg(disk));
    let info: serde_json::Value = serde_json::from_str(&info).expect("JSON");
    assert!(info["backing-filename"].is_null(), "{info}");
    let other = place.package.join("out/other.vmdk");
    must(Command::new("qemu-img").args(["compare", "-q", "-f", "qcow2", "-F", "vmdk"]).arg(disk).arg(&other));

    let dir = place.bed.path("shipped");
    fs::create_dir_all(&dir).expect("folder");
    let raw = dir.join("disk.raw");
    must(Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(disk).arg(&raw));
    let root = root_partition(&raw);
    must(Command::new("e2fsck").args(["-f", "-n"]).arg(&root));
    let debugfs = |command: &str| must(Command::new("debugfs").args(["-R", command]).arg(&root).stderr(Stdio::null()));
    let lists = |folder: &str, name: &str| debugfs(&format!("ls -p {folder}")).contains(name);
    assert!(debugfs("cat /root/keys").contains("ssh_host_ed25519_key"), "it had host keys while it was built");
    assert!(!lists("/etc/ssh", "ssh_host_"), "host keys are shipped");
    assert!(!lists("/run", "imgc"), "the agent is shipped");
    assert!(!lists("/home", "builder"), "the home of the build's user is shipped");
    assert_eq!(debugfs("cat /etc/machine-id"), "", "a machine id is shipped");
    let keys = debugfs("cat /root/.ssh/authorized_keys");
    assert!(keys.contains("ssh-ed25519") && !keys.contains("imgc-build"), "{keys}");
    for file in ["/etc/passwd", "/etc/shadow", "/etc/group", "/etc/sudoers.d/90-cloud-init-users"] {
        assert!(!debugfs(&format!("cat {file}")).contains("builder"), "{file} names the build's user");
    }
    assert!(lists("/root", "/built/"), "what was built is there");

    // The deleted file was larger than the rest of what the steps wrote.
    let blocks = |field: &str| -> u64 {
        let stats = debugfs("stats -h");
        let line = stats.lines().find_map(|line| line.strip_prefix(field)).expect("a field").trim().to_owned();
        line.parse().expect("a number")
    };
    let used = (blocks("Block count:") - blocks("Free blocks:")) * blocks("Block size:");
    let stored = info["actual-size"].as_u64().expect("a size");
    assert!(stored < used + (64 << 20), "{stored} bytes are stored of {used} in use: unused blocks are shipped");
    fs::remove_dir_all(&dir).expect("removed");
}

/// In clusters of layers, memory parts, journals, logs and the shipped disk: nowhere. The search finds a deliberate leak.
/// The guest that has no memory part to go on from boots and says why; nothing else notices.
fn secrets_are_nowhere(place: &Place, secrets: &[String; 3]) {
    place.write(&program(&format!("{SHIPPED}{SECRETS}")));
    let said_by_steps = apply(place, secrets);
    assert_eq!(said(&said_by_steps, "found="), "built");
    assert!(said_by_steps.contains("its memory part was removed from the cache"), "{said_by_steps}");
    let [token, leak, seed] = secrets;
    for seen in [token, seed] {
        assert!(said_by_steps.contains(&sha256(seen)), "no guest had the secret:\n{said_by_steps}");
        assert_eq!(holding(place, seen), BTreeSet::new(), "the secret was kept");
    }
    let file = format!("file={} 400:root", sha256(token));
    assert!(said_by_steps.contains(&file), "the step had its file:\n{said_by_steps}");
    let found = holding(place, leak);
    assert!(found.iter().any(|path| path.contains("/objects/")), "a leak into a layer is not found: {found:?}");
    assert!(!found.iter().any(|path| path.contains("/memory/")), "RAM with a secret was kept: {found:?}");
}

fn sha256(text: &str) -> String {
    let mut sha256sum = Command::new("sha256sum");
    let child = sha256sum.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sha256sum");
    std::io::Write::write_all(&mut child.stdin.as_ref().expect("stdin"), text.as_bytes()).expect("write");
    let sum = String::from_utf8(child.wait_with_output().expect("its end").stdout).expect("text");
    sum.split(' ').next().expect("digest").to_owned()
}

/// The files of store, state and output that have these bytes, as they are on the disk.
pub(crate) fn holding(place: &Place, bytes: &str) -> BTreeSet<String> {
    let folders: Vec<PathBuf> = vec![
        fs::canonicalize(place.bed.path("cache")).expect("store"),
        place.bed.path("state"),
        place.package.join("out"),
    ];
    let output = run(Command::new("grep").args(["-rlaF", "-e", bytes]).args(&folders));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// `cache ls` shows memory parts, and `cache gc` drops them to their budget.
fn memory_has_a_budget(place: &Place) {
    let listed = |args: &[&str]| -> serde_json::Value {
        let out = must(&mut place.bed.imgc(&[&["cache", "ls", "--format", "json"], args].concat()));
        serde_json::from_str(&out).expect("JSON")
    };
    let of_build = |list: &serde_json::Value| -> u64 {
        let entries = list["entries"].as_array().expect("entries").clone();
        let named = |entry: &&serde_json::Value| entry["addresses"].to_string().contains(r#"vm/sh \"build\""#);
        entries.iter().filter(named).filter_map(|entry| entry["memory_bytes"].as_u64()).sum()
    };
    let before = listed(&[]);
    assert!(of_build(&before) > 50 << 20, "the step's memory is not listed: {before}");
    // All else stays: the budget of the store is another one.
    let gc = must(&mut place.bed.imgc(&["cache", "gc", "--budget", "500GiB", "--memory-budget", "0"]));
    assert!(gc.contains("memory part") && gc.contains("removed 0 entries"), "{gc}");
    let after = listed(&[]);
    assert_eq!(
        (of_build(&after), after["entries"].as_array().map(Vec::len)),
        (0, before["entries"].as_array().map(Vec::len))
    );
}
