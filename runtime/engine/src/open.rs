//! Opens a machine that stands where a step begins or where it ended: for `imgc shell`.
//!
//! Nothing of it is kept: whoever opens it closes it with [`imgc_backend::Close::Discard`].

use imgc_backend::{CameUp, Cx, Layer, Machine, MachineSpec};
use imgc_plan::{Node, NodeId, Plan, node::Work};
use imgc_store::Sharing;

use crate::apply::share;
use crate::executor::StepEnvironment;
use crate::select::ancestors;
use crate::survey::{self, Forced};
use crate::{Engine, EngineError, Selection, Target, select};

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
    /// What the machine stands on.
    pub layer: Layer,
    /// The machine; whoever has it closes it.
    pub machine: Box<dyn Machine>,
    /// How it came up.
    pub came_up: CameUp,
    /// What a program of the step finds.
    pub environment: StepEnvironment,
    /// Keeps the layers in the store for as long as the machine may need them.
    _sharing: Sharing,
}

/// Opens a machine that stands before or after the step at an address; an image stands for its last step.
///
/// # Errors
/// [`EngineError::UnknownName`], [`EngineError::NotThere`] where nothing was built yet, and what the backend says.
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
    let layer = layer(engine, plan, on, cx).await?;
    let (machine, came_up) = machine(engine, plan, id, &layer, cx).await?;
    let environment = engine.steps.environment(node);
    Ok(Opened { node: id, layer, machine, came_up, environment, _sharing: sharing })
}

fn find(plan: &Plan, address: &str) -> Result<NodeId, EngineError> {
    let selection = select(plan, &[address.to_owned()])?;
    selection.targets.first().map(|target| target.node).ok_or_else(|| EngineError::NotThere {
        message: format!("`{address}` builds nothing"),
        help: "name a step, a source or an image".to_owned(),
    })
}

/// The layer that a node left, which must be in the store.
async fn layer(engine: &Engine, plan: &Plan, on: NodeId, cx: &Cx) -> Result<Layer, EngineError> {
    let address = &plan.node(on).address;
    let target = Target { name: address.0.clone(), node: on, file: None, value: None };
    let selection = Selection { nodes: ancestors(plan, std::iter::once(on)), targets: vec![target] };
    let survey = survey::survey(engine, plan, &selection, &Forced::none(), cx).await?;
    let found = survey.result(plan, on).and_then(|result| result.layer().cloned());
    found.ok_or_else(|| EngineError::NotThere {
        message: format!("what `{address}` leaves is not in the store"),
        help: format!("build it first: `imgc apply '{address}'`"),
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
    let image = plan.images.iter().find(|image| image.nodes.contains(&id));
    let image = image.map_or_else(|| node.address.0.clone(), |image| image.address.0.clone());
    let spec = MachineSpec { platform: node.platform.clone(), image, machine: plan.machine(id) };
    backend
        .open(layer, &spec, &cx.for_node(id))
        .await
        .map_err(|source| EngineError::Open { address: node.address.clone(), source })
}
