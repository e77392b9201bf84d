//! The evaluated graph as a [`Plan`]: what outputs reach, in dependency order, with addresses, digests of files and
//! every default written out.

#![expect(clippy::wildcard_enum_match_arm, reason = "most values are no part of the graph")]

mod asked;
mod names;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use imgc_plan::node::PLAN_FORMAT;
use imgc_plan::{
    Address, Artifact, Attribute, BuildValue, Image, Name, Node, NodeId, Output, OutputValue, Part, Plan, Record,
    Secret, SecretRef, Source, SourceKey, SourceSpan, Step, Test, Work,
};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::DfsPostOrder;

use crate::core::{Item, Program, Signature};
use crate::diagnostic::{Diagnostic, evaluate as say};
use crate::evaluate::{self, ArtifactId, Base, Evaluated, Fields, ImageId, NodeRef, SourceValue, StepData, Value};
use crate::modules::Modules;
use crate::span::{Location, ModuleId};
use crate::types::{FormatIndex, ItemId, Type, WRAPPING};
use crate::world::World;

use asked::Inputs;

/// What is known of an image that was lowered.
#[derive(Clone, Copy)]
struct Built {
    source: NodeId,
    last: NodeId,
}

struct Lowering<'a> {
    program: &'a Program,
    modules: &'a Modules,
    evaluated: &'a Evaluated,
    /// Of images that were not lowered yet. Each step goes once it is lowered: there are many.
    steps: HashMap<ImageId, Vec<StepData>>,
    inputs: Inputs<'a>,
    nodes: Vec<Node>,
    images: Vec<Image>,
    tests: Vec<Test>,
    built: HashMap<ImageId, Built>,
    /// What steps of a kind leave out, by what evaluation holds of it; it made all of that before the first is lowered.
    defaults: HashMap<*const Fields, Record>,
    artifacts: HashMap<ArtifactId, NodeId>,
    /// Of artifacts, by the output or `let` that holds them.
    addresses: BTreeMap<ArtifactId, String>,
    diagnostics: Vec<Diagnostic>,
}

/// Makes the plan of a module. It is worth something only if there is no error among the diagnostics.
pub(crate) fn lower(
    (program, modules): (&Program, &Modules),
    applied: ModuleId,
    mut evaluated: Evaluated,
    world: &dyn World,
) -> (Plan, Vec<Diagnostic>) {
    let order = order(&evaluated);
    let steps: HashMap<_, _> =
        evaluated.images.iter_mut().zip(0..).map(|(image, n)| (ImageId(n), std::mem::take(&mut image.steps))).collect();
    let evaluated = &evaluated;
    let count: usize = steps.values().map(Vec::len).sum();
    let mut lowering = Lowering {
        program,
        modules,
        evaluated,
        inputs: Inputs::new(world),
        steps,
        nodes: Vec::with_capacity(count + evaluated.images.len() + evaluated.artifacts.len()),
        images: Vec::new(),
        tests: Vec::new(),
        built: HashMap::new(),
        defaults: HashMap::new(),
        artifacts: HashMap::new(),
        addresses: names::artifacts(evaluated),
        diagnostics: Vec::new(),
    };
    for node in order {
        match node {
            NodeRef::Image(id) => lowering.image(id),
            NodeRef::Artifact(id) => lowering.artifact(id),
        }
    }
    let outputs = lowering.outputs();
    lowering.images.sort_by(|a, b| a.address.cmp(&b.address));
    lowering.tests.sort_by(|a, b| a.address.cmp(&b.address));
    // What evaluation looked into, besides what is part of a value; it was readable a moment ago.
    for path in &evaluated.texts {
        let _ = lowering.inputs.file(path);
    }
    for (path, ignore) in &evaluated.listings {
        let _ = lowering.inputs.dir(path, ignore);
    }
    let secrets = lowering.secrets();
    let asked = lowering.inputs.asked(modules, applied, evaluated);
    let plan = Plan {
        format: PLAN_FORMAT,
        imgc: env!("CARGO_PKG_VERSION").to_owned(),
        nodes: lowering.nodes,
        images: lowering.images,
        outputs,
        tests: lowering.tests,
        secrets,
        asked,
    };
    (plan, lowering.diagnostics)
}

