//! Arguments and fields against what is declared.

use std::sync::Arc;

use crate::ast::{Arg, ArgValue, FieldInit};
use crate::core::{Expr, Param};
use crate::diagnostic::{names as say_names, types as say};
use crate::span::Span;
use crate::types::{ItemId, Type};

use super::indices::{Found, substituted};
use super::{Body, Target, Typed, Used, Want};

/// Arguments by position of their params.
pub(super) struct Arguments {
    /// None where the default is meant.
    pub(super) cores: Vec<Option<Expr>>,
    /// As exact as known; none where the default is meant.
    pub(super) types: Vec<Option<Type>>,
    found: Vec<Option<Found>>,
    /// Whether all required ones are there.
    pub(super) whole: bool,
}

impl Arguments {
    /// What they say of the params that index types.
    pub(super) fn found(&self) -> &[Option<Found>] {
        &self.found
    }
}

impl Body<'_, '_> {
    /// The arguments of a call of `what`.
    pub(super) fn arguments(
        &mut self,
        (of, variant): (ItemId, Option<&Arc<str>>),
        what: &str,
        params: &[Param],
        args: &[Arg],
        call: Span,
    ) -> Arguments {
        let mut found: Vec<Option<Found>> = params.iter().map(|_| None).collect();
        let mut used = Used::new();
        let mut position = 0;
        let mut whole = true;
        for arg in args {
            let index = if let Some(name) = &arg.name {
                params.iter().position(|param| param.name == name.text)
            } else {
                position += 1;
                (position <= params.len()).then(|| position - 1)
            };
            let Some((index, param)) = index.and_then(|index| Some((index, params.get(index)?))) else {
                whole = false;
                self.unmatched(what, params, arg);
                continue;
            };
            let at = self.at(arg.name.as_ref().map_or(arg.span, |name| name.span));
            if let Some(first) = used.insert(param.name.clone(), at) {
                self.report(say_names::duplicate_member(at, "argument", &param.name, first));
            }
            if let Some(name) = &arg.name {
                let variant = variant.cloned();
                self.used(name.span, || Target::Member { of, variant, name: param.name.clone() });
            }
            let asked = substituted(&param.ty, params, &found);
            let typed = self.argument(param, &asked, arg);
            let is_index = |ty: &Type| ty.required().platform().is_some();
            let value = self.checker.constant(&typed.core).filter(|_| !is_index(&typed.ty));
            let words = match &arg.value {
                ArgValue::Expr(value) => self.words_of(value),
                ArgValue::Lambda { .. } => None,
            };
            if let Some(slot) = found.get_mut(index) {
                *slot = Some(Found { core: typed.core, ty: typed.ty, value, words });
            }
        }
        let is_missing = |(param, typed): &(&Param, &Option<Found>)| typed.is_none() && !param.is_optional();
        let missing: Vec<&Param> = params.iter().zip(&found).filter(is_missing).map(|(param, _)| param).collect();
        if let Some(first) = missing.first()
            && whole
        {
            let names: Vec<&str> = missing.iter().map(|param| &*param.name).collect();
            let at = self.at(call);
            self.report(say::missing_arguments(at, what, &names, first.at));
        }
        whole &= missing.is_empty();
        let cores = found.iter().map(|found| found.as_ref().map(|found| found.core.clone())).collect();
        let types = found.iter().map(|found| found.as_ref().map(|found| found.ty.clone())).collect();
        Arguments { cores, types, found, whole }
    }

    fn argument(&mut self, param: &Param, ty: &Type, arg: &Arg) -> Typed {
        match &arg.value {
            ArgValue::Expr(value) => {
                let why = format!("`{}` is declared here", param.name);
                self.expr(value, Some(Want { ty, why: Some((param.at, &why)) }))
            }
            ArgValue::Lambda { .. } => {
                let at = self.at(arg.span);
                self.report(say::misplaced_lambda(at));
                self.poison(arg.span)
            }
        }
    }

    fn unmatched(&mut self, what: &str, params: &[Param], arg: &Arg) {
        let names = params.iter().map(|param| &*param.name);
        let diagnostic = match &arg.name {
            Some(name) => say::unknown_argument(self.at(name.span), what, &name.text, names),
            None => say::too_many_arguments(self.at(arg.span), what, params.len()),
        };
        self.report(diagnostic);
        if let ArgValue::Expr(value) = &arg.value {
            self.unchecked(value);
        }
    }

    /// Checks a value whose field or parameter nobody knows. A bare name may be a variant of an unknown enum.
    pub(super) fn unchecked(&mut self, value: &crate::ast::Expr) {
        if !matches!(value.kind, crate::ast::ExprKind::Name(_)) {
            self.infer(value);
        }
    }

    /// The fields of a step.
    pub(super) fn step_fields(
        &mut self,
        (of, kind): (ItemId, &str),
        declared: &[Param],
        fields: &[FieldInit],
        step: Span,
    ) -> Vec<(Arc<str>, Expr)> {
        let mut used = Used::new();
        let mut cores = Vec::with_capacity(fields.len());
        // Misspelt fields are not missing as well.
        let mut meant: Vec<&str> = Vec::new();
        for field in fields {
            let at = self.at(field.name.span);
            if let Some(first) = used.insert(field.name.text.clone(), at) {
                self.report(say_names::duplicate_member(at, "field", &field.name.text, first));
            }
            if let Some(param) = declared.iter().find(|param| param.name == field.name.text) {
                self.used(field.name.span, || Target::Member { of, variant: None, name: param.name.clone() });
                let why = format!("`{}` is declared here", param.name);
                let want = Want { ty: &param.ty, why: Some((param.at, &why)) };
                cores.push((param.name.clone(), self.expr(&field.value, Some(want)).core));
            } else {
                if !field.name.text.is_empty() {
                    let names = || declared.iter().map(|param| &*param.name);
                    meant.extend(say::meant_field(&field.name.text, &names().collect::<Vec<_>>()));
                    self.report(say::unknown_field(at, kind, &field.name.text, names()));
                }
                self.unchecked(&field.value);
            }
        }
        let is_missing =
            |param: &&Param| !param.is_optional() && !used.contains_key(&param.name) && !meant.contains(&&*param.name);
        let is_unclear = fields.iter().any(|field| field.name.text.is_empty());
        let missing: Vec<&Param> = declared.iter().filter(is_missing).filter(|_| !is_unclear).collect();
        if let Some(first) = missing.first() {
            let names: Vec<&str> = missing.iter().map(|param| &*param.name).collect();
            let at = self.at(step);
            self.report(say::missing_fields(at, kind, &names, Some(first.at)));
        }
        cores
    }
}
