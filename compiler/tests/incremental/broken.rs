//! A file that is broken so that items vanish: who uses it still knows its last good version, and hears nothing of it.

use std::sync::Arc;

use imgc_compiler::analysis::{Analysis, Memo};
use imgc_compiler::ide;

use crate::large::never;
use crate::world::Texts;

const LIB: &str = r#"let first = shared(base)

/// Adds one.
pub fn shared(n: Int, by: Int = 1) -> Int = n + by

/// What runs.
pub record Service {
  name: String
  port: Port = 80
}

pub recipe install(service: Service, times: Int) on linux/* {
  sh "run \{service.name} \{times}" { script = "echo \{first}" }
}

pub let base = 7
"#;

const MAIN: &str = r#"import "./lib.imgc"
import { base } from "./lib.imgc"

let one = lib.shared(base, by: 2)
let service: lib.Service = { name = "web" }

image box {
  from = rootfs.scratch()
  use lib.install(service, times: one)
}

output archive = oci.archive(box)
"#;

/// Below a text without an end; items at the first column would end it.
fn swallowed(text: &str) -> String {
    format!("let open = \"\"\"\n {}", text.replace('\n', "\n "))
}

/// What somebody does to a file, and what it is called.
fn breaks() -> Vec<(&'static str, String)> {
    let nested = "(".repeat(300);
    vec![
        ("a text without an end swallows all", swallowed(LIB)),
        ("a text without an end", format!("let open = \"\"\"\n{LIB}")),
        ("a name is gone", LIB.replace("fn shared(", "fn (")),
        ("a signature is half written", LIB.replace("fn shared(n: Int, by: Int = 1) -> Int = n + by", "fn shared(")),
        ("a bracket is open", LIB.replace("times: Int) on", "times: Int on")),
        ("words that nobody knows", LIB.replace("pub fn shared", "pub fun shared").replace("pub record", "public rec")),
        ("a conflict", LIB.replace("pub let base = 7", "<<<<<<< ours\npub let bas\n=======\n>>>>>>> theirs")),
        ("nested too deep", format!("let deep = {nested}\n{LIB}")),
    ]
}

fn world(lib: &str) -> Texts {
    let files = [("lib.imgc", lib), ("main.imgc", MAIN)];
    Texts::new(files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect())
}

fn analyse(memo: &Memo, world: &Texts) -> Analysis {
    memo.analyse(world, &world.modules(), &never).unwrap()
}

fn hover(analysis: &Analysis, word: &str) -> String {
    let at = MAIN.find(word).unwrap() + word.len() - 1;
    ide::hover(analysis, "main.imgc", at, &|_| None).map(|hover| hover.markdown).unwrap_or_default()
}

#[test]
fn users_of_a_broken_file_know_its_last_good_version() {
    for (what, text) in breaks() {
        let memo = Memo::default();
        let good = analyse(&memo, &world(LIB));
        assert_eq!((good.diagnostics("lib.imgc"), good.diagnostics("main.imgc")), (&[][..], &[][..]));
        let broken = analyse(&memo, &world(&text));
        assert_eq!(broken.diagnostics("main.imgc"), [], "{what}");
        let own: Vec<&str> = broken.diagnostics("lib.imgc").iter().map(|diagnostic| diagnostic.code).collect();
        assert!(!own.is_empty() && own.iter().all(|code| code.starts_with("IMG0")), "{what}: {own:?}");
        for (word, known) in [
            ("lib.shared", "fn shared(n: Int, by: Int = 1) -> Int"),
            ("lib.shared", "Adds one."),
            ("{ base", "let base: Int"),
            ("let one", "let one: Int"),
            ("lib.install", "recipe install(service: Service, times: Int)"),
            ("lib.Service", "What runs."),
        ] {
            let told = hover(&broken, word);
            assert!(told.contains(known), "{what}: {word} is {told}");
        }
        // Nothing is remembered of a file that is good again.
        assert!(analyse(&memo, &world(LIB)) == analyse(&Memo::default(), &world(LIB)), "{what}");
    }
}

#[test]
fn names_of_a_broken_file_are_completed_and_lead_into_its_text() {
    for (what, text) in breaks() {
        let memo = Memo::default();
        analyse(&memo, &world(LIB));
        let (mut edited, rest) = (world(&text), "\nlet two = lib.\n");
        edited.files.insert("main.imgc".to_owned(), Arc::from(format!("{MAIN}{rest}")));
        let analysis = analyse(&memo, &edited);
        let offered = ide::completion(&analysis, &edited, "main.imgc", MAIN.len() + rest.len() - 1);
        for name in ["shared", "base"] {
            assert!(offered.iter().any(|one| one.label == name), "{what}: {name} is not offered");
        }
        for word in ["lib.shared", "lib.install", "{ base"] {
            let at = MAIN.find(word).unwrap() + word.len() - 1;
            let found = ide::definition(&analysis, "main.imgc", at);
            let name = word.rsplit(['.', ' ']).next().unwrap();
            assert!(!found.is_empty(), "{what}: {word} leads nowhere");
            for target in found {
                assert_eq!(target.place.path, "lib.imgc", "{what}");
                let there = text.get(target.name.clone()).unwrap_or_else(|| panic!("{what}: {:?}", target.name));
                assert!(there.is_empty() || there == name, "{what}: {word} leads to {there:?}");
            }
        }
        let refused = ide::rename(&analysis, "main.imgc", MAIN.find("shared").unwrap() + 1, "other");
        if analysis
            .text("lib.imgc")
            .is_some_and(|text| !text.contains("fn shared(n: Int, by: Int = 1) -> Int = n + by\n\n/// What"))
        {
            assert!(refused.is_err(), "{what}: {refused:?}");
        }
        // What the text shows no more has no colours, symbols or hints of its own.
        let length = text.len();
        let symbols = ide::structure::symbols(&analysis, "lib.imgc");
        assert!(symbols.iter().all(|symbol| symbol.range.end <= length), "{what}");
        let found = ide::structure::workspace_symbols(&analysis, "shared");
        let names =
            found.iter().filter(|(_, path)| path == "lib.imgc").map(|(symbol, _)| &text[symbol.name_range.clone()]);
        assert!(names.into_iter().all(|name| name == "shared"), "{what}");
    }
}

#[test]
fn without_a_good_version_nothing_is_said_of_names_that_stand_in_the_broken_text() {
    let text = swallowed(LIB);
    let analysis = analyse(&Memo::default(), &world(&text));
    assert_eq!(analysis.diagnostics("main.imgc"), []);
    let checked = imgc_compiler::check(&world(&text), "main.imgc");
    let codes: Vec<&str> = checked.diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
    assert_eq!(codes, ["IMG0008"]);
    // A name that was never there is said to be missing all the same, and once.
    let mut world = world(&text.replace("base", "bass"));
    world.files.insert("lib.imgc".to_owned(), Arc::from(text.replace("base", "bass")));
    let analysis = analyse(&Memo::default(), &world);
    let codes: Vec<&str> = analysis.diagnostics("main.imgc").iter().map(|diagnostic| diagnostic.code).collect();
    assert_eq!(codes, ["IMG1013"]);
}
