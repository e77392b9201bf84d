//! Declarations of the standard library and the structs of the runtime, compared both ways: names, what may be left
//! out, defaults, types, revisions.
//!
//! The compiler plans a program for each declaration and each kind of value a field can have; the struct must read what
//! then stands in the node, and give it back unchanged.

use std::collections::{BTreeMap, BTreeSet};

use imgc_backend::Shape;
use imgc_compiler::reference::{self, Item, Kind, Param};
use imgc_plan::NodeId;
use imgc_plan::value::plain_record;
use serde_json::Value as Json;

use crate::program::{plan, try_plan};

/// Every shape of the runtime: a new backend adds its own here.
fn shapes() -> Vec<Shape> {
    [imgc_guest::shapes(), imgc_rootfs::Rootfs::shapes(), imgc_qemu::Qemu::shapes()].concat()
}

struct Declared {
    kind: String,
    /// `rootfs.`, before the names of its module.
    prefix: String,
    item: Item,
}

/// Records and enums by their whole names, and the declarations.
struct Library {
    types: BTreeMap<String, Item>,
    declared: Vec<Declared>,
}

fn library() -> Library {
    let (mut types, mut declared) = (BTreeMap::new(), Vec::new());
    for module in reference::standard_library().modules {
        let prefix = module.prefix.unwrap_or_default();
        for item in module.items {
            match item.kind {
                Kind::Record | Kind::Enum => {
                    types.insert(format!("{prefix}{}", item.name), item);
                }
                Kind::Step | Kind::Source | Kind::Artifact => {
                    let kind = format!("{prefix}{}", item.name);
                    declared.push(Declared { kind, prefix: prefix.clone(), item });
                }
                Kind::Recipe
                | Kind::Fn
                | Kind::Param
                | Kind::Secret
                | Kind::Let
                | Kind::Image
                | Kind::Test
                | Kind::Output => {}
            }
        }
    }
    Library { types, declared }
}

impl Library {
    /// Literals of a type in a module: at least one of each form that its values have. Those of secrets are left out: a plan holds
    /// their names only, and the canary tests follow them to the guest.
    fn literals(&self, ty: &str, within: &str) -> Vec<String> {
        let ty = ty.trim();
        if let Some(inner) = ty.strip_suffix('?') {
            let inner = inner.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')).unwrap_or(inner);
            return [vec!["none".to_owned()], self.literals(inner, within)].concat();
        }
        let members = split(ty, '|');
        if members.len() > 1 {
            return members.iter().flat_map(|member| self.literals(member, within)).collect();
        }
        if let Some((outer, inner)) = ty.strip_suffix('>').and_then(|ty| ty.split_once('<')) {
            let inner = split(inner, ',');
            let of_last = || self.literals(inner.last().copied().unwrap_or_default(), within);
            return match outer {
                "List" | "Set" => vec![format!("[{}]", of_last().join(", "))],
                "Map" => {
                    let entry = |(number, value): (usize, String)| format!("\"k{number}\" => {value}");
                    let entries: Vec<_> = of_last().into_iter().enumerate().map(entry).collect();
                    vec![format!("{{ {} }}", entries.join(", "))]
                }
                "Script" => vec!["\"true\"".to_owned()],
                "Secret" => Vec::new(),
                "Image" if inner.last().is_some_and(|format| format.trim() == "qcow2") => vec!["vm".to_owned()],
                "Image" => vec!["base".to_owned()],
                "Artifact" => vec!["disk.image(base, size: 1GiB)".to_owned()],
                other => panic!("no values of {other}<…> are known here"),
            };
        }
        let one = |text: &str| vec![text.to_owned()];
        match ty {
            "String" => one("\"text\""),
            "Int" => one("3"),
            "Bool" => vec!["true".to_owned(), "false".to_owned()],
            "Size" => one("1GiB"),
            "Duration" => one("90s"),
            "Port" => one("8080"),
            "Mode" => one("0o640"),
            "GuestPath" => one("\"/a/b\""),
            "Url" => one("\"https://example.org/x\""),
            "Digest" => one(&format!("\"sha256:{}\"", "0".repeat(64))),
            "Cidr" => one("\"192.0.2.0/24\""),
            "File" => one("file(\"./f\")"),
            "Dir" => one("dir(\"./d\")"),
            "Platform" | "linux/*" => vec!["linux/amd64".to_owned(), "linux(debian)/arm64".to_owned()],
            "linux(debian)/*" => vec!["linux(debian)/amd64".to_owned(), "linux(ubuntu)/arm64".to_owned()],
            text if text.starts_with('"') => one(text),
            name => self.nominal(name, within),
        }
    }

