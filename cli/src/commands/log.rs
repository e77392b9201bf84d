//! `imgc log`: what a step said in the last run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use imgc_engine::RAN_NOTE;
use imgc_plan::{Digest, Plan};

use crate::args::LogArgs;
use crate::commands::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::package::Package;
use crate::places::Places;
use crate::terminal::{Style, paint};

/// The files in a run's directory that name its package and the steps of its plan.
const PACKAGE_NOTE: &str = "package";
const STEPS_NOTE: &str = "steps";

/// What is kept of a run.
struct Kept {
    dir: PathBuf,
    /// Where the output of a step is, by the digest that the engine ends the name of its log with.
    logs: BTreeMap<String, PathBuf>,
    /// What ran: a step that printed nothing has no log.
    ran: BTreeSet<String>,
}

impl Kept {
    fn read(dir: &Path) -> Self {
        let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let log = |path: PathBuf| {
            let (_, digest) = path.file_name()?.to_str()?.strip_suffix(".log")?.rsplit_once('-')?;
            Some((digest.to_owned(), path))
        };
        let logs = files.filter_map(|entry| log(entry.path())).collect();
        Self { dir: dir.to_owned(), logs, ran: lines(&dir.join(RAN_NOTE)).into_iter().collect() }
    }

    /// What a step said; none where it did not run, nothing where it said nothing.
    fn said(&self, address: &str) -> Option<Result<Vec<u8>, Failure>> {
        match self.logs.get(&Digest::of(address.as_bytes()).short()) {
            Some(log) => Some(std::fs::read(log).map_err(Failure::io(format!("cannot read {}", log.display())))),
            None => self.ran.contains(address).then(|| Ok(Vec::new())),
        }
    }

    fn name(&self) -> std::path::Display<'_> {
        Path::new(self.dir.file_name().unwrap_or_default()).display()
    }

    /// The steps that ran, in the order of the plan.
    fn steps(&self) -> Vec<String> {
        let has_log = |address: &str| self.logs.contains_key(&Digest::of(address.as_bytes()).short());
        let mut steps = lines(&self.dir.join(STEPS_NOTE));
        steps.retain(|address| self.ran.contains(address) || has_log(address));
        steps
    }
}

/// Prints the log of a step in the last run that ran it, or lists the steps of the last run.
pub(crate) fn run(args: &LogArgs, cx: &Context) -> Outcome {
    let package = Package::find(cx.directory(), None)?;
    let places = Places::new(cx.global.cache_dir.as_deref())?;
    let runs = runs_of(&places.runs, &package);
    let Some(last) = runs.first() else {
        return Err(
            Failure::program("nothing was applied here yet").help("`imgc apply` builds the outputs of a program")
        );
    };
    match &args.address {
        None => {
            list(&Kept::read(last), cx);
            Ok(Exit::Done)
        }
        Some(address) => print(&runs, address, cx),
    }
}

fn list(run: &Kept, cx: &Context) {
    let terminal = &cx.terminal;
    let steps = run.steps();
    terminal.out(paint(terminal.out_color, Style::Bold, format!("run {}", run.name())));
    if steps.is_empty() {
        terminal.out("  everything was cached: nothing ran");
    }
    for address in &steps {
        terminal.out(format_args!("  {address}"));
    }
}

/// `runs` has the last run first.
fn print(runs: &[PathBuf], address: &str, cx: &Context) -> Outcome {
    let found = runs.iter().enumerate().find_map(|(before, dir)| {
        let run = Kept::read(dir);
        let said = run.said(address)?;
        Some((before, run, said))
    });
    let Some((before, run, said)) = found else { return Err(unknown(runs, address)) };
    if before > 0 {
        cx.terminal.note(format_args!("it did not run in the last run; this is from run {}", run.name()));
    }
    let said = said?;
    if said.is_empty() {
        cx.terminal.note(format_args!("`{address}` ran and printed nothing"));
    }
    cx.terminal.write(&said);
    Ok(Exit::Done)
}

/// No run has the address, or none ran it.
fn unknown(runs: &[PathBuf], address: &str) -> Failure {
    let known: BTreeSet<String> = runs.iter().flat_map(|run| lines(&run.join(STEPS_NOTE))).collect();
    let failure = Failure::program(format!("no run that is kept ran `{address}`"));
    let names: Vec<&str> = known.iter().map(String::as_str).collect();
    let near = similar::get_close_matches(address, &names, 1, 0.6);
    match near.first() {
        Some(_) if known.contains(address) => {
            failure.help("its result was in the store each time: `imgc apply --rerun ADDRESS` runs it all the same")
        }
        Some(near) => failure.help(format!("did you mean `{near}`?")),
        None => failure.help("`imgc log` lists the steps of the last run, `imgc plan` all addresses"),
    }
}

/// Writes into a run's directory which package and steps it is about.
pub(crate) fn note_run(run: &Path, package: &Package, plan: &Plan) {
    // Without the notes only `imgc log` is poorer.
    let _ = std::fs::write(run.join(PACKAGE_NOTE), package_note(package));
    let addresses: Vec<&str> = plan.nodes.iter().map(|node| node.address.0.as_str()).collect();
    let _ = std::fs::write(run.join(STEPS_NOTE), addresses.join("\n"));
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn package_note(package: &Package) -> String {
    format!("{}\n{}\n", package.root.display(), package.entry)
}

/// The runs of a package that are kept, the last first.
fn runs_of(runs: &Path, package: &Package) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(runs).into_iter().flatten().flatten().map(|entry| entry.path());
    let note = package_note(package);
    let is_ours = |run: &PathBuf| std::fs::read_to_string(run.join(PACKAGE_NOTE)).is_ok_and(|found| found == note);
    let mut found: Vec<PathBuf> = entries.filter(is_ours).collect();
    found.sort();
    found.reverse();
    found
}
