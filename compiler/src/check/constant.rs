//! Values that are known while types are checked: literals, and names and parts of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::core::{Expr, Item, Kind};
use crate::evaluate::{Fields, Value};

use super::Checker;

/// How deep names may lead to each other.
const MAX_STEPS: u32 = 32;

impl Checker<'_> {
    /// The value of a checked expression, where it can be seen without evaluating. Of a record what can be seen.
    pub(super) fn constant(&mut self, expr: &Expr) -> Option<Value> {
        self.seen(expr, 0)
    }

    fn seen(&mut self, expr: &Expr, depth: u32) -> Option<Value> {
        if depth > MAX_STEPS {
            return None;
        }
        match &expr.kind {
            Kind::Value(value) => Some(value.clone()),
            // What was imported may have been given other arguments.
            Kind::Item(of) if of.via.is_none() => match &*self.demand_whole(of.id)? {
                Item::Let { value, .. } | Item::Output { value, .. } => self.seen(value, depth + 1),
                _ => None,
            },
            Kind::List(elements) | Kind::Set(elements) => self.seen_list(elements, depth),
            Kind::Record { spreads, fields, of } => {
                let mut record = Fields::new();
                if let Some(of) = of
                    && let Item::Record { params, .. } = &*self.demand_whole(of.id)?
                {
                    for param in params {
                        let value = param.default.as_ref().and_then(|default| self.seen(default, depth + 1));
                        record.extend(value.map(|value| (param.name.clone(), value)));
                    }
                }
                for spread in spreads {
                    let Value::Record(fields) = self.seen(spread, depth + 1)? else { return None };
                    record.extend(fields.iter().map(|(name, value)| (name.clone(), value.clone())));
                }
                for (name, value) in fields {
                    record.remove(name);
                    record.extend(self.seen(value, depth + 1).map(|value| (name.clone(), value)));
                }
                Some(Value::Record(Arc::new(record)))
            }
            Kind::Map { spreads, entries } if spreads.is_empty() => {
                let mut map = BTreeMap::new();
                for (key, value) in entries {
                    map.insert(self.seen(key, depth + 1)?, self.seen(value, depth + 1).unwrap_or(Value::None));
                }
                Some(Value::Map(Arc::new(map)))
            }
            Kind::Field { base, name } => match self.seen(base, depth + 1)? {
                Value::Record(fields) => fields.get(name).cloned(),
                _ => None,
            },
            Kind::Coerce { value, .. } => self.seen(value, depth + 1).filter(|value| matches!(value, Value::Record(_))),
            _ => None,
        }
    }

    fn seen_list(&mut self, elements: &[(bool, Expr)], depth: u32) -> Option<Value> {
        let mut items = Vec::with_capacity(elements.len());
        for (spread, element) in elements {
            match (spread, self.seen(element, depth + 1)?) {
                (false, value) => items.push(value),
                (true, Value::List(inner)) => items.extend(inner.iter().cloned()),
                (true, _) => return None,
            }
        }
        Some(Value::List(Arc::new(items)))
    }
}
