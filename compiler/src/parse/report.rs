//! Error nodes to diagnostics: messages come from what is missing and from the rule that misses it.
//!
//! One cause gives one error: of several on a line only the first is told, the others follow from it.

#![expect(clippy::wildcard_enum_match_arm, reason = "a place holds a few of the many kinds of nodes")]

use crate::diagnostic::{Applicability, Diagnostic, syntax};
use crate::span::{Location, ModuleId, Span};
use crate::syntax::{Kind, NodeRef, Tree, slice};

use super::build::span;

mod habits;

/// What is to be said about the error nodes of a tree.
pub(super) fn errors(tree: &Tree, module: ModuleId) -> Vec<Diagnostic> {
    let mut report =
        Report { text: &tree.text, base: 0, place: Location::default(), told: None, diagnostics: Vec::new() };
    let mut before = 0;
    // Whether a statement was met at the top, and nothing but errors since: a block was closed too early, once.
    let mut stray = false;
    for (position, (root, start)) in tree.roots().zip(&tree.starts).enumerate() {
        report.base = *start as usize;
        let item = u32::try_from(position).unwrap_or(u32::MAX);
        report.place = Location { module, item, span: Span::default() };
        let is_bad = root.kind() == Kind::BadItem;
        let is_stray = is_bad && habits::is_stray(root.text());
        if is_bad && !(is_stray && stray) {
            report.bad_item(root, before);
        }
        stray = is_bad && (stray || is_stray);
        if is_bad {
            // Told, or follows from what was.
        } else if tree.pieces.get(position).is_some_and(|piece| piece.broken) {
            report.children(root);
        }
        before = report.base + root.end() as usize;
    }
    report.diagnostics
}

/// Walks a tree and collects.
struct Report<'t> {
    text: &'t str,
    /// Where the piece begins in the text.
    base: usize,
    place: Location,
    /// Where the last told error ends in the text.
    told: Option<usize>,
    diagnostics: Vec<Diagnostic>,
}

/// What is missing, as users call it, and how to write it.
struct Missing {
    what: &'static str,
    help: Option<String>,
    /// What to insert, and how sure that is.
    insert: Option<(&'static str, Applicability)>,
}

impl<'t> Report<'t> {
    fn at(&self, node: NodeRef<'_>) -> Location {
        self.place.with(span(node))
    }

    /// Tells an error, unless one on the same line came before.
    fn tell(&mut self, node: NodeRef<'_>, diagnostic: impl FnOnce(Location) -> Diagnostic) {
        if self.is_first(node) {
            let diagnostic = diagnostic(self.at(node));
            self.diagnostics.push(diagnostic);
        }
    }

    /// Whether an error is to be told; one on the same line may have come before.
    fn is_first(&mut self, node: NodeRef<'_>) -> bool {
        let (start, end) = (self.base + node.start() as usize, self.base + node.end() as usize);
        let same_line = self.told.is_some_and(|told| !slice(self.text, told.min(start)..start).contains('\n'));
        self.told = Some(self.told.unwrap_or(0).max(end));
        !same_line
    }

    fn children(&mut self, parent: NodeRef<'t>) {
        let children: Vec<_> = parent.children().collect();
        for (position, node) in children.iter().enumerate() {
            let before = children.get(..position).unwrap_or_default();
            match node.kind() {
                Kind::MissComma => {
                    // Behind a value, `for` is no further element but a comprehension the other way around.
                    let closes = |next: &NodeRef<'_>| {
                        next.kind() == Kind::MissClose
                            || (next.kind() == Kind::BadEntry && next.text().starts_with("for "))
                    };
                    if !children.get(position + 1).is_none_or(closes) {
                        self.tell(*node, syntax::missing_comma);
                    }
                }
                Kind::MissClose => self.unclosed(parent, *node),
                Kind::BadLine | Kind::BadEntry => self.bad(parent, *node),
                // Told when its text is read.
                Kind::BadEscape => {}
                Kind::FieldColon => {
                    self.colon(*node);
                    self.children(*node);
                }
                Kind::NamedEqual => self.named_equal(*node),
                Kind::NamedRecord => {
                    self.named_record(*node);
                    self.children(*node);
                }
                Kind::BadGroup if parent.kind() == Kind::TypeNamed => self.round_type(parent, *node),
                kind if kind.is_missing() => self.missing(parent, before, *node),
                _ => self.children(*node),
            }
        }
    }

