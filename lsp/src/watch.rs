//! What happens to files beside the editor: what the client is asked to report, and what we look for ourselves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;

use crate::lsp;
use crate::root::Root;
use crate::snapshot::Snapshot;

/// What the client shall report.
pub(crate) fn registration() -> lsp::RegistrationParams {
    let watchers: Vec<_> =
        ["**/*.imgc", "**/imgc.toml", "**/imgc.lock"].map(|glob| json!({ "globPattern": glob })).into();
    lsp::RegistrationParams {
        registrations: vec![lsp::Registration {
            id: "imgc.files".to_owned(),
            method: "workspace/didChangeWatchedFiles".to_owned(),
            register_options: Some(json!({ "watchers": watchers })),
        }],
    }
}

/// What a package's progress is called.
pub(crate) fn token(root: &Root) -> lsp::ProgressToken {
    lsp::ProgressToken::String(format!("imgc/{}", root.shown()))
}

/// What was last seen of things that no client reports.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The process of the client.
    parent: Option<u64>,
    /// What the last plans say, by package; locked while somebody looks.
    planned: Mutex<BTreeMap<Root, Vec<(String, String)>>>,
}

impl Seen {
    /// `parent` is the process that the client says it is.
    pub(crate) fn new(parent: Option<u64>) -> Self {
        Self { parent, planned: Mutex::default() }
    }

    /// Whether the client has died without closing its streams.
    pub(crate) fn parent_is_gone(&self) -> bool {
        let processes = std::path::Path::new("/proc");
        self.parent
            .is_some_and(|parent| processes.join("self").exists() && !processes.join(parent.to_string()).exists())
    }

    /// The packages whose files have changed, and whether a plan has; none if nothing has or somebody else looks.
    pub(crate) fn look(&self, snapshots: &[Arc<Snapshot>]) -> Option<(Vec<Root>, bool)> {
        let mut known = match self.planned.try_lock() {
            Ok(known) => known,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => PoisonError::into_inner(poisoned),
            Err(std::sync::TryLockError::WouldBlock) => return None,
        };
        let mut changed = Vec::new();
        let mut planned = false;
        for snapshot in snapshots {
            if snapshot.refresh_disk() {
                changed.push(snapshot.root.clone());
            }
            let open = snapshot.open_modules().map(|(path, _)| path);
            let now: Vec<_> = open.flat_map(|path| snapshot.planned(&path)).collect();
            let before = known.insert(snapshot.root.clone(), now.clone());
            planned |= before.is_some_and(|before| before != now);
        }
        (planned || !changed.is_empty()).then_some((changed, planned))
    }
}
