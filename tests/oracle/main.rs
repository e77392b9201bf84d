//! The explain oracle: more than two hundred single mutations of one package, each with what has to be said and run.
//!
//! What has to run is worked out without a fingerprint: from what the mutation touches, and from the trees that an apply
//! without any cache leaves in another store. A step runs if something of its own was touched, or if the tree it stands
//! on is another one; nothing else runs. The first cause is what the mutation did.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test ends where something does not hold, and says what it skips"
)]

mod locked;
mod mutations;
mod package;
mod trees;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use mutations::{Mutation, mutations};
use package::{Package, STEPS, Step};
use trees::{Trees, trees};

/// A package, a store with its base built, and another store that is never read.
struct Bed {
    dir: tempfile::TempDir,
    base: Package,
    steps: &'static [Step],
    trees: Trees,
}

impl Bed {
    fn new(base: impl Fn(&Path) -> Package, steps: &'static [Step]) -> Self {
        let dir = tempfile::Builder::new().prefix("imgc-oracle-").tempdir_in("/var/tmp").expect("a folder in /var/tmp");
        let base = base(dir.path());
        let mut bed = Self { dir, base, steps, trees: Trees::new() };
        bed.base.write(&bed.path("package"));
        bed.must("store", &["apply"]);
        if let Ok(lock) = fs::read(bed.path("package/imgc.lock")) {
            bed.base.put("imgc.lock", &lock, 0o644);
        }
        bed.must("truth", &["apply", "--no-cache", "--out-dir", "out-truth"]);
        bed.trees = trees(&bed.path("package/out-truth"), steps, &Trees::new(), &bed.path("unpacked"));
        bed.index(|from, to| assert!(fs::copy(from, to).is_ok(), "index"));
        bed
    }

    fn path(&self, sub: &str) -> PathBuf {
        self.dir.path().join(sub)
    }

    fn imgc(&self, store: &str, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgc"));
        command.args(args).current_dir(self.path("package")).env("IMGC_CACHE", self.path(store));
        command.env("XDG_STATE_HOME", self.path("state")).env("NO_COLOR", "1").env("ORACLE_TOKEN", "a value");
        command.output().expect("imgc")
    }

