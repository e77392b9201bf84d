//! Every example, and the whole program of the language's first page, have to be free of diagnostics.

use std::path::Path;

use crate::render;
use crate::world::MapWorld;

fn assert_plans(world: &MapWorld) -> imgc_plan::Plan {
    let checked = imgc_compiler::check(world, "main.imgc");
    assert_eq!(render::diagnostics(&checked.diagnostics, &checked.sources), "");
    let planned = imgc_compiler::plan(world, "main.imgc");
    assert_eq!(render::diagnostics(&planned.diagnostics, &planned.sources), "");
    let plan = planned.plan.unwrap();
    plan.verify().unwrap();
    plan
}

fn example(name: &str) -> MapWorld {
    MapWorld::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name))
}

#[test]
fn examples() {
    for name in ["hello", "site", "twins"] {
        insta::assert_snapshot!(name, render::plan(&assert_plans(&example(name))));
    }
}

#[test]
fn web() {
    let world = example("web").set("admin_key", "ssh-ed25519 AAAA it's me");
    insta::assert_snapshot!(render::plan(&assert_plans(&world)));
}

#[test]
fn web_with_test_and_conversion() {
    let mut world = example("web").set("admin_key", "ssh-ed25519 AAAA");
    let more = r#"
test serves of web {
  sh "answers" { script = "curl -fsS http://localhost/ | grep -q Hello" }
}

output for_esxi  = disk.convert(vm, format: vmdk)
"#;
    world.files.get_mut("main.imgc").unwrap().extend(more.bytes());
    let plan = assert_plans(&world);
    let convert = plan.nodes.iter().find(|node| node.kind == "disk.convert").unwrap();
    assert_eq!(convert.address.to_string(), "for_esxi");
    let checked = imgc_compiler::check(&world, "main.imgc");
    assert_eq!(checked.tests[0].name, "serves");
    assert_eq!(checked.params[0].docs, "Root disk of the image.");
}

/// Examples and the standard library are written as the formatter writes them.
#[test]
fn formatted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let examples = ["hello", "site", "twins", "web"].map(|name| root.join("examples").join(name).join("main.imgc"));
    let stdlib = std::fs::read_dir(root.join("stdlib")).unwrap().map(|entry| entry.unwrap().path());
    for path in examples.into_iter().chain(stdlib) {
        let text = std::fs::read_to_string(&path).unwrap();
        let parsed = imgc_compiler::parse::parse(&text, imgc_compiler::ModuleId(0));
        assert_eq!(render::diagnostics(&parsed.diagnostics, &imgc_compiler::Sources::default()), "");
        assert_eq!(imgc_compiler::format::format(&parsed), text, "{}", path.display());
    }
}
