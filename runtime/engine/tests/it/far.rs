//! The engine over a backend far away, whose commits cost something: see [`crate::remote`].

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use imgc_backend::CommitCost;
use imgc_engine::{Answer, ApplyError, Ask, Cause, Estimate, Moment, OnError, Options, Run, Standing, open_at};
use proptest::prelude::*;

use crate::bed::{Bed, Do, Img, Program, fingerprints_run, one, plan};
use crate::random::{block_on, check_forecast, check_once, check_order, edited, program};

fn five() -> Program {
    one(["a", "b", "c", "d", "e"].map(Do::of).to_vec())
}

#[tokio::test]
async fn dear_layers_are_kept_only_where_they_are_worth_it() {
    let (bed, cloud) = Bed::remote(CommitCost::Dear);
    bed.apply(&plan(&five()), &Options::default()).await.unwrap();
    // The source, and the last step: the artifact is made from it.
    assert_eq!(cloud.commits.load(std::sync::atomic::Ordering::SeqCst), 2);
    assert_eq!(bed.ran().len(), 7);
    // What was never kept is not missed.
    let again = bed.forecast(&plan(&five()), &Options::default()).await;
    assert_eq!((again.to_run, again.cached), (0, 7));
    assert_eq!(again.nodes[1].standing, Standing::Unneeded);
    bed.apply(&plan(&five()), &Options::default()).await.unwrap();
    assert_eq!(bed.ran(), [""; 0]);
    let mut last = five();
    last.images[0].steps[4].comment = "edited".to_owned();
    let forecast = bed.forecast(&plan(&last), &Options::default()).await;
    assert!(
        matches!(forecast.nodes[1].standing, Standing::Changed { cause: Cause::NotKept, .. }),
        "{:?}",
        forecast.nodes[1].standing
    );
    bed.apply(&plan(&last), &Options::default()).await.unwrap();
    assert_eq!(bed.ran().len(), 6);
    assert!(cloud.machines.lock().unwrap().is_empty());
    let (free, cloud) = Bed::remote(CommitCost::Free);
    free.apply(&plan(&five()), &Options::default()).await.unwrap();
    assert_eq!(cloud.commits.load(std::sync::atomic::Ordering::SeqCst), 6);
}

#[tokio::test]
async fn what_two_images_have_in_common_is_kept_for_the_second() {
    let image = |last: &str| Img {
        from: None,
        base: "base".to_owned(),
        steps: vec![Do::taking("a", 300), Do::taking("b", 300), Do::of(last)],
        needs: None,
    };
    let (bed, _) = Bed::remote(CommitCost::Dear);
    let alone = plan(&Program { images: vec![image("c")] });
    // So that it is known what commits cost here: next to nothing.
    bed.apply(&alone, &Options::default()).await.unwrap();
    let mut both = Program { images: vec![image("d"), image("e")] };
    for image in &mut both.images {
        image.base = "other".to_owned();
    }
    bed.ran();
    bed.apply(&plan(&both), &Options { jobs: 2.try_into().unwrap(), ..Options::default() }).await.unwrap();
    // The source, both steps that they share, then of each the last one and its artifact.
    assert_eq!(bed.ran().len(), 3 + 2 * 2);
}

#[tokio::test]
async fn a_polite_stop_keeps_what_was_done_as_a_layer() {
    let (bed, cloud) = Bed::remote(CommitCost::Dear);
    let slow = plan(&one(vec![Do::of("a"), Do::taking("b", 300), Do::of("c")]));
    let options = Options::default();
    let stop = options.stop.clone();
    let soon = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        stop.cancel();
    };
    let (result, ()) = tokio::join!(bed.apply(&slow, &options), soon);
    assert!(matches!(result, Err(ApplyError::Interrupted { left: 2 })), "{result:?}");
    assert_eq!(bed.ran().len(), 3);
    assert!(cloud.machines.lock().unwrap().is_empty());
    bed.apply(&slow, &Options::default()).await.unwrap();
    assert_eq!(bed.ran(), ["a0", "i0/do \"s2\""]);
}

