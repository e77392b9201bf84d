//! `imgc explain ADDRESS`: why a step will run or is taken from the cache.

use crate::args::ExplainArgs;
use crate::commands::Context;
use crate::exit::{Failure, Outcome};

/// Explains a step or an output.
pub(crate) fn run(args: &ExplainArgs, _cx: &Context) -> Outcome {
    Err(Failure::usage(format!("`{}` is not a code of a diagnostic", args.what))
        .help("a code is `IMG` and four digits, such as `imgc explain IMG2001`; `imgc plan` says why steps run"))
}
