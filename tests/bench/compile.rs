//! The compiler alone: checking a workspace, checking it again after an edit, planning many steps.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use imgc_compiler::analysis::Memo;
use imgc_compiler::world::{Argument, Found, World, WorldError};
use imgc_plan::{DirRef, FileRef};

use super::{Bench, Row, median, must};

#[path = "../workspace/mod.rs"]
mod workspace;

const MODULES: usize = 200;
const LINES: usize = 40_000;
const STEPS: usize = 10_000;

/// Modules in memory, as an editor's buffers are.
struct Buffers(BTreeMap<String, Arc<str>>);

impl World for Buffers {
    fn module(&self, path: &str) -> Result<Arc<str>, WorldError> {
        self.0.get(path).cloned().ok_or_else(|| WorldError::Missing { path: path.to_owned() })
    }

    fn find(&self, _: &str) -> Result<Found, WorldError> {
        Ok(Found::Missing)
    }

    fn file(&self, path: &str) -> Result<FileRef, WorldError> {
        Err(WorldError::Missing { path: path.to_owned() })
    }

    fn text(&self, path: &str) -> Result<Arc<str>, WorldError> {
        self.module(path)
    }

    fn dir(&self, path: &str, _: &[String]) -> Result<DirRef, WorldError> {
        Err(WorldError::Missing { path: path.to_owned() })
    }

    fn argument(&self, _: &str) -> Option<Argument> {
        None
    }