#[tokio::test]
async fn a_failed_machine_is_thrown_away_kept_or_tried_again() {
    let bad = plan(&one(vec![Do::of("a"), Do::of("fail 1"), Do::of("c")]));
    let (bed, cloud) = Bed::remote(CommitCost::Dear);
    let error = bed.apply(&bad, &Options::default()).await.unwrap_err();
    let ApplyError::Failed(failures) = error else { panic!("{error}") };
    assert_eq!((failures[0].parked.clone(), cloud.machines.lock().unwrap().len()), (None, 0));
    let keep = Options { on_error: OnError::Keep, ..Options::default() };
    let ApplyError::Failed(failures) = bed.apply(&bad, &keep).await.unwrap_err() else { panic!() };
    let parked = failures[0].parked.clone().unwrap();
    assert_eq!(cloud.machines.lock().unwrap().iter().collect::<Vec<_>>(), [&parked]);
    let answers = Arc::new(Mutex::new(vec![Answer::Stop, Answer::Retry, Answer::Retry]));
    let ask = Ask(Arc::new(move |_| {
        let answer = answers.lock().unwrap().pop().unwrap();
        Box::pin(async move { answer })
    }));
    bed.ran();
    bed.apply(&bad, &Options { on_error: OnError::Ask(ask), ..Options::default() }).await.unwrap_err();
    // The first step has no layer: it runs again each time.
    assert_eq!(bed.ran(), vec!["i0/do \"s0\""; 3]);
    assert_eq!(cloud.machines.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn limits_of_machines_hold_and_nothing_waits_for_ever() {
    let image = |n: usize| {
        let steps = (0..3).map(|k| Do::taking(&format!("{n}.{k}"), 10)).collect();
        Img { from: None, base: n.to_string(), steps, needs: n.checked_sub(1) }
    };
    let program = plan(&Program { images: (0..4).map(image).collect() });
    let (bed, cloud) = Bed::remote(CommitCost::Cheap);
    let mut options = Options { jobs: 4.try_into().unwrap(), ..Options::default() };
    options.limits.machines = Some(1);
    let (most, machines) = (Arc::new(Mutex::new(0)), cloud.clone());
    let watch = {
        let most = most.clone();
        async move {
            loop {
                let open = machines.machines.lock().unwrap().len();
                {
                    let mut most = most.lock().unwrap();
                    *most = open.max(*most);
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    tokio::select! {
        result = bed.apply(&program, &options) => drop(result.unwrap()),
        () = watch => {}
    }
    assert_eq!(*most.lock().unwrap(), 1);
    assert!(cloud.machines.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_machine_opens_where_a_step_began_or_ended() {
    let (bed, cloud) = Bed::remote(CommitCost::Free);
    let plan = plan(&five());
    let missing = open_at(&bed.engine, &plan, "i0/do \"s1\"", Moment::After, &bed.cx()).await;
    let error = missing.err().unwrap();
    assert!(error.help().unwrap().contains("imgc apply"), "{error}");
    bed.apply(&plan, &Options::default()).await.unwrap();
    for (moment, layer) in [(Moment::Before, 1), (Moment::After, 2)] {
        let opened = open_at(&bed.engine, &plan, "i0/do \"s1\"", moment, &bed.cx()).await.unwrap();
        assert_eq!(opened.node.index(), 2, "{layer}");
        assert_eq!(cloud.machines.lock().unwrap().len(), 1);
        opened.machine.close(imgc_backend::Close::Discard, &bed.cx()).await.unwrap();
    }
    assert!(cloud.machines.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_machine_opens_where_no_layer_is_once_its_steps_ran_again() {
    let (bed, cloud) = Bed::remote(CommitCost::Dear);
    let plan = plan(&five());
    bed.apply(&plan, &Options::default()).await.unwrap();
    bed.ran();
    // Only the source and the last step have layers.
    for (moment, again) in [(Moment::Before, &["i0/do \"s0\""][..]), (Moment::After, &["i0/do \"s0\"", "i0/do \"s1\""])]
    {
        bed.events.lock().unwrap().clear();
        let opened = open_at(&bed.engine, &plan, "i0/do \"s1\"", moment, &bed.cx()).await.unwrap();
        assert_eq!(bed.ran(), again);
        let said = format!("{:?}", bed.events.lock().unwrap());
        assert_eq!(said.matches("runs again").count(), again.len(), "{said}");
        opened.machine.close(imgc_backend::Close::Discard, &bed.cx()).await.unwrap();
    }
    // One that fails leaves no machine.
    let failing = crate::bed::plan(&one(vec![Do::of("a"), Do::of("fail 1"), Do::of("c")]));
    let error = open_at(&bed.engine, &failing, "i0/do \"s1\"", Moment::After, &bed.cx()).await.err().unwrap();
    assert!(error.to_string().contains("s1"), "{error}");
    assert!(cloud.machines.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_end_of_a_run_is_known_from_the_last_one() {
    let (bed, _) = Bed::remote(CommitCost::Free);
    let steps = vec![Do::taking("a", 100), Do::taking("b", 100)];
    let image = |n: usize| Img { from: None, base: n.to_string(), steps: steps.clone(), needs: None };
    let mut program = Program { images: (0..2).map(image).collect() };
    let unknown = bed.forecast(&plan(&program), &Options::default()).await;
    assert_eq!(unknown.estimate, None);
    bed.apply(&plan(&program), &Options::default()).await.unwrap();
    for image in &mut program.images {
        image.steps[0].comment = "edited".to_owned();
    }
    let edited = plan(&program);
    let jobs = |jobs: usize| Options { jobs: jobs.try_into().unwrap(), ..Options::default() };
    let two = bed.forecast(&edited, &jobs(2)).await;
    let one = bed.forecast(&edited, &jobs(1)).await;
    let (two, one) = (two.estimate.unwrap(), one.estimate.unwrap());
    assert!(two >= Duration::from_millis(200) && one > two + two / 2, "{two:?} {one:?}");
    let estimate = Estimate::new(&edited, &bed.forecast(&edited, &jobs(1)).await, 1.try_into().unwrap());
    let done = edited.ids().collect();
    assert_eq!(estimate.left(&done, &std::collections::BTreeMap::new()), Some(Duration::ZERO));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn far_away_the_same_programs_come_to_the_same(
        first in program(), image in 0..4_usize, step in 0..6_usize, jobs in 1..4_usize,
        commit in prop_oneof![Just(CommitCost::Free), Just(CommitCost::Cheap), Just(CommitCost::Dear)],
    ) {
        let second = edited(&first, image, step, "comment");
        block_on(async {
            let (bed, cloud) = Bed::remote(commit);
            let run = Arc::new(Run::begin(&bed.path().join("runs")).unwrap());
            let options = Options { jobs: jobs.try_into().unwrap(), run: Some(run), ..Options::default() };
            for program in [&first, &second, &first] {
                let plan = plan(program);
                let forecast = bed.forecast(&plan, &options).await;
                let applied = bed.apply(&plan, &options).await.unwrap();
                check_order(&plan, &applied, &bed.events.lock().unwrap());
                // Where a layer costs more than to do it again, two equal images do the same; nothing is kept twice.
                if commit == CommitCost::Free {
                    check_once(&applied);
                }
                let kept = cloud.kept.lock().unwrap().clone();
                assert_eq!(kept.len(), kept.iter().collect::<BTreeSet<_>>().len(), "a layer was kept twice");
                check_forecast(&forecast, &applied);
                assert!(fingerprints_run(&bed.apply(&plan, &options).await.unwrap()).is_empty());
                assert!(cloud.machines.lock().unwrap().is_empty());
            }
        });
    }
}
