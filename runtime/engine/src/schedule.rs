//! The schedule: which node runs when. One loop owns all of its state; nodes run beside it and report back.
//!
//! A node is ready when all that it needs is there. Of the ready ones that there is room for, the one with the longest
//! way to go starts first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use imgc_backend::{BackendError, Close, Closed};
use imgc_plan::{Address, Fingerprint, NodeId, Plan};
use tokio::task::{JoinError, JoinSet};

use crate::chains::{Chains, Commits};
use crate::estimate::{Durations, ways};
use crate::resources::{Limits, Load, Need, Needs};
use crate::result::NodeResult;
use crate::shared::Shared;
use crate::survey::Found;
use crate::task::{self, Ending, Input, Report, Task, TaskEnd};
use crate::{Answer, ApplyError, Chain, EngineError, Failure, NodeOutcome, OnError, Outcome, Selection};

/// So many nodes may overtake one that there is no room for; then they wait with it.
const OVERTAKERS: usize = 16;

/// How much may run at once, and what happens when something fails.
pub(crate) struct Rules {
    pub(crate) jobs: NonZeroUsize,
    pub(crate) limits: Limits,
    pub(crate) keep_going: bool,
    pub(crate) on_error: OnError,
}

/// The state of a run.
pub(crate) struct Schedule {
    shared: Arc<Shared>,
    rules: Rules,
    jobs: Vec<Job>,
    /// By node: the jobs that need it.
    users: HashMap<NodeId, Vec<usize>>,
    /// By what is left to do from there on, and number.
    ready: BTreeSet<(Reverse<Duration>, usize)>,
    chains: Chains,
    commits: Commits,
    load: Load,
    overtaken: usize,
    /// How many failures wait for an answer: nothing starts meanwhile.
    asking: usize,
    running: JoinSet<End>,
    ended: Ended,
}

/// An open node.
struct Job {
    node: NodeId,
    way: Duration,
    /// How many of its parents are missing.
    missing: usize,
    chain: usize,
    /// Where it stands in its chain.
    place: usize,
    backend: &'static str,
    needs: Needs,
}

/// What ran beside the loop.
enum End {
    Task(usize, TaskEnd),
    /// The machine of a chain is gone.
    Closed(usize, Box<Parting>),
    /// Somebody said what to do about a failure.
    Answered(usize, Box<Failure>, Option<Box<dyn Chain>>, Answer),
}

/// How the machine of a chain went.
struct Parting {
    /// What it took while it was open.
    held: Need,
    closed: Result<Closed, BackendError>,
    failure: Option<Failure>,
}

/// What a run came to.
pub(crate) struct Ended {
    pub(crate) results: BTreeMap<NodeId, Input>,
    pub(crate) done: BTreeMap<NodeId, Done>,
    pub(crate) failures: Vec<Failure>,
    pub(crate) findings: Vec<String>,
    /// The nodes that chains began with.
    pub(crate) heads: Vec<NodeId>,
}

/// What was done for a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) outcome: Outcome,
    /// When the result was made, in seconds since 1970.
    pub(crate) created: i64,
}

impl Ended {
    /// What was done, in dependency order.
    pub(crate) fn outcomes(&self, plan: &Plan) -> Vec<NodeOutcome> {
        let outcome = |(node, done): (&NodeId, &Done)| NodeOutcome {
            node: *node,
            address: plan.node(*node).address.clone(),
            fingerprint: done.fingerprint,
            outcome: done.outcome,
        };
        self.done.iter().map(outcome).collect()
    }

    /// An error unless everything that was selected is done.
    pub(crate) fn check(&mut self, selection: &Selection) -> Result<(), ApplyError> {
        if !self.failures.is_empty() {
            return Err(ApplyError::Failed(std::mem::take(&mut self.failures)));
        }
        let left = selection.nodes.len().saturating_sub(self.done.len());
        if left > 0 { Err(ApplyError::Interrupted { left }) } else { Ok(()) }
    }
}

