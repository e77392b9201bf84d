//! What the host lacks is said by `imgc plan`, and before an apply starts anything: programs, firmware, processors, a port.
//!
//! A program or a folder is hidden by something else that is mounted over it, where only that one command sees it.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Output};

use crate::bed::{Bed, Who, as_root, must, run};
use crate::guests::{Place, skipped, text};

/// A package with a disk that nothing boots from: none of these machines comes so far.
fn place(machine: &str) -> Place {
    let bed = Bed::new(Who::Root);
    let package = bed.path("vm");
    fs::create_dir_all(&package).expect("folder");
    must(Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(package.join("disk.qcow2")).arg("10M"));
    let program = format!(
        "image vm {{\n  from = qemu.disk(file(\"./disk.qcow2\"))\n  machine = {{ {machine} }}\n  \
         sh \"x\" {{ script = \"true\" }}\n}}\noutput kept = vm\n"
    );
    fs::write(package.join("main.imgc"), program).expect("program");
    Place { bed, package }
}

/// `imgc`, to which this is hidden.
fn without(place: &Place, hidden: &str, command: &str) -> Output {
    let over = if fs::metadata(hidden).expect("what is hidden").is_dir() {
        format!("mount -t tmpfs hides {hidden}")
    } else {
        // No file any more, so no program.
        format!("mount --bind /dev/null {hidden}")
    };
    let imgc = place.bed.imgc(&[command, place.package.to_str().expect("UTF-8")]);
    let mut all = as_root("unshare");
    all.args(["--mount", "sh", "-c", &format!("{over} && exec \"$@\""), "sh", "env"]);
    for (name, value) in imgc.get_envs() {
        let name = name.to_str().expect("UTF-8");
        match value {
            Some(value) => all.arg(format!("{name}={}", value.to_str().expect("UTF-8"))),
            None => all.arg(format!("--unset={name}")),
        };
    }
    run(all.arg(place.bed.path("imgc")).args([command, place.package.to_str().expect("UTF-8")]))
}

/// It is refused, with these words, and nothing runs or was begun.
fn refused(output: &Output, place: &Place, expected: &[&str]) {
    let said = text(output);
    assert!(!output.status.success(), "{said}");
    let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in expected {
        assert!(flat.contains(part), "`{part}` is missing in:\n{said}");
    }
    assert!(place.running().is_empty(), "a guest is left");
}

fn program(name: &str) -> String {
    must(Command::new("sh").args(["-c", &format!("command -v {name}")])).trim().to_owned()
}

#[test]
fn machine_parts_that_this_host_lacks_are_named_by_plan() {
    if skipped() {
        return;
    }
    let place = place("firmware = uefi, tpm = true");
    for (hidden, words) in [
        (
            program("qemu-system-x86_64"),
            ["qemu-system-x86_64 is not installed here", "apt-get install qemu-system-x86`"],
        ),
        (program("qemu-img"), ["qemu-img is not installed here", "apt-get install qemu-utils`"]),
        (program("swtpm"), ["swtpm is not installed here", "apt-get install swtpm`"]),
        ("/usr/share/OVMF".to_owned(), ["boots by UEFI, and no OVMF firmware was found", "apt-get install ovmf`"]),
    ] {
        refused(&without(&place, &hidden, "plan"), &place, &words);
        refused(&without(&place, &hidden, "apply"), &place, &[words[0], words[1], "nothing was started"]);
    }
    // A BIOS machine without a TPM needs neither of the last two.
    let plain = self::place("firmware = bios");
    let planned = without(&plain, "/usr/share/OVMF", "plan");
    assert!(planned.status.success(), "{}", text(&planned));
}

#[test]
fn machine_firmware_that_is_named_and_not_there_is_refused_by_plan() {
    if skipped() {
        return;
    }
    let place = place("firmware = uefi");
    let mut plan = place.bed.imgc(&["plan", place.package.to_str().expect("UTF-8")]);
    let planned = run(plan.env("IMGC_OVMF", "/nowhere/CODE.fd:/nowhere/VARS.fd"));
    refused(&planned, &place, &["IMGC_OVMF names `/nowhere/CODE.fd`, and there is no such file"]);
}

#[test]
fn machine_with_more_processors_than_the_host_is_refused_by_plan() {
    if skipped() {
        return;
    }
    let place = place("cpus = 512");
    let words = ["the machine asks for 512 CPUs, and this host has ", "lower `cpus`"];
    let imgc = |command: &str| run(&mut place.bed.imgc(&[command, place.package.to_str().expect("UTF-8")]));
    refused(&imgc("plan"), &place, &words);
    refused(&imgc("apply"), &place, &[words[0], "nothing was started"]);
}

#[test]
fn machine_port_that_is_taken_is_named() {
    if skipped() {
        return;
    }
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let place =
        place(&format!("qemu_args = [\"-chardev\", \"socket,id=mine,host=127.0.0.1,port={port},server=on,wait=off\"]"));
    let apply = run(&mut place.bed.imgc(&["apply", place.package.to_str().expect("UTF-8")]));
    let said = format!("port={port},server=on,wait=off: Failed to find an available port: Address already in use");
    refused(&apply, &place, &["QEMU did not start", &said, "another program has a port that `qemu_args` names"]);
}
