//! One walk over an item that knows, for every name in it, what it means, and for every place in it, what is asked
//! there and which names are visible.
//!
//! It resolves as checking does, but says nothing and never gives up: of what is broken it still walks the parts.
//! Types come from the checked program; where that has none, from what is written.

mod bodies;
mod expr;
mod resolve;
mod values;

use std::sync::Arc;

use crate::ast::{
    self, Extern, FieldInit, ForHead, Import, ImportFrom, ItemKind, Let, Name, Param, Path, Pattern as PatternAst,
    PatternKind, Statement, TypeExpr, TypeKind,
};
use crate::core::Item as Checked;
use crate::modules::at;
use crate::names::item_name;
use crate::span::{Location, ModuleId, Span};
use crate::types::{FormatIndex, ItemId, Pattern, PlatformIndex, Type};

use super::Access;
use super::view::{View, checked_params, params_of};

pub(super) use resolve::{Callee, Declared, declared_fields, declared_of, members_of};
pub(super) use values::{in_list, record_in};

/// What a name means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Target {
    Item(ItemId),
    /// A whole module by the import item that names it.
    Import(ItemId),
    /// A module of the standard library that needs no import.
    Module(ModuleId),
    /// A param of a function, recipe, source or artifact; a field of a record or step kind.
    Param {
        of: ItemId,
        name: Arc<str>,
    },
    Variant {
        of: ItemId,
        name: Arc<str>,
    },
    Payload {
        of: ItemId,
        variant: Arc<str>,
        name: Arc<str>,
    },
    /// A name that a body binds, by where.
    Local {
        of: ItemId,
        start: u32,
    },
    /// A field of a record that has no name of its own.
    Loose(Arc<str>),
    /// A member of a built-in type.
    Member {
        of: &'static str,
        name: &'static str,
    },
    /// A built-in type or format.
    Type(Arc<str>),
    /// `file`, `dir`, `raw`.
    Function(&'static str),
    /// `platform` in a body.
    Platform,
    /// `from` and `machine` of an image.
    ImageField(&'static str),
}

/// A name that is visible in a part of an item.
#[derive(Debug, Clone)]
pub(super) struct Local {
    pub(super) name: Arc<str>,
    pub(super) target: Target,
    pub(super) ty: Type,
}

/// What may be written at a place.
#[derive(Debug, Clone)]
pub(super) enum Spot {
    /// A value; of an argument, also the name of one that was not given yet.
    Value { want: Option<Type>, arguments: Vec<Declared> },
    /// Behind the dot of a value.
    Member(Type),
    /// Behind the dot of a module.
    Exported(ModuleId, Wanted),
    /// Behind the dot of an enum.
    VariantOf(ItemId),
    /// The name of a field that was not given yet.
    Field(Vec<Declared>),
    /// A statement; at the top of an image with the fields that were not given yet.
    Statement(Vec<&'static str>),
    /// A recipe behind `use`.
    Recipe,
    /// A type.
    Type,
    /// A pattern for a value of this type.
    Pattern(Option<Type>),
    /// Inside a text literal.
    Text(TextSpot),
    /// What is imported.
    ImportFrom,
    /// A module of the standard library, behind `import std.`.
    StdModule,
    /// An item of the module that a list of names is imported from.
    ImportName(ModuleId),
    /// The name of something that is being defined.
    Binding,
}

/// What the text of a literal is.
#[derive(Debug, Clone)]
pub(super) enum TextSpot {
    /// A path of an imported module.
    Import,
    /// The path of `file(…)`.
    File,
    /// The path of `dir(…)`.
    Dir,
    /// A text where this is asked.
    Of(Option<Type>),
}

/// Which items of a module are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Any,
    Value,
    Step,
    Recipe,
    Type,
}

/// What is known all around a place.
#[derive(Clone, Copy)]
pub(super) struct Around<'w> {
    pub(super) locals: &'w [Local],
    /// The platforms that the body runs on; none outside bodies.
    pub(super) platforms: Option<&'w [Pattern]>,
}

/// A call, step or use, with what it takes.
pub(super) struct Call<'w> {
    pub(super) callee: Callee,
    /// In brackets; fields of steps are none.
    pub(super) args: &'w [ast::Arg],
    /// Of a step.
    pub(super) fields: &'w [FieldInit],
    /// The whole.
    pub(super) span: Span,
    /// After the name of what is called.
    pub(super) open: u32,
}

