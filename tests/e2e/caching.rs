//! Caching shown by effects: what is in the exported tree, never what a message says.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::bed::{Bed, Who, run, unpack_archive, within};

/// A program of `n` steps on busybox alone; `script` gives the text of each.
fn program(n: usize, script: impl Fn(usize) -> String) -> String {
    let mut text = String::from(
        "image box {\n  from = rootfs.scratch()\n  copy \"shell\" { src = file(\"./busybox\"), dest = \"/bin/sh\", mode = 0o755 }\n  copy \"tools\" { src = file(\"./busybox\"), dest = \"/bin/busybox\", mode = 0o755 }\n",
    );
    for k in 1..=n {
        let _ = writeln!(text, "  sh \"step {k}\" {{\n    script = \"\"\"\n      {}\n      \"\"\"\n  }}", script(k));
    }
    text.push_str("}\noutput archive = oci.archive(box)\n");
    text
}

/// The tokens `/token.1` … in the exported tree.
fn tokens(bed: &Bed, package: &Path) -> BTreeMap<String, String> {
    let into = tempfile::tempdir_in(bed.path("tmp")).expect("folder");
    unpack_archive(&package.join("out/archive.tar"), into.path());
    let root = into.path().join("root");
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(&root).expect("root") {
        let entry = entry.expect("entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("token.") {
            found.insert(name, fs::read_to_string(entry.path()).expect("token"));
        }
    }
    found
}

#[test]
fn an_edit_re_runs_exactly_what_follows_it() {
    let bed = Bed::new(Who::Root);
    let random = |k: usize| format!("/bin/busybox cat /proc/sys/kernel/random/uuid > /token.{k}");
    let package = bed.package("random", &program(8, random));
    bed.apply(&package, &[]);
    let mut before = tokens(&bed, &package);
    assert_eq!(before.len(), 8);
    for edited in 1..=8 {
        let script = |k: usize| if k == edited { format!("{}; : edit", random(k)) } else { random(k) };
        fs::write(package.join("main.imgc"), program(8, script)).expect("program");
        bed.apply(&package, &[]);
        let after = tokens(&bed, &package);
        for k in 1..=8 {
            let name = format!("token.{k}");
            let kept = before.get(&name) == after.get(&name);
            assert_eq!(
                kept,
                k < edited,
                "edit of step {edited}: {name} was {}",
                if kept { "kept" } else { "made anew" }
            );
        }
        // Back to the first program: every layer of it is still there, so its tokens come back.
        fs::write(package.join("main.imgc"), program(8, random)).expect("program");
        bed.apply(&package, &[]);
        assert_eq!(tokens(&bed, &package), before);
        before = tokens(&bed, &package);
    }
}

