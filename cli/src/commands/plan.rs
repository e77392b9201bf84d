//! `imgc plan`: what apply would do, and why.

use std::path::Path;

use imgc_engine::Forecast;
use serde_json::json;

use crate::args::{Format, PlanArgs};
use crate::commands::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::foresee::{Foreseen, Question, foresee};
use crate::package::{self, Package};
use crate::places::Places;
use crate::plan_file::PlanFile;
use crate::planned::Planned;
use crate::render::{failure, plan as render};
use crate::terminal::{Style, Terminal, paint};

/// Prints the plan of a program and its forecast.
pub(crate) fn run(args: &PlanArgs, cx: &Context) -> Outcome {
    if args.help_params {
        let (path, targets) = package::split_targets(&args.targets)?;
        let package = Package::find(cx.directory(), path.as_deref())
            .map_err(|failure| package::meant_as_path(failure, &targets))?;
        return Ok(help_params(&package, args.format.format, cx));
    }
    let out = args.out.as_ref().map(std::path::absolute).transpose();
    let out = out.map_err(Failure::io("cannot find the current directory"))?;
    let question =
        Question { targets: &args.targets, params: &args.params, locked: args.locked, format: args.format.format };
    match foresee(&question, cx)? {
        Ok(seen) => {
            if let Ok(places) = Places::new(cx.global.cache_dir.as_deref()) {
                let package = &seen.session.package;
                Planned::new(&seen.plan, &seen.forecast).write(&places.planned(&package.root, &package.entry));
            }
            told(args, seen, out.as_deref(), &cx.terminal)
        }
        Err(exit) => Ok(exit),
    }
}

fn told(args: &PlanArgs, seen: Foreseen, out: Option<&Path>, terminal: &Terminal) -> Outcome {
    let Foreseen { session, said, targets, plan, sources, selection, forecast } = seen;
    match args.format.format {
        Format::Human => terminal.out(render::text(&plan, &selection, &forecast, terminal)),
        Format::Json => terminal.out(render::document(&plan, &forecast)),
    }
    for refused in &forecast.refused {
        failure::refused(terminal, &plan, &sources, refused);
    }
    if let Some(out) = out {
        let document = render::document(&plan, &forecast);
        let package = (session.package.root.clone(), session.package.entry.clone());
        PlanFile::new(package, said, targets, plan, document).write(out)?;
        return Ok(exit(args, &forecast));
    }
    let exit = exit(args, &forecast);
    // The process ends now: to take a large plan apart first would be a tenth of all its time.
    std::mem::forget((plan, forecast, selection));
    Ok(exit)
}

fn exit(args: &PlanArgs, forecast: &Forecast) -> Exit {
    // What was printed as an error is one to whoever asked, whether the program or this machine has to change.
    if !forecast.refused.is_empty() {
        return Exit::Program;
    }
    let runs = forecast.to_run + forecast.pending > 0;
    if args.detailed_exitcode && runs { Exit::WouldRun } else { Exit::Done }
}

/// Describes the params of a program; asks for no argument.
fn help_params(package: &Package, format: Format, cx: &Context) -> Exit {
    let checked = super::check::checked(package);
    let terminal = &cx.terminal;
    if crate::render::diagnostic::has_errors(&checked.diagnostics) {
        crate::render::diagnostic::print(terminal, format, &checked.diagnostics, &checked.sources);
        return Exit::Program;
    }
    if format == Format::Json {
        let params: Vec<_> = checked
            .params
            .iter()
            .map(
                |p| json!({ "name": p.name, "type": p.ty, "default": p.default, "where": p.predicate, "docs": p.docs, "required": p.default.is_none() && !is_optional(&p.ty) }),
            )
            .collect();
        terminal.out(json!({ "format": 1, "params": params }));
        return Exit::Done;
    }
    if checked.params.is_empty() {
        terminal.out("the program has no params");
    }
    for param in &checked.params {
        let default = match &param.default {
            Some(text) => format!(" = {text}"),
            None if is_optional(&param.ty) => " (optional)".to_owned(),
            None => " (required)".to_owned(),
        };
        let predicate = param.predicate.as_ref().map(|text| format!(" where {text}")).unwrap_or_default();
        let name = paint(terminal.out_color, Style::Bold, &param.name);
        terminal.out(format_args!("{name}: {}{default}{predicate}", param.ty));
        param.docs.lines().for_each(|line| terminal.out(format_args!("    {line}")));
    }
    Exit::Done
}

/// Whether a param of this type may be left out: `T?`.
fn is_optional(ty: &str) -> bool {
    ty.ends_with('?')
}
