//! `IMG9xxx`: lints. Nothing is wrong by the rules of the language, but probably not as it was meant.

use super::names::suggest;
use super::{Applicability, Diagnostic, Tag};
use crate::evaluate::escaped;
use crate::span::Location;

/// How to keep a lint quiet.
fn allowing(diagnostic: Diagnostic, lint: &str) -> Diagnostic {
    diagnostic.note(format!("`@allow({lint}) reason \"…\"` before the item keeps this quiet"))
}

#[track_caller]
pub(crate) fn unused(at: Location, what: &str, name: &str, item: Option<Location>) -> Diagnostic {
    let diagnostic = Diagnostic::warning("IMG9001", at, format!("{what} `{name}` is never used"), "never used")
        .tag(Tag::Unnecessary);
    let diagnostic = match item {
        Some(item) => diagnostic.fix("remove it", Applicability::Maybe, vec![(item, String::new())]),
        None if what == "import" => diagnostic.help("remove it from the list"),
        None => diagnostic.help(format!("remove it, or call it `_{name}` where it has to be there")),
    };
    allowing(diagnostic, "unused")
}

#[track_caller]
pub(crate) fn unpinned(at: Location, image: &str) -> Diagnostic {
    let message = format!("`{}` names whatever is newest", escaped(image));
    let diagnostic = Diagnostic::warning("IMG9002", at, message, "moves with each `imgc update`")
        .help("name a version: `name:12`, or a digest: `name@sha256:…`");
    allowing(diagnostic, "unpinned")
}

#[track_caller]
pub(crate) fn unpinned_url(at: Location) -> Diagnostic {
    let diagnostic =
        Diagnostic::warning("IMG9002", at, "what this URL gives is not pinned by a digest", "no digest is given")
            .help("give the digest that its publisher names, so that a changed file is refused");
    allowing(diagnostic, "unpinned")
}

#[track_caller]
pub(crate) fn unlocked_network(at: Location, image: &str, from: Location) -> Diagnostic {
    let message = format!("a step of `{image}` reads from the network, and nothing locks what it reads");
    let diagnostic = Diagnostic::warning("IMG9003", at, message, "reads from the network")
        .label(from, "this source has no archives in `imgc.lock`, so `imgc update` does not run the step again")
        .help("begin with a source whose archives are locked, such as `rootfs.debian(…)`, or check a digest in the script");
    allowing(diagnostic, "unlocked_network")
}

#[track_caller]
pub(crate) fn piped_download(at: Location) -> Diagnostic {
    let diagnostic =
        Diagnostic::warning("IMG9004", at, "a download is run without a look at its digest", "run as it comes")
            .help("write it to a file, check that with `sha256sum -c`, then run it");
    allowing(diagnostic, "piped_download")
}

#[track_caller]
pub(crate) fn secret_literal(at: Location, why: &str) -> Diagnostic {
    let diagnostic =
        Diagnostic::warning("IMG9005", at, format!("this text looks like a secret: {why}"), "in the program").help(
            "declare it: `secret name: String from env(\"NAME\")`; it then stays out of program, plan, log and layers",
        );
    allowing(diagnostic, "secret_literal")
}

#[track_caller]
pub(crate) fn equal_labels(at: Location, label: &str, first: Location) -> Diagnostic {
    let message = format!("two steps of one body have the label `{}`", escaped(label));
    let diagnostic = Diagnostic::warning("IMG9006", at, message, "used again here")
        .label(first, "first used here")
        .help("labels name steps in plans and logs: give this one another");
    allowing(diagnostic, "equal_labels")
}

#[track_caller]
pub(crate) fn shell_hole(at: Location, written: &str, name: &str) -> Diagnostic {
    let message =
        format!("`${{{written}}}` is read by the shell, and knows nothing of the `{name}` that is in scope here");
    let with = format!("\\{{{name}}}");
    let diagnostic = Diagnostic::warning("IMG9007", at, message, "a variable of the shell").fix(
        format!("write `{with}`"),
        Applicability::Maybe,
        vec![(at, with)],
    );
    allowing(diagnostic, "shell_hole")
}

#[track_caller]
pub(crate) fn secret_in_shell_hole(at: Location, written: &str, name: &str) -> Diagnostic {
    let message = format!("`${{{written}}}` is read by the shell, and knows nothing of the secret `{name}`");
    let variable = name.to_uppercase();
    let diagnostic = Diagnostic::warning("IMG9007", at, message, "a variable of the shell").help(format!(
        "give it to the step as `env = {{ {variable} = {name} }}`, and let the script read `\"${variable}\"`; a text that is no \
         script takes `\\{{{name}}}`"
    ));
    allowing(diagnostic, "shell_hole")
}

#[track_caller]
pub(crate) fn hcl_hole(at: Location, written: &str) -> Diagnostic {
    let message = format!("`${{{written}}}` is of HCL, and stands in this text as it is");
    let diagnostic = Diagnostic::warning("IMG9007", at, message, "no value of this program")
        .help("a value is put in by `\\{…}`: of a `param` or `let` by its name, of a `for` by its variables");
    allowing(diagnostic, "shell_hole")
}

#[track_caller]
pub(crate) fn deprecated(at: Location, name: &str, advice: &str, instead: Option<&str>) -> Diagnostic {
    let message = if advice.is_empty() {
        format!("`{name}` is deprecated")
    } else {
        format!("`{name}` is deprecated: {}", escaped(advice))
    };
    let diagnostic = Diagnostic::warning("IMG9008", at, message, "should not be used any more").tag(Tag::Deprecated);
    let diagnostic = match instead {
        Some(instead) => {
            diagnostic.fix(format!("write `{instead}`"), Applicability::Maybe, vec![(at, instead.to_owned())])
        }
        None => diagnostic,
    };
    allowing(diagnostic, "deprecated")
}

#[track_caller]
pub(crate) fn unknown_attribute(at: Location, name: &str, near: Option<&str>) -> Diagnostic {
    let diagnostic = Diagnostic::warning("IMG9009", at, format!("unknown attribute `@{name}`"), "has no effect");
    match near {
        Some(_) => suggest(diagnostic, at, near),
        None => diagnostic.help("attributes are `@deprecated(\"use x\")` and `@allow(lint) reason \"…\"`"),
    }
}

#[track_caller]
pub(crate) fn unknown_lint(at: Location, name: &str, near: Option<&str>, known: &[&str]) -> Diagnostic {
    let diagnostic = Diagnostic::warning("IMG9009", at, format!("there is no lint `{name}`"), "has no effect");
    match near {
        Some(_) => suggest(diagnostic, at, near),
        None => diagnostic.help(format!("lints are {}", known.join(", "))),
    }
}

#[track_caller]
pub(crate) fn malformed_attribute(at: Location, name: &str) -> Diagnostic {
    let (message, help) = if name == "allow" {
        ("`@allow` says which lint is kept quiet, and why", "write `@allow(unused) reason \"kept for later\"`")
    } else {
        ("`@deprecated` says what to use instead", "write `@deprecated(\"use other_name\")`")
    };
    Diagnostic::warning("IMG9009", at, message, "not all is said").help(help)
}
