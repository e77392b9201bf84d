//! `imgc cache export` and `import`: layers on their way from one store to another.

use std::collections::{BTreeSet, HashSet};

use imgc_plan::{Digest, Fingerprint};
use imgc_store::{Depot, IndexEntry, Store};
use serde_json::json;

use super::named;
use crate::args::{CacheExportArgs, CacheImportArgs, Format};
use crate::exit::{Exit, Failure, Outcome};
use crate::render::text::{count, size};
use crate::session::store_failure;
use crate::terminal::Terminal;

/// Writes entries and what they need into a directory.
pub(super) fn export(store: &Store, args: &CacheExportArgs, terminal: &Terminal) -> Outcome {
    let entries = store.all_entries().map_err(|error| store_failure(&error))?;
    let entries = if args.all { entries } else { with_what_is_below(entries, named(store, &args.what)?) };
    let depot = Depot::make(&args.dir).map_err(|error| store_failure(&error))?;
    let exported = store.export(&entries, &depot).map_err(|error| store_failure(&error))?;
    let exit = if exported.left_out.is_empty() { Exit::Done } else { Exit::Build };
    let pushed = exported.pushed;
    if args.format.format == Format::Json {
        terminal.out(json!({
            "format": 1, "entries": exported.entries, "chunks": pushed.chunks, "written": pushed.sent,
            "bytes": pushed.bytes,
            "left_out": exported.left_out.iter().map(|(fingerprint, why)| {
                json!({ "fingerprint": fingerprint, "why": why })
            }).collect::<Vec<_>>(),
        }));
        return Ok(exit);
    }
    for (fingerprint, why) in &exported.left_out {
        terminal.err(format_args!("left out: {}: {why}", fingerprint.short()));
    }
    terminal.out(format_args!(
        "{} in {}: {} of {} written, {}",
        results(exported.entries),
        depot.root().display(),
        pushed.sent,
        count(pushed.chunks, "chunk"),
        size(pushed.bytes)
    ));
    Ok(exit)
}

/// Takes what a directory has and the store has not.
pub(super) fn import(store: &Store, args: &CacheImportArgs, terminal: &Terminal) -> Outcome {
    let depot = Depot::open(&args.dir).map_err(|error| store_failure(&error))?;
    let opaque = if imgc_rootfs::in_user_namespace() { "user.overlay.opaque" } else { "trusted.overlay.opaque" };
    let imported = store.import(&depot, opaque).map_err(|error| store_failure(&error))?;
    let whole = imported.refused.is_empty();
    if args.format.format == Format::Json {
        terminal.out(json!({
            "format": 1, "entries": imported.entries, "had": imported.had, "parts": imported.parts,
            "refused": imported.refused.iter().map(|(fingerprint, why)| {
                json!({ "fingerprint": fingerprint, "why": why })
            }).collect::<Vec<_>>(),
        }));
        return Ok(if whole { Exit::Done } else { Exit::Build });
    }
    for (name, why) in &imported.refused {
        let short: String = name.chars().take(16).collect();
        terminal.err(format_args!("refused: {short}: {why}"));
    }
    let (entries, had) = (results(imported.entries), imported.had);
    let parts = count(imported.parts, "part");
    terminal.out(format_args!("{entries} taken with {parts}; {had} were there already"));
    if whole {
        return Ok(Exit::Done);
    }
    let refused = results(imported.refused.len());
    Err(Failure::with(Exit::Build, format!("{refused} in `{}` cannot be used", depot.root().display()))
        .help("export them again into the same directory, which mends it, and import once more"))
}

fn results(number: usize) -> String {
    count(number, "result")
}

/// The named entries, and those that need nothing which they do not need as well: the steps below them in a chain.
fn with_what_is_below(entries: Vec<IndexEntry>, named: Vec<Fingerprint>) -> Vec<IndexEntry> {
    let named = BTreeSet::from_iter(named);
    let parts: HashSet<Digest> = entries
        .iter()
        .filter(|entry| named.contains(&entry.fingerprint))
        .flat_map(|entry| entry.refs.clone())
        .collect();
    let below = |entry: &IndexEntry| !entry.refs.is_empty() && entry.refs.iter().all(|digest| parts.contains(digest));
    entries.into_iter().filter(|entry| named.contains(&entry.fingerprint) || below(entry)).collect()
}
