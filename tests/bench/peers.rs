//! imgc beside its peers, in one run: the table of `docs/benchmarks.md`.
//!
//! `make bench` prints the table. Each row runs both sides in turn several times and shows medians and their ratio;
//! absolute times belong to the machine, ratios are what to read.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a bench ends where something does not hold")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

mod compile;

/// One row: what is timed on both sides.
struct Row {
    what: String,
    ours: Duration,
    peer: Option<(&'static str, Duration)>,
    /// The most memory that both sides were seen to use, in MiB, where that was looked at.
    memory: Option<(u64, Option<u64>)>,
}

fn main() {
    // `cargo test --benches` and nextest ask for a list of tests: there are none here.
    if std::env::args().any(|a| a == "--list") {
        return;
    }
    let only: Option<String> = std::env::args().skip(1).find(|a| !a.starts_with('-'));
    let wants = |name: &str| only.as_deref().is_none_or(|o| name.contains(o));
    let bench = Bench::new();
    let mut rows = Vec::new();
    if wants("nothing") {
        rows.push(bench.nothing_to_do());
    }
    if wants("plan") {
        rows.push(bench.plan_of_many());
    }
    if wants("workspace") {
        rows.extend(compile::check_of_workspace(&bench));
    }
    if wants("loops") {
        rows.extend(compile::plan_of_loops(&bench));
    }
    if wants("web") {
        rows.push(bench.edit_of_web());
    }
    if wants("steps") || wants("files") || wants("apt") {
        let engine = Engine::start(&bench);
        if wants("steps") {
            rows.push(bench.against(&engine, "60 trivial `sh` steps", 60, |_| "true".to_owned()));
        }
        if wants("files") {
            rows.push(bench.against(&engine, "20 steps, each changes 500 files of a 200 MB tree", 20, |k| {
                format!("for i in $(seq 500); do echo {k} > /data/$(( (i + {k}) % 100 ))/f$i; done")
            }));
        }
        if wants("apt") {
            rows.push(bench.apt(&engine));
        }
    }
    print(&rows);
}

#[expect(clippy::print_stdout, reason = "the table is what the command is for")]
fn print(rows: &[Row]) {
    println!("| what | imgc | peer | peer ÷ imgc | most memory: imgc, peer |\n|---|---|---|---|---|");
    for row in rows {
        let (peer, ratio) = match &row.peer {
            Some((name, time)) => {
                (format!("{} ({name})", show(*time)), format!("{:.1}", time.as_secs_f64() / row.ours.as_secs_f64()))
            }
            None => ("–".to_owned(), "–".to_owned()),
        };
        let memory = match row.memory {
            Some((ours, Some(theirs))) => format!("{ours} MiB, {theirs} MiB"),
            Some((ours, None)) => format!("{ours} MiB"),
            None => "–".to_owned(),
        };
        println!("| {} | {} | {peer} | {ratio} | {memory} |", row.what, show(row.ours));
    }
}

fn show(time: Duration) -> String {
    if time < Duration::from_secs(2) {
        format!("{:.1} ms", time.as_secs_f64() * 1e3)
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn must(command: &mut Command) -> Duration {
    let start = Instant::now();
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let took = start.elapsed();
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    took
}

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            dir: tempfile::Builder::new().prefix("imgc-bench-").tempdir_in("/var/tmp").expect("a folder in /var/tmp"),
        }
    }

    fn path(&self, sub: &str) -> PathBuf {
        self.dir.path().join(sub)
    }

    fn imgc(&self, cache: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgc"));
        command.args(args).env("IMGC_CACHE", self.path(cache)).env("XDG_STATE_HOME", self.path("state"));
        command
    }

    fn package(&self, name: &str, text: &str) -> String {
        let dir = self.path(name);
        fs::create_dir_all(&dir).expect("folder");
        fs::write(dir.join("main.imgc"), text).expect("program");
        dir.to_string_lossy().into_owned()
    }

