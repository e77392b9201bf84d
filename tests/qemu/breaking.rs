//! Guests that fail: each failure names its cause in bounded time, leaves console and screen behind, and no guest but one
//! that was to be kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::bed::{has, lacking, must, run, within};
use crate::guests::{Place, skipped, text, vm};

/// One booted layer, and what goes wrong on it. Each image resumes that layer; only those that never come up boot.
const PROGRAM: &str = r#"
secret password: String from env("IMGC_TEST_PASSWORD")

image panics {
  from = vm
  sh "panics" { script = "echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger; sleep 600" }
}
image starves {
  from = vm
  sh "starves" { script = "tail /dev/zero" }
}
image fills {
  from = vm
  sh "fills" { script = "fallocate -l 20G /var/large" }
}
image unplugged {
  from = vm
  sh "unplugged" {
    script = """
      for card in /sys/class/net/e*; do echo 0x1002 >"$card/flags"; done
      bash -c 'echo hello >/dev/tcp/10.0.2.2/9'
      """
  }
}
image killed {
  from = vm
  sh "killed" { script = "echo now; sleep 600" }
}
image locked {
  from = qemu.disk(disk0)
  machine = { memory = 512MiB, firmware = uefi, login = { password = password } }
  sh "never" { script = "true" }
}
image unsigned {
  from = qemu.disk(disk0)
  machine = { memory = 512MiB, firmware = uefi_secure, login = { key = file("./key") } }
  sh "never" { script = "true" }
}
output o_unsigned = unsigned
output o_panics = panics
output o_starves = starves
output o_fills = fills
output o_unplugged = unplugged
output o_killed = killed
output o_locked = locked
"#;

#[test]
fn machine_failures_name_their_cause() {
    if skipped() {
        return;
    }
    let place = Place::new(&format!("{}{PROGRAM}", vm()));
    let began = SystemTime::now();
    // All at once: those that resume wait for the layer, and the locked one boots meanwhile.
    let together =
        ["o_panics", "o_starves", "o_fills", "o_unplugged", "o_locked", "o_unsigned", "--keep-going", "-j", "4"];
    let said = fails(&place, &together);
    for (image, cause) in [
        ("panics", "the guest's kernel stopped: sysrq triggered crash"),
        ("starves", "the guest ran out of memory, and its kernel killed a process"),
        ("fills", "a disk of the guest is full"),
        ("unplugged", "is down: it has no link"),
        ("unsigned", "secure boot refuses the guest's boot loader"),
        ("locked", "the guest refuses the password of the user `root`"),
    ] {
        assert!(said.contains(cause), "the failure of `{image}` does not say `{cause}`:\n{said}");
    }
    assert!(!said.contains("no-such-password"), "the password is told:\n{said}");
    assert!(place.running().is_empty(), "a guest is left");
    evidence_is_kept(&place, &said, began);

    a_killed_qemu_is_named(&place);
    a_guest_is_kept_and_reached(&place);
    a_shell_in_a_guest(&place);
}

/// `imgc apply`, which must fail; all that it says.
fn fails(place: &Place, args: &[&str]) -> String {
    let mut apply = place.bed.imgc(&["apply", place.package.to_str().expect("UTF-8")]);
    let output = run(apply.args(args).env("IMGC_TEST_PASSWORD", "no-such-password"));
    let said = text(&output);
    assert!(!output.status.success(), "{said}");
    said
}

/// Consoles and pictures are named and there. Where they are said, lines may be broken.
fn evidence_is_kept(place: &Place, said: &str, began: SystemTime) {
    assert!(said.contains("console is kept in") && said.contains("screen is kept in"), "{said}");
    let folder = fs::read_dir(place.bed.path("cache").join("failures")).expect("what is kept of failures");
    let since = |path: &PathBuf| fs::metadata(path).and_then(|meta| meta.modified()).is_ok_and(|time| time >= began);
    let kept: Vec<PathBuf> = folder.flatten().map(|entry| entry.path()).filter(since).collect();
    let of = |end: &str| kept.iter().find(|path| path.to_string_lossy().ends_with(end)).map(fs::read);
    let console = of("-panics.serial.log").expect("the console of the panic").expect("console");
    assert!(String::from_utf8_lossy(&console).contains("Kernel panic - not syncing"));
    let screen = of("-panics.screen.png").expect("the screen of the panic").expect("screen");
    assert!(screen.starts_with(b"\x89PNG\r\n"));
}

