//! Errors that cross the backend boundary.

use std::time::Duration;

/// Who can mend it; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The program, a plan file, a lock under `--locked`: exit 1.
    Program,
    /// A step, a source, a registry: exit 3.
    Build,
    /// A missing tool, right, daemon, space: exit 4.
    Environment,
    /// Not built yet: exit 4.
    NotBuilt,
    /// Interrupted: exit 5.
    Interrupted,
    /// Our bug: exit 70.
    Internal,
}

/// What went wrong in a backend.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// A step ended with a code it should not end with.
    #[error("{what} ended with {how}")]
    StepFailed {
        /// `sh "enable"`.
        what: String,
        /// `exit code 2`, `signal 9 (killed)`.
        how: String,
    },
    /// A step took longer than its timeout.
    #[error("{what} was stopped after its timeout of {after:?}")]
    TimedOut {
        /// As above.
        what: String,
        /// The timeout.
        after: Duration,
    },
    /// A source, archive or registry did not give what was asked.
    #[error("{message}")]
    Source {
        /// What was tried on what.
        message: String,
        /// What to do.
        help: Option<String>,
    },
    /// The environment lacks something.
    #[error("{message}")]
    Environment {
        /// What is missing.
        message: String,
        /// How to get it.
        help: Option<String>,
    },
    /// The arguments do not hold, which only showed now.
    #[error("{message}")]
    Program {
        /// What does not hold.
        message: String,
        /// What to do.
        help: Option<String>,
    },
    /// The connection to a machine ended while something ran in it.
    #[error("{message}")]
    Disconnected {
        /// What was being done, and what was seen of its end.
        message: String,
        /// What to do.
        help: Option<String>,
    },
    /// A machine failed, or what ran in it ran out of something: the cause, as it was seen from outside.
    #[error("{message}")]
    Machine {
        /// What happened to it, and in what.
        message: String,
        /// What to do, and where its console and screen are kept.
        help: Option<String>,
    },
    /// A step left a secret where others can read it.
    #[error("{what} left the secret `{secret}` in its layer: {place} holds it {form}")]
    Leaked {
        /// `sh "enable"`.
        what: String,
        /// The name of the secret.
        secret: String,
        /// `as it is`, `in base64`.
        form: &'static str,
        /// `the file /etc/token`.
        place: String,
    },
    /// Asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// A file, process or network operation failed.
    #[error("{doing}")]
    Io {
        /// What was tried on what: `cannot write out/x`.
        doing: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A broken invariant of ours.
    #[error("internal error: {message}; please report it")]
    Internal {
        /// What was found.
        message: String,
    },
}

impl BackendError {
    /// For `map_err`: what was being done.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// Who can mend it. Lack of space and rights is the environment's fault, whoever met it.
    pub fn fault(&self) -> Fault {
        use std::io::ErrorKind;
        match self {
            Self::StepFailed { .. } | Self::TimedOut { .. } | Self::Source { .. } | Self::Disconnected { .. } => {
                Fault::Build
            }
            Self::Leaked { .. } | Self::Machine { .. } => Fault::Build,
            Self::Environment { .. } => Fault::Environment,
            Self::Program { .. } => Fault::Program,
            Self::Interrupted => Fault::Interrupted,
            Self::Io { source, .. } => {
                let environment = matches!(
                    source.kind(),
                    ErrorKind::StorageFull
                        | ErrorKind::QuotaExceeded
                        | ErrorKind::ReadOnlyFilesystem
                        | ErrorKind::PermissionDenied
                        | ErrorKind::NotFound
                );
                if environment { Fault::Environment } else { Fault::Build }
            }
            Self::Internal { .. } => Fault::Internal,
        }
    }

    /// What to do about it, where that is known.
    pub fn help(&self) -> Option<&str> {
        match self {
            Self::Source { help, .. }
            | Self::Environment { help, .. }
            | Self::Program { help, .. }
            | Self::Disconnected { help, .. }
            | Self::Machine { help, .. } => help.as_deref(),
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("free some space, for instance with `imgc cache rm`, and run the same command again")
            }
            Self::Leaked { .. } => Some(
                "the layer was dropped; remove the file in the same step, or keep it below /run, which is in no layer",
            ),
            Self::StepFailed { .. }
            | Self::TimedOut { .. }
            | Self::Interrupted
            | Self::Io { .. }
            | Self::Internal { .. } => None,
        }
    }
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
