//! `apply` and what it leaves: caching shown by effects, the fast path, plan files, the store.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::bed::{Bed, builds, touch};

/// Two layers that need no machine, out of a text, a param and a folder.
const PROGRAM: &str = r#"param who: String = "world"

image box {
  from = rootfs.scratch()

  write "hello" { dest = "/hello", text = "hello \{who}\n" }
  copy "site" { src = dir("./site"), dest = "/site" }
}

output archive = oci.archive(box)
"#;

fn bed() -> Bed {
    let bed = Bed::new(PROGRAM);
    bed.write("site/a", "one");
    bed.write("site/b/c", "two");
    symlink("a", bed.path("site/link")).expect("link");
    bed
}

#[test]
fn apply_builds_once_and_then_has_nothing_to_do() {
    if !builds() {
        return;
    }
    let bed = bed();
    let first = bed.must(&["apply"]);
    assert!(first.contains("archive → out/archive.tar"), "{first}");
    let sums = bed.sums();
    Bed::settle();
    let second = bed.must(&["apply"]);
    assert!(second.contains("0 nodes run"), "{second}");
    let runs = bed.runs();
    let third = bed.must(&["apply"]);
    assert!(third.contains("archive → out/archive.tar"), "{third}");
    assert_eq!(bed.runs(), runs, "the fast path starts no run");
    assert_eq!(bed.sums(), sums);
    fs::remove_file(bed.path("out/archive.tar")).expect("artifact");
    bed.must(&["apply"]);
    assert!(bed.path("out/archive.tar").is_file(), "a removed artifact is put in place again");
    assert_eq!(bed.sums(), sums);
}

#[test]
fn files_count_by_content_mode_and_name_and_nothing_else() {
    if !builds() {
        return;
    }
    let bed = bed();
    let mut last = String::new();
    let mut apply = |what: &str, changes: bool| {
        bed.must(&["apply"]);
        assert_eq!(bed.sums() != last, changes, "{what}");
        last = bed.sums();
    };
    apply("first", true);
    bed.write("site/a", "eno");
    apply("other content of the same length at once", true);
    bed.write("site/a", "one");
    apply("and back at once", true);
    bed.write("site/new", "");
    apply("a file added", true);
    fs::rename(bed.path("site/new"), bed.path("site/renamed")).expect("rename");
    apply("a file renamed", true);
    fs::remove_file(bed.path("site/link")).expect("link");
    symlink("renamed", bed.path("site/link")).expect("link");
    apply("a link retargeted", true);
    Bed::settle();
    touch(&bed.path("site/a"));
    apply("a touch", false);
    fs::set_permissions(bed.path("site/a"), fs::Permissions::from_mode(0o600)).expect("mode");
    apply("a mode that an umask could have made", false);
    fs::set_permissions(bed.path("site/a"), fs::Permissions::from_mode(0o755)).expect("mode");
    apply("executable", true);
    bed.write(".imgcignore", "renamed\n");
    apply("a file ignored", true);
}

#[test]
fn params_come_from_set_then_vars_then_the_environment() {
    if !builds() {
        return;
    }
    let bed = bed();
    bed.write("vars.toml", "who = \"file\"\n");
    let plan = |args: &[&str]| {
        let mut command = bed.command(&["apply"]);
        command.args(args).env("IMGC_VAR_who", "env");
        assert!(command.status().expect("imgc").success());
        bed.sums()
    };
    let from_env = plan(&[]);
    let from_file = plan(&["--vars", "vars.toml"]);
    let from_set = plan(&["--vars", "vars.toml", "--set", "who=set"]);
    assert!(from_env != from_file && from_file != from_set && from_env != from_set);
    bed.must(&["apply"]);
    assert!(bed.sums() != from_env, "without the variable the fast path must not hold");
}