    fn argument_names(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// Turns a text in a module into another and back, and times the analysis after each.
fn keystrokes(memo: &Memo, world: &mut Buffers, path: &str, (from, to): (&str, &str), rounds: usize) -> Vec<Duration> {
    let entries: Vec<String> = world.0.keys().cloned().collect();
    let before = world.0[path].clone();
    let after: Arc<str> = Arc::from(before.replacen(from, to, 1));
    assert_ne!(before, after, "{path} has {from}");
    let mut times = Vec::new();
    for round in 0..rounds {
        world.0.insert(path.to_owned(), if round % 2 == 0 { after.clone() } else { before.clone() });
        let begin = Instant::now();
        let analysis = memo.analyse(world, &entries, &|| false).expect("nobody cancels");
        times.push(begin.elapsed());
        assert_eq!(analysis.diagnostics(path), [], "{path}");
    }
    times
}

/// `check` of a workspace beside `terraform validate` of as much text in as many files; then an editor's analysis of it
/// after an edit beside that check.
pub(super) fn check_of_workspace(bench: &Bench) -> Vec<Row> {
    let texts = workspace::generate(MODULES, LINES);
    let bytes: usize = texts.values().map(String::len).sum();
    let package = bench.path("workspace");
    let peer = bench.path("workspace-terraform");
    fs::create_dir_all(package.join("lib")).expect("folder");
    fs::create_dir_all(&peer).expect("folder");
    for (number, (path, text)) in texts.iter().enumerate() {
        fs::write(package.join(path), text).expect("module");
        let mut same = String::new();
        for k in 0.. {
            if same.len() >= text.len() {
                break;
            }
            let _ = writeln!(
                same,
                "resource \"terraform_data\" \"r{number}_{k}\" {{\n  input = \"echo {number} {k}\"\n}}\n"
            );
        }
        fs::write(peer.join(format!("part{number}.tf")), same).expect("file");
    }
    let package = package.to_string_lossy().into_owned();
    let terraform = terraform(&peer, &["validate"]);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    must(&mut bench.imgc("cache", &["check", &package]));
    for _ in 0..5 {
        ours.push(must(&mut bench.imgc("cache", &["check", &package])));
        theirs.extend(terraform.as_ref().map(|command| must(&mut command())));
    }
    let cold = median(ours);
    let peer = (!theirs.is_empty()).then(|| ("terraform validate", median(theirs)));
    let memory = Some((peak(bench.imgc("cache", &["check", &package])), terraform.map(|command| peak(command()))));
    let mut rows = vec![Row { what: format!("check of {bytes} bytes in {MODULES} modules"), ours: cold, peer, memory }];
    let (memo, mut world) = (Memo::default(), Buffers(texts.into_iter().map(|(p, t)| (p, Arc::from(t))).collect()));
    let entries: Vec<String> = world.0.keys().cloned().collect();
    memo.analyse(&world, &entries, &|| false).expect("nobody cancels");
    let body = (workspace::IN_A_BODY, "echo bodies");
    let body = keystrokes(&memo, &mut world, &workspace::path(3), body, 60);
    let signature = (workspace::SIGNATURE, workspace::OTHER_SIGNATURE);
    let signature = keystrokes(&memo, &mut world, workspace::COMMON, signature, 20);
    for (what, times) in [("in a body", body), ("of a signature used everywhere", signature)] {
        for percent in [50, 95, 99] {
            rows.push(Row {
                what: format!("analysis after an edit {what}, p{percent}"),
                ours: percentile(&times, percent),
                peer: Some(("cold `imgc check`", cold)),
                memory: None,
            });
        }
    }
    rows
}

/// A `terraform` command in a folder, where terraform is there.
fn terraform(folder: &Path, args: &[&str]) -> Option<impl Fn() -> Command + use<>> {
    let (folder, args) = (folder.to_owned(), args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>());
    let command = move |args: &[String]| {
        let mut command = Command::new("terraform");
        command.current_dir(&folder).args(args).env("CHECKPOINT_DISABLE", "1");
        command
    };
    let is_there =
        Command::new("terraform").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !is_there {
        return None;
    }
    must(&mut command(&["init".to_owned(), "-input=false".to_owned()]));
    Some(move || command(&args))
}

/// A program whose steps come from recipes and loops.
fn looped(steps: usize) -> String {
    let (outer, inner) = (steps / 100, 100);
    format!(
        "recipe many(group: Int) on linux/* {{\n  for k in 1..={inner} {{\n    sh \"step \\{{group}} \\{{k}}\" {{ script = \
         \"echo \\{{group}} \\{{k}}\" }}\n  }}\n}}\nimage box {{\n  from = rootfs.scratch()\n  for group in 1..={outer} \
         {{ use many(group) }}\n}}\noutput archive = oci.archive(box)\n"
    )
}

/// Planning steps that come from recipes and loops, beside terraform planning as many resources; and how that grows.
pub(super) fn plan_of_loops(bench: &Bench) -> Vec<Row> {
    let package = bench.package("loops", &looped(STEPS));
    let peer = bench.path("loops-terraform");
    fs::create_dir_all(&peer).expect("folder");
    let text =
        format!("resource \"terraform_data\" \"r\" {{\n  count = {STEPS}\n  input = \"echo ${{count.index}}\"\n}}\n");
    fs::write(peer.join("main.tf"), text).expect("file");
    let terraform = terraform(&peer, &["plan", "-input=false", "-no-color"]);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    must(&mut bench.imgc("cache", &["plan", &package]));
    for _ in 0..5 {
        ours.push(must(&mut bench.imgc("cache", &["plan", &package])));
        theirs.extend(terraform.as_ref().map(|command| must(&mut command())));
    }
    let memory = Some((peak(bench.imgc("cache", &["plan", &package])), terraform.map(|command| peak(command()))));
    let peer = (!theirs.is_empty()).then(|| ("terraform plan", median(theirs)));
    let what = format!("plan of {STEPS} steps of recipes and `for`");
    let mut rows = vec![Row { what, ours: median(ours), peer, memory }];
    let (few, most) = (bench.package("few", &looped(1_000)), bench.package("most", &looped(99_000)));
    let timed = |package: &str| {
        let times = (0..3).map(|_| must(&mut bench.imgc("cache", &["plan", package])));
        median(times.collect())
    };
    let memory = [&most, &few].map(|package| peak(bench.imgc("cache", &["plan", package])));
    let peer = Some(("99 × 1,000 steps", timed(&few) * 99));
    let memory = Some((memory[0], Some(memory[1] * 99)));
    rows.push(Row { what: "plan of 99,000 steps".to_owned(), ours: timed(&most), peer, memory });
    rows
}

/// The most memory that a command was seen to use, in MiB, as the system counts it.
fn peak(mut command: Command) -> u64 {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the command starts");
    let (status, mut peak) = (format!("/proc/{}/status", child.id()), 0);
    while child.try_wait().expect("a child").is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let most = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(most.unwrap_or_default());
        std::thread::sleep(Duration::from_micros(500));
    }
    peak / 1024
}
