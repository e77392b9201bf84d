//! Nodes that do nothing, through the public engine: what it costs itself, with journal, events and fingerprints.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use imgc_backend::{
    Artifact, ArtifactInput, Backend, BackendError, CameUp, Channel, Close, Closed, CommitCost, Cx, Effect, EventSink,
    ImageConfig, Keep, Kind, Layer, LayerId, Machine, MachineSpec, Offers, Output, Presence, Recovered, Refusal,
    Resources, States,
};
use imgc_engine::{Engine, Options, Run, Selection, StepRunner};
use imgc_plan::node::{Asked, PLAN_FORMAT, Work};
use imgc_plan::{
    Address, Digest, Fingerprint, Image, Locked, Node, NodeId, Output as PlanOutput, OutputValue, Plan, Record, Source,
    SourceKey, Step, Value,
};
use imgc_store::Store;
use tokio_util::sync::CancellationToken;

use crate::{Bench, Row, median, show};

/// Steps of one image.
const LONG: usize = 100;

pub(crate) fn rows(bench: &Bench) -> Vec<Row> {
    let (few, many) = (bench.many(10_000), bench.many(100_000));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut rows = run_and_find(bench, many).await;
        rows.push(forecast(bench, few).await);
        rows
    })
}

/// A run of nodes nobody knows, and one that finds them all.
async fn run_and_find(bench: &Bench, count: usize) -> Vec<Row> {
    let (plan, events) = (plan(count), Arc::new(AtomicUsize::new(0)));
    let engine = engine(bench, &format!("null-{count}"));
    let selection = imgc_engine::select(&plan, &[]).expect("a selection");
    let nodes = u32::try_from(plan.nodes.len()).expect("a number");
    let mut rows = Vec::new();
    for (what, rounds) in [("nobody knows", 1), ("are all known", 3)] {
        let mut times = Vec::new();
        forget_the_peak();
        for _ in 0..rounds {
            times.push(apply(bench, &engine, &plan, &selection, &events).await);
        }
        let took = median(times);
        let peak = crate::memory(std::process::id()).expect("the memory of this process") / 1024;
        let nothing = no_op(&plan);
        let ours = format!("{} ({:.2} µs each), {peak} MiB", show(took), micros(took / nodes));
        let peer = format!("{} ({:.3} µs each)", show(nothing), micros(nothing / nodes));
        rows.push(Row { what: format!("{nodes} null nodes that {what}"), ours, peers: vec![("a no-op loop", peer)] });
    }
    assert!(events.load(Ordering::Relaxed) >= plan.nodes.len(), "every node is told of");
    rows
}

/// The kernel counts the most memory of a process from here on, so that no row shows that of the one before.
fn forget_the_peak() {
    std::fs::write("/proc/self/clear_refs", "5").expect("a peak that can be counted anew");
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

async fn apply(
    bench: &Bench,
    engine: &Engine,
    plan: &Arc<Plan>,
    selection: &Selection,
    events: &Arc<AtomicUsize>,
) -> Duration {
    let run = Arc::new(Run::begin(&bench.path("runs")).expect("a run"));
    let options = Options { run: Some(run), ..Options::default() };
    let cx = circumstances(bench, events);
    let begun = Instant::now();
    let applied = imgc_engine::apply(engine, plan, selection, &options, &cx).await.expect("a run");
    let took = begun.elapsed();
    assert_eq!(applied.nodes.len(), plan.nodes.len());
    took
}

/// The loop without an engine: every node is looked at, and nothing is done.
fn no_op(plan: &Plan) -> Duration {
    let begun = Instant::now();
    for node in &plan.nodes {
        black_box(node);
    }
    begun.elapsed()
}

/// What `imgc plan` asks the engine where everything is built.
async fn forecast(bench: &Bench, count: usize) -> Row {
    let (plan, events) = (plan(count), Arc::new(AtomicUsize::new(0)));
    let engine = engine(bench, &format!("forecast-{count}"));
    let selection = imgc_engine::select(&plan, &[]).expect("a selection");
    apply(bench, &engine, &plan, &selection, &events).await;
    let mut times = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        let cx = circumstances(bench, &events);
        let forecast = imgc_engine::forecast(&engine, &plan, &selection, &Options::default(), &cx).await;
        let forecast = forecast.expect("a forecast");
        times.push(begun.elapsed());
        assert_eq!((forecast.to_run, forecast.pending), (0, 0));
    }
    let what = format!("forecast of {} cached nodes", plan.nodes.len());
    Row { what, ours: show(median(times)), peers: Vec::new() }
}

fn circumstances(bench: &Bench, events: &Arc<AtomicUsize>) -> Cx {
    let events = Arc::clone(events);
    let sink = EventSink::new(move |event| {
        black_box(event);
        events.fetch_add(1, Ordering::Relaxed);
    });
    Cx::plain(CancellationToken::new(), sink, bench.path(""))
}

fn engine(bench: &Bench, store: &str) -> Engine {
    let store = Arc::new(Store::open(&bench.path(store)).expect("a store"));
    let backends: imgc_engine::Backends = BTreeMap::from([("null", Arc::new(Null::new()) as Arc<dyn Backend>)]);
    Engine { store, backends, steps: Arc::new(Nothing), package: "bench".to_owned() }
}

