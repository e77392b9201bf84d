//! Expressions: one arm a form.

use std::collections::BTreeMap;
use std::sync::Arc;

use imgc_plan::Platform;

use crate::core::{Expr, Head, Item, Kind, Param, Part, Ref, ScriptPart, Signature};
use crate::diagnostic::{evaluate as say, types as say_types};
use crate::script;
use crate::span::Location;
use crate::types::{Coercion, Pattern, PlatformIndex, Type};

use super::{
    ArtifactData, ArtifactId, Evaluator, Fields, Frame, InstanceId, Known, MAX_CALLS, SourceValue, Stop, Value,
};

impl<'a> Evaluator<'a> {
    /// The value of an expression.
    #[expect(clippy::too_many_lines, reason = "one flat match, an arm a form")]
    pub(super) fn eval(&mut self, frame: &mut Frame, expr: &'a Expr) -> Known {
        self.step(expr.at)?;
        match &expr.kind {
            Kind::Error => Err(Stop::Reported),
            Kind::Value(value) => Ok(value.clone()),
            Kind::Local(slot) => frame.get(*slot),
            Kind::Item(of) => self.item(frame.instance, *of),
            Kind::Platform => frame.platform.clone().map(Value::Platform).ok_or(Stop::Unknown),
            Kind::Text(parts) => self.text(frame, parts, expr.at),
            Kind::Script { shell, parts, contexts } => self.script(frame, shell, parts, contexts.as_deref(), expr.at),
            Kind::List(elements) => Ok(Value::List(Arc::new(self.list(frame, elements, expr.at)?))),
            Kind::Set(elements) => Ok(Value::Set(Arc::new(self.list(frame, elements, expr.at)?.into_iter().collect()))),
            Kind::Record { spreads, fields, of } => self.record(frame, spreads, fields, *of, expr.at),
            Kind::Map { spreads, entries } => self.map(frame, spreads, entries, expr.at),
            Kind::ListFor { heads, condition, body, set } => {
                let mut items = Vec::new();
                self.turns(frame, heads, condition.as_deref(), &mut |this, frame| {
                    items.push(this.eval(frame, body)?);
                    this.count_elements(1, expr.at)
                })?;
                Ok(if *set { Value::Set(Arc::new(items.into_iter().collect())) } else { Value::List(Arc::new(items)) })
            }
            Kind::MapFor { heads, condition, key, value } => {
                let mut map = BTreeMap::new();
                self.turns(frame, heads, condition.as_deref(), &mut |this, frame| {
                    let key = this.eval(frame, key)?;
                    map.insert(key, this.eval(frame, value)?);
                    this.count_elements(1, expr.at)
                })?;
                Ok(Value::Map(Arc::new(map)))
            }
            Kind::If { condition, then, otherwise } => {
                let holds = self.eval(frame, condition)? == Value::Bool(true);
                self.eval(frame, if holds { then } else { otherwise })
            }
            Kind::Match { subject, arms } => {
                let value = self.eval(frame, subject)?;
                for (pat, body) in arms {
                    if super::operators::matches(frame, pat, &value) {
                        return self.eval(frame, body);
                    }
                }
                Err(Stop::Reported)
            }
            Kind::Variant { of, name, payload } => self.variant(frame, *of, name, payload, expr.at),
            Kind::Call { of, args } => self.call(frame, *of, args, expr.at),
            Kind::Builtin { builtin, base, args, lambda } => {
                let base = self.eval(frame, base)?;
                self.builtin(frame, *builtin, &base, (args, lambda.as_deref()), expr.at)
            }
            Kind::Field { base, name } => match self.eval(frame, base)? {
                Value::Record(fields) => Ok(fields.get(name).cloned().unwrap_or(Value::None)),
                _ => Err(Stop::Reported),
            },
            Kind::Index { base, index } => self.index(frame, base, index),
            Kind::File(path) => Ok(Value::File(path.clone())),
            Kind::Dir { path, ignore } => self.dir(frame, path, ignore),
            Kind::Not(value) => Ok(Value::Bool(self.eval(frame, value)? == Value::Bool(false))),
            Kind::Neg(value) => match self.eval(frame, value)? {
                Value::Int(n) => n.checked_neg().map(Value::Int).ok_or_else(|| self.report(say::overflow(expr.at))),
                _ => Err(Stop::Reported),
            },
            Kind::Binary { op, left, right } => self.binary(frame, *op, left, right, expr.at),
            Kind::InPattern { value, pattern } => match self.eval(frame, value)? {
                Value::Platform(platform) => Ok(Value::Bool(pattern.holds(&Pattern::of(&platform)))),
                _ => Err(Stop::Reported),
            },
            Kind::Coerce { value, to } => {
                let value = self.eval(frame, value)?;
                self.coerce(frame, value, to, expr.at)
            }
            Kind::Checked { value, form } => {
                let value = self.eval(frame, value)?;
                match &value {
                    Value::Text(text) if form.accepts(text) => Ok(value),
                    Value::Text(text) => Err(self.report(say::bad_text(expr.at, *form, text))),
                    _ => Err(Stop::Reported),
                }
            }
        }
    }

