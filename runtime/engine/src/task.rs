//! One node: found in the store, or built and published. It knows nothing of other nodes; what it needs from them it is
//! given.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use imgc_backend::{Artifact, ArtifactInput, BackendError, Event, Layer, MachineSpec};
use imgc_plan::{
    FileRef, Fingerprint, Node, NodeId, Source, Spec, State, Value, fingerprint, fingerprint_of, node::Work, spec_of,
};
use imgc_store::{Lease, NewEntry};
use tokio::sync::OwnedSemaphorePermit;
// Tests play a run in the time that the runtime says.
use tokio::time::Instant;

use crate::executor::{Ran, Stand};
use crate::facts::{is_expired, now};
use crate::lease::{Waits, leased};
use crate::remember::{History, new_spec};
use crate::result::{Known, NodeResult, stands_on};
use crate::shared::{Shared, blocking, of_engine};
use crate::survey::{is_there, read_entry};
use crate::{Chain, ChainSpec, Commit, EngineError, Failure, Outcome, StepJob, fill};

/// What a node holds until others can see what it left.
pub(crate) struct Held {
    _lease: Lease,
    _place: Option<OwnedSemaphorePermit>,
}

/// A node that is to be done.
pub(crate) struct Task {
    pub(crate) node: NodeId,
    /// The address of the image, for names.
    pub(crate) image: String,
    pub(crate) commit: Commit,
    /// What its parents left.
    pub(crate) inputs: Vec<Input>,
    /// The steps after it, where it belongs to a test.
    pub(crate) later: Vec<NodeId>,
}

/// The machine of a chain, once a step of it had to run.
type Machine = Option<Box<dyn Chain>>;

/// What a parent left.
#[derive(Clone)]
pub(crate) struct Input {
    pub(crate) node: NodeId,
    pub(crate) result: Arc<NodeResult>,
    /// It ran although its result was known, which its state does not show.
    pub(crate) anew: bool,
    /// Its fingerprint, where it stands in a chain without a layer.
    pub(crate) fingerprint: Option<Fingerprint>,
}

/// How a task ended.
pub(crate) struct TaskEnd {
    pub(crate) node: NodeId,
    pub(crate) chain: Option<Box<dyn Chain>>,
    pub(crate) result: Result<Report, Ending>,
}

/// Why a node is not done.
pub(crate) enum Ending {
    /// It was asked to stop.
    Stopped,
    /// It failed.
    Failed(Box<Failure>),
}

/// A node that is done.
pub(crate) struct Report {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) result: Arc<NodeResult>,
    pub(crate) outcome: Outcome,
    pub(crate) anew: bool,
    /// When the result was made, in seconds since 1970.
    pub(crate) created: i64,
    /// It left something else than the last time, with the same fingerprint.
    pub(crate) finding: Option<String>,
}

/// Does a node; `chain` is what it goes on in, where that is begun.
pub(crate) async fn run(shared: Arc<Shared>, task: Task, mut chain: Machine) -> TaskEnd {
    let result = match task.run(&shared, &mut chain).await {
        Ok(report) => Ok(report),
        Err(BackendError::Interrupted) => Err(Ending::Stopped),
        // What a step says while it is being stopped is no news.
        Err(_) if shared.cx.cancel.is_cancelled() => Err(Ending::Stopped),
        Err(error) => Err(Ending::Failed(Box::new(shared.failure(task.node, error)))),
    };
    TaskEnd { node: task.node, chain, result }
}

