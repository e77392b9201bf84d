//! `imgc test`: tests parse and check; running them is not built yet.

use crate::args::TestArgs;
use crate::commands::Context;
use crate::exit::{Failure, Outcome};
use crate::package::{self, Package};

/// Says that tests are not built yet.
pub(crate) fn run(args: &TestArgs, cx: &Context) -> Outcome {
    let (path, _) = package::split_targets(&args.targets)?;
    Package::find(cx.directory(), path.as_deref())?;
    Err(Failure::environment("running tests is not built yet").help("`imgc check` checks them"))
}
