//! Streams that cannot be written, output that would steer a terminal, packages that cannot be written.

use std::fs;
use std::process::{Command, Stdio};

use crate::bed::{Bed, Said, builds};

const PROGRAM: &str = "image box { from = rootfs.scratch() }\noutput archive = oci.archive(box)\n";

fn full() -> Stdio {
    fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full").into()
}

#[test]
fn a_full_standard_output_is_told() {
    let bed = Bed::new(PROGRAM);
    for args in [&["plan", "--format", "json"][..], &["plan"], &["version"], &["--help"], &["plan", "--help-params"]] {
        if args[0] == "plan" && !builds() {
            continue;
        }
        let output = bed.command(args).stdout(full()).output().expect("imgc");
        let said = Said::of(&output);
        assert_eq!(said.code, Some(4), "{args:?}: {}", said.err);
        assert!(said.err.contains("No space left on device"), "{args:?}: {}", said.err);
    }
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let bed = Bed::new(PROGRAM);
    let mut child = bed.command(&["version"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("imgc");
    drop(child.stdout.take());
    let said = Said::of(&child.wait_with_output().expect("imgc"));
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
}

#[test]
fn what_a_step_prints_does_not_steer_the_terminal() {
    if !builds() || !std::path::Path::new("/bin/busybox").exists() {
        return;
    }
    let program = "image box {\n  from = rootfs.scratch()\n  copy \"shell\" { src = file(\"./busybox\"), dest = \"/bin/sh\", mode = 0o755 }\n  sh \"loud\" { script = \"printf '\\\\033]0;evil\\\\007\\\\033[2Jseen\\\\010\\\\n'; exit 3\" }\n}\noutput archive = oci.archive(box)\n";
    let bed = Bed::new(program);
    bed.write("busybox", fs::read("/bin/busybox").expect("busybox"));
    let said = bed.imgc(&["apply"]);
    assert_eq!(said.code, Some(3), "{}", said.err);
    let ours = said.err.replace('\n', "");
    assert!(!ours.chars().any(char::is_control), "{ours:?}");
    let shown = said.err.lines().find_map(|line| line.strip_prefix("box/sh \"loud\" | "));
    assert_eq!(shown, Some("seen"), "{}", said.err);
    // The log has it as it came.
    let log = said.err.lines().find_map(|line| line.trim().strip_prefix("log: ")).expect("the log's path");
    assert!(fs::read(log).expect("log").windows(4).any(|four| four == b"\x1b[2J"));
}

#[test]
fn sources_that_pin_nothing_are_in_no_lock() {
    if !builds() {
        return;
    }
    let bed = Bed::new(PROGRAM);
    bed.must(&["plan"]);
    assert!(!bed.path("imgc.lock").exists());
    bed.must(&["apply", "--locked"]);
    bed.must(&["plan", "--out", "p.json"]);
    bed.must(&["apply", "--plan", "p.json"]);
    assert!(!bed.path("imgc.lock").exists());
}

#[test]
fn outputs_that_no_output_names_any_more_go_unless_they_were_changed() {
    if !builds() {
        return;
    }
    let both = "output one = oci.archive(box)\noutput two = oci.archive(box, tag: \"b:1\")\noutput three = oci.archive(box, tag: \"c:1\")\n";
    let image = "image box { from = rootfs.scratch() }\n";
    let bed = Bed::new(&format!("{image}{both}"));
    bed.must(&["apply"]);
    // One output alone takes nothing away from the others.
    bed.must(&["apply", "one"]);
    assert_eq!(bed.sums().lines().count(), 3);
    fs::remove_file(bed.path("out/three.tar")).expect("three");
    fs::write(bed.path("out/three.tar"), "mine").expect("three");
    fs::write(bed.path("out/other.tar"), "other").expect("other");
    bed.write("main.imgc", format!("{image}output one = oci.archive(box)\n"));
    let said = bed.imgc(&["apply"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        said.err.contains("two.tar was removed") && said.err.contains("three.tar is named by no output"),
        "{}",
        said.err
    );
    let left: Vec<bool> =
        ["one", "two", "three", "other"].iter().map(|n| bed.path(&format!("out/{n}.tar")).exists()).collect();
    assert_eq!(left, [true, false, true, true]);
    assert_eq!(bed.sums().lines().count(), 1, "{}", bed.sums());
}

#[test]
fn a_store_can_be_trimmed_and_cleaned_and_says_so_for_programs() {
    if !builds() {
        return;
    }
    let bed = Bed::new(PROGRAM);
    bed.must(&["apply"]);
    let json = |args: &[&str]| -> serde_json::Value {
        serde_json::from_str(bed.must(args).lines().last().expect("a line")).expect("JSON")
    };
    assert_eq!(json(&["cache", "gc", "--format", "json"])["entries"], 0);
    let listed = json(&["cache", "ls", "--format", "json"])["entries"].as_array().map(Vec::len);
    assert_eq!(json(&["cache", "gc", "--budget", "0", "--format", "json"])["entries"].as_u64(), Some(1));
    assert_eq!(listed, Some(2), "a source of nothing keeps no space, and stays");
    assert_eq!(json(&["clean", "--format", "json"])["effects"], serde_json::json!([]));
    assert_eq!(json(&["cache", "verify", "--format", "json"])["damaged"], serde_json::json!([]));
    assert_eq!(bed.imgc(&["cache", "gc", "--budget", "much"]).code, Some(2));
}

/// As a user who may read the package and not write to it. Its source would be locked.
#[test]
fn a_plan_needs_no_right_to_write() {
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    if !builds() || !root {
        return;
    }
    let bed = Bed::new("image box { from = rootfs.oci(image: file(\"./image.tar\")) }\noutput o = oci.archive(box)\n");
    let other = Bed::new(PROGRAM);
    other.must(&["apply"]);
    bed.write("image.tar", fs::read(other.path("out/archive.tar")).expect("an archive"));
    // Root writes where modes forbid it, but not where the file system does.
    let script =
        "mount --bind \"$PWD\" \"$PWD\" && mount -o remount,bind,ro \"$PWD\" && cd \"$PWD\" && exec \"$0\" plan";
    let plan = bed.command(&[]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(plan.get_program());
    command.current_dir(bed.package()).envs(plan.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let said = Said::of(&command.output().expect("unshare"));
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    assert!(said.err.contains("the lock was not saved"), "{}", said.err);
    assert!(!bed.path("imgc.lock").exists());
}
