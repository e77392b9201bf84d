//! Where in a PowerShell script a hole stands, by PowerShell's quotes: they differ from those of POSIX shells in all
//! but the look. Typographic quotes count as plain ones (`about_Quoting_Rules`), so they are escaped as well.

use super::{Context, Part, Refusal};

/// Words after which the rest of a command is read as a script, or as one of another shell.
const READ_AGAIN: [&str; 12] = [
    "iex",
    "invoke-expression",
    "-command",
    "-c",
    "-encodedcommand",
    "-enc",
    "-ec",
    "cmd",
    "cmd.exe",
    "[scriptblock]::create",
    "--%",
    "add-type",
];

/// What the text is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Commands and expressions; how many brackets are open since a `$(` in a text.
    Code { brackets: u32 },
    /// `"…"`, or `@"…"@`.
    Double { here: bool },
    /// `'…'`, or `@'…'@`.
    Single { here: bool },
    /// `${…}`.
    Braced,
    /// `# …`.
    Comment,
    /// `<# … #>`.
    Block,
}

/// Where every hole of a script stands, in order.
pub(super) fn contexts(parts: &[Part<'_>]) -> Vec<Result<Context, Refusal>> {
    let mut scan =
        Scan { stack: vec![State::Code { brackets: 0 }], word: String::new(), read_again: false, after: After::Blank };
    let mut found = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        match part {
            Part::Text(text) => scan.text(text),
            Part::Hole => {
                let next = parts.get(n + 1).and_then(|next| match next {
                    Part::Text(text) => text.chars().next(),
                    Part::Hole => Some('x'),
                });
                found.push(scan.hole(next));
            }
        }
    }
    found
}

/// What stands directly before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Blank,
    Word,
    /// `$` or `$name`.
    Dollar,
    Name,
    /// A backtick, which would quote the first character.
    Backtick,
}

struct Scan {
    stack: Vec<State>,
    /// The word of a command that is being read.
    word: String,
    /// Whether what follows in this command is read as a script once more.
    read_again: bool,
    after: After,
}

fn is_single(c: char) -> bool {
    matches!(c, '\'' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}')
}

fn is_double(c: char) -> bool {
    matches!(c, '"' | '\u{201c}' | '\u{201d}' | '\u{201e}')
}

impl Scan {
    fn state(&self) -> State {
        self.stack.last().copied().unwrap_or(State::Code { brackets: 0 })
    }

    fn hole(&mut self, next: Option<char>) -> Result<Context, Refusal> {
        let after = std::mem::replace(&mut self.after, After::Word);
        let starts = self.word.is_empty();
        self.word.push('x');
        match (self.state(), after) {
            (State::Comment | State::Block, _) => Err(Refusal::Comment),
            (State::Braced, _) => Err(Refusal::Expansion),
            (State::Single { here: true } | State::Double { here: true }, _) => Err(Refusal::HereString),
            (State::Code { .. } | State::Double { .. }, After::Dollar) => Err(Refusal::Dollar),
            (State::Code { .. } | State::Double { .. }, After::Backtick) => Err(Refusal::Backtick),
            _ if self.read_again => Err(Refusal::ReadAgain),
            (State::Single { here: false }, _) => Ok(Context::PowerSingle),
            (State::Double { here: false }, after) => Ok(Context::PowerDouble { after_name: after == After::Name }),
            // `'a'b` are two arguments, and `$x'a'` is none.
            (State::Code { .. }, After::Name) => Err(Refusal::Unclear("the name of a variable")),
            (State::Code { .. }, _) if next.is_some_and(is_word) => Err(Refusal::Glued),
            (State::Code { .. }, _) => Ok(Context::PowerBare { alone: starts }),
        }
    }

