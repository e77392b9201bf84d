//! Completion: at half-typed places, with what it writes checked.

use crate::{Package, labels};

/// An image around a cursor.
fn body(inside: &str) -> String {
    format!(
        "image web {{\n  from = rootfs.debian(suite: \"bookworm\")\n\n{inside}\n}}\n\noutput tar = oci.archive(web)\n"
    )
}

fn checks(package: &Package) {
    assert_eq!(package.errors(), Vec::<String>::new(), "{}", package.main_text());
}

#[test]
fn behind_the_dot_of_a_module() {
    let package =
        Package::main("image vm {\n  from = qemu.$0\n  copy \"site\" { src = dir(\"./site\"), dest = \"/srv\" }\n}\n");
    let all = package.complete();
    assert!(labels(&all).contains(&"disk"), "{:?}", labels(&all));
    let disk = all.iter().find(|c| c.label == "disk").unwrap();
    assert_eq!(disk.snippet.as_deref(), Some("disk(${1:image})"));
    assert!(disk.docs.contains("disk"), "{}", disk.docs);
}

#[test]
fn sources_where_an_image_begins() {
    let package = Package::main("image web {\n  from = $0\n}\n");
    let all = package.complete();
    let first: Vec<_> = all.iter().filter(|c| *c.sort < *"3").map(|c| &*c.label).collect();
    assert!(first.contains(&"rootfs.debian"), "{first:?}");
    assert!(!first.contains(&"oci.archive"), "{first:?}");
}

#[test]
fn steps_that_run_on_the_platform() {
    let package = Package::main(&body("  $0"));
    let all = package.complete();
    let labels = labels(&all);
    for label in ["sh", "copy", "write", "use apt.install", "use", "if", "machine"] {
        assert!(labels.contains(&label), "no {label} in {labels:?}");
    }
    // PowerShell does not run on Linux, and there is no `dnf` on Debian.
    assert!(!labels.contains(&"powershell"), "{labels:?}");
    assert!(!labels.contains(&"use dnf.install"), "{labels:?}");
    assert!(!labels.contains(&"from"), "it is given: {labels:?}");
}

#[test]
fn a_half_typed_step() {
    let package =
        Package::main(&body("  use net.dhcp()\n  co$0\n  write \"motd\" { dest = \"/etc/motd\", text = \"x\" }"));
    let all = package.complete();
    let copy = all.iter().find(|c| c.label == "copy").unwrap();
    assert!(copy.snippet.as_ref().unwrap().contains("src = ${2:src}"), "{copy:?}");
}

#[test]
fn steps_follow_the_narrowed_platform() {
    let text = "recipe any() on linux/* | windows/* {\n  match platform {\n    windows/* => {\n      $0\n    }\n    linux/* => {}\n  }\n}\n";
    let all = Package::main(text).complete();
    assert!(labels(&all).contains(&"powershell"), "{:?}", labels(&all));
    assert!(!labels(&all).contains(&"sh"), "{:?}", labels(&all));
}

#[test]
fn recipes_behind_use() {
    let package = Package::main(&body("  use apt.$0"));
    assert!(labels(&package.complete()).contains(&"install"));
    let package = Package::main(&body("  use $0"));
    let all = package.complete();
    assert!(labels(&all).contains(&"apt.install"));
    checks(&Package::main(&body("  use net.$0")).completed("dhcp"));
}

#[test]
fn what_needs_an_import_brings_it() {
    let package = Package::main(&body("  use host$0"));
    let done = package.completed("hostname.set");
    assert!(done.main_text().starts_with("import std.hostname\n"), "{}", done.main_text());
    assert!(done.main_text().contains("use hostname.set()"), "{}", done.main_text());
    let done = done.with(&[]);
    let text = done.main_text().replace("hostname.set()", "hostname.set(\"web\")");
    checks(&Package::main(&text));
}

