//! The life of a request: handed to the pool, perhaps again, answered once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lsp_server::{ErrorCode, Request, RequestId, Response, ResponseError};
use serde_json::{Value, json};

use crate::dispatch::{self, Policy, WhenOutdated};
use crate::handlers::{Answer, Ask, Failure};
use crate::server::{Event, Server};
use crate::snapshot::Snapshot;

/// A request that has no answer yet.
pub(crate) struct Pending {
    method: String,
    params: Value,
    policy: Policy,
    cancelled: Arc<AtomicBool>,
    /// Of the last time it was handed to the pool: what comes of an earlier one is nobody's.
    serial: u64,
    /// What it is being answered from.
    here: Option<(Arc<Snapshot>, String)>,
}

impl Server {
    /// A new request.
    pub(crate) fn request(&mut self, request: Request) {
        let Request { id, method, params } = request;
        let Some(policy) = dispatch::policy(&method) else {
            let message = format!("`{method}` is not known");
            self.send(Response::new_err(id, ErrorCode::MethodNotFound as i32, message));
            return;
        };
        if self.pending.contains_key(&id) {
            let message = format!("a request with the id {id} is still being answered");
            self.send(Response::new_err(id, ErrorCode::InvalidRequest as i32, message));
            return;
        }
        let cancelled = Arc::new(AtomicBool::new(false));
        self.pending.insert(id.clone(), Pending { method, params, policy, cancelled, serial: 0, here: None });
        self.hand_over(&id);
    }

    /// Hands a request to the pool, to be answered from the newest snapshot.
    fn hand_over(&mut self, id: &RequestId) {
        let Some(pending) = self.pending.get_mut(id) else { return };
        self.serial += 1;
        pending.serial = self.serial;
        pending.here = dispatch::uri(&pending.params)
            .map(|uri| self.workspace.name(uri))
            .and_then(|name| self.workspace.package_of(&name));
        let ask = Ask {
            here: pending.here.clone(),
            all: self.workspace.packages().cloned().collect(),
            cancelled: pending.cancelled.clone(),
            tokens: self.tokens.clone(),
        };
        let (id, serial, events) = (id.clone(), self.serial, self.events.clone());
        let (method, params) = (pending.method.clone(), pending.params.clone());
        self.pool.spawn(pending.policy.priority, move || {
            let outcome = if ask.is_cancelled() {
                Ok(Err(Failure::Stopped))
            } else {
                guarded(|| dispatch::answer(&method, &ask, params))
            };
            // The receiver outlives the pool.
            let _ = events.send(Event::Answered { id, serial, outcome });
        });
    }

    /// What a thread of the pool made of a request.
    pub(crate) fn answered(&mut self, id: &RequestId, serial: u64, outcome: Result<Answer<Value>, String>) {
        let Some(pending) = self.pending.get(id).filter(|pending| pending.serial == serial) else { return };
        let outdated = pending.here.as_ref().is_some_and(|(snapshot, _)| snapshot.is_outdated());
        let stopped = matches!(outcome, Ok(Err(Failure::Stopped)));
        if (stopped || outdated) && outcome.is_ok() && pending.policy.when_outdated != WhenOutdated::Never {
            let changed = self.has_changed(pending);
            let again = pending.policy.when_outdated == WhenOutdated::Retry || (!changed && stopped);
            if again {
                self.hand_over(id);
                return;
            }
            if stopped || changed {
                let error = outdated_error(pending.policy.when_outdated);
                self.finish(id, Err(error));
                return;
            }
        }
        let result = match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(failure)) => Err(error(failure.code(), failure.message())),
            Err(panic) => {
                tracing::error!("`{}` panicked: {panic}", pending.method);
                let message = format!("internal error: {panic}; please report it with the text that led to it");
                Err(error(ErrorCode::InternalError, message))
            }
        };
        self.finish(id, result);
    }

    /// Whether the text that a request is about is another than the one it is being answered from.
    fn has_changed(&self, pending: &Pending) -> bool {
        pending.here.as_ref().is_none_or(|(snapshot, path)| {
            let now = self.workspace.document(&snapshot.root.name(path)).map(|document| document.version);
            now != snapshot.version(path)
        })
    }

    fn finish(&mut self, id: &RequestId, response_result: Result<Value, ResponseError>) {
        if self.pending.remove(id).is_some() {
            self.send(Response { id: id.clone(), response_result });
        }
    }

    /// The client does not want an answer any more, and gets the one that says so.
    pub(crate) fn cancel(&mut self, id: &RequestId) {
        if let Some(pending) = self.pending.get(id) {
            pending.cancelled.store(true, Ordering::Relaxed);
            self.finish(id, Err(error(ErrorCode::RequestCanceled, "cancelled by the client".to_owned())));
        }
    }

    /// Ends all requests: the client wants to go.
    pub(crate) fn abandon(&mut self) {
        let ids: Vec<_> = self.pending.keys().cloned().collect();
        for id in ids {
            self.cancel(&id);
        }
        for snapshot in self.workspace.packages() {
            snapshot.outdate();
        }
    }
}

fn error(code: ErrorCode, message: String) -> ResponseError {
    ResponseError { code: code as i32, message, data: None }
}

fn outdated_error(when: WhenOutdated) -> ResponseError {
    let message = Failure::Stopped.message();
    match when {
        WhenOutdated::AskAgain => ResponseError {
            code: ErrorCode::ServerCancelled as i32,
            message,
            data: Some(json!({ "retriggerRequest": true })),
        },
        WhenOutdated::Retry | WhenOutdated::Tell | WhenOutdated::Never => error(ErrorCode::ContentModified, message),
    }
}

/// Runs a piece of work; a panic is its error and goes no further.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "unknown".to_owned())
    })
}
