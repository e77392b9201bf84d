//! The differences between two specs, as causes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use imgc_plan::{Address, Digest, Node, Plan, Spec, Value};

use super::{Cause, Change, FileChange, Pinned, TreeChange};
use crate::lines::{Lines, changed_lines};

/// So many entries of a directory or a lock are told.
const TOLD: usize = 10;

/// A spec that was and one that is.
pub(crate) struct Sides<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) package: &'a Path,
    pub(crate) node: &'a Node,
    pub(crate) old: &'a Spec,
    pub(crate) new: &'a Spec,
    /// Of the files that were.
    pub(crate) lines: &'a Lines,
}

type Fields<'a> = BTreeMap<&'a str, &'a str>;

fn by_path(fields: &[(String, String)]) -> Fields<'_> {
    fields.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect()
}

impl Sides<'_> {
    /// One cause for each argument and each other field that differs, in walking order.
    pub(crate) fn causes(&self) -> Vec<Cause> {
        if self.old.version != self.new.version {
            return vec![Cause::Encoding];
        }
        let (before, after) = (by_path(&self.old.fields), by_path(&self.new.fields));
        let changed = self.new.fields.iter().filter(|(path, text)| before.get(path.as_str()) != Some(&text.as_str()));
        let removed = self.old.fields.iter().filter(|(path, _)| !after.contains_key(path.as_str()));
        let mut seen = BTreeSet::new();
        let mut causes = Vec::new();
        for (path, _) in changed.chain(removed) {
            let field = top(path);
            if seen.insert(field) {
                causes.push(self.cause(field, path, &before, &after));
            }
        }
        causes
    }

    fn cause(&self, field: &str, path: &str, before: &Fields<'_>, after: &Fields<'_>) -> Cause {
        let text = |fields: &Fields<'_>, path: &str| fields.get(path).map(|text| (*text).to_owned());
        let both = |path: &str| (text(before, path).unwrap_or_default(), text(after, path).unwrap_or_default());
        if let Some(cause) = secret(path, before, after) {
            return cause;
        }
        if let Some(name) = field.strip_prefix("args.") {
            return self.argument(field, name, path, before, after);
        }
        if let Some(position) = field.strip_prefix("parent.") {
            return self.parent(position);
        }
        let (old, new) = both(path);
        match field {
            "lock" => self.lock(),
            "epoch" => Cause::Epoch { before: old, after: new },
            "revision" => Cause::Revision { kind: self.node.kind.to_string(), before: old, after: new },
            "cache.key" => {
                let change = Change::Value { before: text(before, path), after: text(after, path) };
                Cause::Argument { argument: "cache".to_owned(), change }
            }
            _ if field.starts_with("archive.") => Cause::Archives,
            _ => {
                let (before, after) = (text(before, path), text(after, path));
                Cause::Property { property: path.to_owned(), before, after }
            }
        }
    }

    fn parent(&self, position: &str) -> Cause {
        let path = format!("parent.{position}");
        let note = |spec: &Spec| spec.notes.iter().find(|(at, _)| *at == path).map(|(_, name)| Address(name.clone()));
        let (from, to) = (note(self.old), note(self.new));
        match (from, to) {
            // A name that is no longer in the plan was renamed: the node it stands for is the same.
            (Some(from), Some(to)) if from != to && self.plan.nodes.iter().any(|node| node.address == from) => {
                Cause::Moved { from, to }
            }
            (_, Some(address)) => Cause::Parent { address },
            (Some(from), None) => Cause::Parent { address: from },
            (None, None) => Cause::Parent { address: self.node.address.clone() },
        }
    }

    fn argument(&self, field: &str, name: &str, path: &str, before: &Fields<'_>, after: &Fields<'_>) -> Cause {
        let argument = name.to_owned();
        let text = |fields: &Fields<'_>, path: &str| fields.get(path).map(|text| (*text).to_owned());
        let value = |path: &str| Cause::Argument {
            argument: path.strip_prefix("args.").unwrap_or(path).to_owned(),
            change: Change::Value { before: text(before, path), after: text(after, path) },
        };
        let given = self.node.args.get(name);
        if let Some(Value::File(file)) = given {
            let Some(old) = before.get(field) else { return value(path) };
            let change = if path == format!("{field}.mode") && before.get(field) == after.get(field) {
                FileChange::Mode { before: octal(before.get(path)), after: octal(after.get(path)) }
            } else {
                FileChange::Content { lines: self.lines_of(old, &file.path, file.digest) }
            };
            return Cause::File { argument, path: file.path.clone(), change };
        }
        if let Some(Value::Dir(dir)) = given {
            return self.tree(argument, field, dir.path.trim_end_matches('/'), before, after);
        }
        if let (Some(old), Some(new)) = (before.get(field), after.get(field))
            && before.contains_key(format!("{field}.shell").as_str())
        {
            return Cause::Argument { argument, change: script(old, new) };
        }
        if matches!(given, Some(Value::List(_))) {
            return Cause::Argument { argument, change: list(field, before, after) };
        }
        value(path)
    }

    fn tree(&self, argument: String, field: &str, root: &str, before: &Fields<'_>, after: &Fields<'_>) -> Cause {
        let prefix = format!("{field}/");
        let below = |fields: &Fields<'_>| -> BTreeMap<String, String> {
            let below =
                |(path, text): (&&str, &&str)| Some((path.strip_prefix(&prefix)?.to_owned(), (*text).to_owned()));
            fields.iter().filter_map(below).collect()
        };
        let (before, after) = (below(before), below(after));
        let mut changes: Vec<TreeChange> = Vec::new();
        for (path, new) in &after {
            let path_in_package = format!("{root}/{path}");
            let change = match before.get(path) {
                None => FileChange::Added,
                Some(old) if old != new => self.entry(old, new, &path_in_package),
                Some(_) => continue,
            };
            changes.push(TreeChange { path: path_in_package, change });
        }
        let gone = before.keys().filter(|path| !after.contains_key(*path));
        changes.extend(gone.map(|path| TreeChange { path: format!("{root}/{path}"), change: FileChange::Removed }));
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        let more = changes.len().saturating_sub(TOLD);
        changes.truncate(TOLD);
        Cause::Tree { argument, changes, more }
    }

    /// What happened to an entry of a directory, from the texts that the spec has for it.
    fn entry(&self, old: &str, new: &str, path: &str) -> FileChange {
        let (old, new): (Vec<&str>, Vec<&str>) = (old.split(' ').collect(), new.split(' ').collect());
        match (old.as_slice(), new.as_slice()) {
            (["file", a, old @ ..], ["file", b, new @ ..]) if old == new => mode(a, b),
            (["dir", a], ["dir", b]) => mode(a, b),
            (["symlink", ..], ["symlink", target @ ..]) => FileChange::Target { after: target.join(" ") },
            ([was, ..], [kind, ..]) if was != kind => FileChange::Kind { after: (*kind).to_owned() },
            (["file", _, _, old], ["file", _, _, new]) => {
                FileChange::Content { lines: new.parse().ok().and_then(|new| self.lines_of(old, path, new)) }
            }
            (_, _) => FileChange::Content { lines: None },
        }
    }

    fn lines_of(&self, old: &str, path: &str, new: Digest) -> Option<usize> {
        self.lines.changed(&old.parse().ok()?, &self.package.join(path), new)
    }

    fn lock(&self) -> Cause {
        let (before, after) = (by_path(&self.old.notes), by_path(&self.new.notes));
        let name = after.get("lock.name").or(before.get("lock.name")).copied().unwrap_or("the source").to_owned();
        let mut changes = Vec::new();
        let pins: BTreeSet<&str> = before
            .keys()
            .chain(after.keys())
            .filter(|path| path.starts_with("lock."))
            .map(|path| top_pin(path))
            .collect();
        for pin in pins.into_iter().filter(|pin| *pin != "lock.name") {
            let (old, new) = (pins_of(pin, &before), pins_of(pin, &after));
            let shown = pin.trim_start_matches("lock.").to_owned();
            let gone: Vec<&(String, String)> = old.iter().filter(|item| !new.contains(item)).collect();
            let mut fresh: Vec<&(String, String)> = new.iter().filter(|item| !old.contains(item)).collect();
            for (key, value) in gone {
                let after = fresh.iter().position(|(other, _)| other == key).map(|at| fresh.remove(at).1.clone());
                changes.push(Pinned { pin: named(&shown, key), before: Some(value.clone()), after });
            }
            changes.extend(fresh.into_iter().map(|(key, value)| Pinned {
                pin: named(&shown, key),
                before: None,
                after: Some(value.clone()),
            }));
        }
        let more = changes.len().saturating_sub(TOLD);
        changes.truncate(TOLD);
        Cause::Lock { name, changes, more }
    }
}

