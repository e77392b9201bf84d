//! How long random programs take, in time that only passes where steps say so: within five percent of an ideal list
//! schedule, worked out here by itself.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use imgc_engine::Options;
use imgc_plan::node::Work;
use imgc_plan::{NodeId, Plan};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::bed::{Bed, Do, Img, Kind, Program, plan};
use crate::fake::text;

crate::cases! {
    async
    ;
    plain
        a_run_takes_as_long_as_an_ideal_list_schedule,
}

/// Images of several steps, on earlier ones or on nothing, some of which need the artifact of an earlier one.
fn program() -> impl Strategy<Value = Program> {
    let img = (any::<Option<u8>>(), prop::collection::vec(1..1000_u64, 1..6), any::<Option<u8>>());
    prop::collection::vec(img, 2..12).prop_map(|images| {
        let earlier = |n: usize, pick: Option<u8>| pick.filter(|_| n > 0).map(|pick| usize::from(pick) % n.max(1));
        let images = images.into_iter().enumerate().map(|(n, (from, takes, needs))| Img {
            from: earlier(n, from),
            base: n.to_string(),
            // No two are equal: an equal one would not run.
            steps: takes.iter().enumerate().map(|(k, takes)| Do::taking(&format!("{n}.{k}"), *takes)).collect(),
            needs: earlier(n, needs),
        });
        Program { images: images.collect() }
    })
}

fn takes(plan: &Plan, id: NodeId) -> u64 {
    match plan.node(id).work {
        Work::Step(_) => text(plan.node(id), "takes").parse().unwrap(),
        Work::Source(_) | Work::Artifact(_) => 0,
    }
}

/// The list schedule that starts what has the longest way to go: when its last node ends, in milliseconds.
fn ideal(plan: &Plan, jobs: usize) -> u64 {
    let mut ways: BTreeMap<NodeId, u64> = BTreeMap::new();
    for id in plan.ids().collect::<Vec<_>>().into_iter().rev() {
        let below = plan.ids().filter(|user| plan.parents(*user).contains(&id)).map(|user| ways[&user]).max();
        ways.insert(id, takes(plan, id) + below.unwrap_or(0));
    }
    let (mut ends, mut running): (BTreeMap<NodeId, u64>, Vec<(u64, NodeId)>) = (BTreeMap::new(), Vec::new());
    let mut now = 0;
    loop {
        let begun = |id: &NodeId| ends.contains_key(id) || running.iter().any(|(_, other)| other == id);
        let mut ready: Vec<NodeId> = plan.ids().filter(|id| !begun(id)).collect();
        ready.retain(|id| plan.parents(*id).iter().all(|parent| ends.contains_key(parent)));
        ready.sort_by_key(|id| (Reverse(ways[id]), *id));
        let room = jobs - running.len();
        running.extend(ready.iter().take(room).map(|id| (now + takes(plan, *id), *id)));
        let Some(first) = running.iter().copied().min() else { return now };
        now = first.0;
        running.retain(|other| *other != first);
        ends.insert(first.1, now);
    }
}

fn a_run_takes_as_long_as_an_ideal_list_schedule(kind: Kind) {
    let config = ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() };
    let check = |(first, jobs)| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(check(kind, &first, jobs));
        Ok(())
    };
    TestRunner::new(config).run(&(program(), 1..5_usize), check).unwrap();
}

async fn check(kind: Kind, first: &Program, jobs: usize) {
    let bed = Bed::new(kind);
    let options = Options { jobs: NonZeroUsize::new(jobs).unwrap(), ..Options::default() };
    // So that it is known how long each takes.
    bed.apply(&plan(first), &options).await.unwrap();
    let mut second = first.clone();
    for (n, image) in second.images.iter_mut().enumerate() {
        image.base.push('!');
        for (k, step) in image.steps.iter_mut().enumerate() {
            step.content = format!("{n}.{k}!");
        }
    }
    let plan = plan(&second);
    let begun = tokio::time::Instant::now();
    bed.apply(&plan, &options).await.unwrap();
    let (took, ideal) = (begun.elapsed(), Duration::from_millis(ideal(&plan, jobs)));
    assert!(took <= ideal + ideal / 20, "{took:?}, and {ideal:?} by an ideal schedule");
    // Nothing is faster than the schedule but by luck, and no luck doubles it.
    assert!(took * 2 >= ideal, "{took:?}, and {ideal:?} by an ideal schedule");
}
