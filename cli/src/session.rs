//! What the commands that plan and build share: namespaces, store, engine, compilation.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

use imgc_backend::{Cx, EventSink, Secrets, Settings};
use imgc_compiler::Sources;
use imgc_engine::{Engine, EngineError, Limits, LockChange, LockMode, Selection};
use imgc_plan::{Digest, NodeId, Plan};
use imgc_store::{StatCache, Store};
use tokio_util::sync::CancellationToken;

use crate::args::Format;
use crate::arguments::Arguments;
use crate::commands::Context;
use crate::exit::{Exit, Failure};
use crate::lockfile;
use crate::package::Package;
use crate::places::Places;
use crate::registry;
use crate::render::{diagnostic, failure};
use crate::terminal::Terminal;
use crate::world::{Asked, DiskWorld, HashFile};

/// A package with the store and the engine that build it.
pub(crate) struct Session {
    /// The package.
    pub(crate) package: Package,
    /// How the outside is reached.
    pub(crate) settings: Arc<Settings>,
    /// The engine.
    pub(crate) engine: Engine,
    /// Where output goes.
    pub(crate) terminal: Terminal,
    stat_cache: Arc<StatCache>,
}

/// What a lock that cannot be saved is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsaved {
    /// Worth a word: nothing depends on it, as in `plan`.
    IsSaid,
    /// A failure: what is built next must be what was locked.
    Fails,
}

/// A program that was compiled.
pub(crate) struct Compiled {
    /// Its plan.
    pub(crate) plan: Plan,
    /// The texts that places in it are in.
    pub(crate) sources: Sources,
    /// What the compiler looked at.
    pub(crate) asked: Asked,
}

impl Session {
    /// Enters the namespaces and opens the store. No thread may exist yet.
    pub(crate) fn open(package: Package, places: &Places, settings: Settings, cx: &Context) -> Result<Self, Failure> {
        enter()?;
        let store = Arc::new(open_store(places, &cx.terminal)?);
        let settings = Arc::new(settings);
        let engine = Engine {
            store: store.clone(),
            backends: registry::backends(&store),
            steps: Arc::new(registry::Guest),
            package: format!("{}/{}", package.root.display(), package.entry),
        };
        let stat_cache = Arc::new(StatCache::open(&places.store.join("stat-cache")));
        Ok(Self { package, settings, engine, terminal: cx.terminal, stat_cache })
    }

    /// Makes the plan; prints what the compiler says.
    ///
    /// # Errors
    /// The exit code to end with, where the program does not hold.
    pub(crate) fn compile(&self, arguments: Arguments, format: Format) -> Result<Compiled, Exit> {
        let stat_cache = self.stat_cache.clone();
        let hash = Box::new(move |path: &std::path::Path, _: &std::fs::Metadata| stat_cache.digest(path));
        compiled(&self.package, arguments, format, hash, &self.terminal)
    }

    /// Keeps the digests of files for the next time.
    pub(crate) fn save_stat_cache(&self) {
        // A cache that cannot be kept only costs time.
        if let Err(error) = self.stat_cache.save() {
            tracing::debug!("the stat cache was not kept: {error}");
        }
    }

    /// The circumstances of calls into the engine.
    pub(crate) fn circumstances(&self, cancel: &CancellationToken, events: EventSink) -> Cx {
        Cx {
            cancel: cancel.clone(),
            events,
            node: None,
            package: self.package.root.clone(),
            settings: self.settings.clone(),
            journal: imgc_backend::Journal::default(),
            secrets: Secrets::default(),
        }
    }

    /// What the store may take, in bytes.
    pub(crate) fn budget(&self) -> Option<u64> {
        self.package.manifest.settings.cache_size.or_else(|| imgc_store::default_budget(&self.engine.store).ok())
    }

