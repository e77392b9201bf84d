//! What lands in the output directory.

use std::fs;

use imgc_engine::{Options, Run};
use imgc_plan::Sha256;

use crate::bed::{Bed, Do, Img, Kind, Program, plan};

crate::cases! {
    async
        artifacts_are_put_in_place_with_their_sums,
        a_run_whose_folder_was_removed_still_says_what_came_of_it,
        what_is_there_stays_what_was_changed_is_replaced_and_what_is_gone_is_forgotten,
    ;
    plain
}

fn two() -> Program {
    let image = |base: &str| Img { from: None, base: base.to_owned(), steps: vec![Do::of(base)], needs: None };
    Program { images: vec![image("x"), image("y")] }
}

async fn artifacts_are_put_in_place_with_their_sums(kind: Kind) {
    let bed = Bed::new(kind);
    let out = bed.path().join("out");
    let run = std::sync::Arc::new(Run::begin(&bed.path().join("runs")).unwrap());
    let options = Options { out_dir: Some(out.clone()), run: Some(run.clone()), ..Options::default() };
    let applied = bed.apply(&plan(&two()), &options).await.unwrap();
    let sums = fs::read_to_string(out.join("SHA256SUMS")).unwrap();
    let expected: Vec<String> = ["a0.txt", "a1.txt"]
        .into_iter()
        .map(|name| format!("{}  {name}", Sha256::of(&fs::read(out.join(name)).unwrap())))
        .collect();
    assert_eq!(sums.lines().collect::<Vec<_>>(), expected);
    assert_eq!(applied.outputs[1].file.as_deref(), Some(out.join("a1.txt").as_path()));
    let told: imgc_engine::Applied =
        serde_json::from_str(&fs::read_to_string(run.dir().join("apply.json")).unwrap()).unwrap();
    assert_eq!(told, applied);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 3);
}

async fn a_run_whose_folder_was_removed_still_says_what_came_of_it(kind: Kind) {
    let bed = Bed::new(kind);
    let run = std::sync::Arc::new(Run::begin(&bed.path().join("runs")).unwrap());
    fs::remove_dir_all(bed.path().join("runs")).unwrap();
    let options = Options { run: Some(run.clone()), ..Options::default() };
    bed.apply(&plan(&two()), &options).await.unwrap();
    assert!(run.dir().join("apply.json").exists());
}

async fn what_is_there_stays_what_was_changed_is_replaced_and_what_is_gone_is_forgotten(kind: Kind) {
    let bed = Bed::new(kind);
    let out = bed.path().join("out");
    let plan = plan(&two());
    let options = Options { out_dir: Some(out.clone()), ..Options::default() };
    bed.apply(&plan, &options).await.unwrap();
    let stamp = |name: &str| fs::metadata(out.join(name)).unwrap().modified().unwrap();
    let (first, sums) = (stamp("a0.txt"), stamp("SHA256SUMS"));
    let content = fs::read(out.join("a1.txt")).unwrap();
    let changed: Vec<u8> = content.iter().map(|_| b'!').collect();
    fs::write(out.join("a1.txt"), changed).unwrap();
    fs::write(out.join(".a1.txt.1-2-3.tmp"), "left by a killed run").unwrap();
    bed.apply(&plan, &options).await.unwrap();
    assert!(!out.join(".a1.txt.1-2-3.tmp").exists());
    assert_eq!(fs::read(out.join("a1.txt")).unwrap(), content);
    assert_eq!((stamp("a0.txt"), stamp("SHA256SUMS")), (first, sums));
    fs::remove_file(out.join("a0.txt")).unwrap();
    let selection = imgc_engine::select(&plan, &["a1".to_owned()]).unwrap();
    imgc_engine::apply(&bed.engine, &plan, &selection, &options, &bed.cx()).await.unwrap();
    assert_eq!(fs::read_to_string(out.join("SHA256SUMS")).unwrap().lines().count(), 1);
}
