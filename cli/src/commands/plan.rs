//! `imgc plan`: what apply would do, and why.

use imgc_backend::Fault;
use imgc_engine::{Forecast, LockMode, Options};
use serde_json::json;

use crate::args::{Format, PlanArgs};
use crate::arguments::{Arguments, Said};
use crate::commands::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::package::{self, Package};
use crate::places::Places;
use crate::plan_file::PlanFile;
use crate::render::progress::Progress;
use crate::render::{failure, lock, plan as render};
use crate::session::{Compiled, Session, runtime};
use crate::signals::Stop;
use crate::terminal::{Style, paint};

/// Prints the plan of a program and its forecast.
pub(crate) fn run(args: &PlanArgs, cx: &Context) -> Outcome {
    let (path, targets) = package::split_targets(&args.targets)?;
    let package =
        Package::find(cx.directory(), path.as_deref()).map_err(|failure| package::meant_as_path(failure, &targets))?;
    if args.help_params {
        return Ok(help_params(&package, args.format.format, cx));
    }
    let said = Said::new(&args.params)?;
    let places = Places::new(cx.global.cache_dir.as_deref())?;
    let out = args.out.as_ref().map(std::path::absolute).transpose();
    let out = out.map_err(Failure::io("cannot find the current directory"))?;
    let settings = package.settings();
    let session = Session::open(package, &places, settings, cx)?;
    let compiled = match session.compile(Arguments::read(&said)?, args.format.format) {
        Ok(compiled) => compiled,
        Err(exit) => return Ok(exit),
    };
    let planning = Planning { args, cx, session: &session, said, targets, out };
    let result = runtime()?.block_on(planning.forecast(compiled));
    session.save_stat_cache();
    result
}

struct Planning<'a> {
    args: &'a PlanArgs,
    cx: &'a Context,
    session: &'a Session,
    said: Said,
    targets: Vec<String>,
    out: Option<std::path::PathBuf>,
}

impl Planning<'_> {
    async fn forecast(self, compiled: Compiled) -> Outcome {
        let stop = Stop::new();
        let progress = Progress::new(self.cx.terminal, Format::Human, false, &compiled.plan);
        let work = self.locked(compiled, &stop, &progress);
        let result = stop.while_running(work, |text| progress.say(text)).await;
        progress.finish();
        result?
    }

    async fn locked(&self, compiled: Compiled, stop: &Stop, progress: &Progress) -> Outcome {
        let Compiled { mut plan, sources, .. } = compiled;
        // Only locking takes long enough to be interrupted, and it leaves nothing half done.
        let cx = self.session.circumstances(&stop.politely, progress.sink());
        let selection = self.session.select((&plan, &sources), &self.targets)?;
        let mode = if self.args.locked { LockMode::Locked } else { LockMode::AddMissing };
        let changes = self.session.lock((&mut plan, &sources), &mode, Some(&selection.nodes), &cx).await?;
        for change in &changes {
            progress.say(&lock::added(change));
        }
        let forecast = imgc_engine::forecast(&self.session.engine, &plan, &selection, &Options::default(), &cx)
            .await
            .map_err(|error| self.session.engine_failure(&plan, &sources, &error))?;
        progress.finish();
        let terminal = &self.cx.terminal;
        match self.args.format.format {
            Format::Human => terminal.out(render::text(&plan, &selection, &forecast, terminal)),
            Format::Json => terminal.out(render::document(&plan, &forecast)),
        }
        for refused in &forecast.refused {
            failure::refused(terminal, &plan, &sources, refused);
        }
        if let Some(out) = &self.out {
            let document = render::document(&plan, &forecast);
            let package = (self.session.package.root.clone(), self.session.package.entry.clone());
            PlanFile::new(package, self.said.clone(), self.targets.clone(), plan, document).write(out)?;
        }
        Ok(self.exit(&forecast))
    }

    fn exit(&self, forecast: &Forecast) -> Exit {
        // Tools that this machine lacks are no fault of the plan: another machine may apply it.
        if forecast.refused.iter().any(|refused| refused.fault == Fault::Program) {
            return Exit::Program;
        }
        let runs = forecast.to_run + forecast.pending > 0;
        if self.args.detailed_exitcode && runs { Exit::WouldRun } else { Exit::Done }
    }
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
                |p| json!({ "name": p.name, "type": p.ty, "default": p.default, "where": p.predicate, "docs": p.docs }),
            )
            .collect();
        terminal.out(json!({ "format": 1, "params": params }));
        return Exit::Done;
    }
    if checked.params.is_empty() {
        terminal.out("the program has no params");
    }
    for param in &checked.params {
        let default = param.default.as_ref().map_or_else(|| " (required)".to_owned(), |text| format!(" = {text}"));
        let predicate = param.predicate.as_ref().map(|text| format!(" where {text}")).unwrap_or_default();
        let name = paint(terminal.out_color, Style::Bold, &param.name);
        terminal.out(format_args!("{name}: {}{default}{predicate}", param.ty));
        param.docs.lines().for_each(|line| terminal.out(format_args!("    {line}")));
    }
    Exit::Done
}
