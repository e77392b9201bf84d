//! Programs, plans and engines for the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use imgc_backend::{Backend, CommitCost, Cx, Event, EventSink, Secrets, States};
use imgc_engine::{Applied, ApplyError, Engine, Forecast, Options, Outcome, Selection};
use imgc_plan::node::{Asked, PLAN_FORMAT, Work};
use imgc_plan::{
    Address, Artifact, Digest, Fingerprint, Image, Locked, Node, NodeId, Output, OutputValue, Plan, Platform, Record,
    Source, SourceKey, State, Step, Value, fingerprint,
};
use imgc_store::Store;
use tokio_util::sync::CancellationToken;

use crate::fake::{Fake, Seen, Steps, text};
use crate::remote::{Cloud, Remote};

/// A program: images on sources or on one another, and an artifact of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) images: Vec<Img>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Img {
    /// An earlier image, or none: a source of its own.
    pub(crate) from: Option<usize>,
    /// The content of the source.
    pub(crate) base: String,
    pub(crate) steps: Vec<Do>,
    /// Its first step also needs the artifact of this earlier image.
    pub(crate) needs: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Do {
    pub(crate) content: String,
    /// In the fingerprint, but changes nothing.
    pub(crate) comment: String,
    /// In milliseconds.
    pub(crate) takes: u64,
}

impl Do {
    pub(crate) fn of(content: &str) -> Self {
        Self { content: content.to_owned(), ..Self::default() }
    }

    pub(crate) fn taking(content: &str, takes: u64) -> Self {
        Self { content: content.to_owned(), takes, ..Self::default() }
    }
}

/// One image with these steps.
pub(crate) fn one(steps: Vec<Do>) -> Program {
    Program { images: vec![Img { from: None, base: "base".to_owned(), steps, needs: None }] }
}

pub(crate) fn plan(program: &Program) -> Arc<Plan> {
    let mut plan = Plan {
        format: PLAN_FORMAT,
        imgc: "test".to_owned(),
        nodes: Vec::new(),
        images: Vec::new(),
        outputs: Vec::new(),
        tests: Vec::new(),
        secrets: std::collections::BTreeMap::new(),
        asked: Asked::default(),
    };
    let mut lasts: Vec<(NodeId, NodeId)> = Vec::new();
    let mut artifacts = Vec::new();
    for (n, img) in program.images.iter().enumerate() {
        let name = format!("i{n}");
        let mut nodes = Vec::new();
        let (mut on, source) = if let Some(from) = img.from {
            lasts[from]
        } else {
            let id = push(&mut plan, &format!("{name}/from"), "fake.source", &img.base, source(&img.base));
            nodes.push(id);
            (id, id)
        };
        for (k, step) in img.steps.iter().enumerate() {
            let work = Work::Step(Step { on, source, label: format!("s{k}"), network: false });
            let id = push(&mut plan, &format!("{name}/do \"s{k}\""), "do", &step.content, work);
            let args = &mut plan.nodes[id.index()].args;
            args.insert("comment".to_owned(), Value::Text(step.comment.clone()));
            args.insert("takes".to_owned(), Value::Text(step.takes.to_string()));
            if let (0, Some(needs)) = (k, img.needs) {
                args.insert("needs".to_owned(), Value::Node(artifacts[needs]));
            }
            nodes.push(id);
            on = id;
        }
        lasts.push((on, source));
        let address = Address(name.clone());
        let from = img.from.map(|from| Address(format!("i{from}")));
        plan.images.push(Image { address, platform: platform(), from, nodes, last: on });
        let work = Work::Artifact(Artifact { of: vec![on], extension: "txt".to_owned() });
        let id = push(&mut plan, &format!("a{n}"), "fake.file", "", work);
        plan.nodes[id.index()].args.insert("image".to_owned(), Value::Node(on));
        artifacts.push(id);
        let value = OutputValue::Artifact { node: id, file: format!("a{n}.txt") };
        plan.outputs.push(Output { name: format!("a{n}"), value, span: None });
    }
    plan.verify().unwrap();
    Arc::new(plan)
}

fn source(base: &str) -> Work {
    let kind = "fake.source".to_owned();
    let locked = Locked { name: base.to_owned(), kind, epoch: 1, archives: Vec::new(), pins: BTreeMap::new() };
    Work::Source(Source {
        key: SourceKey(Digest::of(base.as_bytes())),
        locked: Some(locked),
        machine: Record::new(),
        counts: Vec::new(),
    })
}

fn platform() -> Platform {
    "linux/amd64".parse().unwrap()
}

fn push(plan: &mut Plan, address: &str, kind: &str, content: &str, work: Work) -> NodeId {
    let id = NodeId(u32::try_from(plan.nodes.len()).unwrap());
    plan.nodes.push(Node {
        address: Address(address.to_owned()),
        span: None,
        platform: platform(),
        backend: "fake".to_owned(),
        kind: kind.to_owned(),
        revision: 1,
        args: BTreeMap::from([("content".to_owned(), Value::Text(content.to_owned()))]),
        work,
    });
    id
}

