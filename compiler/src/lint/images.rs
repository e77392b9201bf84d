//! What images begin with and what their steps do: sources that move, reads that nothing locks, labels that repeat.

use std::collections::BTreeMap;

use crate::ast::{Arg, ArgValue, Expr, ExprKind, FieldInit, ItemKind, Statement, StatementKind, Template};
use crate::diagnostic::{Diagnostic, lints as say};
use crate::modules::{self, Module};
use crate::span::{Location, Span};

use super::walk::{self, Visit};
use super::{argument, literal, plain};

/// Sources that take the name of a container image.
const NAMED: [(&str, &str); 3] = [("rootfs", "oci"), ("docker", "image"), ("podman", "image")];
/// Modules whose sources may load from a URL.
const LOADING: [&str; 4] = ["rootfs", "qemu", "docker", "podman"];
/// Parameters that pin what a URL gives.
const PINS: [&str; 5] = ["digest", "sha256", "checksum", "checksums", "sums"];
/// Sources that have nothing to lock, so that nothing says when a step has to read the network again.
const UNLOCKED: [(&str, &str); 2] = [("rootfs", "scratch"), ("rootfs", "tar")];
/// Programs that are there to read from the network.
const READERS: [&str; 6] = ["curl", "wget", "apt-get", "dnf", "apk", "pip"];
/// Images that begin with images, at most.
const MAX_CHAIN: usize = 64;

/// Lints the images, recipes and tests of a module, and all sources in it.
pub(super) fn lint(module: &Module, found: &mut Vec<Diagnostic>) {
    for (item, number) in module.tree.items.iter().zip(0_u32..) {
        let place = modules::at(module.id, number, Span::default());
        walk::item(item, &mut Sources { place, found });
        let body = match &item.kind {
            ItemKind::Image { body, name, .. } => {
                if let Some(from) = unlocked(module, number) {
                    network(body, (&name.text, place, from), found);
                }
                body
            }
            ItemKind::Recipe { body, .. } | ItemKind::Test { body, .. } => body,
            _ => continue,
        };
        labels(body, &mut BTreeMap::new(), place, found);
    }
}

struct Sources<'f> {
    place: Location,
    found: &'f mut Vec<Diagnostic>,
}

/// `("rootfs", "oci")` of `rootfs.oci`.
fn path_of(callee: &Expr) -> Option<(&str, &str)> {
    match walk::names(callee)?.as_slice() {
        [module, name] => Some((&module.text, &name.text)),
        _ => None,
    }
}

impl<'a> Visit<'a> for Sources<'_> {
    fn call(&mut self, callee: &'a Expr, args: &'a [Arg]) {
        let Some(path) = path_of(callee) else { return };
        if NAMED.contains(&path) {
            let first = args.first().filter(|arg| arg.name.is_none()).and_then(|arg| match &arg.value {
                ArgValue::Expr(value) => Some(value),
                ArgValue::Lambda { .. } => None,
            });
            if let Some(image) = argument(args, &["image"]).or(first)
                && let Some(name) = literal(image)
                && moves(&name)
            {
                self.found.push(say::unpinned(self.place.with(image.span), &name));
            }
        } else if LOADING.contains(&path.0)
            && let Some(url) = argument(args, &["url"])
            && argument(args, &PINS).is_none()
        {
            self.found.push(say::unpinned_url(self.place.with(url.span)));
        }
    }
}

/// Whether the name of a container image has neither digest nor a tag that stays what it is.
fn moves(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    !name.contains("@sha256:") && last.split_once(':').is_none_or(|(_, tag)| tag == "latest" || tag.is_empty())
}

