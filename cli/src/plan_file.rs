//! Plan files: what `plan --out` writes, and what `apply --plan` checks before it obeys.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use imgc_plan::{DirRef, FileRef, Lockfile, Plan, Work};
use serde::{Deserialize, Serialize};

use crate::arguments::Said;
use crate::exit::Failure;
use crate::lockfile;

/// The format this imgc writes and reads.
const FORMAT: u32 = 2;

/// A plan with all that is needed to see whether it still holds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PlanFile {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// The version and build that wrote it.
    pub(crate) imgc: String,
    /// The package's directory, absolute.
    pub(crate) package: PathBuf,
    /// The module, relative to the package.
    pub(crate) entry: String,
    /// The arguments as they were given.
    pub(crate) arguments: Said,
    /// The outputs and addresses that were asked for.
    pub(crate) targets: Vec<String>,
    /// The plan, its sources locked.
    pub(crate) plan: Plan,
    /// What was expected of an apply; for people and programs, not obeyed.
    pub(crate) forecast: serde_json::Value,
}

/// The version and build of this imgc.
pub(crate) fn this_imgc() -> String {
    format!("{} ({})", crate::commands::version::VERSION, crate::commands::version::BUILD)
}

impl PlanFile {
    /// Puts a plan together with the current format.
    pub(crate) fn new(
        (package, entry): (PathBuf, String),
        arguments: Said,
        targets: Vec<String>,
        plan: Plan,
        forecast: serde_json::Value,
    ) -> Self {
        Self { format: FORMAT, imgc: this_imgc(), package, entry, arguments, targets, plan, forecast }
    }

    /// Writes the file whole.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| Failure::internal(format!("cannot write a plan as JSON: {error}")))?;
        lockfile::write_whole(path, &bytes)
    }

    /// Reads a file that [`PlanFile::write`] wrote.
    ///
    /// # Errors
    /// No such file, no plan, another format or version.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let bytes = std::fs::read(path)
            .map_err(|error| Failure::program(format!("cannot read the plan `{shown}`")).because(&error))?;
        let again = "make a new one: `imgc plan --out FILE`";
        let no_plan = |error: serde_json::Error| {
            Failure::program(format!("`{shown}` is not a plan of imgc")).because(&error).help(again)
        };
        let json: serde_json::Value = serde_json::from_slice(&bytes).map_err(no_plan)?;
        let format = json.get("format").and_then(serde_json::Value::as_u64);
        if format.is_some_and(|format| format != u64::from(FORMAT)) {
            let found = format.unwrap_or_default();
            let message = format!("the plan `{shown}` has format {found}, this imgc reads format {FORMAT}");
            return Err(Failure::program(message).help(again));
        }
        let file: Self = serde_json::from_value(json).map_err(no_plan)?;
        if file.imgc != this_imgc() {
            let message = format!("the plan `{shown}` was made by imgc {}, this is imgc {}", file.imgc, this_imgc());
            return Err(Failure::program(message).help(again));
        }
        file.plan.verify().map_err(|error| Failure::program(format!("the plan `{shown}` does not hold: {error}")))?;
        Ok(file)
    }

    /// Refuses where an input differs from what the plan was made from, and names it. `now` is the plan that the
    /// same arguments give now, `lock` the lock as it is now.
    pub(crate) fn still_holds(&self, now: &Plan, lock: &Lockfile) -> Result<(), Failure> {
        let differences = self.differences(now, lock);
        let [first, rest @ ..] = differences.as_slice() else { return Ok(()) };
        let mut failure = Failure::program(format!("the plan does not hold any more: {first}"))
            .help("look at what `imgc plan` says now, and make a new plan file with `--out`");
        failure.causes.extend(rest.iter().cloned());
        Err(failure)
    }

    fn differences(&self, now: &Plan, lock: &Lockfile) -> Vec<String> {
        let (old, new) = (&self.plan.asked, &now.asked);
        let mut found = Vec::new();
        compare(&old.modules, &new.modules, |path| format!("the source text of `{path}`"), &mut found);
        let value = |params: &BTreeMap<String, imgc_plan::node::Param>| -> BTreeMap<String, String> {
            params.iter().map(|(name, param)| (name.clone(), param.value.clone())).collect()
        };
        compare(&value(&old.params), &value(&new.params), |name| format!("the param `{name}`"), &mut found);
        files(&old.files, &new.files, &mut found);
        dirs(&old.dirs, &new.dirs, &mut found);
        self.locks(lock, &mut found);
        if found.is_empty() && unlocked(&self.plan) != unlocked(now) {
            found.push("the program gives another plan".to_owned());
        }
        found
    }

    fn locks(&self, lock: &Lockfile, found: &mut Vec<String>) {
        for node in &self.plan.nodes {
            let Work::Source(source) = &node.work else { continue };
            let Some(planned) = &source.locked else { continue };
            if planned.pins.is_empty() && planned.archives.is_empty() {
                // Its arguments say all about it: it has no entry.
                continue;
            }
            match lock.sources.get(&source.key.0.to_string()) {
                Some(now) if now == planned => {}
                Some(now) if now.epoch != planned.epoch => {
                    found.push(format!(
                        "the epoch of `{}` was {}, now it is {}",
                        planned.name, planned.epoch, now.epoch
                    ));
                }
                Some(_) => found.push(format!("the lock entry of `{}` changed", planned.name)),
                None => found.push(format!("the lock entry of `{}` is gone", planned.name)),
            }
        }
    }
}

