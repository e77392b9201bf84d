//! Lossless tree to abstract tree: expressions. Precedences are climbed here; the grammar gives flat lists.

#![expect(clippy::wildcard_enum_match_arm, reason = "a place holds a few of the many kinds of nodes")]

use crate::ast::{Arg, ArgValue, Arm, BinaryOp, Element, Expr, ExprKind, FieldInit, ForHead, UnaryOp};
use crate::diagnostic::syntax;
use crate::span::Span;
use crate::syntax::{Children, Kind, NodeRef, TokenKind, tokens};

use super::MAX_DEPTH;
use super::build::{Builder, Parts, span, take};
use super::literal::{Number, number};

/// How strongly an operator binds, from 1. Comparisons do not chain.
fn strength(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And => 2,
        BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge | BinaryOp::In => 3,
        BinaryOp::Coalesce => 4,
        BinaryOp::Range => 5,
        BinaryOp::Add | BinaryOp::Sub => 6,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Rem => 7,
    }
}

const COMPARISON: u8 = 3;

fn operator(text: &str) -> BinaryOp {
    match text {
        "&&" => BinaryOp::And,
        "==" | "=" => BinaryOp::Eq,
        "!=" => BinaryOp::Ne,
        "<" => BinaryOp::Lt,
        "<=" => BinaryOp::Le,
        ">" => BinaryOp::Gt,
        ">=" => BinaryOp::Ge,
        "in" => BinaryOp::In,
        "??" => BinaryOp::Coalesce,
        "..=" | ".." => BinaryOp::Range,
        "+" => BinaryOp::Add,
        "-" => BinaryOp::Sub,
        "*" => BinaryOp::Mul,
        "/" => BinaryOp::Div,
        "%" => BinaryOp::Rem,
        _ => BinaryOp::Or,
    }
}

/// What is in a literal that begins with `{`.
#[derive(Default)]
struct Braces {
    spreads: Vec<Expr>,
    fields: Vec<FieldInit>,
    entries: Vec<(Expr, Expr)>,
}

impl<'t> Builder<'t> {
    /// An expression, or an error where it is missing.
    pub(super) fn expr(&mut self, node: NodeRef<'t>) -> Expr {
        if node.kind() != Kind::Expr {
            return Expr { kind: ExprKind::Error, span: span(node) };
        }
        let weight = node.children().count();
        self.depth += weight;
        let expr = if self.depth > MAX_DEPTH {
            self.report(syntax::too_deep(self.at(span(node))));
            Expr { kind: ExprKind::Error, span: span(node) }
        } else {
            self.climb(&mut node.children().peekable(), 1)
        };
        self.depth -= weight;
        expr
    }

    /// The first expression among the children of a node.
    pub(super) fn first_expr(&mut self, node: NodeRef<'t>) -> Expr {
        let inner = node.children().find(|child| matches!(child.kind(), Kind::Expr | Kind::MissExpr));
        inner.map_or(Expr { kind: ExprKind::Error, span: span(node) }, |inner| self.expr(inner))
    }

    fn climb(&mut self, parts: &mut Parts<'t>, weakest: u8) -> Expr {
        let mut left = self.operand(parts);
        let mut compared: Option<Span> = None;
        while let Some((node, op)) = next_operator(parts, weakest) {
            let strength = strength(op);
            let first = (strength == COMPARISON).then(|| compared.replace(span(node))).flatten();
            let is_chained = first.is_some();
            if let Some(first) = first {
                self.report(syntax::chained_comparison(self.at(span(node)), self.at(first)));
            }
            if node.text() == ".." {
                self.report(syntax::exclusive_range(self.at(span(node))));
            }
            self.check_compares(node);
            // `??` groups to the right, so that `a ?? b ?? c` asks each in turn.
            let right = self.climb(parts, if op == BinaryOp::Coalesce { strength } else { strength + 1 });
            let whole = left.span.to(right.span);
            if is_chained {
                left = Expr { kind: ExprKind::Error, span: whole };
                continue;
            }
            let kind = ExprKind::Binary { op, op_span: span(node), left: Box::new(left), right: Box::new(right) };
            left = Expr { kind, span: whole };
        }
        left
    }

    /// Prefixes, a primary and what follows it.
    fn operand(&mut self, parts: &mut Parts<'t>) -> Expr {
        let mut prefixes = Vec::new();
        while let Some(prefix) = take(parts, &[Kind::Prefix]) {
            prefixes.push(prefix);
        }
        let mut expr = match parts.next() {
            Some(node) if node.kind() == Kind::Number => {
                // The least number has no opposite: its sign belongs to it.
                let sign = prefixes.pop_if(|prefix| prefix.text() == "-" && is_least(node.text()));
                match sign {
                    Some(sign) => Expr { kind: ExprKind::Int(i64::MIN), span: span(sign).to(span(node)) },
                    None => self.primary(node),
                }
            }
            Some(node) => self.primary(node),
            None => Expr { kind: ExprKind::Error, span: prefixes.last().map_or(Span::default(), |last| span(*last)) },
        };
        while let Some(node) = take(parts, &[Kind::MemberAccess, Kind::Call, Kind::Index]) {
            expr = self.postfix(expr, node);
        }
        for prefix in prefixes.into_iter().rev() {
            let op = if prefix.text() == "!" { UnaryOp::Not } else { UnaryOp::Neg };
            let whole = span(prefix).to(expr.span);
            expr = Expr { kind: ExprKind::Unary { op, operand: Box::new(expr) }, span: whole };
        }
        expr
    }

