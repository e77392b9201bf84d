//! Items: one function a kind.

use std::sync::Arc;

use crate::ast::{self, Extern, ItemKind, Let};
use crate::core::{Expr, Item, Kind, Param, Signature};
use crate::diagnostic::{names as say_names, types as say};
use crate::names::item_name;
use crate::span::ModuleId;
use crate::types::{Field, ItemId, Nominal, Pattern, Shape, Type, VariantType};

use super::{Body, Checker, Target, Used, Want};

/// Checks one item.
pub(super) fn check(checker: &mut Checker<'_>, id: ItemId) -> Item {
    let Some(item) = checker.syntax(id).cloned() else { return Item::Nothing };
    let stem = checker.modules.all.get(id.module.0 as usize).and_then(|module| stem(&module.path)).unwrap_or_default();
    let mut body = Body::new(checker, id);
    body.end = item.span.end;
    if let Some(name) = item_name(&item.kind) {
        body.used(name.span, || Target::Item(id));
    }
    match &item.kind {
        ItemKind::Error => Item::Nothing,
        ItemKind::Edition { number, span } => {
            if *number != 1 {
                let at = body.at(*span);
                body.report(say_names::unknown_edition(at, *number));
            }
            Item::Nothing
        }
        ItemKind::Import(import) => body.import(import),
        ItemKind::Param(param) => Item::Param(body.param(param)),
        ItemKind::Secret { ty, from, version, .. } => body.secret(ty.as_ref(), from, version.as_ref()),
        ItemKind::Let(value) => {
            let (value, ty) = body.value(value);
            Item::Let { value, ty }
        }
        ItemKind::Output(value) => body.output(value),
        ItemKind::Fn { params, result, body: value, .. } => body.function(params, result.as_ref(), value),
        ItemKind::Record { name, fields } => body.record_item(id, name, fields),
        ItemKind::Enum { name, variants } => body.enum_item(id, name, variants),
        ItemKind::Recipe { params, on, body: statements, .. } => body.recipe(params, on, statements),
        ItemKind::Image { name, each, ty, body: statements } => {
            body.image(name, each.as_ref(), ty.as_ref(), statements, item.span)
        }
        ItemKind::Test { of, body: statements, .. } => body.test(of, statements, item.span),
        ItemKind::Extern(external) => {
            if !body.is_std() {
                let at = body.at(item_name(&item.kind).map_or(item.span, |name| name.span));
                body.report(say_names::extern_outside_std(at));
                return Item::Nothing;
            }
            body.external(external, &stem)
        }
    }
}

/// `rootfs` of `std/rootfs.imgc`.
fn stem(path: &str) -> Option<String> {
    Some(path.rsplit('/').next()?.strip_suffix(".imgc")?.to_owned())
}

impl Body<'_, '_> {
    fn import(&mut self, import: &ast::Import) -> Item {
        let Some(module) = self.checker.modules.all.get(self.module.0 as usize).and_then(|m| m.imports.get(&self.item))
        else {
            return Item::Nothing;
        };
        let module = *module;
        // What it looks up of the other module's params is not noted.
        if !import.args.is_empty() {
            self.checker.untold();
        }
        let Some(items) = self.checker.modules.all.get(module.0 as usize).map(|m| m.tree.clone()) else {
            return Item::Nothing;
        };
        self.imported(import, module);
        let mut args = Vec::new();
        let mut used = Used::new();
        for arg in &import.args {
            let Some(name) = &arg.name else {
                let at = self.at(arg.span);
                self.report(say::too_many_arguments(at, "this import", 0));
                continue;
            };
            let at = self.at(name.span);
            if let Some(first) = used.insert(name.text.clone(), at) {
                self.report(say_names::duplicate_member(at, "argument", &name.text, first));
            }
            let params = || {
                items.items.iter().zip(0_u32..).filter_map(|(item, n)| match &item.kind {
                    ItemKind::Param(param) => Some((n, &param.name.text)),
                    _ => None,
                })
            };
            let Some((position, _)) = params().find(|(_, param)| **param == name.text) else {
                let near = crate::spelling::nearest(&name.text, params().map(|(_, param)| &**param));
                self.report(say_names::import_argument(at, &name.text, near));
                continue;
            };
            self.used(name.span, || Target::Item(ItemId { module, item: position }));
            let checked = self.checker.demand(ItemId { module, item: position });
            if let (Some(Item::Param(param)), ast::ArgValue::Expr(value)) = (checked.as_deref(), &arg.value) {
                let why = format!("`{}` is declared here", param.name);
                let typed = self.expr(value, Some(Want { ty: &param.ty, why: Some((param.at, &why)) }));
                args.push((position, typed.core));
            }
        }
        Item::Import { module, args }
    }