    fn text(&mut self, text: &str) {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let length = self.step(c, rest);
            rest = rest.get(length..).unwrap_or_default();
        }
    }

    /// Reads what begins with `c`, and says how many bytes it was.
    fn step(&mut self, c: char, rest: &str) -> usize {
        let after = std::mem::replace(&mut self.after, After::Word);
        match self.state() {
            State::Code { brackets } => return self.code(c, rest, brackets, after),
            State::Double { here } => return self.double(c, rest, here, after),
            State::Single { here: true } => {
                if let Some(end) = here_end(rest, is_single) {
                    self.stack.pop();
                    return end;
                }
            }
            State::Single { here: false } if is_single(c) => {
                let mut both = rest.chars().skip(1);
                if both.next().is_some_and(is_single) {
                    return rest.chars().take(2).map(char::len_utf8).sum();
                }
                self.stack.pop();
            }
            State::Braced if c == '}' => {
                self.stack.pop();
                self.after = After::Word;
            }
            State::Comment if c == '\n' => {
                self.stack.pop();
                self.end_of_command();
            }
            State::Block if rest.starts_with("#>") => {
                self.stack.pop();
                self.after = After::Blank;
                return 2;
            }
            State::Single { here: false } | State::Braced | State::Comment | State::Block => {}
        }
        c.len_utf8()
    }

    fn double(&mut self, c: char, rest: &str, here: bool, after: After) -> usize {
        if here && let Some(end) = here_end(rest, is_double) {
            self.stack.pop();
            return end;
        }
        match c {
            '`' => {
                let quoted = rest.chars().nth(1);
                self.after = if quoted.is_some() { After::Word } else { After::Backtick };
                return 1 + quoted.map_or(0, char::len_utf8);
            }
            '$' => return self.dollar(rest),
            c if is_double(c) && !here => {
                if rest.chars().nth(1).is_some_and(is_double) {
                    return rest.chars().take(2).map(char::len_utf8).sum();
                }
                self.stack.pop();
            }
            c => {
                let goes_on = matches!(after, After::Name | After::Dollar) && (is_name(c) || matches!(c, ':' | '?'));
                self.after = if goes_on { After::Name } else { After::Word };
            }
        }
        c.len_utf8()
    }

    fn dollar(&mut self, rest: &str) -> usize {
        if rest.starts_with("$(") {
            self.stack.push(State::Code { brackets: 0 });
            self.end_of_command();
            return 2;
        }
        if rest.starts_with("${") {
            self.stack.push(State::Braced);
            return 2;
        }
        self.after = After::Dollar;
        1
    }

    fn code(&mut self, c: char, rest: &str, brackets: u32, after: After) -> usize {
        let starts_word = self.word.is_empty();
        if starts_word && let Some(length) = self.here_or_comment(rest) {
            return length;
        }
        match c {
            '`' => {
                let quoted = rest.chars().nth(1);
                self.after = if quoted.is_some() { After::Word } else { After::Backtick };
                self.word.extend(quoted);
                return 1 + quoted.map_or(0, char::len_utf8);
            }
            '$' if rest.starts_with("$(") => {
                self.bracket(1);
                return 2;
            }
            '$' => {
                self.word.push(c);
                return self.dollar(rest);
            }
            c if is_single(c) => self.stack.push(State::Single { here: false }),
            c if is_double(c) => self.stack.push(State::Double { here: false }),
            '(' | '{' => self.bracket(1),
            ')' | '}' if brackets == 0 && self.stack.len() > 1 => {
                self.stack.pop();
                self.read_again = false;
            }
            ')' | '}' => self.bracket(-1),
            '\n' | ';' | '|' | '&' => self.end_of_command(),
            ' ' | '\t' | '\r' | ',' | '=' => self.end_of_word(),
            c => {
                let goes_on = matches!(after, After::Name | After::Dollar) && (is_name(c) || matches!(c, ':' | '?'));
                self.after = if goes_on { After::Name } else { After::Word };
                self.word.push(c);
                return c.len_utf8();
            }
        }
        c.len_utf8()
    }

    /// `#`, `<#`, `@'` and `@"` at the beginning of a word.
    fn here_or_comment(&mut self, rest: &str) -> Option<usize> {
        if rest.starts_with('#') {
            self.stack.push(State::Comment);
            return Some(1);
        }
        if rest.starts_with("<#") {
            self.stack.push(State::Block);
            return Some(2);
        }
        let quote = rest.strip_prefix('@')?.chars().next()?;
        let line = rest.get(1 + quote.len_utf8()..)?.trim_start_matches([' ', '\t', '\r']);
        if !line.starts_with('\n') {
            return None;
        }
        if is_single(quote) {
            self.stack.push(State::Single { here: true });
        } else if is_double(quote) {
            self.stack.push(State::Double { here: true });
        } else {
            return None;
        }
        Some(1 + quote.len_utf8())
    }

    fn bracket(&mut self, by: i32) {
        if let Some(State::Code { brackets }) = self.stack.last_mut() {
            *brackets = brackets.saturating_add_signed(by);
        }
        self.end_of_word();
        self.after = if by > 0 { After::Blank } else { After::Word };
    }

    fn end_of_word(&mut self) {
        let word = self.word.to_ascii_lowercase();
        self.read_again |= READ_AGAIN.contains(&word.as_str());
        self.word.clear();
        self.after = After::Blank;
    }

    fn end_of_command(&mut self) {
        self.word.clear();
        self.read_again = false;
        self.after = After::Blank;
    }
}