#[test]
fn what_another_module_exports_brings_its_import() {
    let lib = "pub let greeting = \"hello\"\nlet hidden = 1\n";
    let package = Package::new(&[("main.imgc", "let x = gre$0\n\noutput y = \"\\{x}\"\n"), ("lib/words.imgc", lib)]);
    let done = package.completed("words.greeting");
    assert!(done.main_text().starts_with("import \"./lib/words.imgc\"\n"), "{}", done.main_text());
    checks(&done);
    assert!(!labels(&package.complete()).contains(&"words.hidden"));
}

#[test]
fn fields_of_a_step() {
    let package = Package::main(&body("  write \"motd\" {\n    dest = \"/etc/motd\"\n    te$0\n  }"));
    let all = package.complete();
    assert!(labels(&all).contains(&"text"), "{:?}", labels(&all));
    assert!(!labels(&all).contains(&"dest"), "it is given");
    let text = all.iter().find(|c| c.label == "text").unwrap();
    assert_eq!(text.text, "text = ");
    assert!(!text.docs.is_empty());
    // Also where nothing is typed yet, and on one line.
    let package = Package::main(&body("  write \"motd\" { dest = \"/etc/motd\", $0 }"));
    assert!(labels(&package.complete()).contains(&"text"));
}

#[test]
fn params_of_a_recipe_that_was_begun_as_a_step() {
    let package = Package::main(&body("  apt.install { pac$0"));
    assert!(labels(&package.complete()).contains(&"packages"), "{:?}", labels(&package.complete()));
}

#[test]
fn fields_of_a_machine() {
    let text = "image vm {\n  from = qemu.disk(\"https://example.org/x.qcow2\", digest: \"sha256:0000000000000000000000000000000000000000000000000000000000000000\")\n  machine = {\n    firm$0\n  }\n}\n\noutput tar = disk.convert(vm, format: raw)\n";
    let package = Package::main(text);
    let all = package.complete();
    assert!(labels(&all).contains(&"firmware"), "{:?}", labels(&all));
    let package = Package::main(&text.replace("firm$0", "firmware = $0"));
    let all = package.complete();
    assert_eq!(&labels(&all)[..3], ["bios", "uefi", "uefi_secure"]);
    let login = Package::main(&text.replace("firm$0", "login = { us$0 }"));
    assert!(labels(&login.complete()).contains(&"user"), "{:?}", labels(&login.complete()));
}

#[test]
fn arguments_by_name_and_value() {
    let package = Package::main("image web {\n  from = rootfs.debian($0)\n}\n");
    let all = package.complete();
    assert!(labels(&all).contains(&"suite:"), "{:?}", labels(&all));
    assert_eq!(all.iter().find(|c| c.label == "suite:").unwrap().sort, "0suite:");
    let package = Package::main(
        "image web {\n  from = rootfs.debian(suite: \"bookworm\", platform: lin$0)\n}\n\noutput tar = oci.archive(web)\n",
    );
    let all = package.complete();
    assert!(labels(&all).contains(&"linux(debian)/amd64"), "{:?}", labels(&all));
    assert!(!labels(&all).contains(&"windows/amd64"), "{:?}", labels(&all));
    checks(&package.completed("linux(debian)/amd64"));
}

#[test]
fn a_platform_that_is_half_there() {
    let package = Package::main("param target: linux/* = linux/a$0\n\noutput x = \"\\{target}\"\n");
    let done = package.completed("linux/arm64");
    assert!(done.main_text().contains("= linux/arm64\n"), "{}", done.main_text());
    checks(&done);
}

#[test]
fn a_distribution_whose_bracket_is_open() {
    let arm = "recipe r() on linux/* {\n  match platform {\n    linux(deb$0\n    _ => {}\n  }\n}\n";
    let found = Package::main(arm).complete();
    assert!(labels(&found).contains(&"linux(debian)/*"), "{:?}", labels(&found));
    let value = "param target: linux/* = linux(deb$0\n\noutput x = \"\\{target}\"\n";
    let done = Package::main(value).completed("linux(debian)/arm64");
    assert!(done.main_text().contains("= linux(debian)/arm64\n"), "{}", done.main_text());
    checks(&done);
}

