//! Runs a plan: what is not in the store is built, what was asked for is put in place.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use imgc_backend::{CommitCost, Cx, Fault, Secrets};
use imgc_plan::{Address, Fingerprint, NodeId, Plan};
use imgc_store::{Lease, Sharing, fail_point, leases_at_once};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::facts::fresh_until;
use crate::lease::{Waits, leased};
use crate::remember::{self, History, Memory};
use crate::resources::Limits;
use crate::result::stands_on;
use crate::run::{Logs, Run};
use crate::schedule::{self, Ended, Rules, Schedule};
use crate::shared::{Shared, blocking};
use crate::survey::{self, Forced, Found};
use crate::vault::RunVault;
use crate::{ApplyError, Engine, EngineError, Executor, Failure, Local, Placed, Selection, journal, outputs, refuse};

/// The format of `apply.json` this imgc writes.
pub const APPLIED_VERSION: u32 = 1;

/// How a run goes about it.
#[derive(Clone)]
pub struct Options {
    /// At most so many nodes run at once.
    pub jobs: NonZeroUsize,
    /// What else they may use at once.
    pub limits: Limits,
    /// Nodes that run even if their results are known, by address; an image or recipe stands for all that is in it.
    pub rerun: Vec<Address>,
    /// Whether known results are used.
    pub cache: CacheUse,
    /// At most so many steps run in one machine before it is closed and opened again; none: no limit.
    pub max_chain: Option<usize>,
    /// Whether what does not depend on a failed node goes on.
    pub keep_going: bool,
    /// What becomes of the machine in which a step failed.
    pub on_error: OnError,
    /// Fires on the first Ctrl-C: nothing more is started, running steps end and are kept. `Cx::cancel` is the second
    /// one: running steps are stopped too.
    pub stop: CancellationToken,
    /// Where artifacts are put in place; none: they stay in the store.
    pub out_dir: Option<PathBuf>,
    /// Where logs, journal and result go; none: nowhere.
    pub run: Option<Arc<Run>>,
    /// What the store may take, in bytes, after the run; none: it is not trimmed.
    pub budget: Option<u64>,
    /// What memory parts may take beside that, in bytes, by backend; none: what the backend holds to be right.
    pub memory_budget: Option<u64>,
    /// Where chains run; none: on this machine.
    pub executor: Option<Arc<dyn Executor>>,
}

/// What becomes of the machine in which a step failed.
#[derive(Clone, Default)]
pub enum OnError {
    /// It is thrown away.
    #[default]
    Stop,
    /// It is parked where its backend can do that, for `imgc shell`.
    Keep,
    /// Somebody is asked; nothing starts meanwhile.
    Ask(Ask),
}

/// Asks somebody what to do about a failure.
#[derive(Clone)]
pub struct Ask(pub Arc<dyn Fn(&Failure) -> Asked + Send + Sync>);

/// An answer that somebody is still thinking about.
pub type Asked = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// As [`OnError::Stop`].
    Stop,
    /// As [`OnError::Keep`].
    Keep,
    /// The step runs again, from the layer that it stands on.
    Retry,
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
            limits: Limits::default(),
            keep_going: false,
            on_error: OnError::Stop,
            stop: CancellationToken::new(),
            out_dir: None,
            run: None,
            budget: None,
            memory_budget: None,
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
    /// Until when the next apply would find all of this again if nothing changes, in seconds since 1970, as far as cache
    /// policies have a say; none: for ever.
    #[serde(default)]
    pub fresh_until: Option<i64>,
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
    let applied = match once(engine, plan, selection, options, cx).await {
        // It is a miss now, as it should have been before.
        Err(ApplyError::Engine(error @ EngineError::Damaged { .. })) => {
            cx.note(format!("{error}; it is built again"));
            once(engine, plan, selection, options, cx).await
        }
        applied => applied,
    };
    engine.store.notes().iter().for_each(|note| cx.note(&note.0));
    applied
}

