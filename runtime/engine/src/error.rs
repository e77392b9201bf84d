//! What can go wrong before, during and after a run.

use std::fmt;
use std::path::PathBuf;

use imgc_backend::{BackendError, Fault};
use imgc_plan::{Address, NodeId};

/// An operation that could not be done; nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Nodes that no backend here can build. Never empty.
    #[error("{}", refused_text(.0))]
    Refused(Vec<Refused>),
    /// A name on the command line that the plan does not have.
    #[error("the plan has no output, image or step named `{name}`")]
    UnknownName {
        /// As it was given.
        name: String,
        /// The nearest names there are.
        near: Vec<String>,
    },
    /// `--rerun` names something that the command does not build.
    #[error("`{name}` is not among what is built: {}", quoted(.targets))]
    RerunOutside {
        /// As it was given.
        name: String,
        /// What is built.
        targets: Vec<String>,
    },
    /// A step whose machine cannot be opened, since what it stands on was never built or was dropped.
    #[error("{message}")]
    NotThere {
        /// What is missing.
        message: String,
        /// What to do.
        help: String,
    },
    /// A machine could not be opened.
    #[error("cannot open the machine of `{address}`")]
    Open {
        /// The node it was to stand on.
        address: Address,
        /// Why.
        source: BackendError,
    },
    /// A name for `imgc update` that no source has.
    #[error("no source of this program is named `{name}`")]
    UnknownSource {
        /// As it was given.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A value of an output that cannot be had of what was built.
    #[error("the output `{name}` has no value: {source}")]
    Value {
        /// The output.
        name: String,
        /// Why.
        source: BackendError,
    },
    /// `--locked`, and the lock lacks an entry.
    #[error("imgc.lock has no entry for {}", .sources.join(", "))]
    NotLocked {
        /// Kinds and addresses of the sources.
        sources: Vec<String>,
    },
    /// A source could not be locked.
    #[error("cannot lock the source of `{address}`")]
    Lock {
        /// The source.
        node: NodeId,
        /// Its address.
        address: Address,
        /// Why.
        source: BackendError,
    },
    /// A backend could not say whether its layers are there.
    #[error("cannot look up the layers of `{backend}`")]
    Presence {
        /// The backend.
        backend: String,
        /// Why.
        source: BackendError,
    },
    /// The store failed.
    #[error("{doing}")]
    Store {
        /// What was tried on what.
        doing: String,
        /// Why it failed.
        source: imgc_store::StoreError,
    },
    /// Something in the store turned out damaged as it was to leave it, and was set aside.
    #[error("{what} was damaged in the cache and was set aside")]
    Damaged {
        /// `the artifact for container.tar`.
        what: String,
    },
    /// A file of the engine's own (logs, journal, outputs) could not be read or written.
    #[error("{doing}")]
    Io {
        /// What was tried on what.
        doing: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// A broken invariant of ours.
    #[error("internal error: {message}; please report it")]
    Internal {
        /// What was found.
        message: String,
    },
}

/// A node that cannot be built here, found before anything started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The node.
    pub node: NodeId,
    /// Its address.
    pub address: Address,
    /// One sentence: "`disk.convert` is not built yet".
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// Whether the program or the environment has to change, or imgc itself.
    pub fault: Fault,
}

/// A run that did not reach its end. What was finished before is in the store.
#[derive(Debug)]
pub enum ApplyError {
    /// Nothing was started, or the run ended well and what follows it (placing outputs, publishing) failed.
    Engine(EngineError),
    /// Nodes failed. Never empty; in the order in which they failed.
    Failed(Vec<Failure>),
    /// Asked to stop.
    Interrupted {
        /// How many nodes were still to be done.
        left: usize,
    },
}

/// A node that failed.
#[derive(Debug)]
pub struct Failure {
    /// The node.
    pub node: NodeId,
    /// Its address.
    pub address: Address,
    /// Why.
    pub error: BackendError,
    /// The last lines of its output, at most 20; may be empty.
    pub last_lines: Vec<String>,
    /// The whole output.
    pub log: Option<PathBuf>,
    /// What its machine was parked as, for `imgc shell`; none where it is gone.
    pub parked: Option<String>,
}