impl Schedule {
    /// A job for each node that will or may run.
    pub(crate) fn new(shared: Arc<Shared>, selection: &Selection, rules: Rules) -> Self {
        let mut done = BTreeMap::new();
        for (id, found) in shared.survey.nodes() {
            let settled = |fingerprint, created| Done { fingerprint, outcome: Outcome::Cached, created };
            match found {
                Found::Hit { fingerprint, known } => drop(done.insert(id, settled(*fingerprint, known.created))),
                Found::Miss { needed: false, fingerprint, .. } => drop(done.insert(id, settled(*fingerprint, 0))),
                Found::Miss { .. } | Found::Open { .. } => {}
            }
        }
        let open: Vec<NodeId> = shared.survey.open().map(|(id, _)| id).collect();
        let (chains, numbers) = Chains::new(&shared, &open);
        let commits = Commits::new(&shared, selection, &chains, &open);
        let durations = Durations::new(&shared.plan, shared.survey.all_remembered());
        let ways = ways(&shared.plan, &shared.survey.facts, &open, &durations);
        let heads = chains.heads().collect();
        let (results, failures, findings) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut schedule = Self {
            rules,
            jobs: Vec::with_capacity(open.len()),
            users: HashMap::new(),
            ready: BTreeSet::new(),
            chains,
            commits,
            load: Load::default(),
            overtaken: 0,
            asking: 0,
            running: JoinSet::new(),
            ended: Ended { results, done, failures, findings, heads },
            shared,
        };
        for id in open {
            let place = numbers.get(&id).copied().unwrap_or_default();
            schedule.add(id, ways.get(&id).copied().unwrap_or_default(), place);
        }
        schedule
    }

    fn add(&mut self, node: NodeId, way: Duration, (chain, place): (usize, usize)) {
        let index = self.jobs.len();
        let mut missing = self.shared.survey.facts.parents(node).to_vec();
        missing.sort_unstable();
        missing.dedup();
        missing.retain(|parent| !self.shared.survey.is_settled(*parent));
        let of_plan = self.shared.plan.node(node);
        let backend = self.shared.engine.backends.get_key_value(of_plan.backend.as_str());
        let needs = backend
            .and_then(|(_, backend)| backend.needs(of_plan, &self.shared.plan.machine(node)).ok())
            .unwrap_or_default();
        let backend = backend.map_or("", |(name, _)| *name);
        self.jobs.push(Job { node, way, missing: missing.len(), chain, place, backend, needs: Needs::of(needs) });
        if missing.is_empty() {
            self.ready.insert((Reverse(way), index));
        }
        for parent in missing {
            self.users.entry(parent).or_default().push(index);
        }
    }

    /// Runs all jobs. Returns when nothing runs any more.
    pub(crate) async fn run(mut self) -> Result<Ended, EngineError> {
        loop {
            if self.shared.stopping() {
                self.close_waiting();
            } else if self.asking == 0 {
                self.start_what_fits()?;
            }
            match self.running.join_next().await {
                Some(Ok(end)) => self.end(end),
                Some(Err(error)) => self.fail(crashed(&error)),
                None => return Ok(self.ended),
            }
        }
    }

    fn start_what_fits(&mut self) -> Result<(), EngineError> {
        let mut starting = Vec::new();
        for (way, index) in &self.ready {
            if !self.load.has_job(self.rules.jobs) {
                break;
            }
            let Some(job) = self.jobs.get(*index) else { continue };
            let is_open = self.chains.get(job.chain).is_some_and(|chain| chain.machine.is_some());
            let need = if is_open { job.needs.run } else { job.needs.run.and(job.needs.hold) };
            if self.load.fits(&self.rules.limits, self.rules.jobs, job.backend, need) {
                self.load.take(job.backend, need);
                starting.push((*way, *index));
                if self.overtaken > 0 {
                    self.overtaken += 1;
                }
            } else if self.overtaken > OVERTAKERS {
                break;
            } else {
                self.overtaken = self.overtaken.max(1);
            }
        }
        if starting.first().is_some_and(|first| self.ready.first() == Some(first)) {
            self.overtaken = 0;
        }
        for key in starting {
            self.ready.remove(&key);
            self.start(key.1)?;
        }
        Ok(())
    }

    fn start(&mut self, index: usize) -> Result<(), EngineError> {
        let Some(job) = self.jobs.get(index) else { return Ok(()) };
        let (node, number, place, hold) = (job.node, job.chain, job.place, job.needs.hold);
        let mut inputs = Vec::new();
        for parent in self.shared.survey.facts.parents(node) {
            inputs.push(input(&self.shared, &mut self.ended.results, *parent)?);
        }
        let Some(chain) = self.chains.get_mut(number) else { return Ok(()) };
        let machine = chain.machine.take();
        if machine.is_none() {
            chain.holds = hold;
        }
        let later = chain.nodes.get(place + 1..).unwrap_or_default();
        let commit = self.commits.of(&self.shared, node, chain, later.first().copied());
        let later = if self.shared.survey.facts.is_probe(node) { later.to_vec() } else { Vec::new() };
        let task = Task { node, image: chain.image.clone(), commit, inputs, later };
        let shared = self.shared.clone();
        self.running.spawn(async move { End::Task(index, task::run(shared, task, machine).await) });
        Ok(())
    }

