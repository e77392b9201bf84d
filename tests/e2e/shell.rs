//! `imgc shell`: a machine as a step left it, for whoever wants to look; leaving it leaves nothing.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::bed::{Bed, Who, has, lacking, must, run};
use crate::failures::boxed;

const STEPS: &str = "  write \"users\" { dest = \"/etc/passwd\", text = \"root:x:0:0::/root:/bin/sh\\nann:x:1234:1234::/home/ann:/bin/sh\\n\" }\n  sh \"one\" { script = \"echo one > /out; /bin/busybox mkdir -p /srv; /bin/busybox chmod 777 /srv\" }\n  sh \"two\" {\n    script = \"echo two >> /srv/two\"\n    user = \"ann\"\n    workdir = \"/srv\"\n    env = { \"GREETING\" => \"hello  you\" }\n    network = false\n  }";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn with_input(command: &mut Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("imgc");
    child.stdin.take().expect("stdin").write_all(input.as_bytes()).expect("written");
    child.wait_with_output().expect("ended")
}

/// Everything below a folder, by path.
fn listing(dir: &Path) -> String {
    must(Command::new("find").arg(dir).args(["-printf", "%p %y %m %s\n"]))
}

fn piped(who: Who) {
    let bed = Bed::new(who);
    let package = bed.package("p", &boxed(STEPS));
    bed.apply(&package, &[]);
    let shell = |args: &[&str], input: &str| {
        let mut command = bed.imgc(&["-C", "p", "shell"]);
        with_input(command.args(args), input)
    };
    let trees = listing(&bed.path("cache"));
    let look = "/bin/busybox id -un; pwd; echo \"$GREETING\"; /bin/busybox cat /out /srv/two; /bin/busybox ls /sys/class/net; echo more >> /srv/two; exit 7";
    let said = shell(&["box/sh \"two\""], look);
    let (out, err) = (text(&said.stdout), text(&said.stderr));
    assert_eq!(out, "ann\n/srv\nhello  you\none\ntwo\nlo\n", "{who:?}: {err}");
    assert_eq!(said.status.code(), Some(7), "a script gets the code of its shell: {err}");
    // What was written is gone with the machine.
    let before = shell(&["--before", "box/sh \"two\"", "--", "/bin/busybox", "ls", "-A", "/srv"], "");
    assert_eq!((text(&before.stdout).as_str(), before.status.code()), ("", Some(0)), "{}", text(&before.stderr));
    let after = shell(&["--user", "root", "box/sh \"two\"", "--", "/bin/busybox", "cat", "/srv/two"], "");
    assert_eq!(text(&after.stdout), "two\n", "{}", text(&after.stderr));
    let image = shell(&["box", "--", "/bin/busybox", "cat", "/out"], "");
    assert_eq!(text(&image.stdout), "one\n", "{}", text(&image.stderr));
    // A megabyte of input arrives whole, and its end is seen.
    let long = "0123456789abcde\n".repeat(1 << 16);
    let counted = shell(&["box", "--", "/bin/busybox", "wc", "-c"], &long);
    assert_eq!(text(&counted.stdout).trim(), "1048576", "{}", text(&counted.stderr));
    assert_eq!(listing(&bed.path("cache/scratch")).lines().count(), 1, "nothing is left of the machines");
    let size = |text: &str| text.lines().filter(|line| line.contains("/trees/")).count();
    assert_eq!(size(&listing(&bed.path("cache"))), size(&trees), "no layer came of it");
}

#[test]
fn a_script_can_look_around_as_root() {
    piped(Who::Root);
}

#[test]
fn a_script_can_look_around_as_an_ordinary_user() {
    piped(Who::User);
}

#[test]
fn a_person_gets_a_terminal() {
    if !has("script") && lacking("script (package bsdutils)") {
        return;
    }
    let bed = Bed::new(Who::Root);
    let package = bed.package("p", &boxed(STEPS));
    bed.apply(&package, &[]);
    let inner = format!("stty rows 33 cols 101; {} -C p shell 'box/sh \"one\"'", bed.path("imgc").display());
    let mut command = Command::new("script");
    command
        .args(["-qec", &inner, "/dev/null"])
        .current_dir(bed.path(""))
        .env("IMGC_CACHE", bed.path("cache"))
        .env("XDG_STATE_HOME", bed.path("state"))
        .env("TERM", "vt100")
        .env("SHELL", "/bin/sh");
    let said = with_input(
        &mut command,
        "test -t 0 && test -t 1 && echo is-a-terminal\n/bin/busybox stty size\necho term-$TERM\n/bin/busybox sleep 100 & jobs\nexit 3\n",
    );
    let out = text(&said.stdout);
    for expected in ["is-a-terminal", "33 101", "term-vt100", "a copy of the machine after box/sh \"one\""] {
        assert!(out.contains(expected), "`{expected}` is missing in:\n{out}");
    }
    assert_eq!(said.status.code(), Some(0), "leaving a shell is no failure:\n{out}");
    let left = run(Command::new("pgrep").args(["-f", "busybox sleep 100"]));
    assert!(!left.status.success(), "still running: {}", text(&left.stdout));
}

#[test]
fn what_was_not_built_has_no_shell() {
    let bed = Bed::new(Who::Root);
    let package = bed.package("p", &boxed(STEPS));
    let said = run(&mut bed.imgc(&["-C", "p", "shell", "box/sh \"two\""]));
    assert_eq!(said.status.code(), Some(1), "{}", text(&said.stderr));
    assert!(text(&said.stderr).contains("imgc apply 'box/sh \"two\"'"), "{}", text(&said.stderr));
    bed.apply(&package, &[]);
    let unknown = run(&mut bed.imgc(&["-C", "p", "shell", "box/sh \"tow\""]));
    assert_eq!(unknown.status.code(), Some(1), "{}", text(&unknown.stderr));
    let program = run(&mut bed.imgc(&["-C", "p", "shell", "box", "--", "/no/such/program"]));
    assert!(text(&program.stderr).contains("/no/such/program"), "{}", text(&program.stderr));
    assert!(fs::read_dir(bed.path("cache/scratch")).expect("scratch").next().is_none(), "nothing is left");
}
