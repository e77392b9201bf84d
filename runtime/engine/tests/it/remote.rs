//! A backend far away: it answers late, loses answers after the deed is done, names things by ids that say nothing, and
//! shows what it has made only after a while. Committing costs. What it makes can only be looked at by its ids.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use imgc_backend::{
    Artifact, ArtifactInput, Backend, BackendError, CameUp, Channel, Close, Closed, CommitCost, Cx, Effect, Exec, Exit,
    ImageConfig, Intended, Keep, Kind, Lasting, Layer, LayerId, Machine, MachineSpec, Offers, Output, Placement,
    Presence, Program, Recovered, Refusal, Resources, States, Stream,
};
use imgc_plan::{Digest, Fingerprint, Locked, Node, State};
use imgc_store::Store;
use serde_json::json;

use crate::fake::{Seen, text};

/// How long a word takes there and back.
const LATENCY: Duration = Duration::from_millis(2);
/// How long a new thing is not listed.
const UNSEEN: Duration = Duration::from_millis(15);

/// The other end: it lives on, whatever becomes of those who talk to it.
#[derive(Default)]
pub(crate) struct Cloud {
    /// Snapshots and machines by opaque id: what they hold, and when they were made.
    snapshots: Mutex<BTreeMap<String, (Vec<String>, Instant)>>,
    pub(crate) machines: Mutex<BTreeSet<String>>,
    /// By token: what was made for it, so that asking twice makes one.
    tokens: Mutex<BTreeMap<String, String>>,
    count: AtomicUsize,
    /// How many snapshots were made.
    pub(crate) commits: AtomicUsize,
    /// What was kept, by the step that left it.
    pub(crate) kept: Mutex<Vec<Fingerprint>>,
}

impl Cloud {
    fn id(&self, kind: &str) -> String {
        let count = self.count.fetch_add(1, Ordering::SeqCst);
        format!("{kind}-{}", Digest::of(count.to_string().as_bytes()).short())
    }

    /// Makes a thing once for a token. Every third answer is lost on its way back.
    async fn create(&self, token: &str, kind: &str, make: impl FnOnce(&str)) -> Option<String> {
        tokio::time::sleep(LATENCY).await;
        let id = {
            let mut tokens = self.tokens.lock().unwrap();
            if let Some(id) = tokens.get(token) {
                return Some(id.clone());
            }
            let id = self.id(kind);
            make(&id);
            tokens.insert(token.to_owned(), id.clone());
            id
        };
        (!self.count.load(Ordering::SeqCst).is_multiple_of(3)).then_some(id)
    }

    /// Asks until there is an answer.
    async fn surely(&self, token: &str, kind: &str, make: impl Fn(&str)) -> String {
        loop {
            if let Some(id) = self.create(token, kind, &make).await {
                return id;
            }
        }
    }

    /// Takes away what the step with this content left.
    pub(crate) fn evict(&self, content: &str) {
        let mut snapshots = self.snapshots.lock().unwrap();
        snapshots.retain(|_, (files, _)| files.last().is_none_or(|last| last != content));
    }

    fn snapshot(&self, id: &str) -> Option<Vec<String>> {
        self.snapshots.lock().unwrap().get(id).map(|(files, _)| files.clone())
    }

    /// Waits until what was just made is listed.
    async fn listed(&self, id: &str) -> bool {
        loop {
            tokio::time::sleep(LATENCY).await;
            match self.snapshots.lock().unwrap().get(id) {
                None => return false,
                Some((_, made)) if made.elapsed() > UNSEEN => return true,
                Some(_) => {}
            }
        }
    }
}

pub(crate) struct Remote {
    offers: Offers,
    store: Arc<Store>,
    cloud: Arc<Cloud>,
    seen: Arc<Seen>,
}

impl Remote {
    pub(crate) fn new(store: Arc<Store>, cloud: Arc<Cloud>, seen: Arc<Seen>, commit: CommitCost) -> Self {
        let kind = |name| Kind { name, revision: 1 };
        let offers = Offers {
            backend: "fake",
            sources: vec![kind("fake.source")],
            steps: vec![kind("do")],
            artifacts: vec![kind("fake.file")],
            needs: Vec::new(),
            commit,
            states: States::Made,
            machine: Vec::new(),
        };
        Self { offers, store, cloud, seen }
    }

    /// As an imgc does its steps that is newer by some revisions.
    pub(crate) fn revised(mut self, revision: u32) -> Self {
        for kind in &mut self.offers.steps {
            kind.revision = revision;
        }
        self
    }

    async fn keep(&self, files: Vec<String>, step: Fingerprint, cx: &Cx) -> Result<Layer, BackendError> {
        let intent = cx.journal.intend(Intended {
            backend: "fake",
            kind: "snapshot",
            lasting: Lasting::Beyond,
            tags: BTreeMap::new(),
        })?;
        let token = intent.token().to_owned();
        let snapshots = &self.cloud.snapshots;
        let make = |id: &str| drop(snapshots.lock().unwrap().insert(id.to_owned(), (files.clone(), Instant::now())));
        let id = self.cloud.surely(&token, "snap", make).await;
        self.cloud.commits.fetch_add(1, Ordering::SeqCst);
        self.cloud.kept.lock().unwrap().push(step);
        intent.created(json!(id))?.adopted()?;
        let mut layer = Layer::content("fake", vec![LayerId(Digest::of(id.as_bytes()))], 0, ImageConfig::default());
        layer.state = State::Made(step);
        layer.detail = json!({ "snapshot": id });
        Ok(layer)
    }
}

fn snapshot_of(layer: &Layer) -> &str {
    layer.detail["snapshot"].as_str().unwrap_or_default()
}

#[async_trait::async_trait]
impl Backend for Remote {
    fn offers(&self) -> &Offers {
        &self.offers
    }