    /// What a run with so many jobs may use at once: what `imgc.toml` says, else what this machine has.
    pub(crate) fn limits(&self, jobs: NonZeroUsize) -> Limits {
        let said = &self.package.manifest.settings.limits;
        let there = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).max(jobs.get());
        Limits {
            cpus: said.cpus.or_else(|| u32::try_from(there).ok()),
            memory: said.memory.or_else(memory),
            machines: said.machines,
            backends: said.backends.clone(),
        }
    }

    /// Locks the sources of the selected nodes, writes `imgc.lock` where it changed and returns what changed.
    pub(crate) async fn lock(
        &self,
        (plan, sources): (&mut Plan, &Sources),
        (mode, unsaved): (&LockMode, Unsaved),
        nodes: Option<&BTreeSet<NodeId>>,
        cx: &Cx,
    ) -> Result<Vec<LockChange>, Failure> {
        let before = lockfile::read(&self.package.root)?;
        let mut lock = before.clone();
        let result = imgc_engine::lock_sources(&self.engine, plan, &mut lock, mode, nodes, cx).await;
        // What was locked before a failure is kept: the next attempt need not ask again. What another imgc has added
        // to the file since it was read stays in it.
        if lock.sources != before.sources {
            for (key, locked) in lockfile::read(&self.package.root)?.sources {
                if !before.sources.contains_key(&key) {
                    lock.sources.entry(key).or_insert(locked);
                }
            }
            let written = lockfile::write(&self.package.root, &lock);
            if let (Err(failure), Unsaved::IsSaid) = (&written, unsaved) {
                let causes: Vec<&str> = failure.causes.iter().map(String::as_str).collect();
                self.terminal.warning(format_args!(
                    "the lock was not saved: {}: {}",
                    failure.message,
                    causes.join(": ")
                ));
            } else {
                written?;
            }
        }
        result.map_err(|error| self.engine_failure(plan, sources, &error))
    }

    /// Selects what was asked for.
    pub(crate) fn select(&self, (plan, sources): (&Plan, &Sources), targets: &[String]) -> Result<Selection, Failure> {
        imgc_engine::select(plan, targets).map_err(|error| {
            if let EngineError::UnknownName { name, .. } = &error
                && plan.tests.iter().any(|test| test.address.0 == *name)
            {
                return Failure::usage(format!("`{name}` is a test")).help(format!("`imgc test '{name}'` runs it"));
            }
            self.engine_failure(plan, sources, &error)
        })
    }

    /// An error of the engine as a failure; what points at the program is printed at once.
    pub(crate) fn engine_failure(&self, plan: &Plan, sources: &Sources, error: &EngineError) -> Failure {
        let exit = Exit::from(error.fault());
        if let EngineError::Refused(refused) = error {
            for refused in refused {
                failure::refused(&self.terminal, plan, sources, refused);
            }
            return Failure::with(exit, "nothing was started");
        }
        if failure::lock(&self.terminal, plan, sources, error) {
            return Failure::with(exit, "nothing was started");
        }
        let mut made = Failure::with(exit, error.to_string());
        made.help = error.help();
        match std::error::Error::source(error) {
            Some(source) => made.because(source),
            None => made,
        }
    }
}

/// Makes the plan with `hash` for the digests of files; prints what the compiler says.
fn compiled(
    package: &Package,
    arguments: Arguments,
    format: Format,
    hash: Box<HashFile>,
    terminal: &Terminal,
) -> Result<Compiled, Exit> {
    let world = DiskWorld::new(&package.root, arguments, hash);
    let planned = imgc_compiler::plan(&world, &package.entry);
    if planned.plan.is_none() || !planned.diagnostics.is_empty() {
        diagnostic::print(terminal, format, &planned.diagnostics, &planned.sources);
    }
    let Some(plan) = planned.plan else {
        if !diagnostic::has_errors(&planned.diagnostics) {
            terminal.err("internal error: no plan and no reason for it; please report it");
            return Err(Exit::Internal);
        }
        return Err(Exit::Program);
    };
    Ok(Compiled { plan, sources: planned.sources, asked: world.asked() })
}

/// Makes the plan without a store: every file is read.
///
/// # Errors
/// The exit code to end with, where the program does not hold.
pub(crate) fn compile_only(package: &Package, arguments: Arguments, cx: &Context) -> Result<Plan, Exit> {
    let hash = Box::new(|path: &std::path::Path, _: &std::fs::Metadata| read_and_hash(path));
    compiled(package, arguments, Format::Human, hash, &cx.terminal).map(|compiled| compiled.plan)
}

fn read_and_hash(path: &std::path::Path) -> std::io::Result<Digest> {
    imgc_store::hash_file(path).map(|hashed| hashed.digest).map_err(std::io::Error::other)
}

/// Nine tenths of the memory that could be had now; none where that is not known.
fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024 / 10 * 9)
}

/// Enters the namespaces in which trees are read and written. No thread may exist yet.
pub(crate) fn enter() -> Result<(), Failure> {
    match imgc_rootfs::enter() {
        Ok(_) => Ok(()),
        Err(error) => {
            let mut failure = Failure::environment(error.message);
            failure.help = Some(error.help.unwrap_or_else(|| "`imgc doctor` tells what this machine lacks".to_owned()));
            Err(failure)
        }
    }
}

/// Opens the store and passes on what it has to say.
pub(crate) fn open_store(places: &Places, terminal: &Terminal) -> Result<Store, Failure> {
    let store = Store::open(&places.store).map_err(|error| store_failure(&error))?;
    store.notes().iter().for_each(|note| terminal.note(&note.0));
    Ok(store)
}

/// An error of the store as a failure.
pub(crate) fn store_failure(error: &imgc_store::StoreError) -> Failure {
    let mut failure = Failure::environment(error.to_string());
    failure.help = error.help();
    match std::error::Error::source(error) {
        Some(source) => failure.because(source),
        None => failure,
    }
}

/// The runtime for what waits.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::io("cannot start the threads that steps run on"))
}
