//! What is no name: units, platforms, texts, paths and imports.

use std::ops::Range;

use crate::modules::Module;
use crate::paths;
use crate::span::Span;
use crate::types::{Pattern, SYSTEMS, Type};
use crate::world::{Found, World};

use super::super::describe::{self, Described};
use super::super::view::{View, item_at};
use super::super::walk::{Target, TextSpot};
use super::super::{Completion, CompletionKind};
use super::collect::{Collector, Rank, relative};

const SIZES: [(&str, &str); 9] = [
    ("B", "Bytes."),
    ("KiB", "1024 bytes."),
    ("MiB", "1024 KiB."),
    ("GiB", "1024 MiB."),
    ("TiB", "1024 GiB."),
    ("KB", "1000 bytes."),
    ("MB", "1000 KB."),
    ("GB", "1000 MB."),
    ("TB", "1000 GB."),
];
const TIMES: [(&str, &str); 5] =
    [("ms", "Milliseconds."), ("s", "Seconds."), ("m", "Minutes."), ("h", "Hours."), ("d", "Days.")];

/// Distributions that people name in patterns, and architectures.
const DISTROS: [&str; 6] = ["debian", "ubuntu", "redhat", "suse", "alpine", "arch"];
const ARCHES: [&str; 2] = ["amd64", "arm64"];

/// A number with each unit that fits.
pub(super) fn units(all: &mut Collector<'_, '_>, want: Option<&Type>) {
    let written = all.text().get(all.replace.clone()).unwrap_or_default();
    let digits = written.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let holds = |is: &dyn Fn(&Type) -> bool| want.is_none_or(|want| within(want, is));
    let (size, time) = (holds(&|ty| matches!(ty, Type::Size)), holds(&|ty| matches!(ty, Type::Duration)));
    let order = ["GiB", "MiB", "KiB", "TiB"];
    for (unit, docs) in SIZES.into_iter().filter(|_| size) {
        let rank = if order.contains(&unit) { Rank::Asked } else { Rank::Near };
        all.plain(&format!("{digits}{unit}"), CompletionKind::Unit, rank, docs);
    }
    for (unit, docs) in TIMES.into_iter().filter(|_| time) {
        all.plain(&format!("{digits}{unit}"), CompletionKind::Unit, Rank::Fits, docs);
    }
}

fn within(ty: &Type, is: &dyn Fn(&Type) -> bool) -> bool {
    match ty {
        Type::Optional(inner) => within(inner, is),
        Type::Union(members) => members.iter().any(|member| within(member, is)),
        other => is(other),
    }
}

/// Platforms that fit a pattern; also patterns, where they may stand.
pub(super) fn platforms(all: &mut Collector<'_, '_>, pattern: &Pattern, are_patterns: bool) {
    let start = platform_start(all.text(), all.replace.end);
    let written = Range { start, end: all.replace.end };
    let before = std::mem::replace(&mut all.replace, written);
    let mut add = |text: &str, of: &Pattern, rank: Rank| {
        if pattern.holds(of) || are_patterns && pattern.and(of).is_some() {
            let kind = CompletionKind::Platform;
            all.add(text, kind, rank, Described::default(), text, None);
        }
    };
    let part = |text: &str| (text != "*").then(|| text.into());
    let arches: Vec<&str> = if are_patterns { ["*"].into_iter().chain(ARCHES).collect() } else { ARCHES.to_vec() };
    for os in SYSTEMS {
        for arch in &arches {
            let of = Pattern { os: part(os), distro: None, arch: part(arch) };
            add(&of.to_string(), &of, Rank::Asked);
        }
    }
    for distro in DISTROS {
        for arch in &arches {
            let of = Pattern { os: part("linux"), distro: Some(distro.into()), arch: part(arch) };
            add(&of.to_string(), &of, Rank::Fits);
        }
    }
    if are_patterns {
        add("*/*", &Pattern::ANY, Rank::Near);
    }
    all.replace = before;
}

/// Where a platform begins that has been typed up to an offset.
fn platform_start(text: &str, end: usize) -> usize {
    let before = text.get(..end).unwrap_or_default();
    let is_part = |c: char| c == '_' || c.is_ascii_alphanumeric() || "/()*".contains(c);
    let start = before.trim_end_matches(is_part).len();
    let typed = before.get(start..).unwrap_or_default();
    let systems = SYSTEMS.into_iter().chain(["*"]);
    let begins = systems.filter_map(|os| typed.rfind(os)).filter(|at| {
        let rest = typed.get(*at..).unwrap_or_default();
        rest.contains('/') || rest.contains('(')
    });
    let word = before.trim_end_matches(|c: char| c == '_' || c.is_ascii_alphanumeric()).len();
    begins.min().map_or(word, |at| start + at)
}

