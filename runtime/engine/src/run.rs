//! A run: one execution of an apply, with a directory of its own for its lock, journal, logs and result.
//!
//! ```text
//! runs/<id>/lock        held as long as the run lives
//! runs/<id>/journal     effects outside the store, each written down before it happens; gone when all are settled
//! runs/<id>/ran         the addresses of what began to run, one a line
//! runs/<id>/<step>.log  the output of one executed node that printed something
//! runs/<id>/apply.json  what came of it
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use imgc_backend::{Event, EventSink, Journal};
use imgc_plan::{Address, Digest, NodeId};
use serde::Serialize;

use crate::EngineError;
use imgc_store::fail_point;

use crate::journal::{self, JournalFile};

/// How long logs and results of runs are kept.
pub const KEPT: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// The file in a run's directory that has what began to run.
pub const RAN_NOTE: &str = "ran";
/// How many lines of output a failure shows.
const TAIL: usize = 20;

/// A run that is going on. Its directory stays when it ends; its lock goes with it.
#[derive(Debug)]
pub struct Run {
    id: String,
    dir: PathBuf,
    /// Held as long as the run lives; opened with `O_CLOEXEC`, since a flock lives on in forked children.
    _lock: File,
    journal: Arc<JournalFile>,
    /// What began to run. Written as it begins, so that a run that is killed tells too.
    ran: File,
}

impl Run {
    /// Begins a run below `runs`; makes the directory and drops runs that are older than [`KEPT`].
    ///
    /// # Errors
    /// The directory cannot be made or written.
    pub fn begin(runs: &Path) -> Result<Self, EngineError> {
        let doing = || format!("cannot begin a run in {}", runs.display());
        fs::create_dir_all(runs).map_err(EngineError::io(doing()))?;
        let (id, dir) = own_dir(runs).map_err(EngineError::io(doing()))?;
        fail_point!("run.made");
        let lock = File::create(dir.join("lock")).map_err(EngineError::io(doing()))?;
        lock.lock().map_err(EngineError::io(doing()))?;
        fail_point!("run.locked");
        let journal = JournalFile::create(&dir.join("journal"), &id).map_err(EngineError::io(doing()))?;
        let ran = OpenOptions::new().append(true).create(true).open(dir.join(RAN_NOTE));
        let ran = ran.map_err(EngineError::io(doing()))?;
        let run = Self { id, dir: dir.clone(), _lock: lock, journal: Arc::new(journal), ran };
        fail_point!("run.journal");
        prune(runs, &dir);
        Ok(run)
    }

    /// Names the run; later runs sort after earlier ones.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where this run's effects are written down.
    pub fn journal(&self) -> Journal {
        Journal::new(self.journal.clone())
    }

    /// The run's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the output of the node at this address goes; the file exists once it has printed something.
    pub fn log_path(&self, address: &Address) -> PathBuf {
        self.dir.join(log_name(address))
    }

    fn note_begin(&self, address: &Address) {
        // One write, so that it is there as a whole or not at all. Without it only `imgc log` is poorer.
        let _ = (&self.ran).write_all(format!("{address}\n").as_bytes());
    }

    /// Writes the result of the run, for `imgc show`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(&self, result: &impl Serialize) -> Result<(), EngineError> {
        let path = self.dir.join("apply.json");
        let text = serde_json::to_string_pretty(result).map_err(|error| EngineError::Internal {
            message: format!("the result cannot be written down: {error}"),
        })?;
        let text = format!("{text}\n");
        // Somebody may have emptied the folder of runs meanwhile: what was built must not fail for that.
        let is_gone = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
        let mut written = fs::write(&path, &text);
        if written.as_ref().is_err_and(is_gone) {
            written = fs::create_dir_all(&self.dir).and_then(|()| fs::write(&path, &text));
        }
        written.map_err(EngineError::io(format!("cannot write {}", path.display())))
    }
}

/// The logs of a run, as a sink in front of the events that the caller wants.
#[derive(Clone)]
pub(crate) struct Logs(Arc<Mutex<BTreeMap<NodeId, Log>>>);

struct Log {
    /// Of the node, as long as it printed nothing: most files that are not made cost nothing.
    silent: Option<Address>,
    file: Option<File>,
    /// How much output there was, whether it is in the file or not.
    written: u64,
    tail: Tail,
}