    fn missing(&mut self, parent: NodeRef<'t>, before: &[NodeRef<'t>], node: NodeRef<'t>) {
        // The words for it look far around, so they are looked for only where they are said.
        if !self.is_first(node) {
            return;
        }
        let at = self.at(node);
        let rest = slice(self.text, self.base + node.start() as usize..self.text.len());
        let rest = rest.trim_start_matches([' ', '\t']);
        if node.kind() == Kind::MissExpr && rest.starts_with(['\'', '$']) {
            let habit = habits::inner(parent.kind(), rest);
            self.diagnostics.push(syntax::unexpected(at, &habit.message, "expected a value", habit.help.as_deref()));
            return;
        }
        let mut missing = describe(parent, before, node.kind());
        if node.kind() == Kind::MissExpr && rest.starts_with("<<") {
            missing.help = Some("a text over several lines stands in `\"\"\"`".to_owned());
            self.told = self.told.max(self.end_of_heredoc(rest));
        }
        let after = self.token_before(node);
        let mut diagnostic = syntax::missing(at, missing.what, &after, missing.help.as_deref());
        if let Some((insert, applicability)) = missing.insert {
            diagnostic =
                diagnostic.fix(format!("insert `{}`", insert.trim()), applicability, vec![(at, insert.to_owned())]);
        }
        self.diagnostics.push(diagnostic);
    }

    /// Where `<<EOF …` ends in the text: what stands up to there is no program, and nothing is said of it. Not looked for
    /// far away, nor once there is more to tell than anybody reads.
    fn end_of_heredoc(&self, rest: &str) -> Option<usize> {
        const FAR: usize = 16 * 1024;
        let tag = habits::first_token(rest.trim_start_matches(['<', '-', '~', '\'', '"']));
        if tag.is_empty() || self.diagnostics.len() > 100 {
            return None;
        }
        let start = self.text.len() - rest.len();
        let mut end = start;
        for line in rest.split_inclusive('\n') {
            end += line.len();
            if end > start + line.len() && line.trim() == tag {
                return Some(end - 1);
            }
            if end - start > FAR {
                return None;
            }
        }
        None
    }

    /// The token that ends where a node is missing, in quotes.
    fn token_before(&self, node: NodeRef<'_>) -> String {
        let before = slice(self.text, 0..self.base + node.start() as usize);
        let is_word = |c: char| c == '_' || c.is_ascii_alphanumeric();
        let last = before.chars().next_back().unwrap_or(' ');
        if last == '"' {
            return "the text".to_owned();
        }
        let same = |c: char| {
            if is_word(last) { is_word(c) } else { "=<>!.-?&|+*/%".contains(c) && "=<>!.-?&|+*/%".contains(last) }
        };
        let start = before.trim_end_matches(same).len();
        let token = slice(before, start..before.len());
        // Of a chain of signs the last.
        let is_chain = !is_word(last) && token.len() > 3;
        let token = if token.is_empty() || is_chain {
            slice(before, before.len() - last.len_utf8()..before.len())
        } else {
            token
        };
        format!("`{token}`")
    }

    fn unclosed(&mut self, parent: NodeRef<'t>, node: NodeRef<'t>) {
        let text = parent.text();
        let width = |width: u32| Span { start: parent.start(), end: parent.start() + width };
        if parent.kind() == Kind::Text {
            let quotes = if text.starts_with("\"\"\"") { "\"\"\"" } else { "\"" };
            let open = self.place.with(width(if quotes.len() == 3 { 3 } else { 1 }));
            self.tell(node, |at| syntax::unterminated_text(at, open, quotes));
            return;
        }
        let (open, close) = match text.as_bytes().first() {
            Some(b'(') => ("(", ")"),
            Some(b'[') => ("[", "]"),
            Some(b'<') => ("<", ">"),
            Some(b'\\') => ("\\{", "}"),
            _ => ("{", "}"),
        };
        let bracket = self.place.with(width(if open.len() == 2 { 2 } else { 1 }));
        self.tell(node, |at| syntax::unclosed(at, bracket, open, close));
    }

    /// `a: 1` where `a = 1` is meant.
    fn colon(&mut self, node: NodeRef<'t>) {
        let Some(name) = node.children().next() else { return };
        let sign = node.slice(name.end()..node.end()).find(':').and_then(|offset| u32::try_from(offset).ok());
        let start = name.end() + sign.unwrap_or(0);
        let at = self.place.with(Span { start, end: start + 1 });
        let gap = if start == name.end() { " =" } else { "=" };
        let message = format!("a field is written with `=`: `{} = …`", name.text());
        self.tell(name, |_| syntax::wrong_sign(at, &message, ":", gap));
    }

    /// `f(a = 1)` where `f(a: 1)` is meant.
    fn named_equal(&mut self, node: NodeRef<'t>) {
        let Some(name) = node.children().next() else { return };
        let at = self.place.with(Span { start: name.end(), end: node.end() });
        let message = format!("an argument is named with `:`: `{}: …`", name.text());
        self.tell(name, |_| syntax::wrong_sign(at, &message, "=", ":"));
    }

    /// `Host { … }` where `{ … }` is meant.
    fn named_record(&mut self, node: NodeRef<'t>) {
        let children: Vec<_> = node.children().collect();
        let [name, brace] = children.as_slice() else { return };
        let at = self.place.with(span(*name));
        let until = self.place.with(Span { start: name.start(), end: brace.start() });
        self.tell(*name, |_| syntax::named_record(at, name.text(), until));
    }

    /// `list(string)` where `List<String>` is meant.
    fn round_type(&mut self, ty: NodeRef<'t>, node: NodeRef<'t>) {
        let (at, whole) = (self.at(node), self.place.with(span(ty)));
        self.tell(node, |_| syntax::round_type(at, whole, habits::angled(ty.text())));
    }

    fn bad_item(&mut self, node: NodeRef<'t>, before: usize) {
        let start = self.base + node.start() as usize;
        let behind = before > 0 && !slice(self.text, before..start).contains('\n');
        let habit = habits::item(node.text(), behind);
        let at = self.place.with(first_token(node));
        self.tell(node, |_| {
            let diagnostic = syntax::not_an_item(at, &habit.message, habit.help.as_deref());
            with_fix(diagnostic, at, habit.fix)
        });
    }

    fn bad(&mut self, parent: NodeRef<'t>, node: NodeRef<'t>) {
        let habit = habits::inner(parent.kind(), node.text());
        let at = self.place.with(first_token(node));
        self.tell(node, |_| {
            let label = format!("expected {}", habits::expected(parent.kind()));
            with_fix(syntax::unexpected(at, &habit.message, &label, habit.help.as_deref()), at, habit.fix)
        });
    }
}

