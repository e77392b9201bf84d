//! What does not work is said at once, and leaves nothing running: named `machine_…` so that no other guests run meanwhile.

use std::fs;
use std::process::Command;

use crate::bed::must;
use crate::guests::{Place, skipped, text};

fn refused(program: &str, expected: &[&str]) {
    let place = Place::new(program);
    refused_in(&place, expected);
}

fn refused_in(place: &Place, expected: &[&str]) {
    let output = place.try_apply(&[]);
    let said = text(&output);
    assert!(!output.status.success(), "{said}");
    for part in expected {
        assert!(said.contains(part), "`{part}` is missing in:\n{said}");
    }
    assert!(place.running().is_empty(), "a guest is left");
}

#[test]
fn machine_larger_than_the_host_is_refused_before_anything_starts() {
    if skipped() {
        return;
    }
    refused(
        "image vm { from = qemu.disk(disk0)\n machine = { memory = 16TiB, firmware = uefi }\n sh \"x\" { script = \"true\" } }\n\
         output kept = vm\n",
        &["the machine asks for 16777216 MiB of memory", "nothing was started"],
    );
}

#[test]
fn machine_arguments_that_replace_what_imgc_says_are_refused() {
    if skipped() {
        return;
    }
    refused(
        "image vm { from = qemu.disk(disk0)\n machine = { qemu_args = [\"-m\", \"64\"] }\n sh \"x\" { script = \"true\" } }\n\
         output kept = vm\n",
        &["`-m 64` in `qemu_args` would replace the record's `memory`", "set `memory`"],
    );
}

#[test]
fn machine_disk_that_is_not_sound_is_refused() {
    if skipped() {
        return;
    }
    let program = |file: &str, more: &str| {
        format!(
            "image vm {{ from = qemu.disk(file(\"{file}\"){more})\n sh \"x\" {{ script = \"true\" }} }}\noutput kept = vm\n"
        )
    };
    let place = Place::new("");
    let path = |name: &str| place.package.join(name);
    fs::write(path("text.img"), "hello\n".repeat(1000)).expect("file");
    must(Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(path("small.qcow2")).arg("1M"));
    must(
        Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "small.qcow2"])
            .arg(path("over.qcow2")),
    );
    // A table of references that points far behind the end of the file.
    let mut broken = fs::read(path("small.qcow2")).expect("file");
    broken[48..56].copy_from_slice(&0x7fff_ffff_0000_u64.to_be_bytes());
    fs::write(path("broken.qcow2"), broken).expect("file");

    place.write(&program("text.img", ""));
    refused_in(&place, &["is no disk image that QEMU knows"]);
    place.write(&program("over.qcow2", ""));
    refused_in(&place, &["is an overlay of another image"]);
    place.write(&program("broken.qcow2", ""));
    refused_in(&place, &["broken.qcow2"]);
    place.write(&program("text.img", ", format: qcow2"));
    refused_in(&place, &["text.img is no qcow2 image"]);
}

/// A disk without a system: the wait for it is bounded, and what was seen of it is told and kept.
#[test]
fn machine_that_never_answers_is_given_up() {
    if skipped() {
        return;
    }
    let place = Place::new("");
    must(Command::new("qemu-img").args(["create", "-q", "-f", "raw"]).arg(place.package.join("empty.img")).arg("64M"));
    place.write(
        "image vm {\n from = qemu.disk(file(\"empty.img\"), format: raw)\n \
         machine = { memory = 128MiB, login = { key = file(\"./key\"), timeout = 20s } }\n sh \"never\" { script = \"true\" }\n}\n\
         output kept = vm\n",
    );
    refused_in(&place, &["the guest does not answer within 20 s", "its screen is kept in "]);
}
