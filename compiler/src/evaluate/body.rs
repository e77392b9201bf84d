//! Bodies: which steps an image has, with which values and under which addresses.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::core::{Expr, Head, Item, Param, Pat, Ref, Statement, Step};
use crate::diagnostic::evaluate as say;
use crate::span::Location;
use crate::types::ItemId;

use super::value::add_escaped;
use super::{Defaults, Evaluator, Fault, Fields, Frame, INSIDE, Known, Look, MAX_CALLS, StepData, Stop, Value};

/// An image while its body runs.
pub(super) struct Building {
    /// `web`, `web/apt.install`.
    pub(super) prefix: String,
    /// `[key]` of each `for` around the statement, since the last recipe.
    pub(super) keys: String,
    /// The statement of the user's own that the standard library's steps belong to.
    pub(super) site: Location,
    pub(super) steps: Vec<StepData>,
    pub(super) addresses: HashMap<String, Location>,
    /// How often each recipe was used under an address.
    pub(super) uses: HashMap<String, u32>,
    /// A step that has no value: the image has none, but its other steps were looked at.
    pub(super) fault: Option<Stop>,
}

impl Building {
    pub(super) fn new(prefix: String, site: Location) -> Self {
        Self {
            prefix,
            keys: String::new(),
            site,
            steps: Vec::new(),
            addresses: HashMap::new(),
            uses: HashMap::new(),
            fault: None,
        }
    }

    /// What a step is called before it is counted.
    fn address(&self, step: &str, label: Option<&str>) -> String {
        // With the signs between them and a number.
        let length = self.prefix.len() + step.len() + label.map_or(0, str::len) + self.keys.len() + 8;
        let mut address = String::with_capacity(length);
        for part in [self.prefix.as_str(), "/", step] {
            address.push_str(part);
        }
        if let Some(label) = label {
            address.push_str(" \"");
            add_escaped(label, &mut address);
            address.push('"');
        }
        address.push_str(&self.keys);
        address
    }
}

/// One turn of a `for`.
pub(super) struct Row {
    first: Value,
    second: Option<Value>,
    /// Part of addresses: the first value where it has a text, else the index.
    pub(super) key: Value,
}

impl Row {
    /// Puts the values into the slots of the head.
    pub(super) fn bind(&self, frame: &mut Frame, head: &Head) {
        let values = [Some(self.first.clone()), self.second.clone()];
        for (slot, value) in head.slots.iter().zip(values) {
            if let Some(value) = value {
                frame.set(*slot, value);
            }
        }
    }
}

/// A field of a step: its name, its value, and where that stands.
type GivenField<'a> = (&'a Arc<str>, Known, Location);

impl<'a> Evaluator<'a> {
    /// The turns of a `for`.
    pub(super) fn rows(&mut self, frame: &mut Frame, head: &'a Head) -> Known<Vec<Row>> {
        let over = self.eval(frame, &head.over)?;
        let pairs: Vec<(Value, Value)> = match over {
            Value::Map(map) => map.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            list => {
                let items = self.elements(&list, head.over.at)?;
                items.into_iter().zip(0..).map(|(item, n)| (Value::Int(n), item)).collect()
            }
        };
        self.count_elements(pairs.len(), head.over.at)?;
        let is_pair = head.slots.len() > 1;
        if head.first_is_key && !is_pair {
            for (_, item) in &pairs {
                self.must_know(item, Look::Key, head.over.at)?;
            }
        }
        let rows = pairs.into_iter().map(|(index, item)| {
            let first = if is_pair { index.clone() } else { item.clone() };
            let key = if head.first_is_key { first.clone() } else { index };
            Row { first, second: is_pair.then_some(item), key }
        });
        Ok(rows.collect())
    }

    /// The elements of a list, set or range of numbers.
    pub(super) fn elements(&mut self, value: &Value, at: Location) -> Known<Vec<Value>> {
        Ok(match value {
            Value::List(items) => items.to_vec(),
            Value::Set(items) => items.iter().cloned().collect(),
            Value::Range(ends) => match &**ends {
                (Value::Int(from), Value::Int(to)) => {
                    let count = usize::try_from(to.saturating_sub(*from).saturating_add(1)).unwrap_or(0);
                    self.count_elements(count, at)?;
                    (*from..=*to).map(Value::Int).collect()
                }
                _ => return Err(Stop::Reported),
            },
            _ => return Err(Stop::Reported),
        })
    }

    pub(super) fn statements(
        &mut self,
        frame: &mut Frame,
        building: &mut Building,
        body: &'a [Statement],
    ) -> Known<()> {
        for statement in body {
            self.statement(frame, building, statement)?;
            if self.is_stopped {
                return Err(Stop::Reported);
            }
        }
        Ok(())
    }

