//! Failures and interruptions: what was done is kept, nothing is left running.

use std::collections::BTreeMap;
use std::sync::Arc;

use imgc_backend::{Event, Fault, Intended, Lasting};
use imgc_engine::{ApplyError, EngineError, OnError, Options, Run};
use serde_json::json;

use crate::bed::{Bed, Do, Img, Kind, Program, one, plan};

crate::cases! {
    async
        a_failure_keeps_what_was_done_and_the_next_run_goes_on_from_there,
        after_a_failure_running_steps_end_and_nothing_new_starts,
        a_parked_machine_outlives_the_trim_of_a_run_beside_it,
        the_first_interrupt_lets_steps_end_and_the_second_stops_them,
        what_no_backend_offers_is_refused_before_anything_starts,
        a_cached_source_needs_no_tools,
        a_second_apply_of_a_package_waits_for_the_first,
        the_journal_of_a_dead_run_is_replayed_and_that_of_a_living_one_is_not,
    ;
    plain
}

fn image(base: &str, steps: Vec<Do>) -> Img {
    Img { from: None, base: base.to_owned(), steps, needs: None }
}

async fn a_failure_keeps_what_was_done_and_the_next_run_goes_on_from_there(kind: Kind) {
    let bed = Bed::new(kind);
    let run = Arc::new(Run::begin(&bed.path().join("runs")).unwrap());
    let options = Options { run: Some(run.clone()), ..Options::default() };
    let bad = plan(&one(vec![Do::of("a"), Do::of("fail 7"), Do::of("c")]));
    let error = bed.apply(&bad, &options).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Build);
    let ApplyError::Failed(failures) = error else { panic!("{error}") };
    assert_eq!(failures[0].address.0, "i0/do \"s1\"");
    assert_eq!(failures[0].error.to_string(), "i0/do \"s1\" ended with exit code 7");
    assert_eq!(failures[0].last_lines, ["begin", "ran fail 7"]);
    let log = failures[0].log.clone().unwrap();
    assert_eq!(std::fs::read_to_string(log).unwrap(), "begin\nran fail 7\n");
    assert_eq!(bed.ran(), ["i0/do \"s0\"", "i0/from"]);
    bed.nothing_alive();
    let good = plan(&one(vec![Do::of("a"), Do::of("b"), Do::of("c")]));
    bed.apply(&good, &Options::default()).await.unwrap();
    let ran = bed.ran();
    // Where layers are dear what a failed machine had done before is not worth one.
    let again = if kind == Kind::Dear { 4 } else { 3 };
    let all = ["a0", "i0/do \"s0\"", "i0/do \"s1\"", "i0/do \"s2\""];
    assert_eq!((ran.len(), ran.iter().all(|node| all.contains(&node.as_str()))), (again, true), "{ran:?}");
}

async fn after_a_failure_running_steps_end_and_nothing_new_starts(kind: Kind) {
    let slow = || image("slow", vec![Do::taking("s", 2 * kind.at_least(300)), Do::of("t")]);
    let program = Program { images: vec![image("bad", vec![Do::taking("fail 1", 20)]), slow()] };
    let bed = Bed::new(kind);
    let plan = plan(&program);
    bed.apply(&plan, &Options { jobs: 2.try_into().unwrap(), ..Options::default() }).await.unwrap_err();
    let ran = bed.ran();
    assert!(ran.contains(&"i1/do \"s0\"".to_owned()) && !ran.contains(&"i1/do \"s1\"".to_owned()), "{ran:?}");
    let going = Options { jobs: 2.try_into().unwrap(), keep_going: true, ..Options::default() };
    bed.apply(&plan, &going).await.unwrap_err();
    assert_eq!(bed.ran(), ["a1", "i1/do \"s1\""]);
    bed.nothing_alive();
}