    fn end(&mut self, end: End) {
        match end {
            End::Task(index, end) => self.task_ended(index, end),
            End::Closed(number, parting) => self.closed(number, *parting),
            End::Answered(index, failure, chain, answer) => {
                self.asking -= 1;
                match answer {
                    Answer::Retry => self.retry(index, chain),
                    Answer::Keep => self.give_up(index, *failure, chain, Close::Park),
                    Answer::Stop => self.give_up(index, *failure, chain, Close::Discard),
                }
            }
        }
    }

    fn task_ended(&mut self, index: usize, end: TaskEnd) {
        let Some(job) = self.jobs.get(index) else { return };
        self.load.give_back(job.backend, job.needs.run);
        let (number, backend) = (job.chain, job.backend);
        let TaskEnd { node, chain: machine, result } = end;
        if machine.is_none()
            && let Some(chain) = self.chains.get_mut(number)
        {
            self.load.give_back(backend, std::mem::take(&mut chain.holds));
        }
        match result {
            Ok(report) => {
                let is_last = self.take(number, node, report);
                if let Some(machine) = machine {
                    if is_last {
                        self.close(number, machine, Close::Discard, None);
                    } else if let Some(chain) = self.chains.get_mut(number) {
                        chain.machine = Some(machine);
                    }
                }
            }
            Err(Ending::Stopped) => {
                if let Some(machine) = machine {
                    self.close(number, machine, Close::Discard, None);
                }
            }
            Err(Ending::Failed(failure)) => match &self.rules.on_error {
                OnError::Stop => self.give_up(index, *failure, machine, Close::Discard),
                OnError::Keep => self.give_up(index, *failure, machine, Close::Park),
                OnError::Ask(ask) => {
                    self.asking += 1;
                    let answer = ask.0(&failure);
                    self.running.spawn(async move { End::Answered(index, failure, machine, answer.await) });
                }
            },
        }
    }

    /// Takes note of a node that is done. Whether it was the last of its chain.
    fn take(&mut self, number: usize, node: NodeId, report: Report) -> bool {
        let Report { fingerprint, result, outcome, anew, created, finding } = report;
        let mut is_last = true;
        if let Some(chain) = self.chains.get_mut(number) {
            is_last = chain.nodes.last() == Some(&node);
            let took = match outcome {
                Outcome::Ran { took } => took,
                Outcome::Cached => Duration::ZERO,
            };
            match result.as_ref() {
                NodeResult::Passed(_) => {
                    chain.after = Some((node, fingerprint));
                    chain.since += took;
                }
                NodeResult::Layer(_) | NodeResult::Artifact(_) => {
                    (chain.after, chain.since) = (None, Duration::ZERO);
                }
            }
        }
        self.ended.results.insert(node, Input { node, result, anew, fingerprint: Some(fingerprint) });
        self.ended.done.insert(node, Done { fingerprint, outcome, created });
        self.ended.findings.extend(finding);
        for index in self.users.remove(&node).unwrap_or_default() {
            let Some(job) = self.jobs.get_mut(index) else { continue };
            job.missing = job.missing.saturating_sub(1);
            if job.missing == 0 {
                self.ready.insert((Reverse(job.way), index));
            }
        }
        is_last
    }

    /// Closes the machine of a chain, away from the loop. Steps of it that have no layer get one first, where they stand:
    /// a run that stops early must not lose what it has done.
    fn close(&mut self, number: usize, mut machine: Box<dyn Chain>, how: Close, failure: Option<Failure>) {
        let chain = self.chains.get_mut(number);
        let (held, after) =
            chain.map(|chain| (std::mem::take(&mut chain.holds), chain.after.take())).unwrap_or_default();
        let after = after.filter(|(node, _)| how == Close::Discard && !self.shared.survey.facts.is_probe(*node));
        let shared = self.shared.clone();
        self.running.spawn(async move {
            if let Some((node, fingerprint)) = after
                && !shared.cx.cancel.is_cancelled()
            {
                task::keep(&shared, node, fingerprint, machine.as_mut()).await;
            }
            // As the step that failed: what is parked is searched for the secrets that this one asked for.
            let cx = failure.as_ref().map_or_else(|| shared.cx.clone(), |failure| shared.cx.for_node(failure.node));
            let closed = machine.end(how, &cx).await;
            End::Closed(number, Box::new(Parting { held, closed, failure }))
        });
    }

