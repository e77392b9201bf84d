//! Diagnostics of the syntax, `IMG0…`: one constructor a code. Unaware of the grammar; the parser says what it met.

use super::{Applicability, Diagnostic};
use crate::parse::NumberError;
use crate::span::Location;

/// A file over the limit.
#[track_caller]
pub(crate) fn file_too_large(at: Location, bytes: usize) -> Diagnostic {
    let message = format!("this file has {bytes} bytes, and the limit is 1 MiB");
    Diagnostic::error("IMG0001", at, message, "too large")
        .help("move parts into modules of their own and `import` them; data belongs into files read by `file()`")
}

/// Brackets in brackets, beyond the limit.
#[track_caller]
pub(crate) fn nested_too_deep(at: Location, limit: usize) -> Diagnostic {
    let message = format!("brackets are nested more than {limit} deep");
    Diagnostic::error("IMG0002", at, message, "this bracket is one too many")
        .help("close brackets that were left open, or give inner parts names with `let`")
}

/// An expression in expressions, beyond the limit.
#[track_caller]
pub(crate) fn too_deep(at: Location) -> Diagnostic {
    Diagnostic::error("IMG0003", at, "this expression has too many parts in one another", "too deep")
        .help("give parts of it names with `let`")
}

/// Something at the top that begins no item.
#[track_caller]
pub(crate) fn not_an_item(at: Location, message: &str, help: Option<&str>) -> Diagnostic {
    let diagnostic = Diagnostic::error("IMG0004", at, message, "no item begins like this");
    let help = help.unwrap_or("items are `param`, `let`, `image`, `recipe`, `output`, `import`, `fn`, `record`, `enum`, `secret` and `test`, each with a name after it");
    diagnostic.help(help)
}

/// A line in a body, block or list of members that nobody understands.
#[track_caller]
pub(crate) fn unexpected(at: Location, message: &str, label: &str, help: Option<&str>) -> Diagnostic {
    let mut diagnostic = Diagnostic::error("IMG0005", at, message, label);
    diagnostic.help = help.map(str::to_owned);
    diagnostic
}

/// Something is missing. `at` is the end of the token before it.
#[track_caller]
pub(crate) fn missing(at: Location, what: &str, after: &str, help: Option<&str>) -> Diagnostic {
    let mut diagnostic =
        Diagnostic::error("IMG0006", at, format!("expected {what} after {after}"), format!("expected {what}"));
    diagnostic.help = help.map(str::to_owned);
    diagnostic
}

/// A bracket that is never closed.
#[track_caller]
pub(crate) fn unclosed(at: Location, open: Location, open_text: &str, close_text: &str) -> Diagnostic {
    Diagnostic::error(
        "IMG0007",
        at,
        format!("expected `{close_text}` to close `{open_text}`"),
        format!("expected `{close_text}`"),
    )
    .label(open, "opened here")
}

/// A text without its closing quotes.
#[track_caller]
pub(crate) fn unterminated_text(at: Location, open: Location, quotes: &str) -> Diagnostic {
    let help = if quotes.len() == 1 {
        "a text in `\"` ends in its line; write `\"\"\"` around one of several lines"
    } else {
        "write `\"\"\"` on a line of its own after the text"
    };
    Diagnostic::error("IMG0008", at, format!("expected `{quotes}` to end this text"), format!("expected `{quotes}`"))
        .label(open, "the text begins here")
        .help(help)
}

/// Two elements with nothing between them.
#[track_caller]
pub(crate) fn missing_comma(at: Location) -> Diagnostic {
    Diagnostic::error("IMG0009", at, "expected `,` between these two", "expected `,`").fix(
        "insert a comma",
        Applicability::Safe,
        vec![(at, ",".to_owned())],
    )
}

/// One sign stands where another belongs: `:` for `=`, `=` for `:`.
#[track_caller]
pub(crate) fn wrong_sign(at: Location, message: &str, found: &str, wanted: &str) -> Diagnostic {
    Diagnostic::error("IMG0010", at, message, format!("`{found}` stands here")).fix(
        format!("write `{}`", wanted.trim()),
        Applicability::Safe,
        vec![(at, wanted.to_owned())],
    )
}

/// `Host { … }`; `until` is what stands before the bracket.
#[track_caller]
pub(crate) fn named_record(at: Location, name: &str, until: Location) -> Diagnostic {
    Diagnostic::error("IMG0010", at, "a record is written without the name of its type", "this name has no place here")
        .help(format!("its type comes from what is asked: `let x: {name} = {{ … }}`, a parameter, a field"))
        .fix("remove the name", Applicability::Maybe, vec![(until, String::new())])
}

/// `list(string)`; `meant` is how the whole type is written.
#[track_caller]
pub(crate) fn round_type(at: Location, whole: Location, meant: Option<String>) -> Diagnostic {
    let diagnostic =
        Diagnostic::error("IMG0010", at, "what a type is of stands in `<…>`", "round brackets belong to calls");
    match meant {
        Some(meant) => diagnostic.fix(format!("write `{meant}`"), Applicability::Maybe, vec![(whole, meant)]),
        None => diagnostic
            .help("write `List<String>`, `Map<String, Int>`; for several fields declare a `record` and write its name"),
    }
}

/// A backslash with something after it that is no escape.
#[track_caller]
pub(crate) fn unknown_escape(at: Location, text: &str) -> Diagnostic {
    let message = if text.starts_with("\\u") {
        "`\\u` is followed by one to six hexadecimal digits in curly brackets: `\\u{e9}`".to_owned()
    } else {
        format!("`{text}` is not an escape")
    };
    Diagnostic::error("IMG0011", at, message, "no escape")
        .help("escapes are `\\n`, `\\t`, `\\\"`, `\\\\`, `\\u{…}` and `\\{expression}`; in `\"\"\"` texts a backslash stays as it is")
        .fix("write a backslash as `\\\\`", Applicability::Maybe, vec![(at, format!("\\{text}"))])
}

