//! The journal of a run, as backends see it: effects outside the store are written down before they happen.
//!
//! ```text
//! journal.intend(…)?           the effect may exist from now on; a run that finds this line looks for it by its token
//!     .created(detail)?        it exists, and this is how to find it
//!         .destroyed()?        it is gone            — or —
//!         .adopted()?          it belongs to the store or to another run now
//! ```
//!
//! What was not ended that way is handed to [`crate::Backend::recover`] by the next run, after this one has died. Where
//! the lines go is the engine's business ([`Ledger`]).

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::BackendError;

/// The environment variable by which processes of a run are known: keepers, emulators and tools of the host have it.
/// Steps do not: their environment must not differ from run to run. They end with their keeper.
pub const MARKER: &str = "IMGC_RUN";

/// Something that lives outside the store and is journalled before it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// The backend that owns it.
    pub backend: String,
    /// `process`, `instance`, `snapshot`.
    pub kind: String,
    /// Makes creating it twice impossible, and finding it again possible: no other effect of any run has it.
    pub token: String,
    /// How long it can outlive its run.
    pub lasting: Lasting,
    /// What it is to be found by where the run died before it was created: also what clouds are given as tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// What the backend needs to find it; null until it was created, unless it was known before.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub detail: serde_json::Value,
}

/// How long an effect can outlive its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lasting {
    /// Until the machine stops: processes, mounts. Its lines are written, and no disk is waited for.
    Boot,
    /// Beyond that: instances, containers, files elsewhere. Its lines are on the disk before it happens.
    Beyond,
}

/// An effect that is about to be intended; the journal gives it its token.
#[derive(Debug, Clone)]
pub struct Intended<'a> {
    /// The backend that will be asked to recover it.
    pub backend: &'a str,
    /// `process`, `instance`, `snapshot`.
    pub kind: &'a str,
    /// How long it can outlive its run.
    pub lasting: Lasting,
    /// What it can be found by before it was created.
    pub tags: BTreeMap<String, String>,
}

/// What became of an effect, as its last line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// It is gone, or never was.
    Destroyed,
    /// It belongs to the store, or to another run, now.
    Adopted,
}

/// One thing that is written down about an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark<'a> {
    /// It is about to happen.
    Intent(&'a Effect),
    /// It happened, and is found by this.
    Created(&'a Effect),
    /// It is over.
    Settled(&'a Effect, Settled),
}

/// What a journal writes to: a file of the run, as a rule.
pub trait Ledger: Send + Sync {
    /// The run's id: the value of [`MARKER`] in the environment of what it starts.
    fn run(&self) -> &str;

    /// A token that no effect of any run had before.
    fn token(&self) -> String;

    /// Writes one mark down. When it returns, the mark outlives this process, and the machine where the effect does.
    ///
    /// # Errors
    /// It cannot be written; the effect must not happen then.
    fn write(&self, mark: &Mark<'_>) -> io::Result<()>;
}

/// Where effects are written down. Cheap to clone. The default one forgets: nothing is recovered.
#[derive(Clone, Default)]
pub struct Journal(Option<Arc<dyn Ledger>>);

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Journal" } else { "Journal (forgets)" })
    }
}

impl Journal {
    /// A journal that writes to `ledger`.
    pub fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self(Some(ledger))
    }

    /// The id of the run, for [`MARKER`]; none where nothing is kept.
    pub fn run(&self) -> Option<&str> {
        self.0.as_ref().map(|ledger| ledger.run())
    }

    /// Writes down that an effect is about to happen. Only afterwards may anything be done for it.
    ///
    /// # Errors
    /// The journal cannot be written; the effect must not happen then.
    pub fn intend(&self, what: Intended<'_>) -> Result<Intent, BackendError> {
        static FORGOTTEN: AtomicU64 = AtomicU64::new(0);
        let token = match &self.0 {
            Some(ledger) => ledger.token(),
            None => format!("{}-{}", std::process::id(), FORGOTTEN.fetch_add(1, Ordering::Relaxed)),
        };
        let Intended { backend, kind, lasting, tags } = what;
        let detail = serde_json::Value::Null;
        let effect = Effect { backend: backend.to_owned(), kind: kind.to_owned(), token, lasting, tags, detail };
        self.write(&Mark::Intent(&effect))?;
        Ok(Intent { journal: self.clone(), effect })
    }

    fn write(&self, mark: &Mark<'_>) -> Result<(), BackendError> {
        let Some(ledger) = &self.0 else { return Ok(()) };
        ledger.write(mark).map_err(BackendError::io("cannot write the journal of the run"))
    }
}

/// An effect that was written down and has not happened yet, as far as we know. When it is only dropped, the next run
/// looks for it.
#[derive(Debug)]
#[must_use = "an intent that is only dropped is looked for by the next run"]
pub struct Intent {
    journal: Journal,
    effect: Effect,
}

impl Intent {
    /// The token: to be given to whoever creates the effect, so that asking twice creates it once.
    pub fn token(&self) -> &str {
        &self.effect.token
    }

    /// Writes down that the effect exists; `detail` is all that [`crate::Backend::recover`] needs to find it.
    ///
    /// # Errors
    /// The journal cannot be written. The effect exists: destroy it.
    pub fn created(mut self, detail: serde_json::Value) -> Result<Created, BackendError> {
        self.effect.detail = detail;
        self.journal.write(&Mark::Created(&self.effect))?;
        Ok(Created { journal: self.journal, effect: self.effect })
    }

    /// Writes down that it did not happen, and will not.
    ///
    /// # Errors
    /// The journal cannot be written; the effect is looked for again, which does no harm.
    pub fn abandoned(self) -> Result<(), BackendError> {
        self.journal.write(&Mark::Settled(&self.effect, Settled::Destroyed))
    }
}

/// An effect that exists. When it is only dropped, the next run recovers it.
#[derive(Debug)]
#[must_use = "an effect that is only dropped is recovered by the next run"]
pub struct Created {
    journal: Journal,
    effect: Effect,
}

impl Created {
    /// The effect as the journal has it.
    pub fn effect(&self) -> &Effect {
        &self.effect
    }

    /// Writes down that it is gone. Only afterwards: first the deed, then this.
    ///
    /// # Errors
    /// The journal cannot be written; the effect is looked for again, which does no harm.
    pub fn destroyed(self) -> Result<(), BackendError> {
        self.journal.write(&Mark::Settled(&self.effect, Settled::Destroyed))
    }

    /// Writes down that it belongs to the store, or to another run, from now on.
    ///
    /// # Errors
    /// The journal cannot be written; the effect is looked for again: whoever has it must be told from its token.
    pub fn adopted(self) -> Result<(), BackendError> {
        self.journal.write(&Mark::Settled(&self.effect, Settled::Adopted))
    }
}
