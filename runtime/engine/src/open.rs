//! Opens a machine that stands where a step begins or where it ended: for `imgc shell`.
//!
//! Nothing of it is kept: whoever opens it closes it with [`imgc_backend::Close::Discard`].

use std::path::Path;
use std::sync::Arc;

use imgc_backend::{CameUp, Close, Cx, Effect, Layer, Machine, MachineSpec, Secrets};
use imgc_plan::{Node, NodeId, Plan, node::Work};
use imgc_store::Sharing;

use crate::apply::share;
use crate::executor::StepEnvironment;
use crate::journal::DeadRun;
use crate::result::stands_on;
use crate::select::ancestors;
use crate::survey::{self, Forced};
use crate::vault::RunVault;
use crate::{Engine, EngineError, Selection, Target, executor, fill, journal, select};

/// Where a machine is to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Where the step begins.
    Before,
    /// Where it ended.
    After,
}

/// A machine that was opened.
pub struct Opened {
    /// The step or source it is about.
    pub node: NodeId,
    /// What the machine stands on; none where it is the very machine that was kept, which lives on when it is left.
    pub layer: Option<Layer>,
    /// The machine; whoever has it closes it.
    pub machine: Box<dyn Machine>,
    /// How it came up.
    pub came_up: CameUp,
    /// What a program of the step finds.
    pub environment: StepEnvironment,
    /// Keeps others from taking away what was parked.
    _run: Option<DeadRun>,
    /// Keeps the layers in the store for as long as the machine may need them.
    _sharing: Sharing,
}

/// Opens a machine that stands before or after the step at an address; an image stands for its last step. Where that
/// layer is not in the store, the steps since the nearest one that is run again in the machine, and that is said.
///
/// # Errors
/// [`EngineError::UnknownName`], [`EngineError::NotThere`] where nothing below it was built yet, and what the backend says.
pub async fn open_at(
    engine: &Engine,
    plan: &Plan,
    address: &str,
    moment: Moment,
    cx: &Cx,
) -> Result<Opened, EngineError> {
    let id = find(plan, address)?;
    let node = plan.node(id);
    let on = match (&node.work, moment) {
        (Work::Artifact(_), _) => {
            let help = "name a step, a source or an image".to_owned();
            return Err(EngineError::NotThere { message: format!("`{address}` is no machine"), help });
        }
        (Work::Source(_), Moment::Before) => {
            let help = "leave out --before".to_owned();
            return Err(EngineError::NotThere { message: format!("nothing stands before `{address}`"), help });
        }
        (Work::Step(step), Moment::Before) => step.on,
        (Work::Source(_) | Work::Step(_), Moment::After) => id,
    };
    let sharing = share(engine).await?;
    let (layer, again) = nearest(engine, plan, on, cx).await?;
    let (mut machine, came_up) = machine(engine, plan, id, &layer, cx).await?;
    if !again.is_empty()
        && let Err(error) = replay(engine, plan, &again, machine.as_mut(), cx).await
    {
        if let Err(closing) = machine.close(Close::Discard, cx).await {
            cx.note(format!("the machine of `{address}` did not end as it should: {closing}"));
        }
        return Err(error);
    }
    let environment = engine.steps.environment(node);
    Ok(Opened { node: id, layer: Some(layer), machine, came_up, environment, _run: None, _sharing: sharing })
}

/// Opens a machine as it stood when the step at an address failed in it: a copy where its tree was kept, the machine
/// itself where that lives on. `token` is what it was parked as by one of the runs below `runs`.
///
/// # Errors
/// [`EngineError::UnknownName`]; [`EngineError::NotThere`] where nothing is parked under that name, or it cannot be
/// entered; and what the backend says.
pub async fn open_parked(
    engine: &Engine,
    plan: &Plan,
    address: &str,
    (runs, token): (&Path, &str),
    cx: &Cx,
) -> Result<Opened, EngineError> {
    let id = find(plan, address)?;
    let of_run = |run: DeadRun| {
        let effect = run.open.as_ref().ok()?.iter().find(|effect| effect.token == token)?.clone();
        Some((run, effect))
    };
    let found = journal::dead_runs(runs).into_iter().find_map(of_run);
    let (run, effect) = found.ok_or_else(|| EngineError::NotThere {
        message: format!("no machine is kept as `{token}`"),
        help: "the next apply and `imgc clean` throw kept machines away; build it again with --on-error keep"
            .to_owned(),
    })?;
    let sharing = share(engine).await?;
    let layer = engine.backends.get(effect.backend.as_str()).and_then(|backend| backend.parked(&effect));
    let (machine, came_up) = match &layer {
        Some(layer) => machine(engine, plan, id, layer, cx).await?,
        None => (enter(engine, plan, id, &effect, &run, cx).await?, CameUp::Resumed),
    };
    let environment = engine.steps.environment(plan.node(id));
    Ok(Opened { node: id, layer, machine, came_up, environment, _run: Some(run), _sharing: sharing })
}

