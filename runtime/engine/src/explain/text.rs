//! The text of causes: one place for all commands.

use std::fmt;

use super::{Cause, Change, FileChange, Pinned, TreeChange};

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("new"),
            Self::Renamed { from } => write!(f, "was renamed from `{from}`"),
            Self::Argument { argument, change } => write_argument(argument, change, f),
            Self::File { path, change, .. } => write!(f, "{path}{change}"),
            Self::Tree { changes, more, argument } => write_tree(argument, changes, *more, f),
            Self::Parent { address } => write!(f, "follows from `{address}`"),
            Self::Moved { from, to } => write!(f, "stands on `{to}` now, stood on `{from}`"),
            Self::Lock { name, changes, more } => write_lock(name, changes, *more, f),
            Self::Archives => f.write_str("the package archives of its image were locked anew"),
            Self::Epoch { .. } => f.write_str("the epoch of its source changed"),
            Self::Revision { kind, .. } => write!(f, "this imgc does `{kind}` in another way"),
            Self::Secret { secret, before, after } => {
                write!(f, "secret {secret}: version {} → {}", shown(before), shown(after))
            }
            Self::Property { property, before, after } => write_value(property, before.as_ref(), after.as_ref(), f),
            Self::Encoding => f.write_str("this imgc computes fingerprints in another way"),
            Self::Never => f.write_str("its cache policy is `never`"),
            Self::Expired => f.write_str("the time of its cache policy has passed"),
            Self::Anew { address } => write!(f, "`{address}` runs anew"),
            Self::Evicted => f.write_str("its layer is no longer in the store"),
            Self::NotKept => f.write_str("its layer was not kept, since building it again costs less"),
            Self::Rerun => f.write_str("asked for by --rerun"),
            Self::NoCache => f.write_str("asked for by --no-cache"),
        }
    }
}

fn write_argument(name: &str, change: &Change, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match change {
        Change::Script { line, lines: 1 } => write!(f, "{name}: line {line} differs"),
        Change::Script { line, lines } => write!(f, "{name}: {lines} lines differ from line {line} on"),
        Change::Value { before, after } => write_value(name, before.as_ref(), after.as_ref(), f),
        Change::List { added, removed } => {
            let added = added.iter().map(|item| format!("{} added", shown(item)));
            let removed = removed.iter().map(|item| format!("{} removed", shown(item)));
            let changes: Vec<String> = added.chain(removed).collect();
            match changes.as_slice() {
                [] => write!(f, "{name}: another order"),
                [a, b, c, rest @ ..] if !rest.is_empty() => write!(f, "{name}: {a}, {b}, {c}, and {} more", rest.len()),
                all => write!(f, "{name}: {}", all.join(", ")),
            }
        }
    }
}

fn write_value(name: &str, before: Option<&String>, after: Option<&String>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match (before, after) {
        (Some(old), Some(new)) => write!(f, "{name}: {} → {}", shown(old), shown(new)),
        (None, Some(new)) => write!(f, "{name}: {} is given now", shown(new)),
        (Some(_), None) => write!(f, "{name} is no longer given"),
        (None, None) => write!(f, "{name} changed"),
    }
}

fn write_tree(argument: &str, changes: &[TreeChange], more: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some(TreeChange { path, change }) = changes.first() else { return write!(f, "{argument} changed") };
    match changes.len() - 1 + more {
        0 => write!(f, "{path}{change}"),
        rest => write!(f, "{path}{change}, and {rest} more"),
    }
}

fn write_lock(name: &str, changes: &[Pinned], more: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some(Pinned { pin, before, after }) = changes.first() else {
        return write!(f, "{name} was locked anew in imgc.lock");
    };
    write!(f, "{name} was locked anew in imgc.lock: ")?;
    write_value(pin, before.as_ref(), after.as_ref(), f)?;
    match changes.len() - 1 + more {
        0 => Ok(()),
        rest => write!(f, ", and {rest} more"),
    }
}

/// What follows the name of the file.
impl fmt::Display for FileChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added => f.write_str(" added"),
            Self::Removed => f.write_str(" removed"),
            Self::Content { lines: Some(1) } => f.write_str(" changed (1 line)"),
            Self::Content { lines: Some(lines) } if *lines > 0 => write!(f, " changed ({lines} lines)"),
            Self::Content { .. } => f.write_str(" changed"),
            Self::Mode { before, after } => write!(f, ": mode {before} → {after}"),
            Self::Target { after } => write!(f, " points to {after} now"),
            Self::Kind { after } => write!(f, " is a {after} now"),
        }
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
