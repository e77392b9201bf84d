//! `plan`, `check --format json`, `fmt` on real input.

use std::io::Write;
use std::process::Stdio;

use crate::bed::{Bed, Said, builds};

const PROGRAM: &str = r#"/// Who is greeted.
param who: String = "world"
/// How loud.
param volume: Int where volume in 1..=11

image box {
  from = rootfs.scratch()
  write "hello" { dest = "/hello", text = "hello \{who}\n" }
  write "volume" { dest = "/volume", text = "\{volume}\n" }
}

output archive = oci.archive(box)
"#;

#[test]
fn a_plan_says_what_will_run_and_why() {
    if !builds() {
        return;
    }
    let bed = Bed::new(PROGRAM);
    let args = ["plan", "--set", "volume=3"];
    let new = bed.must(&args);
    for expected in [
        "box (linux/amd64)",
        "+ write \"hello\"",
        "outputs",
        "+ archive: oci.archive → archive.tar",
        "4 to run, 0 cached",
    ] {
        assert!(new.contains(expected), "`{expected}` is missing in:\n{new}");
    }
    assert_eq!(bed.imgc(&["plan", "--set", "volume=3", "--detailed-exitcode"]).code, Some(10));
    bed.must(&["apply", "--set", "volume=3"]);
    let cached = bed.must(&args);
    assert!(cached.contains("= write \"hello\"") && cached.contains("0 to run"), "{cached}");
    assert_eq!(bed.imgc(&["plan", "--set", "volume=3", "--detailed-exitcode"]).code, Some(0));
    let changed = bed.must(&["plan", "--set", "volume=4"]);
    assert!(changed.contains("= write \"hello\"") && changed.contains("~ write \"volume\""), "{changed}");
    let json: serde_json::Value =
        serde_json::from_str(&bed.must(&["plan", "--set", "volume=4", "--format", "json"])).expect("JSON");
    assert_eq!(json["nodes"].as_array().map(Vec::len), Some(4));
}

#[test]
fn params_are_described_without_any_argument() {
    let bed = Bed::new(PROGRAM);
    let said = bed.must(&["plan", "--help-params"]);
    for expected in ["who: String = \"world\"", "Who is greeted.", "volume: Int (required) where volume in 1..=11"] {
        assert!(said.contains(expected), "`{expected}` is missing in:\n{said}");
    }
}

#[test]
fn formatting_is_idempotent_and_reads_standard_input() {
    let bed = Bed::new("let   a=1 // one\nlet b =   [1,2]\n");
    bed.imgc(&["fmt", "--check"]).fails(1, &[]);
    let through_pipe = pipe(&bed, &["fmt", "-"], "let   a=1 // one\nlet b =   [1,2]\n");
    bed.must(&["fmt"]);
    let formatted = std::fs::read_to_string(bed.path("main.imgc")).expect("program");
    assert_eq!(through_pipe.out, formatted);
    assert!(formatted.contains("let a = 1 // one"), "{formatted}");
    bed.must(&["fmt", "--check"]);
    assert_eq!(pipe(&bed, &["fmt", "-"], &formatted).out, formatted);
    let broken = pipe(&bed, &["fmt", "-"], "image {");
    broken.fails(1, &["IMG0"]);
    assert_eq!(broken.out, "");
}

fn pipe(bed: &Bed, args: &[&str], text: &str) -> Said {
    let mut command = bed.command(args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("imgc");
    child.stdin.take().expect("pipe").write_all(text.as_bytes()).expect("write");
    Said::of(&child.wait_with_output().expect("imgc"))
}

#[test]
fn init_starts_a_package_that_holds_and_is_formatted() {
    let bed = Bed::new("");
    std::fs::remove_file(bed.path("main.imgc")).expect("program");
    bed.must(&["init"]);
    bed.must(&["check"]);
    bed.must(&["fmt", "--check"]);
    bed.imgc(&["init"]).fails(1, &["main.imgc", "nothing was written"]);
    bed.must(&["init", "deep/below"]);
    bed.must(&["check", "deep/below"]);
}

#[test]
fn completions_exist_for_three_shells_and_doctor_has_a_json_form() {
    let bed = Bed::new("");
    for shell in ["bash", "zsh", "fish"] {
        assert!(bed.must(&["completions", shell]).contains("imgc"), "{shell}");
    }
    let said = bed.imgc(&["doctor", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert!(json["findings"].as_array().is_some_and(|findings| !findings.is_empty()));
    assert!(matches!(said.code, Some(0 | 4)), "{}", said.err);
}