/// The log of each step of the last run, by file name, with its text.
fn logs(bed: &Bed) -> BTreeMap<String, String> {
    let runs = bed.path("state/imgc/runs");
    let mut dirs: Vec<_> = fs::read_dir(&runs).expect("runs").map(|e| e.expect("entry").path()).collect();
    dirs.sort();
    let mut found = BTreeMap::new();
    for file in walk(dirs.last().expect("a run")) {
        if file.extension().is_some_and(|e| e == "log") {
            found.insert(
                file.file_name().expect("name").to_string_lossy().into_owned(),
                fs::read_to_string(&file).unwrap_or_default(),
            );
        }
    }
    found
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn an_edit_that_yields_equal_bytes_stops_there() {
    let bed = Bed::new(Who::Root);
    let constant = |k: usize| format!("echo {k} > /token.{k}; echo ran {k}");
    let package = bed.package("constant", &program(6, constant));
    bed.apply(&package, &[]);
    for edited in 1..=6 {
        let script = |k: usize| if k == edited { format!("{}; : edit", constant(k)) } else { constant(k) };
        fs::write(package.join("main.imgc"), program(6, script)).expect("program");
        bed.apply(&package, &[]);
        let all: String = logs(&bed).into_values().collect();
        for k in 1..=6 {
            assert_eq!(
                all.contains(&format!("ran {k}")),
                k == edited,
                "edit of step {edited}: the log of step {k}: {all}"
            );
        }
        fs::write(package.join("main.imgc"), program(6, constant)).expect("program");
        bed.apply(&package, &[]);
    }
}

#[test]
fn however_the_chain_is_cut_the_states_are_equal() {
    let constant = |k: usize| {
        format!("mkdir -p /d/{k} /d/0/{k}; echo {k} > /d/{k}/f; rm -rf /d/0/{}; ln /d/{k}/f /d/{k}/g", k - 1)
    };
    let script = |k: usize| {
        format!(
            "/bin/busybox sh -c '{}'",
            constant(k)
                .replace("mkdir", "/bin/busybox mkdir")
                .replace("rm -rf", "/bin/busybox rm -rf")
                .replace("ln /", "/bin/busybox ln /")
        )
    };
    let text = program(5, script);
    let whole = Bed::new(Who::Root);
    let package = whole.package("p", &text);
    whole.apply(&package, &[]);
    let expected = Bed::sums(&package);

    let cut = Bed::new(Who::Root);
    let package = cut.package("p", &text);
    cut.apply(&package, &["--max-chain", "1"]);
    assert_eq!(Bed::sums(&package), expected, "--max-chain 1");

    let killed = Bed::new(Who::Root);
    for k in 1..=5 {
        // The step after k never ends, so that imgc is killed exactly between two commits.
        let endless = |n: usize| if n > k { format!("{}; /bin/busybox sleep 1000", script(n)) } else { script(n) };
        let package = killed.package("p", &program(5, endless));
        if k < 5 {
            let mut child = killed
                .imgc(&["apply", package.to_str().expect("UTF-8")])
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .expect("imgc");
            within(Duration::from_secs(60), "the endless step runs", || sleeping().then_some(()));
            child.kill().expect("kill -9");
            child.wait().expect("wait");
            within(Duration::from_secs(20), "nothing goes on after kill -9", || (!sleeping()).then_some(()));
        } else {
            killed.apply(&package, &[]);
            assert_eq!(Bed::sums(&package), expected, "killed after each step");
        }
    }
}

/// Whether a `sleep 1000` of these tests is running.
fn sleeping() -> bool {
    run(Command::new("pgrep").args(["-f", "^/bin/busybox sleep 1000$"])).status.success()
}

#[test]
fn files_count_by_content_and_mode_and_nothing_else() {
    let bed = Bed::new(Who::Root);
    let text = "image box {\n  from = rootfs.scratch()\n  copy \"shell\" { src = file(\"./busybox\"), dest = \"/bin/sh\", mode = 0o755 }\n  copy \"site\" { src = dir(\"./site\"), dest = \"/site\" }\n  sh \"token\" { script = \"read -r t < /proc/sys/kernel/random/uuid; echo \\\"$t\\\" > /token.1\" }\n}\noutput archive = oci.archive(box)\n";
    let package = bed.package("files", text);
    let site = package.join("site");
    fs::create_dir(&site).expect("folder");
    fs::write(site.join("a"), "one").expect("a");
    std::os::unix::fs::symlink("a", site.join("link")).expect("link");
    let mut last = None;
    let mut apply = |what: &str, runs: bool| {
        bed.apply(&package, &[]);
        let now = tokens(&bed, &package);
        if let Some(last) = &last {
            assert_eq!(*last != now, runs, "{what}");
        }
        last = Some(now);
    };
    apply("first", true);
    apply("nothing changed", false);
    fs::write(site.join("a"), "two").expect("a");
    apply("content of the same length within one tick of the clock", true);
    fs::write(site.join("b"), "x").expect("b");
    apply("a file added", true);
    fs::rename(site.join("b"), site.join("c")).expect("rename");
    apply("a file renamed", true);
    fs::remove_file(site.join("link")).expect("rm");
    std::os::unix::fs::symlink("c", site.join("link")).expect("link");
    apply("a symlink retargeted", true);
    let touched = run(Command::new("touch").arg("-d").arg("2030-01-01").arg(site.join("a")));
    assert!(touched.status.success());
    apply("a touch", false);
    run(Command::new("chmod").arg("755").arg(site.join("a")));
    apply("an executable bit", true);
    run(Command::new("chmod").arg("600").arg(site.join("c")));
    apply("a umask", false);
}

/// Thousands of files are looked at by several threads; an ordinary user's imgc enters a namespace after that, which no
/// process of several threads may.
#[test]
fn a_change_among_thousands_of_files_is_built_as_an_ordinary_user() {
    let bed = Bed::new(Who::User);
    let text = "image box {\n  from = rootfs.scratch()\n  copy \"site\" { src = dir(\"./site\"), dest = \"/site\" }\n}\noutput archive = oci.archive(box)\n";
    let package = bed.package("many", text);
    let site = package.join("site");
    fs::create_dir(&site).expect("folder");
    for n in 0..2000 {
        fs::write(site.join(n.to_string()), "x").expect("a file");
    }
    bed.own();
    // What was just written is not trusted to stand, and would be read instead of looked at.
    std::thread::sleep(Duration::from_millis(100));
    bed.apply(&package, &[]);
    for n in [0, 1999] {
        fs::write(site.join(n.to_string()), format!("changed {n}")).expect("a file");
        std::thread::sleep(Duration::from_millis(100));
        bed.apply(&package, &[]);
        let into = tempfile::tempdir_in(bed.path("tmp")).expect("folder");
        unpack_archive(&package.join("out/archive.tar"), into.path());
        let file = into.path().join("root/site").join(n.to_string());
        assert_eq!(fs::read_to_string(file).expect("the file"), format!("changed {n}"));
    }
}
