//! What matters most where a backend is far away and its commits cost something: see [`crate::remote`].

use std::sync::{Arc, Mutex};
use std::time::Duration;

use imgc_engine::{Answer, ApplyError, Ask, Cause, Estimate, Moment, OnError, Options, Standing, open_at};

use crate::bed::{Bed, Do, Img, Kind, Program, one, plan};

crate::cases! {
    async
        dear_layers_are_kept_only_where_they_are_worth_it,
        layers_that_cost_nothing_are_all_kept,
        what_two_images_have_in_common_is_kept_for_the_second,
        a_polite_stop_keeps_what_was_done_as_a_layer,
        a_failed_machine_is_thrown_away_kept_or_tried_again,
        limits_of_machines_hold_and_nothing_waits_for_ever,
        a_machine_opens_where_a_step_began_or_ended,
        a_machine_opens_where_no_layer_is_once_its_steps_ran_again,
        the_end_of_a_run_is_known_from_the_last_one,
    ;
    plain
}

fn five() -> Program {
    one(["a", "b", "c", "d", "e"].map(Do::of).to_vec())
}

async fn dear_layers_are_kept_only_where_they_are_worth_it(kind: Kind) {
    let bed = Bed::new(kind);
    let cloud = bed.cloud();
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
    bed.nothing_alive();
}

async fn layers_that_cost_nothing_are_all_kept(kind: Kind) {
    let bed = Bed::new(kind);
    bed.apply(&plan(&five()), &Options::default()).await.unwrap();
    assert_eq!(bed.cloud().commits.load(std::sync::atomic::Ordering::SeqCst), 6);
}

async fn what_two_images_have_in_common_is_kept_for_the_second(kind: Kind) {
    let image = |last: &str| Img {
        from: None,
        base: "base".to_owned(),
        steps: vec![Do::taking("a", 300), Do::taking("b", 300), Do::of(last)],
        needs: None,
    };
    let bed = Bed::new(kind);
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

async fn a_polite_stop_keeps_what_was_done_as_a_layer(kind: Kind) {
    let bed = Bed::new(kind);
    let slow = plan(&one(vec![Do::of("a"), Do::taking("b", kind.at_least(300)), Do::of("c")]));
    let options = Options::default();
    let stop = options.stop.clone();
    let soon = async {
        bed.until_one_runs_after("i0/do \"s0\"").await;
        stop.cancel();
    };
    let (result, ()) = tokio::join!(bed.apply(&slow, &options), soon);
    assert!(matches!(result, Err(ApplyError::Interrupted { left: 2 })), "{result:?}");
    assert_eq!(bed.ran().len(), 3);
    bed.nothing_alive();
    bed.apply(&slow, &Options::default()).await.unwrap();
    assert_eq!(bed.ran(), ["a0", "i0/do \"s2\""]);
}

async fn a_failed_machine_is_thrown_away_kept_or_tried_again(kind: Kind) {
    let bad = plan(&one(vec![Do::of("a"), Do::of("fail 1"), Do::of("c")]));
    let bed = Bed::new(kind);
    let cloud = bed.cloud();
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

async fn limits_of_machines_hold_and_nothing_waits_for_ever(kind: Kind) {
    let image = |n: usize| {
        let steps = (0..3).map(|k| Do::taking(&format!("{n}.{k}"), 10)).collect();
        Img { from: None, base: n.to_string(), steps, needs: n.checked_sub(1) }
    };
    let program = plan(&Program { images: (0..4).map(image).collect() });
    let bed = Bed::new(kind);
    let cloud = bed.cloud();
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

async fn a_machine_opens_where_a_step_began_or_ended(kind: Kind) {
    let bed = Bed::new(kind);
    let plan = plan(&five());
    let missing = open_at(&bed.engine, &plan, "i0/do \"s1\"", Moment::After, &bed.cx()).await;
    let error = missing.err().unwrap();
    assert!(error.help().unwrap().contains("imgc apply"), "{error}");
    bed.apply(&plan, &Options::default()).await.unwrap();
    for (moment, layer) in [(Moment::Before, 1), (Moment::After, 2)] {
        let opened = open_at(&bed.engine, &plan, "i0/do \"s1\"", moment, &bed.cx()).await.unwrap();
        assert_eq!(opened.node.index(), 2, "{layer}");
        opened.machine.close(imgc_backend::Close::Discard, &bed.cx()).await.unwrap();
    }
    bed.nothing_alive();
}

async fn a_machine_opens_where_no_layer_is_once_its_steps_ran_again(kind: Kind) {
    let bed = Bed::new(kind);
    let cloud = bed.cloud();
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

async fn the_end_of_a_run_is_known_from_the_last_one(kind: Kind) {
    let bed = Bed::new(kind);
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
