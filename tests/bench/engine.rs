//! The engine beside its peers, in one run: `make bench` prints the table for `docs/benchmarks.md`.
//!
//! Both sides of a row run in turn; the figures are medians. An argument chooses rows by a part of their name, and
//! `IMGC_BENCH_SHARE=100` makes everything a hundredth as large, to try the bench itself.

#![expect(clippy::expect_used, reason = "a bench ends where something does not hold")]

#[path = "engine/null.rs"]
mod null;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One line of the table: what, ours, and each peer by its name.
struct Row {
    what: String,
    ours: String,
    peers: Vec<(&'static str, String)>,
}

type Rows = fn(&Bench) -> Vec<Row>;

fn main() {
    // `cargo test --benches` and nextest ask for a list of tests: there are none here.
    if std::env::args().any(|a| a == "--list") {
        return;
    }
    let only: Option<String> = std::env::args().skip(1).find(|a| !a.starts_with('-'));
    let bench = Bench::new();
    let all: [(&str, Rows); 4] =
        [("nothing", nothing_to_do), ("files", many_files), ("spawned", spawned), ("null", null::rows)];
    let mut rows = Vec::new();
    for (name, make) in all {
        if only.as_deref().is_none_or(|only| name.contains(only)) {
            rows.extend(make(&bench));
        }
    }
    print(&rows);
}

#[expect(clippy::print_stdout, reason = "the table is what the command is for")]
fn print(rows: &[Row]) {
    println!("| what | imgc | peers |\n|---|---|---|");
    for Row { what, ours, peers } in rows {
        let peers: Vec<String> = peers.iter().map(|(name, figure)| format!("{figure} ({name})")).collect();
        println!("| {what} | {ours} | {} |", if peers.is_empty() { "–".to_owned() } else { peers.join(", ") });
    }
}

pub(crate) fn show(time: Duration) -> String {
    if time < Duration::from_secs(2) {
        format!("{:.1} ms", time.as_secs_f64() * 1e3)
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// What a command took.
#[derive(Clone, Copy)]
struct Took {
    time: Duration,
    /// The most memory it was seen to use, in KiB.
    peak: u64,
}

fn must(command: &mut Command) -> Took {
    let start = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let pid = child.id();
    let (done, stopped) = std::sync::mpsc::channel::<()>();
    // Read every millisecond: what a command allocates at its very end may be missed.
    let watch = std::thread::spawn(move || {
        let mut peak = 0;
        while stopped
            .recv_timeout(Duration::from_millis(1))
            .is_err_and(|e| e == std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            peak = peak.max(memory(pid).unwrap_or_default());
        }
        peak
    });
    let mut said = String::new();
    let _ = std::io::Read::read_to_string(&mut child.stderr.take().expect("a pipe"), &mut said);
    let status = child.wait().expect("a child");
    let time = start.elapsed();
    drop(done);
    assert!(status.success(), "{command:?}: {said}");
    Took { time, peak: watch.join().expect("a thread") }
}

fn memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok())
}

/// The medians of time and memory of several commands that run in turn; `before` is not timed.
fn in_turn(rounds: usize, before: impl Fn(), commands: &mut [Command]) -> Vec<Took> {
    let mut all: Vec<Vec<Took>> = commands.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (command, took) in commands.iter_mut().zip(&mut all) {
            before();
            took.push(must(command));
        }
    }
    let middle = |took: Vec<Took>| Took {
        time: median(took.iter().map(|took| took.time).collect()),
        peak: took.iter().map(|took| took.peak).max().unwrap_or_default(),
    };
    all.into_iter().map(middle).collect()
}

fn figure(took: Took) -> String {
    format!("{}, {} MiB", show(took.time), took.peak / 1024)
}

pub(crate) struct Bench {
    dir: tempfile::TempDir,
    share: usize,
}

impl Bench {
    fn new() -> Self {
        let share = std::env::var("IMGC_BENCH_SHARE").ok().and_then(|share| share.parse().ok()).unwrap_or(1);
        let dir = tempfile::Builder::new().prefix("imgc-bench-").tempdir_in("/var/tmp").expect("a folder in /var/tmp");
        Self { dir, share }
    }

    /// So many, or a share of them.
    pub(crate) fn many(&self, count: usize) -> usize {
        (count / self.share).max(10)
    }

    pub(crate) fn path(&self, sub: &str) -> PathBuf {
        self.dir.path().join(sub)
    }

    fn folder(&self, sub: &str) -> PathBuf {
        let path = self.path(sub);
        fs::create_dir_all(&path).expect("folder");
        path
    }

    fn apply(&self, package: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgc"));
        command.arg("apply").arg(package);
        command.env("IMGC_CACHE", self.path("cache")).env("XDG_STATE_HOME", self.path("state"));
        command
    }

    /// Without it an apply has to compile the program and ask the store.
    fn forget_the_record(&self) {
        let _ = fs::remove_dir_all(self.path("cache/applied"));
    }

