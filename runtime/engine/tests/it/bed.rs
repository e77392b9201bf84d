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
use crate::real::Real;
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
            let work = Work::Step(Step { on, source, label: format!("s{k}").into(), network: false });
            let id = push(&mut plan, &format!("{name}/do \"s{k}\""), "do", &step.content, work);
            let args = &mut plan.nodes[id.index()].args;
            args.insert("comment".into(), Value::Text(step.comment.as_str().into()));
            args.insert("takes".into(), Value::Text(step.takes.to_string().into()));
            if let (0, Some(needs)) = (k, img.needs) {
                args.insert("needs".into(), Value::Node(artifacts[needs]));
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
        plan.nodes[id.index()].args.insert("image".into(), Value::Node(on));
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
        platform: platform().into(),
        backend: "fake".into(),
        kind: kind.into(),
        revision: 1,
        args: BTreeMap::from([("content".into(), Value::Text(content.into()))]),
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

/// What a case of the suite runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// In memory, with states that are contents.
    Local,
    /// In memory, with states that are made.
    Made,
    /// Far away: latency, lost answers, opaque ids, what is made is listed late.
    Far,
    /// As far away, and a commit costs more than most steps.
    Dear,
    /// The rootfs backend on this kernel.
    Rootfs,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::Local, Self::Made, Self::Far, Self::Dear, Self::Rootfs];
    /// Where every layer is kept.
    pub(crate) const FREE: [Self; 4] = [Self::Local, Self::Made, Self::Far, Self::Rootfs];

    /// In the names of tests.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Made => "made",
            Self::Far => "far",
            Self::Dear => "dear",
            Self::Rootfs => "rootfs",
        }
    }

    /// Whether an edit that leaves the same ends there.
    pub(crate) fn is_content(self) -> bool {
        matches!(self, Self::Local | Self::Rootfs)
    }

    /// So many milliseconds, or more where what goes on beside them takes longer.
    pub(crate) fn at_least(self, millis: u64) -> u64 {
        if self == Self::Rootfs { millis * 3 } else { millis }
    }
}

/// The backend of a bed, as far as it is to be asked for more than an engine asks for.
enum Behind {
    Fake(States),
    Cloud(Arc<Cloud>, CommitCost),
    Real(Arc<Real>),
}

/// An engine with a store of its own, or one that shares the store of another.
pub(crate) struct Bed {
    pub(crate) kind: Kind,
    pub(crate) dir: Arc<tempfile::TempDir>,
    pub(crate) engine: Engine,
    pub(crate) seen: Arc<Seen>,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
    pub(crate) cancel: CancellationToken,
    behind: Behind,
}

