//! Why a node has to run: the first cause, found by comparing the spec it had with the spec it has.
//!
//! It knows the fields that [`imgc_plan::spec`] writes down, and nothing of what any kind does with them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use imgc_plan::{Address, NodeId, Plan, Record, Spec, Value};

use crate::remember::Remembered;

/// The first cause of a miss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Nothing was ever built under this address.
    New,
    /// Nothing was built under this address, but the same thing was under another one, with other parents.
    Renamed {
        /// The address it had.
        from: Address,
    },
    /// A field differs from the last time.
    Field {
        /// `args.script`, `platform`, `parent.0`.
        field: String,
        /// What happened to it: ``site/index.html changed``.
        text: String,
    },
    /// The fields are equal, the result is no longer in the store.
    Evicted,
    /// `--rerun` asks for it.
    Rerun,
    /// `--no-cache` asks for it.
    NoCache,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("new"),
            Self::Renamed { from } => write!(f, "was renamed from `{from}`"),
            Self::Field { text, .. } => f.write_str(text),
            Self::Evicted => f.write_str("its layer is no longer in the store"),
            Self::Rerun => f.write_str("asked for by --rerun"),
            Self::NoCache => f.write_str("asked for by --no-cache"),
        }
    }
}

/// The cause for a node whose fingerprint is not in the index, given what was kept under its address.
pub(crate) fn cause(plan: &Plan, id: NodeId, new: &Spec, old: Option<&Remembered>, all: &Renames<'_>) -> Cause {
    match old {
        Some(old) => match old.spec().and_then(|old| difference(plan, id, &old, new)) {
            Some((field, text)) => Cause::Field { field, text },
            None => Cause::Evicted,
        },
        None => match all.from(new) {
            Some(from) => Cause::Renamed { from: from.clone() },
            None => Cause::New,
        },
    }
}

/// Finds the address at which a spec with the same arguments stood before.
pub(crate) struct Renames<'a> {
    by_fields: HashMap<Vec<(String, String)>, &'a Address>,
}

impl<'a> Renames<'a> {
    /// Of all that is remembered, what stands at no address of the plan.
    pub(crate) fn new(plan: &Plan, remembered: &'a HashMap<Address, Remembered>) -> Self {
        let used: std::collections::HashSet<&Address> = plan.nodes.iter().map(|node| &node.address).collect();
        let mut gone: Vec<_> = remembered.iter().filter(|(address, _)| !used.contains(address)).collect();
        gone.sort_by_key(|(address, _)| *address);
        let own_fields = |(address, old): (&'a Address, &Remembered)| Some((own(&old.spec()?), address));
        let by_fields = gone.into_iter().rev().filter_map(own_fields).collect();
        Self { by_fields }
    }

    fn from(&self, new: &Spec) -> Option<&'a Address> {
        self.by_fields.get(&own(new)).copied()
    }
}

/// The fields that are the node's own: what its parents left does not count.
fn own(spec: &Spec) -> Vec<(String, String)> {
    spec.fields.iter().filter(|(path, _)| !path.starts_with("parent.")).cloned().collect()
}

/// The first field that differs, and what happened to it.
fn difference(plan: &Plan, id: NodeId, old: &Spec, new: &Spec) -> Option<(String, String)> {
    if old.version != new.version {
        return Some(("version".to_owned(), "this imgc computes fingerprints in another way".to_owned()));
    }
    let (before, after) = (by_path(old), by_path(new));
    let changed = new.fields.iter().find(|(path, text)| before.get(path.as_str()) != Some(&text.as_str()));
    let removed = || old.fields.iter().find(|(path, _)| !after.contains_key(path.as_str()));
    let (path, _) = changed.or_else(removed)?;
    let field = top(path).to_owned();
    let diff = Diff { plan, id, before: &before, after: &after };
    let text = diff.text(&field, path);
    Some((field, text))
}

fn by_path(spec: &Spec) -> BTreeMap<&str, &str> {
    spec.fields.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect()
}

/// `args.src/index.html` and `args.packages[2]` belong to `args.src` and `args.packages`.
fn top(path: &str) -> &str {
    let Some(rest) = path.strip_prefix("args.") else { return path };
    let end = rest.find(['/', '[', '.']).unwrap_or(rest.len());
    path.get(..end + "args.".len()).unwrap_or(path)
}

struct Diff<'a> {
    plan: &'a Plan,
    id: NodeId,
    before: &'a BTreeMap<&'a str, &'a str>,
    after: &'a BTreeMap<&'a str, &'a str>,
}

