//! `imgc clean`: takes up what runs that died left behind.

use std::path::PathBuf;
use std::sync::Arc;

use imgc_backend::{Effect, EventSink};
use imgc_engine::journal::{self, Replayed};
use imgc_store::Store;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::args::{CleanArgs, Format};
use crate::commands::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::places::Places;
use crate::registry;
use crate::render::text::count;
use crate::session::{enter, open_store, runtime, store_failure};
use crate::signals::Stop;
use crate::terminal::Terminal;

/// What was found, and what became of it.
#[derive(Default)]
struct Found {
    /// Scratch directories of dead processes.
    scratch: Vec<PathBuf>,
    /// Effects that dead runs left open, each with the run's directory.
    effects: Vec<(String, Effect)>,
    /// What could not be cleaned up, as sentences.
    problems: Vec<String>,
}

/// Cleans up, or says what there is to clean up.
pub(crate) fn run(args: &CleanArgs, cx: &Context) -> Outcome {
    let places = Places::new(cx.global.cache_dir.as_deref())?;
    enter()?;
    let store = Arc::new(open_store(&places, &cx.terminal)?);
    let mut found = Found::default();
    for run in journal::dead_runs(&places.runs) {
        let name = run.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match &run.open {
            Ok(effects) => found.effects.extend(effects.iter().map(|effect| (name.clone(), effect.clone()))),
            Err(problem) if args.dry_run => found.problems.push(format!("run {name}: its journal: {problem}")),
            Err(_) => {}
        }
    }
    if args.dry_run {
        found.scratch = store.abandoned();
    } else {
        let replayed = replay(&store, &places, &cx.terminal)?;
        found.problems.extend(replayed.problems);
        // After the keepers: they remove scratch themselves.
        found.scratch = store.abandoned();
        let swept = store.sweep().map_err(|error| store_failure(&error))?;
        found.problems.extend(swept.left.iter().map(|(path, why)| format!("{}: {why}", path.display())));
    }
    report(&found, args, cx);
    Ok(if found.problems.is_empty() { Exit::Done } else { Exit::Environment })
}

/// Takes up what the journals of dead runs have open.
pub(crate) fn replay(store: &Arc<Store>, places: &Places, terminal: &Terminal) -> Result<Replayed, Failure> {
    let stop = Stop::new();
    runtime()?.block_on(async {
        let backends = registry::backends(store);
        let call = circumstances(places, &stop.now);
        let work = journal::replay(&places.runs, &backends, &call);
        stop.while_running(work, |text| terminal.note(text)).await
    })
}

/// The circumstances of a replay: no package, no output of steps.
pub(crate) fn circumstances(places: &Places, cancel: &CancellationToken) -> imgc_backend::Cx {
    imgc_backend::Cx::plain(cancel.clone(), EventSink::new(|_| {}), places.store.clone())
}

fn report(found: &Found, args: &CleanArgs, cx: &Context) {
    let terminal = &cx.terminal;
    if args.format.format == Format::Json {
        terminal.out(json!({
            "format": 1,
            "dry_run": args.dry_run,
            "scratch": found.scratch,
            "effects": found.effects.iter().map(|(run, effect)| json!({
                "run": run, "backend": effect.backend, "kind": effect.kind, "token": effect.token,
                "tags": effect.tags, "detail": effect.detail,
            })).collect::<Vec<_>>(),
            "problems": found.problems,
        }));
        return;
    }
    let (removed, settled) = if args.dry_run { ("would remove", "would settle") } else { ("removed", "settled") };
    for path in &found.scratch {
        terminal.out(format_args!("{removed} {}", path.display()));
    }
    for (run, effect) in &found.effects {
        terminal.out(format_args!("{settled} {} {} {} of run {run}", effect.backend, effect.kind, effect.token));
    }
    for problem in &found.problems {
        terminal.warning(format_args!("cannot clean up: {problem}"));
    }
    let (scratch, effects) = (found.scratch.len(), found.effects.len());
    if scratch + effects + found.problems.len() == 0 {
        terminal.out("nothing is left of earlier runs");
    } else {
        terminal.out(format_args!("{} and {}", count(scratch, "scratch folder"), count(effects, "effect")));
    }
}
