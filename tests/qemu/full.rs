//! A host without room: the guest is not left standing there, the cause is named, and once there is room the build goes on
//! from its last layer.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::bed::{Bed, Running, Who, must, within};
use crate::guests::{Place, said, skipped};
use crate::shipping::apart_in;

/// A guest that calls this host before it takes room: on its disk, past its own memory; or in its memory, which is a file of
/// the host. In the first the memory is touched before, so that only the disk can be what has no room.
fn program(port: u16) -> String {
    format!(
        r#"
image vm {{
  from = qemu.disk(file("./base.qcow2"))
  machine = {{ memory = 384MiB, firmware = uefi, login = {{ key = file("./key") }} }}
  sh "one" {{ script = "echo boot-one=$(cat /proc/sys/kernel/random/boot_id) | tee /root/one" }}
}}
image writes {{
  from = vm
  sh "writes" {{
    script = """
      mkdir /run/memory
      mount -t tmpfs -o size=90% memory /run/memory
      head -c 200M /dev/zero >/run/memory/touched || true
      umount /run/memory
      bash -c 'exec 3<>/dev/tcp/10.0.2.2/{port}; echo ready >&3; read -r go <&3'
      dd if=/dev/urandom of=/root/large bs=1M count=100 oflag=direct status=none
      sync
      rm /root/large
      echo "boot=$(cat /proc/sys/kernel/random/boot_id)"
      """
  }}
}}
image touches {{
  from = vm
  sh "touches" {{
    script = """
      bash -c 'exec 3<>/dev/tcp/10.0.2.2/{port}; echo ready >&3; read -r go <&3'
      mkdir /run/memory
      mount -t tmpfs -o size=90% memory /run/memory
      head -c 250M /dev/urandom >/run/memory/touched
      umount /run/memory
      echo "boot=$(cat /proc/sys/kernel/random/boot_id)"
      """
  }}
}}
output kept_one = vm
output o_writes = writes
output o_touches = touches
"#
    )
}

/// A file system in memory, so large and no larger.
struct Small(PathBuf);

impl Small {
    fn mount(at: PathBuf) -> Self {
        must(Command::new("mount").args(["-t", "tmpfs", "-o", "size=2g,mode=0755", "small"]).arg(&at));
        Self(at)
    }

    /// Takes all of its room but so many bytes.
    fn fill(&self, but: u64) {
        let free = must(Command::new("stat").args(["-f", "-c", "%a %S"]).arg(&self.0));
        let (blocks, size) = free.trim().split_once(' ').expect("two numbers");
        let free = blocks.parse::<u64>().expect("blocks") * size.parse::<u64>().expect("their size");
        must(Command::new("fallocate").args(["-l", &free.saturating_sub(but).to_string()]).arg(self.filler()));
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn machine_a_full_host_is_named_and_the_build_goes_on_later() {
    if skipped() {
        return;
    }
    let bed = Bed::new(Who::Root);
    let mounted = Small::mount(bed.path("cache"));
    let place = apart_in(bed);
    // It goes before the folder that it is in.
    let small = mounted;
    // The budget is a part of the file system, which is small.
    let settings = "name = \"vm\"\nedition = 1\n[settings]\nmemory_cache_size = \"1GiB\"\n";
    fs::write(place.package.join("imgc.toml"), settings).expect("settings");
    let gate = TcpListener::bind("127.0.0.1:0").expect("a port");
    gate.set_nonblocking(true).expect("a socket");
    place.write(&program(gate.local_addr().expect("an address").port()));
    let booted = place.apply(&["kept_one"]);

    for (output, cause) in
        [("o_writes", "as there is no room for what it writes"), ("o_touches", "the guest's memory is a file in")]
    {
        let (status, failed) = build(&place, &gate, output, || small.fill(40 << 20));
        assert!(!status, "{failed}");
        for part in ["the host's disk is full", cause, "imgc cache gc"] {
            assert!(failed.contains(part), "`{part}` is not said:\n{failed}");
        }
        let at = fs::canonicalize(&small.0).expect("the mount");
        assert!(failed.contains(at.to_str().expect("UTF-8")), "the file system is not named:\n{failed}");
        assert!(place.running().is_empty(), "a guest is left");

        fs::remove_file(small.filler()).expect("room again");
        if output == "o_touches" {
            continue;
        }
        let (status, again) = build(&place, &gate, output, || ());
        assert!(status, "{again}");
        assert!(again.contains(said(&booted, "boot-one=")), "it did not go on from the last layer:\n{again}");
        assert!(place.running().is_empty(), "a guest is left");
    }
}

/// An apply of one output, whose guest calls and is let go after something else was done; how it ended and all that it said,
/// on one line.
fn build(place: &Place, gate: &TcpListener, output: &str, meanwhile: impl Fn()) -> (bool, String) {
    let log = place.bed.path("apply.log");
    let out = fs::File::create(&log).expect("log");
    let mut imgc = place.bed.imgc(&["apply", place.package.to_str().expect("UTF-8"), output]);
    let mut child = Running(imgc.stdout(out.try_clone().expect("log")).stderr(out).spawn().expect("imgc"));
    let heard = || fs::read_to_string(&log).unwrap_or_default();
    let call = within(Duration::from_secs(300), "the guest calls", || {
        assert!(matches!(child.0.try_wait(), Ok(None)), "imgc ended before:\n{}", heard());
        gate.accept().ok().map(|(call, _)| call)
    });
    let call = ready(call);
    meanwhile();
    call.into_inner().write_all(b"go\n").expect("a guest that waits");
    let status = within(Duration::from_secs(600), "imgc ends", || child.0.try_wait().expect("its end"));
    (status.success(), heard().split_whitespace().collect::<Vec<_>>().join(" "))
}

fn ready(call: TcpStream) -> BufReader<TcpStream> {
    call.set_nonblocking(false).expect("a socket");
    let mut call = BufReader::new(call);
    let mut line = String::new();
    call.read_line(&mut line).expect("a line");
    assert_eq!(line.trim(), "ready");
    call
}