/// Somebody (the host's kernel, as a rule) kills QEMU in the midst of a step.
fn a_killed_qemu_is_named(place: &Place) {
    let mut apply = place.bed.imgc(&["apply", place.package.to_str().expect("UTF-8"), "o_killed"]);
    apply.env("IMGC_TEST_PASSWORD", "none");
    let log = place.bed.path("killed.log");
    let out = fs::File::create(&log).expect("log");
    let mut child = apply.stdout(out.try_clone().expect("log")).stderr(out).spawn().expect("imgc");
    within(Duration::from_secs(240), "the step runs", || {
        fs::read_to_string(&log)
            .is_ok_and(|text| text.lines().any(|line| line.trim_end().ends_with("now")))
            .then_some(())
    });
    let guests = place.running();
    assert_eq!(guests.len(), 1, "one guest runs");
    must(Command::new("kill").args(["-9", &guests[0].to_string()]));
    assert!(!child.wait().expect("its end").success());
    let said = fs::read_to_string(&log).expect("log");
    assert!(said.contains("QEMU was killed (signal 9)"), "{said}");
}

/// `--on-error keep`: the guest lives on, the ways to it are named and work, and `imgc clean` ends it.
fn a_guest_is_kept_and_reached(place: &Place) {
    let said = fails(place, &["o_fills", "--on-error", "keep"]);
    let kept = said.lines().find(|line| line.contains("the guest lives on:")).expect("it is kept");
    assert!(kept.contains("serial console") && kept.contains("screen (VNC)"), "{kept}");
    assert_eq!(place.running().len(), 1, "the guest lives on");
    if has("ssh") {
        let command = kept.split('`').nth(1).expect("a command");
        let mut words = command.split(' ');
        let mut ssh = Command::new(words.next().expect("ssh"));
        ssh.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"]);
        // Keys that others can read are refused.
        fs::set_permissions(place.package.join("key"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("mode");
        let answer = must(ssh.args(words).args(["cat", "/root/ready"]));
        assert_eq!(answer.trim(), "ready");
    } else {
        lacking("ssh");
    }
    a_kept_guest_is_entered(place, &said);
    let console = kept.split("UNIX-CONNECT:").nth(1).and_then(|rest| rest.split('`').next()).expect("a socket");
    assert!(Path::new(console).exists(), "{console}");
    must(&mut place.bed.imgc(&["clean"]));
    within(Duration::from_secs(20), "`imgc clean` ends it", || place.running().is_empty().then_some(()));
}

/// `imgc shell --parked`: the very guest in which the step failed, which lives on; by its agent, and where that is gone by SSH.
fn a_kept_guest_is_entered(place: &Place, said: &str) {
    // A guest that was resumed has said nothing on its console since: there is none to keep. Lines may be broken.
    let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["screen is kept in", "imgc shell --parked"] {
        assert!(flat.contains(part), "`{part}` is missing in:\n{said}");
    }
    let token = said.split("--parked ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a name");
    let enter = |script: &str| {
        let mut shell = place.bed.imgc(&["shell", "--parked", token, "fills/sh \"fills\"", "--", "sh", "-c", script]);
        let output = run(shell.current_dir(&place.package).env("IMGC_TEST_PASSWORD", "none"));
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        assert_eq!(place.running().len(), 1, "the guest was ended");
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        (said(&output.stdout), said(&output.stderr))
    };
    assert_eq!(enter("cat /root/ready; touch /run/entered; exit 3").0, "ready");
    assert_eq!(enter("ls /run/entered; exit 3").0, "/run/entered");
    // A moment later, so that this answer still comes.
    let ended = enter(
        "agents=; for p in /proc/[0-9]*; do case $(readlink $p/exe) in /run/imgc/agent*) agents=\"$agents ${p#/proc/}\" ;; esac; done
         [ -n \"$agents\" ] || exit 4
         setsid sh -c \"sleep 2; kill -9 $agents\" </dev/null >/dev/null 2>&1 &
         exit 3",
    );
    assert!(!ended.1.contains("by SSH"), "{}", ended.1);
    std::thread::sleep(Duration::from_secs(6));
    let (found, notes) = enter("ls /run/entered; exit 3");
    assert_eq!(found, "/run/entered");
    assert!(notes.contains("it is brought again by SSH"), "{notes}");
}

/// A program in a guest as a step left it, over the agent.
fn a_shell_in_a_guest(place: &Place) {
    let mut shell = place.bed.imgc(&["shell", "vm/sh \"ready\"", "--", "sh", "-c", "cat /root/ready; exit 3"]);
    let output = run(shell.current_dir(&place.package).env("IMGC_TEST_PASSWORD", "none"));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "ready", "{}", text(&output));
    assert_eq!(output.status.code(), Some(3));
    assert!(place.running().is_empty(), "a guest is left");
}