#[test]
fn units_behind_digits() {
    let package = Package::main("param size: Size = 8$0\n\noutput x = \"\\{size}\"\n");
    let all = package.complete();
    assert!(labels(&all).contains(&"8GiB"), "{:?}", labels(&all));
    assert!(!labels(&all).contains(&"8m"), "{:?}", labels(&all));
    checks(&package.completed("8GiB"));
    let package = Package::main(&body("  sh \"x\" { script = \"true\", timeout = 10$0 }"));
    let all = package.complete();
    assert!(labels(&all).contains(&"10m") && !labels(&all).contains(&"10GiB"), "{:?}", labels(&all));
    checks(&package.completed("10m"));
    let half = Package::main("param size: Size = 8G$0\n\noutput x = \"\\{size}\"\n");
    checks(&half.completed("8GiB"));
}

#[test]
fn variants_and_texts_that_a_type_lists() {
    let text = "enum Channel { stable, edge(build: Int) }\nparam channel: Channel = $0\n\noutput x = match channel { stable => 1, edge(n) => n }\n";
    let package = Package::main(text);
    assert_eq!(package.complete()[0].label, "edge");
    checks(&package.completed("stable"));
    let package = Package::main("param bus: \"virtio\" | \"scsi\" = $0\n\noutput x = bus\n");
    checks(&package.completed("\"virtio\""));
    let package = Package::main("param bus: \"virtio\" | \"scsi\" = \"v$0\"\n\noutput x = bus\n");
    checks(&package.completed("virtio"));
}

#[test]
fn patterns_of_a_match() {
    let text = "enum Channel { stable, edge(build: Int) }\nparam c: Channel = stable\n\noutput x = match c { sta$0 => 1, edge(n) => n }\n";
    checks(&Package::main(text).completed("stable"));
}

#[test]
fn files_and_folders() {
    let files = |main: &str| {
        Package::new(&[("main.imgc", main), ("site/index.html", "x"), ("site/css/a.css", "y"), ("motd", "z")])
    };
    let inside = |text: &str| body(&format!("  copy \"site\" {{ src = {text}, dest = \"/srv/x\" }}"));
    let package = files(&inside("file(\"$0\")"));
    let all = package.complete();
    assert!(labels(&all).contains(&"./motd") && labels(&all).contains(&"./site/"), "{:?}", labels(&all));
    checks(&package.completed("./motd"));
    let package = files(&inside("file(\"./site/in$0\")"));
    checks(&package.completed("./site/index.html"));
    let package = files(&inside("dir(\"$0\")"));
    let all = package.complete();
    assert!(!labels(&all).contains(&"./motd"), "{:?}", labels(&all));
    checks(&package.completed("./site/"));
    // A text that is not closed yet.
    let open = files(&body("  copy \"site\" {\n    src = file(\"./s$0\n    dest = \"/srv\"\n  }"));
    assert!(labels(&open.complete()).contains(&"./site/"), "{:?}", labels(&open.complete()));
}

#[test]
fn imports() {
    let package = Package::new(&[("main.imgc", "import $0\n"), ("lib/a.imgc", "pub let x = 1\n")]);
    let all = package.complete();
    assert!(labels(&all).contains(&"std.users") && labels(&all).contains(&"\"./lib/a.imgc\""), "{:?}", labels(&all));
    let package = Package::main("import std.us$0\n");
    assert!(labels(&package.complete()).contains(&"users"));
    let package = Package::new(&[
        ("main.imgc", "import { $0 } from \"./lib/a.imgc\"\n\noutput y = \"x\"\n"),
        ("lib/a.imgc", "pub let shown = 1\nlet hidden = 2\n"),
    ]);
    let all = package.complete();
    assert!(labels(&all).contains(&"shown") && !labels(&all).contains(&"hidden"), "{:?}", labels(&all));
    checks(&package.completed("shown"));
    let package =
        Package::new(&[("main.imgc", "import \"$0\"\n\noutput y = \"x\"\n"), ("lib/a.imgc", "pub let shown = 1\n")]);
    checks(&package.completed("./lib/a.imgc"));
}

