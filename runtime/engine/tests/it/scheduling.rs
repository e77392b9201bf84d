//! The order in which nodes start, against an ideal list schedule; what may run at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use imgc_backend::States;
use imgc_engine::{EngineError, Estimate, Options};
use imgc_plan::Address;

use crate::bed::{Bed, Do, Img, Program, plan};

/// Images of different lengths, some on others: the same each time.
fn forest(seed: u64) -> Program {
    let mut state = seed;
    let mut next = |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    let mut images = Vec::new();
    for n in 0..8_usize {
        let from = (n > 2 && next(3) == 0).then(|| usize::try_from(next(n as u64)).unwrap());
        let steps = (0..=next(4)).map(|k| Do::taking(&format!("{n}.{k}"), 20 + 20 * next(6))).collect();
        images.push(Img { from, base: n.to_string(), steps, needs: None });
    }
    Program { images }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_run_is_as_short_as_a_list_schedule() {
    for seed in [3, 11] {
        let bed = Bed::new(States::Content);
        let mut program = forest(seed);
        let options = Options { jobs: 3.try_into().unwrap(), ..Options::default() };
        bed.apply(&plan(&program), &options).await.unwrap();
        for image in &mut program.images {
            for step in &mut image.steps {
                step.content.push('!');
            }
        }
        let plan = plan(&program);
        let forecast = bed.forecast(&plan, &options).await;
        let ideal = Estimate::new(&plan, &forecast, options.jobs).total().unwrap();
        let begun = Instant::now();
        bed.apply(&plan, &options).await.unwrap();
        let took = begun.elapsed();
        println!("seed {seed}: {took:?}, ideal {ideal:?}");
        // The machine is busy with other tests: only a schedule that leaves jobs idle fails here.
        assert!(took < ideal * 2 + Duration::from_millis(500), "{took:?}, ideal {ideal:?}");
    }
}

#[tokio::test]
async fn limits_of_cpus_and_of_a_backend_hold() {
    let image = |n: usize| {
        let steps = vec![Do::taking(&format!("{n}"), 60)];
        Img { from: None, base: n.to_string(), steps, needs: None }
    };
    let program = plan(&Program { images: (0..4).map(image).collect() });
    let jobs = 4.try_into().unwrap();
    let mut few = Options { jobs, ..Options::default() };
    few.limits.cpus = Some(2);
    let mut backend = Options { jobs, ..Options::default() };
    backend.limits.backends = BTreeMap::from([("fake".to_owned(), 1)]);
    for (options, most) in [(few, 2), (backend, 1)] {
        let bed = Bed::new(States::Content);
        bed.apply(&program, &options).await.unwrap();
        assert_eq!(bed.seen.most.load(std::sync::atomic::Ordering::SeqCst), most);
    }
}

#[tokio::test]
async fn rerun_of_what_is_not_built_is_refused() {
    let image = |base: &str| Img { from: None, base: base.to_owned(), steps: vec![Do::of(base)], needs: None };
    let bed = Bed::new(States::Content);
    let plan = plan(&Program { images: vec![image("x"), image("y")] });
    let selection = imgc_engine::select(&plan, &["a1".to_owned()]).unwrap();
    let options = Options { rerun: vec![Address("i0".to_owned())], ..Options::default() };
    let error = imgc_engine::forecast(&bed.engine, &plan, &selection, &options, &bed.cx()).await.unwrap_err();
    assert!(matches!(&error, EngineError::RerunOutside { .. }), "{error}");
    assert_eq!(error.to_string(), "`i0` is not among what is built: `a1`");
    let typo = Options { rerun: vec![Address("i0/do \"s9\"".to_owned())], ..Options::default() };
    let error = imgc_engine::forecast(&bed.engine, &plan, &selection, &typo, &bed.cx()).await.unwrap_err();
    assert!(error.help().is_some_and(|help| help.contains("i0/do \"s0\"")), "{error}");
}
