//! Layers: resumed, booted, cloned, shipped, and what a killed imgc leaves.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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
fn unlike_any_other() -> String {
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
    let edited = place.apply(&[]);
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
    a_killed_imgc_leaves_no_guest(&place, &run);
    a_restarted_guest_comes_back(&place, &run, said(&first, "boot="));

    let cold = place.apply(&["--cold", "--rerun", "four/sh \"four\""]);
    assert!(cold.contains("memory parts are not used in this run"), "{cold}");
    assert_ne!(said(&cold, "boot="), said(&first, "boot="), "--cold did not boot");
    assert_eq!(said(&cold, "process="), "gone");
    assert_eq!(said(&cold, "further="), said(&first, "further="), "what is on the further disk is lost");
    assert_eq!(said(&cold, "tree="), said(&edited, "tree="), "--cold gives another file tree");
}

#[test]
#[ignore = "takes minutes of emulation: make test-long"]
fn machine_clones_share_their_memory_and_the_shipped_disk_boots() {
    if skipped() {
        return;
    }
    let run = unlike_any_other();
    let place = Place::new(&four_steps(&run, "first"));
    place.apply(&[]);
    clones_share_their_memory(&place, &run);
    the_shipped_disk_boots(&place, &run);
}

/// `restart` and `wait` on a guest that was resumed: another boot, the same disk, and the agent is there again.
fn a_restarted_guest_comes_back(place: &Place, run: &str, before: &str) {
    let more = "image again { from = four\n  restart \"again\" {}\n  wait \"ssh\" { until = port(22) }\n  \
                sh \"after\" { script = \"cat /root/four /root/three; echo boot-after=$(cat /proc/sys/kernel/random/boot_id)\" }\n}\n\
                output kept_again = again\n";
    place.write(&format!("{}{more}", four_steps(run, "edited")));
    let again = place.apply(&["kept_again"]);
    assert!(again.contains("edited") && again.contains("three"), "{again}");
    assert!(!again.contains("started anew"), "{again}");
    assert_ne!(said(&again, "boot-after="), before, "it did not restart");
    place.write(&four_steps(run, "edited"));
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

/// Eight clones of one layer at once take little more memory than they write to, and are told apart.
fn clones_share_their_memory(place: &Place, run: &str) {
    let clones = "image clone for n in [1, 2, 3, 4, 5, 6, 7, 8] { from = four\n  sh \"who\" {\n    \
                  script = \"echo uuid=\\{n}=$(cat /proc/sys/kernel/random/uuid); sleep 40\"\n    }\n}\n\
                  output clones = clone\n";
    place.write(&format!("{}{clones}", four_steps(run, "edited")));
    let before = memory_parts(place);
    let mut imgc = place.bed.imgc(&["apply", "-j", "16", place.package.to_str().expect("UTF-8")]);
    let mut child = Running(imgc.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("imgc"));
    within(Duration::from_secs(300), "eight guests run", || (place.running().len() == 8).then_some(()));
    std::thread::sleep(Duration::from_secs(15));
    let guests = place.running();
    let sizes: Vec<u64> = guests.iter().map(|pid| pss(*pid)).collect();
    let ports: BTreeSet<String> = guests.iter().flat_map(|pid| listening(*pid)).collect();
    let status = child.0.wait().expect("its end");
    assert!(status.success(), "{status}");
    assert_eq!(guests.len(), 8, "a clone ended early");
    let sum: u64 = sizes.iter().sum();
    println!("eight clones of 512 MiB: PSS {} MiB in all: {sizes:?} KiB", sum >> 10);
    assert!(sum <= 3 << 20, "eight clones take {} MiB: {sizes:?} KiB", sum >> 10);
    assert_eq!(ports.len(), 8, "clones share a port: {ports:?}");
    for (part, digest) in before {
        if part.exists() {
            assert_eq!(must(Command::new("sha256sum").arg(&part)), digest, "a layer's memory was written to");
        }
    }
}

/// The memory parts of the store with the digests of their RAM.
fn memory_parts(place: &Place) -> Vec<(PathBuf, String)> {
    let parts = fs::read_dir(place.bed.path("cache").join("memory")).expect("parts").flatten();
    let rams = parts.map(|part| part.path().join("ram")).filter(|ram| ram.exists());
    rams.map(|ram| (ram.clone(), must(Command::new("sha256sum").arg(&ram)))).collect()
}

/// The proportional memory of a process in KiB.
fn pss(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}

/// The TCP sockets on which a process listens, as `/proc/net/tcp` names their addresses.
fn listening(pid: u32) -> Vec<String> {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let sockets: Vec<String> = fds
        .filter_map(|fd| {
            fs::read_link(fd.path()).ok()?.to_str()?.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned)
        })
        .collect();
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let rows = table.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (address, state, inode) = (words.get(1)?, words.get(3)?, words.get(9)?);
        (*state == "0A" && sockets.iter().any(|socket| socket == inode)).then(|| (*address).to_owned())
    });
    rows.collect()
}

/// What leaves: sound, without what belongs to the build, and bootable by QEMU alone.
fn the_shipped_disk_boots(place: &Place, run: &str) {
    place.write(&format!(
        "{}output shipped = disk.convert(four, format: qcow2)\noutput other = disk.convert(four, format: vmdk)\n",
        four_steps(run, "edited")
    ));
    place.apply(&[]);
    let disk = place.package.join("out/shipped.qcow2");
    must(Command::new("qemu-img").args(["check", "-q"]).arg(&disk));
    let info = must(Command::new("qemu-img").args(["info", "--output=json"]).arg(&disk));
    let info: serde_json::Value = serde_json::from_str(&info).expect("JSON");
    assert!(info["backing-filename"].is_null(), "{info}");
    let vmdk = must(Command::new("qemu-img").arg("info").arg(place.package.join("out/other.vmdk")));
    assert!(vmdk.contains("file format: vmdk"), "{vmdk}");
    let dir = place.bed.path("shipped");
    fs::create_dir_all(&dir).expect("folder");
    let raw = dir.join("disk.raw");
    must(Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(&disk).arg(&raw));
    let root = root_partition(&raw);
    must(Command::new("e2fsck").args(["-f", "-n"]).arg(&root));
    let ls = |folder: &str| {
        must(Command::new("debugfs").args(["-R", &format!("ls -p {folder}")]).arg(&root).stderr(Stdio::null()))
    };
    assert!(!ls("/etc/ssh").contains("ssh_host_"), "host keys are shipped");
    assert!(!ls("/run").contains("imgc"), "the agent is shipped");
    assert!(ls("/root").contains("/four/"));
    let serial = dir.join("serial.log");
    let mut command = Command::new("qemu-system-x86_64");
    command.args(["-M", "q35", "-m", "512", "-display", "none", "-snapshot", "-serial"]);
    command.arg(format!("file:{}", serial.display()));
    command.args(["-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE.fd", "-drive"]);
    command.arg(format!("file={},format=qcow2,if=virtio", disk.display()));
    let _guest = Running(command.stdin(Stdio::null()).spawn().expect("QEMU"));
    within(Duration::from_secs(600), "the shipped disk boots", || {
        let text = fs::read(&serial).unwrap_or_default();
        String::from_utf8_lossy(&text).contains("login:").then_some(())
    });
}
