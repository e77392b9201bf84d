//! The index: what is known by fingerprint, by SHA-256 and by address, in `SQLite`.
//!
//! Everything in it but specs and times of use can be rebuilt from sidecars, and is, when the file is missing or
//! damaged. Reads never wait for writers (WAL).

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use imgc_plan::{Digest, Fingerprint, Sha256};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Note, StoreError};
use crate::fail_point;
use crate::layout::{Layout, named};
use crate::lock::Locked;
use crate::object::Hashed;
use crate::publisher::NewSpec;
use crate::sidecar::{EntrySidecar, ObjectSidecar, Sidecar};
use crate::store::Store;

/// `user_version` of the `SQLite` file.
const INDEX_VERSION: i32 = 1;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS entries (
        fingerprint BLOB PRIMARY KEY, payload TEXT NOT NULL, refs BLOB NOT NULL, size INTEGER NOT NULL,
        cost_ms INTEGER NOT NULL, created INTEGER NOT NULL, used INTEGER NOT NULL
    );
    CREATE TABLE IF NOT EXISTS objects (digest BLOB PRIMARY KEY, sha256 BLOB NOT NULL, size INTEGER NOT NULL);
    CREATE INDEX IF NOT EXISTS objects_by_sha256 ON objects (sha256);
    CREATE TABLE IF NOT EXISTS trees (digest BLOB PRIMARY KEY, size INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS specs (
        package TEXT NOT NULL, address TEXT NOT NULL, spec TEXT NOT NULL, PRIMARY KEY (package, address)
    ) WITHOUT ROWID;
";

/// A record of a user of the store, as JSON that the store does not look into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload(String);

impl Payload {
    /// Of a value.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, StoreError> {
        serde_json::to_string(value).map(Self).map_err(StoreError::Payload)
    }

    /// Of text that is JSON already.
    pub fn from_json(text: String) -> Self {
        Self(text)
    }

    /// The value; an error where it is of another type or version.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is known about a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// The key.
    pub fingerprint: Fingerprint,
    /// What the publisher of the entry wrote.
    pub payload: Payload,
    /// Trees and objects that the entry keeps from being collected.
    pub refs: Vec<Digest>,
    /// Bytes that this entry added, as its publisher said.
    pub size: u64,
    /// What it took to make it.
    pub cost: Duration,
    /// Seconds since 1970.
    pub created: i64,
    /// Seconds since 1970: when it was last used, to the day or better.
    pub used: i64,
}

/// A connection to the index.
#[derive(Debug)]
pub(crate) struct Index {
    layout: Layout,
    connection: Mutex<Connection>,
    pub(crate) notes: Arc<Mutex<Vec<Note>>>,
}

impl Store {
    /// All that is known about these fingerprints, in one read.
    pub fn entries(&self, fingerprints: &[Fingerprint]) -> Result<HashMap<Fingerprint, IndexEntry>, StoreError> {
        self.index.entries(fingerprints)
    }

    /// Every entry, the oldest first.
    pub fn all_entries(&self) -> Result<Vec<IndexEntry>, StoreError> {
        self.index.all_entries()
    }

    /// Says that these entries were of use just now, which keeps them longer.
    pub fn touch(&self, fingerprints: &[Fingerprint]) -> Result<(), StoreError> {
        self.index.touch(fingerprints)
    }

    /// Keeps the spec of what was last made at an address of a package, to explain later misses with.
    pub fn remember_spec(&self, package: &str, address: &str, spec: &Payload) -> Result<(), StoreError> {
        self.remember_specs(package, &[(address.to_owned(), spec.clone())])
    }

    /// As [`Store::remember_spec`], for many addresses at the price of one.
    pub fn remember_specs(&self, package: &str, specs: &[(String, Payload)]) -> Result<(), StoreError> {
        self.index.put_specs(package, specs)
    }

    /// What was remembered for an address of a package.
    pub fn spec(&self, package: &str, address: &str) -> Result<Option<Payload>, StoreError> {
        self.index.spec(package, address)
    }

    /// Everything remembered for a package: address and spec.
    pub fn specs(&self, package: &str) -> Result<Vec<(String, Payload)>, StoreError> {
        self.index.specs(package)
    }

    /// Everything remembered for all packages: package, address and spec, in this order.
    pub fn all_specs(&self) -> Result<Vec<(String, String, Payload)>, StoreError> {
        self.index.all_specs()
    }
}

impl Index {
    /// Opens the index; rebuilds it, with a note, where it is missing from a store with content, or damaged.
    pub(crate) fn open(layout: &Layout) -> Result<Self, StoreError> {
        let notes = Arc::default();
        let connection = match connect(layout) {
            Ok(Some(connection)) => connection,
            Ok(None) => rebuild(layout, &notes, "was missing")?,
            Err(Refused::Newer(found)) => return Err(newer(layout, found)),
            Err(Refused::Sqlite(error)) if is_damage(&error) => rebuild(layout, &notes, "was damaged")?,
            Err(Refused::Sqlite(error)) => return Err(StoreError::index("look", &layout.root)(error)),
        };
        Ok(Self { layout: layout.clone(), connection: Mutex::new(connection), notes })
    }