    fn must(&self, store: &str, args: &[&str]) -> String {
        let output = self.imgc(store, args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{args:?}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// Does something with each file of the index and its copy: so every mutation is one of the base.
    fn index(&self, with: impl Fn(&PathBuf, &PathBuf)) {
        fs::create_dir_all(self.path("kept")).expect("folder");
        for entry in fs::read_dir(self.path("store")).expect("store").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.contains("index") && entry.file_type().is_ok_and(|kind| kind.is_file()) {
                with(&entry.path(), &self.path("kept").join(name));
            }
        }
    }

    /// Makes the store one in which another imgc ran a step, whose kind had revision 0: what it left stands under another
    /// fingerprint, which is as if it were not there.
    fn ran_by_another(&self, address: &str) {
        for notes in ["applied", "planned"] {
            let _ = fs::remove_dir_all(self.path("store").join(notes));
        }
        let index = rusqlite::Connection::open(self.path("store/index.sqlite")).expect("the index");
        let spec: String = index
            .query_row("SELECT spec FROM specs WHERE address = ?1", [address], |row| row.get(0))
            .expect("what was noted of the step");
        let other = spec.replace(r#"["revision","1"]"#, r#"["revision","0"]"#);
        assert_ne!(other, spec);
        let noted: Value = serde_json::from_str(&spec).expect("JSON");
        let fingerprint = noted["fingerprint"].as_str().expect("a fingerprint").to_uppercase();
        let changed = index.execute("UPDATE specs SET spec = ?2 WHERE address = ?1", [address, &other]);
        let removed = index.execute("DELETE FROM entries WHERE hex(fingerprint) = ?1", [fingerprint]);
        assert_eq!((changed, removed), (Ok(1), Ok(1)));
    }

    fn restore(&self) {
        self.index(|there, _| fs::remove_file(there).expect("index"));
        for entry in fs::read_dir(self.path("kept")).expect("kept").flatten() {
            fs::copy(entry.path(), self.path("store").join(entry.file_name())).expect("index");
        }
    }

    /// Everything that is wrong with what imgc says and does about a mutation.
    fn check(&self, mutation: &Mutation) -> Vec<String> {
        let mut package = self.base.clone();
        (mutation.change)(&mut package);
        assert!(package != self.base, "{} changes nothing", mutation.name);
        package.write(&self.path("package"));
        self.restore();
        self.outcome(mutation)
    }

    /// The same, of what was done to the package or the store already.
    fn outcome(&self, mutation: &Mutation) -> Vec<String> {
        let plan: Value = serde_json::from_str(&self.must("store", &["plan", "--format", "json"])).expect("a plan");
        let ran = started(&self.must("store", &["apply", "--format", "json"]));
        self.must("truth", &["apply", "--no-cache", "--out-dir", "out-truth"]);
        let after = trees(&self.path("package/out-truth"), self.steps, &self.trees, &self.path("unpacked"));
        let mut wrong = Vec::new();
        let must_run = self.truth(mutation, &after);
        if ran != must_run {
            wrong.push(format!("ran {ran:?}, had to run {must_run:?}"));
        }
        wrong.extend(forecast(&plan, &ran));
        wrong.extend(cause(&plan, mutation));
        wrong.into_iter().map(|what| format!("{}: {what}", mutation.name)).collect()
    }

    /// What has to run: what was touched, and what stands on another tree than before.
    fn truth(&self, mutation: &Mutation, after: &Trees) -> BTreeSet<String> {
        let touched = |address: &str| mutation.touches.iter().any(|name| name == address);
        // Of an image without an output there is nothing to see, and nothing to make.
        let differs = |image: &str| after.get(image).is_some_and(|tree| self.trees.get(image) != Some(tree));
        let mut found = BTreeSet::new();
        for step in self.steps {
            let address = mutation.renamed.get(step.address).map_or(step.address, String::as_str);
            if touched(step.address) || step.on.is_some_and(|on| differs(mutation.moved.get(step.image).unwrap_or(&on)))
            {
                found.insert(address.to_owned());
            }
            if differs(step.image) || touched(step.output) {
                found.insert(step.output.to_owned());
            }
        }
        found
    }
}

/// The addresses of all nodes that began to run.
fn started(events: &str) -> BTreeSet<String> {
    let event = |line: &str| -> Option<String> {
        let event: Value = serde_json::from_str(line).ok()?;
        (event["event"] == "started").then(|| event["address"].as_str().unwrap_or_default().to_owned())
    };
    events.lines().filter_map(event).collect()
}

/// What was certain has to come true, and nothing else may run than what was announced.
fn forecast(plan: &Value, ran: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    for node in plan["nodes"].as_array().expect("nodes") {
        let address = node["address"].as_str().unwrap_or_default();
        // What is new below something that runs is announced as new; it may still be found.
        let is_below = !node["below"].is_null();
        match node["mark"].as_str().unwrap_or_default() {
            "=" if ran.contains(address) => wrong.push(format!("{address} was said to be cached and ran")),
            "~" if !ran.contains(address) => wrong.push(format!("{address} was said to run and did not")),
            "+" if !ran.contains(address) && !is_below => {
                wrong.push(format!("{address} was said to be new, did not run"));
            }
            _ => {}
        }
    }
    wrong
}

/// The first node that was touched has to say what was done to it.
fn cause(plan: &Value, mutation: &Mutation) -> Option<String> {
    let (address, expected) = mutation.cause.as_ref()?;
    let nodes = plan["nodes"].as_array().expect("nodes");
    let Some(node) = nodes.iter().find(|node| node["address"] == **address) else {
        return Some(format!("`{address}` is not in the plan"));
    };
    let said = &node["why"];
    let fits = expected.as_object().expect("an object").iter().all(|(key, value)| said[key] == *value);
    (!fits).then(|| format!("`{address}` says {said}, expected {expected}"))
}

/// Namespaces for the steps, and the tools the base is made of.
fn can_build() -> bool {
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0"));
    let there = root && PathBuf::from("/bin/busybox").exists();
    if !there {
        assert!(std::env::var_os("CI").is_none(), "CI must run as root with busybox-static: see scripts/setup.sh");
        eprintln!("SKIPPED: needs root and the Debian package busybox-static");
    }
    there
}

#[test]
fn every_mutation_is_explained_and_runs_exactly_what_it_must() {
    if !can_build() {
        return;
    }
    let all = mutations();
    assert!(all.len() >= 200, "only {} mutations", all.len());
    let names: BTreeSet<&str> = all.iter().map(|mutation| mutation.name.as_str()).collect();
    assert_eq!(names.len(), all.len(), "two mutations have one name");
    let only = std::env::var("IMGC_ORACLE_ONLY").unwrap_or_default();
    let all: Vec<&Mutation> = all.iter().filter(|mutation| mutation.name.contains(&only)).collect();
    let (even, odd): (Vec<_>, Vec<_>) = all.iter().enumerate().partition(|(n, _)| n % 2 == 0);
    let check = |part: Vec<(usize, &&Mutation)>| {
        let bed = Bed::new(Package::base, STEPS);
        part.into_iter().flat_map(|(_, mutation)| bed.check(mutation)).collect::<Vec<String>>()
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let other = scope.spawn(|| check(odd));
        let mut wrong = check(even);
        wrong.extend(other.join().expect("a thread"));
        wrong
    });
    assert!(wrong.is_empty(), "{} of {} mutations:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

#[test]
fn every_change_of_the_lock_is_explained_and_runs_exactly_what_it_must() {
    if !can_build() {
        return;
    }
    let bed = Bed::new(locked::package, locked::STEPS);
    let all = locked::mutations(&bed.path("archives"));
    assert!(all.len() >= 20, "only {} mutations", all.len());
    let wrong: Vec<String> = all.iter().flat_map(|mutation| bed.check(mutation)).collect();
    assert!(wrong.is_empty(), "{} of {} mutations:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

/// Where the lock changes, its source is the first that says so. Once that stands again, what is behind it has causes of
/// its own; and so has what another imgc ran in another way.
#[test]
fn causes_behind_a_source_that_stands_are_told() {
    if !can_build() {
        return;
    }
    let bed = Bed::new(locked::package, locked::STEPS);
    let mut wrong = Vec::new();
    for mutation in locked::behind() {
        let mut package = bed.base.clone();
        (mutation.change)(&mut package);
        package.write(&bed.path("package"));
        bed.restore();
        bed.must("store", &["apply", "x_base"]);
        wrong.extend(bed.outcome(&mutation));
    }
    for mutation in locked::revisions() {
        bed.base.write(&bed.path("package"));
        bed.restore();
        bed.ran_by_another(&mutation.touches[0]);
        wrong.extend(bed.outcome(&mutation));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
