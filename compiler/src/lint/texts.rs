//! What texts and scripts say: downloads that are run, literals that look like secrets, `${x}` for a name in scope.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::ast::{Expr, ExprKind, Item, ItemKind, Name, Template, TemplatePart};
use crate::diagnostic::{Diagnostic, lints as say};
use crate::modules::{self, Module, Modules};
use crate::span::{Location, Span};
use crate::syntax::slice;

use super::walk::{self, Visit};

/// Programs that load something, and what runs it when it comes through a pipe.
const LOADERS: [&str; 2] = ["curl", "wget"];
const RUNNERS: [&str; 9] = ["sh", "bash", "dash", "zsh", "ksh", "python", "python3", "perl", "node"];
/// A script that names one of these looks at what it loads.
const CHECKERS: [&str; 8] = ["sha256sum", "sha512sum", "shasum", "b2sum", "b3sum", "gpg", "minisign", "cosign"];

/// Lints the texts of an item.
pub(super) fn lint(module: &Module, modules: &Modules, number: u32, found: &mut Vec<Diagnostic>) {
    let (Some(item), Some(source)) =
        (module.tree.items.get(number as usize), modules.sources.modules().get(module.id.0 as usize))
    else {
        return;
    };
    let start = module.tree.starts.get(number as usize).map_or(0, |start| *start as usize);
    let place = modules::at(module.id, number, Span::default());
    let names = module.items.keys().cloned().collect();
    let secret = |item: &Arc<Item>| match &item.kind {
        ItemKind::Secret { name, .. } => Some(name.text.clone()),
        _ => None,
    };
    let secrets = module.tree.items.iter().filter_map(secret).collect();
    let mut texts = Texts {
        source: slice(&source.text, start..source.text.len()),
        place,
        names,
        secrets,
        scopes: Vec::new(),
        found,
    };
    walk::item(item, &mut texts);
}

struct Texts<'s, 'f> {
    /// From the first byte of the item.
    source: &'s str,
    place: Location,
    /// Of the module's items.
    names: BTreeSet<Arc<str>>,
    /// Those of them that are secrets.
    secrets: BTreeSet<Arc<str>>,
    scopes: Vec<Vec<Arc<str>>>,
    found: &'f mut Vec<Diagnostic>,
}

impl<'a> Visit<'a> for Texts<'_, '_> {
    fn bind(&mut self, name: &'a Name, _what: &'static str) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.push(name.text.clone());
        }
    }

    fn open(&mut self) {
        self.scopes.push(Vec::new());
    }

    fn close(&mut self) {
        self.scopes.pop();
    }

    fn text(&mut self, text: &'a Template) {
        let written = self.written(text.span);
        if !CHECKERS.iter().any(|checker| words(written).any(|(_, word)| word == *checker))
            && let Some((start, end)) = piped(written)
        {
            let at = self.part(text.span, start, end);
            self.found.push(say::piped_download(at));
        }
        if let Some(why) = looks_secret(written) {
            self.found.push(say::secret_literal(self.place.with(text.span), why));
        }
        for part in &text.parts {
            if let TemplatePart::Text { span, .. } = part {
                self.shell_holes(text.span, *span);
            }
        }
    }

    fn named(&mut self, name: &'a Name, value: &'a Expr) {
        let ExprKind::Text(text) = &value.kind else { return };
        let written = self.written(text.span);
        if is_secret_name(&name.text)
            && !text.parts.is_empty()
            && text.parts.iter().all(|part| matches!(part, TemplatePart::Text { .. }))
            && looks_secret(written).is_none()
        {
            self.found.push(say::secret_literal(self.place.with(text.span), &format!("it is called `{}`", name.text)));
        }
    }
}

impl<'s> Texts<'s, '_> {
    fn written(&self, span: Span) -> &'s str {
        slice(self.source, span.start as usize..span.end as usize)
    }

    /// A part of a span, by offsets from its begin.
    fn part(&self, of: Span, start: usize, end: usize) -> Location {
        let offset = |at: usize| of.start + u32::try_from(at).unwrap_or(0);
        self.place.with(Span { start: offset(start), end: offset(end) })
    }

    /// `whole` is the text that the part at `span` belongs to.
    fn shell_holes(&mut self, whole: Span, span: Span) {
        let written = self.written(span);
        let mut from = 0;
        while let Some(found) = written.get(from..).and_then(|rest| rest.find("${")) {
            let start = from + found;
            let Some(length) = written.get(start..).and_then(|rest| rest.find('}')) else { return };
            let hole = slice(written, start + 2..start + length);
            let at = self.part(span, start, start + length + 1);
            from = start + length + 1;
            if let Some((name, value)) = self.in_scope(hole) {
                if self.secrets.contains(name) {
                    self.found.push(say::secret_in_shell_hole(at, hole, name));
                } else if value.len() > name.len() || !is_of_the_shell(self.written(whole), name) {
                    self.found.push(say::shell_hole(at, hole, value));
                }
            } else if is_of_hcl(hole) {
                self.found.push(say::hcl_hole(at, hole));
            }
        }
    }

    /// The name in scope that a hole begins with, and all that is meant of it; none for what a shell may mean.
    fn in_scope<'h>(&self, hole: &'h str) -> Option<(&'h str, &'h str)> {
        // As HCL has them.
        let value = hole.strip_prefix("var.").or_else(|| hole.strip_prefix("local.")).unwrap_or(hole);
        let end = value.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(value.len());
        let (name, rest) = value.split_at_checked(end)?;
        let known = self.names.contains(name) || self.scopes.iter().flatten().any(|local| **local == *name);
        // A shell has no members, and `${x[@]}` is a list of its own.
        let is_value = rest.is_empty() || rest.starts_with('.') || rest.starts_with('[') && !rest.starts_with("[@");
        (known && is_value).then_some((name, value))
    }
}