async fn the_first_interrupt_lets_steps_end_and_the_second_stops_them(kind: Kind) {
    let slow = || one(vec![Do::taking("a", kind.at_least(100)), Do::taking("b", 60_000)]);
    let bed = Bed::new(kind);
    let (plan, options) = (plan(&slow()), Options::default());
    let stop = options.stop.clone();
    let soon = async {
        bed.until_one_runs().await;
        stop.cancel();
    };
    let (result, ()) = tokio::join!(bed.apply(&plan, &options), soon);
    assert!(matches!(result, Err(ApplyError::Interrupted { left: 2 })), "{result:?}");
    assert_eq!(bed.ran(), ["i0/do \"s0\"", "i0/from"]);
    let (again, cancel) = (Options::default(), bed.cancel.clone());
    let soon = async {
        bed.until_one_runs().await;
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(bed.apply(&plan, &again), soon);
    assert!(matches!(result, Err(ApplyError::Interrupted { left: 2 })), "{result:?}");
    assert!(bed.ran().is_empty());
    bed.nothing_alive();
}

async fn a_parked_machine_outlives_the_trim_of_a_run_beside_it(kind: Kind) {
    let bed = Bed::new(kind);
    let runs = bed.path().join("runs");
    let slow = plan(&one(vec![Do::taking("slow", kind.at_least(500))]));
    let bad = plan(&Program { images: vec![image("other", vec![Do::of("left"), Do::of("fail 1")])] });
    let other = bed.another("q");
    let run = Some(Arc::new(Run::begin(&runs).unwrap()));
    let trims = Options { run, budget: Some(0), ..Options::default() };
    let fails = async {
        bed.until_one_runs().await;
        let run = Some(Arc::new(Run::begin(&runs).unwrap()));
        let keep = Options { run, on_error: OnError::Keep, ..Options::default() };
        let ApplyError::Failed(failures) = other.apply(&bad, &keep).await.unwrap_err() else { panic!() };
        failures[0].parked.clone().unwrap()
    };
    let (trimmed, parked) = tokio::join!(bed.apply(&slow, &trims), fails);
    trimmed.unwrap();
    let at = (runs.as_path(), parked.as_str());
    let mut opened = imgc_engine::open_parked(&other.engine, &bad, "i0/do \"s1\"", at, &other.cx()).await.unwrap();
    let exec = imgc_backend::Exec {
        program: imgc_backend::Program::Argv(vec!["/bin/cat".to_owned(), "/content".to_owned()]),
        env: BTreeMap::new(),
        user: "root".to_owned(),
        workdir: "/".to_owned(),
        network: false,
        timeout: None,
    };
    let said = std::sync::Mutex::new(Vec::new());
    let output = |_: imgc_backend::Stream, bytes: &[u8]| said.lock().unwrap().extend_from_slice(bytes);
    let cx = other.cx();
    let exit = opened.machine.channel(&cx).await.unwrap().exec(&exec, &output, &cx).await.unwrap();
    assert_eq!((exit, said.lock().unwrap().as_slice()), (imgc_backend::Exit::Code(0), b"left\nfail 1\n".as_slice()));
    opened.machine.close(imgc_backend::Close::Discard, &cx).await.unwrap();
    bed.nothing_alive();
}

async fn what_no_backend_offers_is_refused_before_anything_starts(kind: Kind) {
    let bed = Bed::new(kind);
    let mut plan = plan(&Program { images: vec![image("x", vec![Do::of("a")]), image("y", vec![Do::of("too big")])] });
    for node in &mut Arc::get_mut(&mut plan).unwrap().nodes {
        if node.address.0 == "a0" {
            node.kind = "disk.convert".into();
        }
    }
    let error = bed.apply(&plan, &Options::default()).await.unwrap_err();
    assert_eq!(error.fault(), Fault::NotBuilt);
    let ApplyError::Engine(EngineError::Refused(refused)) = error else { panic!("{error}") };
    let texts: Vec<String> = refused.iter().map(|r| format!("{}: {}", r.address, r.message)).collect();
    assert_eq!(texts, ["a0: `disk.convert` is not built yet", "i1/do \"s0\": needs more memory than there is"]);
    assert!(bed.ran().is_empty() && bed.events.lock().unwrap().is_empty());
    assert_eq!(bed.forecast(&plan, &Options::default()).await.refused.len(), 2);
}

async fn a_cached_source_needs_no_tools(kind: Kind) {
    let bed = Bed::new(kind);
    let program = |base: &str, step: &str| plan(&Program { images: vec![image(base, vec![Do::of(step)])] });
    bed.apply(&program("x", "a"), &Options::default()).await.unwrap();
    bed.seen.lacks.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(bed.forecast(&program("x", "b"), &Options::default()).await.refused.is_empty());
    bed.apply(&program("x", "b"), &Options::default()).await.unwrap();
    let error = bed.apply(&program("y", "b"), &Options::default()).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Environment);
}

async fn a_second_apply_of_a_package_waits_for_the_first(kind: Kind) {
    let bed = Bed::new(kind);
    let other = bed.another("p");
    let plan = plan(&one(vec![Do::taking("a", 300)]));
    let (options, late) = (Options::default(), Options::default());
    let second = async {
        bed.until_one_runs().await;
        other.apply(&plan, &late).await
    };
    let (first, second) = tokio::join!(bed.apply(&plan, &options), second);
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(bed.ran().len(), 3);
    let events = other.events.lock().unwrap();
    assert!(matches!(&events[0], Event::Note { text } if text.contains("another imgc apply")), "{events:?}");
}

async fn the_journal_of_a_dead_run_is_replayed_and_that_of_a_living_one_is_not(kind: Kind) {
    let bed = Bed::new(kind);
    let runs = bed.path().join("runs");
    let intended = || Intended { backend: "fake", kind: "instance", lasting: Lasting::Beyond, tags: BTreeMap::new() };
    let (dead, alive) = (Run::begin(&runs).unwrap(), Run::begin(&runs.join("../runs")).unwrap());
    let mut left = String::new();
    for run in [&alive, &dead] {
        let journal = run.journal();
        journal.intend(intended()).unwrap().abandoned().unwrap();
        journal.intend(intended()).unwrap().created(json!("i-1")).unwrap().destroyed().unwrap();
        journal.intend(intended()).unwrap().created(json!("i-2")).unwrap().adopted().unwrap();
        left = journal.intend(intended()).unwrap().created(json!("i-3")).unwrap().effect().token.clone();
    }
    drop(dead);
    let run = Arc::new(Run::begin(&runs).unwrap());
    let options = Options { run: Some(run), ..Options::default() };
    for _ in 0..2 {
        bed.apply(&plan(&one(Vec::new())), &options).await.unwrap();
        assert_eq!(*bed.seen.recovered.lock().unwrap(), std::slice::from_ref(&left));
    }
}