    fn statement(&mut self, frame: &mut Frame, building: &mut Building, statement: &'a Statement) -> Known<()> {
        match statement {
            Statement::Step(step) => {
                if let Err(stop) = self.body_step(frame, building, step) {
                    building.fault.get_or_insert(stop);
                }
                Ok(())
            }
            Statement::Let { slot, value } => {
                let value = self.eval(frame, value);
                if let Err(stop) = value {
                    building.fault.get_or_insert(stop);
                }
                frame.put(*slot, value);
                Ok(())
            }
            Statement::If { condition, then, otherwise } => match self.eval(frame, condition) {
                Ok(holds) => {
                    self.statements(frame, building, if holds == Value::Bool(true) { then } else { otherwise })
                }
                Err(stop) => {
                    self.look_into(frame, building, stop, then)?;
                    self.look_into(frame, building, stop, otherwise)
                }
            },
            Statement::For { head, body, at } => self.each(frame, building, head, body, *at),
            Statement::Match { subject, arms, .. } => self.choice(frame, building, subject, arms),
            Statement::Use { recipe, name, args, at } => {
                self.use_recipe(frame, building, (*recipe, name.as_ref()), args, *at)
            }
        }
    }

    fn each(
        &mut self,
        frame: &mut Frame,
        building: &mut Building,
        head: &'a Head,
        body: &'a [Statement],
        at: Location,
    ) -> Known<()> {
        let rows = match self.rows(frame, head) {
            Ok(rows) => rows,
            Err(stop) => {
                head.slots.iter().for_each(|slot| frame.put(*slot, Err(stop)));
                return self.look_into(frame, building, stop, body);
            }
        };
        for row in rows {
            self.step(at)?;
            row.bind(frame, head);
            let outer = building.keys.len();
            building.keys.push('[');
            // What has no text is an empty key.
            let _ = row.key.add_text(&mut building.keys);
            building.keys.push(']');
            let done = self.statements(frame, building, body);
            building.keys.truncate(outer);
            done?;
        }
        Ok(())
    }

    fn choice(
        &mut self,
        frame: &mut Frame,
        building: &mut Building,
        subject: &'a Expr,
        arms: &'a [(Pat, Vec<Statement>)],
    ) -> Known<()> {
        let value = match self.subject(frame, subject) {
            Ok(value) => value,
            Err(stop) => {
                for (pat, body) in arms {
                    super::operators::forget(frame, pat);
                    self.look_into(frame, building, stop, body)?;
                }
                return Ok(());
            }
        };
        for (pat, body) in arms {
            if super::operators::matches(frame, pat, &value) {
                return self.statements(frame, building, body);
            }
        }
        Ok(())
    }

    fn use_recipe(
        &mut self,
        frame: &mut Frame,
        building: &mut Building,
        (recipe, name): (Ref, &str),
        args: &'a [Option<Expr>],
        at: Location,
    ) -> Known<()> {
        let program = self.program;
        let Some(Item::Recipe { params, body, .. }) = program.item(recipe.id).map(|item| &**item) else {
            return Err(Stop::Reported);
        };
        let instance = self.instance_of(frame.instance, recipe)?;
        let slots = match self.call_args(frame, instance, params, args, at) {
            Ok(slots) => slots,
            Err(stop) => {
                building.fault.get_or_insert(stop);
                return Ok(());
            }
        };
        if frame.calls >= MAX_CALLS {
            return Err(self.limit(at, INSIDE, "this `use` is the 65th"));
        }
        let mut inner = Frame { instance, slots, platform: frame.platform.clone(), calls: frame.calls + 1 };
        self.recipe(&mut inner, building, (recipe.id, name), body, at)
    }

    /// Looks at statements of which nobody knows whether they run. The image has no value then.
    fn look_into(
        &mut self,
        frame: &mut Frame,
        building: &mut Building,
        stop: Stop,
        body: &'a [Statement],
    ) -> Known<()> {
        building.fault.get_or_insert(stop);
        if stop == Stop::Reported {
            return Ok(());
        }
        self.guarded(frame, |this, frame| this.statements(frame, building, body))
    }

    fn recipe(
        &mut self,
        frame: &mut Frame,
        building: &mut Building,
        (recipe, name): (ItemId, &str),
        body: &'a [Statement],
        at: Location,
    ) -> Known<()> {
        let mut address = format!("{}/{name}{}", building.prefix, building.keys);
        let count = building.uses.entry(address.clone()).or_insert(0);
        *count += 1;
        if *count > 1 {
            let _ = write!(address, "#{count}");
        }
        let outer = std::mem::replace(&mut building.prefix, address);
        let keys = std::mem::take(&mut building.keys);
        let site = building.site;
        if !self.is_std(at) {
            building.site = at;
        }
        let done = self.run_again(frame, building, recipe, body);
        building.prefix = outer;
        building.keys = keys;
        building.site = site;
        done
    }

