//! Runs a plan: what is not in the store is built, what was asked for is put in place.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use imgc_backend::{Cx, Fault};
use imgc_plan::{Address, Fingerprint, NodeId, Plan};
use imgc_store::{Sharing, fail_point};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::lease::{Waits, leased};
use crate::remember::{self, Memory, Remembered};
use crate::result::parent_states;
use crate::run::{Logs, Run};
use crate::schedule::{Ended, Schedule};
use crate::survey::{self, Forced, Found, Survey};
use crate::unit::{Shared, blocking};
use crate::{ApplyError, Engine, EngineError, Executor, Local, Placed, Selection, journal, outputs, refuse};

/// The format of `apply.json` this imgc writes.
pub const APPLIED_VERSION: u32 = 1;

/// How a run goes about it.
#[derive(Clone)]
pub struct Options {
    /// At most so many units run at once.
    pub jobs: NonZeroUsize,
    /// Nodes that run even if their results are known, by address; an image or recipe stands for all that is in it.
    pub rerun: Vec<Address>,
    /// Whether known results are used.
    pub cache: CacheUse,
    /// At most so many steps run in one machine before it is closed and opened again; none: no limit.
    pub max_chain: Option<usize>,
    /// Whether what does not depend on a failed node goes on.
    pub keep_going: bool,
    /// Fires on the first Ctrl-C: nothing more is started, running steps end and are kept. `Cx::cancel` is the second
    /// one: running steps are stopped too.
    pub stop: CancellationToken,
    /// Where artifacts are put in place; none: they stay in the store.
    pub out_dir: Option<PathBuf>,
    /// Where logs, journal and result go; none: nowhere.
    pub run: Option<Arc<Run>>,
    /// What the store may take, in bytes, after the run; none: it is not trimmed.
    pub budget: Option<u64>,
    /// Where chains run; none: on this machine.
    pub executor: Option<Arc<dyn Executor>>,
}

/// Whether results of earlier runs are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheUse {
    /// Yes.
    Use,
    /// No: everything runs. What comes of it is kept.
    Ignore,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            rerun: Vec::new(),
            cache: CacheUse::Use,
            max_chain: None,
            keep_going: false,
            stop: CancellationToken::new(),
            out_dir: None,
            run: None,
            budget: None,
            executor: None,
        }
    }
}

/// What a run did; the contents of `apply.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// [`APPLIED_VERSION`].
    pub version: u32,
    /// The run's id.
    pub run: Option<String>,
    /// The selected nodes, in dependency order.
    pub nodes: Vec<NodeOutcome>,
    /// What was asked for, in the order of the selection.
    pub outputs: Vec<Placed>,
    /// Findings: steps that left something else than the last time, with the same fingerprint.
    pub findings: Vec<String>,
}

/// What became of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeOutcome {
    /// The node.
    pub node: NodeId,
    /// Its address.
    pub address: Address,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// What was done.
    pub outcome: Outcome,
}

/// What was done for a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Its result was in the store.
    Cached,
    /// It ran.
    Ran {
        /// Wall clock.
        took: Duration,
    },
}

/// Builds what is selected and puts artifacts in place.
///
/// Everything that was finished stays in the store, whatever happens afterwards; success is reported after the last
/// result is durable. Every task is joined on every way out. A second apply of the same package waits for the first.
///
/// # Errors
/// [`ApplyError`].
pub async fn apply(
    engine: &Engine,
    plan: &Arc<Plan>,
    selection: &Selection,
    options: &Options,
    cx: &Cx,
) -> Result<Applied, ApplyError> {
    let refused = refuse::refusals(engine, plan, &selection.nodes);
    let forced = Forced { cache: options.cache, rerun: survey::rerun(engine, plan, &options.rerun)? };
    if refused.iter().any(|refused| refused.fault != Fault::Environment) {
        return Err(EngineError::Refused(refused).into());
    }
    let logs = Logs::new();
    let events = logs.sink(options.run.clone(), cx.events.clone());
    let journal = options.run.as_ref().map_or_else(|| cx.journal.clone(), |run| run.journal());
    let cx = &Cx { events, journal, ..cx.clone() };
    recover(engine, options.run.as_ref().and_then(|run| run.dir().parent()), cx).await;
    let waits = Waits { stop: options.stop.clone(), cancel: cx.cancel.clone() };
    let name = format!("package {}", engine.package);
    let note = || cx.note("another imgc apply is running in this package; waiting for it to end");
    let lock = leased(&engine.store, &name, &waits, note).await.map_err(ApplyError::from)?;
    let sharing = share(engine).await?;
    let survey = survey::survey(engine, plan, &selection.nodes, &forced, cx).await?;
    refuse::refuse(refused, &survey)?;
    let shared = shared(engine, plan, options, forced, logs, cx)?;
    let ended = execute(&shared, &survey, options).await;
    // Whatever happened, what was finished must be durable before anything is said.
    let published = shared.publish_all().await;
    let mut ended = ended?;
    published?;
    fail_point!("apply.published");
    remember(engine, plan, &survey, &mut ended)?;
    fail_point!("apply.remembered");
    ended.check(selection)?;
    let outputs = outputs::place(engine, plan, selection, &ended.results, options.out_dir.as_deref(), cx).await?;
    let applied = Applied {
        version: APPLIED_VERSION,
        run: options.run.as_ref().map(|run| run.id().to_owned()),
        nodes: ended.outcomes(plan),
        outputs,
        findings: ended.findings,
    };
    fail_point!("apply.placed");
    drop(sharing);
    finish(engine, options, &applied, cx)?;
    drop(lock);
    Ok(applied)
}

