//! What every call into a backend brings along.

use std::collections::BTreeMap;
use std::path::PathBuf;

use imgc_plan::NodeId;
use tokio_util::sync::CancellationToken;

use crate::{Event, EventSink, Journal, Stream};

/// The circumstances of a call: cancellation, events, settings. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cx {
    /// Fires on Ctrl-C or when the run fails; every wait is also a wait for it.
    pub cancel: CancellationToken,
    /// Where progress and output go.
    pub events: EventSink,
    /// The node that the call is about, where there is one.
    pub node: Option<NodeId>,
    /// The package: the directory that relative file inputs are below.
    pub package: PathBuf,
    /// Settings that reach steps and downloads and are in no fingerprint.
    pub settings: std::sync::Arc<Settings>,
    /// Where effects outside the store are written down before they happen.
    pub journal: Journal,
    /// Who has the values of secrets: ask with [`Cx::reveal`] when the step runs.
    pub secrets: crate::Secrets,
}

/// Proxies, certificates, mirrors: how the outside is reached, never what is built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `http_proxy`, `https_proxy`, `no_proxy` in both spellings, as the environment has them.
    pub proxies: BTreeMap<String, String>,
    /// PEM files of further certificate authorities.
    pub ca_files: Vec<PathBuf>,
    /// Debian mirrors by suite; the key `*` stands for all.
    pub debian_mirrors: BTreeMap<String, String>,
    /// Registry mirrors by registry host: `docker.io` → `http://127.0.0.1:5000`.
    pub registry_mirrors: BTreeMap<String, String>,
    /// Seconds since 1970 that replace the epoch of sources.
    pub epoch: Option<i64>,
    /// At most so many layers in a chain before it is flattened.
    pub max_chain: Option<usize>,
    /// Machines start from their disks alone, as if nothing had been kept of their memory.
    pub cold: bool,
    /// What an earlier run kept of machines without being asked is not used: everything is made anew.
    pub afresh: bool,
}

impl Cx {
    /// Circumstances without node, settings, journal and secrets: what tests and clean-up need.
    pub fn plain(cancel: CancellationToken, events: EventSink, package: PathBuf) -> Self {
        let (settings, journal, secrets) = (std::sync::Arc::default(), Journal::default(), crate::Secrets::default());
        Self { cancel, events, node: None, package, settings, journal, secrets }
    }

    /// The same circumstances for another node.
    #[must_use]
    pub fn for_node(&self, node: NodeId) -> Self {
        Self { node: Some(node), ..self.clone() }
    }

    /// Says something about the node at hand, in its log.
    pub fn note(&self, text: impl AsRef<str>) {
        match self.node {
            Some(node) => {
                let bytes = format!("{}\n", text.as_ref()).into_bytes();
                self.events.send(Event::Output { node, stream: Stream::Note, bytes });
            }
            None => self.events.send(Event::Note { text: text.as_ref().to_owned() }),
        }
    }
}
