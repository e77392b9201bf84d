//! `match`: patterns, whether they cover the subject, and what they bind.

use std::sync::Arc;

use crate::ast::{Arm, Expr as Ast, Pattern as AstPattern, PatternKind};
use crate::core::{Kind, Pat};
use crate::diagnostic::types as say;
use crate::evaluate::Value;
use crate::span::Span;
use crate::types::{Pattern, Shape, Type};

use super::facts::{collect_platforms, narrowed_by};
use super::{Body, Root, Target, Typed, Want};

/// What the arms of a match cover so far.
#[derive(Default)]
struct Covered {
    rest: bool,
    none: bool,
    variants: Vec<Arc<str>>,
    literals: Vec<Value>,
    platforms: Vec<Pattern>,
}

impl Body<'_, '_> {
    pub(super) fn match_expr(&mut self, subject: &Ast, arms: &[Arm<Ast>], span: Span, want: Option<Want<'_>>) -> Typed {
        let mut result = Type::Never;
        let mut first = span;
        let mut cores = Vec::with_capacity(arms.len());
        let typed = self.arms(subject, arms, span, |body, arm, pat| {
            let typed = body.expr(&arm.body, want);
            if cores.is_empty() {
                first = arm.body.span;
            }
            result = body.joined(&result, &typed.ty, arm.body.span, first);
            cores.push((pat, typed.core));
        });
        let ty = if typed.ty.is_error() { Type::Error } else { result };
        self.typed(Kind::Match { subject: Box::new(typed.core), arms: cores }, span, ty)
    }

    /// Checks the subject and every pattern; `each` checks the body of an arm with what its pattern binds.
    pub(super) fn arms<T>(
        &mut self,
        subject: &Ast,
        arms: &[Arm<T>],
        span: Span,
        mut each: impl FnMut(&mut Self, &Arm<T>, Pat),
    ) -> Typed {
        let mut typed = self.infer(subject);
        if self.refuses_secret(&typed.ty, subject.span, crate::diagnostic::secrets::Use::Condition) {
            typed = self.poison(subject.span);
        }
        let key = self.key_of(subject);
        let is_platform = matches!(typed.core.kind, Kind::Platform);
        let mut covered = Covered::default();
        for arm in arms {
            self.within(arm.span, |this| {
                let whole_before = this.uncovered(&typed.ty, &covered).is_none() && !typed.ty.is_error();
                let pat = this.pattern_of(&arm.pattern, &typed.ty, &mut covered, whole_before);
                let ty = narrowed_by(&typed.ty, &pat, covered.none);
                let fact = key.clone().filter(|key| key.root != Root::Platform).zip(ty);
                if is_platform {
                    this.platforms = Some(this.narrowed_platforms(&pat));
                }
                this.facts.extend(fact);
                each(this, arm, pat);
            });
        }
        if let Some(missing) = self.uncovered(&typed.ty, &covered)
            && !typed.ty.is_error()
        {
            let at = self.at(Span { start: span.start, end: subject.span.end.max(span.start) });
            self.report(say::not_exhaustive(at, &missing));
        }
        typed
    }

    fn narrowed_platforms(&self, pat: &Pat) -> Vec<Pattern> {
        let all = self.platforms.clone().unwrap_or_default();
        let mut wanted = Vec::new();
        collect_platforms(pat, &mut wanted);
        if wanted.is_empty() {
            return all;
        }
        all.iter().flat_map(|one| wanted.iter().filter_map(|want| one.and(want))).collect()
    }

    fn pattern_of(&mut self, pattern: &AstPattern, subject: &Type, covered: &mut Covered, whole: bool) -> Pat {
        let at = self.at(pattern.span);
        if whole {
            self.report(say::unreachable_arm(at));
        }
        match &pattern.kind {
            PatternKind::Error => Pat::Rest,
            PatternKind::Rest => {
                covered.rest = true;
                Pat::Rest
            }
            PatternKind::None => {
                if !matches!(subject, Type::Optional(_) | Type::None | Type::Error) {
                    self.report(say::pattern_mismatch(at, "none", subject));
                }
                self.once_covered(at, whole, covered.none);
                covered.none = true;
                Pat::None
            }
            PatternKind::Platform(platform) => {
                let written = self.pattern(platform);
                match subject.required() {
                    Type::Platform(of) if of.and(&written).is_none() && !whole => {
                        self.report(say::impossible_arm(at, of));
                    }
                    Type::Platform(_) => {
                        let before = covered.platforms.iter().any(|known| known.holds(&written));
                        self.once_covered(at, whole, before);
                    }
                    Type::Error => {}
                    other => self.report(say::pattern_mismatch(at, &written.to_string(), other)),
                }
                covered.platforms.push(written.clone());
                Pat::Platform(written)
            }
            PatternKind::Literal(literal) => self.literal_pattern(literal, subject, covered, whole),
            PatternKind::Variant { path, bindings } => self.variant_pattern(path, bindings, subject, covered, whole),
            PatternKind::Any(patterns) => {
                Pat::Any(patterns.iter().map(|pattern| self.pattern_of(pattern, subject, covered, whole)).collect())
            }
        }
    }

