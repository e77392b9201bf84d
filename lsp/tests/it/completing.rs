//! Completion: an item of each kind is taken, and what was written is without an error.

use serde_json::Value;

use crate::client::Client;

/// An image around a part of its body.
fn body(inside: &str) -> String {
    format!(
        "image web {{\n  from = rootfs.debian(suite: \"bookworm\")\n\n{inside}\n}}\n\noutput tar = oci.archive(web)\n"
    )
}

/// Takes an item in front of the `|` of the main module; the package checks from then on. The text, and the item.
fn taken(files: &[(&str, &str)], label: &str) -> (String, Value) {
    let (main, rest) = files.split_first().unwrap();
    // The last one: the others are of types.
    let cursor = main.1.rfind('|').unwrap();
    let plain = format!("{}{}", &main.1[..cursor], &main.1[cursor + 1..]);
    // Enough around the cursor that it stands only there.
    let start = main.1[..cursor].rfind(['\n', '|']).map_or(0, |at| at + 1);
    let end = main.1[cursor..].find('\n').map_or(main.1.len(), |at| cursor + at);
    let mark = &main.1[start..end];
    let mut all = vec![("main.imgc", plain.as_str())];
    all.extend(rest);
    let mut client = Client::new(&all);
    client.open("main.imgc");
    let item = client.complete("main.imgc", mark, label);
    let found = client.diagnostics("main.imgc");
    assert!(found.iter().all(|one| one["severity"] != 1), "{found:?}\n{}", client.text("main.imgc"));
    (client.text("main.imgc").to_owned(), item)
}

fn main_taken(text: &str, label: &str) -> (String, Value) {
    taken(&[("main.imgc", text)], label)
}

#[test]
fn an_item_of_another_module_brings_its_import() {
    let (text, item) = taken(
        &[("main.imgc", "output o = gree|\n"), ("lib/words.imgc", "/// What is said.\npub let greeting = \"x\"\n")],
        "words.greeting",
    );
    assert!(text.starts_with("import \"./lib/words.imgc\""), "{text}");
    assert!(text.contains("words.greeting"), "{text}");
    let documentation = item["documentation"]["value"].as_str().unwrap();
    assert!(documentation.contains("What is said."), "{item}");
}

#[test]
fn a_recipe_of_the_standard_library_brings_its_import() {
    let (text, _) = main_taken(&body("  use cloud_in|"), "cloud_init.disable");
    assert!(text.starts_with("import std.cloud_init\n"), "{text}");
}

#[test]
fn units_variants_texts_and_platforms() {
    assert!(main_taken("param size: Size = 8|\n\noutput x = \"\\{size}\"\n", "8GiB").0.contains("= 8GiB\n"));
    let enums = "enum Channel { stable, edge }\nparam channel: Channel = |\n\noutput x = match channel { stable => 1, edge => 2 }\n";
    assert!(main_taken(enums, "edge").0.contains("= edge\n"));
    let texts = "param bus: \"virtio\" | \"scsi\" = |\n\noutput x = bus\n";
    assert!(main_taken(texts, "\"virtio\"").0.contains("= \"virtio\"\n"));
    let (text, _) = main_taken("param p: linux/* = linux/a|\n\noutput x = \"\\{p}\"\n", "linux/arm64");
    assert!(text.contains("= linux/arm64\n"), "{text}");
}

#[test]
fn files_and_imports() {
    let copy = body("  copy \"site\" { src = file(\"|\"), dest = \"/srv/x\" }");
    let (text, item) = taken(&[("main.imgc", &copy), ("site/index.html", "x"), ("motd", "y")], "./motd");
    assert!(text.contains("file(\"./motd\")"), "{text}");
    assert_eq!(item["kind"], 17, "a file: {item}");
    let (text, _) = taken(
        &[("main.imgc", "import \"|\"\n\noutput y = \"x\"\n"), ("lib/a.imgc", "pub let x = 1\n")],
        "./lib/a.imgc",
    );
    assert!(text.contains("import \"./lib/a.imgc\""), "{text}");
    let (text, _) = main_taken("import std.us|\n\noutput y = \"x\"\n", "users");
    assert!(text.starts_with("import std.users\n"), "{text}");
}

#[test]
fn fields_of_the_expected_type_and_members() {
    let record =
        "record Service { name: String = \"x\", port: Port = 80 }\nlet s: Service = { na| }\n\noutput o = s.name\n";
    let (text, item) = main_taken(&record.replace("na|", "na| = \"y\""), "name");
    assert!(text.contains("{ name = \"y\" }"), "{text}");
    assert_eq!(item["kind"], 5, "a field: {item}");
    let (text, _) = main_taken("let n = [1, 2].le|\n\noutput o = n\n", "len");
    assert!(text.contains("[1, 2].len"), "{text}");
}

#[test]
fn a_step_comes_with_its_required_fields_and_only_where_it_is_legal() {
    let main = body("  wri");
    let mut client = Client::new(&[("main.imgc", &main)]);
    client.open("main.imgc");
    let found = client.at("textDocument/completion", "main.imgc", "  wri|").unwrap();
    let labels: Vec<_> =
        found["items"].as_array().unwrap().iter().map(|item| item["label"].as_str().unwrap()).collect();
    assert!(labels.contains(&"sh") && !labels.contains(&"powershell"), "{labels:?}");
    let item = client.complete("main.imgc", "  wri|", "write");
    assert_eq!(item["insertTextFormat"], 2);
    assert!(item["documentation"]["value"].is_string(), "{item}");
    let text = client.text("main.imgc");
    assert!(text.contains("write \"") && text.contains("dest = "), "{text}");
    // The step is understood as one whose values are not right yet: no field is missing.
    let missing = client.diagnostics("main.imgc");
    assert!(missing.iter().all(|one| !one["message"].as_str().unwrap().contains("missing")), "{missing:?}");
}

#[test]
fn an_attribute_is_offered_with_its_lints() {
    let (text, _) = main_taken("@allow(|) reason \"later\"\nlet a = 1\n\noutput o = 1\n", "unused");
    assert!(text.starts_with("@allow(unused) reason"), "{text}");
}
