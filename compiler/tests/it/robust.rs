//! No text makes the compiler panic, hang or overflow its stack.

use std::path::PathBuf;

use imgc_compiler::Severity;
use proptest::prelude::*;

use crate::world::MapWorld;

/// Every program of the corpus and of the examples.
fn programs() -> Vec<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut open = vec![root.join("tests/corpus"), root.join("examples")];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // Programs that meet the limits take their time.
            let is_slow = path.file_name().unwrap().to_string_lossy().starts_with("limit_");
            if path.is_dir() && !is_slow {
                open.push(path);
            } else if path.extension().is_some_and(|ext| ext == "imgc") {
                found.push(String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned());
            }
        }
    }
    found.sort();
    found
}

fn codes(program: &str) -> Vec<&'static str> {
    let world = MapWorld::of(program);
    let checked = imgc_compiler::check(&world, "main.imgc");
    let planned = imgc_compiler::plan(&world, "main.imgc");
    let is_wrong = planned.diagnostics.iter().any(|d| d.severity == Severity::Error);
    assert_eq!(planned.plan.is_none(), is_wrong, "{program}");
    for diagnostic in checked.diagnostics.iter().chain(&planned.diagnostics) {
        let place = planned.sources.place(&diagnostic.primary.at);
        assert!(place.start <= place.end && place.end <= place.text.len());
        assert_ne!(diagnostic.code, "IMG5021", "{program}");
    }
    let mut codes: Vec<&str> = checked.diagnostics.iter().chain(&planned.diagnostics).map(|d| d.code).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn mutations(which in any::<prop::sample::Index>(), cuts in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..30, 0_usize..4), 1..4)) {
        let programs = programs();
        let mut text = which.get(&programs).clone();
        for (at, len, how) in cuts {
            if text.is_empty() {
                break;
            }
            let from = floor(&text, at.index(text.len()));
            let to = floor(&text, from + len).max(from);
            let part = text[from..to].to_owned();
            match how {
                0 => text.replace_range(from..to, ""),
                1 => text.insert_str(from, &part),
                2 => text.push_str(&part),
                _ => text.insert_str(from, " platform "),
            }
        }
        codes(&text);
    }
}

#[test]
fn deep_and_long() {
    let repeated = |open: &str, middle: &str, close: &str, n: usize| {
        format!("output a = {}{middle}{}\n", open.repeat(n), close.repeat(n))
    };
    for n in [100, 250, 300, 10_000] {
        for (open, middle, close) in
            [("[", "1", "]"), ("(", "1", ")"), ("!", "true", ""), ("-", "1", ""), ("{ a = ", "1", " }")]
        {
            codes(&repeated(open, middle, close, n));
        }
        codes(&format!("output a = 1{}\n", " + 1".repeat(n)));
        codes(&format!("output a = \"x\"{}\n", ".trim()".repeat(n)));
        codes(&format!("output a = {}1\n", "if true then 1 else ".repeat(n)));
        codes(&format!("output a = \"{}x{}\"\n", "\\{\"".repeat(n), "\"}".repeat(n)));
        codes(&format!(
            "image a {{ from = rootfs.scratch()\n if true {{ }} {} }}\noutput o = oci.archive(a)\n",
            "else if true { sh \"x\" { script = \"true\" } } ".repeat(n)
        ));
        codes(&format!("param a: {}Int{}\noutput o = 1\n", "List<".repeat(n), ">".repeat(n)));
        codes(&format!("param a: Int{}\noutput o = 1\n", "?".repeat(n)));
    }
}

#[test]
fn long_chains_of_items() {
    let forward = |n: usize| {
        let lets: Vec<String> = (0..n).map(|k| format!("let a{k} = a{}", k + 1)).collect();
        format!("{}\nlet a{n} = 1\noutput out = a0\n", lets.join("\n"))
    };
    assert_eq!(codes(&forward(5_000)), Vec::<&str>::new());
    let cycle = forward(5_000).replace("let a5000 = 1", "let a5000 = a0");
    assert_eq!(codes(&cycle), ["IMG1014"]);
}

#[test]
fn unreadable_programs() {
    assert_eq!(codes(&format!("// {}\noutput a = 1\n", "x".repeat(2 << 20))), ["IMG1001"]);
    let mut world = MapWorld::of("");
    world.files.insert("main.imgc".to_owned(), b"output a = \xff\n".to_vec());
    let checked = imgc_compiler::check(&world, "main.imgc");
    assert_eq!(checked.diagnostics[0].code, "IMG1001");
    let missing = imgc_compiler::plan(&world, "other.imgc");
    assert_eq!(missing.diagnostics[0].message, "`other.imgc` does not exist");
    assert_eq!(missing.diagnostics.len(), 1);
}