    /// A second connection, for another thread.
    pub(crate) fn another(&self) -> Result<Self, StoreError> {
        let another = Self::open(&self.layout)?;
        Ok(Self { notes: Arc::clone(&self.notes), ..another })
    }

    /// Reads the whole file and rebuilds it where it is damaged; returns its path then.
    pub(crate) fn mend(&self) -> Result<Option<PathBuf>, StoreError> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if is_sound(&connection) {
            return Ok(None);
        }
        *connection = rebuild(&self.layout, &self.notes, "was damaged")?;
        Ok(Some(self.layout.index()))
    }

    /// Runs queries; once more, on a rebuilt index, where it turns out to be damaged.
    fn run<T>(
        &self,
        action: &'static str,
        queries: impl Fn(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        match queries(&mut connection) {
            Err(error) if is_damage(&error) => *connection = rebuild(&self.layout, &self.notes, "was damaged")?,
            other => return other.map_err(StoreError::index(action, &self.layout.root)),
        }
        queries(&mut connection).map_err(StoreError::index(action, &self.layout.root))
    }

    fn entries(&self, fingerprints: &[Fingerprint]) -> Result<HashMap<Fingerprint, IndexEntry>, StoreError> {
        self.run("look up entries", |connection| {
            let mut found = HashMap::with_capacity(fingerprints.len());
            if is_most_of_all(connection, fingerprints.len())? {
                let wanted: HashSet<&[u8]> = fingerprints.iter().map(|key| key.0.as_slice()).collect();
                let mut statement = connection.prepare_cached("SELECT * FROM entries")?;
                let mut rows = statement.query([])?;
                while let Some(row) = rows.next()? {
                    if wanted.contains(row.get_ref(0)?.as_blob()?) {
                        let entry = entry_of(row)?;
                        found.insert(entry.fingerprint, entry);
                    }
                }
                return Ok(found);
            }
            let mut statement = connection.prepare_cached("SELECT * FROM entries WHERE fingerprint = ?")?;
            for fingerprint in fingerprints {
                if let Some(entry) = statement.query_row([fingerprint.0], entry_of).optional()? {
                    found.insert(entry.fingerprint, entry);
                }
            }
            Ok(found)
        })
    }

    pub(crate) fn all_entries(&self) -> Result<Vec<IndexEntry>, StoreError> {
        self.run("list entries", |connection| {
            let mut statement = connection.prepare("SELECT * FROM entries ORDER BY created, fingerprint")?;
            statement.query_map([], entry_of)?.collect()
        })
    }

    /// Adds or replaces entries, and what is remembered beside them, in one transaction that is on the disk afterwards.
    pub(crate) fn put_entries(&self, entries: &[IndexEntry], specs: &[NewSpec]) -> Result<(), StoreError> {
        self.run("add entries", |connection| {
            // Only publishing promises that what it wrote survives a power cut; all else may be forgotten.
            connection.pragma_update(None, "synchronous", "FULL")?;
            let transaction = connection.transaction()?;
            insert_entries(&transaction, entries)?;
            let mut statement = transaction.prepare_cached("REPLACE INTO specs VALUES (?, ?, ?)")?;
            for new in specs {
                statement.execute(params![new.package, new.address, new.spec.as_str()])?;
            }
            drop(statement);
            fail_point!("index.inserted");
            transaction.commit()?;
            fail_point!("index.committed");
            Ok(())
        })
    }

    pub(crate) fn remove_entries(&self, fingerprints: &[Fingerprint]) -> Result<(), StoreError> {
        self.run("remove entries", |connection| {
            let transaction = connection.transaction()?;
            let mut statement = transaction.prepare("DELETE FROM entries WHERE fingerprint = ?")?;
            for fingerprint in fingerprints {
                statement.execute([fingerprint.0])?;
            }
            drop(statement);
            transaction.commit()
        })
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) -> Result<(), StoreError> {
        self.run("remove everything", |connection| {
            connection.execute_batch(
                "BEGIN; DELETE FROM entries; DELETE FROM objects; DELETE FROM trees; DELETE FROM specs; COMMIT; VACUUM;",
            )
        })
    }

    fn touch(&self, fingerprints: &[Fingerprint]) -> Result<(), StoreError> {
        let now = now();
        self.run("update entries", |connection| {
            let transaction = connection.transaction()?;
            // An hour is precise enough for collection, and spares the writes of one apply after the other.
            let mut statement =
                transaction.prepare("UPDATE entries SET used = ?1 WHERE fingerprint = ?2 AND used < ?1 - 3600")?;
            for fingerprint in fingerprints {
                statement.execute(params![now, fingerprint.0])?;
            }
            drop(statement);
            transaction.commit()
        })
    }

    pub(crate) fn put_object(&self, hashed: &Hashed) -> Result<(), StoreError> {
        self.run("add an object", |connection| insert_object(connection, &hashed.digest, &hashed.sha256, hashed.size))
    }

    pub(crate) fn remove_object(&self, digest: &Digest) -> Result<(), StoreError> {
        self.run("remove an object", |connection| {
            connection.execute("DELETE FROM objects WHERE digest = ?", [digest.0]).map(|_| ())
        })
    }

    pub(crate) fn digest_of(&self, sha256: &Sha256) -> Result<Option<Digest>, StoreError> {
        self.run("look up an object", |connection| {
            let mut statement = connection.prepare_cached("SELECT digest FROM objects WHERE sha256 = ?")?;
            statement.query_row([sha256.0], |row| row.get(0).map(Digest)).optional()
        })
    }

    /// Sizes of trees as far as they were counted before.
    pub(crate) fn tree_sizes(&self) -> Result<HashMap<Digest, u64>, StoreError> {
        self.run("look up sizes", |connection| {
            let mut statement = connection.prepare("SELECT digest, size FROM trees")?;
            let rows = statement.query_map([], |row| Ok((Digest(row.get(0)?), unsigned(row.get(1)?))))?;
            rows.collect()
        })
    }

    pub(crate) fn put_tree_sizes(&self, sizes: &[(Digest, u64)]) -> Result<(), StoreError> {
        self.run("add sizes", |connection| {
            let transaction = connection.transaction()?;
            for (digest, size) in sizes {
                transaction.execute("REPLACE INTO trees VALUES (?, ?)", params![digest.0, signed(*size)])?;
            }
            transaction.commit()
        })
    }

    fn put_specs(&self, package: &str, specs: &[(String, Payload)]) -> Result<(), StoreError> {
        self.run("remember specs", |connection| {
            let transaction = connection.transaction()?;
            let mut statement = transaction.prepare_cached("REPLACE INTO specs VALUES (?, ?, ?)")?;
            for (address, spec) in specs {
                statement.execute(params![package, address, spec.as_str()])?;
            }
            drop(statement);
            transaction.commit()
        })
    }

    fn spec(&self, package: &str, address: &str) -> Result<Option<Payload>, StoreError> {
        self.run("look up a spec", |connection| {
            let mut statement =
                connection.prepare_cached("SELECT spec FROM specs WHERE package = ? AND address = ?")?;
            statement.query_row([package, address], |row| row.get(0).map(Payload)).optional()
        })
    }

    fn specs(&self, package: &str) -> Result<Vec<(String, Payload)>, StoreError> {
        self.run("look up specs", |connection| {
            let mut statement = connection.prepare("SELECT address, spec FROM specs WHERE package = ?")?;
            statement.query_map([package], |row| Ok((row.get(0)?, Payload(row.get(1)?))))?.collect()
        })
    }

    fn all_specs(&self) -> Result<Vec<(String, String, Payload)>, StoreError> {
        self.run("look up specs", |connection| {
            let mut statement = connection.prepare("SELECT package, address, spec FROM specs ORDER BY 1, 2")?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, Payload(row.get(2)?))))?.collect()
        })
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Whether reading all entries one after the other is quicker than looking so many up.
fn is_most_of_all(connection: &Connection, count: usize) -> rusqlite::Result<bool> {
    const FEW: usize = 100;
    if count < FEW {
        return Ok(false);
    }
    let all: i64 = connection.prepare_cached("SELECT count(*) FROM entries")?.query_row([], |row| row.get(0))?;
    Ok(unsigned(all) / 8 < count as u64)
}

