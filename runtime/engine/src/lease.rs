//! Waiting for a lease of the store without holding up a thread.

use std::time::Duration;

use imgc_store::{Lease, Store};
use tokio_util::sync::CancellationToken;

use crate::EngineError;

/// What ends a wait.
pub(crate) struct Waits {
    pub(crate) stop: CancellationToken,
    pub(crate) cancel: CancellationToken,
}

/// Takes the lease of `name`, waiting for whoever has it; `waiting` is called once where that takes time.
///
/// # Errors
/// The store's, and [`EngineError::Interrupted`].
pub(crate) async fn leased(
    store: &Store,
    name: &str,
    waits: &Waits,
    waiting: impl FnOnce(),
) -> Result<Lease, EngineError> {
    let attempt = || store.try_lease(name).map_err(EngineError::store(format!("cannot take the lease of {name}")));
    let mut waiting = Some(waiting);
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(lease) = attempt()? {
            return Ok(lease);
        }
        if let Some(waiting) = waiting.take() {
            waiting();
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = waits.stop.cancelled() => return Err(EngineError::Interrupted),
            () = waits.cancel.cancelled() => return Err(EngineError::Interrupted),
        }
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}
