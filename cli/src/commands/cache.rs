//! `imgc cache`: looks after the store.

mod carry;
mod parked;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use imgc_backend::TrimmedMemory;
use imgc_plan::Fingerprint;
use imgc_store::{IndexEntry, Removed, Selection, Store, Trimmed};
use serde::Deserialize;
use serde_json::json;

use crate::args::{CacheCommand, CacheGcArgs, CacheRmArgs, Format};
use crate::commands::{Context, clean};
use crate::exit::{Exit, Failure, Outcome};
use crate::places::Places;
use crate::registry;
use crate::render::text::{count, duration, size};
use crate::session::{enter, open_store, store_failure};
use crate::terminal::{Style, Terminal, paint};

/// The fewest digits of a fingerprint that name an entry.
const FEWEST_DIGITS: usize = 6;

/// Lists, removes, trims or verifies.
pub(crate) fn run(command: &CacheCommand, cx: &Context) -> Outcome {
    let places = Places::new(cx.global.cache_dir.as_deref())?;
    enter()?;
    let store = Arc::new(open_store(&places, &cx.terminal)?);
    match command {
        CacheCommand::Ls(format) => list(&store, &places, format.format, &cx.terminal),
        CacheCommand::Rm(args) => remove(&store, args, &places, &cx.terminal),
        CacheCommand::Gc(args) => collect(&store, args, &places, cx),
        CacheCommand::Export(args) => carry::export(&store, args, &cx.terminal),
        CacheCommand::Import(args) => carry::import(&store, args, &cx.terminal),
        CacheCommand::Verify(format) => verify(&store, format.format, &cx.terminal),
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

/// Bytes of memory parts by the step after which they were taken; of all of them, and how many there are.
#[derive(Default)]
struct MemoryOfSteps {
    by_step: BTreeMap<Fingerprint, u64>,
    bytes: u64,
    parts: usize,
}

fn memory(store: &Arc<Store>) -> MemoryOfSteps {
    let mut memory = MemoryOfSteps::default();
    for part in registry::backends(store).values().flat_map(|backend| backend.memory_parts()) {
        memory.bytes += part.bytes;
        memory.parts += 1;
        if let Some(step) = part.step {
            *memory.by_step.entry(step).or_default() += part.bytes;
        }
    }
    memory
}

fn list(store: &Arc<Store>, places: &Places, format: Format, terminal: &Terminal) -> Outcome {
    let entries = store.all_entries().map_err(|error| store_failure(&error))?;
    let usage = store.usage().map_err(|error| store_failure(&error))?;
    let makers = makers(store)?;
    let memory = memory(store);
    let kept_machines = parked::list(store, &entries, places);
    let of_step = |entry: &IndexEntry| memory.by_step.get(&entry.fingerprint).copied();
    if format == Format::Json {
        terminal.out(json!({
            "format": 1,
            "store": store.root(),
            "bytes": usage.bytes(),
            "memory": { "parts": memory.parts, "bytes": memory.bytes },
            "parked": kept_machines.iter().map(|it| {
                json!({ "name": it.name, "bytes": it.bytes, "since": it.since })
            }).collect::<Vec<_>>(),
            "entries": entries.iter().map(|entry| json!({
                "fingerprint": entry.fingerprint,
                "bytes": entry.size,
                "memory_bytes": of_step(entry),
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
    // A column that would be empty is left out: not everybody builds machines that go on.
    let column =
        |text: &dyn Fn() -> String| if memory.parts == 0 { String::new() } else { format!("  {:>10}", text()) };
    if !entries.is_empty() {
        let head = column(&|| "MEMORY".to_owned());
        let head = format!(
            "{:<16}  {:>10}{head}  {:>7}  {:>9}  {:>9}  MADE BY",
            "FINGERPRINT", "SIZE", "REBUILD", "AGE", "USED"
        );
        terminal.out(paint(terminal.out_color, Style::Dim, head));
    }
    let now = now();
    for entry in &entries {
        let names = names(&makers, entry);
        let kept = column(&|| of_step(entry).map_or_else(|| "-".to_owned(), size));
        terminal.out(format_args!(
            "{:<16}  {:>10}{kept}  {:>7}  {:>9}  {:>9}  {names}",
            entry.fingerprint.short(),
            size(entry.size),
            duration(entry.cost),
            age(now, entry.created),
            age(now, entry.used)
        ));
    }
    say_parked(&kept_machines, now, terminal);
    let beside = match memory.parts {
        0 => String::new(),
        parts => format!(", and {} in {}", size(memory.bytes), count(parts, "memory part")),
    };
    let text = format!("{} entries, {} in {}{beside}", entries.len(), size(usage.bytes()), store.root().display());
    terminal.out(paint(terminal.out_color, Style::Bold, text));
    Ok(Exit::Done)
}

/// One line each, with the way in and the way out.
fn say_parked(kept: &[parked::Parked], now: i64, terminal: &Terminal) {
    for it in kept {
        let (name, taken, age) = (&it.name, size(it.bytes), age(now, it.since));
        terminal.out(format_args!(
            "kept machine {name}: {taken}, {age}; `imgc shell --parked {name} ADDRESS` enters it, `imgc cache rm {name}` \
             removes it, as the next apply does"
        ));
    }
}

fn names(makers: &Makers, entry: &IndexEntry) -> String {
    let known = makers.get(&entry.fingerprint);
    let names: BTreeSet<&str> = known.into_iter().flatten().map(|(_, address)| address.as_str()).collect();
    if names.is_empty() { "(of an earlier version of a program)".to_owned() } else { Vec::from_iter(names).join(", ") }
}

fn remove(store: &Arc<Store>, args: &CacheRmArgs, places: &Places, terminal: &Terminal) -> Outcome {
    let mut what = Vec::new();
    for name in &args.what {
        // They are in no entry, so that no record speaks of them.
        if parked::remove(store, name, places)? {
            terminal.note(format_args!("the kept machine `{name}` is gone"));
        } else {
            what.push(name.clone());
        }
    }
    let selection = if args.all { Selection::All } else { Selection::Entries(named(store, &what)?) };
    // A record says that nothing is to be done: after this there is, also where this is killed half-way.
    forget(&places.store.join("applied"))?;
    let removed = store.remove(&selection).map_err(|error| store_failure(&error))?;
    // What belongs to layers that are gone goes with them.
    let memory = trim_memory(store, None);
    say_removed(&removed, memory, args.format.format, terminal);
    Ok(Exit::Done)
}

/// Trims the memory parts of all backends.
fn trim_memory(store: &Arc<Store>, budget: Option<u64>) -> TrimmedMemory {
    let trimmed = registry::backends(store).into_values().map(|backend| backend.trim_memory(budget));
    trimmed.fold(TrimmedMemory::default(), |all, one| TrimmedMemory {
        parts: all.parts + one.parts,
        bytes: all.bytes + one.bytes,
    })
}

fn say_removed(removed: &Removed, memory: TrimmedMemory, format: Format, terminal: &Terminal) {
    if format == Format::Json {
        terminal.out(json!({
            "format": 1, "entries": removed.entries, "trees": removed.trees, "objects": removed.objects,
            "bytes": removed.bytes, "memory": { "parts": memory.parts, "bytes": memory.bytes },
        }));
        return;
    }
    if memory.parts > 0 {
        let parts = count(usize::try_from(memory.parts).unwrap_or(usize::MAX), "memory part");
        terminal.out(format_args!("removed {parts}, {} freed", size(memory.bytes)));
    }
    let entries = if removed.entries == 1 { "1 entry".to_owned() } else { format!("{} entries", removed.entries) };
    terminal.out(format_args!("removed {entries}, {} freed", size(removed.bytes)));
}

/// Replays what dead runs left, then takes out what is worth least.
fn collect(store: &Arc<Store>, args: &CacheGcArgs, places: &Places, cx: &Context) -> Outcome {
    for problem in clean::replay(store, places, &cx.terminal)?.problems {
        cx.terminal.warning(format_args!("cannot clean up: {problem}"));
    }
    let budget = match args.budget {
        Some(budget) => budget,
        None => imgc_store::default_budget(store).map_err(|error| store_failure(&error))?,
    };
    forget(&places.store.join("applied"))?;
    match store.trim(budget, &[]).map_err(|error| store_failure(&error))? {
        Trimmed::Done(removed) => {
            let memory = trim_memory(store, args.memory_budget);
            say_removed(&removed, memory, args.format.format, &cx.terminal);
            Ok(Exit::Done)
        }
        Trimmed::InUse => {
            let error = imgc_store::StoreError::InUse { root: store.root().to_owned() };
            Err(store_failure(&error))
        }
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// `just now`, `5 min`, `3 h`, `12 days`: how long ago it was. Clocks that went back make it `just now`.
fn age(now: i64, then: i64) -> String {
    match now.saturating_sub(then).max(0) {
        0..60 => "just now".to_owned(),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

fn forget(records: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::io(format!("cannot remove `{}`", records.display()))(error);
    match std::fs::remove_dir_all(records) {
        // An apply beside this one has written its record meanwhile: it stands for what is there now.
        Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => Ok(()),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
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

fn verify(store: &Store, format: Format, terminal: &Terminal) -> Outcome {
    let verified = store.verify().map_err(|error| store_failure(&error))?;
    let sound = verified.damaged.is_empty() && verified.dropped.is_empty();
    let exit = if sound { Exit::Done } else { Exit::Build };
    if format == Format::Json {
        let list = |all: &[imgc_store::Damage]| -> Vec<serde_json::Value> {
            all.iter().map(|it| json!({ "digest": it.digest, "path": it.path, "why": it.why })).collect()
        };
        terminal.out(json!({
            "format": 1, "read": verified.read, "bytes": verified.bytes, "damaged": list(&verified.damaged),
            "unreadable": list(&verified.unreadable), "missing": verified.missing, "mended": verified.mended,
            "dropped": verified.dropped,
        }));
        return Ok(exit);
    }
    for damage in &verified.damaged {
        terminal.err(format_args!("damaged, put aside: {}: {}", damage.path.display(), damage.why));
    }
    for damage in &verified.unreadable {
        terminal.err(format_args!("cannot be read, left: {}: {}", damage.path.display(), damage.why));
    }
    for digest in &verified.missing {
        terminal.err(format_args!("missing: {digest}"));
    }
    for path in &verified.mended {
        terminal.err(format_args!("mended: {}", path.display()));
    }
    let read = format!("{} read, {}", count(verified.read, "file"), size(verified.bytes));
    if sound {
        let as_written =
            if verified.mended.is_empty() { "all as it was written" } else { "all content as it was written" };
        terminal.out(format_args!("{read}: {as_written}"));
        return Ok(exit);
    }
    let dropped = count(verified.dropped.len(), "result");
    let (damaged, missing) = (verified.damaged.len(), verified.missing.len());
    terminal.out(format_args!("{read}: {damaged} damaged, {missing} missing; the next apply makes {dropped} again"));
    Ok(exit)
}
