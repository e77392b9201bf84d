//! Literals in quotes that should have none, and the other way round: what was meant, where that is plain. And paths of
//! one system in bodies of another.

use crate::ast::{Expr as Ast, ExprKind};
use crate::core::Kind;
use crate::diagnostic::platform as say;
use crate::evaluate::escaped;
use crate::modules::plain;
use crate::parse::{Number, number};
use crate::paths;
use crate::span::Span;
use crate::types::{CheckedText, Pattern, Type, has_drive};
use crate::world::Found;

use super::{Body, Typed};

impl Body<'_, '_> {
    /// How an expression has to be written so that it is of the type that is asked: `4GB` for `"4GB"`, `"12"` for `12`.
    pub(super) fn meant(&mut self, expr: &Ast, asked: &Type) -> Option<String> {
        match &expr.kind {
            ExprKind::Text(template) => {
                let text = plain(template)?;
                if let Some(meant) = self.in_package(&text, asked) {
                    return Some(meant);
                }
                // A text with blanks may be several words.
                if is_list_of(asked, &|inner| takes_text(inner, &text)) {
                    return (!text.contains(' ')).then(|| format!("[{}]", self.source(expr.span)));
                }
                literal(&text.split(' ').collect::<String>(), asked)
            }
            ExprKind::Int(_) if is_list_of(asked, &|inner| matches!(inner, Type::Int | Type::Port)) => {
                Some(format!("[{}]", self.source(expr.span)))
            }
            ExprKind::Int(_) | ExprKind::Size(_) | ExprKind::Duration(_) | ExprKind::Bool(_) => {
                let text = self.source(expr.span);
                takes_text(asked, &text).then(|| format!("\"{text}\""))
            }
            _ => None,
        }
    }

    /// `file("./x")` for `"./x"` where one is asked and there is one.
    pub(super) fn in_package(&mut self, text: &str, asked: &Type) -> Option<String> {
        let (takes_file, takes_dir) = (takes(asked, &Type::File), takes(asked, &Type::Dir));
        if !(takes_file || takes_dir) || !text.starts_with('.') {
            return None;
        }
        let module = self.checker.modules.all.get(self.module.0 as usize)?.path.clone();
        let path = paths::resolve(&module, text).ok()?;
        match self.checker.find(&path).ok()? {
            Found::File if takes_file => Some(format!("file(\"{}\")", escaped(text))),
            Found::Dir if takes_dir => Some(format!("dir(\"{}\")", escaped(text))),
            Found::File | Found::Dir | Found::Other | Found::Missing => None,
        }
    }

    /// Whether a path belongs to other systems than the body's, which is reported.
    pub(super) fn is_foreign(&mut self, path: &str, span: Span) -> bool {
        let platforms = self.platforms.as_deref().unwrap_or_default();
        let fits = |platform: &Pattern| platform.os.as_deref().is_none_or(|os| (os == "windows") == has_drive(path));
        let is_path = CheckedText::GuestPath.accepts(path);
        let foreign = platforms.first().filter(|_| is_path && !platforms.iter().any(fits)).cloned();
        if let Some(platform) = &foreign {
            let at = self.at(span);
            self.report(say::foreign_path(at, path, platform));
        }
        foreign.is_some()
    }

    /// Whether a body is given a path that was written where nobody knew its platform: in a `let`, a param, a record.
    /// Literals and texts with holes are looked at where they stand.
    pub(super) fn is_path_from_elsewhere(&self, value: &Typed) -> bool {
        use Kind::{Binary, Builtin, Call, Field, Index, Item, Local};
        self.platforms.is_some()
            && has_paths(&value.ty)
            && matches!(
                value.core.kind,
                Local(_) | Item(_) | Field { .. } | Index { .. } | Call { .. } | Builtin { .. } | Binary { .. }
            )
    }
}

/// Whether a value of this type is a path in the guest, or some of them.
fn has_paths(ty: &Type) -> bool {
    match ty {
        Type::Checked(form) => *form == CheckedText::GuestPath,
        Type::Optional(inner) | Type::List(inner) | Type::Set(inner) | Type::Map(inner, _) => has_paths(inner),
        _ => false,
    }
}

/// The literal of a type that a text holds.
fn literal(text: &str, of: &Type) -> Option<String> {
    let is_number = |fits: &dyn Fn(Number) -> bool| number(text).is_ok_and(fits);
    let is_octal = text.starts_with("0o");
    let fits = match of {
        Type::Optional(inner) if text != "none" => return literal(text, inner),
        Type::Optional(_) => true,
        Type::Union(members) => return members.iter().find_map(|member| literal(text, member)),
        Type::Bool => matches!(text, "true" | "false"),
        Type::Size => is_number(&|n| matches!(n, Number::Size(_))),
        Type::Duration => is_number(&|n| matches!(n, Number::Duration(_))),
        Type::Int => !is_octal && is_number(&|n| matches!(n, Number::Int(_))),
        Type::Port => !is_octal && is_number(&|n| matches!(n, Number::Int(1..=65535))),
        Type::Mode => return mode(text),
        Type::Platform(pattern) => text.parse::<imgc_plan::Platform>().is_ok_and(|platform| {
            let found = Pattern::of(&platform);
            found.unknown_system().is_none() && found.unknown_distro().is_none() && pattern.holds(&found)
        }),
        Type::Nominal(nominal) => nominal.variants().iter().any(|v| v.payload.is_empty() && *v.name == *text),
        _ => false,
    };
    fits.then(|| text.to_owned())
}

fn is_list_of(ty: &Type, fits: &dyn Fn(&Type) -> bool) -> bool {
    match ty {
        Type::List(inner) | Type::Set(inner) => fits(inner),
        Type::Optional(inner) => is_list_of(inner, fits),
        _ => false,
    }
}

/// Permissions as `chmod` takes them, or as we write them.
fn mode(text: &str) -> Option<String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let is_octal = (3..=4).contains(&digits.len()) && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
    let digits = digits.strip_prefix('0').filter(|rest| rest.len() == 3).unwrap_or(digits);
    is_octal.then(|| format!("0o{digits}"))
}

/// Whether a value of `this` type, and no other by way of it, may stand where `asked` is.
pub(super) fn takes(asked: &Type, this: &Type) -> bool {
    match asked.required() {
        Type::Union(members) => members.contains(this),
        other => other == this,
    }
}

/// Whether this text is of the type.
pub(super) fn takes_text(ty: &Type, this: &str) -> bool {
    match ty {
        Type::String => true,
        Type::Checked(form) => form.accepts(this),
        Type::Literal(text) => **text == *this,
        Type::Optional(inner) => takes_text(inner, this),
        Type::Union(members) => members.iter().any(|member| takes_text(member, this)),
        _ => false,
    }
}
