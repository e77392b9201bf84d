//! QEMU from 9 on: what memory is saved goes to fixed places of a file (`mapped-ram`), and a guest goes on from there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::bed::{must, run};
use crate::guests::{Place, said, skipped, text, unpacked};

/// The folder of a QEMU that has `mapped-ram`: Debian's own where it is new enough, else the one of bookworm-backports,
/// unpacked beside what is compiled. Its libraries are those of Debian's own.
fn newer_qemu(place: &Place) -> Option<PathBuf> {
    let version = must(Command::new("qemu-system-x86_64").arg("--version"));
    let major = version.split("version ").nth(1).and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
    if major.is_some_and(|major| major >= 9) {
        return Some(PathBuf::from("/usr/bin"));
    }
    let parts = ["qemu-system-x86", "qemu-system-data", "qemu-system-common", "seabios"];
    let usr = unpacked("bookworm-backports", "newer-qemu", &parts)?.join("usr");
    let usr = usr.display();
    let bin = place.bed.path("newer");
    fs::create_dir_all(&bin).expect("folder");
    let start = format!(
        "#!/bin/sh\nQEMU_MODULE_DIR={usr}/lib/x86_64-linux-gnu/qemu\nexport QEMU_MODULE_DIR\n\
         exec {usr}/bin/qemu-system-x86_64 -L {usr}/share/qemu -L {usr}/share/seabios \"$@\"\n"
    );
    fs::write(bin.join("qemu-system-x86_64"), start).expect("a way to start it");
    fs::set_permissions(bin.join("qemu-system-x86_64"), fs::Permissions::from_mode(0o755)).expect("mode");
    Some(bin)
}

/// Two images branch off one layer, so that two guests go on from it at once: one of them on a copy of its RAM, the other
/// on a private view of it, whose own layers hold the RAM among what is saved.
fn branches(run: &str, last: &str) -> String {
    let branch = |name: &str| {
        format!(
            r#"
image {name} {{
  from = ten
  sh "early" {{ script = "echo {name} >/run/t/{name}" }}
  sh "late" {{
    script = """
      echo "{name}-text={last}"
      echo "{name}-boot=$(cat /proc/sys/kernel/random/boot_id)"
      echo "{name}-files=$(cat /run/t/one /run/t/{name} | tr '\n' ' ')"
      if kill -0 "$(cat /run/t/pid)" 2>/dev/null; then echo {name}-process=alive; fi
      """
  }}
}}
output o_{name} = {name}
"#
        )
    };
    format!(
        r#"
image ten {{
  from = qemu.disk(disk0)
  machine = {{ memory = 512MiB, firmware = uefi, login = {{ key = file("./key") }} }}
  sh "one" {{
    script = """
      mkdir -p /run/t
      mount -t tmpfs t /run/t
      echo {run} >/run/t/one
      sleep 100000 </dev/null >/dev/null 2>&1 &
      echo $! >/run/t/pid
      echo "boot=$(cat /proc/sys/kernel/random/boot_id)"
      """
    network = false
  }}
}}
{}{}"#,
        branch("left"),
        branch("right"),
    )
}

/// The memory parts that a program saved since: whether the RAM is in a file of its own, and whether the rest is mapped.
fn parts(place: &Place, program: &Path, began: SystemTime) -> Vec<(bool, bool)> {
    let folder = fs::read_dir(place.bed.path("cache").join("memory")).expect("memory parts").flatten();
    let since = |path: &PathBuf| fs::metadata(path).and_then(|meta| meta.modified()).is_ok_and(|time| time >= began);
    let abouts = folder.map(|entry| entry.path().join("part.json")).filter(|path| path.exists() && since(path));
    let read = |path: PathBuf| {
        let about: serde_json::Value = serde_json::from_slice(&fs::read(path).expect("part.json")).expect("JSON");
        let build = about["class"]["build"].as_str().expect("a program");
        build.starts_with(&*program.to_string_lossy()).then_some((about["ram"] == true, about["mapped"] == true))
    };
    abouts.filter_map(read).collect()
}

#[test]
fn machine_a_newer_qemu_maps_what_it_saves() {
    if skipped() {
        return;
    }
    let unlike = format!("{:?}", SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time"));
    let place = Place::new(&branches(&unlike, "first"));
    let Some(qemu) = newer_qemu(&place) else { return };
    let path = format!("{}:{}", qemu.display(), std::env::var("PATH").expect("PATH"));
    let apply = || {
        let mut apply = place.bed.imgc(&["apply", "-j", "4", place.package.to_str().expect("UTF-8")]);
        let output = run(apply.env("PATH", &path));
        assert!(output.status.success(), "{}", text(&output));
        text(&output)
    };
    let began = SystemTime::now();
    let first = apply();
    let kept = parts(&place, &qemu.join("qemu-system-x86_64"), began);
    assert!(kept.iter().any(|(ram, mapped)| !ram && *mapped), "no RAM was mapped: {kept:?}\n{first}");
    assert!(kept.iter().any(|(ram, _)| *ram), "no RAM stayed in its file: {kept:?}");

    place.write(&branches(&unlike, "edited"));
    let edited = apply();
    assert!(!edited.contains("started anew"), "{edited}");
    for name in ["left", "right"] {
        assert_eq!(said(&edited, &format!("{name}-text=")), "edited");
        assert_eq!(said(&edited, &format!("{name}-boot=")), said(&first, " boot="), "{name}: the guest booted");
        assert_eq!(said(&edited, &format!("{name}-files=")), format!("{unlike} {name}"));
        assert_eq!(said(&edited, &format!("{name}-process=")), "alive");
    }
    assert!(place.running().is_empty(), "a guest is left");
}
