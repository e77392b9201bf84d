//! Nodes to documents: what stands between what, and where lines may end.

#![expect(clippy::wildcard_enum_match_arm, reason = "a place holds a few of the many kinds of nodes")]

use crate::syntax::{Element, Kind, NodeRef, TokenKind};

use super::doc::Doc;
use super::list;

/// An item: attributes on lines of their own, then the rest.
pub(super) fn item(root: NodeRef<'_>) -> Doc {
    let mut parts = Vec::new();
    let mut between: Option<Doc> = None;
    for element in root.elements() {
        match element {
            Element::Node(child) => {
                parts.extend(between.take());
                parts.push(node(child));
                between = Some(if child.kind() == Kind::Attribute { Doc::hard() } else { Doc::text(" ") });
            }
            Element::Token(token) if token.kind == TokenKind::Comment => parts.push(Doc::comment(token.text)),
            Element::Token(_) => {}
        }
    }
    Doc::concat(parts)
}

/// Any node.
pub(super) fn node(node: NodeRef<'_>) -> Doc {
    match node.kind() {
        Kind::Text => text(node),
        Kind::Expr => expr(node),
        Kind::IfExpr => if_expr(node),
        Kind::ListFor | Kind::MapFor => comprehension(node),
        Kind::Group | Kind::TypeGroup | Kind::Index => bracketed(node),
        Kind::Lambda => lambda(node),
        Kind::List
        | Kind::Brace
        | Kind::Call
        | Kind::Params
        | Kind::Members
        | Kind::Variants
        | Kind::Block
        | Kind::Fields
        | Kind::BlockArms
        | Kind::ExprArms
        | Kind::ImportNames
        | Kind::TypeArgs
        | Kind::Bindings => list::list(node),
        kind if kind.is_token() => Doc::text(node.text()),
        _ => sequence(node),
    }
}

/// What stands in a node, with one blank between, less where none belongs.
fn sequence(parent: NodeRef<'_>) -> Doc {
    let mut parts = Vec::new();
    let mut before: Option<Element<'_>> = None;
    for element in parent.elements() {
        match element {
            Element::Token(token) if token.kind == TokenKind::Blank => continue,
            Element::Token(token) if token.kind == TokenKind::Comment => {
                parts.push(Doc::comment(token.text));
                continue;
            }
            Element::Token(_) | Element::Node(_) => {}
        }
        if before.is_some_and(|before| is_apart(before, element)) {
            parts.push(Doc::text(" "));
        }
        parts.push(match element {
            Element::Token(token) => Doc::text(token.text),
            Element::Node(child) if is_body(parent, child) => list::body(child),
            Element::Node(child) => node(child),
        });
        before = Some(element);
    }
    Doc::concat(parts)
}

/// Whether a node is the body of an item, or of an `if` with an `else`: they have lines of their own.
fn is_body(parent: NodeRef<'_>, child: NodeRef<'_>) -> bool {
    let otherwise = || parent.children().filter(|child| child.kind() == Kind::Keyword).count() > 1;
    child.kind() == Kind::Block
        && match parent.kind() {
            Kind::Image | Kind::Recipe | Kind::Test => true,
            Kind::IfStatement => otherwise(),
            _ => false,
        }
}

/// Whether a blank stands between two neighbours.
fn is_apart(before: Element<'_>, after: Element<'_>) -> bool {
    let glued_before = matches!(before, Element::Token(token) if matches!(token.text, "@" | "..." | "." | "("));
    let glued_after = match after {
        Element::Token(token) => matches!(token.text, ":" | "," | "?" | "." | ")"),
        Element::Node(child) => match child.kind() {
            Kind::Call | Kind::TypeArgs | Kind::Bindings | Kind::Index | Kind::MemberAccess => true,
            Kind::Params => !matches!(before, Element::Node(node) if node.kind() == Kind::Revision),
            _ => false,
        },
    };
    !glued_before && !glued_after
}

/// Operands and operators: all on one line, or each operator at the start of a line.
fn expr(parent: NodeRef<'_>) -> Doc {
    let mut first = Vec::new();
    let mut rest = Vec::new();
    let mut chained = false;
    for element in parent.elements() {
        let into = if chained { &mut rest } else { &mut first };
        match element {
            Element::Token(token) if token.kind == TokenKind::Comment => into.push(Doc::comment(token.text)),
            Element::Token(_) => {}
            Element::Node(child) if child.kind() == Kind::Operator => {
                let tight = child.text() == "..=";
                if tight {
                    into.push(Doc::text("..="));
                } else {
                    chained = true;
                    rest.extend([Doc::line(), Doc::text(child.text()), Doc::text(" ")]);
                }
            }
            Element::Node(child) => into.push(node(child)),
        }
    }
    if rest.is_empty() {
        return Doc::concat(first);
    }
    first.push(Doc::indent(rest));
    Doc::group(first)
}

