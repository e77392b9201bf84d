//! Code actions: what they write checks, and means what it should.

use imgc_compiler::ide::{self, Action, ActionKind};
use imgc_compiler::plan;

use crate::{Package, WEB};

fn actions(package: &Package) -> Vec<Action> {
    let end = package.cursors.get(1).copied().unwrap_or(package.cursor());
    ide::actions(&package.analysis(), &package.path, package.cursor()..end)
}

fn of(package: &Package, kind: ActionKind) -> Action {
    let all = actions(package);
    let titles: Vec<&str> = all.iter().map(|action| &*action.title).collect();
    all.iter().find(|action| action.kind == kind).unwrap_or_else(|| panic!("no {kind:?} in {titles:?}")).clone()
}

fn plan_of(package: &Package) -> (Vec<imgc_plan::Node>, Vec<imgc_plan::Output>) {
    let planned = plan(&package.world, "main.imgc");
    let mut plan = planned.plan.unwrap_or_else(|| panic!("{:?}\n{}", planned.diagnostics, package.main_text()));
    // Where something stands is no part of what is built.
    plan.nodes.iter_mut().for_each(|node| node.span = None);
    plan.outputs.iter_mut().for_each(|output| output.span = None);
    (plan.nodes, plan.outputs)
}

/// The package after the value between two cursors was extracted, and then put back.
fn there_and_back(text: &str) {
    let package = Package::main(text);
    let before = plan_of(&package);
    let extract = of(&package, ActionKind::Extract);
    let mut named = package.with(&extract.edits);
    assert_eq!(named.errors(), Vec::<String>::new(), "{}", named.main_text());
    assert_eq!(plan_of(&named), before, "{}", named.main_text());
    let name = extract.title.split('`').nth(1).unwrap().strip_prefix("let ").unwrap().to_owned();
    named.cursors = vec![named.main_text().find(&format!("let {name}")).unwrap() + 4];
    let back = named.with(&of(&named, ActionKind::Inline).edits);
    assert_eq!(back.main_text(), package.main_text());
}

#[test]
fn extract_and_inline_give_the_same_plan() {
    there_and_back(&WEB.replace("\"index.html\"", "$0\"index.html\"$0"));
    there_and_back(&WEB.replace("size: root_size", "size: $0root_size$0"));
    there_and_back(&WEB.replace("text = body", "text = $0\"<p>\\{body}</p>\"$0"));
    there_and_back(&WEB.replace("oci.archive(web)\n", "$0oci.archive(web)$0\n"));
    there_and_back("output n = $01 + 2$0\n".replace("$01", "$0(1").replace("2$0", "2)$0").as_str());
}

#[test]
fn what_a_body_binds_stays_in_it() {
    let text = WEB.replace("\"\\{pages}/\\{name}\"", "$0\"\\{pages}/\\{name}\"$0");
    let package = Package::main(&text);
    let after = package.with(&of(&package, ActionKind::Extract).edits);
    assert_eq!(after.errors(), Vec::<String>::new(), "{}", after.main_text());
    assert!(
        after.main_text().contains("  let value: GuestPath = \"\\{pages}/\\{name}\"\n  write"),
        "{}",
        after.main_text()
    );
}

#[test]
fn inline_brackets_what_needs_them() {
    let package = Package::main("let $0a = 1 + 2\n\noutput n = a * 3\n");
    let after = package.with(&of(&package, ActionKind::Inline).edits);
    assert_eq!(after.main_text(), "output n = (1 + 2) * 3\n");
    assert_eq!(after.errors(), Vec::<String>::new());
}

#[test]
fn statements_become_a_recipe() {
    let text = "image web {\n  from = rootfs.debian(suite: \"bookworm\")\n  let who = \"you\"\n\n  $0write \"a\" { dest = \"/a\", text = who }\n  sh \"b\" {\n    script = \"true\"\n  }$0\n}\n\noutput o = oci.archive(web)\n";
    let package = Package::main(text);
    let before = plan_of(&package);
    let after = package.with(&of(&package, ActionKind::Extract).edits);
    assert_eq!(after.errors(), Vec::<String>::new(), "{}", after.main_text());
    let shown = after.main_text();
    assert!(shown.starts_with("recipe steps(who: String) on linux(debian)/amd64 {\n  write \"a\""), "{shown}");
    assert!(shown.contains("  use steps(who)\n}"), "{shown}");
    // The same steps with the same arguments, under the recipe's name.
    let what = |plan: &(Vec<imgc_plan::Node>, Vec<imgc_plan::Output>)| {
        plan.0.iter().map(|node| (node.kind.clone(), node.args.clone())).collect::<Vec<_>>()
    };
    assert_eq!(what(&plan_of(&after)), what(&before));
}

#[test]
fn missing_fields_are_written() {
    let text = "image web {\n  from = rootfs.debian(suite: \"bookworm\")\n  wr$0ite \"motd\" {\n    mode = 0o644\n  }\n}\n\noutput o = oci.archive(web)\n";
    let package = Package::main(text);
    assert_ne!(package.errors(), Vec::<String>::new());
    let after = package.with(&of(&package, ActionKind::Rewrite).edits);
    assert_eq!(after.errors(), Vec::<String>::new(), "{}", after.main_text());
    let package = Package::main("image web {\n  from = rootfs.debian($0)\n}\n\noutput o = oci.archive(web)\n");
    let after = package.with(&of(&package, ActionKind::Rewrite).edits);
    assert!(after.main_text().contains("rootfs.debian(suite: \"\")"), "{}", after.main_text());
    let record = "record Service { name: String, port: Port }\nlet s: Service = { $0}\n\noutput o = s.name\n";
    let package = Package::main(record);
    let after = package.with(&of(&package, ActionKind::Rewrite).edits);
    assert_eq!(after.errors(), Vec::<String>::new(), "{}", after.main_text());
}

#[test]
fn imports_are_sorted() {
    let package = Package::new(&[
        (
            "main.imgc",
            "import \"./b.imgc\"$0\nimport std.users\nimport \"./a.imgc\"\nimport std.groups\n\noutput o = \"\\{a.x}\\{b.x}\"\n",
        ),
        ("a.imgc", "pub let x = 1\n"),
        ("b.imgc", "pub let x = 1\n"),
    ]);
    let after = package.with(&of(&package, ActionKind::SortImports).edits);
    assert!(
        after
            .main_text()
            .starts_with("import std.groups\nimport std.users\nimport \"./a.imgc\"\nimport \"./b.imgc\"\n"),
        "{}",
        after.main_text()
    );
    assert!(!actions(&after).iter().any(|action| action.kind == ActionKind::SortImports));
}

#[test]
fn fix_all_mends_what_is_safe() {
    let text = "$0image web {\n  from = rootfs.debian(suite = \"bookworm\")\n\n  write \"a\" {\n    dest: \"/a\"\n    text: \"b\"\n  }\n}\n\noutput o = oci.archive(web)\n";
    let package = Package::main(text);
    assert_eq!(package.errors().len(), 3, "{:?}", package.errors());
    let after = package.with(&of(&package, ActionKind::FixAll).edits);
    assert_eq!(after.errors(), Vec::<String>::new(), "{}", after.main_text());
    assert!(!actions(&after).iter().any(|action| action.kind == ActionKind::FixAll));
}
