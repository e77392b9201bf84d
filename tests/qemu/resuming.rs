//! Layers: resumed, booted, and what a killed imgc leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use imgc_store::{Payload, Store};

use crate::bed::{Running, must, within};
use crate::guests::{Place, said, skipped, vm};

/// Four steps on the booted layer. The first leaves things in memory that no boot would bring back, and something on the
/// further disk; the last says what it finds of them.
fn four_steps(run: &str, last: &str) -> String {
    format!(
        r#"{vm}
image four {{
  from = vm
  sh "one" {{
    script = """
      mkdir -p /run/t /run/seed
      mount -t tmpfs t /run/t
      echo kept >/run/t/file
      sleep 100000 </dev/null >/dev/null 2>&1 &
      echo $! >/run/t/pid
      echo further-{run} | dd of=/dev/disk/by-id/virtio-extra0 conv=fsync,notrunc status=none
      mount -t iso9660 -o ro /dev/disk/by-label/cidata /run/seed
      grep -q seeded /run/seed/meta-data
      echo "seed=$(head -n 1 /run/seed/user-data)"
      umount /run/seed
      echo {run} >/root/one
      """
    network = false
  }}
  sh "two" {{ script = "echo two >/root/two" }}
  write "three" {{ dest = "/root/three" text = "three\n" }}
  sh "four" {{
    script = """
      echo {last} >/root/four
      if [ {last} = edited ]; then echo serial-of-{run} >/dev/ttyS0; sleep 3; fi
      echo "boot=$(cat /proc/sys/kernel/random/boot_id)"
      echo "uptime=$(cut -d. -f1 /proc/uptime)"
      echo "file=$(cat /run/t/file 2>/dev/null || echo none)"
      if kill -0 "$(cat /run/t/pid 2>/dev/null || echo none)" 2>/dev/null; then echo process=alive; else echo process=gone; fi
      echo "further=$(head -n 1 /dev/disk/by-id/virtio-extra0)"
      echo "tpm=$(cat /sys/class/tpm/tpm0/tpm_version_major):$(cat /sys/class/tpm/tpm0/pcr-sha256/0)"
      echo "tree=$(find /root /etc /usr/local /home -xdev -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)"
      """
  }}
}}
output kept = four
"#,
        vm = vm(),
    )
}

/// Text that no other run has: the store outlives a run.
pub(crate) fn unlike_any_other() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time");
    format!("{}-{}", now.as_millis(), std::process::id())
}

#[test]
fn machine_an_edited_step_goes_on_from_the_running_guest() {
    if skipped() {
        return;
    }
    let run = unlike_any_other();
    let place = Place::new(&four_steps(&run, "first"));
    let before = top_images(&place);
    let first = place.apply(&[]);
    assert_eq!(said(&first, "file="), "kept");
    assert_eq!(said(&first, "seed="), "#cloud-config");
    assert_eq!(said(&first, "further="), format!("further-{run}"));
    assert!(said(&first, "tpm=").starts_with("2:") && said(&first, "tpm=").len() > 40, "{first}");
    assert!(place.running().is_empty(), "a guest is left after a build");

    place.write(&four_steps(&run, "edited"));
    let (edited, consoles) = while_reading_consoles(&place, || place.apply(&[]));
    its_console_shows_no_boot(&consoles, &format!("serial-of-{run}"));
    assert!(edited.contains("1 nodes run") || edited.contains("1 node run"), "{edited}");
    assert_eq!(said(&edited, "boot="), said(&first, "boot="), "the guest booted");
    assert_eq!(said(&edited, "process="), "alive");
    assert_eq!(said(&edited, "file="), "kept");
    assert_eq!(said(&edited, "further="), said(&first, "further="));
    assert_eq!(said(&edited, "tpm="), said(&first, "tpm="), "the TPM does not go on");
    let uptime = |text: &str| said(text, "uptime=").parse::<u64>().expect("a number");
    assert!(uptime(&edited) >= uptime(&first).saturating_sub(60), "uptime does not go on");
    assert!(!edited.contains("started anew"), "{edited}");

    layers_are_whole(&place, &before);
    an_edited_first_step_boots_nothing(&place);
    a_killed_imgc_leaves_no_guest(&place, &run);
    a_restarted_guest_comes_back(&place, &run, said(&first, "boot="));

    let cold = place.apply(&["--cold", "--rerun", "four/sh \"four\""]);
    assert!(cold.contains("memory parts are not used in this run"), "{cold}");
    assert_ne!(said(&cold, "boot="), said(&first, "boot="), "--cold did not boot");
    assert_eq!(said(&cold, "process="), "gone");
    assert_eq!(said(&cold, "further="), said(&first, "further="), "what is on the further disk is lost");
    assert_eq!(said(&cold, "tree="), said(&edited, "tree="), "--cold gives another file tree");
}