    /// `apply` where nothing changed, beside `ninja` with as many inputs to look at.
    fn nothing_to_do(&self) -> Row {
        const FILES: usize = 5000;
        let text = "image box {\n  from = rootfs.scratch()\n  copy \"files\" { src = dir(\"./files\"), dest = \"/files\" }\n}\noutput archive = oci.archive(box)\n";
        let package = self.package("nothing", text);
        let files = Path::new(&package).join("files");
        fs::create_dir_all(&files).expect("folder");
        let mut ninja = String::from("rule cp\n  command = touch $out\nbuild all: cp");
        for k in 0..FILES {
            fs::write(files.join(format!("f{k}")), k.to_string()).expect("file");
            let _ = write!(ninja, " files/f{k}");
        }
        fs::write(Path::new(&package).join("build.ninja"), ninja + "\n").expect("build.ninja");
        must(&mut self.imgc("cache", &["apply", &package]));
        must(Command::new("ninja").current_dir(&package));
        // Past the racily-clean window, as an edit-build loop is.
        std::thread::sleep(Duration::from_secs(3));
        must(&mut self.imgc("cache", &["apply", &package]));
        let (mut ours, mut peer) = (Vec::new(), Vec::new());
        for _ in 0..15 {
            ours.push(must(&mut self.imgc("cache", &["apply", &package])));
            peer.push(must(Command::new("ninja").current_dir(&package)));
        }
        Row {
            what: format!("nothing to do, {FILES} input files"),
            ours: median(ours),
            peer: Some(("ninja", median(peer))),
            memory: None,
        }
    }

    /// Planning a generated program; the peer is ninja reading a build file of as many edges.
    fn plan_of_many(&self) -> Row {
        const STEPS: usize = 10_000;
        let mut text = String::from("image box {\n  from = rootfs.scratch()\n");
        let mut ninja = String::from("rule sh\n  command = touch $out\n");
        for k in 0..STEPS {
            let _ = writeln!(text, "  sh \"step {k}\" {{ script = \"echo {k}\" }}");
            let _ =
                writeln!(ninja, "build out{k}: sh {}", if k == 0 { String::new() } else { format!("out{}", k - 1) });
        }
        text.push_str("}\noutput archive = oci.archive(box)\n");
        let package = self.package("many", &text);
        fs::write(Path::new(&package).join("build.ninja"), ninja).expect("build.ninja");
        must(&mut self.imgc("cache", &["plan", &package]));
        let (mut ours, mut peer) = (Vec::new(), Vec::new());
        for _ in 0..7 {
            ours.push(must(&mut self.imgc("cache", &["plan", &package])));
            peer.push(must(Command::new("ninja").arg("-n").current_dir(&package)));
        }
        let peer = Some(("ninja -n", median(peer)));
        Row { what: format!("plan of {STEPS} steps"), ours: median(ours), peer, memory: None }
    }

    /// An edit of the last step of `web`, container and disk; the peer is the clean build of the same.
    fn edit_of_web(&self) -> Row {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/web");
        let package = self.path("web");
        must(Command::new("cp").arg("-R").arg(example).arg(&package));
        let path = package.to_string_lossy().into_owned();
        let args = [
            "apply",
            &path,
            "--set",
            "admin_key=ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0000000000000000000000000000000000000000000 bench",
        ];
        let clean = must(&mut self.imgc("cache", &args));
        let program = package.join("main.imgc");
        let text = fs::read_to_string(&program).expect("program");
        let mut ours = Vec::new();
        for k in 0..3 {
            fs::write(
                &program,
                text.replace("systemctl enable nginx", &format!("systemctl enable nginx\n      echo {k} > /etc/edit")),
            )
            .expect("program");
            ours.push(must(&mut self.imgc("cache", &args)));
        }
        Row {
            what: "edit of the last step of `web`: container and disk".to_owned(),
            ours: median(ours),
            peer: Some(("the clean build", clean)),
            memory: None,
        }
    }

    fn base(&self) -> String {
        let text = "image debian {\n  from = rootfs.debian(suite: \"bookworm\")\n}\noutput base = oci.archive(debian, tag: \"imgc-bench-base:latest\")\n";
        let package = self.package("base", text);
        must(&mut self.imgc("cache", &["apply", &package]));
        package
    }

