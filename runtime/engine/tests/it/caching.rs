//! What is found, what runs again, and what is built where.

use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;

use imgc_engine::{Cause, Options, Outcome, Standing};
use imgc_plan::Address;

use crate::bed::{Bed, Do, Img, Kind, Program, fingerprints_run, one, plan};

crate::cases! {
    async
        an_edit_that_yields_the_same_stops_there,
        rerun_runs_what_it_names_and_nothing_that_need_not,
        a_step_that_does_not_repeat_is_a_finding,
        an_evicted_layer_is_made_again_and_what_follows_is_found,
        one_machine_runs_a_chain_and_max_chain_cuts_it,
        independent_images_run_at_once_and_jobs_limits_them,
        of_two_equal_images_one_is_built,
        only_what_is_selected_runs,
    ;
    plain
}

fn abc() -> Program {
    one(vec![Do::of("a"), Do::of("b"), Do::of("c")])
}

async fn an_edit_that_yields_the_same_stops_there(kind: Kind) {
    let bed = Bed::new(kind);
    bed.apply(&plan(&abc()), &Options::default()).await.unwrap();
    bed.ran();
    let mut edited = abc();
    edited.images[0].steps[0].comment = "edited".to_owned();
    let plan = plan(&edited);
    let forecast = bed.forecast(&plan, &Options::default()).await;
    let expected = if kind.is_content() { (1, 3, 1) } else { (4, 0, 1) };
    assert_eq!((forecast.to_run, forecast.pending, forecast.cached), expected);
    bed.apply(&plan, &Options::default()).await.unwrap();
    bed.ran_is(&["i0/do \"s0\""], &["a0", "i0/do \"s0\"", "i0/do \"s1\"", "i0/do \"s2\""]);
}

async fn rerun_runs_what_it_names_and_nothing_that_need_not(kind: Kind) {
    let bed = Bed::new(kind);
    let plan = plan(&abc());
    bed.apply(&plan, &Options::default()).await.unwrap();
    bed.ran();
    let options = Options { rerun: vec![Address("i0/do \"s1\"".to_owned())], ..Options::default() };
    let forecast = bed.forecast(&plan, &options).await;
    assert_eq!(forecast.nodes[2].standing, Standing::Changed { cause: Cause::Rerun, following: 2 });
    bed.apply(&plan, &options).await.unwrap();
    // What follows a state that is made has to run as well, and what it stands on where that was not kept.
    if kind == Kind::Dear {
        assert_eq!(bed.ran(), ["a0", "i0/do \"s0\"", "i0/do \"s1\"", "i0/do \"s2\""]);
    } else {
        bed.ran_is(&["i0/do \"s1\""], &["a0", "i0/do \"s1\"", "i0/do \"s2\""]);
    }
    let whole = Options { rerun: vec![Address("i0".to_owned())], ..Options::default() };
    bed.apply(&plan, &whole).await.unwrap();
    assert_eq!(bed.ran().len(), if kind.is_content() { 4 } else { 5 });
}

async fn a_step_that_does_not_repeat_is_a_finding(kind: Kind) {
    let bed = Bed::new(kind);
    let plan = plan(&one(vec![Do::of("random"), Do::of("b")]));
    bed.apply(&plan, &Options::default()).await.unwrap();
    let options = Options { rerun: vec![Address("i0/do \"s0\"".to_owned())], ..Options::default() };
    let applied = bed.apply(&plan, &options).await.unwrap();
    assert!(applied.findings[0].contains("i0/do \"s0\""), "{:?}", applied.findings);
    assert_eq!(fingerprints_run(&applied).len(), 3);
}