impl Bed {
    pub(crate) fn new(kind: Kind) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let store = Arc::new(Store::open(&dir.path().join("store")).unwrap());
        let seen = Arc::<Seen>::default();
        let remote = |commit| (Arc::<Cloud>::default(), commit);
        let ((backend, behind), mut backends): ((Arc<dyn Backend>, _), imgc_engine::Backends) = match kind {
            Kind::Local | Kind::Made => {
                let states = if kind == Kind::Local { States::Content } else { States::Made };
                let fake = Fake::new(store.clone(), states, seen.clone());
                ((Arc::new(fake), Behind::Fake(states)), BTreeMap::new())
            }
            Kind::Far | Kind::Dear => {
                let (cloud, commit) = remote(if kind == Kind::Far { CommitCost::Free } else { CommitCost::Dear });
                let remote = Remote::new(store.clone(), cloud.clone(), seen.clone(), commit);
                ((Arc::new(remote), Behind::Cloud(cloud, commit)), BTreeMap::new())
            }
            Kind::Rootfs => {
                let real = Arc::new(Real::new(store.clone(), seen.clone(), dir.path()));
                // What it writes down in journals bears its own name.
                let rootfs: Arc<dyn Backend> = Arc::new(imgc_rootfs::Rootfs::new(store.clone()));
                ((real.clone(), Behind::Real(real)), BTreeMap::from([("rootfs", rootfs)]))
            }
        };
        backends.insert("fake", backend);
        let steps = Arc::new(Steps(seen.clone()));
        let engine = Engine { store, backends, steps, package: "p".to_owned() };
        Self { kind, dir, engine, seen, events: Arc::default(), cancel: CancellationToken::new(), behind }
    }

    /// Another process, as far as store and engine are concerned.
    pub(crate) fn another(&self, package: &str) -> Self {
        let store = Arc::new(Store::open(&self.dir.path().join("store")).unwrap());
        let engine = Engine { store, package: package.to_owned(), ..self.engine.clone() };
        let behind = match &self.behind {
            Behind::Fake(states) => Behind::Fake(*states),
            Behind::Cloud(cloud, commit) => Behind::Cloud(cloud.clone(), *commit),
            Behind::Real(real) => Behind::Real(real.clone()),
        };
        let (dir, seen) = (self.dir.clone(), self.seen.clone());
        Self { kind: self.kind, dir, engine, seen, events: Arc::default(), cancel: CancellationToken::new(), behind }
    }

    /// The other end, where there is one.
    pub(crate) fn cloud(&self) -> &Arc<Cloud> {
        let Behind::Cloud(cloud, _) = &self.behind else { panic!("{:?} has no other end", self.kind) };
        cloud
    }

    /// From here on steps are done as a newer imgc does them.
    pub(crate) fn revise(&mut self, revision: u32) {
        let (store, seen) = (self.engine.store.clone(), self.seen.clone());
        let backend: Arc<dyn Backend> = match &self.behind {
            Behind::Fake(states) => Arc::new(Fake::new(store, *states, seen).revised(revision)),
            Behind::Cloud(cloud, commit) => {
                Arc::new(Remote::new(store, cloud.clone(), seen, *commit).revised(revision))
            }
            Behind::Real(_) => Arc::new(Real::new(store, seen, self.path()).revised(revision)),
        };
        self.engine.backends.insert("fake", backend);
    }

    /// Takes away what the step with this content left.
    pub(crate) fn evict(&self, content: &str) {
        match &self.behind {
            Behind::Fake(_) => {
                let object = self.engine.store.object(&Digest::of(content.as_bytes())).unwrap().unwrap();
                std::fs::remove_file(object.path).unwrap();
            }
            Behind::Cloud(cloud, _) => cloud.evict(content),
            Behind::Real(real) => real.evict(&self.engine.store, content),
        }
    }

    /// Waits until a step runs.
    pub(crate) async fn until_one_runs(&self) {
        while self.seen.running.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    /// Waits until a step runs, once another has ended.
    pub(crate) async fn until_one_runs_after(&self, other: &str) {
        while !self.seen.ran.lock().unwrap().iter().any(|ran| ran == other) {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        self.until_one_runs().await;
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
        assert_eq!(self.ran(), if self.kind.is_content() { content } else { made });
    }

    /// Each layer at the other end was asked for once.
    pub(crate) fn nothing_kept_twice(&self) {
        if let Behind::Cloud(cloud, _) = &self.behind {
            let kept = cloud.kept.lock().unwrap();
            assert_eq!(kept.len(), kept.iter().collect::<BTreeSet<_>>().len(), "a layer was kept twice");
        }
    }

    pub(crate) fn nothing_alive(&self) {
        assert_eq!(self.seen.alive.load(Ordering::SeqCst), 0);
        if let Behind::Cloud(cloud, _) = &self.behind {
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

/// As imgc runs where real processes and files are waited for; else one thread, on which the order of things is plain.
pub(crate) fn block_on<T>(kind: Kind, future: impl Future<Output = T>) -> T {
    let mut builder = match kind {
        Kind::Rootfs => tokio::runtime::Builder::new_multi_thread(),
        Kind::Local | Kind::Made | Kind::Far | Kind::Dear => tokio::runtime::Builder::new_current_thread(),
    };
    builder.worker_threads(2).enable_all().build().unwrap().block_on(future)
}
