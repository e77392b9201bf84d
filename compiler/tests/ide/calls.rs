//! Signature help and the call hierarchy of recipes.

use imgc_compiler::ide::{self, CallerKind};

use crate::{Package, WEB};

fn active(text: &str) -> Option<(String, Option<String>)> {
    let package = Package::main(text);
    let found = ide::signature(&package.analysis(), &package.path, package.cursor())?;
    let active = found.active.map(|number| found.label[found.parameters[number].range.clone()].to_owned());
    Some((found.label, active))
}

#[test]
fn the_argument_that_is_written() {
    let at = |part: &str, marked: &str| active(&WEB.replace(part, marked)).unwrap();
    let (label, param) = at("use page(\"index.html\", motd)", "use page(\"index$0.html\", motd)");
    assert_eq!(label, "page(name: String, body: String) on linux/*");
    assert_eq!(param.unwrap(), "name: String");
    assert_eq!(at("use page(\"index.html\", motd)", "use page(\"index.html\", $0)").1.unwrap(), "body: String");
    assert_eq!(at("use page(\"index.html\", motd)", "use page(\"index.html\", mo$0td)").1.unwrap(), "body: String");
    let (label, param) = at("size: root_size", "size: root$0_size");
    assert!(label.starts_with("disk.image("), "{label}");
    assert!(param.unwrap().starts_with("size: Size"));
    assert_eq!(active(&WEB.replace("oci.archive(web)", "oci.archive(web)$0")), None);
    let (label, _) = active("image web {\n  from = rootfs.debian($0\n}\n").unwrap();
    assert!(label.starts_with("rootfs.debian("), "{label}");
}

#[test]
fn who_uses_a_recipe_and_what_a_body_uses() {
    let text = "recipe inner() on linux/* {\n  sh \"a\" { script = \"true\" }\n}\n\nrecipe outer() on linux/* {\n  use in$0ner()\n  use inner()\n}\n\nimage web {\n  from = rootfs.debian(suite: \"bookworm\")\n  use inner()\n  use outer()\n}\n\noutput o = oci.archive(web)\n";
    let package = Package::main(text);
    let analysis = package.analysis();
    let inner = ide::recipe_at(&analysis, &package.path, package.cursor()).unwrap();
    assert_eq!((inner.name.as_str(), inner.kind), ("inner", CallerKind::Recipe));
    let callers = ide::callers(&analysis, &inner);
    let shown: Vec<_> = callers.iter().map(|call| (call.of.name.as_str(), call.ranges.len())).collect();
    assert_eq!(shown, [("outer", 2), ("web", 1)]);
    // And on: what the image uses leads back.
    let web = &callers[1].of;
    assert_eq!(web.kind, CallerKind::Image);
    let callees = ide::callees(&analysis, web);
    let shown: Vec<_> = callees.iter().map(|call| call.of.name.as_str()).collect();
    assert_eq!(shown, ["inner", "outer"]);
    assert_eq!(callees[0].of, inner);
}
