//! Values in shell scripts: where in a POSIX shell script a hole stands, and how a value is written there so that it
//! arrives byte for byte. Unaware of types and of our own syntax: it sees texts and holes.
//!
//! Where the quoting state cannot be followed for certain, the hole is refused; nothing is guessed.

mod powershell;
mod scan;

pub use scan::contexts;

/// A part of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// Script text. A script that is put into another is text too: its holes are filled already.
    Text(&'a str),
    /// A place for a value.
    Hole,
}

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// Outside of quotes.
    Bare {
        /// Whether nothing else belongs to its word: only there a list can stand.
        alone: bool,
    },
    /// Inside `"…"`.
    Double {
        /// Whether `$name` stands directly before it, which must not swallow it.
        after_name: bool,
    },
    /// Inside `'…'`.
    Single,
    /// Outside of quotes in PowerShell.
    PowerBare {
        /// Whether nothing else belongs to its word.
        alone: bool,
    },
    /// Inside `"…"` in PowerShell.
    PowerDouble {
        /// Whether `$name` stands directly before it.
        after_name: bool,
    },
    /// Inside `'…'` in PowerShell.
    PowerSingle,
}

impl Context {
    /// Whether a list can stand there.
    pub fn takes_words(self) -> bool {
        matches!(self, Self::Bare { alone: true } | Self::PowerBare { alone: true })
    }
}

/// Whether values can be put into scripts of this shell.
pub fn knows(shell: &str) -> bool {
    matches!(shell, "sh" | "powershell")
}

