//! Changes of `imgc.lock` in words.

use imgc_engine::LockChange;
use imgc_plan::Locked;
use imgc_plan::lock::Pin;

use super::text::count;

/// An entry that was added.
pub(crate) fn added(change: &LockChange) -> String {
    format!("imgc.lock: added {} ({})", change.after.name, pins(&change.after))
}

/// An entry that `update` changed or added.
pub(crate) fn updated(change: &LockChange) -> String {
    let Some(before) = &change.before else { return added(change) };
    let differing: Vec<String> = change
        .after
        .pins
        .iter()
        .filter(|(name, pin)| before.pins.get(*name) != Some(pin))
        .map(|(name, pin)| difference(name, before.pins.get(name), pin))
        .collect();
    let what = if differing.is_empty() { "its archives".to_owned() } else { differing.join(", ") };
    format!("imgc.lock: changed {}: {what}", change.after.name)
}

fn difference(name: &str, before: Option<&Pin>, after: &Pin) -> String {
    match (before, after) {
        (Some(Pin::List(old)), Pin::List(new)) => {
            let changed = new.iter().filter(|item| !old.contains(item)).count();
            let gone = old.len().saturating_sub(new.len() - changed);
            format!("{name}: {changed} new, {gone} gone")
        }
        (_, Pin::Text(new)) => format!("{name}: {}", short(new)),
        (_, Pin::List(new)) => format!("{name}: {}", count(new.len(), "entry").replace("entrys", "entries")),
    }
}

fn pins(locked: &Locked) -> String {
    let said = locked.pins.iter().map(|(name, pin)| match pin {
        Pin::Text(text) => format!("{name} {}", short(text)),
        Pin::List(items) => format!("{} {name}", items.len()),
    });
    let said: Vec<String> = said.take(3).collect();
    if said.is_empty() { "nothing to pin".to_owned() } else { said.join(", ") }
}

/// Digests are cut: enough to compare by eye.
fn short(text: &str) -> String {
    let limit = 40;
    if text.chars().count() <= limit {
        text.to_owned()
    } else {
        format!("{}…", text.chars().take(limit).collect::<String>())
    }
}
