//! Whatever ends imgc, nothing of it stays.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::Test;
use crate::bed::{Bed, as_user, exec};

pub(crate) const TESTS: &[Test] = &[
    ("kill_9_leaves_nothing", kill_9_leaves_nothing),
    ("kill_9_leaves_nothing_of_a_user", kill_9_leaves_nothing_of_a_user),
];

/// A process that opens a machine and runs a step that goes on for a day.
pub(crate) fn victim(role: &OsStr) -> ExitCode {
    let bed = Bed::new();
    let mut live = bed.open(&bed.shell());
    println!("STORE {}", bed.store.root().display());
    let mut slow = exec(&format!("echo x > /x; mount -t tmpfs none /tmp; sleep {} & wait", role.to_string_lossy()));
    slow.timeout = None;
    slow.network = true;
    let _ = live.exec(&slow);
    ExitCode::SUCCESS
}

fn kill_9_leaves_nothing() {
    let role = format!("86{}", std::process::id());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .env("IMGC_TEST_ROLE", &role)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let store = line.trim().strip_prefix("STORE ").unwrap().to_owned();
    let sleeping = || processes(&format!("sleep {role}")) > 0;
    wait_until("the step runs", sleeping);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("every process is gone", || !sleeping() && processes(&store) == 0);
    wait_until("the scratch is gone", || scratches(&store) == 0);
    assert_eq!(mounts(&store), Vec::<String>::new());
    std::fs::remove_dir_all(Path::new(&store).parent().unwrap()).unwrap();
}

fn kill_9_leaves_nothing_of_a_user() {
    as_user("kill_9_leaves_nothing", &[]);
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How many processes have this in their command line.
fn processes(text: &str) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let me = std::process::id().to_string();
    let line = |entry: std::fs::DirEntry| {
        let own = entry.file_name().to_string_lossy() == me.as_str();
        std::fs::read(entry.path().join("cmdline")).ok().filter(|_| !own)
    };
    all.filter_map(line).filter(|line| String::from_utf8_lossy(line).replace('\0', " ").contains(text)).count()
}

fn scratches(store: &str) -> usize {
    let entries = std::fs::read_dir(Path::new(store).join("scratch")).unwrap().flatten();
    entries.filter(|entry| entry.path().is_dir()).count()
}

/// Mounts of any process below a path.
fn mounts(path: &str) -> Vec<String> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let tables = all.filter_map(|entry| std::fs::read_to_string(entry.path().join("mountinfo")).ok());
    tables
        .flat_map(|table| table.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| line.contains(path))
        .collect()
}