    /// Notes what the names of an import mean.
    fn imported(&mut self, import: &ast::Import, module: ModuleId) {
        let from = match &import.from {
            ast::ImportFrom::Std(path) => path.names.last().map(|name| name.span),
            ast::ImportFrom::File(template) => Some(template.span),
            ast::ImportFrom::Error(_) => None,
        };
        for span in from.into_iter().chain(import.alias.as_ref().map(|alias| alias.span)) {
            self.used(span, || Target::Module(module));
        }
        for name in import.names.iter().flatten() {
            let at = self.at(name.span);
            if let Ok(id) = self.checker.exported(module, name, at) {
                self.used(name.span, || Target::Item(id));
            }
        }
    }

    /// A param of anything. Its slot is the next one, and stays bound.
    fn param(&mut self, param: &ast::Param) -> Param {
        let written = param.ty.as_ref().map(|ty| (self.written(ty), ty.span));
        let default = param.default.as_ref().map(|default| {
            let why = written.as_ref().map(|(_, span)| (self.at(*span), "this is its type"));
            let want = written.as_ref().map(|(ty, _)| Want { ty, why });
            self.expr(default, want)
        });
        let ty = match (written, &default) {
            (Some((ty, _)), _) => ty,
            (None, Some(default)) => default.ty.clone(),
            (None, None) => Type::Error,
        };
        let at = self.at(param.name.span);
        self.push(param.name.text.clone(), ty.clone(), at);
        let predicate = param.predicate.as_ref().map(|predicate| self.condition(predicate));
        let (name, docs) = (param.name.text.clone(), param.docs.clone());
        Param { name, docs, ty, default: default.map(|default| default.core), predicate, at }
    }

    /// Params or fields in order, each in a slot of its own.
    fn params(&mut self, params: &[ast::Param], what: &str) -> Vec<Param> {
        let mut used = Used::new();
        let mut checked = Vec::with_capacity(params.len());
        for param in params {
            let at = self.at(param.name.span);
            if let Some(first) = used.insert(param.name.text.clone(), at) {
                self.report(say_names::duplicate_member(at, what, &param.name.text, first));
            } else if what == "param" && !self.is_std() {
                self.not_taken(&param.name);
            }
            checked.push(self.param(param));
        }
        checked
    }

    fn not_taken(&mut self, name: &ast::Name) {
        let at = self.at(name.span);
        if let Some(first) = self.checker.names.place(self.module, &name.text) {
            self.report(say_names::shadowing(at, &name.text, Some(first)));
        } else if self.checker.names.is_prelude(&name.text) {
            self.report(say_names::shadowing(at, &name.text, None));
        }
    }

    /// The value of a `let` or output with its type.
    fn value(&mut self, value: &Let) -> (Expr, Type) {
        if let Some(written) = &value.ty {
            let ty = self.written(written);
            let why = Some((self.at(written.span), "this is its type"));
            let typed = self.expr(&value.value, Some(Want { ty: &ty, why }));
            // What is more exact than the annotation stays known.
            let more = matches!(ty, Type::Image(..) | Type::Artifact(..) | Type::Source(..) | Type::Platform(_));
            (typed.core, if more && !typed.ty.is_error() { typed.ty } else { ty })
        } else {
            let typed = self.infer(&value.value);
            if matches!(typed.core.kind, Kind::Value(crate::evaluate::Value::None)) && item_is_let(self) {
                let at = self.at(value.value.span);
                self.report(say::untyped_none(at, &value.name.text));
            }
            (typed.core, typed.ty)
        }
    }

    fn output(&mut self, value: &Let) -> Item {
        let (core, ty) = self.value(value);
        if ty.holds_secret() {
            let at = self.at(value.value.span);
            self.report(crate::diagnostic::secrets::misused(at, crate::diagnostic::secrets::Use::Output));
            return Item::Output { value: Expr { kind: Kind::Error, at }, ty: Type::Error };
        }
        if let Some(wrong) = not_an_output(&ty) {
            let at = self.at(value.value.span);
            self.report(say::bad_output(at, wrong));
            return Item::Output { value: Expr { kind: Kind::Error, at }, ty: Type::Error };
        }
        Item::Output { value: core, ty }
    }

