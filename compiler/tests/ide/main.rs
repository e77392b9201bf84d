//! What an editor asks of a module's meaning: each answer is used to go on.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and its helpers count as part of it"
)]

mod actions;
mod calls;
mod complete;
mod corpus;
mod hints;
mod names;
mod rename;
mod typing;
#[path = "../it/world.rs"]
mod world;

use std::sync::LazyLock;

use imgc_compiler::analysis::{Analysis, Memo};
use imgc_compiler::ide::{Completion, FileEdit, TextEdit};
use imgc_compiler::{Severity, ide};

use world::MapWorld;

/// What is kept between the analyses of this process.
static MEMO: LazyLock<Memo> = LazyLock::new(Memo::default);

/// A package whose first module has a cursor, written `$0`.
struct Package {
    world: MapWorld,
    path: String,
    /// Where each cursor stands.
    cursors: Vec<usize>,
}

impl Package {
    /// Of one module.
    fn main(text: &str) -> Self {
        Self::new(&[("main.imgc", text)])
    }

    /// Of modules and files; the cursors are in the one that has `$0`.
    fn new(files: &[(&str, &str)]) -> Self {
        let mut package = Self { world: MapWorld::of(""), path: files[0].0.to_owned(), cursors: Vec::new() };
        for (path, text) in files {
            if text.contains("$0") {
                package.path = (*path).to_owned();
                let mut parts = text.split("$0");
                let mut plain = parts.next().unwrap().to_owned();
                for part in parts {
                    package.cursors.push(plain.len());
                    plain.push_str(part);
                }
                package.world.files.insert((*path).to_owned(), plain.into_bytes());
            } else {
                package.world.files.insert((*path).to_owned(), text.as_bytes().to_vec());
            }
        }
        package
    }

    fn cursor(&self) -> usize {
        self.cursors[0]
    }

    fn text(&self, path: &str) -> String {
        String::from_utf8(self.world.files[path].clone()).unwrap()
    }

    fn analysis(&self) -> Analysis {
        let entries: Vec<String> =
            self.world.files.keys().filter(|path| path.strip_suffix(".imgc").is_some()).cloned().collect();
        // Other packages have files of the same name: what was kept of them is forgotten, but not the standard library.
        MEMO.analyse(&self.world, &[], &|| false).unwrap();
        MEMO.analyse(&self.world, &entries, &|| false).unwrap()
    }

    /// The package with edits done.
    fn with(&self, edits: &[FileEdit]) -> Self {
        let mut world = self.world.clone();
        for file in edits {
            let text = edited(&self.text(&file.path), &file.edits);
            world.files.insert(file.path.clone(), text.into_bytes());
        }
        Self { world, path: self.path.clone(), cursors: self.cursors.clone() }
    }

    /// The errors of all modules.
    fn errors(&self) -> Vec<String> {
        let analysis = self.analysis();
        let of = |path: &str| analysis.diagnostics(path).to_vec();
        let all = analysis.paths().flat_map(of).filter(|d| d.severity == Severity::Error);
        all.map(|d| format!("{} {}", d.code, d.message)).collect()
    }

    fn complete(&self) -> Vec<Completion> {
        ide::completion(&self.analysis(), &self.world, &self.path, self.cursor())
    }

    /// The package with one of the completions written.
    fn completed(&self, label: &str) -> Self {
        let all = self.complete();
        let labels: Vec<&str> = all.iter().map(|c| &*c.label).collect();
        let chosen = all.iter().find(|c| c.label == label).unwrap_or_else(|| panic!("no {label} in {labels:?}"));
        let mut edits = chosen.more.clone();
        edits.push(TextEdit { range: chosen.replace.clone(), text: chosen.text.clone() });
        edits.sort_by_key(|edit| edit.range.start);
        self.with(&[FileEdit { path: self.path.clone(), edits }])
    }

    fn main_text(&self) -> String {
        self.text(&self.path)
    }
}

/// A text with its edits done.
fn edited(text: &str, edits: &[TextEdit]) -> String {
    let mut result = String::new();
    let mut end = 0;
    for edit in edits {
        assert!(edit.range.start >= end, "edits in order, without overlap: {edits:?}");
        result.push_str(&text[end..edit.range.start]);
        result.push_str(&edit.text);
        end = edit.range.end;
    }
    result + &text[end..]
}

fn labels(all: &[Completion]) -> Vec<&str> {
    all.iter().map(|completion| &*completion.label).collect()
}

/// A program that has no error.
const WEB: &str = r#"/// Root disk of the image.
param root_size: Size = 4GiB where root_size in 2GiB..=64GiB
param motd: String = "hello"

/// Where pages are.
let pages = "/var/www/html"

recipe page(name: String, body: String) on linux/* {
  write "page" {
    dest = "\{pages}/\{name}"
    text = body
  }
}

image web {
  from = rootfs.debian(suite: "bookworm")

  use page("index.html", motd)
}

output container = oci.archive(web)
output vm = disk.image(web, size: root_size, format: qcow2, boot: uefi)
"#;
