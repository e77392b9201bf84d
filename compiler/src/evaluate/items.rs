//! Items: modules with their arguments, params, images.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imgc_plan::Platform;

use crate::core::{self, Item, Param};
use crate::diagnostic::evaluate as say;
use crate::span::{Location, ModuleId};

use super::body::Building;
use super::{
    Base, Evaluator, Fault, Fields, Frame, GivenParam, ImageData, ImageId, Instance, InstanceId, Known, Purpose,
    SourceValue, Stop, TestData, Value,
};

impl<'a> Evaluator<'a> {
    /// Evaluates a module with these arguments; equal arguments are one instance.
    pub(super) fn instantiate(
        &mut self,
        module: ModuleId,
        prefix: String,
        args: BTreeMap<u32, Known>,
        site: Option<Location>,
    ) -> InstanceId {
        let key: Option<Vec<(u32, Value)>> = args.iter().map(|(n, arg)| Some((*n, arg.clone().ok()?))).collect();
        if let Some(known) = key.as_ref().and_then(|key| self.by_args.get(&(module, key.clone()))) {
            return *known;
        }
        let id = InstanceId(self.instances.len());
        let prefix = self.prefixes.get(&id).cloned().unwrap_or(prefix);
        let program = self.program;
        let checked = program.modules.get(module.0 as usize);
        let values = vec![None; checked.map_or(0, |module| module.items.len())];
        self.instances.push(Instance { module, prefix, args, site, values, imports: BTreeMap::new() });
        self.first.entry(module).or_insert(id);
        if let Some(key) = key {
            self.by_args.insert((module, key), id);
        }
        let mut items = self.items_before(id);
        for number in checked.map(|module| module.order.as_slice()).unwrap_or_default() {
            let Some(item) = checked.and_then(|module| module.items.get(*number as usize)) else { continue };
            let name = checked.and_then(|module| module.names.get(*number as usize)).cloned().unwrap_or_default();
            let value = match &mut items {
                Some(items) => self.evaluate_item_again(id, (*number, item, &name), items),
                None => self.evaluate_item(id, *number, item, &name),
            };
            if let Some(place) = self.instances.get_mut(id.0).and_then(|i| i.values.get_mut(*number as usize)) {
                *place = Some(value);
            }
        }
        if let Some(items) = items {
            self.remember(items);
        }
        id
    }

    pub(super) fn evaluate_item(
        &mut self,
        instance: InstanceId,
        number: u32,
        item: &'a Item,
        name: &Arc<str>,
    ) -> Known {
        match item {
            Item::Import { module, args } => {
                self.import(instance, number, *module, args);
                Ok(Value::None)
            }
            Item::Param(param) => self.module_param(instance, number, param),
            Item::Let { value, .. } | Item::Output { value, .. } => self.eval(&mut Frame::new(instance), value),
            Item::Image(image) => self.image(instance, image, name),
            Item::Test { of, body, at } => self.test(instance, of, body, name, *at),
            Item::Nothing => Err(Stop::Reported),
            Item::Secret { origin, value, version, .. } => {
                self.secret(instance, name, (*origin, value), version.as_ref())
            }
            Item::Fn { .. } | Item::Record { .. } | Item::Enum { .. } | Item::Recipe { .. } => {
                self.look_at(instance, item);
                Ok(Value::None)
            }
            Item::Step { .. } | Item::Source(_) | Item::Artifact(_) => Ok(Value::None),
        }
    }

