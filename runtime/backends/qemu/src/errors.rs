//! Errors of other crates, and of QEMU, as those of a backend.

use imgc_backend::BackendError;
pub(crate) use imgc_backend::error::chain;
use imgc_store::StoreError;

use crate::qmp::QmpError;

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
