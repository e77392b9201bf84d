//! The steps that every channel can run: `sh`, `copy`, `write`, `restart`, `wait`; and what guests need besides: the
//! agent's client, seeds for cloud-init, and what a dead guest died of.
//!
//! It knows what a step means (retries, exit codes, which file goes where) and says it to a [`Channel`]; it does not
//! know what kind of machine is behind the channel, and nothing of layers and caching.

pub mod agent;
mod args;
mod copy;
pub mod diagnosis;
mod lent;
mod restart;
pub mod seed;
mod sh;
mod shape;
mod wait;

use imgc_backend::{BackendError, Channel, Cx, Exec};
use imgc_plan::value::plain_record;
use imgc_plan::{Node, Value, Work};

pub use args::{Cache, CopyArgs, Disconnect, For, RestartArgs, ShArgs, Source, WaitArgs, WriteArgs};
pub use shape::shapes;

pub use imgc_backend::Output;

/// Runs a step over a channel to its end.
///
/// # Errors
/// What the channel reports, with the step's name filled in; [`BackendError::StepFailed`] where the program ended in
/// a way the step does not allow; [`BackendError::Internal`] where the arguments are not those of the kind.
pub async fn run_step(node: &Node, channel: &mut dyn Channel, cx: &Cx, output: Output<'_>) -> Result<(), BackendError> {
    match run(node, channel, cx, output).await {
        Ok(()) => Ok(()),
        Err(error @ (BackendError::Interrupted | BackendError::Internal { .. })) => Err(error),
        Err(error) => Err(channel.explain(error, cx).await),
    }
}

async fn run(node: &Node, channel: &mut dyn Channel, cx: &Cx, output: Output<'_>) -> Result<(), BackendError> {
    let what = name(node);
    match node.kind.as_str() {
        "sh" => sh::run(&parse(node)?, &what, channel, cx, output).await,
        "copy" => channel.put(&copy::copy(&parse(node)?, &cx.package), cx).await,
        "write" => channel.put(&copy::write(&parse(node)?), cx).await,
        "restart" => restart::run(&parse(node)?, &what, channel, cx, output).await,
        "wait" => wait::run(&parse(node)?, &what, channel, cx, output).await,
        other => Err(BackendError::Internal { message: format!("no step of the kind `{other}`") }),
    }
}

/// How the program of a step is started; none for a step that starts none.
pub fn environment(node: &Node) -> Option<Exec> {
    (node.kind == "sh").then(|| parse(node).ok().map(|args| sh::exec(&args))).flatten()
}

/// Whether a step restarts the machine, or may: something that machines without a boot of their own cannot.
pub fn restarts(node: &Node) -> bool {
    // Asked of each node of a plan: to parse all arguments would be a fifth of what a large plan takes.
    let expected = || matches!(node.args.get("disconnect"), Some(Value::Text(means)) if **means == *"expected");
    node.kind == "restart" || node.kind == "sh" && expected()
}

/// How people know the step: `sh "enable"`.
pub fn name(node: &Node) -> String {
    match &node.work {
        Work::Step(step) => format!("{} \"{}\"", node.kind, step.label),
        Work::Source(_) | Work::Artifact(_) => node.kind.to_string(),
    }
}

fn parse<T: serde::de::DeserializeOwned>(node: &Node) -> Result<T, BackendError> {
    serde_json::from_value(plain_record(&node.args))
        .map_err(|error| BackendError::Internal { message: format!("arguments of {}: {error}", node.address) })
}