/// What the outputs reach, each after what it needs; the order depends on names only, not on where items stand.
fn order(evaluated: &Evaluated) -> Vec<NodeRef> {
    let mut graph = DiGraph::<Option<NodeRef>, ()>::new();
    let root = graph.add_node(None);
    let mut indices: HashMap<NodeRef, NodeIndex> = HashMap::new();
    let mut open: Vec<(NodeIndex, Vec<NodeRef>)> = Vec::new();
    let mut outputs: Vec<_> = evaluated.outputs.iter().collect();
    outputs.sort_by(|a, b| a.0.cmp(&b.0));
    let mut wanted = Vec::new();
    for (_, value, _) in outputs {
        value.nodes(&mut wanted);
    }
    let mut tests: Vec<_> = evaluated.tests.iter().map(|test| (address(evaluated, test.steps), test.steps)).collect();
    tests.sort();
    wanted.extend(tests.into_iter().map(|(_, steps)| NodeRef::Image(steps)));
    open.push((root, wanted));
    while let Some((user, wanted)) = open.pop() {
        for node in wanted {
            let index = *indices.entry(node).or_insert_with(|| {
                let index = graph.add_node(Some(node));
                open.push((index, needs(evaluated, node)));
                index
            });
            graph.add_edge(user, index, ());
        }
    }
    let mut search = DfsPostOrder::new(&graph, root);
    let mut order = Vec::new();
    while let Some(index) = search.next(&graph) {
        order.extend(graph.node_weight(index).copied().flatten());
    }
    order
}

fn address(evaluated: &Evaluated, image: ImageId) -> &str {
    evaluated.images.get(image.0 as usize).map_or("", |image| &image.address)
}

fn needs(evaluated: &Evaluated, node: NodeRef) -> Vec<NodeRef> {
    let mut found = Vec::new();
    match node {
        NodeRef::Image(id) => {
            if let Some(image) = evaluated.images.get(id.0 as usize) {
                match &image.base {
                    Base::Image(base) => found.push(NodeRef::Image(*base)),
                    Base::Source(source) => source.args.values().for_each(|value| value.nodes(&mut found)),
                }
                image.machine.values().for_each(|value| value.nodes(&mut found));
                // Defaults are constants of the standard library.
                image.steps.iter().flat_map(|step| &step.given).for_each(|(_, value)| value.nodes(&mut found));
            }
        }
        NodeRef::Artifact(id) => {
            if let Some(artifact) = evaluated.artifacts.get(id.0 as usize) {
                artifact.args.values().for_each(|value| value.nodes(&mut found));
            }
        }
    }
    found
}

