//! Semantic tokens.

use imgc_compiler::ide::structure::{Modifiers, TokenKind, tokens};

use crate::world::{main, many};

fn painted(text: &str) -> Vec<(&str, TokenKind, Modifiers)> {
    let found = tokens(&main(text), "main.imgc");
    found.into_iter().map(|token| (&text[token.range], token.kind, token.modifiers)).collect()
}

fn kind_of(text: &str, word: &str) -> TokenKind {
    let all = painted(text);
    all.iter().find(|(found, ..)| *found == word).unwrap_or_else(|| panic!("{word} in {all:?}")).1
}

const PROGRAM: &str = r#"import "./lib.imgc" as base
/// Doc.
param size: Size = 4GiB
@deprecated("use b")
let old = 1
recipe greet(who: String, target: base.Target) {
  let line = "hi \{who}\n"
  for name, index in ["a"] {
    sh "x" { script = "echo \{name}", timeout = 5m }
  }
  match platform { linux/* => { use apt.install([line]) } _ => {} }
}
image web {
  from = rootfs.debian(suite: "bookworm")
  use greet(who: "me", target: old.map(each => each + 1))
}
output box = disk.image(web, size: size, format: qcow2)
"#;

#[test]
fn words_are_what_they_mean() {
    let expected = [
        ("import", TokenKind::Keyword),
        ("base", TokenKind::Namespace),
        ("/// Doc.", TokenKind::Comment),
        ("size", TokenKind::Parameter),
        ("Size", TokenKind::Type),
        ("4GiB", TokenKind::Number),
        ("deprecated", TokenKind::Decorator),
        ("old", TokenKind::Variable),
        ("greet", TokenKind::Function),
        ("who", TokenKind::Parameter),
        ("Target", TokenKind::Type),
        ("line", TokenKind::Variable),
        ("\\{", TokenKind::Escape),
        ("name", TokenKind::Variable),
        ("in", TokenKind::Keyword),
        ("sh", TokenKind::Macro),
        ("script", TokenKind::Property),
        ("platform", TokenKind::Variable),
        ("linux/*", TokenKind::EnumMember),
        ("apt", TokenKind::Namespace),
        ("install", TokenKind::Function),
        ("web", TokenKind::Class),
        ("rootfs", TokenKind::Namespace),
        ("debian", TokenKind::Function),
        ("suite", TokenKind::Parameter),
        ("map", TokenKind::Method),
        ("each", TokenKind::Parameter),
        ("+", TokenKind::Operator),
        ("qcow2", TokenKind::EnumMember),
    ];
    for (word, kind) in expected {
        assert_eq!(kind_of(PROGRAM, word), kind, "{word}");
    }
}

#[test]
fn modifiers_say_what_else_is_true() {
    let all = painted(PROGRAM);
    let of = |word: &str| all.iter().filter(|(found, ..)| *found == word).map(|token| token.2).collect::<Vec<_>>();
    assert!(of("/// Doc.")[0].documentation);
    assert!(of("old").iter().all(|modifiers| modifiers.deprecated));
    assert_eq!(of("greet").iter().map(|m| m.declaration).collect::<Vec<_>>(), [true, false]);
    assert!(of("rootfs")[0].default_library && of("sh")[0].default_library);
    assert_eq!(Modifiers { documentation: true, deprecated: true, ..Modifiers::default() }.bits(), 0b1010);
}

#[test]
fn tokens_stay_in_their_line_and_out_of_each_other() {
    let found: Vec<_> = crate::modules().into_iter().step_by(5).collect();
    // Also cut off anywhere: nothing may be painted twice or out of the text.
    let cuts =
        found.iter().flat_map(|(_, text)| [text.len(), text.len() / 2, text.len() / 3].map(|cut| text.get(..cut)));
    let texts: Vec<&str> = cuts.flatten().collect();
    let (analysis, paths) = many(&texts);
    for (text, path) in texts.iter().zip(&paths) {
        let mut end = 0;
        for token in tokens(&analysis, path) {
            let part = &text[token.range.clone()];
            assert!(token.range.start >= end && !part.is_empty(), "{token:?} {part:?} in {text}");
            assert!(!part.contains('\n'), "{part:?} in {text}");
            end = token.range.end;
        }
    }
}

#[test]
fn names_of_other_modules_have_the_colour_of_what_they_mean() {
    let lib =
        "pub record Target { name: String }\npub let base = 1\n@deprecated(\"no\")\npub fn old(n: Int) -> Int = n\n";
    let text = "import { Target, base, old } from \"./lib.imgc\"\nimport \"./lib.imgc\" as lib\nlet a: Target = { name = \
                \"x\" }\nlet b = base + old(1) + lib.old(2)\nlet c = lib.base\n";
    let package = crate::world::analysis(&[("main.imgc", text), ("lib.imgc", lib)]);
    let found = tokens(&package, "main.imgc");
    let of = |line: &str, word: &str| {
        let start = text.find(line).unwrap() + line.find(word).unwrap();
        let token = found.iter().find(|token| token.range.start == start).unwrap();
        (token.kind, token.modifiers.deprecated)
    };
    assert_eq!(of("let a: Target", "Target"), (TokenKind::Struct, false));
    assert_eq!(of("let b = base", "base"), (TokenKind::Variable, false));
    assert_eq!(of("old(1)", "old"), (TokenKind::Function, true));
    assert_eq!(of("lib.old(2)", "old"), (TokenKind::Function, true));
    assert_eq!(of("lib.base", "lib"), (TokenKind::Namespace, false));
    assert_eq!(of("lib.base", "base"), (TokenKind::Variable, false));
}
