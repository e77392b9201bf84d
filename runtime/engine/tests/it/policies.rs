//! Cache policies, tests of images, and what a run remembers.

use std::collections::BTreeMap;
use std::sync::Arc;

use imgc_engine::{Cause, Options, Standing, TestResult, run_tests, select_tests};
use imgc_plan::node::Test;
use imgc_plan::{Address, NodeId, Plan, Value, Work};

use crate::bed::{Bed, Do, Kind, one, plan};

crate::cases! {
    async
        never_runs_each_time_and_what_follows_only_where_it_differs,
        a_ttl_ends_and_a_policy_alone_changes_nothing,
        a_key_is_part_of_what_a_step_is,
        tests_run_in_throwaway_machines_and_pass_only_once,
        an_image_that_comes_out_the_same_is_not_tested_again,
        what_explains_a_miss_is_kept_with_each_step_and_not_at_the_end,
    ;
    plain
}

fn policy(name: &str, payload: Option<(&str, Value)>) -> Value {
    let payload = payload.map(|(name, value)| (name.into(), value)).into_iter().collect::<BTreeMap<_, _>>();
    Value::Variant { name: name.into(), payload }
}

fn with(policy: Value) -> Arc<Plan> {
    let mut plan = Plan::clone(&plan(&one(vec![Do::of("a"), Do::of("b")])));
    plan.nodes[1].args.insert("cache".into(), policy);
    Arc::new(plan)
}

async fn never_runs_each_time_and_what_follows_only_where_it_differs(kind: Kind) {
    let bed = Bed::new(kind);
    let never = with(policy("never", None));
    let applied = bed.apply(&never, &Options::default()).await.unwrap();
    assert_eq!(applied.fresh_until, Some(i64::MIN));
    bed.ran();
    let forecast = bed.forecast(&never, &Options::default()).await;
    assert!(matches!(forecast.nodes[1].standing, Standing::Changed { cause: Cause::Never, .. }));
    bed.apply(&never, &Options::default()).await.unwrap();
    assert_eq!(bed.ran().len(), if kind.is_content() { 1 } else { 3 });
}

async fn a_ttl_ends_and_a_policy_alone_changes_nothing(kind: Kind) {
    let bed = Bed::new(kind);
    let day = with(policy("ttl", Some(("d", Value::Duration(86_400_000)))));
    let applied = bed.apply(&day, &Options::default()).await.unwrap();
    assert!(applied.fresh_until.is_some_and(|until| until > 1_700_000_000), "{applied:?}");
    bed.ran();
    bed.apply(&day, &Options::default()).await.unwrap();
    bed.apply(&with(policy("auto", None)), &Options::default()).await.unwrap();
    assert!(bed.ran().is_empty());
    let over = with(policy("ttl", Some(("d", Value::Duration(0)))));
    let forecast = bed.forecast(&over, &Options::default()).await;
    assert!(matches!(forecast.nodes[1].standing, Standing::Changed { cause: Cause::Expired, .. }));
    bed.apply(&over, &Options::default()).await.unwrap();
    bed.ran_is(&["i0/do \"s0\""], &["a0", "i0/do \"s0\"", "i0/do \"s1\""]);
}

async fn a_key_is_part_of_what_a_step_is(kind: Kind) {
    let bed = Bed::new(kind);
    let key = |text: &str| with(policy("key", Some(("k", Value::Text(text.into())))));
    bed.apply(&key("1"), &Options::default()).await.unwrap();
    bed.ran();
    let forecast = bed.forecast(&key("2"), &Options::default()).await;
    let Standing::Changed { cause, .. } = &forecast.nodes[1].standing else { panic!("{forecast:?}") };
    assert_eq!(cause.to_string(), "cache: `1` → `2`");
    bed.apply(&key("2"), &Options::default()).await.unwrap();
    bed.ran_is(&["i0/do \"s0\""], &["a0", "i0/do \"s0\"", "i0/do \"s1\""]);
}