/// Where every hole of a script of this shell stands, in order.
pub fn contexts_in(shell: &str, parts: &[Part<'_>]) -> Vec<Result<Context, Refusal>> {
    if shell == "powershell" { powershell::contexts(parts) } else { contexts(parts) }
}

/// Why no value can stand there. The way out of all of them is a variable in `env`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// In the text of `<<EOF`.
    HereDocument,
    /// In `$((…))`.
    Arithmetic,
    /// In backquotes.
    Backquotes,
    /// In `${…}`.
    Expansion,
    /// In an argument of `eval` or `trap`, which read it as a script once more.
    Eval,
    /// In the script of `sh -c` or the like.
    ShellCommand,
    /// Behind `#`.
    Comment,
    /// Directly behind a backslash that would quote it.
    Backslash,
    /// Directly behind a backtick, which in PowerShell would quote it.
    Backtick,
    /// In a text of several lines of PowerShell.
    HereString,
    /// In what PowerShell reads as a script once more, or gives to a program that does.
    ReadAgain,
    /// Before more of its word, which PowerShell would take for another argument.
    Glued,
    /// Directly behind a `$`.
    Dollar,
    /// Behind something after which the state of quotes is not certain; says what.
    Unclear(&'static str),
}

/// A value holds a byte 0, which no shell word can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a value with a NUL byte cannot stand in a script")]
pub struct NulByte;

impl Refusal {
    /// Where the hole stands, to follow "a value cannot stand": "in a here-document".
    pub fn place(self) -> String {
        match self {
            Self::HereDocument => "in a here-document".to_owned(),
            Self::Arithmetic => "in `$((…))`".to_owned(),
            Self::Backquotes => "in backquotes".to_owned(),
            Self::Expansion => "in `${…}`".to_owned(),
            Self::Eval => "in an argument of `eval` or `trap`: it is read as a script once more".to_owned(),
            Self::ShellCommand => "in the script of a shell's `-c`: it is read as a script once more".to_owned(),
            Self::Comment => "in a comment".to_owned(),
            Self::Backslash => "directly after a backslash".to_owned(),
            Self::Backtick => "directly after a backtick".to_owned(),
            Self::HereString => "in a here-string".to_owned(),
            Self::ReadAgain => {
                "in what is read as a script once more, by `Invoke-Expression`, `-Command`, `cmd` or the like"
                    .to_owned()
            }
            Self::Glued => "at the beginning of a longer word: put double quotes around the whole word".to_owned(),
            Self::Dollar => "directly after `$`".to_owned(),
            Self::Unclear(what) => format!("after {what}: imgc cannot follow the quotes from there on"),
        }
    }
}

/// A value as it is written in its context: the shell reads back exactly its bytes.
///
/// # Errors
/// It holds a byte 0.
pub fn escape(context: Context, value: &str) -> Result<String, NulByte> {
    let mut escaped = String::with_capacity(value.len() + 2);
    add_escaped(context, value, &mut escaped)?;
    Ok(escaped)
}

/// The same behind a text that is there already.
pub(crate) fn add_escaped(context: Context, value: &str, to: &mut String) -> Result<(), NulByte> {
    if value.contains('\0') {
        return Err(NulByte);
    }
    match context {
        Context::Bare { .. } => {
            to.push('\'');
            add_single(value, to);
            to.push('\'');
        }
        Context::Single => add_single(value, to),
        Context::PowerBare { .. } => to.extend(["'", &powershell::single(value), "'"]),
        Context::PowerSingle => to.push_str(&powershell::single(value)),
        Context::PowerDouble { after_name } => {
            // An empty `$()` ends the name of a variable.
            to.extend([if after_name { "$()" } else { "" }, &powershell::double(value)]);
        }
        Context::Double { after_name } => {
            // Closing and opening the quotes ends the name of a variable.
            to.push_str(if after_name { "\"\"" } else { "" });
            for c in value.chars() {
                if matches!(c, '$' | '`' | '"' | '\\') {
                    to.push('\\');
                }
                to.push(c);
            }
        }
    }
    Ok(())
}

/// A value between single quotes, which end and begin again around each quote in it.
fn add_single(value: &str, to: &mut String) {
    for (n, part) in value.split('\'').enumerate() {
        to.push_str(if n > 0 { "'\\''" } else { "" });
        to.push_str(part);
    }
}

/// Values as words, for a hole that stands bare and alone. No value gives no word.
///
/// # Errors
/// One holds a byte 0.
pub fn words<'v>(values: impl IntoIterator<Item = &'v str>) -> Result<String, NulByte> {
    let words: Result<Vec<_>, _> =
        values.into_iter().map(|value| escape(Context::Bare { alone: true }, value)).collect();
    Ok(words?.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contexts of a script in which `@` stands for a hole.
    fn of(script: &str) -> Vec<Result<Context, Refusal>> {
        let mut parts = Vec::new();
        for (position, text) in script.split('@').enumerate() {
            if position > 0 {
                parts.push(Part::Hole);
            }
            parts.push(Part::Text(text));
        }
        contexts(&parts)
    }

    fn one(script: &str) -> Result<Context, Refusal> {
        let all = of(script);
        assert_eq!(all.len(), 1, "{script}");
        all[0]
    }

    const ALONE: Result<Context, Refusal> = Ok(Context::Bare { alone: true });
    const GLUED: Result<Context, Refusal> = Ok(Context::Bare { alone: false });
    const DOUBLE: Result<Context, Refusal> = Ok(Context::Double { after_name: false });
    const SINGLE: Result<Context, Refusal> = Ok(Context::Single);

    #[test]
    fn quotes() {
        assert_eq!(one("echo @"), ALONE);
        assert_eq!(one("@"), ALONE);
        assert_eq!(one("x=@"), GLUED);
        assert_eq!(one("a >@;"), ALONE);
        assert_eq!(one("@#x"), GLUED);
        assert_eq!(one("echo \"a @ b\""), DOUBLE);
        assert_eq!(one("echo 'a @ b'"), SINGLE);
        assert_eq!(one("echo \"'@'\""), DOUBLE);
        assert_eq!(one("echo '\"@\"'"), SINGLE);
        assert_eq!(one("echo \\\" @"), ALONE);
        assert_eq!(one("echo \"\\\"@\""), DOUBLE);
        assert_eq!(one("echo '\\' @"), ALONE);
        assert_eq!(one("echo $HOME@"), GLUED);
        assert_eq!(one("echo \"$HOME@\""), Ok(Context::Double { after_name: true }));
        assert_eq!(one("echo \"${HOME}@\""), DOUBLE);
        assert_eq!(of("a @ \"@\" '@' @"), [ALONE, DOUBLE, SINGLE, ALONE]);
    }

    #[test]
    fn substitutions_nest_a_fresh_state() {
        assert_eq!(of("echo \"$(cat \"@\" '@' @)@\""), [DOUBLE, SINGLE, ALONE, DOUBLE]);
        assert_eq!(of("echo \"$( (a; b) ; c @)\" @"), [ALONE, ALONE]);
        assert_eq!(of("echo ${x:-\"a\"} ${#x} $# @"), [ALONE]);
        assert_eq!(of("echo $((1 + (2))) @"), [ALONE]);
        assert_eq!(of("case $x in a) b @;; esac; echo \"@\""), [ALONE, DOUBLE]);
    }

    #[test]
    fn refusals() {
        assert_eq!(one("cat <<EOF\nx @\nEOF\n"), Err(Refusal::HereDocument));
        assert_eq!(of("cat <<'EOF'\n\"\nEOF\necho @"), [ALONE]);
        assert_eq!(of("cat <<-EOF >@\n\t'\n\tEOF\necho '@'"), [ALONE, SINGLE]);
        assert_eq!(one("echo $((1 + @))"), Err(Refusal::Arithmetic));
        assert_eq!(of("echo `a '@` @"), [Err(Refusal::Backquotes), ALONE]);
        assert_eq!(one("echo ${x:-@}"), Err(Refusal::Expansion));
        assert_eq!(one("eval echo @"), Err(Refusal::Eval));
        assert_eq!(one("eval \"$(echo @)\""), Err(Refusal::Eval));
        assert_eq!(of("sh -c 'echo @' _ @; echo @"), [Err(Refusal::ShellCommand), ALONE, ALONE]);
        assert_eq!(one("sudo /bin/bash 2>&1 -euc \"x @\""), Err(Refusal::ShellCommand));
        assert_eq!(one("find . -exec sh -c \"@\" \\;"), Err(Refusal::ShellCommand));
        assert_eq!(one("su bob --command=@"), Err(Refusal::ShellCommand));
        assert_eq!(of("echo # it's @\necho @"), [Err(Refusal::Comment), ALONE]);
        assert_eq!(one("echo \\@"), Err(Refusal::Backslash));
        assert_eq!(one("echo \"$@\"").map(|_| ()), Err(Refusal::Dollar));
        assert_eq!(one("x=\"$(case a in a) echo \"@\";; esac)\""), Err(Refusal::Unclear("`case` in `$(…)`")));
        assert!(matches!(one("echo $'\\'' @"), Err(Refusal::Unclear(_))));
        assert!(matches!(one("cat <<@\n"), Err(Refusal::Unclear(_))));
    }

    #[test]
    fn escapes() {
        assert_eq!(escape(Context::Bare { alone: true }, ""), Ok("''".to_owned()));
        assert_eq!(escape(Context::Bare { alone: true }, "it's"), Ok("'it'\\''s'".to_owned()));
        assert_eq!(escape(Context::Double { after_name: true }, "$(x)"), Ok("\"\"\\$(x)".to_owned()));
        assert_eq!(escape(Context::Single, "it's"), Ok("it'\\''s".to_owned()));
        assert_eq!(escape(Context::Single, "a\0b"), Err(NulByte));
        assert_eq!(words(["a b", "c"]), Ok("'a b' 'c'".to_owned()));
        assert_eq!(words([]), Ok(String::new()));
    }
}