    fn nominal(&self, name: &str, within: &str) -> Vec<String> {
        let found = self.types.get(&format!("{within}{name}")).or_else(|| self.types.get(name));
        let item = found.unwrap_or_else(|| panic!("no values of the type {name} are known here"));
        let fields = |params: &[Param], between: &str| {
            let needed = params.iter().filter(|param| is_needed(param));
            let value = |param: &Param| match param.name.as_str() {
                // It has a form of its own, which its predicate asks for.
                "region" => "\"eu-central-1\"".to_owned(),
                _ => self.literals(&param.ty, within).remove(0),
            };
            let field = |param: &Param| format!("{}{between} {}", param.name, value(param));
            needed.map(field).collect::<Vec<_>>().join(", ")
        };
        if item.kind == Kind::Record {
            return vec![format!("{{ {} }}", fields(&item.params, " ="))];
        }
        let variant = |variant: &reference::Variant| match variant.payload.as_slice() {
            [] => variant.name.clone(),
            payload => format!("{}({})", variant.name, fields(payload, ":")),
        };
        item.variants.iter().map(variant).collect()
    }

    /// A program that uses a declaration with these fields on top of those that are needed.
    fn program(&self, declared: &Declared, given: &[(&str, &str)]) -> String {
        let mut fields: BTreeMap<&str, String> = BTreeMap::new();
        for param in declared.item.params.iter().filter(|param| is_needed(param)) {
            fields.insert(&param.name, self.literals(&param.ty, &declared.prefix).remove(0));
        }
        fields.extend(given.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let kind = &declared.kind;
        let base = "image base { from = rootfs.scratch() }\nimage vm { from = qemu.disk(file(\"./f\")) }\n";
        if declared.item.kind == Kind::Step {
            let fields: String = fields.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
            return format!("{base}image x {{ from = base\n {kind} \"x\" {{\n{fields} }} }}\noutput o = x\n");
        }
        let args: Vec<_> = fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let call = format!("{kind}({})", args.join(", "));
        if declared.item.kind == Kind::Source {
            let machine = declared.item.machine.as_ref().map(|ty| self.nominal(ty, &declared.prefix).remove(0));
            let machine = machine.map(|machine| format!("machine = {machine}")).unwrap_or_default();
            return format!("{base}image x {{ from = {call}\n {machine} }}\noutput o = x\n");
        }
        format!("{base}output o = {call}\n")
    }

    /// What the runtime gets for it, in plain form.
    fn planned(&self, declared: &Declared, given: &[(&str, &str)]) -> Json {
        let text = self.program(declared, given);
        let plan = plan(&text);
        let node = plan.nodes.iter().rev().find(|node| *node.kind == *declared.kind);
        plain_record(
            &node.unwrap_or_else(|| panic!("no node of the kind {} in the plan of:\n{text}", declared.kind)).args,
        )
    }
}

fn is_needed(param: &Param) -> bool {
    param.default.is_none() && !param.ty.ends_with('?')
}

/// Parts between marks that stand in no brackets.
fn split(text: &str, mark: char) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_u32, 0);
    for (at, c) in text.char_indices() {
        match c {
            '<' | '(' => depth += 1,
            '>' | ')' => depth -= 1,
            c if c == mark && depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

#[test]
fn every_shape_is_declared_and_reads_what_its_declaration_allows() {
    let library = library();
    let mut compared = 0;
    for shape in shapes() {
        let declared = library.declared.iter().find(|declared| declared.kind == shape.kind);
        let declared = declared.unwrap_or_else(|| panic!("stdlib/ does not declare {}", shape.kind));
        let kind = shape.kind;
        assert_eq!(declared.item.revision, Some(i64::from(shape.revision)), "the revision of {kind}");

        let fields = shape.fields().unwrap_or_else(|error| panic!("the least arguments of {kind}: {error}"));
        let names = |needed: bool| -> BTreeSet<&str> {
            fields.iter().filter(|field| field.needed == needed).map(|field| field.name.as_str()).collect()
        };
        let params = |needed: bool| -> BTreeSet<&str> {
            let params = declared.item.params.iter().filter(|param| is_needed(param) == needed);
            params.map(|param| param.name.as_str()).collect()
        };
        assert_eq!(names(true), params(true), "what {kind} needs: the struct, and its declaration");
        assert_eq!(names(false), params(false), "what {kind} can be given: the struct, and its declaration");

        let least = library.planned(declared, &[]);
        for field in fields.iter().filter(|field| !field.needed) {
            assert_eq!(
                field.value, least[&field.name],
                "the default of {kind}.{}: the struct's, and the declared",
                field.name
            );
        }
        for param in &declared.item.params {
            for literal in library.literals(&param.ty, &declared.prefix) {
                // The one list that may not be empty.
                if param.name == "exit_codes" && literal == "[]" {
                    continue;
                }
                let planned = library.planned(declared, &[(&param.name, &literal)])[&param.name].clone();
                let read = shape.read_with(&param.name, planned.clone());
                assert_eq!(read.as_ref(), Ok(&planned), "{kind}.{} = {literal}, as the runtime reads it", param.name);
                compared += 1;
            }
        }
    }
    assert!(compared >= 60, "only {compared} values were compared");
}

/// A struct that took more than its declaration allows would have fields of another type.
#[test]
fn structs_refuse_what_no_declaration_allows() {
    let library = library();
    let samples = [
        ("Bool", serde_json::json!(true)),
        ("number", serde_json::json!(3)),
        ("text", serde_json::json!("?!")),
        ("list", serde_json::json!([[[]]])),
        ("record", serde_json::json!({ "?!": {} })),
    ];
    for shape in shapes() {
        let Some(declared) = library.declared.iter().find(|declared| declared.kind == shape.kind) else { continue };
        for param in &declared.item.params {
            let ty = param.ty.trim_end_matches('?');
            let form = match ty {
                "Bool" => "Bool",
                "Int" | "Size" | "Duration" | "Port" | "Mode" => "number",
                // The engine puts a number in place of what an artifact is made of.
                ty if ty.starts_with("Image") || ty.starts_with("Artifact") => "number",
                ty if ty.starts_with("List") => "list",
                ty if ty.starts_with("Map") || ty == "File" || ty == "Dir" => "record",
                _ => "text",
            };
            for (name, sample) in &samples {
                let is_union = ty.contains('|') || library.types.contains_key(ty);
                if *name != form && !is_union {
                    let read = shape.read_with(&param.name, sample.clone());
                    assert!(read.is_err(), "{}.{}: {} takes a {name}: {read:?}", shape.kind, param.name, param.ty);
                }
            }
        }
    }
}

/// The record of a machine as the plan has it, with this text in it.
fn machine(text: &str) -> Json {
    let program = format!(
        "image x {{ from = qemu.disk(file(\"./f\"))\n machine = {{ {text} }}\n sh \"x\" {{ script = \"true\" }} }}\noutput o = x\n"
    );
    let plan = plan(&program);
    let step = plan.nodes.iter().rposition(|node| node.kind == "sh").expect("the step");
    plan.machine(NodeId(u32::try_from(step).expect("few nodes")))
}

/// Machine records are no arguments of a node, but read by the runtime all the same: names, defaults, types, and those of
/// the records in them.
#[test]
fn machines_are_read_as_they_are_declared() {
    let library = library();
    let shape = imgc_qemu::Qemu::machine();
    let params = |record: &str| &library.types[record].params;
    let declared: BTreeSet<&str> = params("qemu.Machine").iter().map(|param| param.name.as_str()).collect();
    let fields = shape.fields().expect("an empty record");
    assert_eq!(fields.iter().map(|field| field.name.as_str()).collect::<BTreeSet<_>>(), declared);
    let least = machine("");
    for field in &fields {
        assert!(!field.needed, "{} can be left out", field.name);
        assert_eq!(field.value, least[&field.name], "the default of {}: the struct's, and the declared", field.name);
    }
    let mut compared = 0;
    let mut compare = |field: &str, literal: &str| {
        let planned = machine(&format!("{field} = {literal}"))[field].clone();
        let read = shape.read_with(field, planned.clone());
        assert_eq!(read.as_ref(), Ok(&planned), "machine.{field} = {literal}, as the runtime reads it");
        compared += 1;
    };
    for param in params("qemu.Machine") {
        for literal in library.literals(&param.ty, "qemu.") {
            compare(&param.name, &literal);
        }
    }
    for (field, record, least, is_list) in [
        ("seed", "qemu.Seed", "", false),
        ("login", "qemu.Login", "", false),
        ("disks", "qemu.Disk", "size = 1GiB, ", true),
        ("nics", "qemu.Nic", "", true),
    ] {
        for param in params(record) {
            let rest = if least.starts_with(&param.name) { "" } else { least };
            for literal in library.literals(&param.ty, "qemu.") {
                let one = format!("{{ {rest}{} = {literal} }}", param.name);
                compare(field, &if is_list { format!("[{one}]") } else { one });
            }
        }
    }
    assert!(compared >= 45, "only {compared} values were compared");
}

/// What a backend offers is what it has shapes of: nothing can be offered that was not compared.
#[test]
fn offers_are_shapes() {
    let shapes = shapes();
    for offers in [imgc_rootfs::Rootfs::static_offers(), imgc_qemu::Qemu::static_offers()] {
        for offered in [&offers.sources, &offers.steps, &offers.artifacts].into_iter().flatten() {
            assert!(shapes.iter().any(|shape| shape.offered() == *offered), "{} has no shape", offered.name);
        }
    }
}

/// What nothing implements yet is still declared well: each declaration can be planned.
#[test]
fn every_declaration_can_be_planned() {
    let library = library();
    let on_linux =
        |declared: &&Declared| declared.item.kind != Kind::Step || declared.item.on.iter().any(|on| on == "linux/*");
    for declared in library.declared.iter().filter(on_linux) {
        // Images of other formats come from sources of their own.
        let of_rootfs =
            declared.item.params.iter().all(|param| !param.ty.starts_with("Image") || param.ty.contains("rootfs"));
        if of_rootfs {
            let text = library.program(declared, &[]);
            try_plan(&text).unwrap_or_else(|wrong| panic!("{}: {wrong}\nin:\n{text}", declared.kind));
        }
    }
}
