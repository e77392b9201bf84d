//! What all tasks of a run share: engine, plan, survey, publisher, logs.

use std::sync::Arc;

use imgc_backend::{Backend, BackendError, Cx, Event};
use imgc_plan::{Address, Fingerprint, Node, NodeId, Plan, Spec};
use imgc_store::Publisher;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::lines::Lines;
use crate::remember::{History, Memory};
use crate::run::{Logs, Run};
use crate::survey::{Forced, Survey};
use crate::vault::RunVault;
use crate::{Engine, EngineError, Executor, Failure};

/// Given to every task.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) plan: Arc<Plan>,
    pub(crate) survey: Survey,
    pub(crate) forced: Forced,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) max_chain: Option<usize>,
    pub(crate) publisher: Mutex<Option<Publisher>>,
    /// How many nodes may be built or on their way to the disk at once.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) logs: Logs,
    pub(crate) vault: Arc<RunVault>,
    pub(crate) run: Option<Arc<Run>>,
    pub(crate) cx: Cx,
    /// Nothing more is started once it fires.
    pub(crate) stop: CancellationToken,
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

    pub(crate) fn address(&self, node: NodeId) -> &Address {
        &self.plan.node(node).address
    }

    pub(crate) fn backend(&self, node: &Node) -> Result<&Arc<dyn Backend>, BackendError> {
        self.engine.backend(node).ok_or_else(|| BackendError::Internal {
            message: format!("no backend is named `{}`, which nothing refused", node.backend),
        })
    }

    pub(crate) fn history(&self, node: NodeId) -> History {
        self.survey.remembered(self.address(node)).map(|remembered| remembered.history).unwrap_or_default()
    }

    /// What is to be kept of a node with this spec; `history` is what is new in its history.
    pub(crate) fn memory(&self, node: NodeId, fingerprint: Fingerprint, spec: Spec, history: History) -> Memory {
        let old = self.history(node);
        let history = History {
            cost_ms: history.cost_ms.or(old.cost_ms),
            commit_ms: history.commit_ms.or(old.commit_ms),
            dropped: history.dropped,
            seen: old.seen.saturating_add(1),
            stood: old.stood,
        };
        let lines = Lines::of(self.plan.node(node), &self.cx.package);
        Memory { fingerprint, history, spec, lines }
    }

    pub(crate) fn failure(&self, node: NodeId, error: BackendError) -> Failure {
        let address = self.address(node).clone();
        let mut error = self.vault.mask_error(error);
        if let BackendError::Leaked { what, .. } = &mut error {
            *what = format!("`{address}`");
        }
        self.cx.events.send(Event::Failed { node, address: address.clone(), error: error.to_string() });
        let log = self.run.as_ref().map(|run| run.log_path(&address)).filter(|path| path.exists());
        Failure { node, address, error, last_lines: self.logs.last_lines(node), log, parked: None }
    }
}

/// Store errors met inside a task: the environment's fault as a rule, told with their cause.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err calls")]
pub(crate) fn of_engine(error: EngineError) -> BackendError {
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