impl Task {
    async fn run(&self, shared: &Arc<Shared>, chain: &mut Machine) -> Result<Report, BackendError> {
        let plan = &shared.plan;
        let parents = shared.survey.facts.inputs(self.node);
        let states: Option<Vec<State>> = parents.iter().map(|id| Some(self.input(*id)?.result.state())).collect();
        let states = states.ok_or_else(|| self.missing(shared))?;
        let node = self.filled(shared).await?;
        let fingerprint = fingerprint_of(plan, self.node, &node, &states);
        let spec = spec_of(plan, self.node, &node, &states);
        // First the lease, then the look: whoever had it before may have built it.
        let lease = self.lease(shared, fingerprint).await?;
        let entry = read_entry(&shared.engine, fingerprint).map_err(of_engine)?;
        let (work, is_probe) = (&plan.node(self.node).work, shared.survey.facts.is_probe(self.node));
        let on = self.on(shared);
        let known = entry.and_then(|entry| Known::read(work, is_probe, &entry, on.map(|on| on.chain.len())));
        let created = known.as_ref().map(|known| known.created);
        let known = known.and_then(|known| known.whole_on(on)).map(Arc::new);
        let anew = self.is_anew(shared) || created.is_some_and(|created| is_expired(plan, self.node, created));
        if let (Some(result), false) = (&known, anew)
            && is_there(&shared.engine, plan, self.node, result, &shared.cx).await.map_err(of_engine)?
        {
            let created = created.unwrap_or_default();
            return self.cached(shared, fingerprint, spec, result.clone(), created).await;
        }
        if !anew && self.has_passed(shared, fingerprint).map_err(of_engine)? {
            let passed = Arc::new(NodeResult::Passed(State::Made(fingerprint)));
            return self.cached(shared, fingerprint, spec, passed, now()).await;
        }
        self.execute(shared, (&node, fingerprint, spec), lease, known, anew, chain).await
    }

    /// Whether the last step of the test that this one belongs to is known to pass: then there is nothing to do before
    /// it. The states of a test's steps are known before they run.
    fn has_passed(&self, shared: &Shared, own: Fingerprint) -> Result<bool, EngineError> {
        let (mut before, mut last) = (self.node, own);
        for id in &self.later {
            if *shared.survey.facts.parents(*id) != [before] || shared.forced.why(&shared.survey.facts, *id).is_some() {
                return Ok(false);
            }
            last = fingerprint(&shared.plan, *id, &[State::Made(last)]);
            before = *id;
        }
        Ok(!self.later.is_empty() && read_entry(&shared.engine, last)?.is_some())
    }

    /// The node with the values of others in its place.
    async fn filled(&self, shared: &Arc<Shared>) -> Result<Node, BackendError> {
        if shared.plan.builds(self.node).is_empty() {
            return Ok(shared.plan.node(self.node).clone());
        }
        // Manifests are read for it.
        let (shared, id) = (shared.clone(), self.node);
        let results: HashMap<NodeId, Arc<NodeResult>> =
            self.inputs.iter().map(|input| (input.node, input.result.clone())).collect();
        let fill = move || {
            let filled = fill::filled(&shared.engine, &shared.plan, id, |parent| results.get(&parent).cloned());
            filled.map(Cow::into_owned)
        };
        blocking(fill).await.map_err(of_engine)?
    }

    fn input(&self, id: NodeId) -> Option<&Input> {
        self.inputs.iter().find(|input| input.node == id)
    }

    /// The layer that a step runs on.
    fn on(&self, shared: &Shared) -> Option<&Layer> {
        self.input(stands_on(&shared.plan.node(self.node).work)?)?.result.layer()
    }

    /// Whether it runs even if its result is known.
    fn is_anew(&self, shared: &Shared) -> bool {
        let facts = &shared.survey.facts;
        shared.forced.why(facts, self.node).is_some()
            || self.inputs.iter().any(|input| input.anew && facts.is_made(input.node))
    }

    /// The right to build a node, and a place among those that wait to be written: one that is held until its entry
    /// is on the disk is an open file, of which a process has only so many.
    async fn lease(&self, shared: &Arc<Shared>, fingerprint: Fingerprint) -> Result<Held, BackendError> {
        let closed = |_| BackendError::Internal { message: "a node began after the run".to_owned() };
        let place = shared.places.clone().acquire_owned().await.map_err(closed)?;
        let waits = Waits { stop: shared.stop.clone(), cancel: shared.cx.cancel.clone() };
        let name = lease_name(fingerprint);
        let address = shared.address(self.node);
        let note = || shared.cx.note(format!("`{address}` is being built already; waiting for it"));
        let lease = leased(&shared.engine.store, &name, &waits, note).await.map_err(of_engine)?;
        Ok(Held { _lease: lease, _place: Some(place) })
    }

