//! Random edits of programs: what was kept never shows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use imgc_compiler::analysis::{Analysis, Memo};
use imgc_compiler::{ModuleId, Severity, parse};

use crate::large::never;
use crate::random::Random;
use crate::workspace;
use crate::world::Texts;

/// How many edits without `IMGC_EDITS`, and for how long at most.
const SHARE: usize = 1_000;
const TIME: Duration = Duration::from_secs(25);

/// Texts that edits put in.
const SNIPPETS: [&str; 26] = [
    "let x0 = 1\n",
    "pub let x1: String = \"a\\{1}\"\n",
    "param size: Size = 8GiB\n",
    "recipe r0(n: Int = 1) on linux/* { sh \"a\" { script = \"echo \\{n}\" } }\n",
    "image i0 { from = rootfs.scratch() use r0(n: 2) }\n",
    "enum E0 { a, b(n: Int) }\n",
    "record R0 { a: Int b: E0 = a }\n",
    "fn f0(a: Int) -> Int = a + 1\n",
    "let c0 = c1\nlet c1 = c0\n",
    "output o0 = x0\n",
    "import std.users\n",
    "import \"./lib/common.imgc\" as other\n",
    "import \"./part000.imgc\"\n",
    "/// docs\n",
    "// note\n",
    "@deprecated(\"use x1\")\n",
    "pub ",
    "{",
    "}",
    "\"",
    "(",
    " = ",
    "x0",
    "0o755",
    "420",
    ".name",
];

/// The packages of the examples, and generated ones.
fn packages() -> Vec<(String, BTreeMap<String, String>)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut found =
        vec![("generated".to_owned(), workspace::generate(6, 300)), ("small".to_owned(), workspace::generate(3, 60))];
    let mut open = vec![root.clone()];
    while let Some(folder) = open.pop() {
        if folder.join("main.imgc").exists() {
            let mut files = BTreeMap::new();
            read(&folder, "", &mut files);
            found.push((folder.strip_prefix(&root).unwrap().display().to_string(), files));
            continue;
        }
        open.extend(std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()));
    }
    found.sort();
    found
}

fn read(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            read(&entry.path(), &format!("{path}/"), files);
        } else if let Ok(text) = std::fs::read_to_string(entry.path()) {
            files.insert(path, text);
        }
    }
}