/// `if c then a else b`, with `then` and `else` on lines of their own where it is long.
fn if_expr(parent: NodeRef<'_>) -> Doc {
    let mut first = Vec::new();
    let mut rest = Vec::new();
    for element in parent.elements() {
        match element {
            Element::Token(token) if token.kind == TokenKind::Comment => {
                let into = if rest.is_empty() { &mut first } else { &mut rest };
                into.push(Doc::comment(token.text));
            }
            Element::Token(_) => {}
            Element::Node(child) if child.kind() == Kind::Keyword && child.text() != "if" => {
                rest.extend([Doc::line(), Doc::text(child.text()), Doc::text(" ")]);
            }
            Element::Node(child) => {
                let into = if rest.is_empty() { &mut first } else { &mut rest };
                into.push(node(child));
                if child.kind() == Kind::Keyword {
                    into.push(Doc::text(" "));
                }
            }
        }
    }
    first.push(Doc::indent(rest));
    Doc::group(first)
}

/// `for x in xs if c: e`, each clause on a line of its own where it is long.
fn comprehension(parent: NodeRef<'_>) -> Doc {
    let mut parts = Vec::new();
    for element in parent.elements() {
        match element {
            Element::Token(token) => match (token.kind, token.text) {
                (TokenKind::Blank, _) => {}
                (TokenKind::Comment, text) => parts.push(Doc::comment(text)),
                (TokenKind::Mark, ":") => parts.push(Doc::text(":")),
                (TokenKind::Mark, text) => parts.extend([Doc::text(" "), Doc::text(text), Doc::text(" ")]),
            },
            Element::Node(child) => {
                let after_arrow = parent.kind() == Kind::MapFor
                    && parent.children().last().is_some_and(|last| last.start() == child.start());
                let first = child.start() == parent.start();
                if child.kind() == Kind::Condition {
                    parts.push(Doc::text(" "));
                } else if !first && !after_arrow {
                    parts.push(Doc::line());
                }
                parts.push(node(child));
            }
        }
    }
    Doc::concat(parts)
}

/// `(expr)`, `[index]`
fn bracketed(parent: NodeRef<'_>) -> Doc {
    let mut inner = vec![Doc::soft()];
    let mut marks = Vec::new();
    for element in parent.elements() {
        match element {
            Element::Node(child) => inner.push(node(child)),
            Element::Token(token) => match token.kind {
                TokenKind::Blank => {}
                TokenKind::Comment => inner.push(Doc::comment(token.text)),
                TokenKind::Mark => marks.push(token.text),
            },
        }
    }
    let (open, close) = (marks.first().copied().unwrap_or("("), marks.last().copied().unwrap_or(")"));
    Doc::group(vec![Doc::text(open), Doc::indent(inner), Doc::soft(), Doc::text(close)])
}

/// `x => e`, `(a, x) => e`
fn lambda(parent: NodeRef<'_>) -> Doc {
    let names: Vec<_> = parent.children().filter(|child| child.kind() == Kind::Name).map(NodeRef::text).collect();
    let bracket = parent.text().starts_with('(') && names.len() != 1;
    let names = names.join(", ");
    let head = if bracket { format!("({names})") } else { names };
    let mut parts = vec![Doc::text(head), Doc::text(" => ")];
    for element in parent.elements() {
        match element {
            Element::Node(child) if child.kind() != Kind::Name => parts.push(node(child)),
            Element::Token(token) if token.kind == TokenKind::Comment => parts.push(Doc::comment(token.text)),
            Element::Node(_) | Element::Token(_) => {}
        }
    }
    Doc::concat(parts)
}

/// A string literal as it is; the lines of a `"""` literal move with what stands around it.
fn text(parent: NodeRef<'_>) -> Doc {
    let source = parent.text();
    if !source.contains('\n') {
        return Doc::text(source);
    }
    block_lines(parent).unwrap_or_else(|| Doc::verbatim(source))
}

/// The lines of a `"""` literal whose closing quotes stand alone on theirs, one level deeper than the line it is in.
/// Nothing where a line has less indentation than the quotes, or a hole goes over lines.
fn block_lines(parent: NodeRef<'_>) -> Option<Doc> {
    let body = parent.text().strip_prefix("\"\"\"")?.strip_suffix("\"\"\"")?;
    let (opening, body) = body.split_once('\n')?;
    if !opening.trim().is_empty()
        || parent.children().any(|child| child.kind() == Kind::Hole && child.text().contains('\n'))
    {
        return None;
    }
    let (body, indent) = body.rsplit_once('\n').map_or((None, body), |(body, indent)| (Some(body), indent));
    if !indent.chars().all(|c| matches!(c, ' ' | '\t')) {
        return None;
    }
    let mut lines = Vec::new();
    for line in body.into_iter().flat_map(|body| body.split('\n')) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        match line.strip_prefix(indent) {
            Some("") => lines.push(Doc::empty_line()),
            Some(line) => lines.extend([Doc::hard(), Doc::text(line)]),
            None if line.trim().is_empty() => lines.push(Doc::empty_line()),
            None => return None,
        }
    }
    lines.extend([Doc::hard(), Doc::text("\"\"\"")]);
    Some(Doc::concat(vec![Doc::flush(), Doc::text("\"\"\""), Doc::indent(lines)]))
}
