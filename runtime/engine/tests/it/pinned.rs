//! What the oracle of explanations cannot change without a network or another imgc: pins of the lock, the archives behind
//! an image, its epoch, the revision of a kind. What has to run is worked out by hand: the source's tree stays the same,
//! so where states are contents nothing follows by itself.

use std::sync::Arc;

use imgc_engine::{Cause, Options, Standing};
use imgc_plan::lock::Pin;
use imgc_plan::{Locked, Plan, node::Work};

use crate::bed::{Bed, Do, Kind, one, plan};

crate::cases! {
    async
        a_pin_of_the_lock_is_told_with_what_it_was,
        archives_are_a_cause_for_what_may_reach_the_network_only,
        an_epoch_is_a_cause_for_all_that_stands_on_its_source,
        a_kind_that_is_done_in_another_way_runs_and_says_so,
    ;
    plain
}

const SOURCE: &str = "i0/from";
const FIRST: &str = "i0/do \"s0\"";
const SECOND: &str = "i0/do \"s1\"";
const ALL: [&str; 4] = ["a0", FIRST, SECOND, SOURCE];

/// Two steps, the first of which may reach the network.
fn base() -> Plan {
    let mut plan = Plan::clone(&plan(&one(vec![Do::of("a"), Do::of("b")])));
    if let Work::Step(step) = &mut plan.nodes[1].work {
        step.network = true;
    }
    locked(&mut plan, |locked| {
        locked.pins.insert("version".to_owned(), Pin::Text("1".to_owned()));
        locked.archives.push("archive 1".to_owned());
    });
    plan
}

fn locked(plan: &mut Plan, change: impl Fn(&mut Locked)) {
    if let Work::Source(source) = &mut plan.nodes[0].work {
        change(source.locked.as_mut().unwrap());
    }
}

/// What is said of each node by its place after a change, and what runs then.
async fn after(bed: &Bed, change: impl Fn(&mut Plan)) -> (Vec<Standing>, Vec<String>) {
    bed.apply(&Arc::new(base()), &Options::default()).await.unwrap();
    bed.ran();
    let mut changed = base();
    change(&mut changed);
    let changed = Arc::new(changed);
    let forecast = bed.forecast(&changed, &Options::default()).await;
    bed.apply(&changed, &Options::default()).await.unwrap();
    (forecast.nodes.into_iter().map(|node| node.standing).collect(), bed.ran())
}

fn cause(standing: &Standing) -> &Cause {
    let Standing::Changed { cause, .. } = standing else { panic!("{standing:?}") };
    cause
}

async fn a_pin_of_the_lock_is_told_with_what_it_was(kind: Kind) {
    for (pin, before, now) in
        [("version", Some("1"), Some("2")), ("version", Some("1"), None), ("new", None, Some("x"))]
    {
        let bed = Bed::new(kind);
        let change = |plan: &mut Plan| {
            locked(plan, |locked| {
                locked.pins.remove(pin);
                if let Some(now) = now {
                    locked.pins.insert(pin.to_owned(), Pin::Text(now.to_owned()));
                }
            });
        };
        let (said, ran) = after(&bed, change).await;
        let Cause::Lock { changes, more: 0, .. } = cause(&said[0]) else { panic!("{said:?}") };
        let [only] = changes.as_slice() else { panic!("{changes:?}") };
        assert!(only.pin.contains(pin), "{only:?}");
        assert_eq!((only.before.as_deref(), only.after.as_deref()), (before, now));
        assert_eq!(ran, [SOURCE], "what is imported is the same");
    }
}

async fn archives_are_a_cause_for_what_may_reach_the_network_only(kind: Kind) {
    let bed = Bed::new(kind);
    let change = |plan: &mut Plan| locked(plan, |locked| locked.archives[0] = "archive 2".to_owned());
    let (said, ran) = after(&bed, change).await;
    assert!(matches!(cause(&said[0]), Cause::Lock { .. }), "{said:?}");
    // The second step has no network; what follows a state that is made has to run all the same.
    assert_eq!(ran, if kind.is_content() { &[FIRST, SOURCE][..] } else { &ALL });
}

async fn an_epoch_is_a_cause_for_all_that_stands_on_its_source(kind: Kind) {
    let bed = Bed::new(kind);
    let (said, ran) = after(&bed, |plan| locked(plan, |locked| locked.epoch = 2)).await;
    assert!(matches!(cause(&said[0]), Cause::Lock { .. } | Cause::Epoch { .. }), "{said:?}");
    // Encoders clamp times to it, so artifacts are others as well.
    assert_eq!(ran, ALL);
}

async fn a_kind_that_is_done_in_another_way_runs_and_says_so(kind: Kind) {
    let mut bed = Bed::new(kind);
    bed.apply(&Arc::new(base()), &Options::default()).await.unwrap();
    bed.ran();
    bed.revise(2);
    let mut plan = base();
    for node in plan.nodes.iter_mut().filter(|node| node.kind == "do") {
        node.revision = 2;
    }
    let plan = Arc::new(plan);
    let forecast = bed.forecast(&plan, &Options::default()).await;
    let expected = Cause::Revision { kind: "do".to_owned(), before: "1".to_owned(), after: "2".to_owned() };
    assert_eq!(*cause(&forecast.nodes[1].standing), expected);
    bed.apply(&plan, &Options::default()).await.unwrap();
    bed.ran_is(&[FIRST, SECOND], &["a0", FIRST, SECOND]);
}
