//! Ctrl-C: once politely, twice for good.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;

/// The two ways to stop a run.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    /// Nothing new starts; what runs comes to its end.
    pub(crate) politely: CancellationToken,
    /// What runs is ended too.
    pub(crate) now: CancellationToken,
}

impl Stop {
    /// Neither has fired.
    pub(crate) fn new() -> Self {
        Self { politely: CancellationToken::new(), now: CancellationToken::new() }
    }

    /// Waits for `work` and meanwhile for signals: the first SIGINT stops politely, the second, SIGTERM and SIGHUP
    /// at once. `say` tells people what a signal did. The work is always waited for: it cleans up.
    pub(crate) async fn while_running<T>(
        &self,
        work: impl Future<Output = T>,
        say: impl Fn(&str),
    ) -> Result<T, Failure> {
        let watch = |kind| signal(kind).map_err(Failure::io("cannot watch for signals"));
        let (mut interrupt, mut terminate, mut hangup) =
            (watch(SignalKind::interrupt())?, watch(SignalKind::terminate())?, watch(SignalKind::hangup())?);
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                () = received(&mut interrupt) => {
                    if self.politely.is_cancelled() {
                        say("stopping what runs");
                        self.now.cancel();
                    } else {
                        say("interrupted: nothing new is started, what runs comes to its end; again to stop it now");
                        self.politely.cancel();
                    }
                }
                () = received(&mut terminate) => self.at_once(&say),
                () = received(&mut hangup) => self.at_once(&say),
            }
        }
    }

    fn at_once(&self, say: &impl Fn(&str)) {
        say("asked to end: stopping what runs");
        self.politely.cancel();
        self.now.cancel();
    }
}

/// A stream of signals that ended never fires again.
async fn received(signal: &mut Signal) {
    if signal.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}
