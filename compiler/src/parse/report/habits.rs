//! What people write who come from elsewhere, and what to write instead. Looks at nothing but the text that was not
//! understood and the kind of place it stands in.

#![expect(clippy::wildcard_enum_match_arm, reason = "a place holds a few of the many kinds of nodes")]

use crate::spelling::nearest;
use crate::syntax::Kind;

/// What is to be said about a text that nobody understands.
pub(super) struct Habit {
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// Title, and text for the first token.
    pub(super) fix: Option<(String, String)>,
}

const ITEMS: [&str; 11] =
    ["param", "secret", "let", "fn", "record", "enum", "recipe", "image", "test", "output", "import"];

/// A line at the top; `behind` another item that it does not belong to.
pub(super) fn item(text: &str, behind: bool) -> Habit {
    let first = first_token(text);
    if behind && first == ";" {
        return say("nothing ends with `;`".to_owned(), Some("remove it: a line end separates"));
    }
    if behind && first == "?" {
        return say("there is no `?` operator".to_owned(), Some("write `if condition then a else b`"));
    }
    if let (true, "and" | "or") = (behind, first) {
        let sign = if first == "and" { "&&" } else { "||" };
        let fix = Some((format!("write `{sign}`"), sign.to_owned()));
        return Habit { fix, ..say(format!("there is no operator `{first}`"), Some(&format!("write `{sign}`"))) };
    }
    if behind {
        return say(
            format!("unexpected `{first}` after the end of the item"),
            Some("begin the next item on a line of its own"),
        );
    }
    if let Some(habit) = elsewhere(text).or_else(|| shell_variable(text)) {
        return habit;
    }
    let rest = text.get(first.len()..).unwrap_or_default().trim_start();
    if ITEMS.contains(&first) || first == "extern" || first == "pub" || first == "edition" {
        let next = first_token(rest);
        if is_reserved(next) {
            return say(
                format!("`{next}` is a word of the language and cannot name anything"),
                Some("choose another name"),
            );
        }
        let quoted = rest.strip_prefix('"').and_then(|rest| rest.split('"').next()).filter(|name| is_word(name));
        let help = quoted.map(|name| format!("the name of an item has no quotes: `{first} {name} …`"));
        let message = format!("`{first}` begins an item, and a name stands after it on its line");
        return say(message, help.as_deref());
    }
    if first == "#" || text.starts_with("/*") {
        let what = if first == "#" { "`#` begins no comment" } else { "there are no block comments" };
        return say(what.to_owned(), Some("a comment is `// …` up to the end of its line, documentation `/// …`"));
    }
    match first {
        "if" | "for" | "match" | "use" => {
            return say(
                format!("`{first}` stands in the body of an image, recipe or test"),
                Some("several images from one item: `image name for x in xs { … }`"),
            );
        }
        "}" | ")" | "]" => {
            return say(
                format!("`{first}` closes nothing"),
                Some("remove it, or look for a bracket that was closed too early"),
            );
        }
        _ => {}
    }
    if rest.starts_with('=') && !rest.starts_with("==") && is_word(first) {
        let fix = Some((format!("write `let {first}`"), format!("let {first}")));
        return Habit { fix, ..say(format!("`{first}` is no item"), Some("a value gets a name with `let`")) };
    }
    if rest.starts_with('"') && is_word(first) || rest.starts_with('{') && is_word(first) {
        return say(
            format!("`{first}` is no item"),
            Some("steps stand in the body of an image, recipe or test: `image name { … }`"),
        );
    }
    if let Some(meant) = nearest(first, ITEMS) {
        let fix = Some((format!("write `{meant}`"), meant.to_owned()));
        return Habit { fix, ..say(format!("expected an item, found `{first}`; did you mean `{meant}`?"), None) };
    }
    say(format!("expected an item, found `{first}`"), None)
}

/// Whether something at the top is a statement, or closes what was closed before.
pub(super) fn is_stray(text: &str) -> bool {
    let first = first_token(text);
    let rest = text.get(first.len()..).unwrap_or_default().trim_start();
    let is_statement = matches!(first, "if" | "for" | "match" | "use" | "else" | "}" | ")" | "]");
    is_statement || (is_word(first) && elsewhere(text).is_none() && rest.starts_with(['"', '{', '=']))
}

