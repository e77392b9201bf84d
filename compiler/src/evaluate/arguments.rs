//! Arguments from outside, read by the type of their param.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::core::{Item, Param};
use crate::diagnostic::{evaluate as say, secrets as say_secrets};
use crate::types::{Nominal, Pattern, Shape, Type};
use crate::world::{Argument, ArgumentValue, Found};
use crate::{paths, types};

use super::value::{parse_duration, parse_size};
use super::{Evaluator, Fields, Frame, Known, Value};

/// Why an argument does not fit: what would.
type Refused<T> = Result<T, String>;

impl<'a> Evaluator<'a> {
    /// The value of an argument; a refusal names where it came from.
    pub(super) fn argument(&mut self, param: &'a Param, argument: &Argument) -> Known {
        if param.ty.holds_secret() {
            let at = self.given_at(argument);
            return Err(self.report(say_secrets::given(at, param.at, &param.name, &argument.origin)));
        }
        let read = match &argument.value {
            ArgumentValue::Text(text) => self.read_text(text, &param.ty, &argument.base),
            ArgumentValue::Data(data) => self.read_data(data, &param.ty, &argument.base),
        };
        read.map_err(|why| {
            let given = match &argument.value {
                ArgumentValue::Text(text) => text.clone(),
                ArgumentValue::Data(data) => data.to_string(),
            };
            let at = self.given_at(argument);
            self.report(say::bad_argument((at, param.at), &param.name, &param.ty, &given, &argument.origin, &why))
        })
    }

    fn read_text(&mut self, text: &str, ty: &Type, base: &str) -> Refused<Value> {
        match ty {
            Type::Optional(_) if text == "none" => Ok(Value::None),
            Type::Optional(inner) => self.read_text(text, inner, base),
            Type::Bool => match text {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => Err("write `true` or `false`".to_owned()),
            },
            Type::Int | Type::Port | Type::Mode => {
                if matches!(ty, Type::Mode) && !text.starts_with("0o") {
                    return Err("write permissions in octal, such as `0o644`".to_owned());
                }
                int(text).ok_or_else(|| "write a whole number".to_owned()).and_then(|n| whole(n, ty))
            }
            Type::List(_) | Type::Set(_) | Type::Map(..) | Type::Nominal(_) | Type::Anonymous(_) => {
                if let (Type::Nominal(nominal), Some(variant)) = (ty, plain_variant(ty, text)) {
                    let _ = nominal;
                    return Ok(variant);
                }
                match serde_json::from_str::<Json>(text) {
                    Ok(data) => self.read_data(&data, ty, base),
                    Err(_) => Err(shape(ty)),
                }
            }
            Type::Union(members) => self.first_fit(members, |this, member| this.read_text(text, member, base)),
            other => self.read_atom(text, other, base),
        }
    }

    /// Types whose values are written as one text wherever they come from.
    fn read_atom(&mut self, text: &str, ty: &Type, base: &str) -> Refused<Value> {
        match ty {
            _ if text.contains('\0') => Err("write a text without a byte 0".to_owned()),
            Type::String => Ok(Value::text(text)),
            Type::Size => {
                parse_size(text).map(Value::Size).ok_or_else(|| "write a size with its unit, such as `8GiB`".to_owned())
            }
            Type::Duration => parse_duration(text)
                .map(Value::Duration)
                .ok_or_else(|| "write a duration with its unit, such as `5m`".to_owned()),
            Type::Checked(form) if form.accepts(text) => Ok(Value::text(text)),
            Type::Checked(form) => Err(format!("write {}", form.form())),
            Type::Literal(literal) if **literal == *text => Ok(Value::Text(literal.clone())),
            Type::Literal(literal) => Err(format!("write `{literal}`")),
            Type::Platform(pattern) => {
                let platform: imgc_plan::Platform =
                    text.parse().map_err(|_| "write a platform such as `linux/amd64`".to_owned())?;
                let found = Pattern::of(&platform);
                let known = found.unknown_system().is_none() && found.unknown_distro().is_none();
                if known && pattern.holds(&found) {
                    Ok(Value::Platform(Arc::new(platform)))
                } else {
                    Err(format!("write a platform that is in `{pattern}`"))
                }
            }
            Type::File | Type::Dir => self.path(text, ty, base),
            Type::Script(shell) => Ok(Value::Script { shell: shell.clone(), text: Arc::from(text) }),
            other => Err(format!("a value of type {other} cannot be given from outside")),
        }
    }

    /// A file or directory, relative to where the argument was given.
    fn path(&mut self, text: &str, ty: &Type, base: &str) -> Refused<Value> {
        let path = if text.starts_with('/') {
            paths::join("/", text.trim_start_matches('/'))
        } else {
            paths::join(base, text)
        };
        let path = path.map_err(|_| "write a path".to_owned())?;
        let wanted = if matches!(ty, Type::File) { Found::File } else { Found::Dir };
        match self.world.find(&path) {
            Ok(found) if found == wanted => {}
            Ok(Found::Missing) => return Err(format!("`{path}` does not exist")),
            Ok(_) if wanted == Found::File => return Err(format!("`{path}` is not a file")),
            Ok(_) => return Err(format!("`{path}` is not a directory")),
            Err(error) => return Err(error.to_string()),
        }
        Ok(match wanted {
            Found::File => Value::File(Arc::from(path)),
            _ => Value::Dir { path: Arc::from(path), ignore: Arc::default() },
        })
    }

    fn first_fit(
        &mut self,
        members: &[Type],
        mut read: impl FnMut(&mut Self, &Type) -> Refused<Value>,
    ) -> Refused<Value> {
        for member in members {
            if let Ok(value) = read(self, member) {
                return Ok(value);
            }
        }
        let names: Vec<String> = members.iter().take(3).map(|member| format!("`{member}`")).collect();
        Err(format!("write one of {}", names.join(", ")))
    }