    async fn cached(
        &self,
        shared: &Arc<Shared>,
        fingerprint: Fingerprint,
        spec: Spec,
        result: Arc<NodeResult>,
        created: i64,
    ) -> Result<Report, BackendError> {
        shared.say_cached(self.node);
        let memory = shared.memory(self.node, fingerprint, spec, History::default());
        let spec = new_spec(&shared.engine, shared.address(self.node), &memory).map_err(of_engine)?;
        if let Some(publisher) = shared.publisher.lock().await.as_ref() {
            publisher.remember(spec);
        }
        Ok(Report { fingerprint, result, outcome: Outcome::Cached, anew: false, created, finding: None })
    }

    async fn execute(
        &self,
        shared: &Arc<Shared>,
        (node, fingerprint, spec): (&Node, Fingerprint, Spec),
        lease: Held,
        before: Option<Arc<NodeResult>>,
        anew: bool,
        chain: &mut Machine,
    ) -> Result<Report, BackendError> {
        let address = shared.address(self.node).clone();
        shared.cx.events.send(Event::Started { node: self.node, address: address.clone() });
        let begun = Instant::now();
        let (result, commit) = self.build(shared, node, fingerprint, chain).await?;
        let took = begun.elapsed();
        let result = Arc::new(result);
        let is_kept = !matches!(*result, NodeResult::Passed(_)) || self.commit == Commit::Always;
        let history = History {
            cost_ms: u64::try_from(took.saturating_sub(commit).as_millis()).ok(),
            commit_ms: (!commit.is_zero()).then(|| u64::try_from(commit.as_millis()).ok()).flatten(),
            dropped: !is_kept,
            ..History::default()
        };
        let memory = shared.memory(self.node, fingerprint, spec, history);
        let spec = new_spec(&shared.engine, &address, &memory).map_err(of_engine)?;
        let on = self.on(shared);
        if is_kept {
            publish(shared, self.node, fingerprint, (&result, on), took, Some(spec), lease).await?;
        } else if let Some(publisher) = shared.publisher.lock().await.as_ref() {
            publisher.remember(spec);
        }
        let finding = before.filter(|before| before.state() != result.state()).map(|_| {
            format!("`{address}` left something else than the last time with the same fingerprint: it does not repeat")
        });
        if let Some(finding) = &finding {
            shared.cx.note(finding);
        }
        shared.cx.events.send(Event::Finished { node: self.node, address, took });
        Ok(Report { fingerprint, result, outcome: Outcome::Ran { took }, anew, created: now(), finding })
    }

    /// What the node leaves, and how long keeping it took of the time.
    async fn build(
        &self,
        shared: &Arc<Shared>,
        node: &Node,
        fingerprint: Fingerprint,
        chain: &mut Machine,
    ) -> Result<(NodeResult, Duration), BackendError> {
        match &node.work {
            Work::Source(source) => {
                let layer = self.import(shared, node, source).await?;
                Ok((NodeResult::Layer(layer), Duration::ZERO))
            }
            Work::Step(_) => {
                let Ran { layer, commit } = self.step(shared, node, fingerprint, chain).await?;
                let passed = || NodeResult::Passed(State::Made(fingerprint));
                Ok((layer.map_or_else(passed, NodeResult::Layer), commit))
            }
            Work::Artifact(artifact) => {
                let inputs = artifact.of.iter().map(|input| self.artifact_input(shared, *input));
                let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
                let cx = shared.cx.for_node(self.node);
                let made = shared.backend(node)?.make(node, &inputs, &cx).await?;
                Ok((NodeResult::Artifact(made), Duration::ZERO))
            }
        }
    }

    async fn import(&self, shared: &Arc<Shared>, node: &Node, source: &Source) -> Result<Layer, BackendError> {
        let locked = source.locked.as_ref().ok_or_else(|| BackendError::Program {
            message: format!("the source of `{}` is not locked", node.address),
            help: Some("run `imgc plan` or `imgc update` to pin it in imgc.lock".to_owned()),
        })?;
        let cx = shared.cx.for_node(self.node);
        let mut node = node.clone();
        node.args = node.args.into_iter().map(|(name, value)| (name, self.as_file(value))).collect();
        shared.backend(&node)?.import(&node, locked, &cx).await
    }

    /// An artifact that a source stands on is a file for it, as one of the package is.
    fn as_file(&self, value: Value) -> Value {
        let Value::Node(of) = value else { return value };
        match self.input(of).map(|input| &*input.result) {
            Some(NodeResult::Artifact(Artifact { path: Some(path), digest, size, .. })) => {
                let path = path.display().to_string();
                Value::from(FileRef { path, digest: *digest, mode: 0o644, size: *size })
            }
            Some(NodeResult::Artifact(_) | NodeResult::Layer(_) | NodeResult::Passed(_)) | None => Value::Node(of),
        }
    }