/// Does something, and keeps what the serial consoles of this store's guests say meanwhile: they go with their guests.
fn while_reading_consoles<T>(place: &Place, what: impl FnOnce() -> T) -> (T, Vec<String>) {
    let scratch = place.bed.path("cache").join("scratch");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut consoles = BTreeMap::new();
            while !done.load(Ordering::Relaxed) {
                for guest in fs::read_dir(&scratch).into_iter().flatten().flatten() {
                    if let Ok(bytes) = fs::read(guest.path().join("serial.log")) {
                        consoles.insert(guest.path(), String::from_utf8_lossy(&bytes).into_owned());
                    }
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            consoles.into_values().collect()
        });
        let result = what();
        done.store(true, Ordering::Relaxed);
        (result, reader.join().expect("what reads consoles"))
    })
}

/// The console of the guest that says the mark begins with it: neither firmware nor kernel has written there since it was
/// taken up.
fn its_console_shows_no_boot(consoles: &[String], mark: &str) {
    let console = consoles.iter().find(|console| console.contains(mark));
    let console = console.unwrap_or_else(|| panic!("no console says `{mark}`: {consoles:?}"));
    for boot in ["Linux version", "BdsDxe", "GRUB"] {
        assert!(!console.contains(boot), "the console shows a boot:\n{console}");
    }
}

/// No layer stands before the first step of all: it goes on from the guest as it was when it had booted, which the first edit
/// does where that was not kept.
fn an_edited_first_step_boots_nothing(place: &Place) {
    let edited = || {
        let says =
            "echo ready >/root/ready; echo boot-first=$(cat /proc/sys/kernel/random/boot_id); test ! -e /root/one";
        let edited = vm().replace("echo ready >/root/ready", &format!("{says}; : {}", unlike_any_other()));
        place.write(&format!("{edited}output kept_first = vm\n"));
        let text = place.apply(&["kept_first"]);
        said(&text, "boot-first=").to_owned()
    };
    let once = edited();
    assert_eq!(edited(), once, "the guest booted");
}

/// `restart`, `wait` and a script that restarts its machine, on a guest that was resumed: another boot each time, the same
/// disk, and the agent is there again.
fn a_restarted_guest_comes_back(place: &Place, run: &str, before: &str) {
    let more = r#"
image again {
  from = four
  restart "again" {}
  wait "ssh" { until = port(22) }
  sh "itself" {
    script = "echo boot-between=$(cat /proc/sys/kernel/random/boot_id); systemctl reboot; sleep 600"
    disconnect = "expected"
  }
  sh "after" { script = "cat /root/four /root/three; echo boot-after=$(cat /proc/sys/kernel/random/boot_id)" }
}
output kept_again = again
"#;
    place.write(&format!("{}{more}", four_steps(run, "edited")));
    let again = place.apply(&["kept_again"]);
    assert!(again.contains("edited") && again.contains("three"), "{again}");
    assert!(!again.contains("started anew"), "{again}");
    assert_ne!(said(&again, "boot-between="), before, "it did not restart");
    assert_ne!(said(&again, "boot-after="), said(&again, "boot-between="), "the script did not restart it");
    assert_ne!(said(&again, "boot-after="), before);
    place.write(&four_steps(run, "edited"));
}

/// Each of the four layers by itself in a QEMU that knows nothing of imgc: its disk alone comes up to a login. The other
/// test looks at what is on them.
#[test]
fn machine_each_layer_boots_without_its_memory() {
    if skipped() {
        return;
    }
    let place = Place::new(&four_steps(&unlike_any_other(), "first"));
    let before = top_images(&place);
    place.apply(&[]);
    let after = top_images(&place);
    let layers: Vec<_> = after.difference(&before).collect();
    assert!(layers.len() >= 4, "{layers:?}");
    let boots: Vec<_> = layers.iter().enumerate().map(|(n, top)| alone(&place, n, top)).collect();
    for (_guest, serial) in &boots {
        within(Duration::from_secs(900), "a layer boots without its memory", || {
            let text = fs::read(serial).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(!text.contains("emergency mode") && !text.contains("Kernel panic"), "{text}");
            text.contains("login:").then_some(())
        });
    }
}