/// Whether a script itself gives this name a value.
fn is_of_the_shell(script: &str, name: &str) -> bool {
    let is_whole = |at: usize| {
        let before = script.get(..at).and_then(|before| before.chars().next_back());
        !before.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '{' | '-'))
    };
    let gives = |after: &str, at: usize| {
        after.starts_with('=')
            || script.get(..at).is_some_and(|before| before.ends_with("for ") || before.ends_with("read "))
    };
    script
        .match_indices(name)
        .any(|(at, _)| is_whole(at) && gives(script.get(at + name.len()..).unwrap_or_default(), at))
}

/// Whether only HCL has such a hole: no shell has members.
fn is_of_hcl(hole: &str) -> bool {
    const ROOTS: [&str; 9] =
        ["var.", "local.", "each.key", "each.value", "count.index", "path.root", "path.module", "path.cwd", "self."];
    ROOTS.iter().any(|root| hole.starts_with(root))
}

/// Words of letters, digits, `_`, `-` and `.`, with their offsets.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    text.split(move |c: char| !is_word(c))
        .map(|word| (word.as_ptr().addr() - text.as_ptr().addr(), word))
        .filter(|(_, word)| !word.is_empty())
}

/// From a loader to what runs its output, in one pipe.
fn piped(text: &str) -> Option<(usize, usize)> {
    for (start, word) in words(text) {
        if !LOADERS.contains(&word) {
            continue;
        }
        let rest = text.get(start..)?;
        // A pipe ends with its line, unless the line goes on, or with `;` or `&`.
        let mut end = rest.len();
        for (at, c) in rest.char_indices() {
            let goes_on = rest.get(..at).is_some_and(|before| before.trim_end().ends_with(['\\', '|']));
            if (c == '\n' && !goes_on) || c == ';' || (c == '&' && rest.get(at..).is_some_and(|r| r.starts_with("&&")))
            {
                end = at;
                break;
            }
        }
        let pipe = rest.get(..end)?;
        for (bar, _) in pipe.match_indices('|') {
            let command = pipe.get(bar + 1..)?.trim_start_matches([' ', '\t', '\\', '\n']);
            let mut parts = command.split_whitespace().skip_while(|word| matches!(*word, "sudo" | "env" | "-E" | "-H"));
            let Some(runner) = parts.next() else { continue };
            let runner = runner.trim_end_matches(['"', ')', '`', ';']);
            let name = runner.rsplit('/').next().unwrap_or(runner);
            if RUNNERS.contains(&name) {
                let offset = runner.as_ptr().addr() - text.as_ptr().addr();
                return Some((start, offset + runner.len()));
            }
        }
    }
    None
}

/// Texts of the forms that well-known keys and tokens have.
fn looks_secret(text: &str) -> Option<&'static str> {
    if text.contains("-----BEGIN") && text.contains("PRIVATE KEY-----") {
        return Some("it holds a private key");
    }
    let is_token = |word: &str, prefix: &str, least: usize| {
        word.strip_prefix(prefix)
            .is_some_and(|rest| rest.len() >= least && rest.bytes().any(|byte| byte.is_ascii_digit()))
    };
    for (_, word) in words(text) {
        let is_key = word.len() == 20 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        if is_key && (word.starts_with("AKIA") || word.starts_with("ASIA")) {
            return Some("it is like an access key of AWS");
        }
        let tokens = [
            ("ghp_", 30),
            ("gho_", 30),
            ("ghs_", 30),
            ("github_pat_", 30),
            ("glpat-", 20),
            ("xoxb-", 20),
            ("xoxp-", 20),
        ];
        if tokens.iter().any(|(prefix, least)| is_token(word, prefix, *least)) {
            return Some("it is like a token");
        }
    }
    None
}

/// `password`, `db_password`, `API_KEY`; not `password_file`.
fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let endings =
        ["password", "passwd", "passphrase", "secret", "token", "api_key", "apikey", "private_key", "secret_key"];
    endings.iter().any(|ending| name == *ending || name.strip_suffix(ending).is_some_and(|rest| rest.ends_with('_')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_into_shells_are_found() {
        let found = |text: &str| piped(text).map(|(start, end)| text[start..end].to_owned());
        assert_eq!(
            found("set -e\ncurl -sSf https://x/y.sh | sh -s -- -y\n").as_deref(),
            Some("curl -sSf https://x/y.sh | sh")
        );
        assert_eq!(
            found("wget -qO- https://x | sudo -E /bin/bash").as_deref(),
            Some("wget -qO- https://x | sudo -E /bin/bash")
        );
        assert_eq!(found("curl https://x \\\n  | bash").as_deref(), Some("curl https://x \\\n  | bash"));
        assert_eq!(found("curl https://x | tar -x; sh ./install"), None);
        assert_eq!(found("curl -o f https://x && sh f"), None);
        assert_eq!(found("curl https://x | tee sh.log"), None);
    }

    #[test]
    fn names_of_secrets_are_told_from_names_about_them() {
        assert!(is_secret_name("DB_PASSWORD") && is_secret_name("token") && is_secret_name("api_key"));
        assert!(!is_secret_name("password_file") && !is_secret_name("tokens") && !is_secret_name("key"));
    }
}