    fn close_waiting(&mut self) {
        for number in self.chains.waiting() {
            if let Some(machine) = self.chains.get_mut(number).and_then(|chain| chain.machine.take()) {
                self.close(number, machine, Close::Discard, None);
            }
        }
    }

    fn closed(&mut self, number: usize, parting: Parting) {
        if let Some(chain) = self.chains.get(number) {
            let backend = chain.nodes.first().map_or("", |node| self.shared.plan.node(*node).backend.as_str());
            if let Some((name, _)) = self.shared.engine.backends.get_key_value(backend) {
                self.load.give_back(name, parting.held);
            }
            if let Err(error) = &parting.closed {
                self.shared.cx.note(format!("a machine of `{}` did not end as it should: {error}", chain.image));
            }
        }
        if let Some(mut failure) = parting.failure {
            if let Ok(Closed::Parked(id)) = parting.closed {
                failure.parked = Some(id);
            }
            self.fail(failure);
        }
    }

    /// Records a failure once the machine is gone or parked.
    fn give_up(&mut self, index: usize, failure: Failure, machine: Option<Box<dyn Chain>>, how: Close) {
        // Nothing starts from here on, also while the machine is still being closed.
        if !self.rules.keep_going {
            self.shared.stop.cancel();
        }
        match (machine, self.jobs.get(index).map(|job| job.chain)) {
            (Some(machine), Some(number)) => self.close(number, machine, how, Some(failure)),
            (_, _) => self.fail(failure),
        }
    }

    /// Makes a failed node ready again, with all that its chain did since its last layer.
    fn retry(&mut self, index: usize, machine: Option<Box<dyn Chain>>) {
        let Some((number, way)) = self.jobs.get(index).map(|job| (job.chain, job.way)) else { return };
        let nodes = self.chains.get(number).map(|chain| chain.nodes.clone()).unwrap_or_default();
        if let Some(chain) = self.chains.get_mut(number) {
            (chain.after, chain.since) = (None, Duration::ZERO);
        }
        if let Some(machine) = machine {
            self.close(number, machine, Close::Discard, None);
        }
        let again = |input: &Input| matches!(*input.result, NodeResult::Passed(_));
        let failed = self.jobs.get(index).map(|job| job.node);
        let mut first = index;
        for node in nodes.iter().rev().skip_while(|node| Some(**node) != failed).skip(1) {
            if !self.ended.results.get(node).is_some_and(again) {
                break;
            }
            self.ended.results.remove(node);
            self.ended.done.remove(node);
            self.users.entry(*node).or_default().push(first);
            if let Some(job) = self.jobs.get_mut(first) {
                job.missing += 1;
            }
            first = self.jobs.iter().position(|job| job.node == *node).unwrap_or(first);
        }
        self.ready.insert((Reverse(self.jobs.get(first).map_or(way, |job| job.way)), first));
    }

    fn fail(&mut self, failure: Failure) {
        self.ended.failures.push(failure);
        if !self.rules.keep_going {
            self.shared.stop.cancel();
        }
    }
}

/// What a parent left: in this run, or before it.
pub(crate) fn input(shared: &Shared, results: &mut BTreeMap<NodeId, Input>, id: NodeId) -> Result<Input, EngineError> {
    if let Some(input) = results.get(&id) {
        return Ok(input.clone());
    }
    let result = shared.survey.result(&shared.plan, id).ok_or_else(|| EngineError::Internal {
        message: format!("`{}` was started before what it needs", shared.address(id)),
    })?;
    let input = Input { node: id, result: Arc::new(result), anew: false, fingerprint: None };
    results.insert(id, input.clone());
    Ok(input)
}

/// A task panicked: our bug.
fn crashed(error: &JoinError) -> Failure {
    let error = BackendError::Internal { message: format!("a task of the engine ended early: {error}") };
    let address = Address("engine".to_owned());
    Failure { node: NodeId(0), address, error, last_lines: Vec::new(), log: None, parked: None }
}
