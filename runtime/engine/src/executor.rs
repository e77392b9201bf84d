//! Executors: where chains of steps run.
//!
//! The engine decides, step by step, whether a result is known; what is not, it hands to a [`Chain`]. [`Local`] runs
//! chains on machines of the backends. A remote executor sends each step to a server as an action instead: its chain
//! holds no machine, only the layer that the last action left (`docs/decisions/0002-backend-traits.md`).

use std::collections::BTreeMap;
use std::sync::Arc;

use imgc_backend::{
    Backend, BackendError, CameUp, Channel, Close, Cx, Event, Keep, Layer, Machine, MachineSpec, Output, Stream,
};
use imgc_plan::{Fingerprint, Node};

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
    pub keep: Keep,
}

/// A linear run of steps.
#[async_trait::async_trait]
pub trait Chain: Send {
    /// Runs a step on a layer and keeps what it left. `on` need not be what the last step of the chain left.
    ///
    /// After an error the chain stands nowhere: the next step starts from its layer.
    async fn run(&mut self, on: &Layer, job: StepJob<'_>, cx: &Cx) -> Result<Layer, BackendError>;

    /// Ends the chain; nothing of it is left running, whatever the result.
    async fn end(self: Box<Self>, cx: &Cx) -> Result<(), BackendError>;
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

/// A machine, the layer it stands on and how many steps it has run.
struct Open {
    machine: Box<dyn Machine>,
    on: Layer,
    steps: usize,
}

#[async_trait::async_trait]
impl Chain for LocalChain {
    async fn run(&mut self, on: &Layer, job: StepJob<'_>, cx: &Cx) -> Result<Layer, BackendError> {
        let mut open = self.standing_on(on, cx).await?;
        match step(self.steps.as_ref(), &mut open, job, cx).await {
            Ok(layer) => {
                open.on = layer.clone();
                open.steps += 1;
                self.open = Some(open);
                Ok(layer)
            }
            Err(error) => {
                // The step's own error is the one to tell, not what closing made of it.
                let _ = open.machine.close(Close::Discard, cx).await;
                Err(error)
            }
        }
    }

    async fn end(mut self: Box<Self>, cx: &Cx) -> Result<(), BackendError> {
        self.close(cx).await
    }
}

impl LocalChain {
    /// The machine that stands on `on`: the open one where it does, else a new one.
    async fn standing_on(&mut self, on: &Layer, cx: &Cx) -> Result<Open, BackendError> {
        let fits = |open: &Open| open.on == *on && self.spec.max_steps.is_none_or(|max| open.steps < max);
        if let Some(open) = self.open.take_if(|open| fits(open)) {
            return Ok(open);
        }
        self.close(cx).await?;
        let (machine, came_up) = self.spec.backend.open(on, &self.spec.machine, cx).await?;
        if let CameUp::Started { why: Some(why) } = came_up {
            cx.note(format!("the machine was started anew: {why}"));
        }
        Ok(Open { machine, on: on.clone(), steps: 0 })
    }

    async fn close(&mut self, cx: &Cx) -> Result<(), BackendError> {
        match self.open.take() {
            Some(open) => open.machine.close(Close::Discard, cx).await.map(drop),
            None => Ok(()),
        }
    }
}

async fn step(steps: &dyn StepRunner, open: &mut Open, job: StepJob<'_>, cx: &Cx) -> Result<Layer, BackendError> {
    let channel = open.machine.channel(cx).await?;
    let output = |stream: Stream, bytes: &[u8]| {
        if let Some(node) = cx.node {
            cx.events.send(Event::Output { node, stream, bytes: bytes.to_owned() });
        }
    };
    steps.run(job.node, channel, cx, &output).await?;
    open.machine.commit(&job.fingerprint, job.keep, cx).await
}