/// Who is told what the walk meets.
pub(super) trait Sink {
    /// A name, what it means, and the type of what a body binds.
    fn name(&mut self, _name: &Name, _target: &Target, _access: Access, _ty: Option<&Type>) {}
    /// A name that is bound without an annotation.
    fn inferred(&mut self, _name: &Name, _ty: &Type) {}
    /// A place where something may be written.
    fn spot(&mut self, _span: Span, _around: Around<'_>, _spot: &mut dyn FnMut() -> Spot) {}
    /// An expression and what is asked of it, before its parts.
    fn expr(&mut self, _value: &ast::Expr, _want: Option<&Type>, _around: Around<'_>) {}
    /// The statements of a block, before their parts.
    fn block(&mut self, _statements: &[Statement], _around: Around<'_>) {}
    /// A literal of a record with the fields that it may have.
    fn record(&mut self, _declared: &[Declared], _fields: &[FieldInit], _span: Span) {}
    /// A call of something with arguments, or a step.
    fn call(&mut self, _call: &Call<'_>) {}
}

/// An item that is being walked.
pub(super) struct Walk<'w, 'a> {
    view: &'w View<'a>,
    id: ItemId,
    /// How types that were found before the text was changed at a place are looked up.
    moved: Moved,
    locals: Vec<Local>,
    platforms: Option<Vec<Pattern>>,
    sink: &'w mut dyn Sink,
}

/// Text that was put into an item after it was checked: from where, and how much.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moved {
    pub(super) at: u32,
    pub(super) by: u32,
}

impl Moved {
    /// Where something stood before.
    fn before(self, span: Span) -> Span {
        let back = |offset: u32| if offset > self.at { offset.saturating_sub(self.by).max(self.at) } else { offset };
        Span { start: back(span.start), end: back(span.end) }
    }
}

/// Walks an item.
pub(super) fn item(view: &View<'_>, id: ItemId, sink: &mut dyn Sink) {
    if let Some(item) = view.syntax(id) {
        changed_item(view, id, item, Moved::default(), sink);
    }
}

/// Walks an item as it would be with more text in it.
pub(super) fn changed_item(view: &View<'_>, id: ItemId, item: &ast::Item, moved: Moved, sink: &mut dyn Sink) {
    let mut walk = Walk { view, id, moved, locals: Vec::new(), platforms: None, sink };
    walk.item(item);
}

impl Walk<'_, '_> {
    fn at(&self, span: Span) -> Location {
        at(self.id.module, self.id.item, self.moved.before(span))
    }

    fn spot(&mut self, span: Span, mut spot: impl FnMut() -> Spot) {
        let around = Around { locals: &self.locals, platforms: self.platforms.as_deref() };
        self.sink.spot(span, around, &mut spot);
    }

    fn block(&mut self, statements: &[Statement]) {
        let around = Around { locals: &self.locals, platforms: self.platforms.as_deref() };
        self.sink.block(statements, around);
    }

    fn used(&mut self, name: &Name, target: &Target, access: Access) {
        if !name.text.is_empty() {
            let local = self.locals.iter().rev().find(|local| local.target == *target);
            self.sink.name(name, target, access, local.map(|local| &local.ty));
        }
    }

    fn scoped(&mut self, walk: impl FnOnce(&mut Self)) {
        let (locals, platforms) = (self.locals.len(), self.platforms.clone());
        walk(self);
        self.locals.truncate(locals);
        self.platforms = platforms;
    }

    fn bind(&mut self, name: &Name, target: &Target, ty: Type) {
        self.spot(name.span, || Spot::Binding);
        self.locals.push(Local { name: name.text.clone(), target: target.clone(), ty });
        self.used(name, target, Access::Write);
    }

    fn bind_local(&mut self, name: &Name, ty: Type) {
        // What checking found is more exact than what can be seen.
        let ty = self.view.local_at(&self.at(name.span)).unwrap_or(ty);
        self.sink.inferred(name, &ty);
        let target = Target::Local { of: self.id, start: name.span.start };
        self.bind(name, &target, ty);
    }

    fn item(&mut self, item: &ast::Item) {
        if let Some(name) = item_name(&item.kind) {
            let target = Target::Item(self.id);
            self.spot(name.span, || Spot::Binding);
            self.used(name, &target, Access::Write);
        }
        match &item.kind {
            ItemKind::Edition { .. } | ItemKind::Error => {}
            ItemKind::Import(import) => self.import(import),
            ItemKind::Param(param) => {
                let ty = self.view.checked(self.id).and_then(|item| match &**item {
                    Checked::Param(param) => Some(param.ty.clone()),
                    _ => None,
                });
                self.declared(param, Target::Item(self.id), ty, false);
            }
            ItemKind::Secret { ty, from, version, .. } => self.secret(ty.as_ref(), from, version.as_ref()),
            ItemKind::Let(value) | ItemKind::Output(value) => {
                let known = self.item_type(self.id);
                let ty = self.value_of(value, known);
                if value.ty.is_none() {
                    self.sink.inferred(&value.name, &ty);
                }
            }
            ItemKind::Fn { params, result, body, .. } => {
                self.params(params);
                result.iter().for_each(|ty| self.written(ty));
                let asked = self.view.checked(self.id).and_then(|item| match &**item {
                    Checked::Fn { result, .. } => Some(result.clone()),
                    _ => None,
                });
                self.expr(body, asked.as_ref());
            }
            ItemKind::Record { fields, .. } => self.params(fields),
            ItemKind::Enum { variants, .. } => variants.iter().for_each(|variant| self.variant(variant)),
            ItemKind::Recipe { params, on, body, .. } => {
                on.iter().for_each(|platform| self.platform_spot(platform.span));
                self.params(params);
                let written: Vec<Pattern> = on.iter().map(Pattern::written).collect();
                self.platforms = Some(if written.is_empty() { vec![Pattern::ANY] } else { written });
                self.statements(body);
            }
            ItemKind::Image { each, ty, body, .. } => self.image(each.as_ref(), ty.as_ref(), body),
            ItemKind::Test { of, body, .. } => {
                let any = Type::Image(PlatformIndex::Is(Pattern::ANY), FormatIndex::Any);
                self.expr(of, Some(&any));
                let platforms = self.type_of(of).map(|ty| platforms_of(&ty));
                self.platforms = Some(platforms.unwrap_or_else(|| vec![Pattern::ANY]));
                self.statements(body);
            }
            ItemKind::Extern(external) => self.external(external),
        }
    }

    fn import(&mut self, import: &Import) {
        let target = self.view.module(self.id.module).and_then(|module| module.imports.get(&self.id.item)).copied();
        match &import.from {
            ImportFrom::Std(path) => {
                for (number, name) in path.names.iter().enumerate() {
                    self.spot(name.span, || if number == 0 { Spot::ImportFrom } else { Spot::StdModule });
                }
                if let (Some(name), Some(_), true) = (path.names.last(), target, path.names.len() > 1) {
                    self.used(name, &Target::Import(self.id), Access::Read);
                }
            }
            ImportFrom::File(template) => {
                self.spot(template.span, || Spot::Text(TextSpot::Import));
                let whole = Name { text: Arc::from("import"), span: template.span };
                if target.is_some() {
                    self.used(&whole, &Target::Import(self.id), Access::Read);
                }
            }
            ImportFrom::Error(_) => {}
        }
        if let Some(alias) = &import.alias {
            self.spot(alias.span, || Spot::Binding);
            self.used(alias, &Target::Import(self.id), Access::Write);
        }
        let Some(target) = target else { return };
        for name in import.names.iter().flatten() {
            self.spot(name.span, || Spot::ImportName(target));
            if let Some(item) = self.exported(target, &name.text) {
                self.used(name, &Target::Item(item), Access::Read);
            }
        }
        for arg in &import.args {
            let param = arg.name.as_ref().and_then(|name| {
                let item = self.exported(target, &name.text)?;
                self.used(name, &Target::Item(item), Access::Write);
                self.item_type(item)
            });
            self.argument_value(&arg.value, param.as_ref(), &[]);
        }
    }

    fn secret(&mut self, ty: Option<&TypeExpr>, from: &ast::Expr, version: Option<&ast::Expr>) {
        ty.into_iter().for_each(|ty| self.written(ty));
        // `env`, `file` and `command` mean something else here than in values.
        if let ast::ExprKind::Call { args, .. } = &from.kind {
            args.iter().for_each(|arg| self.argument_value(&arg.value, None, &[]));
        }
        version.into_iter().for_each(|version| self.expr(version, Some(&Type::String)));
    }

    fn external(&mut self, external: &Extern) {
        let (fields, types) = match external {
            Extern::Step { on, fields, .. } => {
                on.iter().for_each(|platform| self.platform_spot(platform.span));
                (fields, [None, None])
            }
            Extern::Source { params, result, machine, .. } => (params, [result.as_ref(), machine.as_ref()]),
            Extern::Artifact { params, result, .. } => (params, [result.as_ref(), None]),
        };
        self.params(fields);
        types.into_iter().flatten().for_each(|ty| self.written(ty));
    }

    fn variant(&mut self, variant: &ast::Variant) {
        let target = Target::Variant { of: self.id, name: variant.name.text.clone() };
        self.spot(variant.name.span, || Spot::Binding);
        self.used(&variant.name, &target, Access::Write);
        let checked = self.view.checked(self.id);
        let payload = checked.and_then(|item| match &**item {
            Checked::Enum { variants, .. } => variants.iter().find(|(name, _)| *name == variant.name.text),
            _ => None,
        });
        self.scoped(|this| {
            for param in &variant.payload {
                let ty = payload.and_then(|(_, all)| all.iter().find(|p| p.name == param.name.text));
                let (variant, name) = (variant.name.text.clone(), param.name.text.clone());
                let target = Target::Payload { of: this.id, variant, name };
                this.declared(param, target, ty.map(|param| param.ty.clone()), true);
            }
        });
    }

    /// Params or fields of the item, which stay visible.
    fn params(&mut self, params: &[Param]) {
        let checked = self.view.checked(self.id);
        for param in params {
            let known = checked.and_then(|item| checked_params(item).iter().find(|p| p.name == param.name.text));
            let target = Target::Param { of: self.id, name: param.name.text.clone() };
            self.declared(param, target, known.map(|param| param.ty.clone()), true);
        }
    }

    fn declared(&mut self, param: &Param, target: Target, ty: Option<Type>, is_named: bool) {
        param.ty.iter().for_each(|ty| self.written(ty));
        param.default.iter().for_each(|default| self.expr(default, ty.as_ref()));
        let ty = ty.unwrap_or(Type::Error);
        if is_named {
            self.bind(&param.name, &target, ty);
        } else {
            let local = Local { name: param.name.text.clone(), target, ty };
            self.locals.push(local);
        }
        param.predicate.iter().for_each(|predicate| self.expr(predicate, Some(&Type::Bool)));
    }

    /// A `let` or output; what its type is.
    fn value_of(&mut self, value: &Let, known: Option<Type>) -> Type {
        value.ty.iter().for_each(|ty| self.written(ty));
        let asked = value.ty.as_ref().and_then(|ty| known.clone().or_else(|| self.read_type(ty)));
        self.expr(&value.value, asked.as_ref());
        asked.or(known).or_else(|| self.type_of(&value.value)).unwrap_or(Type::Error)
    }

    fn head(&mut self, head: &ForHead) {
        self.expr(&head.over, None);
        let over = self.type_of(&head.over);
        let (key, value) = values::turns(over.as_ref());
        match head.names.as_slice() {
            [one] => self.bind_local(one, value),
            [first, second, ..] => {
                self.bind_local(first, key);
                self.bind_local(second, value);
            }
            [] => {}
        }
    }

    fn platform_spot(&mut self, span: Span) {
        self.spot(span, || Spot::Pattern(Some(Type::Platform(Pattern::ANY))));
    }

    fn written(&mut self, ty: &TypeExpr) {
        match &ty.kind {
            TypeKind::Platform(_) | TypeKind::Any | TypeKind::Error => self.spot(ty.span, || Spot::Type),
            TypeKind::Literal(_) => {}
            TypeKind::Named { path, args } => {
                self.spot(first_span(path), || Spot::Type);
                self.type_path(path);
                args.iter().for_each(|arg| self.written(arg));
            }
            TypeKind::Optional(inner) => self.written(inner),
            TypeKind::Union(all) => all.iter().for_each(|one| self.written(one)),
        }
    }
}

/// Where the first name of a path stands.
fn first_span(path: &Path) -> Span {
    path.names.first().map_or(path.span, |name| name.span)
}

fn is_platform(expr: &ast::Expr) -> bool {
    matches!(&expr.kind, ast::ExprKind::Name(name) if &*name.text == "platform")
}

fn platforms_in(pattern: &PatternAst) -> Vec<Pattern> {
    match &pattern.kind {
        PatternKind::Platform(platform) => vec![Pattern::written(platform)],
        PatternKind::Any(all) => all.iter().flat_map(platforms_in).collect(),
        PatternKind::Rest
        | PatternKind::None
        | PatternKind::Variant { .. }
        | PatternKind::Literal(_)
        | PatternKind::Error => Vec::new(),
    }
}

/// The platforms of an image, or of each image of a map.
pub(super) fn platforms_of(ty: &Type) -> Vec<Pattern> {
    match ty {
        Type::Map(_, image) => platforms_of(image),
        other => vec![other.platform().map_or(Pattern::ANY, PlatformIndex::pattern)],
    }
}

/// What an item takes, as it is written.
pub(super) fn written_params<'a>(view: &View<'a>, id: ItemId) -> &'a [Param] {
    view.syntax(id).map(|item| params_of(&item.kind)).unwrap_or_default()
}
