//! Errors of other crates as those of a backend.

use imgc_backend::BackendError;
pub(crate) use imgc_backend::error::chain;
use imgc_store::StoreError;

use crate::protocol::Failure;

/// What the store reports.
pub(crate) fn store(error: StoreError) -> BackendError {
    let help = error.help();
    if let StoreError::Io { source, action, path } = error {
        return BackendError::Io { doing: format!("cannot {action} {}", path.display()), source };
    }
    BackendError::Environment { message: chain(&error), help }
}

/// What the keeper reports of a program that was never run.
pub(crate) fn never_run(failure: Failure) -> BackendError {
    match failure {
        Failure::Missing { message, help } => BackendError::Program { message, help },
        Failure::System { doing, errno } => {
            let source = std::io::Error::from_raw_os_error(errno);
            BackendError::Io { doing: format!("cannot {doing}"), source }
        }
    }
}

/// Work on a blocking thread that panicked.
pub(crate) fn panicked(_: tokio::task::JoinError) -> BackendError {
    BackendError::Internal { message: "work on files of the store broke off".to_owned() }
}

/// A step that failed where nothing can be written any more.
pub(crate) fn full(at: &std::path::Path) -> BackendError {
    let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
    BackendError::Io { doing: format!("the step failed, and there is no space left at {}", at.display()), source }
}
