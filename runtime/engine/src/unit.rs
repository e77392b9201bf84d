//! One unit: its nodes one after the other, each found in the store or built and published.
//!
//! It knows nothing of other units; what it needs from them it is given.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use imgc_backend::{ArtifactInput, Backend, BackendError, Cx, Event, Keep, Layer, MachineSpec};
use imgc_plan::{Address, Fingerprint, Node, NodeId, Plan, Source, Spec, fingerprint, node::Work, spec};
use imgc_store::{Lease, NewEntry, Publisher};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use crate::lease::{Waits, leased};
use crate::remember::Memory;
use crate::result::{NodeResult, parent_states, stands_on};
use crate::run::{Logs, Run};
use crate::survey::{Forced, is_there, read_payload};
use crate::{Chain, ChainSpec, Engine, EngineError, Executor, Failure, Outcome, StepJob};

/// A linear run of nodes of one image, or one artifact.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    /// Never empty; each but the first stands on the one before it and needs nothing else.
    pub(crate) nodes: Vec<NodeId>,
    /// The address of the image, or of the artifact.
    pub(crate) image: String,
    /// How long it and the longest way below it take, by history.
    pub(crate) way: Duration,
}

/// What all units of a run share.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) plan: Arc<Plan>,
    pub(crate) forced: Forced,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) max_chain: Option<usize>,
    pub(crate) publisher: Mutex<Option<Publisher>>,
    pub(crate) logs: Logs,
    pub(crate) run: Option<Arc<Run>>,
    pub(crate) cx: Cx,
    /// Nothing more is started once it fires.
    pub(crate) stop: CancellationToken,
}

/// One node is done.
pub(crate) struct Report {
    pub(crate) node: NodeId,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) result: Arc<NodeResult>,
    pub(crate) outcome: Outcome,
    /// What is to be kept of it.
    pub(crate) memory: Memory,
    /// It left something else than the last time, with the same fingerprint.
    pub(crate) finding: Option<String>,
}

/// How a unit ended.
pub(crate) enum UnitEnd {
    /// All its nodes are done.
    Done,
    /// It was asked to stop before they were.
    Stopped,
    /// A node failed.
    Failed(Box<Failure>),
}

impl Shared {
    pub(crate) fn stopping(&self) -> bool {
        self.stop.is_cancelled() || self.cx.cancel.is_cancelled()
    }

    pub(crate) fn say_cached(&self, node: NodeId) {
        self.cx.events.send(Event::Cached { node, address: self.address(node).clone() });
    }

    /// Waits until everything that was published is durable.
    pub(crate) async fn publish_all(&self) -> Result<(), EngineError> {
        let Some(publisher) = self.publisher.lock().await.take() else { return Ok(()) };
        blocking(move || publisher.finish())
            .await?
            .map_err(EngineError::store("cannot make the results of this run durable"))
    }

    /// A unit's task panicked: our bug.
    pub(crate) fn crashed(error: &JoinError) -> Failure {
        let error = BackendError::Internal { message: format!("a task of the engine ended early: {error}") };
        let node = NodeId(0);
        let address = Address("engine".to_owned());
        Failure { node, address, error, last_lines: Vec::new(), log: None }
    }

    fn address(&self, node: NodeId) -> &Address {
        &self.plan.node(node).address
    }

    fn backend(&self, node: &Node) -> Result<&Arc<dyn Backend>, BackendError> {
        self.engine.backends.get(node.backend.as_str()).ok_or_else(|| BackendError::Internal {
            message: format!("no backend is named `{}`, which nothing refused", node.backend),
        })
    }

    fn failure(&self, node: NodeId, error: BackendError) -> Failure {
        let address = self.address(node).clone();
        self.cx.events.send(Event::Failed { node, address: address.clone(), error: error.to_string() });
        let log = self.run.as_ref().map(|run| run.log_path(&address)).filter(|path| path.exists());
        Failure { node, address, error, last_lines: self.logs.last_lines(node), log }
    }
}

