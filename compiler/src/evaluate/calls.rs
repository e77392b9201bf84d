//! Calls: arguments, defaults and predicates, and what sources and artifacts denote.

use std::collections::BTreeMap;
use std::sync::Arc;

use imgc_plan::Platform;

use crate::core::{Expr, Item, Kind, Param, Ref, Signature};
use crate::span::Location;
use crate::types::{Coercion, PlatformIndex, Shape, Type};

use super::{
    ArtifactData, ArtifactId, Evaluator, Fault, Fields, Frame, INSIDE, InstanceId, Known, Look, MAX_CALLS, SourceValue,
    Stop, Value,
};

/// Fields as they are given, with the place of each value.
pub(super) type Given = BTreeMap<Arc<str>, (Known, Location)>;

impl<'a> Evaluator<'a> {
    /// Makes the fields of a record what it declares, adds its defaults and tests its predicates.
    pub(super) fn whole_record(&mut self, frame: &Frame, mut record: Given, of: Ref, at: Location) -> Known {
        let program = self.program;
        let Some(Item::Record { params, .. }) = program.item(of.id).map(|item| &**item) else {
            return Err(Stop::Reported);
        };
        for param in params {
            if let Some((value, place)) = record.get_mut(&param.name)
                && let Ok(found) = value
                && let Some(to) = owed(found, &param.ty)
            {
                *value = self.coerce(frame, found.clone(), &to, *place);
            }
        }
        let instance = self.instance_of(frame.instance, of)?;
        Ok(Value::Record(Arc::new(self.complete(instance, params, record, at)?)))
    }

    /// All fields with their defaults, each as its predicate wants it.
    pub(super) fn complete(
        &mut self,
        instance: InstanceId,
        params: &'a [Param],
        mut given: Given,
        at: Location,
    ) -> Known<Fields> {
        let mut inner = Frame::new(instance);
        let mut fault = Fault::default();
        let mut fields = Fields::new();
        for (param, slot) in params.iter().zip(0..) {
            let (value, place) = given.remove(&param.name).unwrap_or_else(|| self.default_of(&mut inner, param, at));
            inner.put(slot, value.clone());
            fault.of(self.holds(&mut inner, param, &value, place));
            fields.extend(fault.of(value).map(|value| (param.name.clone(), value)));
        }
        fault.end()?;
        Ok(fields)
    }

    /// The default of a param, in a frame of those before it, and where to point if it does not hold.
    pub(super) fn default_of(&mut self, frame: &mut Frame, param: &'a Param, at: Location) -> (Known, Location) {
        match &param.default {
            // Wrong wherever it is used, and told once.
            Some(default) if matches!(default.kind, Kind::Value(_)) => (self.eval(frame, default), default.at),
            Some(default) => (self.eval(frame, default), at),
            None => (Ok(Value::None), at),
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
    ) -> Known<Vec<Known>> {
        let mut inner = Frame { calls: frame.calls + 1, ..Frame::new(instance) };
        let mut fault = Fault::default();
        for ((param, arg), slot) in params.iter().zip(args).zip(0..) {
            let (value, place) = match arg {
                Some(arg) => (self.eval(frame, arg), arg.at),
                None => self.default_of(&mut inner, param, at),
            };
            inner.put(slot, value.clone());
            fault.of(self.holds(&mut inner, param, &value, place));
            if value == Err(Stop::Reported) {
                fault.of(value);
            }
        }
        fault.end()?;
        Ok(inner.slots)
    }

    pub(super) fn call(&mut self, frame: &mut Frame, of: Ref, args: &'a [Option<Expr>], at: Location) -> Known {
        if frame.calls >= MAX_CALLS {
            return Err(self.limit(at, INSIDE, "this call is the 65th"));
        }
        let program = self.program;
        let instance = self.instance_of(frame.instance, of)?;
        match program.item(of.id).map(|item| &**item) {
            Some(Item::Fn { params, body, .. }) => {
                let slots = self.call_args(frame, instance, params, args, at)?;
                // What is wrong in the body with any arguments was told where it is defined.
                if slots.iter().any(Result::is_err) {
                    return Err(Stop::Unknown);
                }
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
        signature.params.iter().zip(values).map(|(param, value)| Ok((param.name.clone(), value?))).collect()
    }

    fn artifact(&mut self, of: Ref, signature: &Signature, mut args: Fields, at: Location) -> Known {
        // The name of the file is no part of what is in it.
        let file = match args.remove("file") {
            Some(Value::Text(file)) => Some(file),
            Some(other) => {
                self.must_know(&other, Look::Name, at)?;
                None
            }
            None => None,
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
            Some(PlatformIndex::Path(path, _)) => {
                path.first().and_then(|name| args.get(name)).and_then(|value| self.platform_of(value))
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

/// What is to be done to a value of a record that was written before its type was known.
fn owed(value: &Value, ty: &Type) -> Option<Coercion> {
    match (value, ty) {
        (_, Type::Optional(inner)) => owed(value, inner),
        (Value::Record(_), Type::Nominal(nominal)) if matches!(nominal.shape, Shape::Record(_)) => {
            Some(Coercion::Record(nominal.clone()))
        }
        (Value::Int(_), Type::Port) => Some(Coercion::Port),
        (Value::Mode(_), Type::Int) => Some(Coercion::Bits),
        (Value::File(_), Type::Script(shell)) => Some(Coercion::ReadScript(shell.clone())),
        (Value::Artifact { .. }, Type::File) => Some(Coercion::File),
        (_, Type::Union(members)) => {
            let is_file =
                matches!(value, Value::Artifact { .. }) && members.iter().any(|m| matches!(m, Type::Artifact(..)));
            members.iter().find_map(|member| owed(value, member)).filter(|_| !is_file)
        }
        (_, _) => None,
    }
}
