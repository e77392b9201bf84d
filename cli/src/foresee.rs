//! What the commands that only look have in common: a program is compiled, locked and forecast, nothing is built.

use imgc_compiler::Sources;
use imgc_engine::{Forecast, LockMode, Options, Selection};
use imgc_plan::Plan;

use crate::args::{Format, ParamArgs};
use crate::arguments::{Arguments, Said};
use crate::commands::Context;
use crate::exit::{Exit, Failure};
use crate::package::{self, Package};
use crate::places::Places;
use crate::render::lock;
use crate::render::progress::Progress;
use crate::session::{Compiled, Session, Unsaved, runtime};
use crate::signals::Stop;

/// A program with what an apply would do about it.
pub(crate) struct Foreseen {
    pub(crate) session: Session,
    pub(crate) said: Said,
    pub(crate) targets: Vec<String>,
    pub(crate) plan: Plan,
    pub(crate) sources: Sources,
    pub(crate) selection: Selection,
    pub(crate) forecast: Forecast,
}

/// What is asked about.
pub(crate) struct Question<'a> {
    /// Targets as they were given, among them perhaps the package's path.
    pub(crate) targets: &'a [String],
    pub(crate) params: &'a ParamArgs,
    /// Refuses to add to the lock.
    pub(crate) locked: bool,
    /// How diagnostics are printed.
    pub(crate) format: Format,
}

/// Finds the package among the targets and forecasts it.
///
/// # Errors
/// `Ok(Err(exit))` where the program does not hold and diagnostics have said so.
pub(crate) fn foresee(question: &Question<'_>, cx: &Context) -> Result<Result<Foreseen, Exit>, Failure> {
    let (path, targets) = package::split_targets(question.targets)?;
    let package =
        Package::find(cx.directory(), path.as_deref()).map_err(|failure| package::meant_as_path(failure, &targets))?;
    let said = Said::new(question.params)?;
    let places = Places::new(cx.global.cache_dir.as_deref())?;
    let settings = package.settings();
    let session = Session::open(package, &places, settings, cx)?;
    let compiled = match session.compile(Arguments::read(&said)?, question.format) {
        Ok(compiled) => compiled,
        Err(exit) => return Ok(Err(exit)),
    };
    let stop = Stop::new();
    let progress = Progress::new(cx.terminal, Format::Human, false, &compiled.plan);
    let mode = if question.locked { LockMode::Locked } else { LockMode::AddMissing };
    let result = runtime()?.block_on(async {
        let work = forecast(&session, compiled, &targets, &mode, &stop, &progress);
        stop.while_running(work, |text| progress.say(text)).await
    });
    progress.finish();
    session.save_stat_cache();
    let (plan, sources, selection, forecast) = result??;
    Ok(Ok(Foreseen { session, said, targets, plan, sources, selection, forecast }))
}

async fn forecast(
    session: &Session,
    compiled: Compiled,
    targets: &[String],
    mode: &LockMode,
    stop: &Stop,
    progress: &Progress,
) -> Result<(Plan, Sources, Selection, Forecast), Failure> {
    let Compiled { mut plan, sources, .. } = compiled;
    // Only locking takes long enough to be interrupted, and it leaves nothing half done.
    let cx = session.circumstances(&stop.politely, progress.sink());
    let selection = session.select((&plan, &sources), targets)?;
    let changes = session.lock((&mut plan, &sources), (mode, Unsaved::IsSaid), Some(&selection.nodes), &cx).await?;
    for change in &changes {
        progress.say(&lock::added(change));
    }
    let forecast = imgc_engine::forecast(&session.engine, &plan, &selection, &Options::default(), &cx)
        .await
        .map_err(|error| session.engine_failure(&plan, &sources, &error))?;
    Ok((plan, sources, selection, forecast))
}