/// A line or entry inside something.
pub(super) fn inner(parent: Kind, text: &str) -> Habit {
    let first = first_token(text);
    if let Some(habit) = elsewhere(text).or_else(|| shell_variable(text)) {
        return habit;
    }
    let rest = text.get(first.len()..).unwrap_or_default().trim_start();
    let found = format!("expected {}, found `{first}`", expected(parent));
    if let (Kind::Block, Some(help)) = (parent, statement(first, rest)) {
        return Habit { help: Some(help), ..say(found, None) };
    }
    match (parent, first) {
        (_, "'") => return say("a text stands in double quotes".to_owned(), Some("write `\"…\"`")),
        (_, "?") => return say("there is no `?` operator".to_owned(), Some("write `if condition then a else b`")),
        (_, ";") => return say("nothing ends with `;`".to_owned(), Some("remove it: a line end or a comma separates")),
        (Kind::Fields, "let" | "if" | "for" | "match" | "use") => {
            return say(
                format!("`{first}` cannot stand in a step"),
                Some("only fields `name = value` stand in a step; put it around the step"),
            );
        }
        (Kind::Fields, _) if rest.starts_with(['"', '{']) => {
            return say("a step cannot stand in a step".to_owned(), Some("close the step before it with `}`"));
        }
        (Kind::List, "for") => {
            return say(
                "the `for` of a list stands before its value".to_owned(),
                Some("write `[for x in xs: value]`, with `if condition` before the `:` where it chooses"),
            );
        }
        (Kind::Block, _) if is_call(text) => {
            let name = text.split('(').next().unwrap_or_default();
            let message = format!("`{name}` is called, and no statement is a call");
            // Step kinds have plain names, so only a name of a module is surely a recipe.
            if name.contains('.') {
                let fix = Some((format!("write `use {name}`"), format!("use {first}")));
                return Habit { fix, ..say(message, Some("a recipe is run by `use`")) };
            }
            let help = format!("a recipe is run by `use {name}(…)`; a step is `{name} \"label\" {{ … }}`");
            return say(message, Some(&help));
        }
        (_, word) if is_reserved(word) => {
            return say(format!("`{word}` is a word of the language and cannot stand here"), None);
        }
        _ => {}
    }
    let help = match parent {
        Kind::Block => {
            Some("write a step `kind \"label\" { … }`, `use recipe()`, `let`, `if`, `for`, `match` or `field = value`")
        }
        Kind::Fields => Some("write `name = value`"),
        Kind::Members | Kind::Params => Some("write `name: Type`"),
        Kind::BlockArms => Some("write `pattern => { … }`"),
        Kind::ExprArms => Some("write `pattern => value`, with commas between arms"),
        Kind::Brace => Some("write `field = value`, or `key => value` in a map"),
        _ => None,
    };
    say(found, help)
}

/// What may stand in a place, in users' words.
pub(super) fn expected(parent: Kind) -> &'static str {
    match parent {
        Kind::Block => "a step or another statement",
        Kind::Fields => "a field",
        Kind::Members => "a field with its type",
        Kind::Params => "a parameter",
        Kind::Variants => "a variant",
        Kind::BlockArms | Kind::ExprArms => "an arm",
        Kind::Call => "an argument",
        Kind::List => "a value",
        Kind::ImportNames => "a name",
        _ => "an entry",
    }
}

/// The first word, or else the first sign, of a text.
pub(super) fn first_token(text: &str) -> &str {
    let end = text.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    let end = if end == 0 { text.chars().next().map_or(0, char::len_utf8) } else { end };
    text.get(..end).unwrap_or_default()
}

fn say(message: String, help: Option<&str>) -> Habit {
    Habit { message, help: help.map(str::to_owned), fix: None }
}

/// A line of a body that is nearly a statement, or one of a Dockerfile: how it is written.
fn statement(first: &str, rest: &str) -> Option<String> {
    const OF_DOCKER: [&str; 10] =
        ["run", "copy", "add", "env", "cmd", "entrypoint", "expose", "user", "workdir", "volume"];
    if matches!(first, "from" | "machine") {
        return Some(format!("a field has its value behind `=`: `{first} = …`"));
    }
    if OF_DOCKER.contains(&first) && !rest.starts_with('(') {
        return elsewhere(&first.to_uppercase()).and_then(|habit| habit.help);
    }
    let label = first_token(rest);
    (is_word(first) && is_word(label)).then(|| format!("the label of a step is a text: `{first} \"{label}\" {{ … }}`"))
}

