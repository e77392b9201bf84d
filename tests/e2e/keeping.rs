//! Machines in which a step failed: kept for a shell, asked about, and taken away again; and shells where no layer is.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::bed::{Bed, Who, has, lacking, must, run};
use crate::failures::{boxed, text};

const STEPS: &str =
    "  sh \"one\" { script = \"echo one > /one\" }\n  sh \"bad\" { script = \"echo half > /half; exit 3\" }";

/// The name that a machine was kept under, as the message says it.
fn parked(said: &str) -> String {
    let (_, rest) = said.split_once("imgc shell --parked ").unwrap_or_else(|| panic!("no machine was kept:\n{said}"));
    rest.split_whitespace().next().expect("a name").to_owned()
}

fn trees(bed: &Bed) -> usize {
    let found = must(Command::new("find").arg(bed.path("cache/trees")).args(["-mindepth", "2", "-maxdepth", "2"]));
    found.lines().count()
}

fn kept(who: Who) {
    let bed = Bed::new(who);
    let package = bed.package("p", &boxed(STEPS));
    let path = package.to_str().expect("UTF-8");
    let failed = run(&mut bed.imgc(&["apply", path]));
    assert_eq!(failed.status.code(), Some(3), "{}", text(&failed));
    let before = trees(&bed);
    let said = text(&run(&mut bed.imgc(&["apply", path, "--on-error", "keep"])));
    let name = parked(&said);
    let look = || {
        run(&mut bed.imgc(&[
            "-C",
            "p",
            "shell",
            "--parked",
            &name,
            "box/sh \"bad\"",
            "--",
            "/bin/busybox",
            "cat",
            "/one",
            "/half",
        ]))
    };
    // Twice: looking changes nothing.
    for _ in 0..2 {
        let seen = look();
        assert_eq!(String::from_utf8_lossy(&seen.stdout), "one\nhalf\n", "{who:?}: {}", text(&seen));
    }
    let dry = must(&mut bed.imgc(&["clean", "--dry-run"]));
    assert!(dry.contains(&name), "{dry}");
    let listed = must(&mut bed.imgc(&["cache", "ls"]));
    let line = listed.lines().find(|line| line.contains(&name)).unwrap_or_else(|| panic!("it is not listed: {listed}"));
    assert!(line.contains("just now") && line.contains("cache rm"), "{line}");
    assert_eq!(String::from_utf8_lossy(&look().stdout), "one\nhalf\n", "a dry run takes nothing away");
    assert_eq!(trees(&bed), before + 1);
    must(&mut bed.imgc(&["clean"]));
    let gone = look();
    assert_eq!(gone.status.code(), Some(1), "{}", text(&gone));
    assert!(text(&gone).contains("no machine is kept"), "{}", text(&gone));
    assert_eq!(trees(&bed), before, "its tree went with it");
    assert_eq!(must(&mut bed.imgc(&["clean"])).trim(), "nothing is left of earlier runs");
}

#[test]
fn a_failed_machine_is_kept_until_it_is_cleaned_as_root() {
    kept(Who::Root);
}

#[test]
fn a_failed_machine_is_kept_until_it_is_cleaned_as_an_ordinary_user() {
    kept(Who::User);
}

