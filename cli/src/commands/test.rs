//! `imgc test`: runs the tests of images in throwaway machines.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use imgc_backend::{Cx, Fault};
use imgc_engine::{ApplyError, Limits, LockMode, Options, Selection, TestOutcome, TestResult};
use imgc_plan::{Address, Plan};

use crate::args::{Format, TestArgs, TestFormat};
use crate::arguments::{Arguments, Said};
use crate::commands::{Context, apply};
use crate::exit::{Exit, Failure, Outcome};
use crate::lockfile;
use crate::package::{self, Package};
use crate::places::Places;
use crate::render::progress::Progress;
use crate::render::text::{count, duration};
use crate::render::{failure, lock as render_lock, tests};
use crate::session::{Compiled, Session, Unsaved, runtime};
use crate::signals::Stop;
use crate::terminal::{Style, Terminal, paint};

/// Runs the tests that are asked for.
pub(crate) fn run(args: &TestArgs, cx: &Context) -> Outcome {
    let (path, targets) = package::split_targets(&args.targets)?;
    let package =
        Package::find(cx.directory(), path.as_deref()).map_err(|failure| package::meant_as_path(failure, &targets))?;
    let said = Said::new(&args.params)?;
    let places = Places::new(cx.global.cache_dir.as_deref())?;
    let settings = package.settings();
    let junit = args.junit.as_ref().map(std::path::absolute).transpose();
    let junit = junit.map_err(Failure::io("cannot find the current directory"))?;
    let session = Session::open(package, &places, settings, cx)?;
    let compiled = match session.compile(Arguments::read(&said)?, Format::Human) {
        Ok(compiled) => compiled,
        Err(exit) => return Ok(exit),
    };
    let testing = Testing { args, cx, session: &session, places: &places, junit: junit.as_deref() };
    let result = runtime()?.block_on(testing.watched(compiled, &targets));
    session.save_stat_cache();
    result
}

struct Testing<'a> {
    args: &'a TestArgs,
    cx: &'a Context,
    session: &'a Session,
    places: &'a Places,
    junit: Option<&'a Path>,
}

impl Testing<'_> {
    async fn watched(&self, compiled: Compiled, targets: &[String]) -> Outcome {
        let stop = Stop::new();
        let format = if self.args.format == TestFormat::Json { Format::Json } else { Format::Human };
        let progress = Progress::new(self.cx.terminal, format, self.cx.global.verbose > 0, &compiled.plan);
        let cx = self.session.circumstances(&stop.now, progress.sink());
        let work = self.run(compiled, targets, &stop, &progress, &cx);
        let result = stop.while_running(work, |text| progress.say(text)).await;
        progress.finish();
        result?
    }

    async fn run(&self, compiled: Compiled, targets: &[String], stop: &Stop, progress: &Progress, cx: &Cx) -> Outcome {
        let Compiled { mut plan, sources, .. } = compiled;
        let selection = imgc_engine::select_tests(&plan, targets)
            .map_err(|error| self.session.engine_failure(&plan, &sources, &error))?;
        if self.args.list {
            selection.targets.iter().for_each(|target| self.cx.terminal.out(&target.name));
            return Ok(Exit::Done);
        }
        let mode = if self.args.locked { LockMode::Locked } else { LockMode::AddMissing };
        let lock = (&mode, Unsaved::Fails);
        for change in &self.session.lock((&mut plan, &sources), lock, Some(&selection.nodes), cx).await? {
            progress.say(&render_lock::added(change));
        }
        let plan = Arc::new(plan);
        let options = self.options(stop, &plan, &selection)?;
        let began = Instant::now();
        let outcomes = imgc_engine::run_tests(&self.session.engine, &plan, &selection, &options, cx).await;
        progress.finish();
        let outcomes = match outcomes {
            Ok(outcomes) => outcomes,
            Err(ApplyError::Engine(error)) => return Err(self.session.engine_failure(&plan, &sources, &error)),
            Err(error) => return Err(Failure::with(Exit::from(error.fault()), error.to_string())),
        };
        for outcome in &outcomes {
            if let TestResult::Failed { failure, .. } = &outcome.result
                && failure.error.fault() != Fault::Interrupted
            {
                failure::node(&self.cx.terminal, &plan, &sources, failure);
            }
        }
        self.report(&plan, &outcomes, began.elapsed())?;
        Ok(exit(&outcomes, stop))
    }

    fn options(&self, stop: &Stop, plan: &Plan, selection: &Selection) -> Result<Options, Failure> {
        let run = apply::begin_run(self.places, &self.session.package, plan)?;
        let defaults = Options::default();
        let jobs = self.args.jobs.unwrap_or(defaults.jobs);
        let limits: Limits = self.session.limits(jobs);
        let again = |_: &&imgc_engine::Target| self.args.again;
        let of = |target: &imgc_engine::Target| plan.tests.iter().find(|test| test.address.0 == target.name);
        let rerun: Vec<Address> = selection
            .targets
            .iter()
            .filter(again)
            .filter_map(of)
            .flat_map(|test| test.nodes.iter().map(|id| plan.node(*id).address.clone()))
            .collect();
        Ok(Options {
            jobs,
            limits,
            rerun,
            stop: stop.politely.clone(),
            run: Some(Arc::new(run)),
            budget: self.session.budget(),
            ..defaults
        })
    }

    fn report(&self, plan: &Plan, outcomes: &[TestOutcome], took: Duration) -> Result<(), Failure> {
        let terminal = &self.cx.terminal;
        match self.args.format {
            TestFormat::Human => people(outcomes, took, terminal),
            TestFormat::Json => {
                for outcome in outcomes {
                    terminal.out(tests::event(outcome));
                }
            }
            TestFormat::Tap => terminal.write(tests::tap(outcomes).as_bytes()),
            TestFormat::Junit => terminal.write(tests::junit(plan, outcomes)?.as_bytes()),
        }
        match self.junit {
            Some(path) => lockfile::write_whole(path, tests::junit(plan, outcomes)?.as_bytes()),
            None => Ok(()),
        }
    }
}

