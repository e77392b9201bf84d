//! Errors of other crates, and of QEMU, as those of a backend.

use std::error::Error;

use imgc_backend::BackendError;
use imgc_store::StoreError;

use crate::qmp::QmpError;

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
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

/// What the store reports.
pub(crate) fn store(error: StoreError) -> BackendError {
    let help = error.help();
    if let StoreError::Io { source, action, path } = error {
        return BackendError::Io { doing: format!("cannot {action} {}", path.display()), source };
    }
    BackendError::Environment { message: chain(&error), help }
}

/// What a monitor reports.
pub(crate) fn qmp(error: &QmpError) -> BackendError {
    BackendError::Environment { message: error.to_string(), help: None }
}

/// Work on a blocking thread that panicked.
pub(crate) fn panicked(_: tokio::task::JoinError) -> BackendError {
    BackendError::Internal { message: "work on files of the store broke off".to_owned() }
}

/// The arguments of a node that are not those of its kind.
pub(crate) fn arguments(address: &imgc_plan::Address, error: &serde_json::Error) -> BackendError {
    BackendError::Internal { message: format!("arguments of {address}: {error}") }
}