#[test]
fn a_kept_machine_is_removed_by_its_name_and_nothing_else_is() {
    let bed = Bed::new(Who::Root);
    let package = bed.package("p", &boxed(STEPS));
    let path = package.to_str().expect("UTF-8");
    run(&mut bed.imgc(&["apply", path]));
    let before = trees(&bed);
    let name = parked(&text(&run(&mut bed.imgc(&["apply", path, "--on-error", "keep"]))));
    let list = || -> serde_json::Value {
        serde_json::from_str(&must(&mut bed.imgc(&["cache", "ls", "--format", "json"]))).expect("JSON")
    };
    let listed = list();
    assert_eq!(listed["parked"][0]["name"], name.as_str(), "{listed}");
    assert!(listed["parked"][0]["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{listed}");
    must(&mut bed.imgc(&["cache", "rm", &name]));
    assert_eq!(list()["parked"], serde_json::json!([]));
    assert_eq!(list()["entries"], listed["entries"]);
    assert_eq!(trees(&bed), before, "its tree went");
    assert_eq!(run(&mut bed.imgc(&["cache", "rm", &name])).status.code(), Some(1), "it is not there any more");
    must(&mut bed.imgc(&["clean"]));
}

#[test]
fn a_failed_machine_with_a_secret_in_its_tree_is_not_kept() {
    let bed = Bed::new(Who::Root);
    let step = "  sh \"bad\" {\n    script = \"echo $T > /leak; exit 3\"\n    env = { \"T\" => token }\n  }";
    let program = format!("secret token: String from env(\"KEEP_TOKEN\") version \"v1\"\n{}", boxed(step));
    let package = bed.package("p", &program);
    let mut command = bed.imgc(&["apply", package.to_str().expect("UTF-8"), "--on-error", "keep"]);
    let said = run(command.env("KEEP_TOKEN", "a-value-nobody-else-has"));
    assert_eq!(said.status.code(), Some(3), "{}", text(&said));
    assert!(text(&said).contains("is not kept") && !text(&said).contains("--parked"), "{}", text(&said));
    let grep = run(Command::new("grep").args(["-r", "-l", "a-value-nobody-else-has"]).arg(bed.path("cache")));
    assert_eq!(String::from_utf8_lossy(&grep.stdout), "", "the secret is on the disk");
}

#[test]
fn a_shell_runs_again_what_was_not_kept() {
    let bed = Bed::new(Who::Root);
    let steps =
        "  sh \"one\" { script = \"echo one > /one\" }\n  sh \"now\" { script = \"echo more >> /one\", cache = never }";
    let package = bed.package("p", &boxed(steps));
    bed.apply(&package, &[]);
    let before = trees(&bed);
    let seen = run(&mut bed.imgc(&["-C", "p", "shell", "box/sh \"now\"", "--", "/bin/busybox", "cat", "/one"]));
    assert_eq!(String::from_utf8_lossy(&seen.stdout), "one\nmore\n", "{}", text(&seen));
    assert!(text(&seen).contains("`box/sh \"now\"` runs again"), "{}", text(&seen));
    assert_eq!(trees(&bed), before, "nothing of it is kept");
    assert!(fs::read_dir(bed.path("cache/scratch")).expect("scratch").next().is_none(), "nothing is left");
}

/// What a person sees who types these lines while `imgc` runs on a terminal.
fn typed(bed: &Bed, args: &str, lines: &str) -> String {
    let inner = format!("{} {args}", bed.path("imgc").display());
    let mut command = Command::new("script");
    command.args(["-qec", &inner, "/dev/null"]).current_dir(bed.path("")).env("IMGC_CACHE", bed.path("cache"));
    command.env("XDG_STATE_HOME", bed.path("state")).env("TERM", "vt100").env("SHELL", "/bin/sh");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("script");
    child.stdin.take().expect("stdin").write_all(lines.as_bytes()).expect("typed");
    text(&child.wait_with_output().expect("ended"))
}

#[test]
fn somebody_at_a_terminal_is_asked_what_becomes_of_a_failed_step() {
    if !has("script") && lacking("script (package bsdutils)") {
        return;
    }
    let bed = Bed::new(Who::Root);
    bed.package("p", &boxed(STEPS));
    let said = typed(&bed, "apply ./p --on-error ask", "what?\nr\nk\n");
    let asked = said.matches("run the step again (r)?").count();
    assert_eq!(asked, 3, "a word it does not know, again, keep:\n{said}");
    let name = parked(&said);
    let seen = run(&mut bed.imgc(&[
        "-C",
        "p",
        "shell",
        "--parked",
        &name,
        "box/sh \"bad\"",
        "--",
        "/bin/busybox",
        "cat",
        "/half",
    ]));
    assert_eq!(String::from_utf8_lossy(&seen.stdout), "half\n", "{}", text(&seen));
    let said = typed(&bed, "apply ./p --on-error ask", "s\n");
    assert_eq!(said.matches("run the step again (r)?").count(), 1, "{said}");
    assert!(!said.contains("--parked"), "{said}");
    let nobody = run(&mut bed.imgc(&["apply", "./p", "--on-error", "ask"]));
    assert_eq!(nobody.status.code(), Some(2), "{}", text(&nobody));
    assert!(text(&nobody).contains("needs a terminal"), "{}", text(&nobody));
}
