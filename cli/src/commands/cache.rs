//! `imgc cache`: looks after the store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use imgc_plan::Fingerprint;
use imgc_store::{IndexEntry, Selection, Store};
use serde::Deserialize;
use serde_json::json;

use crate::args::{CacheCommand, CacheRmArgs, Format};
use crate::commands::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::places::Places;
use crate::render::text::{count, duration, size};
use crate::session::{enter, open_store, store_failure};
use crate::terminal::{Style, Terminal, paint};

/// The fewest digits of a fingerprint that name an entry.
const FEWEST_DIGITS: usize = 6;

/// Lists, removes or verifies.
pub(crate) fn run(command: &CacheCommand, cx: &Context) -> Outcome {
    let places = Places::new(cx.global.cache_dir.as_deref())?;
    enter()?;
    let store = open_store(&places, &cx.terminal)?;
    match command {
        CacheCommand::Ls(format) => list(&store, format.format, &cx.terminal),
        CacheCommand::Rm(args) => remove(&store, args, &places, &cx.terminal),
        CacheCommand::Verify => verify(&store, &cx.terminal),
    }
}

/// Where an entry was made: the package's directory and the address.
type Makers = BTreeMap<Fingerprint, BTreeSet<(String, String)>>;

/// The part of what the engine remembers that is of use here.
#[derive(Deserialize)]
struct Remembered {
    fingerprint: Fingerprint,
}

fn makers(store: &Store) -> Result<Makers, Failure> {
    let mut makers = Makers::new();
    for (package, address, spec) in store.all_specs().map_err(|error| store_failure(&error))? {
        // What another version remembered has no name here.
        if let Ok(Remembered { fingerprint }) = spec.read() {
            makers.entry(fingerprint).or_default().insert((package, address));
        }
    }
    Ok(makers)
}

fn list(store: &Store, format: Format, terminal: &Terminal) -> Outcome {
    let entries = store.all_entries().map_err(|error| store_failure(&error))?;
    let usage = store.usage().map_err(|error| store_failure(&error))?;
    let makers = makers(store)?;
    if format == Format::Json {
        terminal.out(json!({
            "format": 1,
            "store": store.root(),
            "bytes": usage.bytes(),
            "entries": entries.iter().map(|entry| json!({
                "fingerprint": entry.fingerprint,
                "bytes": entry.size,
                "cost_seconds": entry.cost.as_secs_f64(),
                "created": entry.created,
                "used": entry.used,
                "addresses": makers.get(&entry.fingerprint).into_iter().flatten().map(|(package, address)| {
                    json!({ "package": package, "address": address })
                }).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
        }));
        return Ok(Exit::Done);
    }
    for entry in &entries {
        let names = names(&makers, entry);
        let took = duration(entry.cost);
        terminal.out(format_args!("{}  {:>10}  {took:>7}  {names}", entry.fingerprint.short(), size(entry.size)));
    }
    let text = format!("{} entries, {} in {}", entries.len(), size(usage.bytes()), store.root().display());
    terminal.out(paint(terminal.out_color, Style::Bold, text));
    Ok(Exit::Done)
}

fn names(makers: &Makers, entry: &IndexEntry) -> String {
    let known = makers.get(&entry.fingerprint);
    let names: BTreeSet<&str> = known.into_iter().flatten().map(|(_, address)| address.as_str()).collect();
    if names.is_empty() { "(of an earlier version of a program)".to_owned() } else { Vec::from_iter(names).join(", ") }
}

fn remove(store: &Store, args: &CacheRmArgs, places: &Places, terminal: &Terminal) -> Outcome {
    let selection = if args.all { Selection::All } else { Selection::Entries(named(store, &args.what)?) };
    let removed = store.remove(&selection).map_err(|error| store_failure(&error))?;
    // A record says that nothing is to be done: after this there is.
    forget(&places.store.join("applied"))?;
    let entries = if removed.entries == 1 { "1 entry".to_owned() } else { format!("{} entries", removed.entries) };
    terminal.out(format_args!("removed {entries}, {} freed", size(removed.bytes)));
    Ok(Exit::Done)
}

fn forget(records: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(records) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io(format!("cannot remove `{}`", records.display()))(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The entries that addresses, images or beginnings of fingerprints name.
fn named(store: &Store, what: &[String]) -> Result<Vec<Fingerprint>, Failure> {
    let entries = store.all_entries().map_err(|error| store_failure(&error))?;
    let makers = makers(store)?;
    let mut found = BTreeSet::new();
    for name in what {
        let below = format!("{name}/");
        let fits = |address: &str| address == name || address.starts_with(&below);
        let digits = name.len() >= FEWEST_DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let before = found.len();
        found.extend(entries.iter().map(|entry| entry.fingerprint).filter(|fingerprint| {
            let made_there = makers.get(fingerprint).is_some_and(|all| all.iter().any(|(_, address)| fits(address)));
            made_there || (digits && fingerprint.to_string().starts_with(&name.to_ascii_lowercase()))
        }));
        if found.len() == before {
            return Err(Failure::program(format!("nothing in the store is named `{name}`"))
                .help("`imgc cache ls` lists addresses and fingerprints"));
        }
    }
    Ok(found.into_iter().collect())
}

fn verify(store: &Store, terminal: &Terminal) -> Outcome {
    let verified = store.verify().map_err(|error| store_failure(&error))?;
    for damage in &verified.damaged {
        terminal.err(format_args!("damaged, put aside: {}: {}", damage.path.display(), damage.why));
    }
    let read = format!("{} read, {}", count(verified.read, "file"), size(verified.bytes));
    if verified.damaged.is_empty() {
        terminal.out(format_args!("{read}: all as it was written"));
        return Ok(Exit::Done);
    }
    let dropped = count(verified.dropped.len(), "result");
    terminal.out(format_args!("{read}: {} damaged; the next apply makes {dropped} again", verified.damaged.len()));
    Ok(Exit::Build)
}