    /// Applies of a package with and without the last-apply record, each beside the peers; all are built already.
    fn nothing(&self, what: &str, package: &Path, peers: Vec<(&'static str, Command)>) -> Vec<Row> {
        must(&mut self.apply(package));
        let (names, peers): (Vec<_>, Vec<_>) = peers.into_iter().unzip();
        let mut commands: Vec<Command> = std::iter::once(self.apply(package)).chain(peers).collect();
        // Past the racily-clean window, as an edit-build loop is.
        std::thread::sleep(Duration::from_secs(3));
        must(&mut self.apply(package));
        let mut row = |record: &str, before: &dyn Fn()| {
            let mut took = in_turn(9, before, &mut commands).into_iter();
            let ours = took.next().map(figure).unwrap_or_default();
            Row {
                what: format!("{what}, {record}"),
                ours,
                peers: names.iter().copied().zip(took.map(figure)).collect(),
            }
        };
        let with = row("with the last-apply record", &|| {});
        vec![with, row("without it", &|| self.forget_the_record())]
    }
}

/// `ninja` in this folder, once everything is built.
fn ninja(dir: &Path, text: &str) -> Command {
    fs::write(dir.join("build.ninja"), text).expect("build.ninja");
    let mut command = Command::new("ninja");
    command.current_dir(dir);
    must(&mut command);
    command
}

/// Images of a hundred steps each, and their outputs; the peers have as many edges and resources in chains as long.
fn nothing_to_do(bench: &Bench) -> Vec<Row> {
    const LONG: usize = 100;
    let mut rows = Vec::new();
    for nodes in [bench.many(1000), bench.many(10_000)] {
        let (mut program, mut graph) = (String::new(), String::from("rule touch\n  command = touch $out\n"));
        let mut terraform = String::new();
        for node in 0..nodes {
            let (image, step) = (node / LONG, node % LONG);
            if step == 0 {
                let _ = writeln!(program, "image i{image} {{\n  from = rootfs.scratch()");
            }
            let _ = writeln!(program, "  write \"s{step}\" {{ dest = \"/f{step}\", text = \"{node}\" }}");
            let before = if step == 0 { String::new() } else { format!("o{}", node - 1) };
            let _ = writeln!(graph, "build o{node}: touch {before}");
            let input = if step == 0 { "\"\"".to_owned() } else { format!("terraform_data.n{}.id", node - 1) };
            let _ = writeln!(terraform, "resource \"terraform_data\" \"n{node}\" {{ input = {input} }}");
            if step == LONG - 1 || node == nodes - 1 {
                let _ = writeln!(program, "}}\noutput o{image} = i{image}");
            }
        }
        let dir = bench.folder(&format!("nothing-{nodes}"));
        fs::write(dir.join("main.imgc"), program).expect("program");
        let mut peers = vec![("ninja", ninja(&dir, &graph))];
        if nodes <= 1000 {
            peers.push(("terraform plan", terraform_plan(&bench.folder("terraform"), &terraform)));
        }
        rows.extend(bench.nothing(&format!("nothing to do, {nodes} steps"), &dir, peers));
    }
    rows
}

fn terraform_plan(dir: &Path, text: &str) -> Command {
    fs::write(dir.join("main.tf"), text).expect("main.tf");
    let command = |args: &[&str]| {
        let mut command = Command::new("terraform");
        command.args(args).current_dir(dir).env("CHECKPOINT_DISABLE", "1");
        command
    };
    must(&mut command(&["init", "-input=false"]));
    must(&mut command(&["apply", "-auto-approve", "-input=false"]));
    command(&["plan", "-input=false"])
}

/// One step with many files, each of which has to be looked at.
fn many_files(bench: &Bench) -> Vec<Row> {
    let count = bench.many(10_000);
    let dir = bench.folder("files");
    let text = "image box {\n  from = rootfs.scratch()\n  copy \"files\" { src = dir(\"./files\"), dest = \"/files\" }\n}\noutput kept = box\n";
    fs::write(dir.join("main.imgc"), text).expect("program");
    let files = bench.folder("files/files");
    let mut graph = String::from("rule touch\n  command = touch $out\nbuild all: touch");
    for k in 0..count {
        fs::write(files.join(format!("f{k}")), k.to_string()).expect("file");
        let _ = write!(graph, " files/f{k}");
    }
    let ninja = ninja(&dir, &(graph + "\n"));
    bench.nothing(&format!("nothing to do, {count} files in `dir()`"), &dir, vec![("ninja", ninja)])
}

/// Steps that start a process which does nothing, in ten chains.
fn spawned(bench: &Bench) -> Vec<Row> {
    const CHAINS: usize = 10;
    let each = bench.many(1000) / CHAINS;
    let (dir, tools) = (bench.folder("spawned"), "/bin/busybox");
    fs::copy(tools, dir.join("busybox")).expect("busybox-static");
    let mut times = (Vec::new(), Vec::new());
    for round in 0..3 {
        let (mut program, mut graph) = (String::new(), format!("rule true\n  command = {tools} true # $out\n"));
        for chain in 0..CHAINS {
            let _ = writeln!(program, "image i{chain} {{\n  from = rootfs.scratch()");
            program.push_str("  copy \"shell\" { src = file(\"./busybox\"), dest = \"/bin/sh\", mode = 0o755 }\n");
            for step in 0..each {
                let script = format!("true # {round}.{chain}.{step}");
                let _ = writeln!(program, "  sh \"s{step}\" {{ script = \"{script}\", network = false }}");
                let before = if step == 0 { String::new() } else { format!("o{round}.{chain}.{}", step - 1) };
                let _ = writeln!(graph, "build o{round}.{chain}.{step}: true {before}");
            }
            let _ = writeln!(program, "}}\noutput o{chain} = i{chain}");
        }
        fs::write(dir.join("main.imgc"), program).expect("program");
        fs::write(dir.join("build.ninja"), graph).expect("build.ninja");
        times.0.push(must(&mut bench.apply(&dir)).time);
        times.1.push(must(Command::new("ninja").current_dir(&dir)).time);
    }
    let count = u32::try_from(each * CHAINS).expect("a number");
    let both = |time: Duration| format!("{} ({} each)", show(time), show(time / count));
    let peers = vec![("ninja, without a machine", both(median(times.1)))];
    vec![Row { what: format!("{count} steps that run `true`"), ours: both(median(times.0)), peers }]
}
