//! `imgc log`: what a step said, whenever it last ran.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use imgc_plan::Digest;

use crate::bed::{Bed, Said, builds};

/// An image with a shell, and these steps.
fn program(steps: &str) -> String {
    format!(
        "image box {{\n  from = rootfs.scratch()\n  copy \"shell\" {{ src = file(\"./busybox\"), dest = \"/bin/sh\", mode = 0o755 }}\n{steps}\n}}\noutput archive = oci.archive(box)\n"
    )
}

const LOUD: &str = "  sh \"loud\" { script = \"echo one; echo two >&2; echo three\" }\n";
const QUIET: &str = "  sh \"quiet\" { script = \"true\" }\n";

fn bed(steps: &str) -> Option<Bed> {
    if !builds() || !std::path::Path::new("/bin/busybox").exists() {
        assert!(std::env::var_os("CI").is_none(), "CI must have busybox-static: see scripts/setup.sh");
        return None;
    }
    let bed = Bed::new(&program(steps));
    bed.write("busybox", fs::read("/bin/busybox").expect("busybox"));
    Some(bed)
}

/// The directories of all runs, the first first.
fn runs(bed: &Bed) -> Vec<PathBuf> {
    let dir = bed.package().parent().expect("the bed").join("state/imgc/runs");
    let mut found: Vec<PathBuf> = fs::read_dir(dir).expect("runs").flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}

#[test]
fn a_log_has_what_the_step_printed_in_the_run_that_ran_it() {
    let Some(bed) = bed(&(LOUD.to_owned() + QUIET)) else { return };
    bed.imgc(&["log"]).fails(1, &["nothing was applied here yet", "imgc apply"]);
    bed.must(&["apply"]);
    for without_empty_logs in [false, true] {
        if without_empty_logs {
            // Whether a step that printed nothing has a log is the engine's affair.
            let logs = fs::read_dir(&runs(&bed)[0]).expect("run").flatten();
            let logs = logs.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "log"));
            for log in logs.filter(|entry| entry.metadata().is_ok_and(|meta| meta.len() == 0)) {
                fs::remove_file(log.path()).expect("log");
            }
        }
        let listed = bed.must(&["log"]);
        let steps: Vec<&str> = listed.lines().skip(1).map(str::trim).collect();
        let all = ["box/from", "box/copy \"shell\"", "box/sh \"loud\"", "box/sh \"quiet\"", "archive"];
        assert_eq!(steps, all, "{listed}");
        let said = bed.imgc(&["log", "box/sh \"loud\""]);
        let mut lines: Vec<&str> = said.out.lines().collect();
        lines.sort_unstable();
        assert_eq!((said.code, lines, said.err.as_str()), (Some(0), vec!["one", "three", "two"], ""));
        let said = bed.imgc(&["log", "box/sh \"quiet\""]);
        assert_eq!((said.code, said.out.as_str()), (Some(0), ""));
        assert!(said.err.contains("`box/sh \"quiet\"` ran and printed nothing"), "{}", said.err);
    }

    // Cached in the last run: what it said is from the run before.
    bed.write("main.imgc", program(&(LOUD.to_owned() + &QUIET.replace("true", "true; true"))));
    bed.must(&["apply"]);
    let listed = bed.must(&["log"]);
    assert!(listed.contains("quiet") && !listed.contains("loud"), "{listed}");
    let said = bed.imgc(&["log", "box/sh \"loud\""]);
    let first = runs(&bed)[0].file_name().expect("a name").to_string_lossy().into_owned();
    assert!(said.out.contains("one\n") && said.err.contains(&format!("from run {first}")), "{}", said.err);

    bed.imgc(&["log", "box/sh \"lowd\""]).fails(1, &["ran `box/sh \"lowd\"`", "did you mean `box/sh \"loud\"`?"]);
    bed.imgc(&["log", "elsewhere"]).fails(1, &["`imgc log` lists the steps of the last run"]);
}

