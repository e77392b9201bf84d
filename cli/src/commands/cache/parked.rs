//! Trees of failed machines that `apply --on-error keep` kept: no entry of the index names them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use imgc_engine::journal;
use imgc_plan::Digest;
use imgc_store::{IndexEntry, Store};

use crate::commands::clean;
use crate::exit::Failure;
use crate::places::Places;
use crate::registry;
use crate::session::runtime;
use crate::signals::Stop;

/// One of them.
pub(super) struct Parked {
    /// What `imgc shell --parked` and `cache rm` take.
    pub(super) name: String,
    /// What goes with it.
    pub(super) bytes: u64,
    /// Seconds since 1970.
    pub(super) since: i64,
}

/// All of them, the oldest first.
pub(super) fn list(store: &Arc<Store>, entries: &[IndexEntry], places: &Places) -> Vec<Parked> {
    let needed: HashSet<&Digest> = entries.iter().flat_map(|entry| &entry.refs).collect();
    let own = |top: Digest| if needed.contains(&top) { None } else { store.tree(&top).ok().flatten() };
    let trees = journal::parked_trees(&places.runs, &registry::backends(store));
    let parked = trees.into_iter().map(|tree| Parked {
        bytes: tree.top.and_then(own).map_or(0, |tree| tree.manifest.disk_size()),
        since: i64::try_from(tree.since.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()).unwrap_or(i64::MAX),
        name: tree.token,
    });
    parked.collect()
}

/// Takes one away by its name; false where none has it.
pub(super) fn remove(store: &Arc<Store>, name: &str, places: &Places) -> Result<bool, Failure> {
    let stop = Stop::new();
    let removed = runtime()?.block_on(async {
        let call = clean::circumstances(places, &stop.now);
        journal::remove_parked(&places.runs, &registry::backends(store), name, &call).await
    });
    removed.map_err(|problem| Failure::environment(format!("cannot remove the kept machine `{name}`: {problem}")))
}