/// HCL's blocks and Dockerfile's instructions.
fn elsewhere(text: &str) -> Option<Habit> {
    let first = first_token(text);
    let rest = text.get(first.len()..).unwrap_or_default().trim_start();
    let block = rest.starts_with(['"', '{']);
    let help = match first {
        "variable" if block => "a variable is a param: `param name: String = \"default\"`",
        "locals" if block => "each local is an item: `let name = value`",
        "source" | "build" | "packer" | "provider" | "terraform" | "resource" | "data" | "module" if block => {
            "a build is an image with its source and steps: `image name { from = rootfs.debian(suite: \"bookworm\") … }`"
        }
        "provisioner" if block => "a provisioner is a step: `sh \"label\" { script = \"…\" }` in an image",
        "FROM" => "a base is the source of an image: `image name { from = rootfs.oci(\"debian:12\") … }`",
        "RUN" => "a command is a step: `sh \"label\" { script = \"…\" }` in an image",
        "COPY" | "ADD" => {
            "files are copied by a step: `copy \"label\" { src = dir(\"./x\"), dest = \"/x\" }` in an image"
        }
        "ENV" | "CMD" | "ENTRYPOINT" | "EXPOSE" | "LABEL" | "USER" | "WORKDIR" | "VOLUME" | "STOPSIGNAL" => {
            "how a container starts is said at its archive: `oci.archive(image, cmd: […], env: { … })`"
        }
        "HEALTHCHECK" | "ONBUILD" | "MAINTAINER" | "SHELL" => {
            "there is nothing of that kind here: remove it, or check what was built in a `test \"name\" of image { … }`"
        }
        "ARG" => "an argument is a param: `param name: String = \"default\"`",
        _ => return None,
    };
    let origin = if block { "Packer and Terraform" } else { "Dockerfiles" };
    Some(say(format!("`{first}` belongs to {origin}"), Some(help)))
}

/// `${x}` outside of a text.
fn shell_variable(text: &str) -> Option<Habit> {
    let name = text.strip_prefix("${")?.split('}').next().unwrap_or_default();
    let help = format!("write `{name}`, or `\\{{{name}}}` inside a text");
    Some(say("`${…}` is no expression".to_owned(), Some(&help)))
}

/// `name(` or `module.name(`.
fn is_call(text: &str) -> bool {
    let end = text.find(|c: char| c != '_' && c != '.' && !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    is_word(text) && !is_reserved(first_token(text)) && text.get(end..).is_some_and(|rest| rest.starts_with('('))
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
}

fn is_reserved(word: &str) -> bool {
    const WORDS: [&str; 12] =
        ["let", "if", "then", "else", "for", "in", "match", "use", "where", "none", "true", "false"];
    WORDS.contains(&word)
}

/// A type in the manner of HCL as it is written here: `list(string)` is `List<String>`. Nothing for what has no such form.
pub(super) fn angled(text: &str) -> Option<String> {
    let text = text.trim();
    let is_name = |text: &str| is_word(text) && text.chars().all(|c| c == '_' || c == '.' || c.is_ascii_alphanumeric());
    let Some((of, rest)) = text.split_once('(') else {
        return is_name(text).then(|| own_type(text).to_owned());
    };
    let of = of.trim_end();
    let inner = rest.strip_suffix(')')?;
    let mut args = Vec::new();
    for arg in split_outside(inner) {
        args.push(angled(arg)?);
    }
    match (of, args.as_slice()) {
        ("optional", [only]) => Some(format!("{only}?")),
        ("map", [only]) => Some(format!("Map<String, {only}>")),
        (of, [_, ..]) if is_name(of) => Some(format!("{}<{}>", own_type(of), args.join(", "))),
        _ => None,
    }
}

/// What stands between commas that are in no round brackets.
fn split_outside(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    let comma = |c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    };
    text.split(comma).collect()
}

/// The name of a type that HCL writes otherwise.
fn own_type(name: &str) -> &str {
    match name {
        "string" => "String",
        "number" => "Int",
        "bool" => "Bool",
        "list" | "tuple" => "List",
        "set" => "Set",
        "map" => "Map",
        other => other,
    }
}