impl Diff<'_> {
    fn text(&self, field: &str, path: &str) -> String {
        if let Some(name) = field.strip_prefix("args.") {
            return self.argument(field, name, path);
        }
        let node = self.plan.node(self.id);
        if let Some(position) = field.strip_prefix("parent.") {
            let parents = self.plan.inputs(self.id);
            let parent = position.parse::<usize>().ok().and_then(|n| parents.get(n));
            return match parent {
                Some(parent) => format!("follows from `{}`", self.plan.node(*parent).address),
                None => "follows from what it stands on".to_owned(),
            };
        }
        match field {
            "lock" => "its source was locked anew in imgc.lock".to_owned(),
            "epoch" => "the epoch of its source changed".to_owned(),
            "revision" => format!("this imgc does `{}` in another way", node.kind),
            _ if field.starts_with("archive.") => "the package archives of its image were locked anew".to_owned(),
            _ => self.value(field, field),
        }
    }

    fn argument(&self, field: &str, name: &str, path: &str) -> String {
        let args: &Record = &self.plan.node(self.id).args;
        match args.get(name) {
            Some(Value::Script { .. }) if path == field => self.script(field, name),
            Some(Value::File(file)) => match path.strip_suffix(".mode") {
                Some(_) => format!("{}: mode {}", file.path, self.octal(path)),
                None => format!("{} changed", file.path),
            },
            Some(Value::Dir(dir)) => self.tree(field, &dir.path),
            Some(Value::List(_)) => self.list(field, name),
            Some(_) => self.value(path, path.strip_prefix("args.").unwrap_or(path)),
            None => format!("{name} is no longer given"),
        }
    }

    fn script(&self, field: &str, name: &str) -> String {
        let (Some(old), Some(new)) = (self.before.get(field), self.after.get(field)) else {
            return format!("{name} changed");
        };
        let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
        let first = old.iter().zip(&new).position(|(a, b)| a != b).unwrap_or(old.len().min(new.len()));
        format!("{name}: line {} differs", first + 1)
    }

    /// The first entry of a directory that differs, and how many more do.
    fn tree(&self, field: &str, root: &str) -> String {
        let prefix = format!("{field}/");
        let below = |map: &BTreeMap<&str, &str>| -> BTreeMap<String, String> {
            map.iter().filter_map(|(k, v)| Some((k.strip_prefix(&prefix)?.to_owned(), (*v).to_owned()))).collect()
        };
        let (before, after) = (below(self.before), below(self.after));
        let mut changes: Vec<(&String, String)> = Vec::new();
        for (path, new) in &after {
            match before.get(path) {
                None => changes.push((path, "added".to_owned())),
                Some(old) if old != new => changes.push((path, entry_change(old, new))),
                Some(_) => {}
            }
        }
        changes.extend(before.keys().filter(|path| !after.contains_key(*path)).map(|p| (p, "removed".to_owned())));
        changes.sort();
        let root = root.trim_end_matches('/');
        match changes.as_slice() {
            [] => format!("{root} changed"),
            [(path, what)] => format!("{root}/{path} {what}"),
            [(path, what), rest @ ..] => format!("{root}/{path} {what}, and {} more", rest.len()),
        }
    }

    /// Which items a list gained or lost; only their order may differ.
    fn list(&self, field: &str, name: &str) -> String {
        let prefix = format!("{field}[");
        let items = |map: &BTreeMap<&str, &str>| -> Vec<String> {
            map.iter().filter(|(k, _)| k.starts_with(&prefix)).map(|(_, v)| (*v).to_owned()).collect()
        };
        let (before, after) = (items(self.before), items(self.after));
        let added = after.iter().filter(|item| !before.contains(item)).map(|item| format!("{} added", shown(item)));
        let removed = before.iter().filter(|item| !after.contains(item)).map(|item| format!("{} removed", shown(item)));
        let changes: Vec<String> = added.chain(removed).collect();
        match changes.as_slice() {
            [] => format!("{name}: another order"),
            [a, b, c, rest @ ..] if !rest.is_empty() => format!("{name}: {a}, {b}, {c}, and {} more", rest.len()),
            all => format!("{name}: {}", all.join(", ")),
        }
    }

    fn value(&self, path: &str, name: &str) -> String {
        match (self.before.get(path), self.after.get(path)) {
            (Some(old), Some(new)) => format!("{name}: {} → {}", shown(old), shown(new)),
            (None, Some(new)) => format!("{name}: {} is given now", shown(new)),
            (Some(_), None) => format!("{name} is no longer given"),
            (None, None) => format!("{name} changed"),
        }
    }

    fn octal(&self, path: &str) -> String {
        let mode = |map: &BTreeMap<&str, &str>| {
            map.get(path).and_then(|text| text.parse::<u32>().ok()).map_or("?".to_owned(), |mode| format!("{mode:o}"))
        };
        format!("{} → {}", mode(self.before), mode(self.after))
    }
}

/// What happened to an entry of a directory, from the texts that the spec has for it.
fn entry_change(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.split(' ').collect(), new.split(' ').collect());
    match (old.as_slice(), new.as_slice()) {
        (["file", a, old @ ..], ["file", b, new @ ..]) if old == new => format!("mode {a} → {b}"),
        (["dir", a], ["dir", b]) => format!("mode {a} → {b}"),
        (["symlink", ..], ["symlink", target @ ..]) => format!("points to {} now", target.join(" ")),
        ([was, ..], [kind, ..]) if was != kind => format!("is a {kind} now"),
        (_, _) => "changed".to_owned(),
    }
}

/// A value for people: one line, not too long.
fn shown(text: &str) -> String {
    const LIMIT: usize = 40;
    let line = text.lines().next().unwrap_or_default();
    let short: String = line.chars().take(LIMIT).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("`{short}{more}`")
}