fn people(outcomes: &[TestOutcome], took: Duration, terminal: &Terminal) {
    if outcomes.is_empty() {
        terminal.out("the program has no tests; `test name of image { … }` is one");
        return;
    }
    for outcome in outcomes {
        let (style, mark) = match &outcome.result {
            TestResult::Passed { .. } => (Style::Green, "✓"),
            TestResult::Failed { .. } => (Style::Red, "✗"),
            TestResult::NotRun { .. } => (Style::Yellow, "-"),
        };
        let mark = paint(terminal.out_color, style, mark);
        terminal.out(format_args!("{mark} {} {}", outcome.address, tests::words(&outcome.result)));
    }
    let of = |is: fn(&TestResult) -> bool| outcomes.iter().filter(|outcome| is(&outcome.result)).count();
    let text = format!(
        "{}: {} passed, {} failed, {} not run, {}",
        count(outcomes.len(), "test"),
        of(|result| matches!(result, TestResult::Passed { .. })),
        of(|result| matches!(result, TestResult::Failed { .. })),
        of(|result| matches!(result, TestResult::NotRun { .. })),
        duration(took)
    );
    terminal.out(paint(terminal.out_color, Style::Bold, text));
}

fn exit(outcomes: &[TestOutcome], stop: &Stop) -> Exit {
    let interrupted = |outcome: &TestOutcome| match &outcome.result {
        TestResult::Failed { failure, .. } => failure.error.fault() == Fault::Interrupted,
        TestResult::NotRun { because } => because.is_none() && stop.politely.is_cancelled(),
        TestResult::Passed { .. } => false,
    };
    if outcomes.iter().any(interrupted) {
        return Exit::Interrupted;
    }
    // A test that the environment did not let run is told as such; one that failed weighs more.
    let of = |outcome: &TestOutcome| match &outcome.result {
        TestResult::Passed { .. } => None,
        TestResult::Failed { failure, .. } => Some(Exit::from(failure.error.fault())),
        TestResult::NotRun { .. } => Some(Exit::Build),
    };
    let exits: Vec<Exit> = outcomes.iter().filter_map(of).collect();
    let worst = exits.iter().find(|exit| **exit == Exit::Build).or(exits.first());
    worst.copied().unwrap_or(Exit::Done)
}
