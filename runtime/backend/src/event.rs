//! What a run tells while it goes on.

use std::sync::Arc;
use std::time::Duration;

use imgc_plan::{Address, NodeId};

/// Which stream of a process a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// imgc itself: which network a step got, which copy was chosen.
    Note,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A node begins to run.
    Started {
        /// The node.
        node: NodeId,
        /// Its address.
        address: Address,
    },
    /// A piece of output of a running node, as it came; not always a whole line, not always UTF-8 at its ends.
    Output {
        /// The node.
        node: NodeId,
        /// Where it came from.
        stream: Stream,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A node's result was found in the store.
    Cached {
        /// The node.
        node: NodeId,
        /// Its address.
        address: Address,
    },
    /// A node ended well and its layer is committed.
    Finished {
        /// The node.
        node: NodeId,
        /// Its address.
        address: Address,
        /// Wall clock.
        took: Duration,
    },
    /// A node failed.
    Failed {
        /// The node.
        node: NodeId,
        /// Its address.
        address: Address,
        /// The error in one line.
        error: String,
    },
    /// Something to say once, about no node.
    Note {
        /// One sentence.
        text: String,
    },
}

/// Where events go; cheap to clone. A sink never blocks for long and never fails.
#[derive(Clone)]
pub struct EventSink(Arc<dyn Fn(Event) + Send + Sync>);

impl EventSink {
    /// A sink that calls `receive` for each event, from any thread.
    pub fn new(receive: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(receive))
    }

    /// Sends an event.
    pub fn send(&self, event: Event) {
        (self.0)(event);
    }
}

impl std::fmt::Debug for EventSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventSink")
    }
}