/// The end of a here-string, which stands at the beginning of a line: its length with the line break before it.
fn here_end(rest: &str, is_quote: fn(char) -> bool) -> Option<usize> {
    let line = rest.strip_prefix('\n')?;
    let quote = line.chars().next().filter(|c| is_quote(*c))?;
    line.get(quote.len_utf8()..)?.starts_with('@').then_some(2 + quote.len_utf8())
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What would belong to the word of a hole before it.
fn is_word(c: char) -> bool {
    !matches!(c, ' ' | '\t' | '\r' | '\n' | ';' | '|' | '&' | ')' | '}' | ']' | ',' | '>')
}

/// A text inside `'…'`.
pub(super) fn single(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        if is_single(c) {
            escaped.push(c);
        }
        escaped.push(c);
    }
    escaped
}

/// A text inside `"…"`.
pub(super) fn double(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        if c == '`' || c == '$' || is_double(c) {
            escaped.push('`');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(script: &str) -> Vec<Result<Context, Refusal>> {
        let mut parts = Vec::new();
        for (position, text) in script.split('¤').enumerate() {
            if position > 0 {
                parts.push(Part::Hole);
            }
            parts.push(Part::Text(text));
        }
        contexts(&parts)
    }

    const ALONE: Result<Context, Refusal> = Ok(Context::PowerBare { alone: true });
    const GLUED: Result<Context, Refusal> = Ok(Context::PowerBare { alone: false });
    const DOUBLE: Result<Context, Refusal> = Ok(Context::PowerDouble { after_name: false });
    const NAMED: Result<Context, Refusal> = Ok(Context::PowerDouble { after_name: true });
    const SINGLE: Result<Context, Refusal> = Ok(Context::PowerSingle);

    #[test]
    fn quotes() {
        assert_eq!(of("Write-Host ¤"), [ALONE]);
        assert_eq!(of("$x = ¤; f ¤ | g ¤"), [ALONE, ALONE, ALONE]);
        assert_eq!(of("f -Name:¤"), [GLUED]);
        assert_eq!(of("f \"a ¤ b\" 'a ¤ b'"), [DOUBLE, SINGLE]);
        assert_eq!(of("f \"'¤'\" '\"¤\"' ¤"), [DOUBLE, SINGLE, ALONE]);
        assert_eq!(of("f \"a`\"¤\" \"b\"\"¤\" 'it''s ¤' ¤"), [DOUBLE, DOUBLE, SINGLE, ALONE]);
        assert_eq!(of("f “¤” ‘¤’ ¤"), [DOUBLE, SINGLE, ALONE]);
        assert_eq!(of("f \"$home¤ $env:X¤ ${a}¤ $ ¤\""), [NAMED, NAMED, DOUBLE, DOUBLE]);
        assert_eq!(of("f \"$(g ¤ \"¤\")¤\" ¤"), [ALONE, DOUBLE, DOUBLE, ALONE]);
        assert_eq!(of("if ($a) { f(¤) } else { @(¤) }; $(g ¤)"), [ALONE, ALONE, ALONE]);
        assert_eq!(of("f # it's\nf ¤ <# it's\n#> ¤"), [ALONE, ALONE]);
        assert_eq!(of("f @'\nit's\n'@ ¤\nf @\"\n\"x $(g ¤)\n\"@ ¤"), [ALONE, ALONE, ALONE]);
        assert_eq!(of("a#b ¤ C:\\x\\ ¤"), [ALONE, ALONE]);
    }

    #[test]
    fn refusals() {
        assert_eq!(of("f # ¤\nf <# ¤ #>"), [Err(Refusal::Comment), Err(Refusal::Comment)]);
        assert_eq!(of("f @'\n¤\n'@\nf @\"\n¤\n\"@"), [Err(Refusal::HereString), Err(Refusal::HereString)]);
        assert_eq!(of("f $¤ \"$¤\" ${¤}"), [Err(Refusal::Dollar), Err(Refusal::Dollar), Err(Refusal::Expansion)]);
        assert_eq!(of("f `¤ \"`¤\""), [Err(Refusal::Backtick), Err(Refusal::Backtick)]);
        assert_eq!(of("iex ¤; f ¤"), [Err(Refusal::ReadAgain), ALONE]);
        assert_eq!(of("Invoke-Expression \"f ¤\""), [Err(Refusal::ReadAgain)]);
        assert_eq!(of("powershell -NoProfile -Command '¤'"), [Err(Refusal::ReadAgain)]);
        assert_eq!(of("cmd /c ¤"), [Err(Refusal::ReadAgain)]);
        assert_eq!(of("icacls --% ¤"), [Err(Refusal::ReadAgain)]);
        assert!(matches!(of("f ¤/x $a¤").as_slice(), [Err(Refusal::Glued), Err(Refusal::Unclear(_))]));
    }

    #[test]
    fn escapes() {
        assert_eq!(single("it's ‘so’ $x"), "it''s ‘‘so’’ $x");
        assert_eq!(double("\"a\" $x `t “b” it's"), "`\"a`\" `$x ``t `“b`” it's");
    }
}