#[test]
fn members_of_values() {
    let package = Package::main("let xs = [\"a\", \"b\"]\nlet n = xs.$0\n\noutput y = \"\\{n}\"\n");
    let all = package.complete();
    assert!(labels(&all).contains(&"len") && labels(&all).contains(&"map"), "{:?}", labels(&all));
    checks(&package.completed("len"));
    let package = Package::main(
        "record Service { name: String, ports: List<Port> = [] }\nparam s: Service = { name = \"x\" }\n\noutput y = s.$0\n",
    );
    checks(&package.completed("name"));
    // Of a lambda's param, whose type nobody wrote.
    let package = Package::main("let n = [\"a\"].map(x => x.$0)\n\noutput y = n\n");
    checks(&package.completed("upper"));
}

#[test]
fn items_and_types() {
    let all = Package::main("$0").complete();
    assert!(labels(&all).contains(&"image") && labels(&all).contains(&"param"), "{:?}", labels(&all));
    let all = Package::main("let x = 1\n\nim$0\n\noutput y = x\n").complete();
    assert!(labels(&all).contains(&"image"), "{:?}", labels(&all));
    let package = Package::main("record Mine { a: Int = 1 }\nparam x: $0\n");
    let all = package.complete();
    for label in ["Size", "Mine", "List", "linux/*", "Cache"] {
        assert!(labels(&all).contains(&label), "no {label} in {:?}", labels(&all));
    }
}

#[test]
fn a_broken_item_costs_the_others_nothing() {
    let text = format!("let broken = (1 +\n\n{}", body("  wri$0"));
    let all = Package::main(&text).complete();
    assert!(labels(&all).contains(&"write"), "{:?}", labels(&all));
}

#[test]
fn attributes_and_the_lints_that_they_name() {
    let package = Package::main("@$0\nlet a = 1\n");
    let all = package.complete();
    assert_eq!(labels(&all), ["allow", "deprecated"]);
    assert_eq!(all[0].snippet.as_deref(), Some("allow(${1:lint}) reason \"${2:why}\""));
    checks(&Package::main("@dep$0(\"use b\")\nlet a = 1\n\noutput o = a\n").completed("deprecated"));
    // Whatever may be allowed is offered, and what is offered is understood.
    let package = Package::main("@allow(unp$0) reason \"x\"\nlet a = 1\n\noutput o = a\n");
    let all = package.complete();
    assert!(labels(&all).contains(&"unused") && labels(&all).contains(&"shell_hole"), "{:?}", labels(&all));
    assert!(all.iter().all(|one| !one.docs.is_empty()), "{all:?}");
    for label in labels(&all) {
        let done = package.completed(label);
        let said = done.analysis().diagnostics("main.imgc").to_vec();
        assert!(said.is_empty(), "{label}: {said:?}");
    }
    let second = Package::main("@allow(unused, $0\nlet a = 1\n").complete();
    assert!(labels(&second).contains(&"deprecated"), "{:?}", labels(&second));
    // A script that has such a line is no attribute.
    let text = "image w {\n  from = rootfs.debian(suite: \"bookworm\")\n  sh \"a\" {\n    script = \"\"\"\n      @$0\n    \"\"\"\n  }\n}\n";
    assert!(!labels(&Package::main(text).complete()).contains(&"allow"));
}

#[test]
fn interpolations_know_the_names() {
    let package = Package::main("param who: String = \"x\"\n\noutput y = \"hello \\{w$0}\"\n");
    checks(&package.completed("who"));
}
