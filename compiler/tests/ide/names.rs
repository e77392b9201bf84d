//! Hover, definition, references, highlight.

use imgc_compiler::ide::{self, Access, Target};

use crate::{Package, WEB};

fn hover(text: &str) -> String {
    let package = Package::main(text);
    let none = |_: &str| None;
    ide::hover(&package.analysis(), &package.path, package.cursor(), &none)
        .map(|hover| hover.markdown)
        .unwrap_or_default()
}

fn lead(
    package: &Package,
    of: fn(&imgc_compiler::analysis::Analysis, &str, usize) -> Vec<Target>,
) -> Vec<(String, String)> {
    let analysis = package.analysis();
    let all = of(&analysis, &package.path, package.cursor());
    all.into_iter()
        .map(|target| {
            let text = analysis.text(&target.place.path).unwrap();
            (target.place.path, text[target.name].to_owned())
        })
        .collect()
}

#[test]
fn hover_says_type_documentation_and_value() {
    let text = WEB.replace("size: root_size", "size: root_$0size");
    let shown = hover(&text);
    assert!(shown.contains("param root_size: Size = 4GiB where root_size in 2GiB..=64GiB"), "{shown}");
    assert!(shown.contains("Root disk of the image."), "{shown}");
    let shown = hover(&WEB.replace("let pages", "let pa$0ges"));
    assert!(shown.contains("let pages: String = \"/var/www/html\""), "{shown}");
    let shown = hover("let a = 2\nlet $0b = \"n\\{a}\"\n");
    assert!(shown.contains("let b: String = \"n2\""), "{shown}");
    let shown = hover(&WEB.replace("oci.archive", "oci.arc$0hive"));
    assert!(shown.contains("artifact oci.archive("), "{shown}");
    let shown = hover(&WEB.replace("use page(", "use pa$0ge("));
    assert!(shown.contains("recipe page(name: String, body: String) on linux/*"), "{shown}");
}

#[test]
fn hover_of_fields_variants_locals_and_members() {
    let shown = hover(&WEB.replace("dest =", "de$0st ="));
    assert!(shown.contains("dest: GuestPath") && shown.contains("Of `write`"), "{shown}");
    let shown = hover(&WEB.replace("boot: uefi", "boot: ue$0fi"));
    assert!(shown.contains("Boot.uefi"), "{shown}");
    let shown = hover(&WEB.replace("text = body", "text = bo$0dy"));
    assert!(shown.contains("body: String"), "{shown}");
    let shown = hover("let xs = [1].map(n => $0n + 1)\n\noutput x = xs\n");
    assert!(shown.contains("n: Int"), "{shown}");
    let shown = hover("let n = [1].le$0n\n\noutput x = n\n");
    assert!(shown.contains("How many there are."), "{shown}");
    let shown = hover("param x: Si$0ze = 1GiB\n");
    assert!(shown.contains("A number of bytes"), "{shown}");
}

#[test]
fn hover_says_where_a_source_is_pinned() {
    let package = Package::main(&WEB.replace("rootfs.debian", "rootfs.deb$0ian"));
    let pins = |address: &str| (address == "web/from").then(|| "sha256:abc".to_owned());
    let shown = ide::hover(&package.analysis(), &package.path, package.cursor(), &pins).unwrap().markdown;
    assert!(shown.contains("Pinned in `imgc.lock` to `sha256:abc`"), "{shown}");
}

#[test]
fn hover_of_other_items_lives_with_a_broken_one() {
    let text = format!("let broken = (1 +\n\n{}", WEB.replace("use page(", "use pa$0ge("));
    let shown = hover(&text);
    assert!(shown.contains("recipe page("), "{shown}");
}

