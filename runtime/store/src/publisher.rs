//! The publisher: makes entries durable behind a running build, in order, many at a time.
//!
//! What queued up while the disk was busy becomes one batch: sidecars, one `syncfs`, one transaction. A chain of sixty
//! quick steps waits for a handful of syncs at its end, and for none before.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use imgc_plan::{Digest, Fingerprint};

use crate::error::StoreError;
use crate::fail_point;
use crate::index::{Index, IndexEntry, Payload, now};
use crate::layer_tree::mark_all_synced;
use crate::layout::Layout;
use crate::scratch::Owner;
use crate::sidecar::{EntrySidecar, Sidecar};
use crate::store::{Store, write_atomically};

/// Batches end here, so that one never holds back the first entry of a long build for long.
const LARGEST_BATCH: usize = 1024;

/// Something to be known by its fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// The key; an entry that is already there is replaced.
    pub fingerprint: Fingerprint,
    /// What users of the entry need to know.
    pub payload: Payload,
    /// Trees and objects in the store that it needs: durable before the entry is, and kept as long as it is.
    pub refs: Vec<Digest>,
    /// Bytes that it added, for people.
    pub size: u64,
    /// What it took to make it, which decides how long it is kept.
    pub cost: Duration,
}

/// A spec to be remembered: see [`Store::remember_spec`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSpec {
    /// The package.
    pub package: String,
    /// The address in it.
    pub address: String,
    /// What is to be remembered.
    pub spec: Payload,
}

/// What waits in the queue, with what ends when it is visible.
#[derive(Debug)]
struct Queued {
    entry: Option<NewEntry>,
    spec: Option<NewSpec>,
    held: Option<Held>,
}

/// What ends when an entry is visible: a lease, and whatever its owner holds with it.
struct Held(#[expect(dead_code, reason = "it is only dropped")] Box<dyn Send>);

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Held")
    }
}

/// A queue of entries on their way to the disk.
#[derive(Debug)]
pub struct Publisher {
    queue: Option<Sender<Queued>>,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
    root: std::path::PathBuf,
}

impl Publisher {
    /// Queues an entry and returns at once. Entries become visible in this order, each with all before it. After a
    /// failure nothing more is published; [`Publisher::finish`] tells why.
    pub fn publish(&self, entry: NewEntry) {
        self.queue(Queued { entry: Some(entry), spec: None, held: None });
    }

    /// As [`Publisher::publish`]; what is held, the lease under which the entry was made for one, is dropped when others
    /// can see it, so that who waits for the lease finds the entry. The spec is remembered together with it.
    pub fn publish_holding(&self, entry: NewEntry, spec: Option<NewSpec>, held: impl Send + 'static) {
        self.queue(Queued { entry: Some(entry), spec, held: Some(Held(Box::new(held))) });
    }

    /// Remembers a spec behind all that was published before.
    pub fn remember(&self, spec: NewSpec) {
        self.queue(Queued { entry: None, spec: Some(spec), held: None });
    }

    fn queue(&self, queued: Queued) {
        if let Some(queue) = &self.queue {
            // The thread is gone only after a failure, which `finish` returns.
            let _ = queue.send(queued);
        }
    }

    /// Waits until everything that was published is durable.
    pub fn finish(mut self) -> Result<(), StoreError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), StoreError> {
        self.queue = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(StoreError::PublisherGone { root: self.root.clone() }),
            None => Ok(()),
        }
    }
}

impl Drop for Publisher {
    /// Finishes what was published, too: what a cancelled build has done stays cached.
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(error = crate::scratch::error_text(&error), "not everything was kept in the cache");
        }
    }
}

impl Store {
    /// Starts a publisher; usually one a run.
    pub fn publisher(&self) -> Result<Publisher, StoreError> {
        let work = Work { layout: self.layout().clone(), index: self.index.another()?, owner: self.scratch_owner()? };
        let (queue, entries) = channel();
        let thread = std::thread::Builder::new()
            .name("publisher".to_owned())
            .spawn(move || work.run(&entries))
            .map_err(StoreError::io("start the publisher of", self.root()))?;
        Ok(Publisher { queue: Some(queue), thread: Some(thread), root: self.root().to_owned() })
    }
}

struct Work {
    layout: Layout,
    index: Index,
    owner: Arc<Owner>,
}

impl Work {
    fn run(&self, entries: &Receiver<Queued>) -> Result<(), StoreError> {
        let root = std::fs::File::open(&self.layout.root).map_err(StoreError::io("open", &self.layout.root))?;
        while let Ok(first) = entries.recv() {
            let created = now();
            let (mut batch, mut specs, mut held) = (Vec::new(), Vec::new(), Vec::new());
            for queued in std::iter::once(first).chain(entries.try_iter().take(LARGEST_BATCH - 1)) {
                batch.extend(queued.entry.map(|entry| index_entry(entry, created)));
                specs.extend(queued.spec);
                held.extend(queued.held);
            }
            self.write(&batch, &specs, &root)?;
            fail_point!("lease.kept");
            drop(held);
            fail_point!("lease.released");
        }
        Ok(())
    }

    fn write(&self, batch: &[IndexEntry], specs: &[NewSpec], root: &std::fs::File) -> Result<(), StoreError> {
        if batch.is_empty() {
            return self.index.put_entries(batch, specs);
        }
        fail_point!("publish.begin");
        for entry in batch {
            let sidecar = self.layout.entry_sidecar(&entry.fingerprint);
            write_atomically(&sidecar, &self.owner.fresh("sidecar"), &EntrySidecar::new(entry).encode()?)?;
            fail_point!("publish.sidecar");
        }
        rustix::fs::syncfs(root).map_err(StoreError::os("sync", &self.layout.root))?;
        fail_point!("publish.synced");
        mark_all_synced(&self.layout, batch.iter().flat_map(|entry| &entry.refs))?;
        fail_point!("publish.marked");
        self.index.put_entries(batch, specs)
    }
}

fn index_entry(new: NewEntry, created: i64) -> IndexEntry {
    IndexEntry {
        fingerprint: new.fingerprint,
        payload: new.payload,
        refs: new.refs,
        size: new.size,
        cost: new.cost,
        created,
        used: created,
    }
}
