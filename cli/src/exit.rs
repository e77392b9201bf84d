//! How a command ends: exit codes and the failures behind them.

use std::error::Error;

use imgc_backend::{BackendError, Fault};

/// An exit code, as `design` promises them to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All went well.
    Done,
    /// The program, a lock under `--locked` or a plan file does not hold; `fmt --check` found differences.
    Program,
    /// The command line was wrong.
    Usage,
    /// A step, source or registry failed.
    Build,
    /// The environment lacks a tool, right, daemon or space; or something is not built yet.
    Environment,
    /// Interrupted, and cleaned up.
    Interrupted,
    /// `plan --detailed-exitcode`: something would run.
    WouldRun,
    /// Our bug.
    Internal,
    /// What a program in a machine ended with: `imgc shell ADDRESS -- COMMAND`.
    Of(u8),
}

impl Exit {
    /// The number for the shell.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Program => 1,
            Self::Usage => 2,
            Self::Build => 3,
            Self::Environment => 4,
            Self::Interrupted => 5,
            Self::WouldRun => 10,
            Self::Internal => 70,
            Self::Of(code) => code,
        }
    }
}

impl From<Fault> for Exit {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Program => Self::Program,
            Fault::Build => Self::Build,
            Fault::Environment | Fault::NotBuilt => Self::Environment,
            Fault::Interrupted => Self::Interrupted,
            Fault::Internal => Self::Internal,
        }
    }
}

/// Why a command could not do what it was asked; printed once, by `main`.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What the process ends with.
    pub(crate) exit: Exit,
    /// One sentence, lower case, no full stop.
    pub(crate) message: String,
    /// Each the reason of the one before.
    pub(crate) causes: Vec<String>,
    /// What to do.
    pub(crate) help: Option<String>,
}

/// What commands return.
pub(crate) type Outcome = Result<Exit, Failure>;

impl Failure {
    /// A failure that ends with this code.
    pub(crate) fn with(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), causes: Vec::new(), help: None }
    }

    /// The program or something in the package does not hold.
    pub(crate) fn program(message: impl Into<String>) -> Self {
        Self::with(Exit::Program, message)
    }

    /// The command line asks for what makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::with(Exit::Usage, message)
    }

    /// The environment lacks something.
    pub(crate) fn environment(message: impl Into<String>) -> Self {
        Self::with(Exit::Environment, message)
    }

    /// A broken invariant of ours.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::with(Exit::Internal, format!("internal error: {}; please report it", message.into()))
    }

    /// For `map_err`: an operation on a file that the environment refused.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |error| Self::environment(doing).because(&error)
    }

    /// With the error behind it and all that is behind that.
    #[must_use]
    pub(crate) fn because(mut self, error: &dyn Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            self.causes.push(error.to_string());
            next = error.source();
        }
        self
    }

    /// With what to do.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        let mut failure = Self::with(Exit::from(error.fault()), error.to_string());
        failure.help = error.help().map(str::to_owned);
        match error.source() {
            Some(source) => failure.because(source),
            None => failure,
        }
    }
}