    /// The same steps in imgc and as a Dockerfile in the engine's BuildKit, both on a base that is there already.
    fn against(&self, engine: &Engine, what: &str, steps: usize, script: impl Fn(usize) -> String) -> Row {
        // 200 MB in 20,000 files, made once on both sides and not timed.
        let fill = "for d in $(seq 0 99); do mkdir -p /data/$d; for i in $(seq 200); do head -c 10000 /dev/urandom > /data/$d/x$i; done; done";
        let filled = what.contains("tree");
        let (mut ours, mut peer) = (Vec::new(), Vec::new());
        for round in 0..3 {
            let mut text = String::from("image box {\n  from = rootfs.debian(suite: \"bookworm\")\n");
            let mut file = String::from("FROM imgc-bench-base:latest\n");
            if filled {
                let _ = writeln!(text, "  sh \"fill\" {{ script = \"{fill}\" }}");
                let _ = writeln!(file, "RUN {fill}");
            }
            let head = (text.clone(), file.clone());
            for k in 0..steps {
                let _ = writeln!(text, "  sh \"step {k}\" {{ script = \"{}; : {round}.{k}\" }}", script(k));
                let _ = writeln!(file, "RUN {}; : {round}.{k}", script(k));
            }
            let output = "}\noutput kept = box\n";
            let name = format!("steps-{steps}");
            let package = self.package(&name, &format!("{}{output}", head.0));
            must(&mut self.imgc("cache", &["apply", &package]));
            engine.build(&self.path(&name), &head.1);
            fs::write(Path::new(&package).join("main.imgc"), format!("{text}{output}")).expect("program");
            ours.push(must(&mut self.imgc("cache", &["apply", &package])));
            peer.push(engine.build(&self.path(&name), &file));
        }
        let peer = Some(("BuildKit", median(peer)));
        Row { what: what.to_owned(), ours: median(ours), peer, memory: None }
    }

    fn apt(&self, engine: &Engine) -> Row {
        let mut row = self.against(engine, "one `apt.install` of nginx-light", 1, |_| {
            "export DEBIAN_FRONTEND=noninteractive; apt-get update -q && apt-get install -qy --no-install-recommends nginx-light".to_owned()
        });
        row.what = "one `apt-get install` of nginx-light".to_owned();
        row
    }
}

/// A Docker engine of our own, without a bridge: `RUN` uses the host's network as imgc's steps may.
struct Engine {
    daemon: Child,
    dir: PathBuf,
}

impl Engine {
    fn start(bench: &Bench) -> Self {
        let base = bench.base();
        let dir = bench.path("engine");
        fs::create_dir_all(&dir).expect("folder");
        let log = fs::File::create(dir.join("log")).expect("log");
        let daemon = Command::new("dockerd")
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .arg(format!("--data-root={}/data", dir.display()))
            .arg(format!("--exec-root={}/exec", dir.display()))
            .arg(format!("--pidfile={}/pid", dir.display()))
            .arg(format!("--host=unix://{}/sock", dir.display()))
            .stdout(log.try_clone().expect("log"))
            .stderr(log)
            .spawn()
            .expect("dockerd (package docker.io)");
        let engine = Self { daemon, dir };
        let start = Instant::now();
        while !engine.client().arg("version").output().is_ok_and(|o| o.status.success()) {
            assert!(start.elapsed() < Duration::from_secs(60), "dockerd does not answer");
            std::thread::sleep(Duration::from_millis(200));
        }
        must(engine.client().arg("load").arg("-i").arg(Path::new(&base).join("out/base.tar")));
        engine
    }

    /// Debian's own client has BuildKit built in; a newer one would want a plugin.
    fn client(&self) -> Command {
        let mut command = Command::new("/usr/bin/docker");
        command.arg("-H").arg(format!("unix://{}/sock", self.dir.display())).env("DOCKER_BUILDKIT", "1");
        command
    }

    fn build(&self, dir: &Path, dockerfile: &str) -> Duration {
        fs::write(dir.join("Dockerfile"), dockerfile).expect("Dockerfile");
        must(self.client().args(["build", "--network", "host", "-q", "-f"]).arg(dir.join("Dockerfile")).arg(dir))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.daemon.id().to_string()).status();
        let _ = self.daemon.wait();
    }
}