fn entry_of(row: &Row<'_>) -> rusqlite::Result<IndexEntry> {
    let refs: &[u8] = row.get_ref(2)?.as_blob()?;
    Ok(IndexEntry {
        fingerprint: Fingerprint(row.get(0)?),
        payload: Payload(row.get(1)?),
        refs: refs.as_chunks::<32>().0.iter().map(|bytes| Digest(*bytes)).collect(),
        size: unsigned(row.get(3)?),
        cost: Duration::from_millis(unsigned(row.get(4)?)),
        created: row.get(5)?,
        used: row.get(6)?,
    })
}

fn insert_entries(connection: &Connection, entries: &[IndexEntry]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)")?;
    for entry in entries {
        let refs: Vec<u8> = entry.refs.iter().flat_map(|digest| digest.0).collect();
        let cost_ms = i64::try_from(entry.cost.as_millis()).unwrap_or(i64::MAX);
        statement.execute(params![
            entry.fingerprint.0,
            entry.payload.as_str(),
            refs,
            signed(entry.size),
            cost_ms,
            entry.created,
            entry.used
        ])?;
    }
    Ok(())
}

fn insert_object(connection: &Connection, digest: &Digest, sha256: &Sha256, size: u64) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("REPLACE INTO objects VALUES (?, ?, ?)")?;
    statement.execute(params![digest.0, sha256.0, signed(size)]).map(|_| ())
}