/// A line of a block text with less indentation than the closing quotes.
#[track_caller]
pub(crate) fn shallow_line(at: Location, quotes: Location) -> Diagnostic {
    Diagnostic::error(
        "IMG0012",
        at,
        "this line of the text is indented less than the quotes that close it",
        "less indentation",
    )
    .label(quotes, "the indentation of these quotes is removed from every line")
    .help("indent the line at least as much, with the same blanks or tabs, or move the closing quotes to the left")
}

/// A number literal that is none.
#[track_caller]
pub(crate) fn bad_number(at: Location, text: &str, error: NumberError) -> Diagnostic {
    let replace = |with: &str| vec![(at, with.to_owned())];
    // Of `4 gb` the unit is told, and what to write has no blank.
    let text = &*text.replace([' ', '\t'], "");
    match error {
        NumberError::Apart(with) => {
            let message = "a unit stands directly behind its number";
            Diagnostic::error("IMG0017", at, message, "a blank stands between them").fix(
                format!("write `{with}`"),
                Applicability::Safe,
                replace(&with),
            )
        }
        NumberError::Ambiguous(candidates) => {
            let mut diagnostic =
                Diagnostic::error("IMG0013", at, format!("`{text}` can mean two things"), "say which unit is meant");
            for (with, says) in candidates {
                diagnostic = diagnostic.fix(format!("write `{with}`: {says}"), Applicability::Maybe, replace(&with));
            }
            diagnostic
        }
        NumberError::Fraction(whole) => {
            let diagnostic = Diagnostic::error("IMG0014", at, "there are no fractions", "a number with a fraction");
            match whole {
                Some(with) => diagnostic.fix(format!("write `{with}`"), Applicability::Safe, replace(&with)),
                None => diagnostic.help("use a whole number, or a text where it is only shown"),
            }
        }
        NumberError::TooLarge => {
            Diagnostic::error("IMG0015", at, format!("`{text}` is too large"), "more than 64 bits hold")
                .help("the largest number is 9223372036854775807, also of bytes and of milliseconds")
        }
        NumberError::LeadingZero(digits) => {
            let octal = format!("0o{digits}");
            Diagnostic::error("IMG0016", at, "a number does not begin with `0`", "decimal or octal?")
                .fix(format!("write `{octal}`: octal, as for file modes"), Applicability::Maybe, replace(&octal))
                .fix(format!("write `{digits}`: decimal"), Applicability::Maybe, replace(&digits))
        }
        NumberError::Unit { unit, known } => {
            let diagnostic = Diagnostic::error("IMG0017", at, format!("`{unit}` is not a unit"), "unknown unit")
                .help("sizes are in B, KiB, MiB, GiB, TiB, KB, MB, GB, TB; durations in ms, s, m, h, d");
            match known {
                Some(known) => {
                    let with = text.replace(&unit, known);
                    diagnostic.fix(format!("write `{with}`"), Applicability::Maybe, replace(&with))
                }
                None => diagnostic,
            }
        }
        NumberError::Order => Diagnostic::error(
            "IMG0018",
            at,
            "the units of a duration stand from large to small, each once",
            "out of order",
        )
        .help("write `1h30m`, `2m30s`, `1d12h`"),
        NumberError::Digits => Diagnostic::error("IMG0019", at, format!("`{text}` is not a number"), "not a number")
            .help("numbers are decimal (`420`) or octal (`0o644`)"),
    }
}

/// A size, duration or malformed number where a plain one must stand.
#[track_caller]
pub(crate) fn not_a_plain_number(at: Location, text: &str) -> Diagnostic {
    Diagnostic::error("IMG0020", at, format!("expected a whole number, found `{text}`"), "expected a whole number")
}

/// `a < b < c`
#[track_caller]
pub(crate) fn chained_comparison(at: Location, first: Location) -> Diagnostic {
    Diagnostic::error("IMG0021", at, "comparisons do not chain", "a second comparison")
        .label(first, "the first")
        .help("join them with `&&`, or write `x in a..=b`")
}

/// `a..b`
#[track_caller]
pub(crate) fn exclusive_range(at: Location) -> Diagnostic {
    Diagnostic::error("IMG0022", at, "a range is written with `..=` and includes its end", "not a range").fix(
        "write `..=`",
        Applicability::Maybe,
        vec![(at, "..=".to_owned())],
    )
}

/// `{ a = 1, ...b }`
#[track_caller]
pub(crate) fn late_spread(at: Location) -> Diagnostic {
    Diagnostic::error("IMG0023", at, "a spread stands before the other entries", "too late")
        .help("move it to the front: later entries win over it")
}

/// `{ a = 1, "b" => 2 }`
#[track_caller]
pub(crate) fn mixed_braces(at: Location, field: &str) -> Diagnostic {
    Diagnostic::error("IMG0024", at, "fields and map entries do not mix", "a field in a map")
        .help(format!("write `\"{field}\" => …` in a map, or give every entry a name and `=`"))
}

/// An `edition` that is not first.
#[track_caller]
pub(crate) fn late_edition(at: Location) -> Diagnostic {
    Diagnostic::error("IMG0025", at, "`edition` stands before all other items", "too late")
        .help("move it to the first line")
}

/// So many diagnostics that the rest is only counted.
#[track_caller]
pub(crate) fn more_errors(at: Location, count: usize) -> Diagnostic {
    Diagnostic::error("IMG0026", at, format!("{count} more errors in this file are not shown"), "the next is here")
}