/// Keeps others from taking out of the store what this run finds in it.
async fn share(engine: &Engine) -> Result<Sharing, EngineError> {
    let store = engine.store.clone();
    blocking(move || store.share()).await?.map_err(EngineError::store("cannot use the store"))
}

/// Cleans up after dead runs: their scratch and leases in the store, and what their journals below `runs` have open.
/// Every command that starts machines calls it first. What fails is said, kept for the next time, and never an error.
pub async fn recover(engine: &Engine, runs: Option<&Path>, cx: &Cx) {
    let store = engine.store.clone();
    if let Ok(Ok(swept)) = blocking(move || store.sweep()).await {
        for (path, why) in swept.left {
            cx.note(format!("cannot remove what an earlier run left at {}: {why}", path.display()));
        }
    }
    let Some(runs) = runs else { return };
    for problem in journal::replay(runs, &engine.backends, cx).await.problems {
        cx.note(format!("cannot clean up after an earlier run: {problem}"));
    }
}

fn shared(
    engine: &Engine,
    plan: &Arc<Plan>,
    options: &Options,
    forced: Forced,
    logs: Logs,
    cx: &Cx,
) -> Result<Arc<Shared>, EngineError> {
    let executor = match &options.executor {
        Some(executor) => executor.clone(),
        None => Arc::new(Local::new(engine.steps.clone())),
    };
    let publisher = engine.store.publisher().map_err(EngineError::store("cannot write to the store"))?;
    Ok(Arc::new(Shared {
        engine: engine.clone(),
        plan: plan.clone(),
        forced,
        executor,
        max_chain: options.max_chain,
        publisher: Some(publisher).into(),
        logs,
        run: options.run.clone(),
        cx: cx.clone(),
        // Fires with the caller's, and by itself when a node fails.
        stop: options.stop.child_token(),
    }))
}

async fn execute(shared: &Arc<Shared>, survey: &Survey, options: &Options) -> Result<Ended, EngineError> {
    for (id, found) in survey.nodes() {
        if let Found::Hit { .. } = found {
            shared.say_cached(id);
        }
    }
    Schedule::new(shared.clone(), survey).run(options.jobs, options.keep_going).await
}

/// Keeps the specs of what ran and of what was found: a later miss is explained by what was in use last, not by what
/// ran last.
fn remember(engine: &Engine, plan: &Plan, survey: &Survey, ended: &mut Ended) -> Result<(), EngineError> {
    for (id, found) in survey.nodes() {
        let Found::Hit { fingerprint, .. } = found else { continue };
        let address = &plan.node(id).address;
        if survey.remembered(address).is_none_or(|old| old.fingerprint != *fingerprint) {
            let states = parent_states(plan, id, |p| survey.state(engine, plan, p)).unwrap_or_default();
            let memory = Memory { fingerprint: *fingerprint, spec: imgc_plan::spec(plan, id, &states), cost_ms: None };
            ended.memories.push((address.clone(), memory));
        }
    }
    for (address, memory) in &mut ended.memories {
        let known = || survey.remembered(address).and_then(Remembered::cost);
        memory.cost_ms = memory.cost_ms.or_else(|| u64::try_from(known()?.as_millis()).ok());
    }
    remember::write(engine, &ended.memories)
}

fn finish(engine: &Engine, options: &Options, applied: &Applied, cx: &Cx) -> Result<(), EngineError> {
    if let Some(run) = &options.run {
        let json = serde_json::to_value(applied).map_err(|error| EngineError::Internal {
            message: format!("the result cannot be written down: {error}"),
        })?;
        run.finish(&json)?;
    }
    let keep: Vec<Fingerprint> = applied.nodes.iter().map(|node| node.fingerprint).collect();
    if let Err(error) = engine.store.touch(&keep) {
        cx.note(format!("cannot note what was used: {error}"));
    }
    if let Some(budget) = options.budget
        && let Err(error) = engine.store.trim(budget, &keep)
    {
        // The images are there; a store above its budget is worth a word, not a failure.
        cx.note(format!("cannot trim the store to its budget: {error}"));
    }
    Ok(())
}