async fn an_evicted_layer_is_made_again_and_what_follows_is_found(kind: Kind) {
    let bed = Bed::new(kind);
    let plan = plan(&abc());
    bed.apply(&plan, &Options::default()).await.unwrap();
    bed.ran();
    bed.evict("b");
    // What was asked for is there: nothing needs the layer.
    let forecast = bed.forecast(&plan, &Options::default()).await;
    assert_eq!((forecast.to_run, forecast.cached), (0, 5));
    bed.apply(&plan, &Options::default()).await.unwrap();
    assert_eq!(bed.ran(), [""; 0]);
    let mut edited = abc();
    edited.images[0].steps[2].comment = "edited".to_owned();
    let edited = crate::bed::plan(&edited);
    let forecast = bed.forecast(&edited, &Options::default()).await;
    assert_eq!(forecast.nodes[2].standing, Standing::Changed { cause: Cause::Evicted, following: 0 });
    bed.apply(&edited, &Options::default()).await.unwrap();
    bed.ran_is(&["i0/do \"s1\"", "i0/do \"s2\""], &["a0", "i0/do \"s1\"", "i0/do \"s2\""]);
}

async fn one_machine_runs_a_chain_and_max_chain_cuts_it(kind: Kind) {
    let bed = Bed::new(kind);
    bed.apply(&plan(&abc()), &Options::default()).await.unwrap();
    assert_eq!(bed.seen.opened.load(Ordering::SeqCst), 1);
    let cut = Bed::new(kind);
    let options = Options { max_chain: Some(1), ..Options::default() };
    cut.apply(&plan(&abc()), &options).await.unwrap();
    assert_eq!(cut.seen.opened.load(Ordering::SeqCst), 3);
    // Back to a known layer in the middle of a chain: the machine stands elsewhere and is opened anew.
    let hole = one(vec![Do::of("a"), Do::of("b"), Do::of("c"), Do::of("d")]);
    let before = bed.seen.opened.load(Ordering::SeqCst);
    let mut edited = hole.clone();
    edited.images[0].steps[0].comment = "edited".to_owned();
    bed.apply(&plan(&edited), &Options::default()).await.unwrap();
    let again = if kind.is_content() { 2 } else { 1 };
    assert_eq!(bed.seen.opened.load(Ordering::SeqCst), before + again);
    bed.nothing_alive();
}

async fn independent_images_run_at_once_and_jobs_limits_them(kind: Kind) {
    let takes = kind.at_least(400);
    let image = |n: usize| {
        let steps = vec![Do::taking(&format!("{n}"), takes)];
        Img { from: None, base: n.to_string(), steps, needs: None }
    };
    let program = Program { images: (0..4).map(image).collect() };
    for jobs in [1, 2, 4] {
        let bed = Bed::new(kind);
        let options = Options { jobs: NonZeroUsize::new(jobs).unwrap(), ..Options::default() };
        bed.apply(&plan(&program), &options).await.unwrap();
        assert_eq!(bed.seen.most.load(Ordering::SeqCst), jobs);
    }
}

async fn of_two_equal_images_one_is_built(kind: Kind) {
    let image = || Img { from: None, base: "b".to_owned(), steps: vec![Do::taking("x", 50), Do::of("y")], needs: None };
    let bed = Bed::new(kind);
    let plan = plan(&Program { images: vec![image(), image()] });
    let applied = bed.apply(&plan, &Options::default()).await.unwrap();
    assert_eq!(fingerprints_run(&applied).len(), 4);
    assert_eq!(applied.nodes.iter().filter(|node| node.outcome == Outcome::Cached).count(), 4);
    assert_eq!(bed.ran().len(), 4);
}

async fn only_what_is_selected_runs(kind: Kind) {
    let image = |base: &str| Img { from: None, base: base.to_owned(), steps: vec![Do::of(base)], needs: None };
    let bed = Bed::new(kind);
    let plan = plan(&Program { images: vec![image("x"), image("y")] });
    let selection = imgc_engine::select(&plan, &["a1".to_owned()]).unwrap();
    let applied = imgc_engine::apply(&bed.engine, &plan, &selection, &Options::default(), &bed.cx()).await.unwrap();
    assert_eq!(bed.ran(), ["a1", "i1/do \"s0\"", "i1/from"]);
    assert_eq!(applied.outputs.len(), 1);
}
