//! Nothing is left behind: no mount, process, temporary file or undeletable folder.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::bed::{Bed, Who, must, run, within};

const PROGRAM: &str = "image box {\n  from = rootfs.scratch()\n  copy \"shell\" { src = file(\"./busybox\"), dest = \"/bin/sh\", mode = 0o755 }\n  copy \"tools\" { src = file(\"./busybox\"), dest = \"/bin/busybox\", mode = 0o755 }\n  sh \"odd\" { script = \"/bin/busybox mkdir -p /a/b/c; echo x > /a/b/f; /bin/busybox chmod 0 /a/b/f /a/b/c /a/b /a; /bin/busybox chown 1234:1234 /a\" }\n  sh \"more\" { script = \"/bin/busybox rm -rf /a/b/c; echo y > /y\" }\n}\noutput archive = oci.archive(box)\n";

/// Every mount of every process that names the folder, and every process with the folder in its command line or environment.
fn leftovers(dir: &Path) -> Vec<String> {
    let dir = dir.to_str().expect("UTF-8");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        if !pid.bytes().all(|b| b.is_ascii_digit()) || pid == std::process::id().to_string() {
            continue;
        }
        for (file, what) in [("mountinfo", "mount"), ("cmdline", "process"), ("environ", "process")] {
            let text = fs::read(entry.path().join(file)).unwrap_or_default();
            if String::from_utf8_lossy(&text).contains(dir) {
                found.push(format!("{what} of {pid}"));
            }
        }
    }
    found
}

fn entries(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path().display().to_string()).collect()
}

fn nothing_is_left(who: Who) {
    let bed = Bed::new(who);
    let package = bed.package("p", PROGRAM);
    bed.apply(&package, &[]);
    assert_eq!(leftovers(&bed.path("cache")), Vec::<String>::new());
    assert_eq!(entries(&bed.path("cache/scratch")), Vec::<String>::new(), "scratch after apply");
    assert_eq!(entries(&bed.path("tmp")), Vec::<String>::new(), "$TMPDIR after apply");
    must(&mut bed.imgc(&["cache", "verify"]));
    must(&mut bed.imgc(&["cache", "rm", "--all"]));
    for sub in ["objects", "trees", "scratch", "quarantine"] {
        let left: Vec<_> =
            entries(&bed.path("cache").join(sub)).into_iter().filter(|d| !entries(Path::new(d)).is_empty()).collect();
        assert_eq!(left, Vec::<String>::new(), "{sub} after cache rm --all");
    }
    bed.apply(&package, &[]);
}

#[test]
fn nothing_is_left_as_root() {
    nothing_is_left(Who::Root);
}

#[test]
fn nothing_is_left_as_an_ordinary_user() {
    nothing_is_left(Who::User);
}

fn signals(who: Who, signal: &str, code: Option<i32>) {
    let bed = Bed::new(who);
    let tag = format!("4{}", std::process::id());
    let program = PROGRAM.replace("echo y > /y", &format!("/bin/busybox sleep {tag}"));
    let package = bed.package("p", &program);
    let mut child = bed
        .imgc(&["apply", package.to_str().expect("UTF-8")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("imgc");
    let pattern = format!("^/bin/busybox sleep {tag}$");
    let sleeping = || run(Command::new("pgrep").args(["-f", &pattern])).status.success();
    within(Duration::from_secs(120), "the step runs", || sleeping().then_some(()));
    must(Command::new("kill").args([signal, &child.id().to_string()]));
    if signal == "-INT" {
        // Once lets the running step come to its end, which is far away here; twice ends it.
        std::thread::sleep(Duration::from_millis(300));
        must(Command::new("kill").args([signal, &child.id().to_string()]));
    }
    let status = child.wait().expect("wait");
    assert_eq!(status.code(), code, "{signal}");
    within(Duration::from_secs(30), "no process or mount is left", || {
        (!sleeping() && leftovers(&bed.path("cache")).is_empty()).then_some(())
    });
    fs::write(package.join("main.imgc"), PROGRAM).expect("program");
    let said = bed.apply(&package, &[]);
    assert!(package.join("out/archive.tar").is_file(), "{said}");
    assert_eq!(entries(&bed.path("cache/scratch")), Vec::<String>::new(), "scratch is swept by the next apply");
}

#[test]
fn kill_9_leaves_nothing() {
    signals(Who::Root, "-KILL", None);
}

#[test]
fn kill_9_leaves_nothing_as_an_ordinary_user() {
    signals(Who::User, "-KILL", None);
}

#[test]
fn ctrl_c_twice_ends_with_code_5() {
    signals(Who::Root, "-INT", Some(5));
}

/// The step that runs comes to its end and is kept; the next one does not begin.
#[test]
fn ctrl_c_once_lets_the_step_end_and_keeps_it() {
    let bed = Bed::new(Who::Root);
    // Long enough for a loaded machine to see it and to interrupt in time.
    let tag = format!("4.{}", std::process::id());
    let two = "  sh \"two\" { script = \"/bin/busybox cat /one > /two\" }\n";
    let program = format!(
        "image box {{\n  from = rootfs.scratch()\n  copy \"shell\" {{ src = file(\"./busybox\"), dest = \"/bin/sh\", mode = 0o755 }}\n  \
         copy \"tools\" {{ src = file(\"./busybox\"), dest = \"/bin/busybox\", mode = 0o755 }}\n  \
         sh \"one\" {{ script = \"/bin/busybox sleep {tag}; echo 1 > /one\" }}\n{two}}}\n\
         output archive = oci.archive(box)\n"
    );
    let package = bed.package("p", &program);
    let path = package.to_str().expect("UTF-8");
    let out = fs::File::create(bed.path("events")).expect("file");
    let mut child =
        bed.imgc(&["apply", path, "--format", "json"]).stdout(out).stderr(Stdio::null()).spawn().expect("imgc");
    let pattern = format!("^/bin/busybox sleep {tag}$");
    let sleeping = || run(Command::new("pgrep").args(["-f", &pattern])).status.success();
    within(Duration::from_secs(120), "the step runs", || sleeping().then_some(()));
    must(Command::new("kill").args(["-INT", &child.id().to_string()]));
    assert_eq!(child.wait().expect("wait").code(), Some(5));
    let begun = |events: &str, step: &str| {
        let of_step = format!("\"box/sh \\\"{step}\\\"\"");
        events.lines().any(|line| line.contains("\"started\"") && line.contains(&of_step))
    };
    let first = fs::read_to_string(bed.path("events")).expect("events");
    assert!(begun(&first, "one") && !begun(&first, "two"), "{first}");
    within(Duration::from_secs(30), "no process or mount is left", || {
        leftovers(&bed.path("cache")).is_empty().then_some(())
    });
    let again = bed.apply(&package, &["--format", "json"]);
    assert!(!begun(&again, "one") && begun(&again, "two"), "what was done is kept: {again}");
}
