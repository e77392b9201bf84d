//! Many guests on one layer at a time, and its kernel without its disk.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::bed::{Running, must, within};
use crate::guests::{Place, skipped, vm};
use crate::resuming::unlike_any_other;

/// A layer on the booted one that no other run has, and its kernel as the guest has it and as the image has it that the
/// disk was made of.
fn layer(run: &str) -> String {
    format!(
        "{}image one {{ from = vm\n  sh \"one\" {{ script = \"echo {run} >/root/one\" network = false }}\n}}\n\
         output of_guest = disk.kernel_and_initrd(one)\noutput of_image = disk.kernel_and_initrd(base)\n",
        vm()
    )
}

/// Eight guests, each of which calls a port of this host, says a random number of its kernel, and waits to be let go.
fn clones(run: &str, port: u16) -> String {
    format!(
        "{}image clone for n in [1, 2, 3, 4, 5, 6, 7, 8] {{ from = one\n  sh \"calls\" {{\n    script = \"\"\"\n      \
         : \\{{n}}\n      \
         bash -c 'exec 3<>/dev/tcp/10.0.2.2/{port}; cat /proc/sys/kernel/random/uuid >&3; read -r go <&3'\n      \
         \"\"\"\n    }}\n}}\noutput clones = clone\n",
        layer(run)
    )
}

#[test]
fn machine_clones_share_the_memory_of_their_layer() {
    if skipped() {
        return;
    }
    let run = unlike_any_other();
    let place = Place::new(&layer(&run));
    let (parts, images) = (files(&place, "memory"), files(&place, "objects"));
    place.apply(&[]);
    the_kernel_is_the_images(&place);
    let made = |now: BTreeSet<PathBuf>, before: &BTreeSet<PathBuf>| -> Vec<(PathBuf, String)> {
        now.difference(before).map(|path| (path.clone(), must(Command::new("sha256sum").arg(path)))).collect()
    };
    let layers = [made(files(&place, "memory"), &parts), made(files(&place, "objects"), &images)];
    assert!(layers.iter().all(|files| !files.is_empty()), "the layer has no memory or no disk: {layers:?}");

    let gate = TcpListener::bind("127.0.0.1:0").expect("a port");
    gate.set_nonblocking(true).expect("a socket");
    place.write(&clones(&run, gate.local_addr().expect("an address").port()));
    let log = place.bed.path("clones.log");
    let out = fs::File::create(&log).expect("log");
    let said = || fs::read_to_string(&log).unwrap_or_default();
    let mut imgc = place.bed.imgc(&["apply", "-j", "16", place.package.to_str().expect("UTF-8"), "clones"]);
    let mut child = Running(imgc.stdout(out.try_clone().expect("log")).stderr(out).spawn().expect("imgc"));
    let mut calls = Vec::new();
    within(Duration::from_secs(600), "eight guests call", || {
        calls.extend(std::iter::from_fn(|| gate.accept().ok()).map(|(stream, _)| BufReader::new(stream)));
        assert!(matches!(child.0.try_wait(), Ok(None)), "imgc ended before:\n{}", said());
        (calls.len() == 8).then_some(())
    });
    let numbers: BTreeSet<String> = calls.iter_mut().map(line).collect();
    assert_eq!(numbers.len(), 8, "clones draw the same random numbers: {numbers:?}");
    they_share(&place);
    let emulated = place.running().iter().all(|pid| arguments(*pid).contains("tcg"));
    for call in calls {
        call.into_inner().write_all(b"go\n").expect("a guest that waits");
    }
    let status = child.0.wait().expect("its end");
    assert!(status.success(), "{status}\n{}", said());
    let notes = said().matches("guests are emulated, which is slow: ").count();
    assert_eq!(notes, usize::from(emulated), "the reason is said once for all guests:\n{}", said());
    assert!(place.running().is_empty(), "a guest is left");
    for (path, digest) in layers.iter().flatten() {
        assert_eq!(&must(Command::new("sha256sum").arg(path)), digest, "the layer was written to");
    }
}

fn line(call: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    call.get_ref().set_nonblocking(false).expect("a socket");
    call.read_line(&mut line).expect("what a guest says");
    assert_eq!(line.trim().len(), 36, "no uuid: {line}");
    line
}

/// What eight guests of 512 MiB take in all, and that each has a port of its own.
fn they_share(place: &Place) {
    let guests = place.running();
    assert_eq!(guests.len(), 8, "eight guests run");
    let sizes: Vec<u64> = guests.iter().map(|pid| pss(*pid)).collect();
    let sum: u64 = sizes.iter().sum();
    println!("eight clones of 512 MiB: PSS {} MiB in all: {sizes:?} KiB", sum >> 10);
    assert!(sizes.iter().all(|size| *size > 0) && sum <= 3 << 20, "eight clones take {} MiB: {sizes:?} KiB", sum >> 10);
    let ports: Vec<Vec<String>> = guests.iter().map(|pid| listening(*pid)).collect();
    let distinct: BTreeSet<&String> = ports.iter().flatten().collect();
    assert!(ports.iter().all(|ports| ports.len() == 1) && distinct.len() == 8, "clones share a port: {ports:?}");
}

fn arguments(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// The files below a folder of the store that hold RAM or content.
fn files(place: &Place, folder: &str) -> BTreeSet<PathBuf> {
    let root = fs::canonicalize(place.bed.path("cache")).expect("store").join(folder);
    if !root.exists() {
        return BTreeSet::new();
    }
    let found = must(Command::new("find").arg(root).args(["-type", "f", "-size", "+0", "!", "-name", "*.json"]));
    found.lines().map(PathBuf::from).collect()
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

/// What comes out of the running guest is what the file tree held that its disk was made of.
fn the_kernel_is_the_images(place: &Place) {
    let unpacked = |name: &str| {
        let into = place.bed.path(name);
        fs::create_dir_all(&into).expect("folder");
        let archive = place.package.join(format!("out/{name}.tar"));
        must(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(&into));
        must(
            Command::new("sha256sum")
                .args(["cmdline", "initrd.img", "vmlinuz"])
                .current_dir(&into)
                .stdin(Stdio::null()),
        )
    };
    assert_eq!(unpacked("of_guest"), unpacked("of_image"));
}