/// Enters a machine that lives on.
async fn enter(
    engine: &Engine,
    plan: &Plan,
    id: NodeId,
    effect: &Effect,
    run: &DeadRun,
    cx: &Cx,
) -> Result<Box<dyn Machine>, EngineError> {
    let node = plan.node(id);
    let entered = match engine.backends.get(effect.backend.as_str()) {
        Some(backend) => backend.enter(effect, &spec(plan, id), &cx.for_node(id)).await,
        None => Ok(None),
    };
    let entered = entered.map_err(|source| EngineError::Open { address: node.address.clone(), source })?;
    entered.ok_or_else(|| EngineError::NotThere {
        message: format!("`{}` is a {} of `{}`, which lives on by itself", effect.token, effect.kind, effect.backend),
        help: format!("how it is reached stands in {}", run.dir.join("journal").display()),
    })
}

/// The last layer on the way to what a node leaves that is in the store, and the steps from there on.
async fn nearest(engine: &Engine, plan: &Plan, on: NodeId, cx: &Cx) -> Result<(Layer, Vec<Node>), EngineError> {
    let address = &plan.node(on).address;
    let target = Target { name: address.0.clone(), node: on, file: None, value: None };
    let selection = Selection { nodes: ancestors(plan, std::iter::once(on)), targets: vec![target] };
    let survey = survey::survey(engine, plan, &selection, &Forced::none(), cx).await?;
    let not_there = || EngineError::NotThere {
        message: format!("what `{address}` leaves is not in the store"),
        help: format!("build it first: `imgc apply '{address}'`"),
    };
    let (mut at, mut again) = (on, Vec::new());
    loop {
        if let Some(layer) = survey.result(plan, at).and_then(|result| result.layer().cloned()) {
            again.reverse();
            return Ok((layer, again));
        }
        let below = stands_on(&plan.node(at).work).ok_or_else(not_there)?;
        // Whatever else it is made of has to be there; a step cannot run without.
        let node =
            fill::filled(engine, plan, at, |of| survey.result(plan, of).map(Arc::new)).map_err(|_| not_there())?;
        again.push(node.into_owned());
        at = below;
    }
}

/// Runs steps whose layers are not in the store: what follows them is to stand where they left it. Nothing of it is
/// kept, as nothing of the machine is.
async fn replay(
    engine: &Engine,
    plan: &Plan,
    nodes: &[Node],
    machine: &mut dyn Machine,
    cx: &Cx,
) -> Result<(), EngineError> {
    let vault = Arc::new(RunVault::new(plan, &cx.package));
    let events = vault.sink(cx.events.clone());
    let cx = Cx { events, secrets: Secrets::new(vault.clone()), ..cx.clone() };
    for node in nodes {
        let address = node.address.clone();
        cx.note(format!("`{address}` runs again: what it left is not in the store"));
        let id = plan.ids().find(|id| plan.node(*id).address == address);
        let cx = id.map_or_else(|| cx.clone(), |id| cx.for_node(id));
        let failed = |source| EngineError::Open { address: address.clone(), source: vault.mask_error(source) };
        let channel = machine.channel(&cx).await.map_err(failed)?;
        executor::step_on(engine.steps.as_ref(), node, channel, &cx).await.map_err(failed)?;
    }
    Ok(())
}

fn find(plan: &Plan, address: &str) -> Result<NodeId, EngineError> {
    let selection = select(plan, &[address.to_owned()])?;
    selection.targets.first().map(|target| target.node).ok_or_else(|| EngineError::NotThere {
        message: format!("`{address}` builds nothing"),
        help: "name a step, a source or an image".to_owned(),
    })
}

async fn machine(
    engine: &Engine,
    plan: &Plan,
    id: NodeId,
    layer: &Layer,
    cx: &Cx,
) -> Result<(Box<dyn Machine>, CameUp), EngineError> {
    let node: &Node = plan.node(id);
    let backend = engine
        .backends
        .get(node.backend.as_str())
        .ok_or_else(|| EngineError::Internal { message: format!("no backend is named `{}`", node.backend) })?;
    backend
        .open(layer, &spec(plan, id), &cx.for_node(id))
        .await
        .map_err(|source| EngineError::Open { address: node.address.clone(), source })
}

fn spec(plan: &Plan, id: NodeId) -> MachineSpec {
    let node = plan.node(id);
    let image = plan.images.iter().find(|image| image.nodes.contains(&id));
    let image = image.map_or_else(|| node.address.0.clone(), |image| image.address.0.clone());
    MachineSpec { platform: (*node.platform).clone(), image, machine: plan.machine(id), shipped: false }
}