/// Images of a hundred steps each.
fn plan(count: usize) -> Arc<Plan> {
    let mut plan = Plan {
        format: PLAN_FORMAT,
        imgc: "bench".to_owned(),
        nodes: Vec::new(),
        images: Vec::new(),
        outputs: Vec::new(),
        tests: Vec::new(),
        secrets: BTreeMap::new(),
        asked: Asked::default(),
    };
    for number in 0..count.div_ceil(LONG) {
        let base = number.to_string();
        let locked = Locked {
            name: base.clone(),
            kind: "null.source".to_owned(),
            epoch: 1,
            archives: Vec::new(),
            pins: BTreeMap::new(),
        };
        let key = SourceKey(Digest::of(base.as_bytes()));
        let work = Work::Source(Source { key, locked: Some(locked), machine: Record::new(), counts: Vec::new() });
        let source = push(&mut plan, format!("i{number}/from"), "null.source", work);
        let (mut nodes, mut on) = (vec![source], source);
        for step in 0..LONG {
            let label = format!("s{step}");
            let address = format!("i{number}/null \"{label}\"");
            on = push(&mut plan, address, "null", Work::Step(Step { on, source, label: label.into(), network: false }));
            nodes.push(on);
        }
        let address = Address(format!("i{number}"));
        let platform = "linux/amd64".parse().expect("a platform");
        plan.images.push(Image { address, platform, from: None, nodes, last: on });
        plan.outputs.push(PlanOutput { name: format!("o{number}"), value: OutputValue::Image(on), span: None });
    }
    plan.verify().expect("a plan");
    Arc::new(plan)
}

fn push(plan: &mut Plan, address: String, kind: &str, work: Work) -> NodeId {
    let id = NodeId(u32::try_from(plan.nodes.len()).expect("a number"));
    plan.nodes.push(Node {
        args: BTreeMap::from([("of".into(), Value::Text(address.as_str().into()))]),
        address: Address(address),
        span: None,
        platform: "linux/amd64".parse::<imgc_plan::Platform>().expect("a platform").into(),
        backend: "null".into(),
        kind: kind.into(),
        revision: 1,
        work,
    });
    id
}

/// A backend whose layers hold nothing.
struct Null(Offers);

impl Null {
    fn new() -> Self {
        let kind = |name| Kind { name, revision: 1 };
        Self(Offers {
            backend: "null",
            sources: vec![kind("null.source")],
            steps: vec![kind("null")],
            artifacts: Vec::new(),
            needs: Vec::new(),
            commit: CommitCost::Free,
            states: States::Content,
            machine: Vec::new(),
        })
    }
}

/// A layer that is told from others by what made it.
fn layer(chain: Vec<LayerId>) -> Layer {
    Layer::content("null", chain, 1, ImageConfig::default())
}

#[async_trait::async_trait]
impl Backend for Null {
    fn offers(&self) -> &Offers {
        &self.0
    }

    fn needs(&self, _: &Node, _: &serde_json::Value) -> Result<Resources, Refusal> {
        Ok(Resources { cpus: 1, ..Resources::default() })
    }

    async fn lock(&self, _: &Node, _: &Cx) -> Result<Locked, BackendError> {
        Err(BackendError::Internal { message: "everything is locked".to_owned() })
    }

    async fn import(&self, source: &Node, _: &Locked, _: &Cx) -> Result<Layer, BackendError> {
        Ok(layer(vec![LayerId(Digest::of(source.address.0.as_bytes()))]))
    }

    async fn present(&self, layers: &[Layer], _: &Cx) -> Result<Vec<Presence>, BackendError> {
        Ok(layers.iter().map(|_| Presence::Present).collect())
    }

    async fn open(&self, on: &Layer, _: &MachineSpec, _: &Cx) -> Result<(Box<dyn Machine>, CameUp), BackendError> {
        Ok((Box::new(NullMachine(on.clone())), CameUp::Started { why: None }))
    }

    async fn make(&self, _: &Node, _: &[ArtifactInput], _: &Cx) -> Result<Artifact, BackendError> {
        Err(BackendError::Internal { message: "there are no artifacts".to_owned() })
    }

    async fn recover(&self, _: &Effect, _: &Cx) -> Result<Recovered, BackendError> {
        Ok(Recovered::Gone)
    }

    fn layer_size(&self, _: &Layer) -> u64 {
        0
    }
}

struct NullMachine(Layer);

#[async_trait::async_trait]
impl Machine for NullMachine {
    async fn channel(&mut self, _: &Cx) -> Result<&mut dyn Channel, BackendError> {
        Ok(self)
    }

    /// A step that changes nothing leaves what it stood on.
    async fn commit(&mut self, _: &Fingerprint, _: Keep, _: &Cx) -> Result<Layer, BackendError> {
        Ok(self.0.clone())
    }

    async fn close(self: Box<Self>, _: Close, _: &Cx) -> Result<Closed, BackendError> {
        Ok(Closed::Gone)
    }
}

#[async_trait::async_trait]
impl Channel for NullMachine {
    async fn exec(
        &mut self,
        _: &imgc_backend::Exec,
        _: Output<'_>,
        _: &Cx,
    ) -> Result<imgc_backend::Exit, BackendError> {
        Ok(imgc_backend::Exit::Code(0))
    }

    async fn put(&mut self, _: &imgc_backend::Placement, _: &Cx) -> Result<(), BackendError> {
        Ok(())
    }
}

/// Steps that do nothing.
struct Nothing;

#[async_trait::async_trait]
impl StepRunner for Nothing {
    async fn run(&self, _: &Node, _: &mut dyn Channel, _: &Cx, _: Output<'_>) -> Result<(), BackendError> {
        Ok(())
    }
}
