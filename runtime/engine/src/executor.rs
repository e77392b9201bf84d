//! Executors: where chains of steps run.
//!
//! The engine decides, step by step, whether a result is known; what is not, it hands to a [`Chain`]. [`Local`] runs
//! chains on machines of the backends. A remote executor sends each step to a server as an action instead: its chain
//! holds no machine, only the layer that the last action left (`docs/decisions/0002-backend-traits.md`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use imgc_backend::{
    Backend, BackendError, CameUp, Channel, Close, Closed, Cx, Event, Keep, Layer, Machine, MachineSpec, Output, Stream,
};
use imgc_plan::{Fingerprint, Node};
// Tests play a run in the time that the runtime says.
use tokio::time::Instant;

/// Runs the steps of every kind over a channel; `imgc-guest` fills it in.
#[async_trait::async_trait]
pub trait StepRunner: Send + Sync {
    /// Runs one step to its end: retries, exit codes and timeout are the step's own business.
    ///
    /// Output goes to `output` as it comes; the machine knows what the image's own environment is.
    async fn run(
        &self,
        node: &Node,
        channel: &mut dyn Channel,
        cx: &Cx,
        output: Output<'_>,
    ) -> Result<(), BackendError>;

    /// What a program finds that a step starts; the default where the step starts none.
    fn environment(&self, _node: &Node) -> StepEnvironment {
        StepEnvironment::default()
    }
}

/// What a program finds that a step starts, on top of what its image says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepEnvironment {
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// A name or number known in the guest.
    pub user: String,
    /// Absolute in the guest.
    pub workdir: String,
    /// Whether it may reach the network.
    pub network: bool,
}

impl Default for StepEnvironment {
    fn default() -> Self {
        Self { env: BTreeMap::new(), user: "root".to_owned(), workdir: "/".to_owned(), network: true }
    }
}

/// Where chains run.
#[async_trait::async_trait]
pub trait Executor: Send + Sync {
    /// Begins a chain. Nothing is opened before its first step.
    fn begin(&self, spec: ChainSpec) -> Box<dyn Chain>;
}

/// What an executor is told of a chain before its first step.
#[derive(Clone)]
pub struct ChainSpec {
    /// The backend of all its steps.
    pub backend: Arc<dyn Backend>,
    /// The machine the steps run on.
    pub machine: MachineSpec,
    /// At most so many steps run in one machine before it is closed and opened again; none: no limit.
    pub max_steps: Option<usize>,
}

/// One step to run.
#[derive(Clone, Copy)]
pub struct StepJob<'a> {
    /// The step.
    pub node: &'a Node,
    /// Its fingerprint, with the states its parents have now.
    pub fingerprint: Fingerprint,
    /// Whether its layer goes into the store.
    pub commit: Commit,
}

/// Whether what a step left becomes a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Commit {
    /// It does.
    Always,
    /// It does not: the machine goes on, or is thrown away.
    Never,
    /// Where that costs less than it is worth.
    If(Worth),
}

/// What a layer is worth: the chance that a later run begins on it, times what it saves then.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Worth {
    /// What the commit takes, by history or by the word of its backend.
    pub cost: Duration,
    /// Between 0 and 1.
    pub chance: f64,
    /// How long the steps took since the last layer, without the step at hand.
    pub since: Duration,
}

impl Commit {
    /// The decision for a step that took so long.
    pub fn is_due(self, took: Duration) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::If(Worth { cost, chance, since }) => cost.as_secs_f64() < chance * (since + took).as_secs_f64(),
        }
    }
}

/// Where a chain is to stand before a step.
#[derive(Debug, Clone, Copy)]
pub enum Stand<'a> {
    /// On a layer; the chain need not be there already.
    On(&'a Layer),
    /// Where the step with this fingerprint left it, without a layer.
    After(Fingerprint),
}

/// What a step left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The layer; none where it was not committed.
    pub layer: Option<Layer>,
    /// How long the commit took.
    pub commit: Duration,
}

/// A linear run of steps.
#[async_trait::async_trait]
pub trait Chain: Send {
    /// Runs a step and keeps what it left as its job says.
    ///
    /// After an error the chain stands nowhere but can still be parked: the next step must start from a layer.
    async fn run(&mut self, stand: Stand<'_>, job: StepJob<'_>, cx: &Cx) -> Result<Ran, BackendError>;

    /// Keeps what has happened since the last layer.
    async fn commit(&mut self, step: Fingerprint, cx: &Cx) -> Result<Ran, BackendError>;

