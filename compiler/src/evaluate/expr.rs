//! Expressions: one arm a form.

use std::collections::BTreeMap;
use std::sync::Arc;

use imgc_plan::Attribute;

use crate::core::{Expr, Head, Item, Kind, Part, Pat, Ref, ScriptPart};
use crate::diagnostic::{evaluate as say, platform as say_platform, types as say_types};
use crate::script;
use crate::span::Location;
use crate::types::{CheckedText, Coercion, Pattern, Type, has_drive};

use super::calls::Given;
use super::text::Text;
use super::{Built, Evaluator, Fault, Frame, Known, Look, NodeRef, Stop, Value, build};

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
            Kind::Set(elements) => {
                let items = self.list(frame, elements, expr.at)?;
                for item in &items {
                    self.must_know(item, Look::Key, expr.at)?;
                }
                Ok(Value::Set(Arc::new(items.into_iter().collect())))
            }
            Kind::Record { spreads, fields, of } => self.record(frame, spreads, fields, *of, expr.at),
            Kind::Map { spreads, entries } => self.map(frame, spreads, entries, expr.at),
            Kind::ListFor { heads, condition, body, set } => {
                let mut items = Vec::new();
                let mut fault = Fault::default();
                self.turns(frame, heads, condition.as_deref(), &mut |this, frame| {
                    let item = this.eval(frame, body);
                    let item = if *set { this.known(item, Look::Key, body.at) } else { item };
                    items.extend(fault.of(item));
                    this.count_elements(1, expr.at)
                })?;
                fault.end()?;
                Ok(if *set { Value::Set(Arc::new(items.into_iter().collect())) } else { Value::List(Arc::new(items)) })
            }
            Kind::MapFor { heads, condition, key, value } => {
                let mut map = BTreeMap::new();
                let mut fault = Fault::default();
                self.turns(frame, heads, condition.as_deref(), &mut |this, frame| {
                    let found = this.eval(frame, key);
                    let key = fault.of(this.known(found, Look::Key, key.at));
                    let value = fault.of(this.eval(frame, value));
                    map.extend(key.zip(value));
                    this.count_elements(1, expr.at)
                })?;
                fault.end()?;
                Ok(Value::Map(Arc::new(map)))
            }
            Kind::If { condition, then, otherwise } => match self.eval(frame, condition) {
                Ok(holds) => self.eval(frame, if holds == Value::Bool(true) { then } else { otherwise }),
                Err(stop) => {
                    self.look(frame, stop, &[then, otherwise]);
                    Err(stop)
                }
            },
            Kind::Match { subject, arms } => self.choose(frame, subject, arms),
            Kind::Variant { of, name, payload } => self.variant(frame, *of, name, payload, expr.at),
            Kind::Call { of, args } => self.call(frame, *of, args, expr.at),
            Kind::Builtin { builtin, base, args, lambda } => {
                let base = self.eval(frame, base);
                self.member(frame, *builtin, base, (args, lambda.as_deref()), expr.at)
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
                self.must_know(&value, Look::Form, expr.at)?;
                match &value {
                    Value::Text(text) if form.accepts(text) => match foreign(*form, text, frame) {
                        Some(platform) => Err(self.report(say_platform::foreign_path(expr.at, text, &platform))),
                        None => Ok(value),
                    },
                    Value::Text(text) => Err(self.report(say::bad_text(expr.at, *form, text))),
                    _ => Err(Stop::Reported),
                }
            }
        }
    }

    /// Looks at both sides of a condition that nobody knows.
    fn look(&mut self, frame: &mut Frame, stop: Stop, sides: &[&'a Expr]) {
        if stop == Stop::Unknown {
            for side in sides {
                let _ = self.guarded(frame, |this, frame| this.eval(frame, side));
            }
        }
    }

    fn choose(&mut self, frame: &mut Frame, subject: &'a Expr, arms: &'a [(Pat, Expr)]) -> Known {
        let value = match self.subject(frame, subject) {
            Ok(value) => value,
            Err(stop) => {
                for (pat, body) in arms {
                    super::operators::forget(frame, pat);
                    self.look(frame, stop, &[body]);
                }
                return Err(stop);
            }
        };
        for (pat, body) in arms {
            if super::operators::matches(frame, pat, &value) {
                return self.eval(frame, body);
            }
        }
        Err(Stop::Reported)
    }

    fn text(&mut self, frame: &mut Frame, parts: &'a [Part], at: Location) -> Known {
        let known = parts.iter().map(|part| if let Part::Text(text) = part { text.len() } else { 0 }).sum();
        let (mut text, mut fault, mut is_text) = (Text::with_room(known, parts.len()), Fault::default(), true);
        for part in parts {
            match part {
                Part::Text(part) => text.push(part),
                Part::Hole(value) => {
                    let value = fault.of(self.eval(frame, value));
                    is_text &= value.is_none_or(|value| text.add(&value).is_some());
                }
            }
        }
        fault.end()?;
        let text = if is_text { text.finish(None) } else { return Err(Stop::Reported) };
        self.count_text(text.known_length(), at)?;
        Ok(text)
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
        let mut fault = Fault::default();
        for part in parts {
            values.extend(match part {
                ScriptPart::Text(text) => Some(Value::Text(text.clone())),
                ScriptPart::Hole(value) | ScriptPart::Insert(value) => fault.of(self.eval(frame, value)),
            });
        }
        fault.end()?;
        let found;
        let contexts = if let Some(contexts) = contexts {
            contexts
        } else {
            found = self.contexts(shell, parts, &values)?;
            &found
        };
        let known = values.iter().map(|value| if let Value::Text(text) = value { text.len() } else { 0 }).sum();
        let (mut contexts, mut script) = (contexts.iter(), Text::with_room(known, parts.len()));
        for (part, value) in parts.iter().zip(&values) {
            match part {
                ScriptPart::Text(part) => script.push(part),
                ScriptPart::Insert(_) => script.add(value).ok_or(Stop::Reported)?,
                ScriptPart::Hole(hole) => {
                    let context = contexts.next().ok_or(Stop::Reported)?;
                    if script.add_written(value, *context).is_none() {
                        return Err(self.report(say_types::script_hole(hole.at, "in a script with a byte 0 in it")));
                    }
                }
            }
        }
        let script = script.finish(Some(shell.clone()));
        self.count_text(script.known_length(), at)?;
        Ok(script)
    }

    /// Where the holes stand, once the scripts that are put in are known.
    fn contexts(&mut self, shell: &str, parts: &[ScriptPart], values: &[Value]) -> Known<Vec<script::Context>> {
        let texts: Vec<Option<String>> = parts
            .iter()
            .zip(values)
            .map(|(part, value)| match part {
                ScriptPart::Text(_) | ScriptPart::Insert(_) => build::example(value),
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
        for (found, (at, is_list)) in script::contexts_in(shell, &scanned).into_iter().zip(holes) {
            match found {
                Err(refusal) => return Err(self.report(say_types::script_hole(at, &refusal.place()))),
                Ok(context) if is_list && !context.takes_words() => {
                    return Err(self.report(say_types::script_words(at)));
                }
                Ok(context) => contexts.push(context),
            }
        }
        Ok(contexts)
    }

    fn list(&mut self, frame: &mut Frame, elements: &'a [(bool, Expr)], at: Location) -> Known<Vec<Value>> {
        let mut items = Vec::with_capacity(elements.len());
        let mut fault = Fault::default();
        for (spread, element) in elements {
            let Some(value) = fault.of(self.eval(frame, element)) else { continue };
            if *spread {
                items.extend(self.elements(&value, element.at)?);
            } else {
                items.push(value);
            }
        }
        fault.end()?;
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
        let mut record = Given::new();
        for spread in spreads {
            match self.eval(frame, spread) {
                Ok(Value::Record(fields)) => {
                    let given = |(name, value): (&Arc<str>, &Value)| (name.clone(), (Ok(value.clone()), spread.at));
                    record.extend(fields.iter().map(given));
                }
                // Which fields it has is not known either.
                Err(stop) => return Err(stop),
                Ok(_) => return Err(Stop::Reported),
            }
        }
        for (name, value) in fields {
            record.insert(name.clone(), (self.eval(frame, value), value.at));
        }
        if let Some(of) = of {
            return self.whole_record(frame, record, of, at);
        }
        let mut fault = Fault::default();
        let known = record.into_iter().filter_map(|(name, (value, _))| Some((name, fault.of(value)?)));
        let fields = known.collect();
        fault.end()?;
        Ok(Value::Record(Arc::new(fields)))
    }

    fn variant(
        &mut self,
        frame: &mut Frame,
        of: Ref,
        name: &Arc<str>,
        payload: &'a [(Arc<str>, Expr)],
        at: Location,
    ) -> Known {
        let mut given = Given::new();
        for (field, value) in payload {
            given.insert(field.clone(), (self.eval(frame, value), value.at));
        }
        let program = self.program;
        let Some(Item::Enum { variants, .. }) = program.item(of.id).map(|item| &**item) else {
            return Err(Stop::Reported);
        };
        let Some((_, params)) = variants.iter().find(|(variant, _)| variant == name) else {
            return Err(Stop::Reported);
        };
        let instance = self.instance_of(frame.instance, of)?;
        let payload = Arc::new(self.complete(instance, params, given, at)?);
        Ok(Value::Variant { name: name.clone(), payload })
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
        let mut fault = Fault::default();
        for (key, value) in entries {
            let found = self.eval(frame, key);
            let key = fault.of(self.known(found, Look::Key, key.at));
            let value = fault.of(self.eval(frame, value));
            map.extend(key.zip(value));
        }
        fault.end()?;
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
                Some(condition) => self.eval(frame, condition),
                None => Ok(Value::Bool(true)),
            };
            return match holds {
                Ok(Value::Bool(true)) => each(self, frame),
                Ok(_) => Ok(()),
                Err(stop) => {
                    if stop == Stop::Unknown {
                        self.guarded(frame, each)?;
                    }
                    Err(stop)
                }
            };
        };
        let rows = match self.rows(frame, head) {
            Ok(rows) => rows,
            Err(stop) => {
                if stop == Stop::Unknown {
                    head.slots.iter().for_each(|slot| frame.put(*slot, Err(stop)));
                    self.guarded(frame, |this, frame| this.turns(frame, rest, condition, each))?;
                }
                return Err(stop);
            }
        };
        for row in rows {
            row.bind(frame, head);
            self.turns(frame, rest, condition, each)?;
        }
        Ok(())
    }

    fn index(&mut self, frame: &mut Frame, base: &'a Expr, index: &'a Expr) -> Known {
        let (container, key) = (self.eval(frame, base), self.eval(frame, index));
        let (container, key) = (container?, key?);
        self.must_know(&key, Look::Key, index.at)?;
        let (found, len) = match (&container, &key) {
            (Value::List(items), Value::Int(n)) => {
                (usize::try_from(*n).ok().and_then(|n| items.get(n)).cloned(), items.len())
            }
            (Value::Map(map), key) => (map.get(key).cloned(), map.len()),
            (_, _) => return Err(Stop::Reported),
        };
        match found {
            Some(found) => Ok(found),
            // The condition may be there to ask whether the element is.
            None if self.guards > 0 => Err(Stop::Unknown),
            None => Err(self.report(say::no_element(index.at, &key.shown(), len))),
        }
    }

    fn dir(&mut self, frame: &mut Frame, path: &Arc<str>, ignore: &'a Expr) -> Known {
        let Value::List(items) = self.eval(frame, ignore)? else { return Err(Stop::Reported) };
        let ignore = items.iter().filter_map(Value::to_text).collect();
        Ok(Value::Dir { path: path.clone(), ignore: Arc::new(ignore) })
    }

    pub(super) fn coerce(&mut self, frame: &Frame, value: Value, to: &Coercion, at: Location) -> Known {
        match (to, value) {
            // Left out.
            (_, Value::None) => Ok(Value::None),
            (Coercion::Port, Value::Int(n)) if !(1..=65535).contains(&n) => {
                Err(self.report(say::bad_number(at, &Type::Port, n)))
            }
            (Coercion::Bits, Value::Mode(bits)) => Ok(Value::Int(i64::from(bits))),
            (Coercion::ReadScript(shell), Value::File(path)) => {
                Ok(Value::Script { shell: shell.clone(), text: self.read(&path, at)? })
            }
            (Coercion::ReadScript(_), value @ Value::Build(_)) => {
                self.must_know(&value, Look::Content, at).and(Err(Stop::Reported))
            }
            (Coercion::File, Value::Artifact { id, .. }) => {
                Ok(Value::Build(Arc::new(Built { of: NodeRef::Artifact(id), what: Attribute::Whole })))
            }
            (Coercion::Record(nominal), Value::Record(fields)) => {
                let given = fields.iter().map(|(name, value)| (name.clone(), (Ok(value.clone()), at))).collect();
                self.whole_record(frame, given, Ref { id: nominal.id, via: None }, at)
            }
            (Coercion::Path, value) => self.own_paths(frame, value, at),
            (_, value) => Ok(value),
        }
    }

    /// Paths that were written elsewhere, if they are those of the image's system.
    fn own_paths(&mut self, frame: &Frame, value: Value, at: Location) -> Known {
        let is_other =
            |path: &Value| matches!(path, Value::Text(path) if foreign(CheckedText::GuestPath, path, frame).is_some());
        let other = match &value {
            Value::List(paths) => paths.iter().find(|path| is_other(path)),
            Value::Set(paths) => paths.iter().find(|path| is_other(path)),
            Value::Map(entries) => entries.keys().find(|path| is_other(path)),
            path => Some(path).filter(|path| is_other(path)),
        };
        let Some(Value::Text(path)) = other else { return Ok(value) };
        match foreign(CheckedText::GuestPath, path, frame) {
            Some(platform) => Err(self.report(say_platform::foreign_path(at, path, &platform))),
            None => Ok(value),
        }
    }
}

/// The platform of the image, where it is another system's path.
fn foreign(form: CheckedText, path: &str, frame: &Frame) -> Option<Pattern> {
    let platform = frame.platform.as_ref().filter(|_| form == CheckedText::GuestPath)?;
    ((platform.os == "windows") != has_drive(path)).then(|| Pattern::of(platform))
}
