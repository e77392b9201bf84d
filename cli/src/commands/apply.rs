//! `imgc apply`: builds what is not there yet.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use imgc_backend::{Cx, Fault, Settings};
use imgc_compiler::Sources;
use imgc_engine::{
    Applied, ApplyError, CacheUse, Estimate, LockChange, LockMode, Options, Outcome as NodeEnd, Run, Selection,
};
use imgc_plan::{Address, Digest, Plan};
use serde_json::json;

use crate::args::{ApplyArgs, Format};
use crate::arguments::{self, Arguments, Said};
use crate::commands::show::{self, Shown};
use crate::commands::{Context, log};
use crate::exit::{Exit, Failure, Outcome};
use crate::fast_path::{self, Record};
use crate::lockfile::{self, LOCK};
use crate::manifest;
use crate::on_error::on_error;
use crate::package::{self, MANIFEST, Package};
use crate::places::Places;
use crate::plan_file::PlanFile;
use crate::render::progress::Progress;
use crate::render::text::{count, duration};
use crate::render::{failure, lock};
use crate::session::{Compiled, Session, Unsaved, runtime};
use crate::signals::Stop;
use crate::terminal::{Style, paint};

/// What is to be applied, before anything was looked at.
struct Job<'a> {
    args: &'a ApplyArgs,
    cx: &'a Context,
    package: Package,
    places: Places,
    said: Said,
    targets: Vec<String>,
    out_dir: PathBuf,
    obeys: Option<PlanFile>,
    /// What [`Job::said_and_set`] was before anything of it was used.
    before: serde_json::Value,
}

/// Builds the outputs of a program.
pub(crate) fn run(args: &ApplyArgs, cx: &Context) -> Outcome {
    let job = Job::new(args, cx)?;
    if let Some(exit) = job.fast_path() {
        return Ok(exit);
    }
    let settings = Settings { cold: job.args.cold, afresh: job.args.no_cache, ..job.package.settings() };
    let session = Session::open(job.package.clone(), &job.places, settings, cx)?;
    let began = SystemTime::now();
    let arguments = Arguments::read(&job.said)?;
    let compiled = match session.compile(arguments, args.format.format) {
        Ok(compiled) => compiled,
        Err(exit) => return Ok(exit),
    };
    let result = runtime()?.block_on(job.build(&session, compiled, began));
    session.save_stat_cache();
    result
}

impl<'a> Job<'a> {
    fn new(args: &'a ApplyArgs, cx: &'a Context) -> Result<Self, Failure> {
        let places = Places::new(cx.global.cache_dir.as_deref())?;
        let obeys = args.plan.as_deref().map(PlanFile::read).transpose()?;
        let (package, said, targets) = if let Some(file) = &obeys {
            let package = Package::find(None, Some(&file.package.join(&file.entry)))?;
            (package, file.arguments.clone(), file.targets.clone())
        } else {
            let (path, targets) = package::split_targets(&args.targets)?;
            (
                Package::find(cx.directory(), path.as_deref())
                    .map_err(|failure| package::meant_as_path(failure, &targets))?,
                Said::new(&args.params)?,
                targets,
            )
        };
        let out_dir = match &args.out_dir {
            Some(dir) => std::path::absolute(dir).map_err(Failure::io("cannot find the current directory"))?,
            None => package.root.join("out"),
        };
        let mut job =
            Self { args, cx, package, places, said, targets, out_dir, obeys, before: serde_json::Value::Null };
        job.before = job.said_and_set();
        Ok(job)
    }

    fn record(&self) -> PathBuf {
        self.places.record(&self.package.root, &self.package.entry)
    }

    /// Everything that decides the apply and is no file of the program, as it is now.
    fn key(&self) -> Digest {
        fast_path::key(&json!([self.said_and_set(), self.digest_of(LOCK)]))
    }

    fn digest_of(&self, name: &str) -> Digest {
        Digest::of(&std::fs::read(self.package.root.join(name)).unwrap_or_default())
    }

