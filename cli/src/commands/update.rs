//! `imgc update`: changes what sources are locked to.

use imgc_engine::LockMode;

use crate::args::{Format, UpdateArgs};
use crate::arguments::{Arguments, Said};
use crate::commands::Context;
use crate::exit::{Exit, Outcome};
use crate::package::{self, Package};
use crate::places::Places;
use crate::render::lock;
use crate::render::progress::Progress;
use crate::session::{Compiled, Session, Unsaved, runtime};
use crate::signals::Stop;

/// Locks the named sources anew, all if none is named.
pub(crate) fn run(args: &UpdateArgs, cx: &Context) -> Outcome {
    let (path, names) = package::split_targets(&args.names)?;
    let package = Package::find(cx.directory(), path.as_deref())?;
    let said = Said::new(&args.params)?;
    let places = Places::new(cx.global.cache_dir.as_deref())?;
    let settings = package.settings();
    let session = Session::open(package, &places, settings, cx)?;
    let compiled = match session.compile(Arguments::read(&said)?, Format::Human) {
        Ok(compiled) => compiled,
        Err(exit) => return Ok(exit),
    };
    let result = runtime()?.block_on(update(&session, compiled, names, cx));
    session.save_stat_cache();
    result
}

async fn update(session: &Session, compiled: Compiled, names: Vec<String>, cx: &Context) -> Outcome {
    let Compiled { mut plan, sources, .. } = compiled;
    let stop = Stop::new();
    let progress = Progress::new(cx.terminal, Format::Human, false, &plan);
    let circumstances = session.circumstances(&stop.politely, progress.sink());
    let mode = LockMode::Update(names);
    let work = session.lock((&mut plan, &sources), (&mode, Unsaved::Fails), None, &circumstances);
    let result = stop.while_running(work, |text| progress.say(text)).await;
    progress.finish();
    let changes = result??;
    if changes.is_empty() {
        cx.terminal.out("imgc.lock is up to date");
    }
    for change in &changes {
        cx.terminal.out(lock::updated(change));
    }
    Ok(Exit::Done)
}
