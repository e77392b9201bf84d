//! Journals as disks leave them: cut anywhere, of another version, of a backend that cannot answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use imgc_backend::{Intended, Lasting};
use imgc_engine::{Run, journal};
use serde_json::json;

use crate::bed::{Bed, Kind};

crate::cases! {
    async
        a_journal_cut_at_every_byte_is_replayed_as_far_as_it_goes,
        journals_that_cannot_be_understood_are_kept_and_told,
    ;
    plain
}

fn intended(kind: &str) -> Intended<'_> {
    Intended {
        backend: "fake",
        kind,
        lasting: Lasting::Boot,
        tags: BTreeMap::from([("a".to_owned(), "ü\n".to_owned())]),
    }
}

/// A journal with an effect of every state, and the tokens of those that stay open.
fn whole(bed: &Bed) -> (Vec<u8>, BTreeSet<String>) {
    let run = Run::begin(&bed.path().join("runs")).unwrap();
    let journal = run.journal();
    let open = journal.intend(intended("open")).unwrap();
    let gone = journal.intend(intended("gone")).unwrap().created(json!({ "id": "ü" })).unwrap();
    let there = journal.intend(intended("there")).unwrap().created(json!([1, "\n"])).unwrap();
    journal.intend(intended("never")).unwrap().abandoned().unwrap();
    gone.destroyed().unwrap();
    let tokens = [open.token().to_owned(), there.effect().token.clone()].into();
    let bytes = fs::read(run.dir().join("journal")).unwrap();
    (bytes, tokens)
}

async fn a_journal_cut_at_every_byte_is_replayed_as_far_as_it_goes(kind: Kind) {
    let bed = Bed::new(kind);
    let (bytes, left) = whole(&bed);
    let runs = bed.path().join("dead");
    let dir = runs.join("20260101T000000.000Z-1");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("lock"), "").unwrap();
    let backends = bed.engine.backends.clone();
    let mut most = 0;
    for end in 0..=bytes.len() {
        fs::write(dir.join("journal"), &bytes[..end]).unwrap();
        let replayed = journal::replay(&runs, &backends, &bed.cx()).await;
        assert_eq!(replayed.problems, Vec::<String>::new(), "cut at {end}");
        assert!(!dir.join("journal").exists(), "cut at {end}");
        let settled: BTreeSet<String> = replayed.settled.iter().map(|effect| effect.token.clone()).collect();
        // What was written down whole is never forgotten.
        let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
        for token in &left {
            let intent =
                text.split_inclusive('\n').any(|l| l.ends_with('\n') && l.contains("intent") && l.contains(token));
            assert_eq!(settled.contains(token), intent, "cut at {end}");
        }
        most = most.max(settled.len());
    }
    assert!(most >= 3, "{most}");
}

async fn journals_that_cannot_be_understood_are_kept_and_told(kind: Kind) {
    let bed = Bed::new(kind);
    let (bytes, _) = whole(&bed);
    let newer = String::from_utf8(bytes.clone()).unwrap().replacen("\"version\":2", "\"version\":3", 1).into_bytes();
    let elsewhere = String::from_utf8(bytes.clone()).unwrap().replace("\"fake\"", "\"gone\"").into_bytes();
    let mut flipped = bytes.clone();
    let middle = bytes.len() / 2;
    flipped[middle] = b'\0';
    let runs = bed.path().join("dead");
    for (name, bytes, word) in
        [("newer", newer, "newer imgc"), ("elsewhere", elsewhere, "no backend `gone`"), ("flipped", flipped, "line ")]
    {
        let dir = runs.join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("lock"), "").unwrap();
        fs::write(dir.join("journal"), &bytes).unwrap();
        let replayed = journal::replay(&runs, &bed.engine.backends, &bed.cx()).await;
        assert!(replayed.problems.iter().any(|problem| problem.contains(word)), "{name}: {:?}", replayed.problems);
        assert_eq!(fs::read(dir.join("journal")).unwrap(), bytes, "{name}");
        fs::remove_dir_all(&dir).unwrap();
    }
}
