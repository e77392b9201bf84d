//! Values that are known without arguments: literals, and names and parts of them.

use std::sync::Arc;

use crate::core::{Expr, Item, Kind, Part, Program};
use crate::evaluate::{Fields, Value};

/// How deep names may lead to each other.
const MAX_STEPS: u32 = 32;

/// The value of a checked expression, where it can be seen.
pub(super) fn value(program: &Program, expr: &Expr) -> Option<Value> {
    seen(program, expr, 0)
}

fn seen(program: &Program, expr: &Expr, depth: u32) -> Option<Value> {
    if depth > MAX_STEPS {
        return None;
    }
    let all = |items: &[(bool, Expr)]| {
        let mut values = Vec::with_capacity(items.len());
        for (spread, item) in items {
            match (spread, seen(program, item, depth + 1)?) {
                (false, value) => values.push(value),
                (true, Value::List(inner)) => values.extend(inner.iter().cloned()),
                (true, _) => return None,
            }
        }
        Some(values)
    };
    match &expr.kind {
        Kind::Value(value) => Some(value.clone()),
        // What was imported may have been given other arguments.
        Kind::Item(of) if of.via.is_none() => match &**program.item(of.id)? {
            Item::Let { value, .. } | Item::Output { value, .. } => seen(program, value, depth + 1),
            _ => None,
        },
        Kind::Text(parts) => {
            let mut text = String::new();
            for part in parts {
                match part {
                    Part::Text(part) => text.push_str(part),
                    Part::Hole(hole) => text.push_str(&seen(program, hole, depth + 1)?.to_text()?),
                }
            }
            Some(Value::text(text))
        }
        Kind::List(items) => Some(Value::List(Arc::new(all(items)?))),
        Kind::Record { spreads, fields, .. } => {
            let mut record = Fields::new();
            for spread in spreads {
                let Value::Record(fields) = seen(program, spread, depth + 1)? else { return None };
                record.extend(fields.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
            for (name, value) in fields {
                record.insert(name.clone(), seen(program, value, depth + 1)?);
            }
            Some(Value::Record(Arc::new(record)))
        }
        Kind::Field { base, name } => match seen(program, base, depth + 1)? {
            Value::Record(fields) => fields.get(name).cloned(),
            _ => None,
        },
        Kind::Coerce { value, .. } | Kind::Checked { value, .. } => seen(program, value, depth + 1),
        _ => None,
    }
}
