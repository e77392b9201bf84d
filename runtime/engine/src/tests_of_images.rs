//! Runs the tests of images: their steps in throwaway machines, side by side, with the caching of all other steps.
//!
//! A test that passed is not run again until its image, or a step of it, changes. Nothing of its machine is kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use imgc_backend::Cx;
use imgc_plan::node::Test;
use imgc_plan::{Address, NodeId, Plan};

use crate::apply::run_plan;
use crate::schedule::Ended;
use crate::select::ancestors;
use crate::{ApplyError, Engine, EngineError, Failure, Options, Outcome, Selection, Target};

/// What became of one test.
#[derive(Debug)]
pub struct TestOutcome {
    /// The test: an index into [`Plan::tests`].
    pub test: usize,
    /// Its address.
    pub address: Address,
    /// What became of it.
    pub result: TestResult,
}

/// Whether a test passed.
#[derive(Debug)]
pub enum TestResult {
    /// It did.
    Passed {
        /// It did so before, on the same image.
        cached: bool,
        /// How long its steps took.
        took: Duration,
    },
    /// A step of it failed.
    Failed {
        /// The step.
        failure: Box<Failure>,
        /// How long its steps took that passed before.
        took: Duration,
    },
    /// It was not run to its end.
    NotRun {
        /// The failed node that its image is built from; none where the run was interrupted.
        because: Option<Address>,
    },
}

/// The tests with these addresses, or those of these images; no name: all. What they need is selected with them.
///
/// # Errors
/// [`EngineError::UnknownName`].
pub fn select_tests(plan: &Plan, names: &[String]) -> Result<Selection, EngineError> {
    let target = |test: &Test| Target { name: test.address.0.clone(), node: last(test), file: None, value: None };
    let mut targets = Vec::new();
    for test in &plan.tests {
        let image = plan.images.iter().find(|image| image.last == test.image).map(|image| &image.address.0);
        let is_meant = |name: &String| test.address.0 == *name || image == Some(name);
        if names.is_empty() || names.iter().any(is_meant) {
            targets.push(target(test));
        }
    }
    for name in names {
        let is_image = plan.images.iter().any(|image| image.address.0 == *name);
        if !is_image && !plan.tests.iter().any(|test| test.address.0 == *name) {
            let known = plan.tests.iter().map(target).collect::<Vec<_>>();
            return Err(EngineError::UnknownName { name: name.clone(), near: crate::select::near(plan, &known, name) });
        }
    }
    let nodes = ancestors(plan, targets.iter().map(|target| target.node));
    Ok(Selection { nodes, targets })
}

/// The node that a test has passed with.
fn last(test: &Test) -> NodeId {
    test.nodes.last().copied().unwrap_or(test.image)
}

/// Runs the selected tests to their ends, whatever other tests come to; images that are not there are built first.
///
/// # Errors
/// What keeps anything from starting. Failed tests and images are outcomes.
pub async fn run_tests(
    engine: &Engine,
    plan: &Arc<Plan>,
    selection: &Selection,
    options: &Options,
    cx: &Cx,
) -> Result<Vec<TestOutcome>, ApplyError> {
    let options = Options { keep_going: true, ..options.clone() };
    let mut ended = run_plan(engine, plan, selection, &options, cx).await?.ended;
    let mut failures: BTreeMap<NodeId, Failure> = BTreeMap::new();
    for failure in std::mem::take(&mut ended.failures) {
        failures.insert(failure.node, failure);
    }
    let is_selected = |test: &&Test| selection.targets.iter().any(|target| target.node == last(test));
    let selected: Vec<(usize, &Test)> = plan.tests.iter().enumerate().filter(|(_, test)| is_selected(test)).collect();
    let outcome = |(index, test): (usize, &Test)| TestOutcome {
        test: index,
        address: test.address.clone(),
        result: result(plan, test, &ended, &mut failures),
    };
    Ok(selected.into_iter().map(outcome).collect())
}

fn result(plan: &Plan, test: &Test, ended: &Ended, failures: &mut BTreeMap<NodeId, Failure>) -> TestResult {
    let ran = |id: &NodeId| match ended.done.get(id)?.outcome {
        Outcome::Ran { took } => Some(took),
        Outcome::Cached => None,
    };
    let took = test.nodes.iter().filter_map(ran).sum();
    if let Some(failed) = test.nodes.iter().find(|id| failures.contains_key(id))
        && let Some(failure) = failures.remove(failed)
    {
        return TestResult::Failed { failure: Box::new(failure), took };
    }
    if ended.done.contains_key(&last(test)) {
        let cached = !test.nodes.iter().any(|id| ran(id).is_some());
        return TestResult::Passed { cached, took };
    }
    let needed = ancestors(plan, std::iter::once(last(test)));
    let because = failures.keys().find(|id| needed.contains(id)).map(|id| plan.node(*id).address.clone());
    TestResult::NotRun { because }
}