    /// Ends the chain; nothing of it is left running, whatever the result, unless it was parked.
    async fn end(self: Box<Self>, how: Close, cx: &Cx) -> Result<Closed, BackendError>;
}

/// Runs chains on this machine.
pub struct Local {
    steps: Arc<dyn StepRunner>,
}

impl Local {
    /// An executor whose steps are run by `steps`.
    pub fn new(steps: Arc<dyn StepRunner>) -> Self {
        Self { steps }
    }
}

impl Executor for Local {
    fn begin(&self, spec: ChainSpec) -> Box<dyn Chain> {
        Box::new(LocalChain { steps: self.steps.clone(), spec, open: None })
    }
}

struct LocalChain {
    steps: Arc<dyn StepRunner>,
    spec: ChainSpec,
    open: Option<Open>,
}

/// A machine, where it stands and how many steps it has run.
struct Open {
    machine: Box<dyn Machine>,
    at: At,
    steps: usize,
}

/// Where a machine stands.
enum At {
    Layer(Box<Layer>),
    After(Fingerprint),
    /// In the middle of a step that failed.
    Nowhere,
}

#[async_trait::async_trait]
impl Chain for LocalChain {
    async fn run(&mut self, stand: Stand<'_>, job: StepJob<'_>, cx: &Cx) -> Result<Ran, BackendError> {
        let mut open = self.standing(stand, cx).await?;
        open.at = At::Nowhere;
        let open = self.open.insert(open);
        let begun = Instant::now();
        step(self.steps.as_ref(), open, job, cx).await?;
        open.steps += 1;
        open.at = At::After(job.fingerprint);
        if job.commit.is_due(begun.elapsed()) {
            return self.commit(job.fingerprint, cx).await;
        }
        Ok(Ran { layer: None, commit: Duration::ZERO })
    }

    async fn commit(&mut self, step: Fingerprint, cx: &Cx) -> Result<Ran, BackendError> {
        let begun = Instant::now();
        let open = self.open.as_mut().filter(|open| matches!(open.at, At::After(at) if at == step));
        let open = open.ok_or_else(nowhere)?;
        open.at = At::Nowhere;
        let layer = open.machine.commit(&step, Keep::Layer, cx).await?;
        open.at = At::Layer(Box::new(layer.clone()));
        Ok(Ran { layer: Some(layer), commit: begun.elapsed() })
    }

    async fn end(mut self: Box<Self>, how: Close, cx: &Cx) -> Result<Closed, BackendError> {
        match self.open.take() {
            Some(open) => open.machine.close(how, cx).await,
            None => Ok(Closed::Gone),
        }
    }
}

impl LocalChain {
    /// The machine that stands there: the open one where it does, else a new one.
    async fn standing(&mut self, stand: Stand<'_>, cx: &Cx) -> Result<Open, BackendError> {
        let fits = |open: &Open| match (stand, &open.at) {
            (Stand::On(on), At::Layer(at)) => *on == **at && self.spec.max_steps.is_none_or(|max| open.steps < max),
            (Stand::After(step), At::After(at)) => step == *at,
            (Stand::On(_) | Stand::After(_), _) => false,
        };
        if let Some(open) = self.open.take_if(|open| fits(open)) {
            return Ok(open);
        }
        let Stand::On(layer) = stand else { return Err(nowhere()) };
        if let Some(open) = self.open.take() {
            open.machine.close(Close::Discard, cx).await?;
        }
        let (machine, came_up) = self.spec.backend.open(layer, &self.spec.machine, cx).await?;
        if let CameUp::Started { why: Some(why) } = came_up {
            cx.note(format!("the machine was started anew: {why}"));
        }
        Ok(Open { machine, at: At::Layer(Box::new(layer.clone())), steps: 0 })
    }
}

fn nowhere() -> BackendError {
    BackendError::Internal { message: "a machine does not stand where the next step begins".to_owned() }
}

async fn step(steps: &dyn StepRunner, open: &mut Open, job: StepJob<'_>, cx: &Cx) -> Result<(), BackendError> {
    let channel = open.machine.channel(cx).await?;
    step_on(steps, job.node, channel, cx).await
}

/// Runs a step over a channel; its output goes where its node's does.
pub(crate) async fn step_on(
    steps: &dyn StepRunner,
    node: &Node,
    channel: &mut dyn Channel,
    cx: &Cx,
) -> Result<(), BackendError> {
    let output = |stream: Stream, bytes: &[u8]| {
        if let Some(node) = cx.node {
            cx.events.send(Event::Output { node, stream, bytes: bytes.to_owned() });
        }
    };
    steps.run(node, channel, cx, &output).await
}
