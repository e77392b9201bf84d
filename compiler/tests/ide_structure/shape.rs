//! Outline, search, folds, selections.

use imgc_compiler::ide::structure::{FoldKind, Symbol, SymbolKind, folds, selections, symbols, workspace_symbols};

use crate::world::{analysis, main};

fn names(symbols: &[Symbol]) -> Vec<&str> {
    symbols.iter().map(|symbol| symbol.name.as_str()).collect()
}

const PROGRAM: &str = r#"import std.users
import "./lib.imgc" as lib

/// How large.
param size: Size = 4GiB

enum Channel { stable, edge(build: Int) }

record Service {
  name: String
  port: Port = 80
}

fn twice(of: Int) -> Int = of * 2

image web {
  from = rootfs.debian(suite: "bookworm")
  let greeting = "hello"
  if true {
    sh "greet" { script = "echo \{greeting}" }
  }
  use apt.install(["nginx"])
}

test serves of web {
  sh "answers" { script = "true" }
}

output box = oci.archive(web)
"#;

#[test]
fn an_outline_has_every_item_and_what_is_in_it() {
    let found = symbols(&main(PROGRAM), "main.imgc");
    let expected = ["std.users", "lib", "size", "Channel", "Service", "twice", "web", "serves", "box"];
    assert_eq!(names(&found), expected);
    assert_eq!(names(&found[3].children), ["stable", "edge"]);
    assert_eq!(names(&found[4].children), ["name", "port"]);
    assert_eq!(names(&found[6].children), ["greeting", "greet", "apt.install"]);
    let details: Vec<&str> = found.iter().map(|symbol| symbol.detail.as_str()).collect();
    assert_eq!(details, ["", "", "Size", "", "", "(of: Int) -> Int", "rootfs.debian", "web", ""]);
    assert_eq!(found[6].children[1].detail, "sh");
    for symbol in &found {
        assert!(symbol.range.start <= symbol.name_range.start && symbol.name_range.end <= symbol.range.end);
    }
    assert!(PROGRAM[found[2].range.clone()].starts_with("/// How large."));
    assert_eq!(&PROGRAM[found[2].name_range.clone()], "size");
}

#[test]
fn an_error_costs_no_other_item_its_entry() {
    let broken = PROGRAM.replace("from = rootfs.debian(suite: \"bookworm\")", "from = rootfs.debian(suite: ");
    let found = symbols(&main(&broken), "main.imgc");
    assert_eq!(names(&found), ["std.users", "lib", "size", "Channel", "Service", "twice", "web", "serves", "box"]);
    // The open bracket takes what could be arguments; a step cannot.
    assert_eq!(names(&found[6].children), ["greet"]);
    let found = symbols(&main("image a {\n  sh \"x\" {\n    script =\n\nparam b: Int\n"), "main.imgc");
    assert_eq!(names(&found), ["a", "b"]);
    assert_eq!(found[0].children[0].kind, SymbolKind::Step);
}

#[test]
fn a_search_finds_letters_in_their_order_the_best_first() {
    let package = analysis(&[
        ("main.imgc", "import \"./lib.imgc\" as lib\nlet user_home = 1\nlet home = lib.homes\n"),
        ("lib.imgc", "pub let homes = 2\nlet other = 3\n"),
    ]);
    let found = |query: &str| {
        let all = workspace_symbols(&package, query);
        all.into_iter().map(|(symbol, path)| format!("{path} {}", symbol.name)).collect::<Vec<_>>()
    };
    assert_eq!(found("home"), ["main.imgc home", "lib.imgc homes", "main.imgc user_home"]);
    assert_eq!(found("UHM"), ["main.imgc user_home"]);
    assert_eq!(found("").len(), 4);
    assert!(found("xyz").is_empty());
}

#[test]
fn folds_hide_bodies_comments_and_imports() {
    let text = "// one\n// two\nimport std.users\nimport std.locale\n\nimage web {\n  // a\n  // b\n  sh \"x\" {\n    \
                script = \"\"\"\n      echo\n      \"\"\"\n  }\n}\nlet a = [1, 2]\n";
    let found = folds(&main(text), "main.imgc");
    let hidden: Vec<(FoldKind, &str)> = found.iter().map(|fold| (fold.kind, &text[fold.range.clone()])).collect();
    assert_eq!(hidden[0], (FoldKind::Comment, "// one\n// two"));
    assert_eq!(hidden[1], (FoldKind::Imports, "import std.users\nimport std.locale"));
    assert!(hidden[2].1.starts_with("{\n  // a") && hidden[2].1.ends_with("      \"\"\"\n  }"), "{:?}", hidden[2]);
    assert_eq!(hidden[3], (FoldKind::Comment, "// a\n  // b"));
    assert!(hidden[4].1.starts_with("{\n    script"));
    assert_eq!(hidden[5], (FoldKind::Region, "\"\"\"\n      echo"));
    assert_eq!(hidden.len(), 6);
}

#[test]
fn a_body_whose_end_is_missing_can_still_be_folded() {
    let text = "image web {\n  sh \"x\" {\n    script = \"a\"\n\nlet b = [\n  1,\n]\n";
    let found = folds(&main(text), "main.imgc");
    let hidden: Vec<&str> = found.iter().map(|fold| &text[fold.range.clone()]).collect();
    assert_eq!(hidden.last(), Some(&"[\n  1,"));
    assert!(hidden[0].starts_with("{\n  sh"), "{hidden:?}");
}

#[test]
fn a_selection_grows_from_the_word_to_the_module() {
    let text = "/// Doc.\nlet a = b.c(\"one two\", 3) + 4\nlet z = 1\n";
    let grown = |offset: usize| {
        let ranges = selections(&main(text), "main.imgc", offset);
        ranges.into_iter().map(|range| text[range].to_owned()).collect::<Vec<_>>()
    };
    let from_two = grown(text.find("two").unwrap() + 1);
    let expected = [
        "two",
        "one two",
        "\"one two\"",
        "\"one two\", 3",
        "(\"one two\", 3)",
        "b.c(\"one two\", 3)",
        "b.c(\"one two\", 3) + 4",
        "let a = b.c(\"one two\", 3) + 4",
        "/// Doc.\nlet a = b.c(\"one two\", 3) + 4",
        text,
    ];
    assert_eq!(from_two, expected);
    assert_eq!(grown(text.find("c(").unwrap())[..2], ["c".to_owned(), ".c".to_owned()]);
    assert_eq!(grown(9999).last().unwrap(), text);
    assert_eq!(selections(&main(""), "main.imgc", 3).first(), Some(&(0..0)));
}
