//! What cannot be built here: found before anything starts.

use std::collections::BTreeSet;

use imgc_backend::{Fault, Kind};
use imgc_plan::{NodeId, Plan, node::Work};

use crate::survey::Survey;
use crate::{Engine, EngineError, Refused};

/// Every one of the nodes that no backend offers, or that its backend refuses. In dependency order.
pub(crate) fn refusals(engine: &Engine, plan: &Plan, nodes: &BTreeSet<NodeId>) -> Vec<Refused> {
    nodes.iter().filter_map(|id| refusal(engine, plan, *id)).collect()
}

/// An error that names them all, where there are any.
///
/// What the environment lacks does no harm where the result is known already: a cached base layer needs no tools.
pub(crate) fn refuse(refused: Vec<Refused>, survey: &Survey) -> Result<(), EngineError> {
    let refused = harmful(refused, survey);
    if refused.is_empty() { Ok(()) } else { Err(EngineError::Refused(refused)) }
}

/// Those that stand in the way of an apply.
pub(crate) fn harmful(mut refused: Vec<Refused>, survey: &Survey) -> Vec<Refused> {
    refused.retain(|refused| refused.fault != Fault::Environment || !survey.is_settled(refused.node));
    refused
}

fn refusal(engine: &Engine, plan: &Plan, id: NodeId) -> Option<Refused> {
    let node = plan.node(id);
    let refused = |message: String, help: Option<String>, fault: Fault| {
        Some(Refused { node: id, address: node.address.clone(), message, help, fault })
    };
    let offered = engine.backend(node).and_then(|backend| {
        let offers = backend.offers();
        let kinds = match node.work {
            Work::Source(_) => &offers.sources,
            Work::Step(_) => &offers.steps,
            Work::Artifact(_) => &offers.artifacts,
        };
        kinds.iter().find(|kind| kind.name == node.kind).map(|kind| (backend, kind))
    });
    match offered {
        None => refused(format!("`{}` is not built yet", node.kind), None, Fault::NotBuilt),
        Some((_, Kind { revision, .. })) if *revision != node.revision => refused(
            format!("`{}` has revision {} in the plan, and {revision} in this imgc", node.kind, node.revision),
            Some("make the plan again with this imgc".to_owned()),
            Fault::Program,
        ),
        Some((backend, _)) => match backend.needs(node, &plan.machine(id)) {
            Ok(_) => None,
            Err(refusal) => refused(refusal.message, refusal.help, refusal.fault),
        },
    }
}
