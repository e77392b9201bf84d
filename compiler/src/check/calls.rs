//! Calls and members that name items: functions, sources, artifacts, variants, `file`, `dir`, `raw`.

use std::sync::Arc;

use crate::ast::{Arg, ArgValue, Expr as Ast, ExprKind, Name};
use crate::core::{Expr, Item, Kind, Ref, Signature};
use crate::diagnostic::{evaluate as say_evaluate, names as say_names, types as say};
use crate::evaluate::Value;
use crate::modules::plain;
use crate::names::Bound;
use crate::paths::{self, PathFault};
use crate::span::{Location, ModuleId, Span};
use crate::types::{Nominal, Type};
use crate::world::{Found, WorldError};

use super::{Body, Target, Typed, Want};

/// Where an expectation comes from.
pub(super) type Why<'w> = Option<(Location, &'w str)>;

/// What stands before a dot, where it is no value.
enum Base {
    Module { module: ModuleId, via: Option<u32> },
    Enum(Ref, Arc<Nominal>),
}

impl Body<'_, '_> {
    fn base(&mut self, base: &Ast) -> Option<Base> {
        let ExprKind::Name(name) = &base.kind else { return self.enum_of_module(base) };
        if self.local(&name.text).is_some() {
            return None;
        }
        match self.checker.names.find(self.module, &name.text)? {
            Bound::Module { module, via } => {
                self.used(name.span, || Target::Module(module));
                Some(Base::Module { module, via })
            }
            Bound::Item(item) => match self.checker.demand(item.id).as_deref() {
                Some(Item::Enum { ty: Type::Nominal(nominal), .. }) => {
                    self.used(name.span, || Target::Item(item.id));
                    Some(Base::Enum(item, nominal.clone()))
                }
                _ => None,
            },
        }
    }

    /// `qemu.Firmware` before `.uefi`. What is wrong with such a name is told where it is checked as a value.
    fn enum_of_module(&mut self, base: &Ast) -> Option<Base> {
        let ExprKind::Member { base, name } = &base.kind else { return None };
        let ExprKind::Name(module_name) = &base.kind else { return None };
        if self.local(&module_name.text).is_some() {
            return None;
        }
        let Some(Bound::Module { module, via }) = self.checker.names.find(self.module, &module_name.text) else {
            return None;
        };
        let id = self.checker.exported(module, name, self.at(name.span)).ok()?;
        match self.checker.demand(id).as_deref() {
            Some(Item::Enum { ty: Type::Nominal(nominal), .. }) => {
                self.used(module_name.span, || Target::Module(module));
                self.used(name.span, || Target::Item(id));
                Some(Base::Enum(Ref { id, via }, nominal.clone()))
            }
            _ => None,
        }
    }

    /// An item of another module; what is wrong with it is reported.
    pub(super) fn exported(&mut self, module: ModuleId, via: Option<u32>, name: &Name) -> Option<Ref> {
        if name.text.is_empty() {
            return None;
        }
        match self.checker.exported(module, name, self.at(name.span)) {
            Ok(id) => {
                self.used(name.span, || Target::Item(id));
                Some(Ref { id, via })
            }
            Err(diagnostic) => {
                if let Some(diagnostic) = diagnostic {
                    self.report(*diagnostic);
                }
                None
            }
        }
    }

    pub(super) fn member(&mut self, base: &Ast, name: &Name, span: Span) -> Typed {
        match self.base(base) {
            Some(Base::Module { module, via }) => match self.exported(module, via, name) {
                Some(item) => self.item_value(item, span),
                None => self.poison(span),
            },
            Some(Base::Enum(of, nominal)) => self.variant(of, &nominal, name, None, span),
            None => self.value_member(base, name, None, span),
        }
    }

    pub(super) fn call(&mut self, callee: &Ast, args: &[Arg], span: Span, want: Option<Want<'_>>) -> Typed {
        match &callee.kind {
            ExprKind::Name(name) => self.call_name(name, args, span, want),
            ExprKind::Member { base, name } => match self.base(base) {
                Some(Base::Module { module, via }) => match self.exported(module, via, name) {
                    Some(item) => self.call_item(item, args, span, callee.span),
                    None => self.poison_args(args, span),
                },
                Some(Base::Enum(of, nominal)) => self.variant(of, &nominal, name, Some(args), span),
                None => self.value_member(base, name, Some(args), span),
            },
            ExprKind::Error => self.poison_args(args, span),
            _ => {
                let at = self.at(callee.span);
                self.report(say::not_callable(at, say::THIS));
                self.poison_args(args, span)
            }
        }
    }

