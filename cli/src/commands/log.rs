//! `imgc log`: what a step said in the last run.

use std::path::{Path, PathBuf};

use imgc_plan::{Digest, Plan};

use crate::args::LogArgs;
use crate::commands::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::package::Package;
use crate::places::Places;
use crate::terminal::{Style, paint};

/// The files in a run's directory that name its package and its steps.
const PACKAGE_NOTE: &str = "package";
const STEPS_NOTE: &str = "steps";

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
            list(last, cx);
            Ok(Exit::Done)
        }
        Some(address) => print(last, &runs, address, cx),
    }
}

fn list(run: &Path, cx: &Context) {
    let terminal = &cx.terminal;
    let logs = logs(run);
    let heading = format!("run {}", run.file_name().unwrap_or_default().display());
    terminal.out(paint(terminal.out_color, Style::Bold, heading));
    if logs.is_empty() {
        terminal.out("  everything was cached: nothing ran");
    }
    for (address, _) in &logs {
        terminal.out(format_args!("  {address}"));
    }
}

fn print(last: &Path, runs: &[PathBuf], address: &str, cx: &Context) -> Outcome {
    let Some((run, log)) =
        runs.iter().find_map(|run| Some((run, logs(run).into_iter().find(|(found, _)| found == address)?.1)))
    else {
        return Err(Failure::program(format!("no run that is kept ran `{address}`"))
            .help("`imgc log` lists the steps of the last run, `imgc plan` all addresses"));
    };
    if run != last {
        cx.terminal.note(format_args!(
            "it was cached in the last run; this is from run {}",
            run.file_name().unwrap_or_default().display()
        ));
    }
    let text = std::fs::read(&log).map_err(Failure::io(format!("cannot read {}", log.display())))?;
    cx.terminal.write(&text);
    Ok(Exit::Done)
}

/// Writes into a run's directory which package and steps it is about.
pub(crate) fn note_run(run: &Path, package: &Package, plan: &Plan) {
    // Without the notes only `imgc log` is poorer.
    let _ = std::fs::write(run.join(PACKAGE_NOTE), package_note(package));
    let addresses: Vec<&str> = plan.nodes.iter().map(|node| node.address.0.as_str()).collect();
    let _ = std::fs::write(run.join(STEPS_NOTE), addresses.join("\n"));
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

/// The logs of a run with their addresses, in the order of the plan: the engine ends their names with a digest of the address.
fn logs(run: &Path) -> Vec<(String, PathBuf)> {
    let endings = std::fs::read_to_string(run.join(STEPS_NOTE)).unwrap_or_default();
    let ending = |address: &str| format!("-{}.log", Digest::of(address.as_bytes()).short());
    let files: Vec<PathBuf> =
        std::fs::read_dir(run).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    let file_of = |address: &str| {
        let ending = ending(address);
        files
            .iter()
            .find(|file| file.file_name().is_some_and(|name| name.to_string_lossy().ends_with(&ending)))
            .cloned()
    };
    endings.lines().filter_map(|address| Some((address.to_owned(), file_of(address)?))).collect()
}
