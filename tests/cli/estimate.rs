//! When a run is expected to end: what `plan` says, and what a terminal shows while `apply` runs.

use std::fs;
use std::process::{Command, Stdio};

use crate::bed::{Bed, Said, builds};

const PROGRAM: &str = r#"image box {
  from = rootfs.scratch()
  copy "shell" { src = file("./busybox"), dest = "/bin/sh", mode = 0o755 }
  copy "sleep" { src = file("./busybox"), dest = "/bin/sleep", mode = 0o755 }
  sh "slow" { script = "sleep 3" }
}
output archive = oci.archive(box)
"#;

/// All seconds that stand between these two texts.
fn between(text: &str, before: &str, after: &str) -> Vec<f64> {
    let found = text.split(before).skip(1).filter_map(|rest| rest.split(after).next());
    found.filter_map(|time| time.trim().strip_suffix('s')?.parse().ok()).collect()
}

#[test]
fn the_end_is_foretold_from_the_last_run() {
    let there = ["/bin/busybox", "/usr/bin/script"].iter().all(|file| std::path::Path::new(file).exists());
    if !builds() || !there {
        assert!(std::env::var_os("CI").is_none(), "CI must have busybox-static and script: see scripts/setup.sh");
        return;
    }
    let bed = Bed::new(PROGRAM);
    bed.write("busybox", fs::read("/bin/busybox").expect("busybox"));
    assert!(!bed.must(&["plan"]).contains("about"), "nothing is known yet");
    let events = bed.must(&["apply", "--format", "json"]);
    let took: Vec<f64> = events
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|event| event["event"] == "finished")
        .filter_map(|event| event["seconds"].as_f64())
        .collect();
    let whole: f64 = took.iter().sum();

    bed.write("main.imgc", PROGRAM.replace("sleep 3\"", "sleep 3; true\""));
    let said = bed.must(&["plan"]);
    let foretold = between(said.lines().last().expect("a summary"), "about ", "\n");
    assert_eq!(foretold.len(), 1, "{said}");
    assert!(foretold[0] >= 2.9 && foretold[0] <= whole + 0.2, "{foretold:?} of {took:?}: {said}");

    // A terminal of a known width, or the lines would be cut where it has none.
    let inner = format!("stty cols 120 rows 40; exec {} apply", env!("CARGO_BIN_EXE_imgc"));
    let imgc = bed.command(&[]);
    let mut command = Command::new("script");
    command.args(["-qec", &inner, "/dev/null"]).current_dir(bed.package()).stdin(Stdio::null());
    command.envs(imgc.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("TERM", "xterm");
    command.env_remove("COLUMNS").env("SHELL", "/bin/sh");
    let said = Said::of(&command.output().expect("script"));
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    let of = between(&said.out, "of about ", " ");
    let of: Vec<f64> = if of.is_empty() { between(&said.out, "of about ", "\r") } else { of };
    assert!(of.iter().any(|time| *time >= 2.9 && *time <= whole + 0.2), "of the step: {of:?} in {:?}", said.out);
    let left = between(&said.out, "about ", " left");
    assert!(left.iter().any(|time| *time >= 1.0), "no end is foretold: {:?}", said.out);
    assert!(left.iter().all(|time| *time <= foretold[0] + 0.1), "{left:?} of {foretold:?}");
    assert!(left.windows(2).all(|pair| pair[1] <= pair[0] + 0.1), "it comes nearer: {left:?}");
}
