//! `imgc graph`: the plan as a picture.

use imgc_engine::{Forecast, Selection};
use imgc_plan::Plan;

use crate::args::{Format, GraphArgs, GraphFormat};
use crate::arguments::{Arguments, Said};
use crate::commands::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::foresee::{Question, foresee};
use crate::lockfile;
use crate::package::{self, Package};
use crate::render::graph::{picture, svg, text};
use crate::session;

/// Draws the plan.
pub(crate) fn run(args: &GraphArgs, cx: &Context) -> Outcome {
    let drawn = if args.no_state {
        match without_state(args, cx)? {
            Ok((plan, selection)) => draw(args.format, &plan, &selection, None),
            Err(exit) => return Ok(exit),
        }
    } else {
        let question =
            Question { targets: &args.targets, params: &args.params, locked: args.locked, format: Format::Human };
        match foresee(&question, cx)? {
            Ok(seen) => draw(args.format, &seen.plan, &seen.selection, Some(&seen.forecast)),
            Err(exit) => return Ok(exit),
        }
    };
    match &args.out {
        Some(path) => {
            let path = std::path::absolute(path).map_err(Failure::io("cannot find the current directory"))?;
            lockfile::write_whole(&path, drawn.as_bytes())?;
        }
        None => cx.terminal.write(drawn.as_bytes()),
    }
    Ok(Exit::Done)
}

/// Neither store nor lock is touched.
fn without_state(args: &GraphArgs, cx: &Context) -> Result<Result<(Plan, Selection), Exit>, Failure> {
    let (path, targets) = package::split_targets(&args.targets)?;
    let package =
        Package::find(cx.directory(), path.as_deref()).map_err(|failure| package::meant_as_path(failure, &targets))?;
    let arguments = Arguments::read(&Said::new(&args.params)?)?;
    let plan = match session::compile_only(&package, arguments, cx) {
        Ok(plan) => plan,
        Err(exit) => return Ok(Err(exit)),
    };
    match imgc_engine::select(&plan, &targets) {
        Ok(selection) => Ok(Ok((plan, selection))),
        Err(error) => {
            let mut failure = Failure::program(error.to_string());
            failure.help = error.help();
            Err(failure)
        }
    }
}

fn draw(format: GraphFormat, plan: &Plan, selection: &Selection, forecast: Option<&Forecast>) -> String {
    match format {
        GraphFormat::Svg => svg::document(&picture(plan, selection, forecast), "imgc plan"),
        GraphFormat::Dot => text::dot(&picture(plan, selection, forecast)),
        GraphFormat::Mermaid => text::mermaid(&picture(plan, selection, forecast)),
        GraphFormat::Json => format!("{:#}\n", text::json(plan, selection, forecast)),
    }
}