#[test]
fn a_failed_step_has_a_log_and_so_has_what_ran_before_it() {
    let bad = "  sh \"bad\" { script = \"echo half; exit 3\" }\n  sh \"never\" { script = \"echo never\" }\n";
    let Some(bed) = bed(&(QUIET.to_owned() + bad)) else { return };
    assert_eq!(bed.imgc(&["apply"]).code, Some(3));
    let listed = bed.must(&["log"]);
    assert!(listed.contains("box/sh \"quiet\"") && listed.contains("box/sh \"bad\""), "{listed}");
    assert!(!listed.contains("never"), "{listed}");
    assert_eq!(bed.must(&["log", "box/sh \"bad\""]), "half\n");
    bed.imgc(&["log", "box/sh \"never\""]).fails(1, &["no run that is kept ran"]);
}

/// Killed while its second step runs: the note of what ran is written as it begins, and not at the end.
#[test]
fn a_killed_run_tells_what_ran_and_printed_nothing() {
    let slow = "  sh \"slow\" { script = \"read line < /dev/null; while true; do true; done\" }\n";
    let Some(bed) = bed(&(QUIET.to_owned() + slow + "  sh \"never\" { script = \"true\" }\n")) else { return };
    let mut child = bed.command(&["apply"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("imgc");
    let dir = bed.package().parent().expect("the bed").join("state/imgc/runs");
    let start = Instant::now();
    let began = |path: PathBuf| fs::read_to_string(path.join("ran")).is_ok_and(|ran| ran.contains("\"slow\""));
    while !fs::read_dir(&dir).into_iter().flatten().flatten().any(|run| began(run.path())) {
        assert!(start.elapsed() < Duration::from_secs(60), "the step never began");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("kill -9");
    assert_eq!(child.wait().expect("imgc").code(), None, "it was killed");
    for step in ["quiet", "slow"] {
        let said = bed.imgc(&["log", &format!("box/sh \"{step}\"")]);
        assert_eq!((said.code, said.out.as_str()), (Some(0), ""), "{}", said.err);
        assert!(said.err.contains(&format!("`box/sh \"{step}\"` ran and printed nothing")), "{}", said.err);
    }
    bed.imgc(&["log", "box/sh \"never\""]).fails(1, &["no run that is kept ran"]);
    let listed = bed.must(&["log"]);
    assert!(listed.contains("quiet") && listed.contains("slow") && !listed.contains("never"), "{listed}");
}

/// A run of four times as many steps is listed in about four times the time, not in sixteen times.
#[test]
fn log_time_grows_with_length() {
    if !builds() {
        return;
    }
    let bed = Bed::new("image box { from = rootfs.scratch() }\noutput archive = oci.archive(box)\n");
    bed.must(&["apply"]);
    let run = &runs(&bed)[0];
    let mut took = Vec::new();
    for count in [3000, 12_000] {
        let steps: Vec<String> = (0..count).map(|n| format!("box/sh \"{n}\"")).collect();
        for step in &steps {
            fs::write(run.join(format!("s-{}.log", Digest::of(step.as_bytes()).short())), "").expect("log");
        }
        fs::write(run.join("steps"), steps.join("\n")).expect("steps");
        let least = (0..3).map(|_| {
            let start = Instant::now();
            assert_eq!(bed.must(&["log"]).lines().count(), count + 1);
            start.elapsed()
        });
        took.push(least.min().expect("three"));
    }
    // The start of imgc, which has nothing to do with it, would only make this easier to pass.
    assert!(took[1] < took[0] * 9 + Duration::from_millis(20), "{took:?}");
}

/// The record of a run cannot be written: a folder stands in its place.
#[test]
fn a_record_that_cannot_be_written_says_what_to_do() {
    let Some(bed) = bed("  sh \"slow\" { script = \"n=0; while [ $n -lt 300000 ]; do n=$((n+1)); done\" }\n") else {
        return;
    };
    let child = bed.command(&["apply"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("imgc");
    let dir = bed.package().parent().expect("the bed").join("state/imgc/runs");
    let start = Instant::now();
    loop {
        let run = fs::read_dir(&dir).into_iter().flatten().flatten().next();
        if let Some(run) = run.filter(|run| run.path().join("steps").exists()) {
            fs::create_dir(run.path().join("apply.json")).expect("before the end of the step");
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "no run began");
        std::thread::sleep(Duration::from_millis(1));
    }
    let said = Said::of(&child.wait_with_output().expect("imgc"));
    said.fails(4, &["cannot write", "apply.json", "let it be written", "what was built stays cached"]);
    assert!(bed.must(&["apply"]).contains("0 nodes run"), "it stays cached");
}