/// What each node's fingerprint has to be: computed without the engine, for layers whose state is their content.
pub(crate) fn model(plan: &Plan) -> Vec<Fingerprint> {
    let mut states: Vec<State> = Vec::new();
    let mut fingerprints = Vec::new();
    for id in plan.ids() {
        let node = plan.node(id);
        let parents: Vec<State> = plan.inputs(id).iter().map(|p| states[p.index()]).collect();
        let content = text(node, "content");
        let layer = (!content.is_empty()).then(|| Digest::of(content.as_bytes()));
        fingerprints.push(fingerprint(plan, id, &parents));
        states.push(match &node.work {
            Work::Source(_) => State::content(layer, None),
            Work::Step(_) => layer.map_or(parents[0], |layer| parents[0].and(layer)),
            Work::Artifact(_) => {
                let text = format!("{content} {}", parents[0].digest());
                State::content([Digest::of(text.as_bytes())], None)
            }
        });
    }
    fingerprints
}

/// An engine with a store of its own, or one that shares the store of another.
pub(crate) struct Bed {
    pub(crate) dir: Arc<tempfile::TempDir>,
    pub(crate) engine: Engine,
    pub(crate) seen: Arc<Seen>,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
    pub(crate) cancel: CancellationToken,
    cloud: Option<Arc<Cloud>>,
}

impl Bed {
    pub(crate) fn new(states: States) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        Self::on(dir, states, Arc::default())
    }

    /// One of each kind: here with states that are contents, here with states that are made, and far away.
    pub(crate) fn each() -> [Self; 3] {
        [Self::new(States::Content), Self::new(States::Made), Self::remote(CommitCost::Free).0]
    }

    /// Another process, as far as store and engine are concerned.
    pub(crate) fn another(&self, package: &str) -> Self {
        let mut bed = Self::on(self.dir.clone(), self.engine.backends["fake"].offers().states, self.seen.clone());
        package.clone_into(&mut bed.engine.package);
        bed.engine.backends.clone_from(&self.engine.backends);
        bed.cloud.clone_from(&self.cloud);
        bed
    }

    /// On a backend that is far away, whose commits cost this.
    pub(crate) fn remote(commit: CommitCost) -> (Self, Arc<Cloud>) {
        let mut bed = Self::new(States::Made);
        let cloud = Arc::<Cloud>::default();
        let remote = Remote::new(bed.engine.store.clone(), cloud.clone(), bed.seen.clone(), commit);
        bed.engine.backends = BTreeMap::from([("fake", Arc::new(remote) as Arc<dyn Backend>)]);
        bed.cloud = Some(cloud.clone());
        (bed, cloud)
    }

    fn on(dir: Arc<tempfile::TempDir>, states: States, seen: Arc<Seen>) -> Self {
        let store = Arc::new(Store::open(&dir.path().join("store")).unwrap());
        let fake: Arc<dyn Backend> = Arc::new(Fake::new(store.clone(), states, seen.clone()));
        let backends = BTreeMap::from([("fake", fake)]);
        let steps = Arc::new(Steps(seen.clone()));
        let engine = Engine { store, backends, steps, package: "p".to_owned() };
        Self { dir, engine, seen, events: Arc::default(), cancel: CancellationToken::new(), cloud: None }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn cx(&self) -> Cx {
        let events = self.events.clone();
        Cx {
            cancel: self.cancel.clone(),
            events: EventSink::new(move |event| events.lock().unwrap().push(event)),
            node: None,
            package: self.path().to_owned(),
            settings: Arc::default(),
            journal: imgc_backend::Journal::default(),
            secrets: Secrets::default(),
        }
    }

    pub(crate) async fn apply(&self, plan: &Arc<Plan>, options: &Options) -> Result<Applied, ApplyError> {
        self.events.lock().unwrap().clear();
        imgc_engine::apply(&self.engine, plan, &all(plan), options, &self.cx()).await
    }

    pub(crate) async fn forecast(&self, plan: &Plan, options: &Options) -> Forecast {
        imgc_engine::forecast(&self.engine, plan, &all(plan), options, &self.cx()).await.unwrap()
    }

    /// What ran since the last call, sorted.
    pub(crate) fn ran(&self) -> Vec<String> {
        let mut ran = std::mem::take(&mut *self.seen.ran.lock().unwrap());
        ran.sort();
        ran
    }

    /// Checks what ran since the last call: by whether a step that leaves the same stops what follows, or not.
    pub(crate) fn ran_is(&self, content: &[&str], made: &[&str]) {
        let is_content = self.engine.backends["fake"].offers().states == States::Content;
        assert_eq!(self.ran(), if is_content { content } else { made });
    }

    pub(crate) fn nothing_alive(&self) {
        assert_eq!(self.seen.alive.load(Ordering::SeqCst), 0);
        if let Some(cloud) = &self.cloud {
            assert!(cloud.machines.lock().unwrap().is_empty());
        }
    }
}

pub(crate) fn all(plan: &Plan) -> Selection {
    imgc_engine::select(plan, &[]).unwrap()
}

pub(crate) fn fingerprints_run(applied: &Applied) -> BTreeSet<Fingerprint> {
    applied.nodes.iter().filter(|n| n.outcome != Outcome::Cached).map(|n| n.fingerprint).collect()
}
