//! Random edits of programs: what was kept never shows.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use imgc_compiler::analysis::{Analysis, Memo};
use imgc_compiler::{ModuleId, Severity, parse};

use crate::large::never;
use crate::random::Random;
use crate::workspace;
use crate::world::Texts;

/// How many edits without `IMGC_EDITS`; `make test-long` makes ten times as many.
const EDITS: usize = 1_000;

/// How many of them in one package, one after the other.
const RUN: usize = 50;

/// After how many edits plans are compared as well.
const PLANS: usize = 10;

/// The module that is planned.
const MAIN: &str = "main.imgc";

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

/// How often each thing was compared.
#[derive(Default)]
struct Compared {
    edits: usize,
    /// With an analysis for which the standard library was checked anew as well.
    whole: usize,
    /// There was one.
    plans: usize,
}

/// One package that is edited.
struct Edited<'f> {
    name: &'f str,
    files: &'f BTreeMap<String, String>,
    world: Texts,
    modules: Vec<String>,
    memo: Memo,
    /// The last good version of each file.
    good: BTreeMap<String, Arc<str>>,
}

impl<'f> Edited<'f> {
    fn new(name: &'f str, files: &'f BTreeMap<String, String>) -> Self {
        let world = Texts::new(files.clone());
        let (memo, modules, good) = (library().clone(), world.modules(), world.files.clone());
        memo.analyse(&world, &modules, &never).unwrap();
        Self { name, files, world, modules, memo, good }
    }

    /// Several edits one after the other; a text is put back when it has been edited a few times, so that most of what is
    /// analysed has few errors.
    fn run(&mut self, random: &mut Random, edits: usize, compared: &mut Compared) {
        for edit in 1..=edits {
            let path = self.modules[random.below(self.modules.len())].clone();
            let other = &self.modules[random.below(self.modules.len())];
            let text = match random.below(6) {
                0 => self.files[&path].clone(),
                _ => edited(&self.world.files[&path], &self.world.files[other], random),
            };
            self.world.files.insert(path.clone(), Arc::from(text));
            let what = format!("{}, edit {edit} of {path}", self.name);
            let kept = self.memo.analyse(&self.world, &self.modules, &never).unwrap();
            self.see_good(&path);
            assert_same(&kept, &self.anew(&library().clone()), &what, &self.world);
            compared.edits += 1;
            if edit == edits {
                assert_same(&kept, &self.anew(&Memo::default()), &what, &self.world);
                compared.whole += 1;
            }
            if edit % PLANS == 0 {
                let (known, scratch) = (kept.plan(&self.world, MAIN), imgc_compiler::plan(&self.world, MAIN).plan);
                assert!(known == scratch, "{what}: another plan\n{}", texts(&self.world));
                compared.plans += usize::from(scratch.is_some());
            }
        }
    }

    fn see_good(&mut self, path: &str) {
        let text = &self.world.files[path];
        let parsed = parse::parse(text, ModuleId::default());
        if parsed.diagnostics.iter().all(|diagnostic| diagnostic.severity != Severity::Error) {
            self.good.insert(path.to_owned(), text.clone());
        }
    }

    /// What is known of the package by one who has read nothing of it but the last good version of each broken file.
    fn anew(&self, memo: &Memo) -> Analysis {
        if self.good != self.world.files {
            let before = Texts { files: self.good.clone(), ..Texts::default() };
            let asked = Cell::new(0);
            // Asked once before the files are read, and then after.
            let is_read = || asked.replace(asked.get() + 1) > 0;
            assert!(memo.analyse(&before, &self.modules, &is_read).is_err());
        }
        memo.analyse(&self.world, &self.modules, &never).unwrap()
    }
}

/// What is known by one who has seen the standard library alone. To check that anew takes longer than all else.
fn library() -> &'static Memo {
    static LIBRARY: OnceLock<Memo> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let memo = Memo::default();
        memo.analyse(&Texts::default(), &[], &never).unwrap();
        memo
    })
}

/// A number of the environment.
fn number<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn random_edits() {
    let (packages, begin) = (packages(), Instant::now());
    let (edits, seed) = (number("IMGC_EDITS").unwrap_or(EDITS), number("IMGC_SEED").unwrap_or(6));
    let (mut random, mut compared) = (Random(seed), Compared::default());
    while compared.edits < edits {
        let (name, files) = &packages[random.below(packages.len())];
        Edited::new(name, files).run(&mut random, RUN.min(edits - compared.edits), &mut compared);
    }
    let Compared { edits, whole, plans } = compared;
    println!(
        "{edits} edits in {} packages, seed {seed}, {:?}: {plans} plans, {whole} whole",
        packages.len(),
        begin.elapsed()
    );
    assert!(plans * PLANS * 10 > edits, "only {plans} plans after {edits} edits");
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
        let asked = Cell::new(0);
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