/// A character boundary of a text.
fn boundary(text: &str, random: &mut Random) -> usize {
    let at = random.below(text.len() + 1);
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The range of a word of a text.
fn word(text: &str, random: &mut Random) -> (usize, usize) {
    let is_word = |c: char| c == '_' || c.is_ascii_alphanumeric();
    let from = boundary(text, random);
    let start = text[from..].find(is_word).map_or(text.len(), |at| from + at);
    let end = text[start..].find(|c| !is_word(c)).map_or(text.len(), |at| start + at);
    (start, end)
}

/// One edit of a text, with words of another.
fn edited(text: &str, other: &str, random: &mut Random) -> String {
    let mut text = text.to_owned();
    match random.below(9) {
        0 => text.insert_str(boundary(&text, random), random.pick(&SNIPPETS)),
        1 => {
            let lines: Vec<usize> = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
            text.insert_str(random.pick(&lines), random.pick(&SNIPPETS));
        }
        2 => {
            let (start, end) = word(&text, random);
            text.replace_range(start..end, "");
        }
        3 | 4 => {
            let ((start, end), (from, to)) = (word(&text, random), word(other, random));
            text.replace_range(start..end, &other[from..to]);
        }
        5 => {
            let start = boundary(&text, random);
            let end = (start + 1 + random.below(40)).min(text.len());
            let end = (start..=end).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(start);
            text.replace_range(start..end, "");
        }
        6 => {
            let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
            let (a, b) = (random.below(lines.len()), random.below(lines.len()));
            if a < lines.len() && b < lines.len() {
                lines.swap(a, b);
            }
            text = lines.concat();
        }
        7 => {
            let digit = text.char_indices().filter(|(_, c)| c.is_ascii_digit()).map(|(at, _)| at).collect::<Vec<_>>();
            if !digit.is_empty() {
                let at = random.pick(&digit);
                text.replace_range(at..=at, random.pick(&["1", "7", "42"]));
            }
        }
        _ => {
            let line =
                text.split_inclusive('\n').nth(random.below(text.lines().count())).unwrap_or_default().to_owned();
            text.insert_str(0, &line);
        }
    }
    text
}

fn assert_same(kept: &Analysis, scratch: &Analysis, what: &str, world: &Texts) {
    if kept == scratch {
        return;
    }
    for path in scratch.paths() {
        assert_eq!(kept.diagnostics(path), scratch.diagnostics(path), "{what}: {path}\n{}", texts(world));
    }
    panic!("{what}: the same diagnostics, but other names, items or indexes\n{}", texts(world));
}

fn texts(world: &Texts) -> String {
    let modules = world.files.iter().filter(|(path, _)| path.contains(".imgc"));
    modules.map(|(path, text)| format!("--- {path}\n{text}")).collect::<Vec<_>>().join("\n")
}

/// Several edits one after the other in one package; a text is put back when it has been edited a few times, so that
/// most of what is analysed has few errors.
fn run(name: &str, files: &BTreeMap<String, String>, random: &mut Random, edits: usize) {
    let mut world = Texts::new(files.clone());
    let (memo, modules) = (Memo::default(), world.modules());
    memo.analyse(&world, &modules, &never).unwrap();
    let mut good: BTreeMap<String, Arc<str>> = world.files.clone();
    for edit in 0..edits {
        let path = &modules[random.below(modules.len())];
        let other = &modules[random.below(modules.len())];
        let text = match random.below(6) {
            0 => files[path].clone(),
            _ => edited(&world.files[path], &world.files[other], random),
        };
        world.files.insert(path.clone(), Arc::from(text));
        let kept = memo.analyse(&world, &modules, &never).unwrap();
        let scratch = from_scratch(&world, &modules, &mut good, path);
        assert_same(&kept, &scratch, &format!("{name}, edit {edit} of {path}"), &world);
    }
}

/// What is known of a package by one who has seen nothing of it but the last good version of each broken file.
fn from_scratch(world: &Texts, modules: &[String], good: &mut BTreeMap<String, Arc<str>>, edited: &str) -> Analysis {
    let memo = Memo::default();
    let text = &world.files[edited];
    let broken = parse::parse(text, ModuleId::default()).diagnostics.iter().any(|d| d.severity == Severity::Error);
    if !broken {
        good.insert(edited.to_owned(), text.clone());
    }
    if *good != world.files {
        let before = Texts { files: good.clone(), ..Texts::default() };
        memo.analyse(&before, modules, &never).unwrap();
    }
    memo.analyse(world, modules, &never).unwrap()
}

#[test]
fn random_edits() {
    let wanted = std::env::var("IMGC_EDITS").ok().and_then(|edits| edits.parse().ok());
    let (edits, packages) = (wanted.unwrap_or(SHARE), packages());
    let seed = std::env::var("IMGC_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(6);
    let (mut random, begin, mut done) = (Random(seed), Instant::now(), 0);
    while done < edits && (wanted.is_some() || begin.elapsed() < TIME) {
        let (name, files) = &packages[random.below(packages.len())];
        let some = 25.min(edits - done);
        run(name, files, &mut random, some);
        done += some;
    }
    println!("{done} random edits in {} packages, seed {seed}, in {:?}", packages.len(), begin.elapsed());
    assert!(done >= 50, "only {done} edits in {TIME:?}");
}

#[test]
fn what_was_cancelled_leaves_nothing_wrong() {
    let mut world = Texts::new(workspace::generate(4, 200));
    let (memo, modules) = (Memo::default(), world.modules());
    let mut cancelled = 0;
    for round in 0..12 {
        let path = workspace::path(round % 2);
        let text = world.files[&path].replacen("1024", &format!("{}", 1025 + round), 1) + "let extra = 1\n";
        world.files.insert(path.clone(), Arc::from(text));
        let asked = std::cell::Cell::new(0);
        let stop = || {
            asked.set(asked.get() + 1);
            asked.get() > round * 3
        };
        cancelled += usize::from(memo.analyse(&world, &modules, &stop).is_err());
        let kept = memo.analyse(&world, &modules, &never).unwrap();
        let scratch = Memo::default().analyse(&world, &modules, &never).unwrap();
        assert_same(&kept, &scratch, &format!("after {} questions", asked.get()), &world);
    }
    assert!(cancelled > 5, "{cancelled} of 12 were cancelled");
}