/// The plan with nothing that only the engine fills in.
fn unlocked(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    for node in &mut plan.nodes {
        if let Work::Source(source) = &mut node.work {
            source.locked = None;
        }
    }
    // Whether a value was typed or read from the environment does not matter to what is built.
    plan.asked.params.values_mut().for_each(|param| param.origin.clear());
    plan
}

fn compare<K: Ord + Display, V: PartialEq>(
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
    name: impl Fn(&K) -> String,
    found: &mut Vec<String>,
) {
    for (key, value) in old {
        match new.get(key) {
            None => found.push(format!("{} is not asked for any more", name(key))),
            Some(now) if now != value => found.push(format!("{} changed", name(key))),
            Some(_) => {}
        }
    }
    found.extend(new.keys().filter(|key| !old.contains_key(key)).map(|key| format!("{} is new", name(key))));
}

fn files(old: &[FileRef], new: &[FileRef], found: &mut Vec<String>) {
    for was in old {
        match new.iter().find(|now| now.path == was.path) {
            None => found.push(format!("the file `{}` is not asked for any more", was.path)),
            Some(now) if now.digest != was.digest => found.push(format!("the content of `{}` changed", was.path)),
            Some(now) if now.mode != was.mode => {
                found.push(format!("the mode of `{}` changed from {:o} to {:o}", was.path, was.mode, now.mode));
            }
            Some(_) => {}
        }
    }
    let added = new.iter().filter(|now| !old.iter().any(|was| was.path == now.path));
    found.extend(added.map(|now| format!("the file `{}` is new", now.path)));
}

fn dirs(old: &[DirRef], new: &[DirRef], found: &mut Vec<String>) {
    for was in old {
        match new.iter().find(|now| now.path == was.path && now.ignore == was.ignore) {
            None => found.push(format!("the directory `{}` is not asked for any more", was.path)),
            Some(now) if now.digest != was.digest => entries(was, now, found),
            Some(_) => {}
        }
    }
    let added = new.iter().filter(|now| !old.iter().any(|was| was.path == now.path && was.ignore == now.ignore));
    found.extend(added.map(|now| format!("the directory `{}` is new", now.path)));
}

fn entries(was: &DirRef, now: &DirRef, found: &mut Vec<String>) {
    let by_path = |dir: &DirRef| -> BTreeMap<String, (imgc_plan::EntryKind, u32)> {
        dir.entries.iter().map(|entry| (entry.path.clone(), (entry.kind.clone(), entry.mode))).collect()
    };
    let (old, new) = (by_path(was), by_path(now));
    let at = |path: &String| format!("`{}/{path}`", was.path);
    for (path, (kind, mode)) in &old {
        match new.get(path) {
            None => found.push(format!("{} was removed", at(path))),
            Some((now, _)) if now != kind => found.push(format!("the content of {} changed", at(path))),
            Some((_, now)) if now != mode => {
                found.push(format!("the mode of {} changed from {mode:o} to {now:o}", at(path)));
            }
            Some(_) => {}
        }
    }
    found.extend(new.keys().filter(|path| !old.contains_key(*path)).map(|path| format!("{} was added", at(path))));
}