    /// Looks at what only runs where it is used, with everything unknown that a use would say: what is constant in
    /// it is right or wrong without any use.
    fn look_at(&mut self, instance: InstanceId, item: &'a Item) {
        let module = self.instances.get(instance.0).map(|i| i.module).unwrap_or_default();
        // The standard library was tested before anyone uses it.
        if self.modules.all.get(module.0 as usize).is_none_or(|module| module.is_std) {
            return;
        }
        let nodes = self.nodes;
        let mut frame = Frame::new(instance);
        match item {
            Item::Fn { params, body, .. } => {
                self.look_at_params(&mut frame, params);
                let _ = self.eval(&mut frame, body);
            }
            Item::Record { params, .. } => self.look_at_params(&mut frame, params),
            Item::Enum { variants, .. } => {
                for (_, payload) in variants {
                    self.look_at_params(&mut Frame::new(instance), payload);
                }
            }
            Item::Recipe { params, body, .. } => {
                self.look_at_params(&mut frame, params);
                let mut building = Building::new(String::new(), crate::span::Location::default());
                let _ = self.statements(&mut frame, &mut building, body);
            }
            _ => {}
        }
        // Nothing of it is built.
        self.nodes = nodes;
    }

    fn look_at_params(&mut self, frame: &mut Frame, params: &'a [Param]) {
        for (param, slot) in params.iter().zip(0..) {
            if param.default.is_some() {
                let (value, place) = self.default_of(frame, param, param.at);
                frame.put(slot, value.clone());
                let _ = self.holds(frame, param, &value, place);
            }
            frame.put(slot, Err(Stop::Unknown));
        }
    }

    fn import(&mut self, instance: InstanceId, number: u32, module: ModuleId, args: &'a [(u32, core::Expr)]) {
        let args: BTreeMap<u32, Known> =
            args.iter().map(|(n, arg)| (*n, self.eval(&mut Frame::new(instance), arg))).collect();
        let (prefix, here) = self.instances.get(instance.0).map(|i| (i.prefix.clone(), i.module)).unwrap_or_default();
        let prefix = format!("{prefix}{}::", self.import_name(here, number));
        let span =
            self.modules.all.get(here.0 as usize).and_then(|m| m.tree.items.get(number as usize)).map(|i| i.span);
        let site = crate::modules::at(here, number, span.unwrap_or_default());
        let id = self.instantiate(module, prefix, args, Some(site));
        if let Some(instance) = self.instances.get_mut(instance.0) {
            instance.imports.insert(number, id);
        }
    }

    /// What addresses call an imported module: its alias, else the stem of its file.
    pub(super) fn import_name(&self, module: ModuleId, number: u32) -> String {
        let tree = self.modules.all.get(module.0 as usize).map(|module| &module.tree);
        let Some(item) = tree.and_then(|tree| tree.items.get(number as usize)) else { return String::new() };
        let crate::ast::ItemKind::Import(import) = &item.kind else { return String::new() };
        if let Some(alias) = &import.alias {
            return alias.text.to_string();
        }
        match &import.from {
            crate::ast::ImportFrom::File(path) => {
                let path = crate::modules::plain(path).unwrap_or_default();
                let name = path.rsplit('/').next().unwrap_or_default();
                name.strip_suffix(".imgc").unwrap_or(name).to_owned()
            }
            crate::ast::ImportFrom::Std(path) => path.names.last().map(|n| n.text.to_string()).unwrap_or_default(),
            crate::ast::ImportFrom::Error(_) => String::new(),
        }
    }

