//! Steps that misbehave and plan files that do not hold: a clear message, the right exit code, nothing lost or left.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::bed::{Bed, Who, must, run, unpack_archive};
use crate::failures::{boxed, text};

fn step(bed: &Bed, fields: &str) -> Output {
    let package = bed.package("p", &boxed(&format!("  sh \"unruly\" {{ {fields}, network = false }}")));
    run(&mut bed.imgc(&["apply", package.to_str().expect("UTF-8")]))
}

/// Whether a program with this argument still runs.
fn runs(argument: &str) -> bool {
    let is_it = |entry: fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes())
    };
    fs::read_dir("/proc").expect("/proc").flatten().any(is_it)
}

#[test]
fn a_step_killed_by_a_signal_says_which() {
    let bed = Bed::new(Who::Root);
    let output = step(&bed, "script = \"kill -9 $$\"");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("signal 9"), "{}", text(&output));
}

#[test]
fn a_step_that_ignores_sigterm_is_killed_after_its_timeout() {
    let bed = Bed::new(Who::Root);
    let script = "trap '' TERM; /bin/busybox sleep 40971 & while :; do /bin/busybox sleep 1; done";
    let output = step(&bed, &format!("script = \"{script}\", timeout = 1s"));
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("timeout"), "{}", text(&output));
    assert!(!runs("40971"), "a child of the step lives on");
}

#[test]
fn a_script_that_closes_its_output_runs_to_its_end_and_what_it_leaves_behind_does_not() {
    let bed = Bed::new(Who::Root);
    let script = "exec >&- 2>&-; /bin/busybox sleep 1; echo yes > /done; /bin/busybox sleep 40972 &";
    let output = step(&bed, &format!("script = \"{script}\""));
    assert!(output.status.success(), "{}", text(&output));
    let into = bed.path("unpacked");
    unpack_archive(&bed.path("p/out/archive.tar"), &into);
    assert_eq!(fs::read_to_string(into.join("root/done")).expect("done"), "yes\n");
    assert!(!runs("40972"), "a child of the step lives on");
}

#[test]
fn binary_output_reaches_the_log_whole_and_events_stay_json() {
    let bed = Bed::new(Who::Root);
    let script = "/bin/busybox dd if=/proc/self/exe bs=1000 count=200 2>/dev/null";
    let package = bed.package("p", &boxed(&format!("  sh \"unruly\" {{ script = \"{script}\", network = false }}")));
    let events = must(&mut bed.imgc(&["apply", "--format", "json", package.to_str().expect("UTF-8")]));
    for line in events.lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("an event a line");
        assert!(event["event"].is_string(), "{line}");
    }
    assert_eq!(log(&bed).len(), 200_000);
}

#[test]
fn a_flood_of_output_is_in_the_log_to_the_last_byte() {
    const BYTES: usize = 30_000_000;
    let bed = Bed::new(Who::Root);
    let script = format!("/bin/busybox yes a long line of output | /bin/busybox head -c {BYTES}");
    let package = bed.package("p", &boxed(&format!("  sh \"unruly\" {{ script = \"{script}\", network = false }}")));
    let mut command = bed.imgc(&["apply", package.to_str().expect("UTF-8")]);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("imgc");
    assert!(status.success());
    assert_eq!(log(&bed).len(), BYTES);
}

/// The most memory that a process used so far, in KiB, as the kernel counts it.
fn peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok())
}

#[test]
fn a_gigabyte_of_output_takes_neither_memory_nor_the_disk() {
    const BYTES: usize = 1 << 30;
    let bed = Bed::new(Who::Root);
    let line = "a long line of output, ".repeat(40);
    let script = format!("/bin/busybox yes '{line}' | /bin/busybox head -c {BYTES}; echo; echo the end");
    let package = bed.package("p", &boxed(&format!("  sh \"unruly\" {{ script = \"{script}\", network = false }}")));
    let mut command = bed.imgc(&["apply", package.to_str().expect("UTF-8")]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("imgc");
    let mut most = 0;
    let status = loop {
        most = most.max(peak(child.id()).unwrap_or_default());
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert!(status.success());
    assert!((1..256 << 10).contains(&most), "{most} KiB");
    let log = log(&bed);
    assert!(log.len() < (64 << 20) + (64 << 10), "{}", log.len());
    let end = String::from_utf8_lossy(&log[log.len() - (32 << 10)..]).into_owned();
    assert!(end.ends_with("\nthe end\n"), "{end}");
    assert!(end.contains("bytes are left out here"), "{end}");
}

/// The log of the step in the only run there was.
fn log(bed: &Bed) -> Vec<u8> {
    let runs = fs::read_dir(bed.path("state/imgc/runs")).expect("runs").flatten();
    let is_log =
        |path: &Path| path.to_string_lossy().contains("unruly") && path.extension().is_some_and(|e| e == "log");
    let mut logs = runs.flat_map(|run| fs::read_dir(run.path()).expect("run").flatten().map(|entry| entry.path()));
    fs::read(logs.find(|path| is_log(path)).expect("a log")).expect("log")
}

#[test]
fn a_plan_file_of_another_version_or_of_other_inputs_is_refused() {
    let bed = Bed::new(Who::Root);
    let package = bed.package("p", &boxed("  copy \"motd\" { src = file(\"./motd\"), dest = \"/motd\" }"));
    fs::write(package.join("motd"), "one\n").expect("motd");
    let (path, file) = (package.to_str().expect("UTF-8"), bed.path("plan.json"));
    let file = file.to_str().expect("UTF-8");
    must(&mut bed.imgc(&["plan", path, "--out", file]));
    fs::write(package.join("motd"), "two\n").expect("motd");
    let changed = run(&mut bed.imgc(&["apply", "--plan", file]));
    assert_eq!(changed.status.code(), Some(1), "{}", text(&changed));
    assert!(text(&changed).contains("motd"), "{}", text(&changed));
    let mut plan: serde_json::Value = serde_json::from_str(&fs::read_to_string(file).expect("plan")).expect("JSON");
    assert!(plan["format"].is_number(), "a plan file has a format");
    plan["format"] = serde_json::json!(9999);
    fs::write(file, plan.to_string()).expect("plan");
    let newer = run(&mut bed.imgc(&["apply", "--plan", file]));
    assert_eq!(newer.status.code(), Some(1), "{}", text(&newer));
    assert!(text(&newer).contains("9999"), "{}", text(&newer));
    assert!(!package.join("out").exists(), "nothing was built");
}
