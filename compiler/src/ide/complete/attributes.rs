//! Attributes of items, and the lints that one of them names.

use crate::{lint, pages};

use super::super::CompletionKind;
use super::super::describe::Described;
use super::collect::{Collector, Rank};

/// What is asked in an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attribute {
    /// Its name, behind the `@`.
    Name,
    /// A lint, in the brackets of `@allow`.
    Lint,
}

/// What is asked at the start of a word whose line begins with `@`.
pub(super) fn at(text: &str, word: usize) -> Option<Attribute> {
    let line = text.get(..word)?.rsplit('\n').next()?.trim_start();
    let inside = line.strip_prefix('@')?;
    if inside.is_empty() {
        return Some(Attribute::Name);
    }
    let list = inside.strip_prefix("allow")?.trim_start().strip_prefix('(')?;
    (!list.contains(')')).then_some(Attribute::Lint)
}

/// What may stand there.
pub(super) fn complete(all: &mut Collector<'_, '_>, asked: Option<Attribute>) {
    match asked {
        Some(Attribute::Name) => names(all),
        Some(Attribute::Lint) => lints(all),
        None => {}
    }
}

fn names(all: &mut Collector<'_, '_>) {
    let known = [
        (
            "allow",
            "allow(${1:lint}) reason \"${2:why}\"",
            "allow() reason \"\"",
            "Keeps lints quiet in the item, for a reason.",
        ),
        (
            "deprecated",
            "deprecated(\"${1:use …}\")",
            "deprecated",
            "Whoever uses the item is told what to use instead.",
        ),
    ];
    for (name, snippet, text, docs) in known {
        let told = Described { code: String::new(), docs: docs.to_owned() };
        all.add(name, CompletionKind::Keyword, Rank::Asked, told, text, Some(snippet.to_owned()));
    }
}

fn lints(all: &mut Collector<'_, '_>) {
    for (name, code) in lint::names() {
        let title = pages::page(code).and_then(|page| page.text.lines().next());
        let title = title.map(|line| line.trim_start_matches('#').trim()).unwrap_or_default();
        all.plain(name, CompletionKind::Keyword, Rank::Asked, title);
    }
}
