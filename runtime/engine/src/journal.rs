//! The journal of a run on the disk, and what the next run does with that of a dead one.
//!
//! One JSON line a mark, the first one says who writes. A journal is only ever appended to, by the process that holds the
//! run's lock; a last line without its end was never acted upon, since effects happen after their line is written.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use imgc_backend::{Cx, Effect, Lasting, Layer, LayerId, Ledger, Mark, Settled};
use imgc_plan::Digest;
use imgc_store::{Process, fail_point};
use serde::{Deserialize, Serialize};

use crate::Backends;
use crate::run::directories;

/// The journal format this imgc writes. Journals with a higher number are left untouched.
pub const JOURNAL_VERSION: u32 = 2;

/// How long a backend may take to recover one effect before the new run goes on without waiting.
const PATIENCE: Duration = Duration::from_secs(60);

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    /// The first line: who writes.
    Run {
        /// [`JOURNAL_VERSION`].
        version: u32,
        /// The process.
        #[serde(flatten)]
        process: Process,
    },
    /// An effect is about to happen.
    Intent(Effect),
    /// It happened.
    Created {
        /// Its token.
        token: String,
        /// How it is found.
        detail: serde_json::Value,
    },
    /// It is over.
    Settled {
        /// Its token.
        token: String,
        /// In which way.
        how: Settled,
    },
}

/// The version alone, which every journal of any version has.
#[derive(Deserialize)]
struct FirstLine {
    run: Version,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// The journal of a run that goes on.
#[derive(Debug)]
pub(crate) struct JournalFile {
    run: String,
    /// Makes tokens of this run unlike those of any other, on any machine.
    salt: String,
    next: AtomicU64,
    file: Mutex<File>,
}

impl JournalFile {
    pub(crate) fn create(path: &Path, run: &str) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let process = Process::this();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let salt = Digest::of(format!("{run} {process} {}", since.as_nanos()).as_bytes()).short();
        let journal = Self { run: run.to_owned(), salt, next: AtomicU64::new(0), file: Mutex::new(file) };
        journal.append(&Entry::Run { version: JOURNAL_VERSION, process }, Lasting::Boot)?;
        Ok(journal)
    }

    fn append(&self, entry: &Entry, lasting: Lasting) -> io::Result<()> {
        let line = format!("{}\n", serde_json::to_string(entry)?);
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let before = file.metadata()?.len();
        let written = file.write_all(line.as_bytes()).and_then(|()| match lasting {
            Lasting::Boot => Ok(()),
            Lasting::Beyond => file.sync_data(),
        });
        if written.is_err() {
            // A full disk leaves half a line, which would spoil the next one.
            let _ = file.set_len(before);
        }
        written
    }
}

impl Ledger for JournalFile {
    fn run(&self) -> &str {
        &self.run
    }

    fn token(&self) -> String {
        format!("imgc-{}-{}", self.salt, self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn write(&self, mark: &Mark<'_>) -> io::Result<()> {
        match mark {
            Mark::Intent(effect) => {
                fail_point!("journal.intending");
                self.append(&Entry::Intent((*effect).clone()), effect.lasting)?;
                fail_point!("journal.intended");
                Ok(())
            }
            Mark::Created(effect) => {
                let (token, detail) = (effect.token.clone(), effect.detail.clone());
                fail_point!("journal.creating");
                self.append(&Entry::Created { token, detail }, effect.lasting)?;
                fail_point!("journal.created");
                Ok(())
            }
            Mark::Settled(effect, how) => {
                // Nobody waits for this line: without it the effect is looked for once more.
                fail_point!("journal.settling");
                self.append(&Entry::Settled { token: effect.token.clone(), how: *how }, Lasting::Boot)?;
                fail_point!("journal.settled");
                Ok(())
            }
        }
    }
}

/// A run that died, locked: nobody else replays its journal meanwhile.
#[derive(Debug)]
pub struct DeadRun {
    /// Its directory.
    pub dir: PathBuf,
    /// The effects that it left open; or why that cannot be told, as a sentence.
    pub open: Result<Vec<Effect>, String>,
    _lock: File,
}

/// What a replay did.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Effects that are settled now.
    pub settled: Vec<Effect>,
    /// What could not be settled, as sentences: such a journal is kept for the next run.
    pub problems: Vec<String>,
}

/// The runs below `runs` that died with a journal, each locked as long as the value lives. Changes nothing.
pub fn dead_runs(runs: &Path) -> Vec<DeadRun> {
    let mut dead = Vec::new();
    for dir in directories(runs) {
        if !dir.join("journal").exists() {
            continue;
        }
        let Ok(lock) = OpenOptions::new().write(true).open(dir.join("lock")) else { continue };
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => continue,
        }
        // Looked at under the lock: who had it before may have settled everything.
        match read(&dir) {
            Ok(None) => {}
            Ok(Some(effects)) => dead.push(DeadRun { dir, open: Ok(effects), _lock: lock }),
            Err(problem) => dead.push(DeadRun { dir, open: Err(problem), _lock: lock }),
        }
    }
    dead
}

/// What runs, dead or alive, keep in the store that no entry of the index may need: the trees of parked machines.
pub fn parked(runs: &Path, backends: &Backends) -> Vec<Digest> {
    let open = directories(runs).into_iter().filter_map(|dir| read(&dir).ok().flatten()).flatten();
    let layers = open.filter_map(|effect| parked_layer(&effect, backends));
    layers.flat_map(|layer| layer.chain).map(|LayerId(digest)| digest).collect()
}

/// What a machine whose step failed left at rest in the store, of a run that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedTree {
    /// What `imgc shell --parked` finds it by.
    pub token: String,
    /// The highest layer of it; none where it is as empty as it began.
    pub top: Option<Digest>,
    /// When it was written down, or later: the last change of its journal.
    pub since: SystemTime,
}

