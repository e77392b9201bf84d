//! `imgc test`: steps in throwaway copies of images.

use std::process::{Command, Output};

use crate::bed::{Bed, Who, run};
use crate::failures::text;

/// An image a key, and tests of them; one fails where the key is `b`.
const PROGRAM: &str = r#"
param greeting: String = "hello"
image box for key in ["a", "b"] {
  from = rootfs.scratch()
  copy "busybox" { src = file("./busybox"), dest = "/bin/busybox", mode = 0o755 }
  write "shell" { dest = "/bin/readme", text = "\{greeting} \{key}\n" }
}
test reads of box {
  sh "mark" { script = "/bin/busybox touch /marked" }
  sh "look" { script = "/bin/busybox cat /bin/readme; /bin/busybox grep -q 'hello a' /bin/readme" }
}
test always of box { sh "true" { script = "/bin/busybox test ! -e /marked" } }
output archive = oci.archive(box["a"])
"#;

fn bed(who: Who) -> Bed {
    let bed = Bed::new(who);
    let program =
        PROGRAM.replace("  write \"shell\"", "  sh \"links\" { script = \"/bin/busybox true\" }\n  write \"shell\"");
    let dir = bed.package("p", &program);
    // `sh` needs a shell: the source is an archive with one.
    std::fs::create_dir_all(dir.join("root/bin")).expect("folder");
    std::fs::copy(dir.join("busybox"), dir.join("root/bin/sh")).expect("shell");
    crate::bed::must(Command::new("tar").args(["-C", "root", "-cf", "root.tar", "."]).current_dir(&dir));
    let program = program.replace("rootfs.scratch()", "rootfs.tar(file(\"./root.tar\"))");
    std::fs::write(dir.join("main.imgc"), program).expect("program");
    bed.own();
    bed
}