    fn text(&mut self, frame: &mut Frame, parts: &'a [Part], at: Location) -> Known {
        let mut text = String::new();
        for part in parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Hole(value) => text.push_str(&self.eval(frame, value)?.to_text().ok_or(Stop::Reported)?),
            }
        }
        self.count_text(text.len(), at)?;
        Ok(Value::text(text))
    }

    fn script(
        &mut self,
        frame: &mut Frame,
        shell: &Arc<str>,
        parts: &'a [ScriptPart],
        contexts: Option<&[script::Context]>,
        at: Location,
    ) -> Known {
        let mut values = Vec::with_capacity(parts.len());
        for part in parts {
            values.push(match part {
                ScriptPart::Text(text) => Value::Text(text.clone()),
                ScriptPart::Hole(value) | ScriptPart::Insert(value) => self.eval(frame, value)?,
            });
        }
        let contexts = match contexts {
            Some(contexts) => contexts.to_vec(),
            None => self.contexts(parts, &values)?,
        };
        let mut contexts = contexts.into_iter();
        let mut text = String::new();
        for (part, value) in parts.iter().zip(&values) {
            match part {
                ScriptPart::Text(part) => text.push_str(part),
                ScriptPart::Insert(_) => text.push_str(&value.to_text().ok_or(Stop::Reported)?),
                ScriptPart::Hole(hole) => {
                    let context = contexts.next().ok_or(Stop::Reported)?;
                    let escaped = match value {
                        Value::List(items) => words(items.iter()),
                        Value::Set(items) => words(items.iter()),
                        other => other.to_text().and_then(|text| script::escape(context, &text).ok()),
                    };
                    match escaped {
                        Some(escaped) => text.push_str(&escaped),
                        None => {
                            return Err(self.report(say_types::script_hole(hole.at, "in a script with a byte 0 in it")));
                        }
                    }
                }
            }
        }
        self.count_text(text.len(), at)?;
        Ok(Value::Script { shell: shell.clone(), text: text.into() })
    }

    /// Where the holes stand, once the scripts that are put in are known.
    fn contexts(&mut self, parts: &[ScriptPart], values: &[Value]) -> Known<Vec<script::Context>> {
        let texts: Vec<Option<String>> = parts
            .iter()
            .zip(values)
            .map(|(part, value)| match part {
                ScriptPart::Text(_) | ScriptPart::Insert(_) => value.to_text(),
                ScriptPart::Hole(_) => None,
            })
            .collect();
        let scanned: Vec<script::Part<'_>> =
            texts.iter().map(|text| text.as_deref().map_or(script::Part::Hole, script::Part::Text)).collect();
        let holes = parts.iter().zip(values).filter_map(|(part, value)| match part {
            ScriptPart::Hole(hole) => Some((hole.at, matches!(value, Value::List(_) | Value::Set(_)))),
            ScriptPart::Text(_) | ScriptPart::Insert(_) => None,
        });
        let mut contexts = Vec::new();
        for (found, (at, is_list)) in script::contexts(&scanned).into_iter().zip(holes) {
            match found {
                Err(refusal) => return Err(self.report(say_types::script_hole(at, &refusal.place()))),
                Ok(context) if is_list && context != (script::Context::Bare { alone: true }) => {
                    return Err(self.report(say_types::script_words(at)));
                }
                Ok(context) => contexts.push(context),
            }
        }
        Ok(contexts)
    }

    fn list(&mut self, frame: &mut Frame, elements: &'a [(bool, Expr)], at: Location) -> Known<Vec<Value>> {
        let mut items = Vec::with_capacity(elements.len());
        for (spread, element) in elements {
            let value = self.eval(frame, element)?;
            if *spread {
                items.extend(self.elements(&value, element.at)?);
            } else {
                items.push(value);
            }
        }
        self.count_elements(items.len(), at)?;
        Ok(items)
    }

    fn record(
        &mut self,
        frame: &mut Frame,
        spreads: &'a [Expr],
        fields: &'a [(Arc<str>, Expr)],
        of: Option<Ref>,
        at: Location,
    ) -> Known {
        let mut record = Fields::new();
        for spread in spreads {
            if let Value::Record(fields) = self.eval(frame, spread)? {
                record.extend(fields.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
        }
        for (name, value) in fields {
            let value = self.eval(frame, value)?;
            record.insert(name.clone(), value);
        }
        match of {
            Some(of) => self.whole_record(frame, record, of, at),
            None => Ok(Value::Record(Arc::new(record))),
        }
    }

    /// Adds the defaults of a record's fields and tests its predicates.
    fn whole_record(&mut self, frame: &Frame, mut record: Fields, of: Ref, at: Location) -> Known {
        let program = self.program;
        let Some(Item::Record { params, .. }) = program.item(of.id).map(|item| &**item) else {
            return Err(Stop::Reported);
        };
        let instance = self.instance_of(frame.instance, of)?;
        self.complete(instance, params, &mut record, at)?;
        Ok(Value::Record(Arc::new(record)))
    }

    fn complete(&mut self, instance: InstanceId, params: &'a [Param], record: &mut Fields, at: Location) -> Known<()> {
        let mut inner = Frame::new(instance);
        for (param, slot) in params.iter().zip(0..) {
            let value = match (record.get(&param.name), &param.default) {
                (Some(value), _) => value.clone(),
                (None, Some(default)) => self.eval(&mut inner, default)?,
                (None, None) => Value::None,
            };
            inner.set(slot, value.clone());
            self.holds(&mut inner, param, &value, at)?;
            record.insert(param.name.clone(), value);
        }
        Ok(())
    }

    fn variant(
        &mut self,
        frame: &mut Frame,
        of: Ref,
        name: &Arc<str>,
        payload: &'a [(Arc<str>, Expr)],
        at: Location,
    ) -> Known {
        let mut fields = Fields::new();
        for (field, value) in payload {
            let value = self.eval(frame, value)?;
            fields.insert(field.clone(), value);
        }
        let program = self.program;
        let Some(Item::Enum { variants, .. }) = program.item(of.id).map(|item| &**item) else {
            return Err(Stop::Reported);
        };
        if let Some((_, params)) = variants.iter().find(|(variant, _)| variant == name) {
            let instance = self.instance_of(frame.instance, of)?;
            self.complete(instance, params, &mut fields, at)?;
        }
        Ok(Value::Variant { name: name.clone(), payload: Arc::new(fields) })
    }

    fn map(&mut self, frame: &mut Frame, spreads: &'a [Expr], entries: &'a [(Expr, Expr)], at: Location) -> Known {
        let mut map = BTreeMap::new();
        for spread in spreads {
            match self.eval(frame, spread)? {
                Value::Map(other) => map.extend(other.iter().map(|(k, v)| (k.clone(), v.clone()))),
                Value::Record(fields) => {
                    map.extend(fields.iter().map(|(k, v)| (Value::Text(k.clone()), v.clone())));
                }
                _ => return Err(Stop::Reported),
            }
        }
        for (key, value) in entries {
            let key = self.eval(frame, key)?;
            let value = self.eval(frame, value)?;
            map.insert(key, value);
        }
        self.count_elements(map.len(), at)?;
        Ok(Value::Map(Arc::new(map)))
    }

    /// Runs `each` once for each turn of nested heads whose condition holds.
    fn turns(
        &mut self,
        frame: &mut Frame,
        heads: &'a [Head],
        condition: Option<&'a Expr>,
        each: &mut dyn FnMut(&mut Self, &mut Frame) -> Known<()>,
    ) -> Known<()> {
        let Some((head, rest)) = heads.split_first() else {
            let holds = match condition {
                Some(condition) => self.eval(frame, condition)? == Value::Bool(true),
                None => true,
            };
            return if holds { each(self, frame) } else { Ok(()) };
        };
        for row in self.rows(frame, head)? {
            row.bind(frame, head);
            self.turns(frame, rest, condition, each)?;
        }
        Ok(())
    }

    fn index(&mut self, frame: &mut Frame, base: &'a Expr, index: &'a Expr) -> Known {
        let container = self.eval(frame, base)?;
        let key = self.eval(frame, index)?;
        let (found, len) = match (&container, &key) {
            (Value::List(items), Value::Int(n)) => {
                (usize::try_from(*n).ok().and_then(|n| items.get(n)).cloned(), items.len())
            }
            (Value::Map(map), key) => (map.get(key).cloned(), map.len()),
            (_, _) => return Err(Stop::Reported),
        };
        found.ok_or_else(|| self.report(say::no_element(index.at, &key.shown(), len)))
    }

    fn dir(&mut self, frame: &mut Frame, path: &Arc<str>, ignore: &'a Expr) -> Known {
        let Value::List(items) = self.eval(frame, ignore)? else { return Err(Stop::Reported) };
        let ignore = items.iter().filter_map(Value::to_text).collect();
        Ok(Value::Dir { path: path.clone(), ignore: Arc::new(ignore) })
    }

    fn coerce(&mut self, frame: &Frame, value: Value, to: &Coercion, at: Location) -> Known {
        match (to, value) {
            // Left out.
            (_, Value::None) => Ok(Value::None),
            (Coercion::Port, Value::Int(n)) if !(1..=65535).contains(&n) => {
                Err(self.report(say::bad_number(at, &Type::Port, n)))
            }
            (Coercion::Mode, Value::Int(n)) if !(0..=0o7777).contains(&n) => {
                Err(self.report(say::bad_number(at, &Type::Mode, n)))
            }
            (Coercion::ReadScript(shell), Value::File(path)) => {
                Ok(Value::Script { shell: shell.clone(), text: self.read(&path, at)? })
            }
            (Coercion::Record(nominal), Value::Record(fields)) => {
                self.whole_record(frame, (*fields).clone(), Ref { id: nominal.id, via: None }, at)
            }
            (_, value) => Ok(value),
        }
    }

    /// The values of all params of a call, each in its slot.
    pub(super) fn call_args(
        &mut self,
        frame: &mut Frame,
        instance: InstanceId,
        params: &'a [Param],
        args: &'a [Option<Expr>],
        at: Location,
    ) -> Known<Vec<Value>> {
        let mut inner = Frame { calls: frame.calls + 1, ..Frame::new(instance) };
        for ((param, arg), slot) in params.iter().zip(args).zip(0..) {
            let (value, place) = match (arg, &param.default) {
                (Some(arg), _) => (self.eval(frame, arg)?, arg.at),
                (None, Some(default)) => (self.eval(&mut inner, default)?, at),
                (None, None) => (Value::None, at),
            };
            inner.set(slot, value.clone());
            self.holds(&mut inner, param, &value, place)?;
        }
        Ok(inner.slots)
    }

    fn call(&mut self, frame: &mut Frame, of: Ref, args: &'a [Option<Expr>], at: Location) -> Known {
        if frame.calls >= MAX_CALLS {
            return Err(self.limit(at, "64 calls inside each other"));
        }
        let program = self.program;
        let instance = self.instance_of(frame.instance, of)?;
        match program.item(of.id).map(|item| &**item) {
            Some(Item::Fn { params, body, .. }) => {
                let slots = self.call_args(frame, instance, params, args, at)?;
                let mut inner = Frame { instance, slots, platform: frame.platform.clone(), calls: frame.calls + 1 };
                self.eval(&mut inner, body)
            }
            Some(Item::Source(signature)) => {
                let fields = self.signature_args(frame, instance, signature, args, at)?;
                let platform = self.platform(signature, &fields);
                Ok(Value::Source(Arc::new(SourceValue { of: of.id, args: fields, platform, at })))
            }
            Some(Item::Artifact(signature)) => {
                let fields = self.signature_args(frame, instance, signature, args, at)?;
                self.artifact(of, signature, fields, at)
            }
            _ => Err(Stop::Reported),
        }
    }

    fn signature_args(
        &mut self,
        frame: &mut Frame,
        instance: InstanceId,
        signature: &'a Signature,
        args: &'a [Option<Expr>],
        at: Location,
    ) -> Known<Fields> {
        let values = self.call_args(frame, instance, &signature.params, args, at)?;
        Ok(signature.params.iter().map(|param| param.name.clone()).zip(values).collect())
    }

    fn artifact(&mut self, of: Ref, signature: &Signature, mut args: Fields, at: Location) -> Known {
        // The name of the file is no part of what is in it.
        let file = match args.remove("file") {
            Some(Value::Text(file)) => Some(file),
            Some(_) | None => None,
        };
        let key = (of.id, args);
        if let Some(id) = self.artifact_ids.get(&key) {
            return Ok(Value::Artifact { id: *id, file });
        }
        self.count_node(at)?;
        let platform = self.platform(signature, &key.1);
        let id = ArtifactId(u32::try_from(self.result.artifacts.len()).unwrap_or(u32::MAX));
        self.result.artifacts.push(ArtifactData { of: of.id, args: key.1.clone(), platform, at });
        self.artifact_ids.insert(key, id);
        Ok(Value::Artifact { id, file })
    }

    /// The platform that the result's index names.
    fn platform(&self, signature: &Signature, args: &Fields) -> Platform {
        let found = match signature.platform() {
            Some(PlatformIndex::Is(pattern)) => pattern.exact(),
            Some(PlatformIndex::Path(path)) => {
                path.first().and_then(|name| args.get(name)).and_then(|v| self.platform_of(v))
            }
            None => None,
        };
        found.unwrap_or_else(|| Platform { os: "linux".to_owned(), distro: None, arch: "amd64".to_owned() })
    }

    /// The platform that a value is, or is for.
    pub(super) fn platform_of(&self, value: &Value) -> Option<Platform> {
        match value {
            Value::Platform(platform) => Some((**platform).clone()),
            Value::Image(id) => self.result.images.get(id.0 as usize).map(|image| image.platform.clone()),
            Value::Artifact { id, .. } => self.result.artifacts.get(id.0 as usize).map(|a| a.platform.clone()),
            Value::Source(source) => Some(source.platform.clone()),
            Value::List(items) => items.first().and_then(|item| self.platform_of(item)),
            _ => None,
        }
    }
}

/// Texts as shell words.
fn words<'v>(items: impl Iterator<Item = &'v Value>) -> Option<String> {
    let texts: Option<Vec<String>> = items.map(Value::to_text).collect();
    script::words(texts?.iter().map(String::as_str)).ok()
}