/// The parked trees of runs that ended, the oldest run first. Locks the runs only while it looks.
pub fn parked_trees(runs: &Path, backends: &Backends) -> Vec<ParkedTree> {
    let mut found = Vec::new();
    for run in dead_runs(runs) {
        let changed = fs::metadata(run.dir.join("journal")).and_then(|found| found.modified());
        let since = changed.unwrap_or(UNIX_EPOCH);
        for effect in run.open.iter().flatten() {
            if let Some(layer) = parked_layer(effect, backends) {
                let top = layer.chain.last().map(|LayerId(digest)| *digest);
                found.push(ParkedTree { token: effect.token.clone(), top, since });
            }
        }
    }
    found
}

/// Takes one parked tree away; false where nothing is parked under that name.
///
/// # Errors
/// As a sentence: what the backend says.
pub async fn remove_parked(runs: &Path, backends: &Backends, token: &str, cx: &Cx) -> Result<bool, String> {
    for run in dead_runs(runs) {
        let is_it = |effect: &&Effect| effect.token == token && parked_layer(effect, backends).is_some();
        let Some(effect) = run.open.iter().flatten().find(is_it) else { continue };
        settle(effect, backends, cx).await?;
        let path = run.dir.join("journal");
        let settled = Entry::Settled { token: token.to_owned(), how: Settled::Destroyed };
        let line = serde_json::to_string(&settled).map_err(|error| error.to_string())? + "\n";
        let written = OpenOptions::new().append(true).open(&path).and_then(|mut file| file.write_all(line.as_bytes()));
        return written.map(|()| true).map_err(|error| format!("{}: {error}", path.display()));
    }
    Ok(false)
}

fn parked_layer(effect: &Effect, backends: &Backends) -> Option<Layer> {
    backends.get(effect.backend.as_str())?.parked(effect)
}

/// Takes up what runs that died left open, holding their locks.
pub async fn replay(runs: &Path, backends: &Backends, cx: &Cx) -> Replayed {
    let mut replayed = Replayed::default();
    for run in dead_runs(runs) {
        let path = run.dir.join("journal");
        let failed = |problem: &str| format!("{}: {problem}", path.display());
        let effects = match &run.open {
            Ok(effects) => effects,
            Err(problem) => {
                replayed.problems.push(failed(problem));
                continue;
            }
        };
        let mut whole = true;
        fail_point!("replay.begin");
        for effect in effects {
            fail_point!("replay.effect");
            match settle(effect, backends, cx).await {
                Ok(()) => replayed.settled.push(effect.clone()),
                Err(problem) => {
                    whole = false;
                    replayed.problems.push(failed(&problem));
                }
            }
        }
        fail_point!("replay.settled");
        if whole && let Err(error) = fs::remove_file(&path) {
            replayed.problems.push(failed(&error.to_string()));
        }
        fail_point!("replay.done");
    }
    replayed
}

async fn settle(effect: &Effect, backends: &Backends, cx: &Cx) -> Result<(), String> {
    let backend = backends.get(effect.backend.as_str()).ok_or_else(|| format!("no backend `{}`", effect.backend))?;
    tokio::select! {
        recovered = backend.recover(effect, cx) => recovered.map(drop).map_err(|error| error.to_string()),
        () = cx.cancel.cancelled() => Err("interrupted".to_owned()),
        () = tokio::time::sleep(PATIENCE) => {
            Err(format!("`{}` did not answer about a {} within {PATIENCE:?}", effect.backend, effect.kind))
        }
    }
}

/// Whether a run left nothing open.
pub(crate) fn is_settled(dir: &Path) -> bool {
    matches!(read(dir), Ok(None)) || matches!(read(dir), Ok(Some(effects)) if effects.is_empty())
}

/// The effects of a run's journal that were not settled, in the order in which they were intended; nothing where it has
/// no journal.
fn read(dir: &Path) -> Result<Option<Vec<Effect>>, String> {
    let bytes = match fs::read(dir.join("journal")) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    open_effects(&bytes).map(Some)
}

fn open_effects(journal: &[u8]) -> Result<Vec<Effect>, String> {
    let mut open: BTreeMap<usize, Effect> = BTreeMap::new();
    let mut by_token: BTreeMap<String, usize> = BTreeMap::new();
    for (number, line) in journal.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let Some(line) = line.strip_suffix(b"\n") else { break };
        // Journals of the first format never held an effect.
        if number == 0 && version(line)? < JOURNAL_VERSION {
            return Ok(Vec::new());
        }
        let entry = serde_json::from_slice(line).map_err(|error| format!("line {}: {error}", number + 1))?;
        match entry {
            Entry::Run { .. } => {}
            Entry::Intent(effect) => {
                by_token.insert(effect.token.clone(), number);
                open.insert(number, effect);
            }
            Entry::Created { token, detail } => {
                if let Some(effect) = by_token.get(&token).and_then(|number| open.get_mut(number)) {
                    effect.detail = detail;
                }
            }
            Entry::Settled { token, .. } => {
                if let Some(number) = by_token.remove(&token) {
                    open.remove(&number);
                }
            }
        }
    }
    Ok(open.into_values().collect())
}

fn version(line: &[u8]) -> Result<u32, String> {
    match serde_json::from_slice::<FirstLine>(line) {
        Ok(FirstLine { run: Version { version } }) if version > JOURNAL_VERSION => {
            Err(format!("written by a newer imgc (journal format {version}); left as it is"))
        }
        Ok(FirstLine { run: Version { version } }) => Ok(version),
        Err(error) => Err(format!("not a journal: {error}")),
    }
}