async fn once(
    engine: &Engine,
    plan: &Arc<Plan>,
    selection: &Selection,
    options: &Options,
    cx: &Cx,
) -> Result<Applied, ApplyError> {
    let Finished { cx, shared, mut ended, sharing, lock } = run_plan(engine, plan, selection, options, cx).await?;
    ended.check(selection)?;
    let mut results = BTreeMap::new();
    for target in &selection.targets {
        let input = schedule::input(&shared, &mut ended.results, target.node)?;
        results.insert(target.node, input.result);
    }
    let outputs = outputs::place(engine, plan, selection, &results, options.out_dir.as_deref(), &cx).await?;
    let fresh = ended.done.iter().filter_map(|(id, done)| fresh_until(plan, *id, done.created)).min();
    let applied = Applied {
        version: APPLIED_VERSION,
        run: options.run.as_ref().map(|run| run.id().to_owned()),
        nodes: ended.outcomes(plan),
        outputs,
        fresh_until: fresh,
        findings: ended.findings,
    };
    fail_point!("apply.placed");
    drop(sharing);
    let is_news = |node: &&NodeOutcome| node.outcome == Outcome::Cached && !shared.survey.is_noted(node.node);
    let used: Vec<Fingerprint> = applied.nodes.iter().filter(is_news).map(|node| node.fingerprint).collect();
    finish(engine, options, &applied, &used, &cx)?;
    drop(lock);
    Ok(applied)
}

/// A run that came to its end, well or not; what it finished is durable.
pub(crate) struct Finished {
    /// With the logs of the run in front of the events.
    pub(crate) cx: Cx,
    pub(crate) shared: Arc<Shared>,
    pub(crate) ended: Ended,
    /// What was found stays in the store for as long as this is held.
    pub(crate) sharing: Sharing,
    /// Of the package.
    pub(crate) lock: Lease,
}

/// Runs what is selected and not known.
pub(crate) async fn run_plan(
    engine: &Engine,
    plan: &Arc<Plan>,
    selection: &Selection,
    options: &Options,
    cx: &Cx,
) -> Result<Finished, ApplyError> {
    let refused = refuse::refusals(engine, plan, &selection.nodes);
    let forced = Forced::new(plan, selection, options.cache, &options.rerun)?;
    if refused.iter().any(|refused| refused.fault != Fault::Environment) {
        return Err(EngineError::Refused(refused).into());
    }
    let logs = Logs::new();
    let vault = Arc::new(RunVault::new(plan, &cx.package));
    let events = vault.sink(logs.sink(options.run.clone(), cx.events.clone()));
    let journal = options.run.as_ref().map_or_else(|| cx.journal.clone(), |run| run.journal());
    let cx = Cx { events, journal, secrets: Secrets::new(vault.clone()), ..cx.clone() };
    recover(engine, options.run.as_ref().and_then(|run| run.dir().parent()), &cx).await;
    let waits = Waits { stop: options.stop.clone(), cancel: cx.cancel.clone() };
    let name = format!("package {}", engine.package);
    let note = || cx.note("another imgc apply is running in this package; waiting for it to end");
    let lock = leased(&engine.store, &name, &waits, note).await.map_err(ApplyError::from)?;
    let sharing = share(engine).await?;
    let survey = survey::survey(engine, plan, selection, &forced, &cx).await?;
    let missing = vault.missing(plan, &survey);
    refuse::refuse(refused.into_iter().chain(missing).collect(), &survey)?;
    let publisher = engine.store.publisher().map_err(EngineError::store("cannot write to the store"))?;
    let shared = Arc::new(Shared {
        engine: engine.clone(),
        plan: plan.clone(),
        survey,
        forced,
        executor: options.executor.clone().unwrap_or_else(|| Arc::new(Local::new(engine.steps.clone()))),
        max_chain: options.max_chain,
        publisher: Some(publisher).into(),
        places: Arc::new(Semaphore::new(leases_at_once())),
        logs,
        vault,
        run: options.run.clone(),
        cx: cx.clone(),
        // Fires with the caller's, and by itself when a node fails.
        stop: options.stop.child_token(),
    });
    let ended = execute(&shared, selection, options).await;
    // Whatever happened, what was finished must be durable before anything is said.
    let published = shared.publish_all().await;
    let ended = ended?;
    published?;
    fail_point!("apply.published");
    remember(&shared, &ended)?;
    fail_point!("apply.remembered");
    Ok(Finished { cx, shared, ended, sharing, lock })
}