    /// The same without the lock, which the apply itself may change.
    fn said_and_set(&self) -> serde_json::Value {
        // Where `File` values of params count from matters only where there are any.
        let params = !self.said.set.is_empty() || std::env::vars_os().any(|(name, _)| arguments::is_variable(&name));
        let sums = |file: &PathBuf| Digest::of(&std::fs::read(file).unwrap_or_default());
        json!({
            "package": self.package.root, "entry": self.package.entry, "out": self.out_dir, "targets": self.targets,
            "set": self.said.set, "directory": params.then_some(&self.said.directory),
            "vars": self.said.vars.iter().map(sums).collect::<Vec<_>>(),
            "manifest": self.digest_of(MANIFEST),
        })
    }

    /// Ends at once where nothing has changed since the last apply.
    fn fast_path(&self) -> Option<Exit> {
        let args = self.args;
        if args.no_cache || !args.rerun.is_empty() || self.obeys.is_some() {
            return None;
        }
        let began = Instant::now();
        let record = Record::read(&self.record()).filter(|record| record.holds(self.key()))?;
        // What killed runs left is taken up by an apply that opens the store.
        if !imgc_store::is_swept(&self.places.store) {
            return None;
        }
        self.summary(&record.artifacts, 0, record.nodes, began.elapsed());
        Some(Exit::Done)
    }

    async fn build(&self, session: &Session, compiled: Compiled, began: SystemTime) -> Outcome {
        let stop = Stop::new();
        let progress =
            Progress::new(self.cx.terminal, self.args.format.format, self.cx.global.verbose > 0, &compiled.plan);
        let cx = session.circumstances(&stop.now, progress.sink());
        let work = self.locked_and_built(session, compiled, began, &stop, &progress, &cx);
        let result = stop.while_running(work, |text| progress.say(text)).await;
        progress.finish();
        result?
    }

    async fn locked_and_built(
        &self,
        session: &Session,
        compiled: Compiled,
        began: SystemTime,
        stop: &Stop,
        progress: &Progress,
        cx: &Cx,
    ) -> Outcome {
        let Compiled { mut plan, sources, asked } = compiled;
        if let Some(file) = &self.obeys {
            let mut lock = lockfile::read(&self.package.root)?;
            if let Some(epoch) = session.settings.epoch {
                lock.sources.values_mut().for_each(|locked| locked.epoch = epoch);
            }
            file.still_holds(&plan, &lock)?;
            plan = file.plan.clone();
        }
        let selection = session.select((&plan, &sources), &self.targets)?;
        let changes = self.lock(session, (&mut plan, &sources), &selection, cx).await?;
        for change in &changes {
            progress.say(&lock::added(change));
        }
        let lock = self.digest_of(LOCK);
        let plan = Arc::new(plan);
        let options = self.options(session, stop, progress, &plan)?;
        if self.cx.terminal.live {
            let forecast = imgc_engine::forecast(&session.engine, &plan, &selection, &options, cx).await;
            // Without it there are no estimates; what is wrong shows at once.
            if let Ok(forecast) = forecast {
                progress.expect(Estimate::new(&plan, &forecast, options.jobs));
            }
        }
        let started = Instant::now();
        let result = imgc_engine::apply(&session.engine, &plan, &selection, &options, cx).await;
        progress.finish();
        match result {
            Ok(applied) => {
                let artifacts = show::artifacts(&plan, &self.targets, &applied);
                let mut beside = vec![self.out_dir.join("SHA256SUMS")];
                if !applied.outputs.is_empty() {
                    beside.push(manifest::write(&plan, &applied, &self.out_dir)?);
                }
                // What changed while this apply ran is not what it built.
                if self.before == self.said_and_set() && lock == self.digest_of(LOCK) {
                    Record::new(self.key(), asked, artifacts.clone(), &beside, applied.nodes.len(), began)
                        .fresh_until(applied.fresh_until)
                        .write(&self.record());
                }
                self.done(&applied, &artifacts, started.elapsed());
                Ok(Exit::Done)
            }
            Err(error) => self.failed(session, &plan, &sources, error),
        }
    }

