//! Random programs: each step once and after its inputs, edits run exactly what they must, forecasts hold.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;

use imgc_backend::Event;
use imgc_engine::{Applied, CacheUse, Forecast, Options, Outcome, Run, Standing};
use imgc_plan::{Fingerprint, NodeId, Plan};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::bed::{Bed, Do, Img, Kind, Program, block_on, fingerprints_run, model, plan};

crate::cases! {
    async
        no_cache_runs_everything_and_keeps_it,
        ten_thousand_steps_are_forecast_fast,
    ;
    plain
        an_edit_runs_exactly_what_it_must,
        random_programs_come_to_what_was_foreseen,
        two_engines_on_one_store_build_a_step_once,
}

fn content() -> impl Strategy<Value = String> {
    // Few texts, so that steps are often equal; the empty one changes nothing.
    prop_oneof![Just(String::new()), "[a-e]"]
}

pub(crate) fn program() -> impl Strategy<Value = Program> {
    let step = (content(), "[xy]").prop_map(|(content, comment)| Do { content, comment, takes: 0 });
    let img = (any::<Option<u8>>(), "[mn]", prop::collection::vec(step, 0..6), any::<Option<u8>>());
    prop::collection::vec(img, 1..5).prop_map(|images| {
        let earlier =
            |index: usize, pick: Option<u8>| pick.filter(|_| index > 0).map(|pick| usize::from(pick) % index.max(1));
        let images = images.into_iter().enumerate().map(|(n, (from, base, steps, needs))| Img {
            from: earlier(n, from),
            base,
            steps,
            needs: earlier(n, needs),
        });
        Program { images: images.collect() }
    })
}

pub(crate) fn edited(program: &Program, image: usize, step: usize, change: &str) -> Program {
    let mut edited = program.clone();
    let count = edited.images.len();
    let steps = &mut edited.images[image % count].steps;
    if !steps.is_empty() {
        let count = steps.len();
        let step = &mut steps[step % count];
        match change {
            "comment" => step.comment.push('!'),
            other => step.content = other.to_owned(),
        }
    }
    edited
}

/// Every node after all that it needs.
pub(crate) fn check_order(plan: &Plan, applied: &Applied, events: &[Event]) {
    let mut begun: HashMap<NodeId, usize> = HashMap::new();
    let mut ended: HashMap<NodeId, usize> = HashMap::new();
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Started { node, .. } => drop(begun.insert(*node, at)),
            Event::Finished { node, .. } => drop(ended.insert(*node, at)),
            Event::Cached { node, .. } => {
                begun.insert(*node, at);
                ended.insert(*node, at);
            }
            Event::Output { .. } | Event::Failed { .. } | Event::Note { .. } => {}
        }
    }
    for id in plan.ids() {
        for parent in plan.parents(id) {
            assert!(ended[&parent] < begun[&id], "{} before {}", plan.node(id).address, plan.node(parent).address);
        }
    }
    assert_eq!(applied.nodes.len(), plan.nodes.len());
}

/// Each fingerprint ran at most once: so it must be where every layer is kept, and the second finds what the first left.
pub(crate) fn check_once(applied: &Applied) {
    let ran: Vec<Fingerprint> =
        applied.nodes.iter().filter(|n| n.outcome != Outcome::Cached).map(|n| n.fingerprint).collect();
    assert_eq!(ran.len(), ran.iter().collect::<BTreeSet<_>>().len(), "a fingerprint ran twice");
}

/// What the forecast says for certain has to come true.
pub(crate) fn check_forecast(forecast: &Forecast, applied: &Applied) {
    let outcomes: BTreeMap<NodeId, &imgc_engine::NodeOutcome> = applied.nodes.iter().map(|n| (n.node, n)).collect();
    let ran = fingerprints_run(applied);
    for node in &forecast.nodes {
        let outcome = outcomes[&node.node];
        match node.standing {
            Standing::Cached | Standing::Unneeded => {
                assert_eq!(outcome.outcome, Outcome::Cached, "{}", node.address);
            }
            // Of two equal nodes only one runs.
            Standing::New | Standing::Changed { .. } | Standing::Follows { .. } => {
                assert!(ran.contains(&outcome.fingerprint), "{} did not run", node.address);
            }
            Standing::Pending { .. } => {}
        }
    }
    assert_eq!(forecast.cached + forecast.to_run + forecast.pending, applied.nodes.len());
}

/// Runs `check` with so many values; how many depends on what a run costs on the bed.
fn each<S: Strategy>(kind: Kind, many: u32, values: &S, check: impl AsyncFn(S::Value)) {
    let cases = match kind {
        Kind::Local | Kind::Made => many,
        Kind::Far | Kind::Dear => many / 3,
        Kind::Rootfs => 2,
    };
    let mut runner = TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() });
    let check = |value| {
        block_on(kind, check(value));
        Ok(())
    };
    runner.run(values, check).unwrap();
}

