//! The search for what a run left finds what is planted: else "nothing is left" would say nothing.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::bed::{Bed, builds, program};
use crate::kills::within;

/// Ended and removed with this value.
struct Planted {
    process: Option<Child>,
    file: Option<PathBuf>,
}

impl Planted {
    fn process(command: &mut Command) -> Self {
        let command = command.current_dir("/").env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("a process");
        Self { process: Some(child), file: None }
    }

    fn file(path: PathBuf) -> Self {
        fs::create_dir_all(path.parent().expect("a parent")).expect("folder");
        fs::write(&path, "").expect("file");
        Self { process: None, file: Some(path) }
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
        if let Some(file) = &self.file {
            let _ = fs::remove_file(file);
        }
    }
}

/// It is found, and nothing else is; and nothing once it is gone.
fn is_found(bed: &Bed, what: &str, planted: Planted) {
    let left = within(what, || Some(bed.left()).filter(|left| left.iter().any(|line| line.starts_with(what))));
    assert!(left.iter().all(|line| line.starts_with(what)), "{what}: {left:#?}");
    drop(planted);
    bed.nothing_is_left(what);
}

#[test]
fn what_is_planted_is_found() {
    if !builds() {
        return;
    }
    let bed = Bed::new(&program(1));
    bed.apply();
    bed.nothing_is_left("an apply");
    let [run] = bed.runs().try_into().expect("one run");

    // With the marker, and no path of the bed in its environment, its command line, its folder or its mounts.
    let marked = |run: &str| {
        let mut command = Command::new("env");
        command.arg(format!("IMGC_RUN={run}")).args(["sleep", "60"]);
        Planted::process(&mut command)
    };
    let planted = marked(&run);
    let id = planted.process.as_ref().expect("a process").id();
    is_found(&bed, &format!("process {id}: "), planted);
    let other = marked(&format!("{run}0"));
    bed.nothing_is_left("another's run");
    drop(other);

    // A mount that only the namespace of another process has.
    fs::create_dir(bed.path("planted")).expect("folder");
    let script = format!("mount -t tmpfs none {}; exec sleep 60", bed.path("planted").display());
    let mut command = Command::new("unshare");
    let planted = Planted::process(command.args(["--mount", "--propagation", "private", "sh", "-c", &script]));
    let id = planted.process.as_ref().expect("a process").id();
    within("the shell is a sleep", || {
        fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|text| text.starts_with(b"sleep")).then_some(())
    });
    assert!(!fs::read_to_string("/proc/self/mountinfo").expect("mounts").contains("planted"));
    is_found(&bed, &format!("mount of {id}: "), planted);

    let own = std::process::id();
    for path in [
        bed.cache.join("scratch/planted"),
        bed.path("tmp/planted"),
        bed.cache.join("locks/planted"),
        bed.path("package/.imgc-planted"),
        PathBuf::from(format!("/run/imgc-planted-{own}")),
        PathBuf::from(format!("/run/lock/imgc-planted-{own}")),
    ] {
        let what = path.display().to_string();
        is_found(&bed, &what, Planted::file(path));
    }
}