    async fn lock(
        &self,
        session: &Session,
        program: (&mut Plan, &Sources),
        selection: &Selection,
        cx: &Cx,
    ) -> Result<Vec<LockChange>, Failure> {
        let mode = if self.args.locked || self.obeys.is_some() { LockMode::Locked } else { LockMode::AddMissing };
        session.lock(program, (&mode, Unsaved::Fails), Some(&selection.nodes), cx).await
    }

    fn options(&self, session: &Session, stop: &Stop, progress: &Progress, plan: &Plan) -> Result<Options, Failure> {
        let args = self.args;
        let on_error = on_error(args.on_error, self.cx.terminal, progress)?;
        let run = begin_run(&self.places, &self.package, plan)?;
        let defaults = Options::default();
        Ok(Options {
            jobs: args.jobs.unwrap_or(defaults.jobs),
            limits: session.limits(args.jobs.unwrap_or(defaults.jobs)),
            on_error,
            rerun: args.rerun.iter().cloned().map(Address).collect(),
            cache: if args.no_cache { CacheUse::Ignore } else { CacheUse::Use },
            max_chain: args.max_chain.map(std::num::NonZeroUsize::get),
            keep_going: args.keep_going,
            stop: stop.politely.clone(),
            out_dir: Some(self.out_dir.clone()),
            run: Some(Arc::new(run)),
            budget: session.budget(),
            memory_budget: session.package.manifest.settings.memory_cache_size,
            ..defaults
        })
    }

    fn done(&self, applied: &Applied, artifacts: &[Shown], took: Duration) {
        for finding in &applied.findings {
            self.cx.terminal.warning(finding);
        }
        let ran = applied.nodes.iter().filter(|node| node.outcome != NodeEnd::Cached).count();
        self.summary(artifacts, ran, applied.nodes.len() - ran, took);
    }

    fn summary(&self, artifacts: &[Shown], ran: usize, cached: usize, took: Duration) {
        let terminal = &self.cx.terminal;
        match self.args.format.format {
            Format::Json => terminal.out(json!({
                "format": 1, "event": "applied", "ran": ran, "cached": cached,
                "seconds": took.as_secs_f64(), "artifacts": artifacts,
            })),
            Format::Human => {
                for artifact in artifacts {
                    terminal.out(show::line(artifact, terminal));
                }
                let text = format!("{} run, {cached} cached, {}", count(ran, "node"), duration(took));
                terminal.out(paint(terminal.out_color, Style::Bold, text));
            }
        }
    }

    fn failed(&self, session: &Session, plan: &Plan, sources: &Sources, error: ApplyError) -> Outcome {
        let terminal = &self.cx.terminal;
        let exit = Exit::from(error.fault());
        let message = error.to_string();
        if self.args.format.format == Format::Json {
            terminal.out(json!({ "format": 1, "event": "error", "message": message, "exit": exit.code() }));
        }
        match error {
            ApplyError::Engine(error) => Err(session.engine_failure(plan, sources, &error)),
            ApplyError::Failed(failures) => {
                for failure in failures.iter().filter(|failure| failure.error.fault() != Fault::Interrupted) {
                    failure::node(terminal, plan, sources, failure);
                }
                terminal.err("what was built before stays cached; the next apply goes on from there");
                Ok(exit)
            }
            ApplyError::Interrupted { left } => {
                terminal
                    .err(format_args!("interrupted with {} left; what was built stays cached", count(left, "node")));
                Ok(exit)
            }
        }
    }
}

/// Begins a run: its directory, with a note of what it is about.
pub(crate) fn begin_run(places: &Places, package: &Package, plan: &Plan) -> Result<Run, Failure> {
    let run = Run::begin(&places.runs).map_err(|error| {
        Failure::environment("cannot keep logs of this run")
            .because(&error)
            .help("set XDG_STATE_HOME to a writable directory")
    })?;
    log::note_run(run.dir(), package, plan);
    Ok(run)
}

/// For messages: a path below the current directory without what is above it.
pub(crate) fn shown_path(path: &Path) -> std::path::Display<'_> {
    let here = std::env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path).display()
}