fn an_edit_runs_exactly_what_it_must(kind: Kind) {
    let change = prop_oneof![Just("comment".to_owned()), content()];
    let values = (program(), 0..4_usize, 0..6_usize, change, 1..4_usize);
    each(kind, 24, &values, async |(first, image, step, change, jobs)| {
        let second = edited(&first, image, step, &change);
        let bed = Bed::new(kind);
        let options = Options { jobs: NonZeroUsize::new(jobs).unwrap(), ..Options::default() };
        let mut known = BTreeSet::new();
        for program in [&first, &first, &second, &first] {
            let plan = plan(program);
            let forecast = bed.forecast(&plan, &options).await;
            let applied = bed.apply(&plan, &options).await.unwrap();
            let expected: BTreeSet<Fingerprint> = model(&plan).into_iter().collect();
            check_order(&plan, &applied, &bed.events.lock().unwrap());
            check_once(&applied);
            check_forecast(&forecast, &applied);
            assert_eq!(fingerprints_run(&applied), expected.difference(&known).copied().collect());
            known.extend(expected);
            bed.nothing_alive();
        }
    });
}

fn random_programs_come_to_what_was_foreseen(kind: Kind) {
    let values = (program(), 0..4_usize, 0..6_usize, 1..4_usize);
    each(kind, 24, &values, async |(first, image, step, jobs)| {
        let second = edited(&first, image, step, "comment");
        let bed = Bed::new(kind);
        let run = Arc::new(Run::begin(&bed.path().join("runs")).unwrap());
        let options = Options { jobs: NonZeroUsize::new(jobs).unwrap(), run: Some(run), ..Options::default() };
        for program in [&first, &second, &first] {
            let plan = plan(program);
            let forecast = bed.forecast(&plan, &options).await;
            let applied = bed.apply(&plan, &options).await.unwrap();
            check_order(&plan, &applied, &bed.events.lock().unwrap());
            // Where a layer costs more than to do it again, two equal images do the same; nothing is kept twice.
            if kind != Kind::Dear {
                check_once(&applied);
            }
            bed.nothing_kept_twice();
            check_forecast(&forecast, &applied);
            assert!(fingerprints_run(&bed.apply(&plan, &options).await.unwrap()).is_empty());
            bed.nothing_alive();
        }
    });
}

fn two_engines_on_one_store_build_a_step_once(kind: Kind) {
    each(kind, 24, &program(), async |program| {
        let one = Bed::new(kind);
        let two = one.another("q");
        let (plan, options) = (plan(&program), Options::default());
        let (a, b) = tokio::join!(one.apply(&plan, &options), two.apply(&plan, &options));
        let (a, b) = (a.unwrap(), b.unwrap());
        let all: BTreeSet<Fingerprint> = a.nodes.iter().map(|node| node.fingerprint).collect();
        let (a, b) = (fingerprints_run(&a), fingerprints_run(&b));
        assert!(a.is_disjoint(&b), "built twice");
        assert_eq!(a.union(&b).copied().collect::<BTreeSet<_>>(), all);
        one.nothing_alive();
    });
}

async fn no_cache_runs_everything_and_keeps_it(kind: Kind) {
    let bed = Bed::new(kind);
    let plan = plan(&crate::bed::one(vec![Do::of("a"), Do::of("b")]));
    bed.apply(&plan, &Options::default()).await.unwrap();
    let ignore = Options { cache: CacheUse::Ignore, ..Options::default() };
    let forecast = bed.forecast(&plan, &ignore).await;
    // Where states are contents those below the first one are not known before it has run.
    let expected = if kind.is_content() { (0, 1, 3) } else { (0, 4, 0) };
    assert_eq!((forecast.cached, forecast.to_run, forecast.pending), expected);
    let applied = bed.apply(&plan, &ignore).await.unwrap();
    assert_eq!(fingerprints_run(&applied).len(), 4);
    assert!(applied.findings.is_empty());
    let again = bed.apply(&plan, &Options::default()).await.unwrap();
    assert!(fingerprints_run(&again).is_empty());
}

/// Prints how long forecasts take; the goal for a whole `imgc plan` of 10,000 steps is 300 ms in a release build.
async fn ten_thousand_steps_are_forecast_fast(kind: Kind) {
    let image = |n: usize| Img {
        from: None,
        base: format!("base {n}"),
        steps: (0..100).map(|k| Do::of(&format!("{n}.{k}"))).collect(),
        needs: None,
    };
    let wide = Program { images: (0..100).map(image).collect() };
    let long = crate::bed::one((0..10_000).map(|k| Do::of(&k.to_string())).collect());
    for (name, program) in [("100 images of 100 steps", wide), ("one image of 10,000 steps", long)] {
        let bed = Bed::new(kind);
        let plan: Arc<Plan> = plan(&program);
        let begun = std::time::Instant::now();
        let forecast = bed.forecast(&plan, &Options::default()).await;
        println!("{name}, nothing known: {:?}", begun.elapsed());
        assert!(forecast.cached == 0 && forecast.nodes.len() > 10_000);
    }
}
