//! Follows the quoting state of a POSIX shell script. It lexes as dash does and knows only as much grammar as it needs
//! to find where quotes, substitutions, here-documents and comments begin and end.

use super::{Context, Part, Refusal};

/// Commands that read the argument of `-c` as a script.
const SHELLS: [&str; 11] = ["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "busybox", "su", "runuser", "script"];

/// Where each hole of a script stands, in order.
pub fn contexts(parts: &[Part<'_>]) -> Vec<Result<Context, Refusal>> {
    let mut units = Vec::new();
    for part in parts {
        match part {
            Part::Text(text) => units.extend(text.chars().map(Unit::Char)),
            Part::Hole => units.push(Unit::Hole),
        }
    }
    let mut scanner = Scanner { units, at: 0, frames: Vec::new(), unclear: None, holes: Vec::new() };
    scanner.frames.push(Frame::Commands(Commands::default()));
    while scanner.step() {}
    scanner.holes
}

/// A character of the script, or a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Char(char),
    Hole,
}

/// Something that is open.
enum Frame {
    /// The script, or `$(…)`.
    Commands(Commands),
    /// `"…"`
    Double,
    /// `'…'`
    Single,
    /// `${…}`; whether inside `"…"`.
    Braces { quoted: bool },
    /// `$((…))` with the number of open brackets in it.
    Arithmetic { depth: usize },
}

/// What is known of a list of commands that is being read.
#[derive(Default)]
struct Commands {
    /// The open `(` in it; a `)` beyond them ends a `$(…)`.
    depth: usize,
    /// The word that is being read, quotes removed, a NUL for each hole; none between words.
    word: Option<String>,
    /// Whether a word of the command is `eval` or `trap`.
    eval: bool,
    /// Whether a word of the command names a shell.
    shell: bool,
    /// Whether that shell's `-c` has been read and its script has not.
    code: bool,
    /// Here-documents that begin after this line.
    documents: Vec<Document>,
}

/// A here-document that is announced.
struct Document {
    end: String,
    /// `<<-`
    tabs: bool,
    /// A part of its word is quoted: nothing is expanded in it.
    literal: bool,
}

struct Scanner {
    units: Vec<Unit>,
    at: usize,
    frames: Vec<Frame>,
    unclear: Option<&'static str>,
    holes: Vec<Result<Context, Refusal>>,
}

impl Scanner {
    fn peek(&self, ahead: usize) -> Option<Unit> {
        self.units.get(self.at + ahead).copied()
    }

    fn is(&self, ahead: usize, c: char) -> bool {
        self.peek(ahead) == Some(Unit::Char(c))
    }

    /// Takes one unit and says whether there was one.
    fn step(&mut self) -> bool {
        let Some(unit) = self.peek(0) else { return false };
        match self.frames.last() {
            Some(Frame::Single) => self.in_single(unit),
            Some(Frame::Double) => self.in_double(unit),
            Some(Frame::Braces { quoted }) => self.in_braces(unit, *quoted),
            Some(Frame::Arithmetic { .. }) => self.in_arithmetic(unit),
            Some(Frame::Commands(_)) => self.in_commands(unit),
            // A stray closing bracket: the shell will refuse it.
            None => self.frames.push(Frame::Commands(Commands::default())),
        }
        true
    }

    /// Records where a hole stands and passes it.
    fn hole(&mut self, context: Result<Context, Refusal>) {
        self.at += 1;
        let context = match self.unclear {
            Some(what) => Err(Refusal::Unclear(what)),
            None => context.and_then(|context| self.reread().map_or(Ok(context), Err)),
        };
        self.holes.push(context);
        self.extend_word('\0');
    }

    /// Whether what stands here is read as a script once more.
    fn reread(&self) -> Option<Refusal> {
        self.frames.iter().find_map(|frame| match frame {
            Frame::Commands(commands) if commands.eval => Some(Refusal::Eval),
            Frame::Commands(commands) if commands.reads_script() => Some(Refusal::ShellCommand),
            Frame::Commands(_) | Frame::Double | Frame::Single | Frame::Braces { .. } | Frame::Arithmetic { .. } => {
                None
            }
        })
    }

    fn give_up(&mut self, what: &'static str) {
        self.unclear.get_or_insert(what);
    }

    /// The innermost commands, whatever quotes are open in them.
    fn commands(&mut self) -> Option<&mut Commands> {
        self.frames.iter_mut().rev().find_map(|frame| match frame {
            Frame::Commands(commands) => Some(commands),
            Frame::Double | Frame::Single | Frame::Braces { .. } | Frame::Arithmetic { .. } => None,
        })
    }

    fn extend_word(&mut self, c: char) {
        if let Some(commands) = self.commands() {
            commands.word.get_or_insert_default().push(c);
        }
    }

    fn drop_word(&mut self) {
        if let Some(commands) = self.commands() {
            commands.word = None;
        }
    }

    fn begin_word(&mut self) {
        if let Some(commands) = self.commands() {
            commands.word.get_or_insert_default();
        }
    }

    fn in_single(&mut self, unit: Unit) {
        match unit {
            Unit::Hole => self.hole(Ok(Context::Single)),
            Unit::Char('\'') => self.pop(),
            Unit::Char(c) => self.take(c),
        }
    }

    fn in_double(&mut self, unit: Unit) {
        match unit {
            Unit::Hole => self.hole(Ok(Context::Double { after_name: false })),
            Unit::Char('"') => self.pop(),
            Unit::Char('\\') => self.backslash(),
            Unit::Char('`') => self.backquotes(),
            Unit::Char('$') => self.dollar(),
            Unit::Char(c) => self.take(c),
        }
    }

    fn in_braces(&mut self, unit: Unit, quoted: bool) {
        match unit {
            Unit::Hole => self.hole(Err(Refusal::Expansion)),
            Unit::Char('}') => self.pop(),
            Unit::Char('\\') => self.backslash(),
            Unit::Char('`') => self.backquotes(),
            Unit::Char('$') => self.dollar(),
            // Shells differ in what quotes mean there.
            Unit::Char('"' | '\'') if quoted => {
                self.give_up("quotes in `\"${…}\"`");
                self.at += 1;
            }
            Unit::Char('"') => self.push(Frame::Double),
            Unit::Char('\'') => self.push(Frame::Single),
            Unit::Char(c) => self.take(c),
        }
    }

    fn in_arithmetic(&mut self, unit: Unit) {
        let Some(Frame::Arithmetic { depth }) = self.frames.last_mut() else { return };
        match unit {
            Unit::Hole => self.hole(Err(Refusal::Arithmetic)),
            Unit::Char('(') => {
                *depth += 1;
                self.at += 1;
            }
            Unit::Char(')') if *depth > 0 => {
                *depth -= 1;
                self.at += 1;
            }
            Unit::Char(')') => {
                if self.is(1, ')') {
                    self.at += 1;
                } else {
                    self.give_up("`$((` that is not closed by `))`");
                }
                self.pop();
            }
            Unit::Char('$') => self.dollar(),
            Unit::Char('`') => self.backquotes(),
            Unit::Char('"' | '\'' | '\\') => {
                self.give_up("quotes in `$((…))`");
                self.at += 1;
            }
            Unit::Char(c) => self.take(c),
        }
    }

    fn in_commands(&mut self, unit: Unit) {
        match unit {
            Unit::Hole => {
                let alone = self.between_words() && self.peek(1).is_none_or(ends_word);
                self.hole(Ok(Context::Bare { alone }));
            }
            Unit::Char('\'') => self.push(Frame::Single),
            Unit::Char('"') => self.push(Frame::Double),
            Unit::Char('\\') => self.backslash(),
            Unit::Char('`') => self.backquotes(),
            Unit::Char('$') => self.dollar(),
            Unit::Char('#') if self.between_words() => self.comment(),
            Unit::Char('<') if self.is(1, '<') => self.document(),
            Unit::Char('\n') => self.line_end(),
            Unit::Char(c @ (' ' | '\t' | ';' | '&' | '|' | '(' | ')' | '<' | '>')) => self.separator(c),
            Unit::Char(c) => self.take(c),
        }
    }

    fn between_words(&mut self) -> bool {
        self.commands().is_some_and(|commands| commands.word.is_none())
    }

    fn take(&mut self, c: char) {
        self.extend_word(c);
        self.at += 1;
    }

    fn push(&mut self, frame: Frame) {
        self.begin_word();
        self.frames.push(frame);
        self.at += 1;
    }

    fn pop(&mut self) {
        self.frames.pop();
        self.at += 1;
    }

    /// A backslash and what it quotes.
    fn backslash(&mut self) {
        self.at += 1;
        match self.peek(0) {
            Some(Unit::Hole) => self.hole(Err(Refusal::Backslash)),
            // The line goes on; no word begins by it.
            Some(Unit::Char('\n')) => self.at += 1,
            Some(Unit::Char(c)) => self.take(c),
            None => {}
        }
    }

    /// A `$` and what belongs to it.
    fn dollar(&mut self) {
        self.begin_word();
        self.at += 1;
        match self.peek(0) {
            Some(Unit::Hole) => self.hole(Err(Refusal::Dollar)),
            Some(Unit::Char('(')) if self.is(1, '(') => {
                self.at += 1;
                self.push(Frame::Arithmetic { depth: 0 });
            }
            Some(Unit::Char('(')) => self.push(Frame::Commands(Commands::default())),
            Some(Unit::Char('{')) => {
                let quoted = self.in_quotes();
                self.push(Frame::Braces { quoted });
            }
            Some(Unit::Char('\'')) if matches!(self.frames.last(), Some(Frame::Commands(_))) => {
                self.give_up("`$'…'`, which not every shell knows");
            }
            Some(Unit::Char('@' | '*' | '#' | '?' | '-' | '$' | '!')) => self.take('$'),
            Some(Unit::Char(c)) if is_name(c) => self.variable(),
            Some(Unit::Char(_)) | None => self.extend_word('$'),
        }
    }

    /// Whether the innermost quotes around are `"…"`.
    fn in_quotes(&self) -> bool {
        match self.frames.last() {
            Some(Frame::Double) => true,
            Some(Frame::Braces { quoted }) => *quoted,
            Some(Frame::Commands(_) | Frame::Single | Frame::Arithmetic { .. }) | None => false,
        }
    }

    /// The name after a `$`.
    fn variable(&mut self) {
        self.extend_word('$');
        while let Some(Unit::Char(c)) = self.peek(0)
            && is_name(c)
        {
            self.take(c);
        }
        if self.peek(0) == Some(Unit::Hole) && matches!(self.frames.last(), Some(Frame::Double)) {
            self.hole(Ok(Context::Double { after_name: true }));
        }
    }

    /// Old command substitution: it ends at the next backquote without a backslash, whatever quotes stand in it.
    fn backquotes(&mut self) {
        self.begin_word();
        self.at += 1;
        while let Some(unit) = self.peek(0) {
            match unit {
                Unit::Hole => self.hole(Err(Refusal::Backquotes)),
                Unit::Char('\\') if self.peek(1) != Some(Unit::Hole) => self.at += 2,
                Unit::Char('`') => {
                    self.at += 1;
                    return;
                }
                Unit::Char(_) => self.at += 1,
            }
        }
    }

    fn comment(&mut self) {
        while let Some(unit) = self.peek(0) {
            match unit {
                Unit::Hole => {
                    self.hole(Err(Refusal::Comment));
                    self.drop_word();
                }
                Unit::Char('\n') => return,
                Unit::Char(_) => self.at += 1,
            }
        }
    }

    /// A blank or an operator between words.
    fn separator(&mut self, c: char) {
        let redirects = self.at > 0 && matches!(self.units.get(self.at - 1), Some(Unit::Char('<' | '>')));
        self.end_word();
        if c == '(' && self.is(1, '(') {
            self.give_up("`((`");
        }
        match c {
            '(' => {
                self.end_command();
                if let Some(commands) = self.commands() {
                    commands.depth += 1;
                }
            }
            ')' => return self.close_bracket(),
            ';' => self.end_command(),
            // `2>&1` and `>|` go on with their command.
            '&' | '|' if !redirects => self.end_command(),
            _ => {}
        }
        self.at += 1;
    }

    fn close_bracket(&mut self) {
        self.end_command();
        let nested = self.frames.len() > 1;
        let Some(commands) = self.commands() else { return };
        if commands.depth > 0 {
            commands.depth -= 1;
            self.at += 1;
        } else if nested {
            if !commands.documents.is_empty() {
                self.give_up("a here-document that begins in `$(…)` and does not end there");
            }
            self.pop();
        } else {
            self.at += 1;
        }
    }

    fn end_word(&mut self) {
        let nested = self.frames.len() > 1;
        let mut case = false;
        if let Some(commands) = self.commands()
            && let Some(word) = commands.word.take()
        {
            case = nested && word == "case";
            commands.finish_word(&word);
        }
        if case {
            self.give_up("`case` in `$(…)`");
        }
    }

    fn end_command(&mut self) {
        if let Some(commands) = self.commands() {
            commands.eval = false;
            commands.shell = false;
            commands.code = false;
        }
    }

    fn line_end(&mut self) {
        self.end_word();
        self.end_command();
        self.at += 1;
        let documents = self.commands().map(|commands| std::mem::take(&mut commands.documents));
        let waits = |frame: &Frame| matches!(frame, Frame::Commands(commands) if !commands.documents.is_empty());
        if self.frames.iter().any(waits) {
            self.give_up("a here-document before `$(…)` over several lines");
        }
        for document in documents.unwrap_or_default() {
            while !self.document_line(&document) && self.at < self.units.len() {}
        }
    }

    /// `<<` and the word that ends the here-document.
    fn document(&mut self) {
        self.end_word();
        self.at += 2;
        if self.is(0, '<') {
            self.give_up("`<<<`, which not every shell knows");
            return;
        }
        let tabs = self.is(0, '-');
        self.at += usize::from(tabs);
        while self.is(0, ' ') || self.is(0, '\t') {
            self.at += 1;
        }
        let mut document = Document { end: String::new(), tabs, literal: false };
        let mut quote = None;
        while let Some(unit) = self.peek(0) {
            match unit {
                Unit::Hole => {
                    self.give_up("a here-document whose end is not known");
                    return;
                }
                Unit::Char(c) if Some(c) == quote => quote = None,
                Unit::Char(c @ ('"' | '\'')) if quote.is_none() => {
                    document.literal = true;
                    quote = Some(c);
                }
                Unit::Char('\\' | '$' | '`') if quote != Some('\'') => {
                    if !self.is(0, '\\') || quote.is_some() || self.peek(1).is_none_or(ends_word) {
                        self.give_up("a here-document whose end is not plain");
                        return;
                    }
                    document.literal = true;
                }
                Unit::Char(_) if quote.is_none() && ends_word(unit) => break,
                Unit::Char(c) => document.end.push(c),
            }
            self.at += 1;
        }
        if let Some(commands) = self.commands() {
            commands.documents.push(document);
        }
    }

    /// Passes one line of a here-document and says whether it is the last.
    fn document_line(&mut self, document: &Document) -> bool {
        let mut line = String::new();
        while let Some(unit) = self.peek(0) {
            match unit {
                Unit::Hole => {
                    self.hole(Err(Refusal::HereDocument));
                    self.drop_word();
                    line.push('\0');
                }
                Unit::Char('\n') => {
                    self.at += 1;
                    break;
                }
                Unit::Char(c) => {
                    line.push(c);
                    self.at += 1;
                }
            }
        }
        if !document.literal && !plain_line(&line) {
            self.give_up("a here-document with a substitution over several lines");
        }
        let line = if document.tabs { line.trim_start_matches('\t') } else { line.as_str() };
        line == document.end
    }
}

impl Commands {
    /// Whether the word that is being read is the script of a shell.
    fn reads_script(&self) -> bool {
        let attached = |word: &String| word.starts_with("--command=");
        self.code || self.shell && self.word.as_ref().is_some_and(attached)
    }

    /// Notes what a word says about how the words after it are read.
    fn finish_word(&mut self, word: &str) {
        let command = word.rsplit('/').next().unwrap_or(word);
        if command == "eval" || command == "trap" {
            self.eval = true;
        }
        let is_option = word.starts_with('-') && !word.starts_with("--");
        if self.shell && is_option && word.contains('c') || self.shell && word == "--command" {
            self.code = true;
        } else if self.code && !word.starts_with('-') {
            self.code = false;
        }
        self.shell |= SHELLS.contains(&command) || command.contains("SHELL");
    }
}

/// Whether a line of a here-document can be read without the next: no substitution is left open at its end.
fn plain_line(line: &str) -> bool {
    let count = |wanted: char| line.chars().filter(|c| *c == wanted).count();
    let continued = line.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1;
    let open = (line.contains("$(") && count('(') != count(')'))
        || (line.contains("${") && count('{') != count('}'))
        || count('`') % 2 == 1;
    !continued && !open
}

fn ends_word(unit: Unit) -> bool {
    matches!(unit, Unit::Char(' ' | '\t' | '\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>'))
}

fn is_name(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric()
}