fn imgc(bed: &Bed, args: &[&str]) -> Output {
    run(bed.imgc(&["-C", "p", "test"]).args(args))
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn tests_tell_what_holds(who: Who) {
    let bed = bed(who);
    let first = imgc(&bed, &["--format", "tap"]);
    assert_eq!(first.status.code(), Some(3), "{}", text(&first));
    let tap = out(&first);
    assert!(tap.starts_with("TAP version 14\n1..4\n"), "{tap}");
    for expected in ["ok 1 - always[a]\n", "ok 2 - always[b]\n", "ok 3 - reads[a]\n", "not ok 4 - reads[b]\n"] {
        assert!(tap.contains(&format!("\n{expected}")), "`{expected}` is missing in:\n{tap}");
    }
    assert!(tap.contains("  step: \"reads[b]/sh \\\"look\\\"\"") && tap.contains("    - \"hello b\""), "{tap}");
    // The place in the program, too.
    assert!(text(&first).contains("main.imgc:"), "{}", text(&first));

    // What passed is not run again, what failed is.
    let second = imgc(&bed, &[]);
    assert_eq!(second.status.code(), Some(3), "{}", text(&second));
    let said = out(&second);
    for expected in
        ["✓ always[a] (cached)", "✓ reads[a] (cached)", "✗ reads[b] failed", "4 tests: 3 passed, 1 failed, 0 not run"]
    {
        assert!(said.contains(expected), "`{expected}` is missing in:\n{said}");
    }
    let again = imgc(&bed, &["--again", "reads[a]"]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    assert!(out(&again).contains("✓ reads[a] (0") && out(&again).contains("1 test: 1 passed"), "{}", text(&again));

    // Another image, another truth.
    let other = imgc(&bed, &["--set", "greeting=bye", "reads[a]"]);
    assert_eq!(other.status.code(), Some(3), "{}", text(&other));

    // An image that is built afterwards knows nothing of its tests.
    bed.apply(&bed.path("p"), &[]);
    let tree = bed.path("tmp/tree");
    crate::bed::unpack_archive(&bed.path("p/out/archive.tar"), &tree);
    assert!(tree.join("root/bin/readme").exists() && !tree.join("root/marked").exists());
    let scratch = std::fs::read_dir(bed.path("cache/scratch")).expect("scratch").count();
    assert_eq!(scratch, 0, "nothing is left of the machines");
}

#[test]
fn tests_tell_what_holds_as_root() {
    tests_tell_what_holds(Who::Root);
}

#[test]
fn tests_tell_what_holds_as_an_ordinary_user() {
    tests_tell_what_holds(Who::User);
}

#[test]
fn junit_has_a_suite_an_image() {
    let bed = bed(Who::Root);
    let said = imgc(&bed, &["--junit", bed.path("tmp/report.xml").to_str().expect("UTF-8")]);
    assert_eq!(said.status.code(), Some(3), "{}", text(&said));
    let xml = std::fs::read_to_string(bed.path("tmp/report.xml")).expect("report");
    let document = roxmltree::Document::parse(&xml).expect("well-formed");
    let suites: Vec<_> = document.descendants().filter(|node| node.has_tag_name("testsuite")).collect();
    let told: Vec<_> =
        suites.iter().map(|s| (s.attribute("name"), s.attribute("tests"), s.attribute("failures"))).collect();
    assert_eq!(told, [(Some("box[a]"), Some("2"), Some("0")), (Some("box[b]"), Some("2"), Some("1"))], "{xml}");
    let failure = document.descendants().find(|node| node.has_tag_name("failure")).expect("a failure");
    assert!(failure.text().is_some_and(|text| text.contains("hello b")), "{xml}");
    let printed = imgc(&bed, &["--format", "junit", "always[a]"]);
    assert!(roxmltree::Document::parse(&out(&printed)).is_ok(), "{}", out(&printed));
}

#[test]
fn an_image_that_fails_fails_its_tests() {
    let bed = bed(Who::Root);
    let main = bed.path("p/main.imgc");
    let program = std::fs::read_to_string(&main).expect("program");
    std::fs::write(&main, program.replace("/bin/busybox true", "exit 9")).expect("program");
    let said = imgc(&bed, &["reads[a]", "always[a]"]);
    assert_eq!(said.status.code(), Some(3), "{}", text(&said));
    assert!(out(&said).contains("- reads[a] not run: box[a]/sh \"links\" failed"), "{}", text(&said));
    let list = imgc(&bed, &["--list"]);
    assert_eq!(out(&list), "always[a]\nalways[b]\nreads[a]\nreads[b]\n", "{}", text(&list));
    let unknown = imgc(&bed, &["raeds[a]"]);
    assert_eq!(unknown.status.code(), Some(1), "{}", text(&unknown));
    assert!(text(&unknown).contains("reads[a]"), "{}", text(&unknown));
}

/// Two tests that each take a second of sleep end in less than their sum: their logs overlap in time.
#[test]
fn tests_run_side_by_side() {
    let bed = bed(Who::Root);
    let main = bed.path("p/main.imgc");
    let program = std::fs::read_to_string(&main).expect("program");
    let slow = "test slow of box { sh \"sleep\" { script = \"/bin/busybox sleep 2\" } }\n";
    std::fs::write(&main, format!("{program}{slow}")).expect("program");
    let said = imgc(&bed, &["--jobs", "2", "--format", "json", "slow[a]", "slow[b]"]);
    assert_eq!(said.status.code(), Some(0), "{}", text(&said));
    let events: Vec<serde_json::Value> =
        out(&said).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of_sleeps =
        |event: &serde_json::Value| event["address"].as_str().is_some_and(|address| address.ends_with("/sh \"sleep\""));
    let order: Vec<&str> =
        events.iter().filter(|event| of_sleeps(event)).filter_map(|event| event["event"].as_str()).collect();
    assert_eq!(order, ["started", "started", "finished", "finished"], "{events:#?}");
    let passed = events.iter().filter(|event| event["event"] == "test" && event["result"] == "passed").count();
    assert_eq!(passed, 2);
}