    /// Still checks the arguments of a call that cannot be made.
    fn poison_args(&mut self, args: &[Arg], span: Span) -> Typed {
        for arg in args {
            if let ArgValue::Expr(value) = &arg.value {
                self.infer(value);
            }
        }
        self.poison(span)
    }

    fn call_name(&mut self, name: &Name, args: &[Arg], span: Span, want: Option<Want<'_>>) -> Typed {
        if let Some(nominal) = want.and_then(|want| want.ty.as_enum())
            && nominal.variants().iter().any(|variant| variant.name == name.text)
        {
            let of = Ref { id: nominal.id, via: None };
            return self.variant(of, &nominal.clone(), name, Some(args), span);
        }
        if let Some((slot, _)) = self.local(&name.text) {
            self.used_local(name.span, slot);
            let at = self.at(name.span);
            self.report(say::not_callable(at, &name.text));
            return self.poison_args(args, span);
        }
        match (&*name.text, self.checker.names.find(self.module, &name.text)) {
            (_, Some(Bound::Item(item))) => {
                self.used(name.span, || Target::Item(item.id));
                self.call_item(item, args, span, name.span)
            }
            (_, Some(Bound::Module { module, .. })) => {
                self.used(name.span, || Target::Module(module));
                let at = self.at(name.span);
                self.report(say::not_callable(at, &name.text));
                self.poison_args(args, span)
            }
            ("file" | "dir" | "raw", None) => {
                self.used(name.span, || Target::Function(name.text.clone()));
                match &*name.text {
                    "file" => self.file(args, span),
                    "dir" => self.dir(args, span),
                    _ => self.raw(args, span, want),
                }
            }
            (_, None) => {
                let at = self.at(name.span);
                let near =
                    crate::spelling::nearest(&name.text, self.checker.names.visible(self.module)).map(str::to_owned);
                self.report(say_names::unknown_name(at, &name.text, near.as_deref(), false));
                self.poison_args(args, span)
            }
        }
    }

    fn call_item(&mut self, item: Ref, args: &[Arg], span: Span, callee: Span) -> Typed {
        let found = self.checker.demand(item.id);
        let name = self.checker.name(item.id);
        match found.as_deref() {
            Some(Item::Fn { params, result, .. }) => {
                let arguments = self.arguments((item.id, None), &name, params, args, span);
                if !arguments.whole {
                    return self.poison(span);
                }
                let ty = super::indices::substituted(result, params, arguments.found());
                self.typed(Kind::Call { of: item, args: arguments.cores }, span, ty)
            }
            Some(Item::Source(signature) | Item::Artifact(signature)) => {
                self.call_signature(item, signature, args, span)
            }
            Some(Item::Nothing) | None => self.poison_args(args, span),
            Some(_) => {
                let at = self.at(callee);
                self.report(say::not_callable(at, &name));
                self.poison_args(args, span)
            }
        }
    }

    fn call_signature(&mut self, item: Ref, signature: &Signature, args: &[Arg], span: Span) -> Typed {
        let arguments = self.arguments((item.id, None), &signature.kind, &signature.params, args, span);
        if !arguments.whole {
            return self.poison(span);
        }
        // Without a wrong argument the platform and format would be others.
        let is_wrong = arguments.types.iter().flatten().any(Type::is_error);
        let ty = if is_wrong {
            Type::Error
        } else {
            super::indices::substituted(&signature.result, &signature.params, arguments.found())
        };
        self.typed(Kind::Call { of: item, args: arguments.cores }, span, ty)
    }

    /// A variant by its bare name, where an enum is asked.
    pub(super) fn bare_variant(&mut self, name: &Name, asked: &Type) -> Option<Typed> {
        let nominal = asked.as_enum()?.clone();
        nominal.variants().iter().find(|variant| variant.name == name.text)?;
        Some(self.variant(Ref { id: nominal.id, via: None }, &nominal, name, None, name.span))
    }

    fn variant(&mut self, of: Ref, nominal: &Arc<Nominal>, name: &Name, args: Option<&[Arg]>, span: Span) -> Typed {
        let at = self.at(name.span);
        let ty = Type::Nominal(nominal.clone());
        let item = self.checker.demand(of.id);
        let Some(Item::Enum { variants, .. }) = item.as_deref() else { return self.poison(span) };
        let Some((variant, payload)) = variants.iter().find(|(variant, _)| *variant == name.text) else {
            let names = nominal.variants().iter().map(|variant| &*variant.name);
            let near = crate::spelling::nearest(&name.text, names);
            self.report(say::unknown_variant(at, &name.text, nominal, near));
            return self.poison(span);
        };
        self.used(name.span, || Target::Variant { of: of.id, name: variant.clone() });
        if payload.is_empty() && args.is_none() {
            let value = Value::Variant { name: variant.clone(), payload: Arc::default() };
            return self.typed(Kind::Value(value), span, ty);
        }
        let arguments = self.arguments((of.id, Some(variant)), variant, payload, args.unwrap_or_default(), span);
        if !arguments.whole {
            return self.poison(span);
        }
        let names = payload.iter().map(|param| param.name.clone());
        let given = names.zip(arguments.cores).filter_map(|(name, core)| Some((name, core?))).collect();
        self.typed(Kind::Variant { of, name: variant.clone(), payload: given }, span, ty)
    }