    async fn step(
        &self,
        shared: &Arc<Shared>,
        node: &Node,
        fingerprint: Fingerprint,
        chain: &mut Machine,
    ) -> Result<Ran, BackendError> {
        let on = stands_on(&node.work).and_then(|on| self.input(on)).ok_or_else(|| self.missing(shared))?.clone();
        let stand = match (on.result.layer(), on.fingerprint) {
            (Some(layer), _) => Stand::On(layer),
            (None, Some(after)) => Stand::After(after),
            (None, None) => return Err(self.missing(shared)),
        };
        let is_probe = shared.survey.facts.is_probe(self.node);
        let commit = if is_probe { Commit::Never } else { self.commit };
        let chain = match chain {
            Some(chain) => chain,
            None => chain.insert(shared.executor.begin(ChainSpec {
                backend: shared.backend(node)?.clone(),
                machine: MachineSpec {
                    platform: (*node.platform).clone(),
                    image: self.image.clone(),
                    machine: shared.plan.machine(self.node),
                    shipped: is_probe,
                },
                max_steps: shared.max_chain,
            })),
        };
        chain.run(stand, StepJob { node, fingerprint, commit }, &shared.cx.for_node(self.node)).await
    }

    fn artifact_input(&self, shared: &Shared, input: NodeId) -> Result<ArtifactInput, BackendError> {
        match self.input(input).map(|input| input.result.as_ref()) {
            Some(NodeResult::Layer(layer)) => Ok(ArtifactInput::Layer(layer.clone())),
            Some(NodeResult::Artifact(artifact)) => Ok(ArtifactInput::Artifact(artifact.clone())),
            Some(NodeResult::Passed(_)) | None => Err(self.missing(shared)),
        }
    }

    fn missing(&self, shared: &Shared) -> BackendError {
        let message = format!("`{}` was started before what it needs", shared.address(self.node));
        BackendError::Internal { message }
    }
}

/// Hands what a node left to the publisher.
pub(crate) async fn publish(
    shared: &Arc<Shared>,
    id: NodeId,
    fingerprint: Fingerprint,
    (result, on): (&NodeResult, Option<&Layer>),
    cost: Duration,
    spec: Option<imgc_store::NewSpec>,
    lease: Held,
) -> Result<(), BackendError> {
    let payload =
        result.to_payload(on).map_err(EngineError::store("cannot write down what a node left")).map_err(of_engine)?;
    let size = match result {
        NodeResult::Layer(layer) => shared.backend(shared.plan.node(id))?.layer_size(layer),
        NodeResult::Artifact(artifact) => artifact.size,
        NodeResult::Passed(_) => 0,
    };
    let entry = NewEntry { fingerprint, payload, refs: result.refs(), size, cost };
    match shared.publisher.lock().await.as_ref() {
        Some(publisher) => {
            publisher.publish_holding(entry, spec, lease);
            Ok(())
        }
        None => Err(BackendError::Internal { message: "a node ended after the run".to_owned() }),
    }
}

/// Makes a layer of what a chain has done since its last one. What cannot be kept is done again by the next run.
pub(crate) async fn keep(shared: &Arc<Shared>, id: NodeId, fingerprint: Fingerprint, chain: &mut dyn Chain) {
    let Ok(Some(lease)) = shared.engine.store.try_lease(&lease_name(fingerprint)) else { return };
    let lease = Held { _lease: lease, _place: None };
    let begun = Instant::now();
    let Ok(Ran { layer: Some(layer), .. }) = chain.commit(fingerprint, &shared.cx.for_node(id)).await else { return };
    let cost = shared.history(id).cost().unwrap_or_default() + begun.elapsed();
    let result = NodeResult::Layer(layer);
    if let Err(error) = publish(shared, id, fingerprint, (&result, None), cost, None, lease).await {
        shared.cx.note(format!("what `{}` left was not kept: {error}", shared.address(id)));
    }
}

fn lease_name(fingerprint: Fingerprint) -> String {
    format!("fingerprint {fingerprint}")
}