impl Lowering<'_> {
    fn push(&mut self, node: Node) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(node);
        id
    }

    fn span(&self, at: Location) -> SourceSpan {
        let place = self.modules.sources.place(&at);
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (start, end) = (number(place.start), number(place.end));
        SourceSpan { file: place.path, start, end, line: place.line }
    }

    fn signature(&self, id: ItemId) -> Option<&Signature> {
        match self.program.item(id).map(|item| &**item) {
            Some(Item::Source(signature) | Item::Artifact(signature)) => Some(signature),
            _ => None,
        }
    }

    fn image(&mut self, id: ImageId) {
        let evaluated = self.evaluated;
        let Some(image) = evaluated.images.get(id.0 as usize) else { return };
        let steps = self.steps.remove(&id).unwrap_or_default();
        let mut own = Vec::with_capacity(steps.len() + 1);
        let (from, begin) = match &image.base {
            Base::Source(source) => {
                let Some(node) = self.source(source, &image.machine, &format!("{}/from", image.address)) else {
                    return;
                };
                own.push(node);
                (None, Built { source: node, last: node })
            }
            Base::Image(base) => {
                let Some(built) = self.built.get(base).copied() else { return };
                let address = evaluated.images.get(base.0 as usize).map(|base| Address(base.address.clone()));
                (address, built)
            }
        };
        let backend = self.nodes.get(begin.source.index()).map(|node| node.backend.clone()).unwrap_or_default();
        let platform = Arc::new(image.platform.clone());
        let mut last = begin.last;
        for step in steps {
            let args = self.args(&step);
            let network = matches!(step.arg("network"), Some(Value::Bool(true)));
            let work = Step { on: last, source: begin.source, label: step.label, network };
            last = self.push(Node {
                address: Address(step.address),
                span: Some(self.span(step.at)),
                platform: platform.clone(),
                backend: backend.clone(),
                kind: step.kind.into(),
                revision: step.revision,
                args,
                work: Work::Step(work),
            });
            own.push(last);
        }
        self.built.insert(id, Built { source: begin.source, last });
        let (address, platform) = (Address(image.address.clone()), image.platform.clone());
        let test = evaluated.tests.binary_search_by_key(&id, |test| test.steps).ok();
        if let Some(test) = test.and_then(|test| evaluated.tests.get(test)) {
            let span = Some(self.span(test.at));
            self.tests.push(Test { address, image: begin.last, nodes: own, span });
            return;
        }
        self.images.push(Image { address, platform, from, nodes: own, last });
    }

    fn source(&mut self, source: &Arc<SourceValue>, machine: &Fields, address: &str) -> Option<NodeId> {
        let signature = self.signature(source.of)?;
        let (kind, revision) = (Name::from(signature.kind.clone()), signature.revision);
        let backend = kind.split('.').next().unwrap_or_default().into();
        let args = self.record(&source.args, source.at);
        let args = args.into_iter().map(|(name, value)| (name, self.as_file(value))).collect();
        let machine = self.record(machine, source.at);
        let key = SourceKey::new(&kind, &source.platform, &self.lasting(&args));
        Some(self.push(Node {
            address: Address(address.to_owned()),
            span: Some(self.span(source.at)),
            platform: Arc::new(source.platform.clone()),
            backend,
            kind,
            revision,
            args,
            work: Work::Source(Source { key, locked: None, machine, counts: Vec::new() }),
        }))
    }

    /// What a source takes of an artifact is its file.
    fn as_file(&self, value: imgc_plan::Value) -> imgc_plan::Value {
        let work = |id: NodeId| self.nodes.get(id.index()).map(|node| &node.work);
        match value {
            imgc_plan::Value::Node(node) if matches!(work(node), Some(Work::Artifact(_))) => {
                imgc_plan::Value::Build(BuildValue { node, what: Attribute::Whole })
            }
            other => other,
        }
    }

    /// Arguments for a key that outlives the plan: what they take of other nodes by its address, since numbers of nodes
    /// change.
    fn lasting(&self, args: &Record) -> Record {
        let named = |value: &imgc_plan::Value| match value {
            imgc_plan::Value::Build(value) => {
                let address = self.nodes.get(value.node.index()).map(|node| node.address.0.as_str());
                imgc_plan::Value::Text(format!("{}{}", address.unwrap_or_default(), value.member()).into())
            }
            imgc_plan::Value::Node(id) => {
                let address = self.nodes.get(id.index()).map(|node| node.address.0.as_str());
                imgc_plan::Value::Text(address.unwrap_or_default().into())
            }
            other => other.clone(),
        };
        args.iter().map(|(name, value)| (name.clone(), named(value))).collect()
    }

    fn artifact(&mut self, id: ArtifactId) {
        let evaluated = self.evaluated;
        let Some(artifact) = evaluated.artifacts.get(id.0 as usize) else { return };
        let Some(signature) = self.signature(artifact.of) else { return };
        let (kind, revision) = (Name::from(signature.kind.clone()), signature.revision);
        let extension = extension(&signature.result, &artifact.args);
        let args = self.record(&artifact.args, artifact.at);
        let mut of = Vec::new();
        for value in args.values() {
            value.nodes(&mut of);
        }
        let first = of.first().and_then(|id| self.nodes.get(id.index()));
        let extension = match first.map(|node| &node.work) {
            Some(Work::Artifact(inner)) if WRAPPING.contains(&extension.as_str()) && !inner.extension.is_empty() => {
                format!("{}.{extension}", inner.extension)
            }
            Some(Work::Artifact(_) | Work::Source(_) | Work::Step(_)) | None => extension,
        };
        let backend = first.map(|node| node.backend.clone());
        let address = self.addresses.get(&id).cloned().unwrap_or_else(|| format!("artifact#{}", id.0));
        let node = self.push(Node {
            address: Address(address),
            span: Some(self.span(artifact.at)),
            platform: Arc::new(artifact.platform.clone()),
            backend: backend.unwrap_or_default(),
            kind,
            revision,
            args,
            work: Work::Artifact(Artifact { of, extension }),
        });
        self.artifacts.insert(id, node);
    }

    /// All fields of a step. Those that it leaves out are the same in each step of its kind: a copy costs less than to make
    /// them again.
    fn args(&mut self, step: &StepData) -> Record {
        let known = self.defaults.get(&Arc::as_ptr(&step.defaults)).cloned();
        let mut args = known.unwrap_or_else(|| {
            let made = self.record(&step.defaults, step.at);
            self.defaults.insert(Arc::as_ptr(&step.defaults), made.clone());
            made
        });
        for (name, value) in &step.given {
            args.insert(name.clone(), self.value(value, step.at));
        }
        args
    }

    fn record(&mut self, fields: &Fields, at: Location) -> Record {
        fields.iter().map(|(name, value)| (name.clone(), self.value(value, at))).collect()
    }

    /// A value as plans hold it. Files are read here, and what is wrong with them is reported.
    fn value(&mut self, value: &Value, at: Location) -> imgc_plan::Value {
        use imgc_plan::Value as Planned;
        match value {
            Value::None | Value::Source(_) => Planned::None,
            Value::Bool(b) => Planned::Bool(*b),
            Value::Int(n) => Planned::Int(*n),
            Value::Mode(bits) => Planned::Mode(*bits),
            Value::Text(text) => Planned::Text(text.clone()),
            Value::Size(bytes) => Planned::Size(*bytes),
            Value::Duration(millis) => Planned::Duration(*millis),
            Value::Platform(platform) => Planned::Platform(platform.clone()),
            Value::List(items) => Planned::List(items.iter().map(|item| self.value(item, at)).collect()),
            Value::Set(items) => Planned::List(items.iter().map(|item| self.value(item, at)).collect()),
            Value::Map(map) => {
                let entry =
                    |(key, value): (&Value, &Value)| (key.to_text().unwrap_or_default().into(), self.value(value, at));
                Planned::Record(map.iter().map(entry).collect())
            }
            Value::Record(fields) => Planned::Record(self.record(fields, at)),
            Value::Variant { name, payload } => {
                Planned::Variant { name: name.clone(), payload: self.record(payload, at) }
            }
            Value::Script { shell, text } => Planned::Script { shell: shell.clone(), text: text.clone() },
            Value::Range(ends) => Planned::List(vec![self.value(&ends.0, at), self.value(&ends.1, at)]),
            Value::File(path) => match self.inputs.file(path) {
                Ok(file) => Planned::from(file),
                Err(error) => self.refuse(say::unreadable(at, &error)),
            },
            Value::Dir { path, ignore } => match self.inputs.dir(path, ignore) {
                Ok(dir) => Planned::from(dir),
                Err(error) => self.refuse(say::unreadable(at, &error)),
            },
            Value::Image(id) => self.built.get(id).map_or(Planned::None, |built| Planned::Node(built.last)),
            Value::Artifact { id, .. } => self.artifacts.get(id).map_or(Planned::None, |node| Planned::Node(*node)),
            Value::Secret(name) => Planned::Secret(SecretRef(name.to_string())),
            Value::Build(built) => self.build_value(built).map_or(Planned::None, Planned::Build),
            Value::Template { shell, parts } => {
                let parts = parts.iter().filter_map(|part| self.part(part)).collect();
                Planned::Template { shell: shell.clone(), parts }
            }
        }
    }

    fn build_value(&self, built: &evaluate::Built) -> Option<BuildValue> {
        let node = match built.of {
            NodeRef::Image(id) => self.built.get(&id)?.last,
            NodeRef::Artifact(id) => *self.artifacts.get(&id)?,
        };
        Some(BuildValue { node, what: built.what.clone() })
    }

    /// How the name of a file or directory ends that comes out of an image; none of what is a text or a size.
    fn ending(&self, built: &evaluate::Built) -> Option<String> {
        let dotted = |extension: &str| if extension.is_empty() { String::new() } else { format!(".{extension}") };
        match &built.what {
            Attribute::File { path } => {
                let name = path.rsplit('/').next().unwrap_or_default();
                Some(
                    name.rsplit_once('.')
                        .filter(|(stem, _)| !stem.is_empty())
                        .map_or_else(String::new, |(_, e)| dotted(e)),
                )
            }
            Attribute::Dir { .. } => Some(String::new()),
            Attribute::Whole => {
                let node = self.build_value(built).and_then(|value| self.nodes.get(value.node.index()));
                match node.map(|node| &node.work) {
                    Some(Work::Artifact(artifact)) => Some(dotted(&artifact.extension)),
                    Some(Work::Source(_) | Work::Step(_)) | None => None,
                }
            }
            Attribute::Digest | Attribute::Id | Attribute::Size => None,
        }
    }

    fn part(&self, hole: &evaluate::Hole) -> Option<Part> {
        Some(match hole {
            evaluate::Hole::Text(text) => Part::Text(text.to_string()),
            evaluate::Hole::Secret(name) => Part::Secret(SecretRef(name.to_string())),
            evaluate::Hole::Build { value, escape } => {
                Part::Build { value: self.build_value(value)?, escape: escape.clone() }
            }
        })
    }

    /// The secrets that nodes name.
    fn secrets(&self) -> BTreeMap<String, Secret> {
        if self.evaluated.secrets.is_empty() {
            return BTreeMap::new();
        }
        let mut named = Vec::new();
        self.nodes.iter().flat_map(Node::values).for_each(|value| value.secrets(&mut named));
        let known = named.into_iter().filter_map(|name| {
            let data = self.evaluated.secrets.get(name.0.as_str())?;
            Some((name.0, Secret { source: data.source.clone(), version: data.version.clone() }))
        });
        known.collect()
    }

    fn refuse(&mut self, diagnostic: Diagnostic) -> imgc_plan::Value {
        self.diagnostics.push(diagnostic);
        imgc_plan::Value::None
    }

    fn outputs(&mut self) -> Vec<Output> {
        let evaluated = self.evaluated;
        let mut files: BTreeMap<String, Location> = BTreeMap::new();
        let mut outputs = Vec::with_capacity(evaluated.outputs.len());
        for (name, value, at) in &evaluated.outputs {
            let value = self.output(value, name, *at, &mut files);
            outputs.push(Output { name: name.to_string(), value, span: Some(self.span(*at)) });
        }
        outputs.sort_by(|a, b| a.name.cmp(&b.name));
        outputs
    }

    fn output(
        &mut self,
        value: &Value,
        name: &str,
        at: Location,
        files: &mut BTreeMap<String, Location>,
    ) -> OutputValue {
        let mut below = |this: &mut Self, key: &str, value: &Value| {
            this.output(value, &format!("{name}/{}", key.replace('/', "-")), at, files)
        };
        match value {
            Value::None => OutputValue::None,
            Value::Artifact { id, file } => match self.artifacts.get(id).copied() {
                Some(node) => {
                    let extension = match self.nodes.get(node.index()).map(|node| &node.work) {
                        Some(Work::Artifact(artifact)) => artifact.extension.clone(),
                        Some(Work::Source(_) | Work::Step(_)) | None => String::new(),
                    };
                    let file = file.as_ref().map_or_else(|| format!("{name}.{extension}"), ToString::to_string);
                    self.file(&file, at, files);
                    OutputValue::Artifact { node, file }
                }
                None => OutputValue::None,
            },
            Value::Image(id) => self.built.get(id).map_or(OutputValue::None, |built| OutputValue::Image(built.last)),
            Value::List(items) => {
                let items = items.iter().enumerate();
                OutputValue::List(items.map(|(n, item)| below(self, &n.to_string(), item)).collect())
            }
            Value::Map(map) => {
                let entries = map.iter().map(|(key, item)| (key.to_text().unwrap_or_default(), item));
                OutputValue::Map(entries.map(|(key, item)| (key.clone(), below(self, &key, item))).collect())
            }
            Value::Record(fields) => {
                OutputValue::Map(fields.iter().map(|(key, item)| (key.to_string(), below(self, key, item))).collect())
            }
            Value::File(path) | Value::Dir { path, .. } => {
                self.diagnostics.push(crate::diagnostic::types::package_file(at, path));
                OutputValue::None
            }
            Value::Build(built) if self.ending(built).is_some() => {
                let file = format!("{name}{}", self.ending(built).unwrap_or_default());
                self.file(&file, at, files);
                OutputValue::File { value: Box::new(self.value(value, at)), file }
            }
            Value::Build(_) | Value::Template { .. } => OutputValue::Build(Box::new(self.value(value, at))),
            other => OutputValue::Text(other.to_text().unwrap_or_else(|| other.shown())),
        }
    }

    fn file(&mut self, file: &str, at: Location, files: &mut BTreeMap<String, Location>) {
        let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        if !file.split('/').all(is_plain) || file.contains(['\0', '\n', '\\']) || file == "SHA256SUMS" {
            self.diagnostics.push(say::bad_file_name(at, file));
        } else if let Some(first) = files.insert(file.to_owned(), at) {
            self.diagnostics.push(say::same_file(at, file, first));
        }
    }
}

/// The ending of an artifact's file: its format.
fn extension(result: &Type, args: &Fields) -> String {
    let Type::Artifact(format, _) = result else { return String::new() };
    let name = match format {
        FormatIndex::Of(formats) => formats.first().map(ToString::to_string),
        FormatIndex::Path(path) => path.first().and_then(|name| args.get(name)).and_then(Value::to_text),
        FormatIndex::Any => None,
    };
    match name.as_deref() {
        Some("oci") => "tar".to_owned(),
        Some(name) => name.to_owned(),
        None => String::new(),
    }
}