    fn function(&mut self, params: &[ast::Param], result: Option<&ast::TypeExpr>, value: &ast::Expr) -> Item {
        let params = self.params(params, "param");
        let (result, body) = if let Some(written) = result {
            let ty = self.written(written);
            let why = Some((self.at(written.span), "this is what it gives"));
            let typed = self.expr(value, Some(Want { ty: &ty, why }));
            (ty, typed)
        } else {
            let typed = self.infer(value);
            (typed.ty.clone(), typed)
        };
        Item::Fn { params, result, body: body.core }
    }

    fn record_item(&mut self, id: ItemId, name: &ast::Name, fields: &[ast::Param]) -> Item {
        let params = self.params(fields, "field");
        let nominal = Nominal { id, name: name.text.clone(), shape: Shape::Record(fields_of(&params)) };
        Item::Record { params, ty: Type::Nominal(Arc::new(nominal)) }
    }

    fn enum_item(&mut self, id: ItemId, name: &ast::Name, variants: &[ast::Variant]) -> Item {
        let mut used = Used::new();
        let mut checked = Vec::with_capacity(variants.len());
        let mut types = Vec::with_capacity(variants.len());
        for variant in variants {
            let at = self.at(variant.name.span);
            if let Some(first) = used.insert(variant.name.text.clone(), at) {
                self.report(say_names::duplicate_member(at, "variant", &variant.name.text, first));
            }
            self.used(variant.name.span, || Target::Variant { of: id, name: variant.name.text.clone() });
            let payload = self.within(variant.span, |this| this.params(&variant.payload, "field"));
            types.push(VariantType { name: variant.name.text.clone(), payload: fields_of(&payload) });
            checked.push((variant.name.text.clone(), payload));
        }
        let nominal = Nominal { id, name: name.text.clone(), shape: Shape::Enum(types) };
        Item::Enum { variants: checked, ty: Type::Nominal(Arc::new(nominal)) }
    }

    fn platforms_of(&mut self, on: &[ast::Platform]) -> Vec<Pattern> {
        on.iter().map(|platform| self.pattern(platform)).collect()
    }

    fn recipe(&mut self, params: &[ast::Param], on: &[ast::Platform], statements: &[ast::Statement]) -> Item {
        let on = self.platforms_of(on);
        let params = self.params(params, "param");
        self.platforms = Some(if on.is_empty() { vec![Pattern::ANY] } else { on.clone() });
        let body = self.statements(statements, false);
        Item::Recipe { params, on, body }
    }

    fn external(&mut self, external: &Extern, stem: &str) -> Item {
        let number = |revision: i64| u32::try_from(revision).unwrap_or(1);
        match external {
            Extern::Step { revision, on, fields, .. } => {
                let on = self.platforms_of(on);
                Item::Step { revision: number(*revision), on, fields: self.params(fields, "field") }
            }
            Extern::Source { name, revision, params, result, machine } => {
                let params = self.params(params, "param");
                let result = result.as_ref().map_or(Type::Error, |result| self.written(result));
                let machine = machine.as_ref().map(|machine| self.written(machine));
                let kind = format!("{stem}.{}", name.text).into();
                Item::Source(Signature { kind, revision: number(*revision), params, result, machine })
            }
            Extern::Artifact { name, revision, params, result } => {
                let params = self.params(params, "param");
                let result = result.as_ref().map_or(Type::Error, |result| self.written(result));
                let kind = format!("{stem}.{}", name.text).into();
                Item::Artifact(Signature { kind, revision: number(*revision), params, result, machine: None })
            }
        }
    }
}

fn item_is_let(body: &Body<'_, '_>) -> bool {
    let id = ItemId { module: body.module, item: body.item };
    body.checker.syntax(id).is_some_and(|item| matches!(item.kind, ItemKind::Let(_)))
}

fn fields_of(params: &[Param]) -> Vec<Field> {
    params.iter().map(|p| Field { name: p.name.clone(), ty: p.ty.clone(), optional: p.is_optional() }).collect()
}

/// The part of a type that no output can have.
fn not_an_output(ty: &Type) -> Option<&Type> {
    match ty {
        // An output is one file.
        Type::Source(..) | Type::Script(_) | Type::Range(_) | Type::Dir => Some(ty),
        Type::List(inner) | Type::Set(inner) | Type::Optional(inner) | Type::Map(_, inner) => not_an_output(inner),
        Type::Union(members) => members.iter().find_map(not_an_output),
        Type::Anonymous(fields) => fields.iter().find_map(|field| not_an_output(&field.ty)),
        Type::Nominal(nominal) => nominal.fields().iter().find_map(|field| not_an_output(&field.ty)),
        _ => None,
    }
}