    /// The one plain text that `file` and `dir` take.
    fn path_argument(&mut self, what: &str, args: &[Arg], span: Span) -> Option<(String, Location)> {
        let first = args.iter().find(|arg| arg.name.is_none());
        let Some(Arg { value: ArgValue::Expr(value), .. }) = first else {
            let at = self.at(span);
            self.report(say::needs_path(at, what));
            return None;
        };
        let at = self.at(value.span);
        let ExprKind::Text(template) = &value.kind else {
            if !matches!(value.kind, ExprKind::Error) {
                self.report(say::needs_path(at, what));
            }
            return None;
        };
        let Some(written) = plain(template) else {
            self.report(say::needs_path(at, what));
            return None;
        };
        let module = self.checker.modules.all.get(self.module.0 as usize).map(|m| m.path.clone()).unwrap_or_default();
        match paths::resolve(&module, &written) {
            Ok(path) => Some((path, at)),
            Err(PathFault::Outside) => {
                self.report(say_evaluate::outside(at, &written));
                None
            }
            Err(PathFault::Absolute) => {
                self.report(say_evaluate::absolute(at, &written));
                None
            }
            Err(PathFault::Malformed) => {
                self.report(say::bad_path(at, &written));
                None
            }
        }
    }

    fn exists(&mut self, path: &str, at: Location, wanted: Found) -> bool {
        let diagnostic = match self.checker.find(path) {
            Ok(found) if found == wanted => return true,
            Ok(Found::Missing) | Err(WorldError::Missing { .. }) => say_evaluate::missing_path(at, path),
            Ok(found) => say_evaluate::wrong_kind(at, if path.is_empty() { "." } else { path }, wanted, found),
            Err(WorldError::Outside { .. }) => say_evaluate::outside(at, path),
            Err(error) => say_evaluate::unreadable(at, &error),
        };
        self.report(diagnostic);
        false
    }

    fn file(&mut self, args: &[Arg], span: Span) -> Typed {
        let Some((path, at)) = self.path_argument("file", args, span) else { return self.poison(span) };
        if let Some(extra) = args.get(1) {
            let at = self.at(extra.span);
            self.report(say::too_many_arguments(at, "file", 1));
        }
        if !self.exists(&path, at, Found::File) {
            return self.poison(span);
        }
        self.typed(Kind::File(Arc::from(path)), span, Type::File)
    }

    fn dir(&mut self, args: &[Arg], span: Span) -> Typed {
        let Some((path, at)) = self.path_argument("dir", args, span) else { return self.poison(span) };
        let strings = Type::List(Arc::new(Type::String));
        let mut ignore = Expr { kind: Kind::List(Vec::new()), at };
        for arg in args.iter().filter(|arg| arg.name.is_some()) {
            let name = arg.name.as_ref().map(|name| &*name.text).unwrap_or_default();
            match (&arg.value, name) {
                (ArgValue::Expr(value), "ignore") => {
                    ignore = self.expr(value, Some(Want { ty: &strings, why: None })).core;
                }
                (_, name) => {
                    let at = self.at(arg.span);
                    self.report(say::unknown_argument(at, "dir", name, ["ignore"].into_iter()));
                }
            }
        }
        if !self.exists(&path, at, Found::Dir) {
            return self.poison(span);
        }
        self.typed(Kind::Dir { path: Arc::from(path), ignore: Box::new(ignore) }, span, Type::Dir)
    }

    fn raw(&mut self, args: &[Arg], span: Span, want: Option<Want<'_>>) -> Typed {
        let shell = match want.map(|want| want.ty.required()) {
            Some(Type::Script(shell)) => shell.clone(),
            Some(_) | None => Arc::from("sh"),
        };
        let [Arg { name: None, value: ArgValue::Expr(value), .. }] = args else {
            let at = self.at(span);
            self.report(say::missing_arguments(at, "raw", &["a text"], at));
            return self.poison(span);
        };
        let text = self.expr(value, Some(Want { ty: &Type::String, why: None })).core;
        let base = Box::new(text);
        let kind = Kind::Builtin { builtin: crate::core::Builtin::Raw, base, args: Vec::new(), lambda: None };
        self.typed(kind, span, Type::Script(shell))
    }
}