impl Logs {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(BTreeMap::new())))
    }

    /// A sink that keeps the output of each node, and passes every event on.
    pub(crate) fn sink(&self, run: Option<Arc<Run>>, next: EventSink) -> EventSink {
        let logs = self.clone();
        EventSink::new(move |event| {
            logs.receive(run.as_deref(), &event);
            next.send(event);
        })
    }

    /// The last lines of a node's output.
    pub(crate) fn last_lines(&self, node: NodeId) -> Vec<String> {
        let Ok(logs) = self.0.lock() else { return Vec::new() };
        logs.get(&node).map(|log| log.tail.lines()).unwrap_or_default()
    }

    fn receive(&self, run: Option<&Run>, event: &Event) {
        let Ok(mut logs) = self.0.lock() else { return };
        match event {
            Event::Started { node, address } => {
                if let Some(run) = run {
                    run.note_begin(address);
                }
                let silent = Some(address.clone());
                logs.insert(*node, Log { silent, file: None, written: 0, tail: Tail::default() });
            }
            Event::Output { node, bytes, .. } => {
                let Some(log) = logs.get_mut(node) else { return };
                log.tail.push(bytes);
                log.write(run, bytes);
            }
            Event::Failed { node, .. } => {
                if let Some(log) = logs.get_mut(node) {
                    log.end();
                }
            }
            Event::Finished { node, .. } => {
                if let Some(mut log) = logs.remove(node) {
                    log.end();
                }
            }
            Event::Cached { .. } | Event::Note { .. } => {}
        }
    }
}

/// So many bytes of a step's output are in its log, and then its last lines: one that never stops talking must not fill
/// the disk.
const LONGEST_LOG: u64 = 64 << 20;

impl Log {
    fn write(&mut self, run: Option<&Run>, bytes: &[u8]) {
        if let Some(address) = self.silent.take() {
            self.file = run.and_then(|run| File::create(run.log_path(&address)).ok());
        }
        let room = usize::try_from(LONGEST_LOG.saturating_sub(self.written)).unwrap_or(usize::MAX);
        self.written += bytes.len() as u64;
        let bytes = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        // A log that cannot be written must not fail the step: its output still reaches the terminal.
        if let Some(file) = &mut self.file
            && file.write_all(bytes).is_err()
        {
            self.file = None;
        }
    }

    /// Says what is left out, if anything, and how it ended.
    fn end(&mut self) {
        let left_out = self.written.saturating_sub(LONGEST_LOG);
        if left_out == 0 {
            return;
        }
        if let Some(mut file) = self.file.take() {
            let tail = self.tail.0.get(self.tail.0.len().saturating_sub(Tail::LIMIT)..).unwrap_or_default();
            let shown = left_out.min(tail.len() as u64);
            let between = format!("\n[imgc: {} bytes are left out here]\n", left_out - shown);
            let from = tail.len() - usize::try_from(shown).unwrap_or(tail.len());
            // As above: what cannot be written is not worth a failure.
            let _ =
                file.write_all(between.as_bytes()).and_then(|()| file.write_all(tail.get(from..).unwrap_or_default()));
        }
        self.written = 0;
    }
}

/// The last lines of some output, in bounded memory.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    /// More than 20 lines of a sane length; one longer line is cut at its front.
    const LIMIT: usize = 16 * 1024;

    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        if self.0.len() > 2 * Self::LIMIT {
            self.0.drain(..self.0.len() - Self::LIMIT);
        }
    }

    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.0);
        let lines: Vec<&str> = text.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(TAIL)).map(|line| (*line).to_owned()).collect()
    }
}

/// `web/sh "enable"` becomes `web-sh-enable-1f2e3d4c.log`; the digits keep apart what reads alike.
fn log_name(address: &Address) -> String {
    let mut name = String::new();
    for c in address.0.chars().take(100) {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' => name.push(c),
            _ if name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    let digest = Digest::of(address.0.as_bytes()).short();
    format!("{}-{digest}.log", name.trim_matches(['-', '.']))
}

pub(crate) fn directories(runs: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(runs)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// Removes runs that ended long ago and left nothing open. What cannot be removed stays until the next time.
fn prune(runs: &Path, own: &Path) {
    for dir in directories(runs) {
        let lock = dir.join("lock");
        let old = fs::metadata(&lock)
            .and_then(|meta| meta.modified())
            .is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > KEPT));
        if !old || dir == own {
            continue;
        }
        let Ok(file) = File::open(&lock) else { continue };
        if journal::is_settled(&dir) && file.try_lock().is_ok() {
            let _ = fs::remove_dir_all(&dir);
        }
    }
}

/// Makes the directory of a new run. Two may begin in one millisecond under one process id, in containers for one: a
/// directory that is there already is another's, and waiting for its lock would be waiting for that run.
fn own_dir(runs: &Path) -> std::io::Result<(String, PathBuf)> {
    let name = format!("{}-{}", timestamp(SystemTime::now()), std::process::id());
    let mut id = name.clone();
    for count in 2..1000 {
        let dir = runs.join(&id);
        match fs::create_dir(&dir) {
            Ok(()) => return Ok((id, dir)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => id = format!("{name}-{count}"),
            Err(error) => return Err(error),
        }
    }
    Err(std::io::ErrorKind::AlreadyExists.into())
}

/// `20261122T155013.123Z`, in UTC.
fn timestamp(at: SystemTime) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{:03}Z", since.subsec_millis())
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant, "`civil_from_days`").
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}