/// Whether a step without fields is what others write for a command: `run "apt-get update"`.
pub(super) fn is_command(step: NodeRef<'_>) -> bool {
    let kind = step.children().next().map_or("", |path| path.text());
    matches!(kind, "run" | "RUN" | "exec" | "shell" | "bash" | "cmd" | "command" | "script")
}

fn with_fix(diagnostic: Diagnostic, at: Location, fix: Option<(String, String)>) -> Diagnostic {
    match fix {
        Some((title, text)) => diagnostic.fix(title, Applicability::Maybe, vec![(at, text)]),
        None => diagnostic,
    }
}

/// The span of the first word or sign of a node.
fn first_token(node: NodeRef<'_>) -> Span {
    let length = habits::first_token(node.text()).len();
    Span { start: node.start(), end: node.start() + u32::try_from(length).unwrap_or(0) }
}

fn describe(parent: NodeRef<'_>, before: &[NodeRef<'_>], kind: Kind) -> Missing {
    let plain = |what| Missing { what, help: None, insert: None };
    let name = || before.iter().find(|node| node.kind() == Kind::Name).map_or("name", |node| node.text());
    let first = |kind| !before.iter().any(|node| node.kind() == kind);
    let helped = |what, help: String| Missing { what, help: Some(help), insert: None };
    match (parent.kind(), kind) {
        (Kind::Use, Kind::MissName) => helped("the name of a recipe", "write `use recipe(arguments)`".to_owned()),
        (Kind::MemberAccess, Kind::MissName) => plain("the name of a member"),
        (_, Kind::MissName) => plain("a name"),
        (Kind::IfExpr | Kind::IfStatement, Kind::MissExpr) if first(Kind::Block) && before.len() == 1 => {
            plain("a condition")
        }
        (Kind::Test, Kind::MissExpr) => plain("the name of an image"),
        (Kind::Revision, Kind::MissExpr) => plain("a number"),
        (_, Kind::MissExpr) => plain("a value"),
        (Kind::OnClause, Kind::MissType) => plain("a platform such as `linux/*`"),
        (_, Kind::MissType) => plain("a type"),
        (_, Kind::MissNote) => {
            helped("`:` and a type", format!("write `{}: Type`, for example `{}: String`", name(), name()))
        }
        (Kind::Function, Kind::MissValue) => {
            helped("`=` and a value", format!("write `fn {}(…) -> Type = …`: a function is one expression", name()))
        }
        (_, Kind::MissValue) => helped("`=` and a value", format!("write `{} = …`", name())),
        (Kind::Fields | Kind::Block, Kind::MissBlock) => plain("`{`"),
        (Kind::Step, Kind::MissBlock) if is_command(parent) => {
            let text = before.iter().find(|node| node.kind() == Kind::Text).map_or("\"…\"", |node| node.text());
            helped(
                "the fields of the step in `{ … }`",
                format!("a command is the script of a step: `sh \"label\" {{ script = {text} }}`"),
            )
        }
        (Kind::Step, Kind::MissBlock) => {
            helped("the fields of the step in `{ … }`", format!("write `{} {{ field = value }}`", parent.text()))
        }
        (Kind::Record, Kind::MissBlock) => {
            helped("fields in `{ … }`", format!("write `record {} {{ field: Type }}`", name()))
        }
        (Kind::Enumeration, Kind::MissBlock) => {
            helped("variants in `{ … }`", format!("write `enum {} {{ one, two }}`", name()))
        }
        (Kind::MatchExpr | Kind::MatchStatement, Kind::MissBlock) => plain("arms in `{ … }`"),
        (_, Kind::MissBlock) => plain("a body in `{ … }`"),
        (Kind::Secret, Kind::MissWord) => helped(
            "`from`",
            format!("write `secret {}: String from env(\"NAME\")`, or `file(…)`, `command([…])`", name()),
        ),
        (Kind::Import, Kind::MissWord) => {
            Missing { what: "`from`", help: None, insert: Some((" from", Applicability::Maybe)) }
        }
        (Kind::Test, Kind::MissWord) => helped("`of`", format!("write `test {} of image {{ … }}`", name())),
        (Kind::ForHead | Kind::Clause, Kind::MissWord) => {
            Missing { what: "`in`", help: None, insert: Some((" in", Applicability::Maybe)) }
        }
        (Kind::IfExpr, Kind::MissWord) => {
            if before.iter().filter(|node| node.kind() == Kind::Keyword).count() < 2 {
                helped("`then`", "an `if` in an expression is written `if condition then a else b`".to_owned())
            } else {
                helped(
                    "`else`",
                    "an `if` in an expression has a value in both cases: `if condition then a else b`".to_owned(),
                )
            }
        }
        (_, Kind::MissWord) => plain("`:`"),
        (Kind::Function | Kind::ExternSource | Kind::ExternArtifact, Kind::MissArrow) => {
            helped("`->` and a type", "the type of the result stands after the parameters: `-> String`".to_owned())
        }
        (Kind::MapEntry, Kind::MissArrow) => {
            helped("`=>`", "an entry is written `field = value` in a record and `key => value` in a map".to_owned())
        }
        (_, Kind::MissArrow) => Missing { what: "`=>`", help: None, insert: Some((" =>", Applicability::Maybe)) },
        (Kind::Import, Kind::MissText) => {
            helped("what to import", "write `import std.ssh` or `import \"./file.imgc\" as name`".to_owned())
        }
        (_, Kind::MissText) => plain("a text in quotes"),
        (Kind::Use, Kind::MissArgs) => {
            Missing { what: "arguments in `( … )`", help: None, insert: Some(("()", Applicability::Maybe)) }
        }
        (_, Kind::MissArgs) => {
            Missing { what: "parameters in `( … )`", help: None, insert: Some(("()", Applicability::Maybe)) }
        }
        (_, Kind::MissItem) => helped(
            "an item",
            "`pub` and attributes stand before an item: `pub fn`, `pub recipe`, `pub let` …".to_owned(),
        ),
        (_, _) => plain("more"),
    }
}
