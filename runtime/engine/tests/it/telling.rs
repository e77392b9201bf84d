//! What users are told: names, causes, locks.

use std::collections::BTreeMap;
use std::sync::Arc;

use imgc_engine::{EngineError, LockMode, Options, Standing, lock_sources, select};
use imgc_plan::{Digest, DirRef, EntryKind, Lockfile, Plan, TreeEntry, Value, node::Work};

use crate::bed::{Bed, Do, Kind, one, plan};

crate::cases! {
    async
        the_cause_of_a_miss_is_told,
        what_follows_a_changed_parent_is_told,
        a_renamed_step_is_told,
        sources_are_locked_once_and_changed_by_update_only,
    ;
    plain
        names_are_found_or_the_nearest_are_told,
}

fn base() -> Plan {
    Plan::clone(&plan(&one(vec![Do::of("a"), Do::of("b")])))
}

/// What the forecast says of the first step after this change to its arguments.
async fn told(kind: Kind, before: Value, after: Value) -> String {
    let bed = Bed::new(kind);
    let with = |value: Value| {
        let mut plan = base();
        plan.nodes[1].args.insert("arg".into(), value);
        Arc::new(plan)
    };
    bed.apply(&with(before), &Options::default()).await.unwrap();
    let forecast = bed.forecast(&with(after), &Options::default()).await;
    let standing = &forecast.nodes[1].standing;
    if let Standing::Changed { cause, following } = standing {
        return format!("{cause}, {following} follow");
    }
    format!("{standing:?}")
}

fn script(text: &str) -> Value {
    Value::Script { shell: "sh".into(), text: text.into() }
}

fn texts(items: &[&str]) -> Value {
    Value::List(items.iter().map(|item| Value::Text((*item).into())).collect())
}

fn dir(files: &[(&str, &str, u32)]) -> Value {
    let entry = |(path, content, mode): &(&str, &str, u32)| TreeEntry {
        path: (*path).to_owned(),
        kind: EntryKind::File { digest: Digest::of(content.as_bytes()), size: content.len() as u64 },
        mode: *mode,
    };
    let entries: Vec<TreeEntry> = files.iter().map(entry).collect();
    let digest = DirRef::merkle(&entries);
    Value::from(DirRef {
        path: "site".to_owned(),
        digest,
        ignore: Vec::new(),
        exact_modes: false,
        entries,
        places: BTreeMap::new(),
    })
}

async fn the_cause_of_a_miss_is_told(kind: Kind) {
    assert_eq!(told(kind, script("a\nb\nc"), script("a\nb\nd")).await, "arg: line 3 differs, 2 follow");
    assert_eq!(told(kind, Value::Size(4), Value::Size(8)).await, "arg: `4` → `8`, 2 follow");
    assert_eq!(told(kind, Value::Text("x".into()), Value::Text("y".into())).await, "arg: `x` → `y`, 2 follow");
    assert_eq!(told(kind, texts(&["a", "b"]), texts(&["b", "c"])).await, "arg: `c` added, `a` removed, 2 follow");
    assert_eq!(told(kind, texts(&["a", "b"]), texts(&["b", "a"])).await, "arg: another order, 2 follow");
    let site = [("a.html", "1", 0o644), ("b.html", "1", 0o644)];
    let changed = [("a.html", "2", 0o644), ("b.html", "1", 0o644)];
    let mode = [("a.html", "1", 0o755), ("b.html", "1", 0o644)];
    assert_eq!(told(kind, dir(&site), dir(&changed)).await, "site/a.html changed, 2 follow");
    assert_eq!(told(kind, dir(&site), dir(&mode)).await, "site/a.html: mode 644 → 755, 2 follow");
    assert_eq!(told(kind, dir(&site), dir(&site[..1])).await, "site/b.html removed, 2 follow");
    assert_eq!(told(kind, dir(&site[..1]), dir(&site)).await, "site/b.html added, 2 follow");
    assert_eq!(told(kind, dir(&changed[1..]), dir(&changed[..1])).await, "site/a.html added, and 1 more, 2 follow");
}