    fn module_param(&mut self, instance: InstanceId, number: u32, param: &'a Param) -> Known {
        let (is_applied, site, arg) = match self.instances.get(instance.0) {
            Some(i) => (i.module == self.applied, i.site, i.args.get(&number).cloned()),
            None => return Err(Stop::Reported),
        };
        let mut frame = Frame::new(instance);
        if let Some(arg) = arg {
            let value = arg?;
            self.param_holds(&mut frame, param, &value, "the import", site)?;
            return Ok(value);
        }
        let given = if is_applied && self.purpose == Purpose::Plan { self.world.argument(&param.name) } else { None };
        if let Some(argument) = given {
            let origin = argument.origin.clone();
            let value = self.argument(param, &argument)?;
            let at = self.given_at(&argument);
            self.param_holds(&mut frame, param, &value, &origin, at)?;
            return Ok(self.noted(is_applied, param, value, origin));
        }
        let value = match (&param.default, &param.ty) {
            (Some(default), _) => self.eval(&mut frame, default)?,
            (None, crate::types::Type::Optional(_)) => Value::None,
            (None, _) if is_applied && self.purpose == Purpose::Check => return Err(Stop::Unknown),
            (None, ty) => {
                let mut diagnostic = say::missing_param(param.at, &param.name, ty);
                if let Some(site) = site {
                    diagnostic.primary =
                        crate::diagnostic::Label { at: site, text: "this import does not give it".to_owned() };
                    diagnostic.help = Some(format!("give it with the import: `(…, {}: …)`", param.name));
                    diagnostic = diagnostic.label(param.at, "declared here without a default");
                }
                return Err(self.report(diagnostic));
            }
        };
        self.param_holds(&mut frame, param, &value, "its default", None)?;
        if is_applied && self.purpose == Purpose::Check {
            return Err(Stop::Unknown);
        }
        Ok(self.noted(is_applied, param, value, "default".to_owned()))
    }

    fn noted(&mut self, is_applied: bool, param: &Param, value: Value, origin: String) -> Value {
        if is_applied {
            self.result.params.insert(param.name.to_string(), GivenParam { value: value.clone(), origin });
        }
        value
    }

    fn param_holds(
        &mut self,
        frame: &mut Frame,
        param: &'a Param,
        value: &Value,
        origin: &str,
        site: Option<Location>,
    ) -> Known<()> {
        let Some(predicate) = &param.predicate else { return Ok(()) };
        frame.set(0, value.clone());
        if self.eval(frame, predicate)? == Value::Bool(true) {
            return Ok(());
        }
        let diagnostic = match site {
            Some(site) => say::predicate_at(predicate.at, &param.name, &value.shown(), site),
            None => say::predicate(predicate.at, &param.name, &value.shown(), origin),
        };
        Err(self.report(diagnostic))
    }

    fn image(&mut self, instance: InstanceId, image: &'a core::Image, name: &Arc<str>) -> Known {
        let prefix = self.instances.get(instance.0).map(|i| i.prefix.clone()).unwrap_or_default();
        let address = format!("{prefix}{name}");
        let mut frame = Frame::new(instance);
        let Some(head) = &image.each else {
            return self.one_image(&mut frame, image, address);
        };
        let mut map = BTreeMap::new();
        let mut texts = BTreeSet::new();
        let rows = match self.rows(&mut frame, head) {
            Ok(rows) => rows,
            Err(stop) => {
                head.slots.iter().for_each(|slot| frame.put(*slot, Err(stop)));
                return self.guarded(&mut frame, |this, frame| this.one_image(frame, image, address)).and(Err(stop));
            }
        };
        let mut fault = Fault::default();
        for row in rows {
            let key = row.key.clone();
            let text = key.to_text().unwrap_or_default();
            if !texts.insert(text.clone()) {
                return Err(self.report(say::same_key(head.over.at, &text)));
            }
            row.bind(&mut frame, head);
            let value = self.one_image(&mut frame, image, format!("{address}[{text}]"));
            map.extend(fault.of(value).map(|value| (key, value)));
        }
        fault.end()?;
        Ok(Value::Map(Arc::new(map)))
    }