#[test]
fn definitions_lead_into_the_standard_library() {
    let package = Package::main(&WEB.replace("rootfs.debian", "rootfs.deb$0ian"));
    assert_eq!(lead(&package, ide::definition), [("std/rootfs.imgc".to_owned(), "debian".to_owned())]);
    let package = Package::main(&WEB.replace("rootfs.debian", "root$0fs.debian"));
    assert_eq!(lead(&package, ide::definition), [("std/rootfs.imgc".to_owned(), String::new())]);
    let package = Package::main(&WEB.replace("write \"page\"", "wri$0te \"page\""));
    assert_eq!(lead(&package, ide::definition), [("std/prelude.imgc".to_owned(), "write".to_owned())]);
    let package = Package::main(&WEB.replace("text = body", "te$0xt = body"));
    assert_eq!(lead(&package, ide::definition), [("std/prelude.imgc".to_owned(), "text".to_owned())]);
    let package = Package::main(&WEB.replace("oci.archive(web)", "oci.archive(we$0b)"));
    assert_eq!(lead(&package, ide::definition), [("main.imgc".to_owned(), "web".to_owned())]);
}

#[test]
fn imports_are_declarations_and_files_definitions() {
    let files = |main: &str| Package::new(&[("main.imgc", main), ("lib.imgc", "pub let x = 1\n")]);
    let package = files("import \"./lib.imgc\"\n\noutput y = l$0ib.x\n");
    assert_eq!(lead(&package, ide::definition), [("lib.imgc".to_owned(), String::new())]);
    assert_eq!(lead(&package, ide::declaration)[0].0, "main.imgc");
    let package = files("import { x } from \"./lib.imgc\"\n\noutput y = $0x\n");
    assert_eq!(lead(&package, ide::definition), [("lib.imgc".to_owned(), "x".to_owned())]);
    assert_eq!(lead(&package, ide::declaration), [("main.imgc".to_owned(), "x".to_owned())]);
}

#[test]
fn types_have_definitions() {
    let text = "record Service { name: String }\nparam s: List<Service> = []\n\noutput n = $0s.len\n";
    assert_eq!(lead(&Package::main(text), ide::type_definition), [("main.imgc".to_owned(), "Service".to_owned())]);
    let package = Package::main(&WEB.replace("format: qcow2", "for$0mat: qcow2"));
    assert_eq!(lead(&package, ide::type_definition), [("std/prelude.imgc".to_owned(), "Format".to_owned())]);
}

#[test]
fn references_in_all_modules() {
    let package = Package::new(&[
        (
            "main.imgc",
            "import \"./lib.imgc\"\nimport { size } from \"./lib.imgc\"\n\noutput a = \"\\{lib.size}\"\noutput b = \"\\{size}\"\n",
        ),
        ("lib.imgc", "pub let si$0ze = 1GiB\nlet other = size + 1GiB\n"),
    ]);
    let analysis = package.analysis();
    let all = ide::references(&analysis, &package.path, package.cursor(), true);
    assert_eq!(all.len(), 5, "{all:?}");
    for place in &all {
        assert_eq!(&analysis.text(&place.path).unwrap()[place.range.clone()], "size");
    }
    assert_eq!(ide::references(&analysis, &package.path, package.cursor(), false).len(), 4);
}

#[test]
fn highlight_tells_reads_from_writes() {
    let package = Package::main(&WEB.replace("let pages", "let pa$0ges"));
    let all = ide::highlight(&package.analysis(), &package.path, package.cursor());
    let access: Vec<Access> = all.iter().map(|(_, access)| *access).collect();
    assert_eq!(access, [Access::Write, Access::Read]);
}

#[test]
fn names_in_scripts_are_names() {
    let text = "let fo$0ur = 4\n\nimage web {\n  from = rootfs.debian(suite: \"bookworm\")\n  sh \"a\" { script = \"echo \\{four}\" }\n  sh \"b\" {\n    script = \"\"\"\n      echo \\{four}\n      echo $four \\{four + 1}\n    \"\"\"\n  }\n}\n\noutput o = oci.archive(web)\n";
    let package = Package::main(text);
    let analysis = package.analysis();
    let marked = ide::highlight(&analysis, &package.path, package.cursor());
    let plain = package.main_text();
    assert_eq!(marked.len(), 4, "{marked:?}");
    assert!(marked.iter().all(|(range, _)| &plain[range.clone()] == "four"), "{marked:?}");
    // The same from each of them.
    for (range, _) in &marked {
        assert_eq!(ide::highlight(&analysis, &package.path, range.start + 1), marked);
        assert_eq!(ide::references(&analysis, &package.path, range.start, true).len(), 4);
    }
}