/// Runs a unit to its end.
pub(crate) async fn run(
    shared: Arc<Shared>,
    unit: Unit,
    inputs: HashMap<NodeId, Arc<NodeResult>>,
    reports: mpsc::UnboundedSender<Report>,
) -> UnitEnd {
    let mut task = Task { shared: &shared, image: &unit.image, results: inputs };
    let mut chain = None;
    let mut end = UnitEnd::Done;
    for id in &unit.nodes {
        if shared.stopping() {
            end = UnitEnd::Stopped;
            break;
        }
        match task.node(*id, &mut chain).await {
            Ok(report) => {
                task.results.insert(*id, report.result.clone());
                // The loop is gone only when the run is; then there is nobody to tell.
                let _ = reports.send(report);
            }
            Err(BackendError::Interrupted) => {
                end = UnitEnd::Stopped;
                break;
            }
            // What a step says while it is being stopped is no news.
            Err(_) if shared.cx.cancel.is_cancelled() => {
                end = UnitEnd::Stopped;
                break;
            }
            Err(error) => {
                end = UnitEnd::Failed(Box::new(shared.failure(*id, error)));
                break;
            }
        }
    }
    if let Some(chain) = chain
        && let Err(error) = chain.end(&shared.cx).await
    {
        shared.cx.note(format!("a machine of `{}` did not end as it should: {error}", unit.image));
    }
    end
}

/// A unit while it runs.
struct Task<'a> {
    shared: &'a Arc<Shared>,
    image: &'a str,
    results: HashMap<NodeId, Arc<NodeResult>>,
}

/// The chain of a unit, once a step of it had to run.
type Open = Option<Box<dyn Chain>>;