/// Texts that a type lists, with their quotes.
pub(super) fn quoted(all: &mut Collector<'_, '_>, want: Option<&Type>) {
    let Some(want) = want else { return };
    for text in want.literals() {
        let text = format!("\"{}\"", crate::evaluate::escaped(text));
        all.plain(&text, CompletionKind::Text, Rank::Asked, "");
    }
    if within(want, &|ty| matches!(ty, Type::String | Type::Checked(_))) {
        let told = Described { code: want.to_string(), docs: String::new() };
        all.add("\"…\"", CompletionKind::Text, Rank::Near, told, "\"\"", Some("\"$0\"".to_owned()));
    }
    if within(want, &|ty| matches!(ty, Type::Script(_))) {
        let told = Described { code: want.to_string(), docs: String::new() };
        let snippet = "\"\"\"\n  $0\n  \"\"\"".to_owned();
        all.add("\"\"\"…\"\"\"", CompletionKind::Text, Rank::Fits, told, "\"\"", Some(snippet));
    }
}

/// Whether an offset is behind the opening quotes of a literal.
pub(super) fn is_inside(text: &str, module: &Module, view: &View<'_>, span: Span, offset: usize) -> bool {
    let start = item_at(module, offset).map_or(0, |(id, _)| view.range(id, span).start);
    start < offset && text.get(start..).is_some_and(|rest| rest.starts_with('"'))
}

/// What can stand in a text.
pub(super) fn complete(all: &mut Collector<'_, '_>, world: &dyn World, spot: &TextSpot, offset: usize) {
    let text = all.text();
    let before = text.get(..offset).unwrap_or_default();
    let start = before.rfind(['"', '\n']).map_or(0, |at| at + 1);
    let rest = text.get(offset..).unwrap_or_default();
    let end = offset + rest.find(['"', '\n', ')']).unwrap_or(0);
    let typed = text.get(start..offset).unwrap_or_default();
    match spot {
        TextSpot::Of(Some(want)) => {
            all.replace = start..end;
            for text in want.literals() {
                all.plain(text, CompletionKind::Text, Rank::Asked, "");
            }
        }
        TextSpot::Of(None) => {}
        TextSpot::Import => {
            all.replace = start..end;
            modules(all);
            paths_below(all, world, typed, start, end, &|name, found| {
                found == Found::Dir || name.strip_suffix(".imgc").is_some()
            });
        }
        TextSpot::File => paths_below(all, world, typed, start, end, &|_, _| true),
        TextSpot::Dir => paths_below(all, world, typed, start, end, &|_, found| found == Found::Dir),
    }
}

/// What stands in the folder that has been typed.
fn paths_below(
    all: &mut Collector<'_, '_>,
    world: &dyn World,
    typed: &str,
    start: usize,
    end: usize,
    is_wanted: &dyn Fn(&str, Found) -> bool,
) {
    let (folder, _) = typed.rsplit_once('/').unwrap_or((".", typed));
    let Ok(path) = paths::resolve(&all.module.path, if folder.is_empty() { "." } else { folder }) else { return };
    all.replace = start..end;
    let own = all.module.path.clone();
    for (name, found) in world.list(&path) {
        let below = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
        if !is_wanted(&name, found) || below == *own {
            continue;
        }
        let written = if typed.contains('/') { format!("{folder}/{name}") } else { format!("./{name}") };
        let (label, kind, rank) = match found {
            Found::Dir => (format!("{written}/"), CompletionKind::Folder, Rank::Fits),
            Found::File | Found::Other | Found::Missing => (written, CompletionKind::File, Rank::Asked),
        };
        all.add(&label, kind, rank, Described::default(), label.trim_end_matches('/'), None);
    }
}

/// Modules of the package that the analysis knows.
fn modules(all: &mut Collector<'_, '_>) {
    let view = all.view;
    for module in view.modules.all.iter().filter(|module| !module.is_std && module.id != all.module.id) {
        let path = relative(&all.module.path, &module.path);
        let told = describe::target(view, &Target::Module(module.id), None).unwrap_or_default();
        all.add(&path, CompletionKind::File, Rank::Asked, told, &path, None);
    }
}

/// What can be imported.
pub(super) fn imports(all: &mut Collector<'_, '_>) {
    std_modules(all, "std.");
    let view = all.view;
    for module in view.modules.all.iter().filter(|module| !module.is_std && module.id != all.module.id) {
        let path = format!("\"{}\"", relative(&all.module.path, &module.path));
        let told = describe::target(view, &Target::Module(module.id), None).unwrap_or_default();
        all.add(&path, CompletionKind::File, Rank::Asked, told, &path, None);
    }
}

/// Modules of the standard library; those that need no import come last.
pub(super) fn std_modules(all: &mut Collector<'_, '_>, prefix: &str) {
    let view = all.view;
    for (name, id) in &view.modules.std {
        if *name == crate::stdlib::PRELUDE {
            continue;
        }
        let rank = if crate::stdlib::is_by_import(name) { Rank::Asked } else { Rank::Near };
        let told = describe::target(view, &Target::Module(*id), None).unwrap_or_default();
        let label = format!("{prefix}{name}");
        let added: Option<&mut Completion> = all.add(&label, CompletionKind::Module, rank, told, &label, None);
        if let Some(added) = added {
            added.detail = format!("import std.{name}");
        }
    }
}
