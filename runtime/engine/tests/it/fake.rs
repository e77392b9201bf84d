//! A backend in memory: its layers are small objects of the store, its steps say in their arguments what they do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use imgc_backend::{
    Artifact, ArtifactInput, Backend, BackendError, CameUp, Channel, Close, Closed, CommitCost, Cx, Effect, Exec, Exit,
    ImageConfig, Keep, Kind, Layer, LayerId, Machine, MachineSpec, Offers, Output, Placement, Presence, Program,
    Recovered, Refusal, Resources, States, Stream,
};
use imgc_engine::StepRunner;
use imgc_plan::{Fingerprint, Locked, Node, State, Value};
use imgc_store::Store;

/// What the fake was asked to do, over all engines that share it.
#[derive(Default)]
pub(crate) struct Seen {
    /// Scripts that ran to their end.
    pub(crate) ran: Mutex<Vec<String>>,
    /// Machines and steps that are alive now.
    pub(crate) alive: AtomicUsize,
    /// The most steps that ran at once.
    pub(crate) most: AtomicUsize,
    pub(crate) running: AtomicUsize,
    /// How many machines were opened.
    pub(crate) opened: AtomicUsize,
    /// What was recovered.
    pub(crate) recovered: Mutex<Vec<String>>,
    /// Whether the host lacks what sources need.
    pub(crate) lacks: AtomicBool,
    /// Makes the content of steps that write `random` differ.
    pub(crate) random: AtomicUsize,
}

pub(crate) struct Fake {
    offers: Offers,
    store: Arc<Store>,
    pub(crate) seen: Arc<Seen>,
}

impl Fake {
    pub(crate) fn new(store: Arc<Store>, states: States, seen: Arc<Seen>) -> Self {
        let kind = |name| Kind { name, revision: 1 };
        let offers = Offers {
            backend: "fake",
            sources: vec![kind("fake.source")],
            steps: vec![kind("do")],
            artifacts: vec![kind("fake.file")],
            needs: Vec::new(),
            commit: CommitCost::Free,
            states,
            machine: Vec::new(),
        };
        Self { offers, store, seen }
    }

    /// As an imgc does its steps that is newer by some revisions.
    pub(crate) fn revised(mut self, revision: u32) -> Self {
        for kind in &mut self.offers.steps {
            kind.revision = revision;
        }
        self
    }

    fn keep(&self, text: &str) -> Result<LayerId, BackendError> {
        let object = self.store.insert_bytes(text.as_bytes()).map_err(|e| internal(&e))?;
        Ok(LayerId(object.digest))
    }

    /// The layer that some content leaves on another one.
    fn grown(&self, on: Option<&Layer>, content: &str, step: Fingerprint) -> Result<Layer, BackendError> {
        let base = Layer::content("fake", Vec::new(), 0, ImageConfig::default());
        let on = on.unwrap_or(&base);
        let top = if content.is_empty() { None } else { Some(self.keep(content)?) };
        let mut layer = on.grown(top);
        if self.offers.states == States::Made {
            layer.state = State::Made(step);
        }
        Ok(layer)
    }
}

fn internal(error: &impl std::fmt::Display) -> BackendError {
    BackendError::Internal { message: error.to_string() }
}

pub(crate) fn text<'a>(node: &'a Node, arg: &str) -> &'a str {
    match node.args.get(arg) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

/// What no host has room for, and what this one has no tools for.
pub(crate) fn refuse(node: &Node, seen: &Seen) -> Result<(), Refusal> {
    let lacks = node.kind == "fake.source" && seen.lacks.load(Ordering::SeqCst);
    if lacks || text(node, "content") == "too big" {
        let message = "needs more memory than there is".to_owned();
        return Err(Refusal { message, help: None, fault: imgc_backend::Fault::Environment });
    }
    Ok(())
}

/// What a source is pinned to, another thing each time.
pub(crate) fn locked(source: &Node, seen: &Seen) -> Locked {
    let name = text(source, "content").to_owned();
    let serial = seen.random.fetch_add(1, Ordering::SeqCst);
    let pins = BTreeMap::from([("serial".to_owned(), imgc_plan::lock::Pin::Text(serial.to_string()))]);
    Locked { name, kind: source.kind.to_string(), epoch: 1, archives: Vec::new(), pins }
}

#[async_trait::async_trait]
impl Backend for Fake {
    fn offers(&self) -> &Offers {
        &self.offers
    }

    fn needs(&self, node: &Node, _machine: &serde_json::Value) -> Result<Resources, Refusal> {
        refuse(node, &self.seen)?;
        Ok(Resources { cpus: 1, ..Resources::default() })
    }

    async fn lock(&self, source: &Node, _cx: &Cx) -> Result<Locked, BackendError> {
        Ok(locked(source, &self.seen))
    }

    async fn import(&self, source: &Node, _locked: &Locked, _cx: &Cx) -> Result<Layer, BackendError> {
        let content = text(source, "content");
        self.seen.ran.lock().unwrap().push(source.address.0.clone());
        self.grown(None, content, Fingerprint(imgc_plan::Digest::of(content.as_bytes()).0))
    }