/// Where an image begins whose source has nothing to lock.
fn unlocked(module: &Module, mut number: u32) -> Option<Location> {
    for _ in 0..MAX_CHAIN {
        let ItemKind::Image { body, .. } = &module.tree.items.get(number as usize)?.kind else { return None };
        let from = body.iter().find_map(|statement| match &statement.kind {
            StatementKind::Field(field) if &*field.name.text == "from" => Some(&field.value),
            _ => None,
        })?;
        match &from.kind {
            ExprKind::Call { callee, .. } => {
                let is_unlocked = path_of(callee).is_some_and(|path| UNLOCKED.contains(&path));
                return is_unlocked.then(|| modules::at(module.id, number, from.span));
            }
            ExprKind::Name(name) => number = *module.items.get(&name.text)?,
            _ => return None,
        }
    }
    None
}

fn field<'a>(fields: &'a [FieldInit], name: &str) -> Option<&'a Expr> {
    fields.iter().find(|field| &*field.name.text == name).map(|field| &field.value)
}

fn network(body: &[Statement], image: (&str, Location, Location), found: &mut Vec<Diagnostic>) {
    for statement in body {
        match &statement.kind {
            StatementKind::Step { fields, .. } => {
                let (name, place, from) = image;
                let said = match field(fields, "network").map(|value| (&value.kind, value.span)) {
                    Some((ExprKind::Bool(true), span)) => Some(span),
                    Some(_) => None,
                    None => field(fields, "script").filter(|script| reads(script)).map(|script| script.span),
                };
                if let Some(span) = said {
                    found.push(say::unlocked_network(place.with(span), name, from));
                }
            }
            StatementKind::If { then, otherwise, .. } => {
                network(then, image, found);
                network(otherwise, image, found);
            }
            StatementKind::For { body, .. } => network(body, image, found),
            StatementKind::Match { arms, .. } => arms.iter().for_each(|arm| network(&arm.body, image, found)),
            _ => {}
        }
    }
}

/// Whether a script calls a program that is there to read from the network.
fn reads(script: &Expr) -> bool {
    let ExprKind::Text(template) = &script.kind else { return false };
    let text: Vec<&str> = template
        .parts
        .iter()
        .map(|part| match part {
            crate::ast::TemplatePart::Text { text, .. } => text.as_str(),
            crate::ast::TemplatePart::Hole { .. } => "",
        })
        .collect();
    let text = text.concat();
    let commands = text.split(['\n', ';', '|', '&', '(']).filter_map(|command| command.split_whitespace().next());
    commands.into_iter().any(|command| READERS.contains(&command.rsplit('/').next().unwrap_or(command)))
}

/// Labels that occur before, by step kind and text.
type Seen = BTreeMap<(String, String), Location>;

/// Labels that repeat in the blocks of one body; those of one block are an error, and of arms only one is taken.
fn labels(body: &[Statement], seen: &mut Seen, place: Location, found: &mut Vec<Diagnostic>) {
    let mut own = Seen::new();
    for statement in body {
        if let StatementKind::Step { kind, label: Some(label), .. } = &statement.kind
            && let Some(key) = key(kind, label)
        {
            let at = place.with(label.span);
            if let Some(first) = seen.get(&key) {
                found.push(say::equal_labels(at, &key.1, *first));
            }
            own.entry(key).or_insert(at);
        }
    }
    seen.append(&mut own);
    for statement in body {
        match &statement.kind {
            StatementKind::If { then, otherwise, .. } => branches(&[then, otherwise], seen, place, found),
            StatementKind::For { body, .. } => labels(body, seen, place, found),
            StatementKind::Match { arms, .. } => {
                branches(&arms.iter().map(|arm| &arm.body).collect::<Vec<_>>(), seen, place, found);
            }
            _ => {}
        }
    }
}

fn branches(all: &[&Vec<Statement>], seen: &mut Seen, place: Location, found: &mut Vec<Diagnostic>) {
    let before = seen.clone();
    for body in all {
        let mut of_branch = before.clone();
        labels(body, &mut of_branch, place, found);
        for (key, at) in of_branch {
            seen.entry(key).or_insert(at);
        }
    }
}

fn key(kind: &crate::ast::Path, label: &Template) -> Option<(String, String)> {
    let names: Vec<&str> = kind.names.iter().map(|name| &*name.text).collect();
    Some((names.join("."), plain(label)?))
}
