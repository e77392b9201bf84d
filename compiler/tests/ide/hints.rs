//! Inlay hints and lenses.

use imgc_compiler::ide::{self, HintKind};

use crate::{Package, WEB};

#[test]
fn types_arguments_and_pins() {
    let text = format!("{WEB}\nlet doubled = [1, 2].map(n => n * 2)\n");
    let package = Package::main(&text);
    let pins = |address: &str| (address == "web/from").then(|| "sha256:abc".to_owned());
    let all = ide::inlay_hints(&package.analysis(), &package.path, 0..text.len(), &pins);
    // The text with its hints reads as one would write it.
    let mut shown = text.clone();
    for hint in all.iter().rev() {
        shown.insert_str(hint.offset, &format!("<{}>", hint.label));
    }
    assert!(shown.contains("let pages<: String> ="), "{shown}");
    assert!(shown.contains("use page(<name:>\"index.html\", <body:>motd)"), "{shown}");
    assert!(shown.contains("let doubled<: List<Int>> = [1, 2].map(n<: Int> => n * 2)"), "{shown}");
    assert!(shown.contains("suite: \"bookworm\")<sha256:abc>"), "{shown}");
    assert_eq!(all.iter().filter(|hint| hint.kind == HintKind::Pin).count(), 1);
    // Only what is asked for.
    let start = text.find("let doubled").unwrap();
    let some = ide::inlay_hints(&package.analysis(), &package.path, start..text.len(), &pins);
    assert_eq!(some.len(), 2, "{some:?}");
}

#[test]
fn a_type_hint_can_be_written() {
    let text = "let xs = [1, 2]\n\noutput o = xs\n";
    let package = Package::main(text);
    let all = ide::inlay_hints(&package.analysis(), &package.path, 0..text.len(), &|_| None);
    let mut written = text.to_owned();
    for hint in all.iter().rev() {
        written.insert_str(hint.offset, &hint.label);
    }
    assert_eq!(written, "let xs: List<Int> = [1, 2]\n\noutput o: List<Int> = xs\n");
    assert_eq!(Package::main(&written).errors(), Vec::<String>::new());
}

#[test]
fn lenses_of_images_and_outputs() {
    let package = Package::main(WEB);
    let all = ide::lenses(&package.analysis(), &package.path);
    let addresses: Vec<&str> = all.iter().map(|lens| &*lens.address).collect();
    assert_eq!(addresses, ["web", "container", "vm"]);
    let plan = imgc_compiler::plan(&package.world, "main.imgc").plan.unwrap();
    assert!(plan.nodes.iter().any(|node| node.address.0.starts_with("web/")));
    for lens in all {
        assert_eq!(&WEB[lens.range], lens.address);
    }
}