impl Task<'_> {
    async fn node(&self, id: NodeId, chain: &mut Open) -> Result<Report, BackendError> {
        let plan = &self.shared.plan;
        let states = parent_states(plan, id, |parent| self.results.get(&parent).map(|r| r.state()))
            .ok_or_else(|| self.missing(id))?;
        let fingerprint = fingerprint(plan, id, &states);
        let spec = spec(plan, id, &states);
        // First the lease, then the look: whoever had it before may have built it.
        let lease = self.lease(id, fingerprint).await?;
        let work = &plan.node(id).work;
        let payload = read_payload(&self.shared.engine, fingerprint).map_err(of_engine)?;
        let known = payload.and_then(|payload| NodeResult::from_payload(work, &payload, self.on(id))).map(Arc::new);
        if let Some(result) = &known
            && self.may_be_used(id, result).await?
        {
            return Ok(self.cached(id, fingerprint, spec, result.clone()));
        }
        self.execute(id, fingerprint, spec, lease, known, chain).await
    }

    /// Whether a known result may and can be used.
    async fn may_be_used(&self, id: NodeId, result: &Arc<NodeResult>) -> Result<bool, BackendError> {
        let shared = self.shared;
        if shared.forced.why(id).is_some() {
            return Ok(false);
        }
        is_there(&shared.engine, &shared.plan, id, result, &shared.cx).await.map_err(of_engine)
    }

    async fn lease(&self, id: NodeId, fingerprint: Fingerprint) -> Result<Lease, BackendError> {
        let shared = self.shared;
        let waits = Waits { stop: shared.stop.clone(), cancel: shared.cx.cancel.clone() };
        let name = format!("fingerprint {fingerprint}");
        let note = || shared.cx.note(format!("`{}` is being built already; waiting for it", shared.address(id)));
        leased(&shared.engine.store, &name, &waits, note).await.map_err(of_engine)
    }

    fn cached(&self, id: NodeId, fingerprint: Fingerprint, spec: Spec, result: Arc<NodeResult>) -> Report {
        self.shared.say_cached(id);
        let memory = Memory { fingerprint, spec, cost_ms: None };
        Report { node: id, fingerprint, result, outcome: Outcome::Cached, finding: None, memory }
    }

    async fn execute(
        &self,
        id: NodeId,
        fingerprint: Fingerprint,
        spec: Spec,
        lease: Lease,
        before: Option<Arc<NodeResult>>,
        chain: &mut Open,
    ) -> Result<Report, BackendError> {
        let shared = self.shared;
        let address = shared.address(id).clone();
        shared.cx.events.send(Event::Started { node: id, address: address.clone() });
        let begun = Instant::now();
        let result = Arc::new(self.build(id, fingerprint, chain).await?);
        let took = begun.elapsed();
        self.publish(id, fingerprint, &result, took, lease).await?;
        let memory = Memory { fingerprint, spec, cost_ms: u64::try_from(took.as_millis()).ok() };
        let finding = before.filter(|before| before.state() != result.state()).map(|_| {
            format!("`{address}` left something else than the last time with the same fingerprint: it does not repeat")
        });
        if let Some(finding) = &finding {
            shared.cx.note(finding);
        }
        shared.cx.events.send(Event::Finished { node: id, address, took });
        Ok(Report { node: id, fingerprint, result, outcome: Outcome::Ran { took }, finding, memory })
    }

    async fn build(&self, id: NodeId, fingerprint: Fingerprint, chain: &mut Open) -> Result<NodeResult, BackendError> {
        let plan = self.shared.plan.clone();
        let node = plan.node(id);
        match &node.work {
            Work::Source(source) => self.import(id, node, source).await.map(NodeResult::Layer),
            Work::Step(_) => self.step(id, node, fingerprint, chain).await.map(NodeResult::Layer),
            Work::Artifact(artifact) => {
                let inputs = artifact.of.iter().map(|input| self.input(id, *input));
                let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
                let cx = self.shared.cx.for_node(id);
                self.shared.backend(node)?.make(node, &inputs, &cx).await.map(NodeResult::Artifact)
            }
        }
    }

    async fn import(&self, id: NodeId, node: &Node, source: &Source) -> Result<Layer, BackendError> {
        let locked = source.locked.as_ref().ok_or_else(|| BackendError::Program {
            message: format!("the source of `{}` is not locked", node.address),
            help: Some("run `imgc plan` or `imgc update` to pin it in imgc.lock".to_owned()),
        })?;
        let cx = self.shared.cx.for_node(id);
        self.shared.backend(node)?.import(node, locked, &cx).await
    }

    async fn step(
        &self,
        id: NodeId,
        node: &Node,
        fingerprint: Fingerprint,
        open: &mut Open,
    ) -> Result<Layer, BackendError> {
        let shared = self.shared;
        let on = self.on(id).ok_or_else(|| self.missing(id))?.clone();
        let chain = match open {
            Some(chain) => chain,
            None => open.insert(shared.executor.begin(ChainSpec {
                backend: shared.backend(node)?.clone(),
                machine: MachineSpec {
                    platform: node.platform.clone(),
                    image: self.image.to_owned(),
                    machine: shared.plan.machine(id),
                },
                max_steps: shared.max_chain,
            })),
        };
        let job = StepJob { node, fingerprint, keep: Keep::Layer };
        chain.run(&on, job, &shared.cx.for_node(id)).await
    }

    fn input(&self, of: NodeId, input: NodeId) -> Result<ArtifactInput, BackendError> {
        match self.results.get(&input).map(Arc::as_ref) {
            Some(NodeResult::Layer(layer)) => Ok(ArtifactInput::Layer(layer.clone())),
            Some(NodeResult::Artifact(artifact)) => Ok(ArtifactInput::Artifact(artifact.clone())),
            None => Err(self.missing(of)),
        }
    }

    async fn publish(
        &self,
        id: NodeId,
        fingerprint: Fingerprint,
        result: &NodeResult,
        cost: Duration,
        lease: Lease,
    ) -> Result<(), BackendError> {
        let shared = self.shared;
        let payload = result
            .to_payload(self.on(id))
            .map_err(EngineError::store("cannot write down what a node left"))
            .map_err(of_engine)?;
        let size = match result {
            NodeResult::Layer(layer) => shared.backend(shared.plan.node(id))?.layer_size(layer),
            NodeResult::Artifact(artifact) => artifact.size,
        };
        let entry = NewEntry { fingerprint, payload, refs: result.refs(), size, cost };
        let publisher = shared.publisher.lock().await;
        match publisher.as_ref() {
            Some(publisher) => {
                publisher.publish_holding(entry, lease);
                Ok(())
            }
            None => Err(BackendError::Internal { message: "a node ended after the run".to_owned() }),
        }
    }

    /// The layer that a step runs on.
    fn on(&self, id: NodeId) -> Option<&Layer> {
        let on = stands_on(&self.shared.plan.node(id).work)?;
        self.results.get(&on)?.layer()
    }

    fn missing(&self, id: NodeId) -> BackendError {
        let message = format!("`{}` was started before what it needs", self.shared.address(id));
        BackendError::Internal { message }
    }
}

/// Store errors met inside a unit: the environment's fault as a rule, told with their cause.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err calls")]
fn of_engine(error: EngineError) -> BackendError {
    if matches!(error, EngineError::Interrupted) {
        return BackendError::Interrupted;
    }
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    BackendError::Environment { message: format!("{error}{cause}"), help: error.help() }
}

/// Runs something that blocks on a thread where it may.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, EngineError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| EngineError::Internal { message: format!("a blocking task ended early: {error}") })
}
