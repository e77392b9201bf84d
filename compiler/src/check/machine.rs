//! `machine = { … }` of images: typed by the record that the source declares.

use crate::ast::Statement;
use crate::core::{Expr, Item, Kind, Ref};
use crate::diagnostic::platform as say;
use crate::types::Type;

use super::{Body, Typed, Want};

/// What is known of the machines of a source.
enum Machines {
    /// The record that it declares.
    Record(Type),
    /// It has none.
    None,
    /// It is not a source, or which one it is cannot be seen from here.
    Unknown,
}

impl Body<'_, '_> {
    /// The machine of an image; none where its source has none.
    pub(super) fn machine(&mut self, statements: &[Statement], from: &Typed) -> Option<Expr> {
        let field = self.image_field(statements, "machine").cloned();
        let machines = match &from.ty {
            Type::Source(..) => self.machines_of(&from.core, 0),
            _ => Machines::Unknown,
        };
        match (field, machines) {
            (Some(field), Machines::Record(ty)) => {
                Some(self.expr(&field.value, Some(Want { ty: &ty, why: None })).core)
            }
            (None, Machines::Record(ty)) => {
                // What the record needs is missing here, then; else all of it has its default.
                self.record(&[], &[], from.core.at.span, Some(Want { ty: &ty, why: None }));
                None
            }
            (Some(field), known) => {
                let at = self.at(field.name.span);
                match (known, &from.ty) {
                    (_, Type::Error) => {}
                    (_, Type::Image(..)) => self.report(say::machine_of_another(at)),
                    (Machines::Unknown, _) => self.report(say::machine_unknown(at, from.core.at)),
                    (_, _) => self.report(say::no_machine(at)),
                }
                self.infer(&field.value);
                None
            }
            (None, _) => None,
        }
    }

    fn machines_of(&mut self, expr: &Expr, depth: u32) -> Machines {
        // Deeper than any program; values do not recurse, so this only bounds the stack.
        if depth > 64 {
            return Machines::Unknown;
        }
        match &expr.kind {
            Kind::Call { of, .. } | Kind::Item(of) => self.machines_of_item(*of, depth),
            Kind::If { then, otherwise, .. } => {
                let (one, other) = (self.machines_of(then, depth + 1), self.machines_of(otherwise, depth + 1));
                same(one, other)
            }
            Kind::Match { arms, .. } => {
                let found: Vec<Machines> = arms.iter().map(|(_, arm)| self.machines_of(arm, depth + 1)).collect();
                found.into_iter().reduce(same).unwrap_or(Machines::Unknown)
            }
            _ => Machines::Unknown,
        }
    }

    fn machines_of_item(&mut self, of: Ref, depth: u32) -> Machines {
        match self.checker.demand_whole(of.id).as_deref() {
            Some(Item::Source(signature)) => signature.machine.clone().map_or(Machines::None, Machines::Record),
            Some(Item::Let { value, .. }) => self.machines_of(&value.clone(), depth + 1),
            Some(Item::Fn { body, .. }) => self.machines_of(&body.clone(), depth + 1),
            _ => Machines::Unknown,
        }
    }
}

fn same(one: Machines, other: Machines) -> Machines {
    match (one, other) {
        (Machines::Record(a), Machines::Record(b)) if a == b => Machines::Record(a),
        (Machines::None, Machines::None) => Machines::None,
        (_, _) => Machines::Unknown,
    }
}