    fn is_std(&self, at: Location) -> bool {
        self.modules.all.get(at.module.0 as usize).is_some_and(|module| module.is_std)
    }

    fn body_step(&mut self, frame: &mut Frame, building: &mut Building, step: &'a Step) -> Known<()> {
        self.step(step.at)?;
        self.count_node(step.at)?;
        let program = self.program;
        let Some(Item::Step { revision, fields: declared, .. }) = program.item(step.kind.id).map(|item| &**item) else {
            return Err(Stop::Reported);
        };
        let mut fault = Fault::default();
        let label = step.label.as_ref().and_then(|label| {
            let label = self.eval(frame, label);
            fault.of(self.known(label, Look::Name, step.label_at))
        });
        let label = label.and_then(|label| match label {
            Value::Text(label) => Some(label),
            other => other.to_text().map(Arc::from),
        });
        let mut given: Vec<GivenField<'a>> = Vec::with_capacity(step.fields.len());
        for (name, value) in &step.fields {
            given.push((name, self.eval(frame, value), value.at));
        }
        let defaults = self.defaults_of(step)?;
        self.fields_hold(declared, &given, &defaults, step)?;
        let given = given.into_iter().filter_map(|(name, value, _)| Some((name.clone(), fault.of(value)?))).collect();
        fault.end()?;
        let at = if self.is_std(step.at) { building.site } else { step.at };
        let mut address = building.address(&step.name, label.as_deref());
        if label.is_none() {
            let count = building.uses.entry(address.clone()).or_insert(0);
            *count += 1;
            if *count > 1 {
                let _ = write!(address, "#{count}");
            }
        }
        // Of the sides of a condition that nobody knows only one will run.
        if self.guards == 0
            && let Some(first) = building.addresses.insert(address.clone(), step.label_at)
        {
            return Err(self.report(say::same_address(step.label_at, &address, first)));
        }
        building.steps.push(StepData {
            kind: step.name.clone(),
            revision: *revision,
            address,
            label: label.unwrap_or_default(),
            given,
            defaults,
            at,
        });
        Ok(())
    }

    /// The defaults of a step kind, evaluated once.
    fn defaults_of(&mut self, step: &Step) -> Known<Defaults> {
        if let Some(known) = self.step_defaults.get(&step.kind.id) {
            return Ok(known.clone());
        }
        let program = self.program;
        let Some(Item::Step { fields, .. }) = program.item(step.kind.id).map(|item| &**item) else {
            return Err(Stop::Reported);
        };
        let instance = self.first.get(&step.kind.id.module).copied().ok_or(Stop::Reported)?;
        let mut defaults = Fields::new();
        for field in fields.iter().filter(|field| field.is_optional()) {
            let value = match &field.default {
                Some(default) => self.eval(&mut Frame::new(instance), default)?,
                None => Value::None,
            };
            defaults.insert(field.name.clone(), value);
        }
        let defaults = Arc::new(defaults);
        self.step_defaults.insert(step.kind.id, defaults.clone());
        Ok(defaults)
    }

    /// Whether the fields are as their predicates want them; of those that are not known, plans will tell.
    fn fields_hold(
        &mut self,
        declared: &'a [Param],
        given: &[GivenField<'a>],
        defaults: &Defaults,
        step: &Step,
    ) -> Known<()> {
        let of = |param: &Param| given.iter().find(|(name, ..)| **name == param.name);
        if !declared.iter().any(|param| param.predicate.is_some() && of(param).is_some()) {
            return Ok(());
        }
        let instance = self.first.get(&step.kind.id.module).copied().ok_or(Stop::Reported)?;
        let mut frame = Frame::new(instance);
        let mut fault = Fault::default();
        for (param, slot) in declared.iter().zip(0..) {
            match of(param) {
                Some((_, value, at)) => {
                    frame.put(slot, value.clone());
                    fault.of(self.holds(&mut frame, param, value, *at));
                }
                // Defaults hold: they are the standard library's own.
                None => frame.put(slot, defaults.get(&param.name).cloned().ok_or(Stop::Reported)),
            }
        }
        fault.end()
    }

    /// Whether the predicate of a param holds, whose slot and those before it are set. What is not known yet holds.
    pub(super) fn holds(&mut self, frame: &mut Frame, param: &'a Param, value: &Known, at: Location) -> Known<()> {
        let (Some(predicate), Ok(value)) = (&param.predicate, value) else { return Ok(()) };
        match self.eval(frame, predicate) {
            Ok(Value::Bool(true)) | Err(Stop::Unknown) => Ok(()),
            Err(stop) => Err(stop),
            Ok(_) => Err(self.report(say::predicate_at(predicate.at, &param.name, &value.shown(), at))),
        }
    }
}