#[test]
fn a_plan_file_is_obeyed_until_an_input_changes() {
    if !builds() {
        return;
    }
    let bed = bed();
    bed.must(&["plan", "--out", "plan.json", "--set", "who=plan"]);
    bed.must(&["apply", "--plan", "plan.json"]);
    let planned = bed.sums();
    bed.must(&["apply", "--set", "who=plan"]);
    assert_eq!(bed.sums(), planned);

    let refused = |named: &[&str]| bed.imgc(&["apply", "--plan", "plan.json"]).fails(1, named);
    bed.write("site/a", "changed");
    refused(&["`site/a`", "content"]);
    bed.write("site/a", "one");
    bed.write("site/new", "");
    refused(&["`site/new` was added"]);
    fs::remove_file(bed.path("site/new")).expect("file");
    fs::set_permissions(bed.path("site/a"), fs::Permissions::from_mode(0o755)).expect("mode");
    refused(&["the mode of `site/a`"]);
    fs::set_permissions(bed.path("site/a"), fs::Permissions::from_mode(0o644)).expect("mode");
    bed.write("main.imgc", format!("{PROGRAM}\n// a comment\n"));
    refused(&["source text of `main.imgc`"]);
    bed.write("main.imgc", PROGRAM);
    bed.must(&["apply", "--plan", "plan.json"]);
    let text = fs::read_to_string(bed.path("plan.json")).expect("plan");
    bed.write("plan.json", text.replacen("\"imgc\": \"", "\"imgc\": \"0", 1));
    refused(&["was made by imgc"]);
    bed.write("plan.json", "{");
    refused(&["is not a plan of imgc"]);
    bed.imgc(&["apply", "--plan", "plan.json", "--set", "who=x"]).fails(2, &["--set"]);
}

#[test]
fn a_param_from_the_environment_is_an_input_of_a_plan_file() {
    if !builds() {
        return;
    }
    let bed = bed();
    let with = |value: &str, args: &[&str]| {
        let mut command = bed.command(args);
        command.env("IMGC_VAR_who", value);
        crate::bed::Said::of(&command.output().expect("imgc"))
    };
    assert_eq!(with("a", &["plan", "--out", "plan.json"]).code, Some(0));
    with("b", &["apply", "--plan", "plan.json"]).fails(1, &["the param `who` changed"]);
    assert_eq!(with("a", &["apply", "--plan", "plan.json"]).code, Some(0));
}

#[test]
fn what_was_built_can_be_shown_listed_and_removed() {
    if !builds() {
        return;
    }
    let bed = bed();
    bed.imgc(&["show"]).fails(1, &["nothing was applied here yet"]);
    bed.must(&["apply"]);
    let shown = bed.must(&["show"]);
    for expected in ["archive → out/archive.tar", "oci.archive", "sha256"] {
        assert!(shown.contains(expected), "`{expected}` is missing in:\n{shown}");
    }
    let json: serde_json::Value = serde_json::from_str(&bed.must(&["show", "--format", "json"])).expect("JSON");
    let sha256 = json["artifacts"][0]["sha256"].as_str().expect("digest").to_owned();
    assert!(bed.sums().starts_with(&sha256));
    let kept = bed.must(&["cache", "ls"]);
    assert!(kept.contains("box/write \"hello\""), "{kept}");
    bed.must(&["cache", "verify"]);
    bed.imgc(&["cache", "rm", "nothing-like-it"]).fails(1, &["imgc cache ls"]);
    bed.must(&["cache", "rm", "box/copy \"site\""]);
    let plan = bed.must(&["plan"]);
    assert!(plan.contains("= write \"hello\"") && plan.contains("~ copy \"site\""), "{plan}");
    bed.must(&["cache", "rm", "--all"]);
    bed.must(&["apply"]);
    assert!(bed.sums().starts_with(&sha256));
}

#[test]
fn events_are_one_json_value_a_line() {
    if !builds() {
        return;
    }
    let bed = bed();
    let out = bed.must(&["apply", "--format", "json"]);
    let events: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).expect("JSON on every line")).collect();
    let count = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert!(count("started") >= 3 && count("started") == count("finished"), "{out}");
    assert_eq!(count("applied"), 1);
    assert_eq!(events.last().expect("an event")["artifacts"][0]["name"], "archive");
    assert!(events.iter().all(|event| event["format"] == 1));
}

#[test]
fn rerun_and_no_cache_run_what_is_cached() {
    if !builds() {
        return;
    }
    let bed = bed();
    bed.must(&["apply"]);
    let sums = bed.sums();
    let again = bed.must(&["apply", "--rerun", "box/write \"hello\""]);
    assert!(again.contains("1 node run"), "what follows is cut off early:\n{again}");
    let all = bed.must(&["apply", "--no-cache"]);
    assert!(all.contains("0 cached"), "{all}");
    assert_eq!(bed.sums(), sums);
    bed.imgc(&["apply", "--rerun", "box/write \"nothing\""]).fails(1, &["box/write \"nothing\""]);
    bed.imgc(&["apply", "achive"]).fails(1, &["achive", "did you mean `archive`"]);
}