    fn needs(&self, node: &Node, _machine: &serde_json::Value) -> Result<Resources, Refusal> {
        crate::fake::refuse(node, &self.seen)?;
        Ok(Resources { cpus: 1, machines: 1, ..Resources::default() })
    }

    async fn lock(&self, source: &Node, _cx: &Cx) -> Result<Locked, BackendError> {
        Ok(crate::fake::locked(source, &self.seen))
    }

    async fn import(&self, source: &Node, _locked: &Locked, cx: &Cx) -> Result<Layer, BackendError> {
        let content = text(source, "content");
        self.seen.ran.lock().unwrap().push(source.address.0.clone());
        self.keep(vec![content.to_owned()], Fingerprint(Digest::of(content.as_bytes()).0), cx).await
    }

    async fn present(&self, layers: &[Layer], _cx: &Cx) -> Result<Vec<Presence>, BackendError> {
        let mut answers = Vec::new();
        for layer in layers {
            let there = self.cloud.listed(snapshot_of(layer)).await;
            answers.push(if there { Presence::Present } else { Presence::Gone });
        }
        Ok(answers)
    }

    async fn open(&self, on: &Layer, _: &MachineSpec, cx: &Cx) -> Result<(Box<dyn Machine>, CameUp), BackendError> {
        let Some(files) = self.cloud.snapshot(snapshot_of(on)) else {
            return Err(BackendError::Environment { message: "no such snapshot".to_owned(), help: None });
        };
        self.seen.opened.fetch_add(1, Ordering::SeqCst);
        let intent = cx.journal.intend(Intended {
            backend: "fake",
            kind: "machine",
            lasting: Lasting::Beyond,
            tags: BTreeMap::new(),
        })?;
        let token = intent.token().to_owned();
        let machines = &self.cloud.machines;
        let make = |id: &str| assert!(machines.lock().unwrap().insert(id.to_owned()));
        let id = self.cloud.surely(&token, "vm", make).await;
        let life = intent.created(json!(id))?;
        let backend = Self::new(self.store.clone(), self.cloud.clone(), self.seen.clone(), self.offers.commit);
        Ok((Box::new(RemoteMachine { backend, id, files, life: Some(life) }), CameUp::Started { why: None }))
    }

    async fn make(&self, node: &Node, inputs: &[ArtifactInput], _cx: &Cx) -> Result<Artifact, BackendError> {
        self.seen.ran.lock().unwrap().push(node.address.0.clone());
        let of = |input: &ArtifactInput| match input {
            ArtifactInput::Layer(layer) => self.cloud.snapshot(snapshot_of(layer)).unwrap_or_default().join("\n"),
            ArtifactInput::Artifact(artifact) => artifact.digest.to_string(),
        };
        let text = inputs.iter().map(of).collect::<Vec<_>>().join("\n");
        let internal = |error: imgc_store::StoreError| BackendError::Internal { message: error.to_string() };
        let object = self.store.insert_bytes(text.as_bytes()).map_err(internal)?;
        let (path, digest, size) = (Some(object.path), object.digest, object.size);
        Ok(Artifact { path, digest, sha256: Some(object.sha256), size, id: None, usage: Vec::new() })
    }

    async fn recover(&self, effect: &Effect, _cx: &Cx) -> Result<Recovered, BackendError> {
        self.seen.recovered.lock().unwrap().push(effect.token.clone());
        Ok(Recovered::Destroyed)
    }

    fn layer_size(&self, _layer: &Layer) -> u64 {
        0
    }
}

struct RemoteMachine {
    backend: Remote,
    id: String,
    files: Vec<String>,
    life: Option<imgc_backend::Created>,
}

#[async_trait::async_trait]
impl Machine for RemoteMachine {
    async fn channel(&mut self, _cx: &Cx) -> Result<&mut dyn Channel, BackendError> {
        Ok(self)
    }

    async fn commit(&mut self, step: &Fingerprint, _keep: Keep, cx: &Cx) -> Result<Layer, BackendError> {
        self.backend.keep(self.files.clone(), *step, cx).await
    }

    async fn close(mut self: Box<Self>, how: Close, _cx: &Cx) -> Result<Closed, BackendError> {
        tokio::time::sleep(LATENCY).await;
        if how == Close::Park {
            return Ok(Closed::Parked(self.id.clone()));
        }
        self.backend.cloud.machines.lock().unwrap().remove(&self.id);
        if let Some(life) = self.life.take() {
            life.destroyed()?;
        }
        Ok(Closed::Gone)
    }
}

#[async_trait::async_trait]
impl Channel for RemoteMachine {
    async fn exec(&mut self, exec: &Exec, output: Output<'_>, cx: &Cx) -> Result<Exit, BackendError> {
        let Program::Script { text, .. } = &exec.program else { return Ok(Exit::Code(127)) };
        output(Stream::Stdout, format!("begin\nran {text}\n").as_bytes());
        let seen = self.backend.seen.clone();
        let now = seen.running.fetch_add(1, Ordering::SeqCst) + 1;
        seen.most.fetch_max(now, Ordering::SeqCst);
        let stopped = tokio::select! {
            () = tokio::time::sleep(exec.timeout.unwrap_or_default() + LATENCY) => false,
            () = cx.cancel.cancelled() => true,
        };
        seen.running.fetch_sub(1, Ordering::SeqCst);
        if stopped {
            return Err(BackendError::Interrupted);
        }
        self.files.push(text.clone());
        Ok(Exit::Code(text.strip_prefix("fail ").map_or(0, |code| code.parse().unwrap_or(1))))
    }

    async fn put(&mut self, _placement: &Placement, _cx: &Cx) -> Result<(), BackendError> {
        Ok(())
    }
}