/// A plan whose image has two tests: of two steps, and of one.
fn tested(second: &str) -> Arc<Plan> {
    let mut plan = Plan::clone(&plan(&one(vec![Do::of("a")])));
    let (source, image) = (NodeId(0), NodeId(1));
    for (test, contents) in [("t0", vec!["probe one", "probe two"]), ("t1", vec![second])] {
        let (mut on, mut nodes) = (image, Vec::new());
        for (k, content) in contents.iter().enumerate() {
            let mut node = plan.nodes[1].clone();
            node.address = Address(format!("{test}/do \"{k}\""));
            node.args.insert("content".into(), Value::Text((*content).into()));
            let step = imgc_plan::Step { on, source, label: k.to_string().into(), network: false };
            node.work = Work::Step(step);
            on = NodeId(u32::try_from(plan.nodes.len()).unwrap());
            nodes.push(on);
            plan.nodes.push(node);
        }
        plan.tests.push(Test { address: Address(test.to_owned()), image, nodes, span: None });
    }
    plan.verify().unwrap();
    Arc::new(plan)
}

async fn tests(bed: &Bed, plan: &Arc<Plan>) -> Vec<String> {
    let selection = select_tests(plan, &[]).unwrap();
    let outcomes = run_tests(&bed.engine, plan, &selection, &Options::default(), &bed.cx()).await.unwrap();
    let told = |outcome: &imgc_engine::TestOutcome| match &outcome.result {
        TestResult::Passed { cached, .. } => format!("{} passed {cached}", outcome.address),
        TestResult::Failed { failure, .. } => format!("{} failed at {}", outcome.address, failure.address),
        TestResult::NotRun { because } => format!("{} not run: {because:?}", outcome.address),
    };
    outcomes.iter().map(told).collect()
}

async fn tests_run_in_throwaway_machines_and_pass_only_once(kind: Kind) {
    let bed = Bed::new(kind);
    let good = tested("probe three");
    assert_eq!(tests(&bed, &good).await, ["t0 passed false", "t1 passed false"]);
    assert_eq!(bed.ran().len(), 5);
    assert_eq!(tests(&bed, &good).await, ["t0 passed true", "t1 passed true"]);
    assert!(bed.ran().is_empty());
    let bad = tested("fail 3");
    assert_eq!(tests(&bed, &bad).await, ["t0 passed true", "t1 failed at t1/do \"0\""]);
    // Its steps left nothing: an apply of the outputs finds only the image.
    let forecast = bed.forecast(&good, &Options::default()).await;
    assert_eq!((forecast.cached, forecast.nodes.len()), (2, 3), "{forecast:?}");
    bed.nothing_alive();
    let bed = Bed::new(kind);
    let mut broken = Plan::clone(&tested("probe"));
    broken.nodes[1].args.insert("content".into(), Value::Text("fail 1".into()));
    let told = tests(&bed, &Arc::new(broken)).await;
    assert!(told.iter().all(|line| line.contains("not run: Some(Address(\"i0/do")), "{told:?}");
    assert_eq!(select_tests(&tested("x"), &["t1".to_owned()]).unwrap().targets.len(), 1);
    assert!(select_tests(&tested("x"), &["t9".to_owned()]).is_err());
}

async fn an_image_that_comes_out_the_same_is_not_tested_again(kind: Kind) {
    let bed = Bed::new(kind);
    tests(&bed, &tested("probe three")).await;
    bed.ran();
    let mut edited = Plan::clone(&tested("probe three"));
    edited.nodes[1].args.insert("comment".into(), Value::Text("edited".into()));
    // One whose state is made is another image.
    let known = kind.is_content();
    let told = tests(&bed, &Arc::new(edited)).await;
    assert_eq!(told, [format!("t0 passed {known}"), format!("t1 passed {known}")]);
    bed.ran_is(&["i0/do \"s0\""], &["i0/do \"s0\"", "t0/do \"0\"", "t0/do \"1\"", "t1/do \"0\""]);
}

async fn what_explains_a_miss_is_kept_with_each_step_and_not_at_the_end(kind: Kind) {
    let bed = Bed::new(kind);
    let slow = plan(&one(vec![Do::of("a"), Do::taking("b", 60_000)]));
    let options = Options::default();
    tokio::select! {
        applied = bed.apply(&slow, &options) => panic!("{applied:?}"),
        () = bed.until_one_runs_after("i0/do \"s0\"") => {}
    }
    // Another process, later: the first never came to its end.
    let mut edited = one(vec![Do::of("a"), Do::taking("b", 60_000)]);
    edited.images[0].steps[0].comment = "edited".to_owned();
    let (other, edited) = (bed.another("p"), plan(&edited));
    // What was queued for the disk gets there behind the run.
    for _ in 0..1000 {
        let forecast = other.forecast(&edited, &Options::default()).await;
        if let Standing::Changed { cause, .. } = &forecast.nodes[1].standing {
            assert!(cause.to_string().starts_with("comment: "), "{cause}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the miss is not explained");
}