/// Why a file is not taken as the index.
enum Refused {
    Newer(i32),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn newer(layout: &Layout, found: i32) -> StoreError {
    StoreError::Newer {
        root: layout.root.clone(),
        found: u32::try_from(found).unwrap_or(u32::MAX),
        known: INDEX_VERSION.unsigned_abs(),
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    let wrong_shape =
        matches!(error, rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::FromSqlConversionFailure(..));
    wrong_shape || matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Opens the file; nothing where there is none.
fn connect(layout: &Layout) -> Result<Option<Connection>, Refused> {
    if !layout.index().exists() {
        return Ok(None);
    }
    let connection = Connection::open(layout.index())?;
    set_up(&connection)?;
    match connection.pragma_query_value(None, "user_version", |row| row.get(0))? {
        INDEX_VERSION => Ok(Some(connection)),
        // Made and not filled: the process that did it was killed.
        0 => Ok(None),
        found => Err(Refused::Newer(found)),
    }
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(30))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    // In KiB when negative: the entries of a large project in memory, so that looking them up reads each page once.
    connection.pragma_update(None, "cache_size", -16_384)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

fn is_sound(connection: &Connection) -> bool {
    connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)).is_ok_and(|answer| answer == "ok")
}

/// Makes the index new from sidecars, whatever is left of the old one.
fn rebuild(layout: &Layout, notes: &Mutex<Vec<Note>>, why: &str) -> Result<Connection, StoreError> {
    let failed = || StoreError::index("rebuild", &layout.root);
    let lock = layout.folder("locks").join("index");
    let _locked = Locked::take(&lock).map_err(StoreError::io("lock", &lock))?;
    // Another process may have been faster.
    if let Ok(Some(connection)) = connect(layout)
        && is_sound(&connection)
    {
        return Ok(connection);
    }
    let fresh = layout.root.join("index.new");
    // A journal that a killed process left would be played back into the new file.
    for extension in ["", "-journal", "-wal", "-shm"] {
        remove_if_there(&layout.root.join(format!("index.new{extension}")))?;
    }
    let mut connection = Connection::open(&fresh).map_err(failed())?;
    let count = fill(&mut connection, layout).map_err(failed())?;
    connection.close().map_err(|(_, error)| failed()(error))?;
    fail_point!("index.filled");
    for extension in ["-journal", "-wal", "-shm"] {
        remove_if_there(&layout.root.join(format!("index.sqlite{extension}")))?;
    }
    fail_point!("index.cleared");
    std::fs::rename(&fresh, layout.index()).map_err(StoreError::io("write", &layout.index()))?;
    fail_point!("index.rebuilt");
    if count > 0 || why != "was missing" {
        let text = format!("the index of the cache {} {why} and was rebuilt: {count} entries", layout.root.display());
        notes.lock().unwrap_or_else(PoisonError::into_inner).push(Note(text));
    }
    let connection = Connection::open(layout.index()).map_err(failed())?;
    set_up(&connection).map_err(failed())?;
    Ok(connection)
}

/// Fills an empty file. In the plain journal mode, so that one file holds all of it.
fn fill(connection: &mut Connection, layout: &Layout) -> rusqlite::Result<usize> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    let mut present: HashSet<Digest> = layout.all("trees").iter().filter_map(|path| named(path)).collect();
    for path in layout.all("objects").iter().filter(|path| path.extension().is_some()) {
        let Some(digest) = named::<Digest>(path) else { continue };
        if let Some(known) = ObjectSidecar::read(path)
            && layout.object(&digest).exists()
        {
            present.insert(digest);
            insert_object(&transaction, &digest, &known.sha256, known.size)?;
        }
    }
    let sidecars = layout.all("entries");
    let entries = sidecars.iter().filter_map(|path| EntrySidecar::read(path)).map(EntrySidecar::into_entry);
    // An entry that was being removed may have left its sidecar; its trees are gone then.
    let entries: Vec<IndexEntry> =
        entries.filter(|entry| entry.refs.iter().all(|digest| present.contains(digest))).collect();
    insert_entries(&transaction, &entries)?;
    transaction.pragma_update(None, "user_version", INDEX_VERSION)?;
    transaction.commit()?;
    Ok(entries.len())
}

fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io("remove", path)(error)),
        _ => Ok(()),
    }
}
