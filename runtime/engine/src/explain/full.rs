//! The whole explanation of one node: what differs, what it follows from, what follows from it.

use std::time::Duration;

use imgc_backend::Cx;
use imgc_plan::{Address, Fingerprint, Plan, spec_of};
use serde::Serialize;

use super::{Cause, Explainer};
use crate::remember::Remembered;
use crate::survey::{self, Forced, Found};
use crate::{Engine, EngineError, Forecast, Options, Selection, Standing};

/// Everything that is known about why a node runs or does not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The node.
    pub address: Address,
    /// Where it stands.
    pub standing: Standing,
    /// All that differs from the last time, the first cause first; empty where nothing does or nothing is known.
    pub differences: Vec<Cause>,
    /// The node whose change it follows from, where it only follows.
    pub follows: Option<Address>,
    /// The nodes that certainly run because of it, in order.
    pub followed_by: Vec<Address>,
    /// The nodes below it that may still be found in the store, depending on what it leaves.
    pub may_hit: Vec<Address>,
    /// Its fingerprint, where that is known before anything runs.
    pub fingerprint: Option<Fingerprint>,
    /// The fingerprint it had.
    pub before: Option<Fingerprint>,
    /// How long it took when it last ran.
    pub took: Option<Duration>,
    /// What its fingerprint is made of: path and text; empty where it is not known yet.
    pub fields: Vec<(String, String)>,
    /// What else is worth knowing: secrets whose value may change without a trace.
    pub notes: Vec<String>,
}

/// Explains each node that `address` names: a step, a source, an artifact, or all of an image or recipe.
///
/// # Errors
/// [`EngineError::UnknownName`], a store that cannot be read.
pub async fn full(
    engine: &Engine,
    plan: &Plan,
    selection: &Selection,
    address: &str,
    options: &Options,
    cx: &Cx,
) -> Result<Vec<Explanation>, EngineError> {
    let forced = Forced::new(plan, selection, options.cache, &options.rerun)?;
    let survey = survey::survey(engine, plan, selection, &forced, cx).await?;
    let forecast = crate::forecast::of_survey(engine, plan, selection, &survey, options, cx);
    let explainer = Explainer::new(plan, &cx.package, survey.all_remembered());
    let below = format!("{address}/");
    let mut found = Vec::new();
    for (id, known) in survey.nodes() {
        let node = plan.node(id);
        if node.address.0 != address && !node.address.0.starts_with(&below) {
            continue;
        }
        let Some(of_forecast) = forecast.nodes.iter().find(|node| node.node == id) else { continue };
        let old = survey.remembered(&node.address);
        let spec = survey.input_states(id).map(|states| spec_of(plan, id, survey.node(plan, id), &states));
        let differences = match (&spec, old) {
            (Some(spec), Some(old)) => explainer.differences(id, spec, old),
            (_, _) => Vec::new(),
        };
        let (followed_by, may_hit) = below_of(&forecast, id);
        found.push(Explanation {
            address: node.address.clone(),
            standing: of_forecast.standing.clone(),
            differences,
            follows: first_cause(&of_forecast.standing).map(|id| plan.node(id).address.clone()),
            followed_by,
            may_hit,
            fingerprint: match known {
                Found::Hit { fingerprint, .. } | Found::Miss { fingerprint, .. } => Some(*fingerprint),
                Found::Open { .. } => None,
            },
            before: old.map(|old| old.fingerprint),
            took: old.and_then(Remembered::cost),
            fields: spec.map(|spec| spec.fields).unwrap_or_default(),
            notes: crate::vault::unversioned(plan, id),
        });
    }
    if found.is_empty() {
        let near = crate::select::near(plan, &selection.targets, address);
        return Err(EngineError::UnknownName { name: address.to_owned(), near });
    }
    Ok(found)
}

fn first_cause(standing: &Standing) -> Option<imgc_plan::NodeId> {
    match standing {
        Standing::Pending { below, .. } | Standing::Follows { below } => Some(*below),
        Standing::Cached | Standing::Unneeded | Standing::New | Standing::Changed { .. } => None,
    }
}

/// What runs for certain and what may be found, of all whose first cause is this node.
fn below_of(forecast: &Forecast, id: imgc_plan::NodeId) -> (Vec<Address>, Vec<Address>) {
    let (mut certain, mut open) = (Vec::new(), Vec::new());
    for node in forecast.nodes.iter().filter(|node| first_cause(&node.standing) == Some(id)) {
        let may_hit = matches!(node.standing, Standing::Pending { new: false, .. });
        if may_hit { &mut open } else { &mut certain }.push(node.address.clone());
    }
    (certain, open)
}