impl EngineError {
    /// For `map_err`: what was being done to the store.
    pub(crate) fn store(doing: impl Into<String>) -> impl FnOnce(imgc_store::StoreError) -> Self {
        let doing = doing.into();
        move |source| Self::Store { doing, source }
    }

    /// For `map_err`: what was being done to a file.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// Who can mend it; of several refusals the first one that the program itself can mend, else the first.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Refused(refused) => {
                let faults = || refused.iter().map(|r| r.fault);
                faults().find(|f| *f == Fault::Program).or_else(|| faults().next()).unwrap_or(Fault::Internal)
            }
            Self::UnknownName { .. }
            | Self::UnknownSource { .. }
            | Self::NotLocked { .. }
            | Self::NotThere { .. }
            | Self::RerunOutside { .. } => Fault::Program,
            Self::Lock { source, .. }
            | Self::Open { source, .. }
            | Self::Presence { source, .. }
            | Self::Value { source, .. } => source.fault(),
            Self::Store { .. } | Self::Io { .. } | Self::Damaged { .. } => Fault::Environment,
            Self::Interrupted => Fault::Interrupted,
            Self::Internal { .. } => Fault::Internal,
        }
    }

    /// What to do about it, where that is known.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Refused(refused) => refused.iter().find_map(|r| r.help.clone()),
            Self::UnknownName { near, .. } if !near.is_empty() => Some(format!("did you mean {}?", quoted(near))),
            Self::UnknownSource { known, .. } if !known.is_empty() => {
                Some(format!("its sources are {}", quoted(known)))
            }
            Self::NotLocked { .. } => {
                Some("run the command without --locked once to add it, and commit imgc.lock".to_owned())
            }
            Self::NotThere { help, .. } => Some(help.clone()),
            Self::RerunOutside { name, .. } => Some(format!("name `{name}` as a target too, or leave out --rerun")),
            Self::Lock { source, .. }
            | Self::Open { source, .. }
            | Self::Presence { source, .. }
            | Self::Value { source, .. } => source.help().map(str::to_owned),
            Self::Store { source, .. } => source.help(),
            Self::Damaged { .. } => Some("run the same command again: it is built anew".to_owned()),
            Self::Io { .. } => {
                let why = "make room for it, or let it be written, and run the same command again";
                Some(format!("{why}: what was built stays cached"))
            }
            Self::UnknownName { .. } | Self::UnknownSource { .. } | Self::Interrupted | Self::Internal { .. } => None,
        }
    }
}

impl ApplyError {
    /// Who can mend it: of the first failure.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Engine(error) => error.fault(),
            Self::Failed(failures) => match failures.first().map(|failure| failure.error.fault()) {
                // Whoever has to mend the program: by now something was started, which `Program` would deny.
                Some(Fault::Program) => Fault::Build,
                fault => fault.unwrap_or(Fault::Internal),
            },
            Self::Interrupted { .. } => Fault::Interrupted,
        }
    }
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => error.fmt(f),
            Self::Failed(failures) => match failures.as_slice() {
                [only] => write!(f, "`{}` failed", only.address),
                all => write!(f, "{} nodes failed", all.len()),
            },
            Self::Interrupted { left } => write!(f, "interrupted with {left} left to do"),
        }
    }
}

impl std::error::Error for ApplyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Engine(error) => std::error::Error::source(error),
            Self::Failed(failures) => failures.first().map(|f| &f.error as &(dyn std::error::Error + 'static)),
            Self::Interrupted { .. } => None,
        }
    }
}

impl From<EngineError> for ApplyError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

fn refused_text(refused: &[Refused]) -> String {
    let lines: Vec<String> = refused.iter().map(|r| format!("{}: {}", r.address, r.message)).collect();
    lines.join("; ")
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