    /// Tests of the applied module: one of an image, one a key of an image with `for`.
    fn test(
        &mut self,
        instance: InstanceId,
        of: &'a core::Expr,
        body: &'a [core::Statement],
        name: &str,
        at: Location,
    ) -> Known {
        if self.instances.get(instance.0).is_none_or(|i| i.module != self.applied) {
            return Ok(Value::None);
        }
        let mut frame = Frame::new(instance);
        let subjects = match self.eval(&mut frame, of) {
            Ok(Value::Image(id)) => vec![(name.to_owned(), id)],
            Ok(Value::Map(images)) => {
                let each = images.iter().filter_map(|(key, image)| match image {
                    Value::Image(id) => Some((format!("{name}[{}]", key.to_text()?), *id)),
                    _ => None,
                });
                each.collect()
            }
            Err(Stop::Unknown) => {
                let mut building = Building::new(name.to_owned(), at);
                self.statements(&mut frame, &mut building, body)?;
                return Err(Stop::Unknown);
            }
            _ => return Err(Stop::Reported),
        };
        let mut fault = Fault::default();
        for (address, of) in subjects {
            let platform = self.result.images.get(of.0 as usize).map(|image| image.platform.clone());
            let base = (Base::Image(of), platform.ok_or(Stop::Reported)?);
            let steps = fault.of(self.build(&mut frame, base, address, (body, Fields::new()), at));
            self.result.tests.extend(steps.map(|steps| TestData { steps, at }));
        }
        fault.end()?;
        Ok(Value::None)
    }

    fn one_image(&mut self, frame: &mut Frame, image: &'a core::Image, address: String) -> Known {
        frame.platform = None;
        let base = match self.eval(frame, &image.from) {
            Ok(Value::Source(source)) => {
                let platform = source.platform.clone();
                (Base::Source(source), platform)
            }
            Ok(Value::Image(id)) => {
                let platform = self.result.images.get(id.0 as usize).map(|image| image.platform.clone());
                (Base::Image(id), platform.ok_or(Stop::Reported)?)
            }
            Ok(_) => return Err(Stop::Reported),
            Err(stop) => {
                let mut building = Building::new(address, image.at);
                self.statements(frame, &mut building, &image.body)?;
                return Err(stop);
            }
        };
        self.count_node(image.at)?;
        let machine = self.machine(frame, image, &base.0);
        let mut fault = Fault::default();
        let fields = fault.of(machine).unwrap_or_default();
        let built = self.build(frame, base, address, (&image.body, fields), image.at);
        fault.end()?;
        built.map(Value::Image)
    }

    /// What the machine of an image is: what the image says, and the defaults of the record that its source declares.
    fn machine(&mut self, frame: &mut Frame, image: &'a core::Image, base: &Base) -> Known<Fields> {
        let said = match &image.machine {
            Some(machine) => self.eval(frame, machine)?,
            None => Value::Record(Arc::default()),
        };
        let Base::Source(source) = base else { return Ok(Fields::new()) };
        let at = image.machine.as_ref().map_or(image.from.at, |machine| machine.at);
        self.machine_of(frame, source, said, at)
    }

    /// The machine record of a source with what is said of it.
    pub(super) fn machine_of(
        &mut self,
        frame: &Frame,
        source: &SourceValue,
        said: Value,
        at: Location,
    ) -> Known<Fields> {
        let program = self.program;
        let declared = match program.item(source.of).map(|item| &**item) {
            Some(Item::Source(signature)) => signature.machine.as_ref(),
            _ => None,
        };
        let (Some(crate::types::Type::Nominal(nominal)), Value::Record(fields)) = (declared, said) else {
            return Ok(Fields::new());
        };
        let given = fields.iter().map(|(name, value)| (name.clone(), (Ok(value.clone()), at))).collect();
        match self.whole_record(frame, given, core::Ref { id: nominal.id, via: None }, at)? {
            Value::Record(fields) => Ok((*fields).clone()),
            _ => Err(Stop::Reported),
        }
    }

    /// The steps of a body on their base.
    fn build(
        &mut self,
        frame: &mut Frame,
        (base, platform): (Base, Platform),
        address: String,
        (body, machine): (&'a [core::Statement], Fields),
        at: Location,
    ) -> Known<ImageId> {
        frame.platform = Some(Arc::new(platform.clone()));
        let mut building = Building::new(address.clone(), at);
        self.statements(frame, &mut building, body)?;
        if let Some(stop) = building.fault {
            return Err(stop);
        }
        let id = ImageId(u32::try_from(self.result.images.len()).unwrap_or(u32::MAX));
        self.result.images.push(ImageData { address, platform, base, steps: building.steps, machine });
        Ok(id)
    }
}
