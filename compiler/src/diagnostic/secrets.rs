//! `IMG4xxx`: secrets. (`IMG4001` was given while secrets could not be used at all.)

use super::Diagnostic;
use crate::core::Origin;
use crate::span::Location;
use crate::types::Type;

/// Something that cannot be done with a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// In a script.
    Script,
    /// `==`, `<`, `+`, `in`.
    Operator,
    /// `.len`, `[0]`, a function of its content.
    Member,
    /// The value of an output.
    Output,
    /// The label of a step.
    Label,
    /// `if`, `match`, `for`.
    Condition,
    /// The key of a map or an image.
    Key,
}

#[track_caller]
pub(crate) fn bad_origin(at: Location) -> Diagnostic {
    Diagnostic::error(
        "IMG4002",
        at,
        "a secret comes from `env`, `file` or `command`",
        "not a place that secrets come from",
    )
    .help("write `from env(\"NAME\")`, `from file(\"…\")` or `from command([\"…\"])`")
}

#[track_caller]
pub(crate) fn origin_argument(at: Location, origin: Origin) -> Diagnostic {
    let (message, help) = match origin {
        Origin::Env => ("`env` takes the name of an environment variable", "write `from env(\"TOKEN\")`"),
        Origin::File => ("`file` takes the path of a file", "write `from file(\"/run/secrets/token\")`"),
        Origin::Command => {
            ("`command` takes a program and its arguments", "write `from command([\"pass\", \"show\", \"token\"])`")
        }
    };
    Diagnostic::error("IMG4003", at, message, "this is none").help(help)
}

#[track_caller]
pub(crate) fn no_text(at: Location, ty: &Type) -> Diagnostic {
    Diagnostic::error("IMG4004", at, format!("the value of a secret is a `String`, not a `{ty}`"), "cannot be secret")
        .help("write `: String`; what reads the secret makes of its text what it needs")
}

#[track_caller]
pub(crate) fn not_text(at: Location, expected: &Type, why: Option<(Location, &str)>) -> Diagnostic {
    let message = format!("a secret cannot become a `{expected}`");
    let mut diagnostic = Diagnostic::error("IMG4005", at, message, "holds a secret");
    if let Some((place, text)) = why {
        diagnostic = diagnostic.label(place, text);
    }
    diagnostic.help("give it where the type asks for a secret, such as `env = { TOKEN = token }` of `sh`")
}

#[track_caller]
pub(crate) fn no_secret(at: Location, found: &Type, why: Option<(Location, &str)>) -> Diagnostic {
    let message = format!("a `{found}` is no secret: anybody can read it in the plan");
    let mut diagnostic = Diagnostic::error("IMG4006", at, message, "a secret is asked for here");
    if let Some((place, text)) = why {
        diagnostic = diagnostic.label(place, text);
    }
    diagnostic.help("declare it: `secret token: String from env(\"TOKEN\")`")
}

#[track_caller]
pub(crate) fn misused(at: Location, used: Use) -> Diagnostic {
    let (code, message, here, help) = match used {
        Use::Script => (
            "IMG4007",
            "a secret cannot stand in a script: scripts are in plans and logs",
            "holds a secret",
            "hand it over in the environment: `env = { TOKEN = token }`, and write `\"$TOKEN\"` in the script",
        ),
        Use::Operator => (
            "IMG4008",
            "a secret cannot be compared or computed with",
            "is a secret",
            "nothing may depend on its value; take a `param` for what decides",
        ),
        Use::Member => (
            "IMG4009",
            "nothing can look into a secret",
            "is a secret",
            "it has neither length nor parts; pass it on as it is, or in a text: `\"user:\\{token}\"`",
        ),
        Use::Output => {
            ("IMG4010", "an output cannot be a secret", "holds a secret", "outputs are shown and kept; leave it out")
        }
        Use::Label => (
            "IMG4011",
            "a secret cannot stand in a label",
            "holds a secret",
            "labels are in addresses, plans and logs; take the secret's name",
        ),
        Use::Condition => (
            "IMG4012",
            "a secret cannot decide which steps there are",
            "is a secret",
            "its value is known to the step alone; take a `param` for what decides",
        ),
        Use::Key => {
            ("IMG4013", "a secret cannot be a key", "is a secret", "keys are in plans and logs; take the secret's name")
        }
    };
    Diagnostic::error(code, at, message, here).help(help)
}

#[track_caller]
pub(crate) fn given(at: Option<Location>, param: Location, name: &str, origin: &str) -> Diagnostic {
    let message = format!("the secret `{name}` cannot be given by {origin}");
    let diagnostic = match at {
        Some(at) => Diagnostic::error("IMG4014", at, message, "given here").label(param, "declared as a secret"),
        None => Diagnostic::error("IMG4014", param, message, "is declared here"),
    };
    diagnostic.help("arguments are shown and kept; declare `secret …: String from env(\"…\")` and pass it on")
}