/// `args.src/index.html` and `args.packages[2]` belong to `args.src` and `args.packages`.
fn top(path: &str) -> &str {
    let Some(rest) = path.strip_prefix("args.") else { return path };
    let end = rest.find(['/', '[', '.']).unwrap_or(rest.len());
    path.get(..end + "args.".len()).unwrap_or(path)
}

fn top_pin(path: &str) -> &str {
    path.split('[').next().unwrap_or(path)
}

/// The items of a pin; a package `name=version=sha256` by its name.
fn pins_of(pin: &str, notes: &Fields<'_>) -> Vec<(String, String)> {
    let of_pin = notes.iter().filter(|(path, _)| top_pin(path) == pin);
    let item = |(_, text): (&&str, &&str)| match text.split_once('=') {
        Some((name, rest)) => (name.to_owned(), rest.split('=').next().unwrap_or(rest).to_owned()),
        None => (String::new(), (*text).to_owned()),
    };
    of_pin.map(item).collect()
}

fn named(pin: &str, key: &str) -> String {
    if key.is_empty() { pin.to_owned() } else { key.to_owned() }
}

/// A secret's name or version, wherever in an argument it stands.
fn secret(path: &str, before: &Fields<'_>, after: &Fields<'_>) -> Option<Cause> {
    let base = [".secret", ".version", ".versioned"].iter().find_map(|end| path.strip_suffix(end))?;
    let name = after.get(format!("{base}.secret").as_str()).or(before.get(format!("{base}.secret").as_str()))?;
    let version =
        |fields: &Fields<'_>| fields.get(format!("{base}.version").as_str()).copied().unwrap_or("").to_owned();
    Some(Cause::Secret { secret: (*name).to_owned(), before: version(before), after: version(after) })
}

fn script(old: &str, new: &str) -> Change {
    let (before, after): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let first = before.iter().zip(&after).position(|(a, b)| a != b).unwrap_or(before.len().min(after.len()));
    Change::Script { line: first + 1, lines: changed_lines(old, new).max(1) }
}

/// Which items a list gained or lost; only their order may differ.
fn list(field: &str, before: &Fields<'_>, after: &Fields<'_>) -> Change {
    let prefix = format!("{field}[");
    let items = |fields: &Fields<'_>| -> Vec<String> {
        fields.iter().filter(|(k, _)| k.starts_with(&prefix)).map(|(_, v)| (*v).to_owned()).collect()
    };
    let (before, after) = (items(before), items(after));
    let added = after.iter().filter(|item| !before.contains(item)).cloned().collect();
    let removed = before.iter().filter(|item| !after.contains(item)).cloned().collect();
    Change::List { added, removed }
}

fn mode(before: &str, after: &str) -> FileChange {
    FileChange::Mode { before: before.to_owned(), after: after.to_owned() }
}

fn octal(text: Option<&&str>) -> String {
    text.and_then(|text| text.parse::<u32>().ok()).map_or("?".to_owned(), |mode| format!("{mode:o}"))
}