async fn execute(shared: &Arc<Shared>, selection: &Selection, options: &Options) -> Result<Ended, EngineError> {
    for (id, _) in shared.survey.nodes().filter(|(id, _)| shared.survey.is_settled(*id)) {
        shared.say_cached(id);
    }
    let rules = Rules {
        jobs: options.jobs,
        limits: options.limits.clone(),
        keep_going: options.keep_going,
        on_error: options.on_error.clone(),
    };
    Schedule::new(shared.clone(), selection, rules).run().await
}

/// Keeps others from taking out of the store what this run finds in it.
pub(crate) async fn share(engine: &Engine) -> Result<Sharing, EngineError> {
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

/// Keeps the specs of what was found: a later miss is explained by what was in use last, not by what ran last. Where
/// commits cost something it also counts which layers were of use. What ran has been kept already.
fn remember(shared: &Shared, ended: &Ended) -> Result<(), EngineError> {
    let (plan, survey) = (&shared.plan, &shared.survey);
    let stood: BTreeSet<NodeId> = ended.heads.iter().filter_map(|id| stands_on(&plan.node(*id).work)).collect();
    let mut memories = Vec::new();
    for (id, found) in survey.nodes() {
        let Found::Hit { fingerprint, .. } = found else { continue };
        let node = plan.node(id);
        let counts = !ended.heads.is_empty() && commits_cost(shared, id);
        if !counts && survey.remembered(&node.address).is_some_and(|old| old.fingerprint == *fingerprint) {
            continue;
        }
        let states = survey.input_states(id).unwrap_or_default();
        let spec = imgc_plan::spec_of(plan, id, survey.node(plan, id), &states);
        let mut memory: Memory = shared.memory(id, *fingerprint, spec, History::default());
        memory.history.stood += u32::from(stood.contains(&id));
        memories.push((node.address.clone(), memory));
    }
    remember::write(&shared.engine, &memories)
}

fn commits_cost(shared: &Shared, id: NodeId) -> bool {
    let backend = shared.engine.backends.get(shared.plan.node(id).backend.as_str());
    backend.is_some_and(|backend| backend.offers().commit != CommitCost::Free)
}

/// Writes down what came of a run, notes which results it used, and trims the store.
fn finish(
    engine: &Engine,
    options: &Options,
    applied: &Applied,
    used: &[Fingerprint],
    cx: &Cx,
) -> Result<(), EngineError> {
    if let Some(run) = &options.run {
        run.finish(applied)?;
    }
    let keep: Vec<Fingerprint> = applied.nodes.iter().map(|node| node.fingerprint).collect();
    if let Err(error) = engine.store.touch(used) {
        cx.note(format!("cannot note what was used: {error}"));
    }
    // A run that ended beside this one may have parked a machine: the next one throws it away, this one does not.
    let runs = options.run.as_ref().and_then(|run| run.dir().parent());
    let pinned = runs.map(|runs| journal::parked(runs, &engine.backends)).unwrap_or_default();
    if let Some(budget) = options.budget
        && let Err(error) = engine.store.trim_beside(budget, &keep, &pinned)
    {
        // The images are there; a store above its budget is worth a word, not a failure.
        cx.note(format!("cannot trim the store to its budget: {error}"));
    }
    for backend in engine.backends.values() {
        let trimmed = backend.trim_memory(options.memory_budget);
        tracing::debug!(parts = trimmed.parts, bytes = trimmed.bytes, "memory parts were trimmed");
    }
    Ok(())
}