    /// Reports an arm whose values all went to arms before it.
    fn once_covered(&mut self, at: crate::span::Location, whole: bool, before: bool) {
        if before && !whole {
            self.report(say::unreachable_arm(at));
        }
    }

    fn literal_pattern(&mut self, literal: &Ast, subject: &Type, covered: &mut Covered, whole: bool) -> Pat {
        let at = self.at(literal.span);
        if matches!(subject.required(), Type::List(_) | Type::Set(_)) {
            let written = self.source(literal.span);
            self.report(say::pattern_mismatch(at, &written, subject));
            return Pat::Rest;
        }
        let typed = self.expr(literal, Some(Want { ty: subject, why: None }));
        let Kind::Value(value) = typed.core.kind else {
            if !typed.ty.is_error() {
                self.report(say::pattern_mismatch(at, say::THIS, subject));
            }
            return Pat::Rest;
        };
        let before = covered.literals.contains(&value);
        self.once_covered(at, whole, before);
        covered.literals.push(value.clone());
        Pat::Literal(value)
    }

    fn variant_pattern(
        &mut self,
        path: &crate::ast::Path,
        bindings: &[crate::ast::Name],
        subject: &Type,
        covered: &mut Covered,
        whole: bool,
    ) -> Pat {
        let at = self.at(path.span);
        let Some(name) = path.names.last() else { return Pat::Rest };
        let Some(nominal) = subject.as_enum().cloned() else {
            if !subject.is_error() {
                self.report(say::pattern_mismatch(at, &name.text, subject));
            }
            for binding in bindings {
                self.bind(binding, Type::Error);
            }
            return Pat::Rest;
        };
        let Some(variant) = nominal.variants().iter().find(|variant| variant.name == name.text) else {
            let near = crate::spelling::nearest(&name.text, nominal.variants().iter().map(|variant| &*variant.name));
            self.report(say::unknown_variant(at, &name.text, &nominal, near));
            return Pat::Rest;
        };
        if let [of, _] = path.names.as_slice() {
            self.used(of.span, || Target::Item(nominal.id));
        }
        self.used(name.span, || Target::Variant { of: nominal.id, name: variant.name.clone() });
        let before = covered.variants.contains(&variant.name);
        self.once_covered(at, whole, before);
        covered.variants.push(variant.name.clone());
        if !bindings.is_empty() && bindings.len() != variant.payload.len() {
            self.report(say::member_arguments(at, &name.text, variant.payload.len(), bindings.len()));
        }
        let bound = bindings.iter().zip(&variant.payload);
        let bindings = bound.map(|(name, field)| (field.name.clone(), self.bind(name, field.ty.clone()))).collect();
        Pat::Variant { name: variant.name.clone(), bindings }
    }

    /// What is left over, in users' words; none where all is covered.
    fn uncovered(&self, subject: &Type, covered: &Covered) -> Option<String> {
        if covered.rest {
            return None;
        }
        let literal = |value: Value| (!covered.literals.contains(&value)).then(|| value.shown());
        match subject {
            Type::Error => None,
            Type::None => (!covered.none).then(|| "none".to_owned()),
            Type::Optional(_) if !covered.none => Some("none".to_owned()),
            Type::Optional(inner) => self.uncovered(inner, covered),
            Type::Union(members) => members.iter().find_map(|member| self.uncovered(member, covered)),
            Type::Bool => literal(Value::Bool(true)).or_else(|| literal(Value::Bool(false))),
            Type::Literal(text) => literal(Value::Text(text.clone())),
            Type::Platform(pattern) => {
                let all = match &self.platforms {
                    Some(platforms) if platforms.len() > 1 => platforms.clone(),
                    Some(_) | None => vec![pattern.clone()],
                };
                all.iter().find(|one| !one.is_covered(&covered.platforms)).map(ToString::to_string)
            }
            Type::Nominal(nominal) => match &nominal.shape {
                Shape::Enum(variants) => {
                    variants.iter().find(|v| !covered.variants.contains(&v.name)).map(|v| v.name.to_string())
                }
                Shape::Record(_) => Some("_".to_owned()),
            },
            _ => Some("_".to_owned()),
        }
    }
}
