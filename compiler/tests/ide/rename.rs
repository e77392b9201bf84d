//! Rename: afterwards the program says the same; else the reason why not.

use imgc_compiler::{ide, plan};

use crate::{Package, WEB};

/// The package after a rename: without errors, and with as many references of the name as before.
fn renamed(package: &Package, new: &str) -> Package {
    let analysis = package.analysis();
    let before = ide::references(&analysis, &package.path, package.cursor(), true).len();
    let edits = ide::rename(&analysis, &package.path, package.cursor(), new).unwrap();
    let after = package.with(&edits);
    assert_eq!(after.errors(), Vec::<String>::new(), "{}", after.main_text());
    // The name begins where it began, less what the edits before it in the same file moved.
    let own = edits.iter().find(|file| file.path == package.path).unwrap();
    let (range, _) = ide::prepare_rename(&analysis, &package.path, package.cursor()).unwrap();
    let moved: isize = own
        .edits
        .iter()
        .filter(|edit| edit.range.end <= range.start)
        .map(|edit| isize::try_from(edit.text.len()).unwrap() - isize::try_from(edit.range.len()).unwrap())
        .sum();
    let at = range.start.checked_add_signed(moved).unwrap();
    let again = after.analysis();
    assert_eq!(ide::references(&again, &package.path, at, true).len(), before, "{}", after.main_text());
    after
}

fn refused(text: &str, new: &str) -> String {
    let package = Package::main(text);
    ide::rename(&package.analysis(), &package.path, package.cursor(), new).unwrap_err()
}

#[test]
fn items_params_fields_and_locals() {
    let plan_of = |package: &Package| plan(&package.world, "main.imgc").plan.unwrap();
    let before = plan_of(&Package::main(WEB));
    for (part, marked) in [
        ("let pages", "let pa$0ges"),
        ("recipe page(name", "recipe page(na$0me"),
        ("text = body", "text = bo$0dy"),
        ("param motd", "param $0motd"),
    ] {
        let after = renamed(&Package::main(&WEB.replace(part, marked)), "renamed_here");
        assert!(after.main_text().matches("renamed_here").count() >= 2, "{}", after.main_text());
        assert_eq!(plan_of(&after).nodes.len(), before.nodes.len());
    }
    renamed(&Package::main(&WEB.replace("image web", "image we$0b")), "site");
    renamed(&Package::main(&WEB.replace("use page(", "use pa$0ge(")), "leaf");
    let record =
        "record Service { name: String, port: Port = 80 }\nlet s: Service = { na$0me = \"x\" }\n\noutput o = s.name\n";
    let after = renamed(&Package::main(record), "title");
    assert!(
        after.main_text().contains("{ title = \"x\" }") && after.main_text().contains("s.title"),
        "{}",
        after.main_text()
    );
    let variant = "enum Channel { stable, edge(build: Int) }\nparam c: Channel = stable\n\noutput x = match c { sta$0ble => 1, edge(n) => n }\n";
    renamed(&Package::main(variant), "calm");
    let local = "let xs = [1, 2].map(n => $0n * n)\n\noutput o = xs\n";
    renamed(&Package::main(local), "m");
}

#[test]
fn across_files_with_selected_names() {
    let package = Package::new(&[
        (
            "main.imgc",
            "import \"./lib.imgc\"\nimport { size } from \"./lib.imgc\"\n\noutput a = \"\\{lib.size}\"\noutput b = \"\\{si$0ze}\"\n",
        ),
        ("lib.imgc", "pub let size = 1GiB\n"),
    ]);
    let after = renamed(&package, "width");
    assert_eq!(after.text("lib.imgc"), "pub let width = 1GiB\n");
    assert!(after.main_text().contains("lib.width"), "{}", after.main_text());
}

#[test]
fn a_module_gets_an_alias() {
    let package = Package::new(&[
        ("main.imgc", "import \"./lib.imgc\"\n\noutput a = \"\\{l$0ib.size}\"\n"),
        ("lib.imgc", "pub let size = 1GiB\n"),
    ]);
    let edits = ide::rename(&package.analysis(), &package.path, package.cursor(), "shared").unwrap();
    let after = package.with(&edits);
    assert_eq!(after.main_text(), "import \"./lib.imgc\" as shared\n\noutput a = \"\\{shared.size}\"\n");
    assert_eq!(after.errors(), Vec::<String>::new());
}

#[test]
fn refused_with_a_reason() {
    let pages = WEB.replace("let pages", "let pa$0ges");
    assert!(refused(&pages, "motd").contains("is taken in main.imgc, line 3"), "{}", refused(&pages, "motd"));
    assert!(refused(&pages, "match").contains("reserved word"));
    assert!(refused(&pages, "1st").contains("is not a name"));
    assert!(refused(&pages, "apt").contains("standard library"));
    assert!(refused(&pages, "linux").contains("nothing can be called"));
    // A param of a recipe would hide it.
    assert!(refused(&pages, "body").contains("would hide it"), "{}", refused(&pages, "body"));
    let std = WEB.replace("oci.archive", "oci.arc$0hive");
    assert!(refused(&std, "packed").contains("belongs to the standard library"));
    let word = WEB.replace("root_size: Size", "root_size: Si$0ze");
    assert!(refused(&word, "Length").contains("word of the language"));
    let broken = format!("{pages}\nimage other {{\n  from = web\n  pages ) x\n}}\n");
    assert!(refused(&broken, "leaves").contains("error of syntax"), "{}", refused(&broken, "leaves"));
    let loose = "record Service { na$0me: String = \"x\" }\nlet small = { name = \"y\" }\nlet s: Service = { ...small }\n\noutput o = s.name\n";
    assert!(refused(loose, "title").contains("record without a type"), "{}", refused(loose, "title"));
}