/// A plain QEMU on an image of the store, which stays as it is, and where its serial console is written to.
fn alone(place: &Place, n: usize, top: &Path) -> (Running, PathBuf) {
    let (serial, vars) = (place.bed.path(&format!("serial{n}.log")), place.bed.path(&format!("vars{n}.fd")));
    fs::copy("/usr/share/OVMF/OVMF_VARS.fd", &vars).expect("variables of the firmware");
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-nodefaults", "-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "512", "-display", "none"]);
    qemu.args(["-drive", "if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE.fd"]);
    qemu.arg("-drive").arg(format!("if=pflash,format=raw,unit=1,file={}", vars.display()));
    qemu.arg("-drive").arg(format!("if=virtio,format=qcow2,snapshot=on,file={}", top.display()));
    qemu.arg("-serial").arg(format!("file:{}", serial.display()));
    (Running(qemu.stdin(Stdio::null()).spawn().expect("QEMU")), serial)
}

/// The first disk of each layer that came since is sound by itself, without any memory, and has the file of its step.
fn layers_are_whole(place: &Place, before: &BTreeSet<PathBuf>) {
    let dir = place.bed.path("layers");
    fs::create_dir_all(&dir).expect("folder");
    let mut seen = Vec::new();
    for top in top_images(place).difference(before) {
        let raw = dir.join("layer.raw");
        must(Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(top).arg(&raw));
        let root = root_partition(&raw);
        must(Command::new("e2fsck").args(["-f", "-n"]).arg(&root));
        let ls = must(Command::new("debugfs").args(["-R", "ls -p /root"]).arg(&root).stderr(Stdio::null()));
        seen.push(["one", "two", "three", "four"].iter().filter(|name| ls.contains(&format!("/{name}/"))).count());
    }
    for count in 1..=4 {
        assert!(seen.contains(&count), "no layer holds the files of {count} steps: {seen:?}");
    }
}

/// The highest image of the first disk of each layer that steps ran in.
fn top_images(place: &Place) -> BTreeSet<PathBuf> {
    let store = Store::open(&fs::canonicalize(place.bed.path("cache")).expect("store")).expect("store");
    let entries = store.all_entries().expect("entries");
    entries.iter().filter_map(|entry| top_image(&store, &entry.payload)).collect()
}

fn top_image(store: &Store, payload: &Payload) -> Option<PathBuf> {
    let layer: serde_json::Value = payload.read().ok()?;
    if layer["backend"] != "qemu" || layer["detail"]["machine"].is_null() {
        return None;
    }
    let further = layer["detail"]["disks"].to_string();
    let mut chain = layer["top"].as_array()?.iter().filter_map(|digest| digest.as_str());
    let digest = chain.rfind(|digest| !further.contains(digest))?.parse().ok()?;
    Some(store.object(&digest).ok()??.path)
}

/// The largest partition of a raw disk, as the tools of its file system name it.
pub(crate) fn root_partition(disk: &Path) -> String {
    let table = must(Command::new("sgdisk").arg("-p").arg(disk));
    let rows = table.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (_, start, end) = (words.next()?.parse::<u32>().ok()?, words.next()?, words.next()?);
        Some((start.parse::<u64>().ok()?, end.parse::<u64>().ok()?))
    });
    let (start, _) = rows.max_by_key(|(start, end)| end - start).expect("a partition");
    format!("{}?offset={}", disk.display(), start * 512)
}

/// kill -9 in the middle of a step: no guest is left, and the next run goes on from the last layer.
fn a_killed_imgc_leaves_no_guest(place: &Place, run: &str) {
    let more = "image more { from = four\n  sh \"slow\" { script = \"echo slow-began; sleep 6; echo slow >/root/slow\" }\n}\n\
                output kept_more = more\n";
    place.write(&format!("{}{more}", four_steps(run, "edited")));
    let mut imgc = place.bed.imgc(&["apply", place.package.to_str().expect("UTF-8")]);
    let mut child = Running(imgc.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("imgc"));
    within(Duration::from_secs(240), "a guest runs", || (!place.running().is_empty()).then_some(()));
    std::thread::sleep(Duration::from_secs(3));
    child.0.kill().expect("kill -9");
    child.0.wait().expect("its end");
    within(Duration::from_secs(20), "the guest is gone", || place.running().is_empty().then_some(()));
    let again = place.apply(&[]);
    assert!(again.contains("slow-began") && !again.contains("started anew"), "{again}");
}