    fn postfix(&mut self, base: Expr, node: NodeRef<'t>) -> Expr {
        let whole = base.span.to(span(node));
        let base = Box::new(base);
        let kind = match node.kind() {
            Kind::MemberAccess => {
                ExprKind::Member { base, name: self.next_name(&mut node.children().peekable(), node) }
            }
            Kind::Index => ExprKind::Index { base, index: Box::new(self.first_expr(node)) },
            _ => ExprKind::Call { callee: base, args: self.args(node) },
        };
        Expr { kind, span: whole }
    }

    /// An operand without prefixes and what follows it.
    pub(super) fn primary(&mut self, node: NodeRef<'t>) -> Expr {
        let kind = match node.kind() {
            Kind::Reference => ExprKind::Name(self.name(node)),
            Kind::Text => ExprKind::Text(self.template(node)),
            Kind::Number => return self.number(node.text(), span(node)),
            Kind::Platform => ExprKind::Platform(self.platform(node)),
            Kind::Constant => match node.text() {
                "none" => ExprKind::None,
                text => ExprKind::Bool(text == "true"),
            },
            Kind::Group if node.child(Kind::Operator).is_some() => return self.round_comparison(node),
            Kind::Group => return Expr { span: span(node), ..self.first_expr(node) },
            Kind::List => self.list(node),
            Kind::Brace => self.brace(node),
            // The value without the name of its type, which is told.
            Kind::NamedRecord => match node.child(Kind::Brace) {
                Some(brace) => self.brace(brace),
                None => ExprKind::Error,
            },
            Kind::IfExpr => {
                let mut parts = exprs(node);
                let condition = self.next_boxed(&mut parts, node);
                let then = self.next_boxed(&mut parts, node);
                ExprKind::If { condition, then, otherwise: self.next_boxed(&mut parts, node) }
            }
            Kind::MatchExpr => {
                let subject = Box::new(self.first_expr(node));
                ExprKind::Match { subject, arms: self.expr_arms(node) }
            }
            _ => ExprKind::Error,
        };
        Expr { kind, span: span(node) }
    }

    /// `(a = b)`, which compares.
    fn round_comparison(&mut self, node: NodeRef<'t>) -> Expr {
        let mut parts = exprs(node);
        let (left, right) = (self.next_boxed(&mut parts, node), self.next_boxed(&mut parts, node));
        let sign = node.child(Kind::Operator).map_or(span(node), span);
        if let Some(sign) = node.child(Kind::Operator) {
            self.check_compares(sign);
        }
        Expr { kind: ExprKind::Binary { op: BinaryOp::Eq, op_span: sign, left, right }, span: span(node) }
    }

    /// A single `=` where `==` is meant.
    fn check_compares(&mut self, sign: NodeRef<'t>) {
        if sign.text() == "=" {
            let message = "`==` compares; `=` gives a name its value";
            self.report(syntax::wrong_sign(self.at(span(sign)), message, "=", "=="));
        }
    }

    /// A number literal.
    pub(super) fn number(&mut self, text: &str, span: Span) -> Expr {
        let kind = match number(text) {
            Ok(Number::Int(value)) => ExprKind::Int(value),
            Ok(Number::Size(bytes)) => ExprKind::Size(bytes),
            Ok(Number::Duration(millis)) => ExprKind::Duration(millis),
            Err(error) => {
                self.report(syntax::bad_number(self.at(span), text, error));
                ExprKind::Error
            }
        };
        Expr { kind, span }
    }

    fn next_boxed(&mut self, parts: &mut impl Iterator<Item = NodeRef<'t>>, parent: NodeRef<'t>) -> Box<Expr> {
        Box::new(match parts.next() {
            Some(node) => self.expr(node),
            None => Expr { kind: ExprKind::Error, span: span(parent).after() },
        })
    }

    fn list(&mut self, node: NodeRef<'t>) -> ExprKind {
        if let Some(comprehension) = node.child(Kind::ListFor) {
            let (heads, condition) = self.clauses(comprehension);
            let body = self.next_boxed(&mut exprs(comprehension), comprehension);
            return ExprKind::ListFor { heads, condition, body };
        }
        let mut elements = Vec::new();
        for child in node.children() {
            match child.kind() {
                Kind::Expr => elements.push(Element { spread: false, value: self.expr(child) }),
                Kind::Spread => elements.push(Element { spread: true, value: self.first_expr(child) }),
                _ => {}
            }
        }
        ExprKind::List(elements)
    }

