//! Lists in brackets: elements, separators, comments and blank lines between them.

#![expect(clippy::wildcard_enum_match_arm, reason = "a place holds a few of the many kinds of nodes")]

use crate::syntax::{Element, Kind, NodeRef, TokenKind};

use super::doc::Doc;
use super::node;

/// An element, or a comment on a line of its own.
struct Entry<'t> {
    doc: Doc,
    /// The text of a comment.
    comment: Option<&'t str>,
    /// Whether an empty line stands before it.
    blank: bool,
    /// Comments behind it on its line.
    comments: Vec<Doc>,
}

/// How a kind of list is written.
struct Style {
    open: &'static str,
    close: &'static str,
    /// Inside the brackets when all is on one line.
    padded: bool,
    /// Between elements on lines of their own, and after the last.
    commas: bool,
    /// Whether it has lines even where it fits on one.
    broken: bool,
}

/// A list.
pub(super) fn list(parent: NodeRef<'_>) -> Doc {
    if let Some(only) = hugged(parent) {
        return Doc::concat(vec![Doc::text("("), node::node(only), Doc::text(")")]);
    }
    styled(parent, &style(parent))
}

/// The body of an item: it has lines of its own.
pub(super) fn body(parent: NodeRef<'_>) -> Doc {
    styled(parent, &Style { broken: true, ..style(parent) })
}

fn styled(parent: NodeRef<'_>, style: &Style) -> Doc {
    let (opening, entries) = entries(parent);
    // The brackets of a type never break: what it belongs to does.
    if parent.kind() == Kind::TypeArgs && opening.is_empty() && entries.iter().all(|entry| !entry.doc.breaks()) {
        return flat(style, entries);
    }
    if entries.is_empty() && opening.is_empty() {
        return Doc::text(format!("{}{}", style.open, style.close));
    }
    let edge = || if style.padded { Doc::line() } else { Doc::soft() };
    let last = entries.iter().rposition(|entry| entry.comment.is_none());
    let broken = style.broken || !opening.is_empty();
    let mut inner = opening;
    for (position, entry) in entries.into_iter().enumerate() {
        if position > 0 && entry.blank {
            inner.push(Doc::empty_line());
        }
        inner.push(if position == 0 { edge() } else { Doc::line() });
        inner.push(entry.doc);
        match (entry.comment, Some(position) == last, style.commas) {
            (Some(_), _, _) | (None, true, false) => {}
            (None, true, true) => inner.push(Doc::if_broken(",")),
            (None, false, true) => inner.push(Doc::text(",")),
            (None, false, false) => inner.push(Doc::if_flat(",")),
        }
        inner.extend(entry.comments);
    }
    let parts = vec![Doc::text(style.open), Doc::indent(inner), edge(), Doc::text(style.close)];
    if broken { Doc::broken(parts) } else { Doc::group(parts) }
}

/// A list on one line whatever its length.
fn flat(style: &Style, entries: Vec<Entry<'_>>) -> Doc {
    let mut parts = vec![Doc::text(style.open)];
    for (position, entry) in entries.into_iter().enumerate() {
        if position > 0 {
            parts.push(Doc::text(", "));
        }
        parts.push(entry.doc);
        parts.extend(entry.comments);
    }
    parts.push(Doc::text(style.close));
    Doc::concat(parts)
}

/// The only argument of a call where that is a list or the like: its brackets and the call's stand together.
fn hugged(parent: NodeRef<'_>) -> Option<NodeRef<'_>> {
    let mut arguments = parent.children();
    let only = arguments.next()?;
    let value = only.children().last().filter(|value| value.kind() == Kind::Expr)?;
    let mut parts = value.children();
    let literal = matches!(parts.next()?.kind(), Kind::List | Kind::Brace | Kind::Text);
    let alone = arguments.next().is_none() && parts.next().is_none();
    let comments = parent.elements().into_iter().any(|element| is_comment(&element));
    (parent.kind() == Kind::Call && literal && alone && !comments).then_some(only)
}

fn is_comment(element: &Element<'_>) -> bool {
    matches!(element, Element::Token(token) if token.kind == TokenKind::Comment)
}

/// The comments behind the opening bracket, and the elements with what belongs to them.
fn entries(parent: NodeRef<'_>) -> (Vec<Doc>, Vec<Entry<'_>>) {
    let (mut opening, mut entries): (Vec<Doc>, Vec<Entry<'_>>) = (Vec::new(), Vec::new());
    // Line ends since the last element, comment or mark.
    let mut lines = 0;
    for element in parent.elements() {
        match element {
            Element::Node(child) => {
                entries.push(Entry { doc: node::node(child), comment: None, blank: lines > 1, comments: Vec::new() });
                lines = 0;
            }
            Element::Token(token) => match token.kind {
                TokenKind::Blank => lines += token.text.matches('\n').count(),
                TokenKind::Mark => {
                    if token.text == "," {
                        pull_back(&mut entries);
                    }
                    lines = 0;
                }
                TokenKind::Comment => {
                    let comments = entries.last_mut().map_or(&mut opening, |entry| &mut entry.comments);
                    if lines == 0 {
                        comments.push(Doc::comment(token.text));
                    } else {
                        let doc = Doc::own_line(token.text);
                        let comment = Some(token.text);
                        entries.push(Entry { doc, comment, blank: lines > 1, comments: Vec::new() });
                    }
                    lines = 0;
                }
            },
        }
    }
    (opening, entries)
}

/// Makes comments on lines of their own that stand before a comma comments of the element before them.
fn pull_back(entries: &mut Vec<Entry<'_>>) {
    let Some(element) = entries.iter().rposition(|entry| entry.comment.is_none()) else { return };
    let comments: Vec<_> = entries.drain(element + 1..).filter_map(|entry| entry.comment).map(Doc::comment).collect();
    if let Some(element) = entries.get_mut(element) {
        element.comments.extend(comments);
    }
}

fn style(parent: NodeRef<'_>) -> Style {
    let kind = parent.kind();
    let has = |wanted: &[Kind]| parent.children().any(|child| wanted.contains(&child.kind()));
    let (open, close) = match kind {
        Kind::List => ("[", "]"),
        Kind::Call | Kind::Params | Kind::Bindings => ("(", ")"),
        Kind::TypeArgs => ("<", ">"),
        _ => ("{", "}"),
    };
    let commas = match kind {
        Kind::Brace => has(&[Kind::MapEntry]),
        Kind::List => !has(&[Kind::ListFor]),
        Kind::Members | Kind::Block | Kind::Fields | Kind::BlockArms => false,
        _ => true,
    };
    let broken = match kind {
        // A body of an item has lines; other bodies keep one statement on the line where it was.
        Kind::Block => parent.children().count() > 1 || opens_line(parent),
        Kind::BlockArms => true,
        Kind::Brace | Kind::Fields | Kind::Members | Kind::Variants | Kind::ExprArms => opens_line(parent),
        _ => false,
    };
    Style { open, close, padded: open == "{", commas, broken }
}

/// Whether a line ends behind the opening bracket.
fn opens_line(parent: NodeRef<'_>) -> bool {
    let mut elements = parent.elements().into_iter().skip(1);
    matches!(elements.next(), Some(Element::Token(token)) if token.kind == TokenKind::Blank && token.text.contains('\n'))
}