    fn read_data(&mut self, data: &Json, ty: &Type, base: &str) -> Refused<Value> {
        match (ty, data) {
            (Type::Optional(_), Json::Null) => Ok(Value::None),
            (Type::Optional(inner), _) => self.read_data(data, inner, base),
            (Type::Union(members), _) => self.first_fit(members, |this, member| this.read_data(data, member, base)),
            (Type::Bool, Json::Bool(b)) => Ok(Value::Bool(*b)),
            (Type::Int | Type::Port | Type::Mode, Json::Number(n)) => {
                n.as_i64().ok_or_else(|| "write a whole number".to_owned()).and_then(|n| whole(n, ty))
            }
            (Type::List(inner), Json::Array(items)) => Ok(Value::List(Arc::new(self.items(items, inner, base)?))),
            (Type::Set(inner), Json::Array(items)) => {
                Ok(Value::Set(Arc::new(self.items(items, inner, base)?.into_iter().collect())))
            }
            (Type::Map(key, value), Json::Object(entries)) => {
                let mut map = BTreeMap::new();
                for (name, data) in entries {
                    map.insert(self.read_text(name, key, base)?, self.read_data(data, value, base)?);
                }
                Ok(Value::Map(Arc::new(map)))
            }
            (Type::Nominal(nominal), Json::Object(entries)) => self.read_record(nominal, entries, base),
            // TOML has octal numbers, JSON has none.
            (Type::Mode, Json::String(text)) => self.read_text(text, ty, base),
            (Type::Nominal(_), Json::String(text)) => plain_variant(ty, text).ok_or_else(|| shape(ty)),
            (
                Type::String
                | Type::Size
                | Type::Duration
                | Type::Checked(_)
                | Type::Literal(_)
                | Type::Platform(_)
                | Type::File
                | Type::Dir
                | Type::Script(_),
                Json::String(text),
            ) => self.read_atom(text, ty, base),
            (_, _) => Err(shape(ty)),
        }
    }

    fn items(&mut self, items: &[Json], inner: &Type, base: &str) -> Refused<Vec<Value>> {
        items.iter().map(|item| self.read_data(item, inner, base)).collect()
    }

    fn read_record(
        &mut self,
        nominal: &Arc<Nominal>,
        entries: &serde_json::Map<String, Json>,
        base: &str,
    ) -> Refused<Value> {
        if !matches!(nominal.shape, Shape::Record(_)) {
            return Err(shape(&Type::Nominal(nominal.clone())));
        }
        let mut fields = Fields::new();
        for (name, data) in entries {
            let Some(field) = nominal.fields().iter().find(|field| *field.name == **name) else {
                return Err(format!("`{}` has no field `{name}`", nominal.name));
            };
            let value = self.read_data(data, &field.ty, base).map_err(|why| format!("at `{name}`: {why}"))?;
            fields.insert(field.name.clone(), value);
        }
        if let Some(missing) = nominal.fields().iter().find(|f| !f.optional && !fields.contains_key(&f.name)) {
            return Err(format!("`{}` lacks `{}`", nominal.name, missing.name));
        }
        let program = self.program;
        if let (Some(Item::Record { params, .. }), Some(instance)) =
            (program.item(nominal.id).map(|item| &**item), self.first.get(&nominal.id.module).copied())
        {
            for param in params {
                if !fields.contains_key(&param.name) {
                    let value = match &param.default {
                        Some(default) => self.eval(&mut Frame::new(instance), default).map_err(|_| String::new())?,
                        None => Value::None,
                    };
                    fields.insert(param.name.clone(), value);
                }
            }
        }
        Ok(Value::Record(Arc::new(fields)))
    }
}

/// Reads `42`, `-1`, `0o644`, `1_000`.
fn int(text: &str) -> Option<i64> {
    let digits = text.replace('_', "");
    match digits.strip_prefix("0o") {
        Some(octal) => i64::from_str_radix(octal, 8).ok(),
        None => digits.parse().ok(),
    }
}

fn whole(n: i64, ty: &Type) -> Refused<Value> {
    match ty {
        Type::Port if !(1..=65535).contains(&n) => Err("write a number from 1 to 65535".to_owned()),
        Type::Mode if !(0..=0o7777).contains(&n) => Err("write a number from 0 to 0o7777".to_owned()),
        Type::Mode => Ok(Value::Mode(u32::try_from(n).unwrap_or_default())),
        _ => Ok(Value::Int(n)),
    }
}

fn plain_variant(ty: &Type, text: &str) -> Option<Value> {
    let Type::Nominal(nominal) = ty else { return None };
    let variant = nominal.variants().iter().find(|variant| *variant.name == *text && variant.payload.is_empty())?;
    Some(Value::Variant { name: variant.name.clone(), payload: Arc::default() })
}

/// How a value of a type is written as an argument.
fn shape(ty: &Type) -> String {
    match ty {
        Type::List(_) | Type::Set(_) => "write a list, such as `[\"a\", \"b\"]`".to_owned(),
        Type::Map(..) | Type::Anonymous(_) => "write a table, such as `{\"a\": \"b\"}`".to_owned(),
        Type::Nominal(nominal) if nominal.variants().is_empty() => {
            "write its fields, such as `{\"name\": \"x\"}`".to_owned()
        }
        Type::Nominal(nominal) => {
            let names: Vec<String> =
                nominal.variants().iter().take(3).map(|v: &types::VariantType| format!("`{}`", v.name)).collect();
            format!("write one of {}", names.join(", "))
        }
        other => format!("write a value of type {other}"),
    }
}