    async fn present(&self, layers: &[Layer], _cx: &Cx) -> Result<Vec<Presence>, BackendError> {
        let there = |layer: &Layer| layer.chain.iter().all(|id| matches!(self.store.object(&id.0), Ok(Some(_))));
        Ok(layers.iter().map(|l| if there(l) { Presence::Present } else { Presence::Gone }).collect())
    }

    async fn open(
        &self,
        on: &Layer,
        _spec: &MachineSpec,
        _cx: &Cx,
    ) -> Result<(Box<dyn Machine>, CameUp), BackendError> {
        self.seen.opened.fetch_add(1, Ordering::SeqCst);
        self.seen.alive.fetch_add(1, Ordering::SeqCst);
        let backend = Self::new(self.store.clone(), self.offers.states, self.seen.clone());
        let machine = FakeMachine { backend, on: on.clone(), content: String::new() };
        Ok((Box::new(machine), CameUp::Started { why: None }))
    }

    async fn make(&self, node: &Node, inputs: &[ArtifactInput], _cx: &Cx) -> Result<Artifact, BackendError> {
        let states: Vec<String> = inputs
            .iter()
            .map(|input| match input {
                ArtifactInput::Layer(layer) => layer.state.digest().to_string(),
                ArtifactInput::Artifact(artifact) => artifact.digest.to_string(),
            })
            .collect();
        self.seen.ran.lock().unwrap().push(node.address.0.clone());
        let text = format!("{} {}", text(node, "content"), states.join(" "));
        let object = self.store.insert_bytes(text.as_bytes()).map_err(|e| internal(&e))?;
        let (path, digest, size) = (Some(object.path), object.digest, object.size);
        Ok(Artifact { path, digest, sha256: Some(object.sha256), size, id: None, usage: Vec::new() })
    }

    async fn recover(&self, effect: &Effect, _cx: &Cx) -> Result<Recovered, BackendError> {
        self.seen.recovered.lock().unwrap().push(effect.token.clone());
        Ok(Recovered::Destroyed)
    }

    fn layer_size(&self, _layer: &Layer) -> u64 {
        1
    }
}

struct FakeMachine {
    backend: Fake,
    on: Layer,
    content: String,
}

impl Drop for FakeMachine {
    fn drop(&mut self) {
        self.backend.seen.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait::async_trait]
impl Machine for FakeMachine {
    async fn channel(&mut self, _cx: &Cx) -> Result<&mut dyn Channel, BackendError> {
        Ok(self)
    }

    async fn commit(&mut self, step: &Fingerprint, _keep: Keep, _cx: &Cx) -> Result<Layer, BackendError> {
        let content = std::mem::take(&mut self.content);
        self.on = self.backend.grown(Some(&self.on), &content, *step)?;
        Ok(self.on.clone())
    }

    async fn close(self: Box<Self>, _how: Close, _cx: &Cx) -> Result<Closed, BackendError> {
        Ok(Closed::Gone)
    }
}

#[async_trait::async_trait]
impl Channel for FakeMachine {
    /// `content`, `fail N`, `random`; waits as many milliseconds as its timeout says.
    async fn exec(&mut self, exec: &Exec, output: Output<'_>, cx: &Cx) -> Result<Exit, BackendError> {
        let seen = self.backend.seen.clone();
        let Program::Script { text, .. } = &exec.program else { return Ok(Exit::Code(127)) };
        output(Stream::Stdout, format!("begin\nran {text}\n").as_bytes());
        let now = seen.running.fetch_add(1, Ordering::SeqCst) + 1;
        seen.most.fetch_max(now, Ordering::SeqCst);
        let stopped = tokio::select! {
            () = tokio::time::sleep(exec.timeout.unwrap_or_default()) => false,
            () = cx.cancel.cancelled() => true,
        };
        seen.running.fetch_sub(1, Ordering::SeqCst);
        if stopped {
            return Err(BackendError::Interrupted);
        }
        self.content.clone_from(text);
        if text == "random" {
            self.content = format!("random {}", seen.random.fetch_add(1, Ordering::SeqCst));
        }
        Ok(Exit::Code(text.strip_prefix("fail ").map_or(0, |code| code.parse().unwrap_or(1))))
    }

    async fn put(&mut self, _placement: &Placement, _cx: &Cx) -> Result<(), BackendError> {
        Ok(())
    }
}

/// Runs `do` steps of the fake.
pub(crate) struct Steps(pub(crate) Arc<Seen>);

#[async_trait::async_trait]
impl StepRunner for Steps {
    async fn run(
        &self,
        node: &Node,
        channel: &mut dyn Channel,
        cx: &Cx,
        output: Output<'_>,
    ) -> Result<(), BackendError> {
        let takes = text(node, "takes").parse().unwrap_or(0);
        let exec = Exec {
            program: Program::Script { interpreter: Vec::new(), text: text(node, "content").to_owned() },
            env: BTreeMap::new(),
            user: "root".to_owned(),
            workdir: "/".to_owned(),
            network: false,
            timeout: Some(Duration::from_millis(takes)),
        };
        match channel.exec(&exec, output, cx).await? {
            Exit::Code(0) => {
                self.0.ran.lock().unwrap().push(node.address.0.clone());
                Ok(())
            }
            how @ (Exit::Code(_) | Exit::Signal(_)) => {
                Err(BackendError::StepFailed { what: node.address.0.clone(), how: how.to_string() })
            }
        }
    }
}