async fn what_follows_a_changed_parent_is_told(kind: Kind) {
    let bed = Bed::new(kind);
    bed.apply(&Arc::new(base()), &Options::default()).await.unwrap();
    let mut renamed = base();
    renamed.nodes[0].args.insert("content".into(), Value::Text("other".into()));
    renamed.nodes[1].address.0 = "i0/do \"new\"".to_owned();
    let forecast = bed.forecast(&renamed, &Options::default()).await;
    let causes: Vec<String> = forecast.nodes.iter().map(|node| format!("{:?}", node.standing)).collect();
    assert!(causes[0].contains("\"base\"") && causes[0].contains("\"other\""), "{causes:?}");
    // Its parent runs, and its own result differs each time: it follows, whatever its name.
    assert!(causes[1].contains("Follows"), "{causes:?}");
}

async fn a_renamed_step_is_told(kind: Kind) {
    let bed = Bed::new(kind);
    bed.apply(&Arc::new(base()), &Options::default()).await.unwrap();
    let mut moved = base();
    moved.nodes.remove(3);
    moved.nodes[2].address.0 = "i0/do \"moved\"".to_owned();
    moved.nodes[2].args.insert("comment".into(), Value::Text("".into()));
    moved.outputs[0].value = imgc_plan::OutputValue::Image(imgc_plan::NodeId(2));
    if let Work::Step(step) = &mut moved.nodes[2].work {
        step.on = imgc_plan::NodeId(0);
    }
    let forecast = bed.forecast(&moved, &Options::default()).await;
    let Standing::Changed { cause, .. } = &forecast.nodes[1].standing else { panic!("{forecast:?}") };
    assert_eq!(cause.to_string(), "was renamed from `i0/do \"s1\"`");
}

/// No backend is asked.
fn names_are_found_or_the_nearest_are_told(_: Kind) {
    let plan = base();
    let nodes = |name: &str| select(&plan, &[name.to_owned()]).unwrap().nodes.len();
    assert_eq!((nodes("a0"), nodes("i0"), nodes("i0/do \"s0\""), nodes("i0/from")), (4, 3, 2, 1));
    let error = select(&plan, &["ao".to_owned()]).unwrap_err();
    assert_eq!(error.to_string(), "the plan has no output, image or step named `ao`");
    assert!(error.help().unwrap().starts_with("did you mean `a0`"), "{:?}", error.help());
}

async fn sources_are_locked_once_and_changed_by_update_only(kind: Kind) {
    let bed = Bed::new(kind);
    let mut lockfile = Lockfile::default();
    let unlocked = || {
        let mut plan = base();
        if let Work::Source(source) = &mut plan.nodes[0].work {
            source.locked = None;
        }
        plan
    };
    let locked = |plan: &Plan| match &plan.nodes[0].work {
        Work::Source(source) => source.locked.clone(),
        Work::Step(_) | Work::Artifact(_) => None,
    };
    let (engine, cx) = (&bed.engine, &bed.cx());
    let mut plan = unlocked();
    let error = lock_sources(engine, &mut plan, &mut lockfile, &LockMode::Locked, None, cx).await.unwrap_err();
    assert!(matches!(&error, EngineError::NotLocked { sources } if sources.len() == 1), "{error}");
    let added = lock_sources(engine, &mut plan, &mut lockfile, &LockMode::AddMissing, None, cx).await.unwrap();
    assert_eq!((added.len(), added[0].before.is_none()), (1, true));
    let first = locked(&plan).unwrap();
    let mut again = unlocked();
    for mode in [LockMode::AddMissing, LockMode::Locked] {
        let changes = lock_sources(engine, &mut again, &mut lockfile, &mode, None, cx).await.unwrap();
        assert_eq!((changes.len(), locked(&again)), (0, Some(first.clone())));
    }
    let update = LockMode::Update(vec!["base".to_owned()]);
    let changes = lock_sources(engine, &mut again, &mut lockfile, &update, None, cx).await.unwrap();
    assert_eq!(changes[0].before, Some(first));
    let wrong = LockMode::Update(vec!["bass".to_owned()]);
    let error = lock_sources(engine, &mut again, &mut lockfile, &wrong, None, cx).await.unwrap_err();
    assert_eq!(error.help().unwrap(), "its sources are `base`");
    let _: BTreeMap<String, imgc_plan::Locked> = lockfile.sources;
}
