//! The order in which nodes start, and what may run at once.

use std::collections::BTreeMap;

use imgc_backend::Event;
use imgc_engine::{EngineError, Options};
use imgc_plan::Address;

use crate::bed::{Bed, Do, Img, Kind, Program, plan};

crate::cases! {
    async
        the_longest_way_goes_first_by_history,
        limits_of_cpus_and_of_a_backend_hold,
        rerun_of_what_is_not_built_is_refused,
    ;
    plain
}

/// The addresses of steps in the order in which they began.
fn begun(bed: &Bed) -> Vec<String> {
    let events = bed.events.lock().unwrap();
    let mut begun = Vec::new();
    for event in events.iter() {
        if let Event::Started { address, .. } = event
            && address.0.contains("/do")
        {
            begun.push(address.0.clone());
        }
    }
    begun
}

async fn the_longest_way_goes_first_by_history(kind: Kind) {
    let image = |base: &str, steps| Img { from: None, base: base.to_owned(), steps, needs: None };
    let short = (0..3).map(|k| Do::taking(&format!("short {k}"), 5)).collect();
    let mut program =
        Program { images: vec![image("x", short), image("y", vec![Do::taking("long", kind.at_least(1500))])] };
    let bed = Bed::new(kind);
    let options = Options { jobs: 1.try_into().unwrap(), ..Options::default() };
    bed.apply(&plan(&program), &options).await.unwrap();
    // Nothing is known: three steps are more than one.
    assert_eq!(begun(&bed)[0], "i0/do \"s0\"");
    for image in &mut program.images {
        image.steps[0].content.push('!');
    }
    bed.apply(&plan(&program), &options).await.unwrap();
    assert_eq!(begun(&bed)[0], "i1/do \"s0\"");
}

async fn limits_of_cpus_and_of_a_backend_hold(kind: Kind) {
    let image = |n: usize| {
        let steps = vec![Do::taking(&format!("{n}"), kind.at_least(200))];
        Img { from: None, base: n.to_string(), steps, needs: None }
    };
    let program = plan(&Program { images: (0..4).map(image).collect() });
    let jobs = 4.try_into().unwrap();
    let mut few = Options { jobs, ..Options::default() };
    few.limits.cpus = Some(2);
    let mut backend = Options { jobs, ..Options::default() };
    backend.limits.backends = BTreeMap::from([("fake".to_owned(), 1)]);
    for (options, most) in [(few, 2), (backend, 1)] {
        let bed = Bed::new(kind);
        bed.apply(&program, &options).await.unwrap();
        assert_eq!(bed.seen.most.load(std::sync::atomic::Ordering::SeqCst), most);
    }
}

async fn rerun_of_what_is_not_built_is_refused(kind: Kind) {
    let image = |base: &str| Img { from: None, base: base.to_owned(), steps: vec![Do::of(base)], needs: None };
    let bed = Bed::new(kind);
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