    fn clauses(&mut self, node: NodeRef<'t>) -> (Vec<ForHead>, Option<Box<Expr>>) {
        let heads = node.children().filter(|child| child.kind() == Kind::Clause);
        let heads = heads.map(|clause| self.for_head(clause)).collect();
        let condition = node.child(Kind::Condition).map(|condition| Box::new(self.first_expr(condition)));
        (heads, condition)
    }

    fn brace(&mut self, node: NodeRef<'t>) -> ExprKind {
        if let Some(comprehension) = node.child(Kind::MapFor) {
            let (heads, condition) = self.clauses(comprehension);
            let mut parts = exprs(comprehension);
            let key = self.next_boxed(&mut parts, comprehension);
            return ExprKind::MapFor { heads, condition, key, value: self.next_boxed(&mut parts, comprehension) };
        }
        let mut braces = Braces::default();
        let mut before: Option<NodeRef<'t>> = None;
        for child in node.children().filter(|child| !child.kind().is_error()) {
            if let Some(before) = before.replace(child) {
                self.check_separated(node, before, child);
            }
            match child.kind() {
                Kind::Spread => {
                    if !braces.fields.is_empty() || !braces.entries.is_empty() {
                        self.report(syntax::late_spread(self.at(span(child))));
                    }
                    braces.spreads.push(self.first_expr(child));
                }
                Kind::Field | Kind::FieldColon => braces.fields.push(self.field(child)),
                _ => {
                    let mut parts = exprs(child);
                    let key = *self.next_boxed(&mut parts, child);
                    braces.entries.push((key, *self.next_boxed(&mut parts, child)));
                }
            }
        }
        if braces.entries.is_empty() {
            return ExprKind::Record { spreads: braces.spreads, fields: braces.fields };
        }
        if let Some(field) = braces.fields.first() {
            self.report(syntax::mixed_braces(self.at(field.name.span), &field.name.text));
        }
        ExprKind::Map { spreads: braces.spreads, entries: braces.entries }
    }

    /// Map entries and spreads are separated by commas, fields by commas or line ends.
    fn check_separated(&mut self, parent: NodeRef<'t>, before: NodeRef<'t>, after: NodeRef<'t>) {
        let gap = parent.slice(before.end()..after.start());
        let line_end = matches!(before.kind(), Kind::Field | Kind::FieldColon | Kind::Spread)
            && matches!(after.kind(), Kind::Field | Kind::FieldColon | Kind::Spread);
        let separated = tokens(gap, 0).any(|token| match token.kind {
            TokenKind::Blank => line_end && token.text.contains('\n'),
            TokenKind::Comment => false,
            TokenKind::Mark => token.text == ",",
        });
        if !separated && !before.broken() {
            self.report(syntax::missing_comma(self.at(span(before).after())));
        }
    }

    fn expr_arms(&mut self, node: NodeRef<'t>) -> Vec<Arm<Expr>> {
        let Some(arms) = node.child(Kind::ExprArms) else { return Vec::new() };
        let arms = arms.children().filter(|arm| arm.kind() == Kind::ExprArm);
        arms.filter_map(|arm| {
            let pattern = self.pattern(arm.children().next()?);
            Some(Arm { pattern, body: *self.next_boxed(&mut exprs(arm), arm), span: span(arm) })
        })
        .collect()
    }

    /// The arguments of a call.
    pub(super) fn args(&mut self, node: NodeRef<'t>) -> Vec<Arg> {
        let args = node.children().filter(|child| child.kind() == Kind::Argument);
        args.map(|child| self.arg(child)).collect()
    }

    fn arg(&mut self, node: NodeRef<'t>) -> Arg {
        let mut parts = node.children().peekable();
        let name = take(&mut parts, &[Kind::Named, Kind::NamedEqual])
            .map(|named| self.next_name(&mut named.children().peekable(), named));
        let value = match parts.next() {
            Some(lambda) if lambda.kind() == Kind::Lambda => {
                let names = lambda.children().filter(|child| child.kind() == Kind::Name);
                let params = names.map(|name| self.name(name)).collect();
                ArgValue::Lambda { params, body: self.first_expr(lambda) }
            }
            Some(value) => ArgValue::Expr(self.expr(value)),
            None => ArgValue::Expr(Expr { kind: ExprKind::Error, span: span(node).after() }),
        };
        Arg { name, value, span: span(node) }
    }
}

/// The expressions directly in a node.
fn exprs(node: NodeRef<'_>) -> std::iter::Filter<Children<'_>, fn(&NodeRef<'_>) -> bool> {
    node.children().filter(|child| matches!(child.kind(), Kind::Expr | Kind::MissExpr))
}

/// The operator that comes next, if it binds at least as strongly as asked.
fn next_operator<'t>(parts: &mut Parts<'t>, weakest: u8) -> Option<(NodeRef<'t>, BinaryOp)> {
    let node = *parts.peek()?;
    let op = operator(node.text());
    (node.kind() == Kind::Operator && strength(op) >= weakest).then(|| {
        parts.next();
        (node, op)
    })
}

/// Whether a number behind a minus is the least of 64 bits.
pub(super) fn is_least(digits: &str) -> bool {
    digits.chars().filter(|c| *c != '_').eq("9223372036854775808".chars())
}
