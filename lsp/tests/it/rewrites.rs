//! Changes that the editor offers: each is made, and what comes of it checked.

use serde_json::json;

use crate::client::Client;

/// A program without a fault.
const WEB: &str = r#"let pages = "/var/www/html"

recipe page(name: String, body: String) on linux/* {
  write "page" {
    dest = "\{pages}/\{name}"
    text = body
  }
}

image web {
  from = rootfs.debian(suite: "bookworm")

  use page("index.html", "hello")
  sh "first" { script = "true" }
  sh "second" { script = "true" }
}

output container = oci.archive(web)
"#;

fn package(text: &str) -> Client {
    let mut client = Client::new(&[("main.imgc", text)]);
    client.open("main.imgc");
    client
}

fn holds(client: &mut Client) {
    let found = client.diagnostics("main.imgc");
    assert!(found.iter().all(|one| one["severity"] != 1), "{found:?}\n{}", client.text("main.imgc"));
}

#[test]
fn a_value_gets_a_name_and_loses_it_again() {
    for part in ["\"index.html\"", "oci.archive(web)"] {
        let mut client = package(WEB);
        holds(&mut client);
        let range = client.range("main.imgc", part);
        let title = client.act("main.imgc", &range, "refactor.extract");
        holds(&mut client);
        let name = title.split('`').nth(1).unwrap().to_owned();
        assert!(client.text("main.imgc").contains(&name), "{title}: {}", client.text("main.imgc"));
        assert_ne!(client.text("main.imgc"), WEB);
        let range = client.range("main.imgc", name.strip_prefix("let ").unwrap());
        client.act("main.imgc", &range, "refactor.inline");
        assert_eq!(client.text("main.imgc"), WEB);
        holds(&mut client);
    }
}

#[test]
fn steps_become_a_recipe_that_the_image_calls() {
    let mut client = package(WEB);
    let range = client.range("main.imgc", "sh \"first\" { script = \"true\" }\n  sh \"second\" { script = \"true\" }");
    let title = client.act("main.imgc", &range, "refactor.extract");
    holds(&mut client);
    let name = title.split('`').nth(1).unwrap().strip_prefix("recipe ").unwrap().to_owned();
    let mark = format!("use {}|{}(", &name[..1], &name[1..]);
    let items = client.at("textDocument/prepareCallHierarchy", "main.imgc", &mark).unwrap();
    let callers = client.ask("callHierarchy/incomingCalls", json!({ "item": items[0] })).unwrap();
    assert_eq!(callers[0]["from"]["name"], "web", "{callers}");
}

#[test]
fn what_a_step_needs_is_written() {
    let text = WEB.replace("sh \"first\" { script = \"true\" }", "write \"motd\" {\n    mode = 0o644\n  }");
    let mut client = package(&text);
    assert!(!client.codes("main.imgc").is_empty());
    let range = client.range("main.imgc", "write \"motd\"");
    client.act("main.imgc", &range, "refactor.rewrite");
    holds(&mut client);
}

#[test]
fn imports_are_put_in_order_and_then_are() {
    let text = "import \"./b.imgc\"\nimport std.users\nimport \"./a.imgc\"\nimport std.groups\n\noutput o = \"\\{a.x}\\{b.x}\"\n";
    let library = "pub let x = 1\n";
    let mut client = Client::new(&[("main.imgc", text), ("a.imgc", library), ("b.imgc", library)]);
    client.open("main.imgc");
    holds(&mut client);
    let whole = client.range("main.imgc", text);
    client.act("main.imgc", &whole, "source.organizeImports");
    let tidy = "import std.groups\nimport std.users\nimport \"./a.imgc\"\nimport \"./b.imgc\"\n";
    assert!(client.text("main.imgc").starts_with(tidy), "{}", client.text("main.imgc"));
    holds(&mut client);
    assert!(client.actions("main.imgc", &whole, "source.organizeImports").is_empty());
}

#[test]
fn all_that_is_safely_mended_is_mended_at_once() {
    let text = "image web {\n  from = rootfs.debian(suite = \"bookworm\")\n\n  write \"a\" {\n    dest: \"/a\"\n    text: \"b\"\n  }\n}\n\noutput o = oci.archive(web)\n";
    let mut client = package(text);
    assert_eq!(client.codes("main.imgc").len(), 3);
    let whole = client.range("main.imgc", text);
    client.act("main.imgc", &whole, "source.fixAll");
    assert_eq!(client.codes("main.imgc"), Vec::<String>::new(), "{}", client.text("main.imgc"));
    assert!(client.actions("main.imgc", &whole, "source.fixAll").is_empty());
}

#[test]
fn a_name_that_is_taken_is_refused_with_the_reason() {
    let mut client = package(WEB);
    let taken = json!({ "newName": "page" });
    let (code, said) = client.at_with("textDocument/rename", "main.imgc", "let pa|ges", &taken).unwrap_err();
    assert_eq!(code, -32803);
    assert!(said.contains("page"), "{said}");
    let (code, said) = client.at("textDocument/prepareRename", "main.imgc", "rootfs.deb|ian").unwrap_err();
    assert_eq!(code, -32803);
    assert!(!said.is_empty());
}

#[test]
fn a_declaration_is_the_import_and_a_type_is_its_record() {
    let main = "import { greeting } from \"./lib.imgc\"\n\nrecord Service { name: String }\nlet s: Service = { name = greeting }\n\noutput o = s.name\n";
    let mut client = Client::new(&[("main.imgc", main), ("lib.imgc", "pub let greeting = \"x\"\n")]);
    client.open("main.imgc");
    holds(&mut client);
    let uri = client.uri("main.imgc");
    let mut leads = |method: &str, mark: &str| {
        let found = client.at(method, "main.imgc", mark).unwrap();
        let at = client.offset(main, &found[0]["targetSelectionRange"]["start"]);
        (found[0]["targetUri"].as_str().unwrap().to_owned(), at)
    };
    let import = main.find("greeting").unwrap();
    assert_eq!(leads("textDocument/declaration", "= gree|ting"), (uri.clone(), import));
    assert!(leads("textDocument/definition", "= gree|ting").0.ends_with("/lib.imgc"));
    let record = main.find("Service").unwrap();
    assert_eq!(leads("textDocument/typeDefinition", "= s|.name"), (uri, record));
}
