//! `imgc explain`: the page of a code, or why a step will run.

mod address;
mod code;

use crate::args::ExplainArgs;
use crate::commands::Context;
use crate::exit::Outcome;

/// Prints the page of a code; anything else is an address.
pub(crate) fn run(args: &ExplainArgs, cx: &Context) -> Outcome {
    match code::number(&args.what) {
        Some(code) => code::run(&code, cx),
        None => address::run(args, cx),
    }
}
