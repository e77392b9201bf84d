//! Programs that tests write, and what the compiler makes of them.

use std::sync::Arc;

use imgc_compiler::world::{Argument, Found, World, WorldError};
use imgc_compiler::{Diagnostic, Severity};
use imgc_plan::{Digest, DirRef, FileRef, Plan};

/// One module in memory, beside a file `f` and a directory `d`, whose content is what they are called.
struct Memory<'a>(&'a str);

impl World for Memory<'_> {
    fn module(&self, _: &str) -> Result<Arc<str>, WorldError> {
        Ok(Arc::from(self.0))
    }

    fn find(&self, path: &str) -> Result<Found, WorldError> {
        Ok(if path == "d" { Found::Dir } else { Found::File })
    }

    fn file(&self, path: &str) -> Result<FileRef, WorldError> {
        Ok(FileRef { path: path.to_owned(), digest: Digest::of(path.as_bytes()), mode: 0o644, size: 1 })
    }

    fn text(&self, path: &str) -> Result<Arc<str>, WorldError> {
        Ok(Arc::from(path))
    }

    fn dir(&self, path: &str, _: &[String]) -> Result<DirRef, WorldError> {
        let digest = Digest::of(path.as_bytes());
        Ok(DirRef {
            path: path.to_owned(),
            digest,
            ignore: Vec::new(),
            exact_modes: false,
            entries: Vec::new(),
            places: std::collections::BTreeMap::new(),
        })
    }

    fn argument(&self, _: &str) -> Option<Argument> {
        None
    }

    fn argument_names(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// The plan of a program that must be right.
pub(crate) fn plan(text: &str) -> Plan {
    try_plan(text).unwrap_or_else(|wrong| panic!("{wrong}\nin:\n{text}"))
}

/// The plan of a program, or what is wrong with it, in one line an error.
pub(crate) fn try_plan(text: &str) -> Result<Plan, String> {
    let planned = imgc_compiler::plan(&Memory(text), "main.imgc");
    let wrong = errors(&planned.diagnostics);
    planned.plan.ok_or(wrong)
}

/// The messages of errors.
pub(crate) fn errors(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
    errors.map(|error| format!("{}: {}", error.code, error.message)).collect::<Vec<_>>().join("\n")
}

/// An example of the standard library.
pub(crate) struct Example {
    /// `users.add`, and `users.add 2` for the second of an item.
    pub(crate) name: String,
    /// What its fence says after `imgc`.
    pub(crate) on: String,
    imports: Vec<String>,
    body: String,
}

impl Example {
    /// Every example, in order of the modules.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for module in imgc_compiler::reference::standard_library().modules {
            let prefix = module.prefix.unwrap_or_default();
            for item in &module.items {
                for (example, number) in item.examples.iter().zip(1..) {
                    let (imports, body): (Vec<_>, Vec<_>) =
                        example.text.lines().partition(|line| line.starts_with("import "));
                    let again = if number > 1 { format!(" {number}") } else { String::new() };
                    all.push(Self {
                        name: format!("{prefix}{}{again}", item.name),
                        on: example.on.clone(),
                        imports: imports.into_iter().map(str::to_owned).collect(),
                        body: body.join("\n").trim().to_owned(),
                    });
                }
            }
        }
        all
    }

    /// Whether it is a whole program, not statements of a body.
    pub(crate) fn is_program(&self) -> bool {
        self.on == "program"
    }

    /// The last line that uses a recipe.
    pub(crate) fn last_use(&self) -> &str {
        self.body.lines().rev().find(|line| line.starts_with("use ")).unwrap_or_default()
    }

    /// Itself as a program.
    pub(crate) fn program(&self) -> String {
        format!("{}\n{}\n", self.imports.join("\n"), self.body)
    }
}

/// A program with every given example in a recipe of its own, `e0` and so on, and what is to come after them.
pub(crate) fn recipes(examples: &[&Example], on: &str, rest: impl Fn(usize, &Example) -> String) -> String {
    let imports: std::collections::BTreeSet<&str> =
        examples.iter().flat_map(|example| &example.imports).map(String::as_str).collect();
    let mut program: String = imports.iter().map(|import| format!("{import}\n")).collect();
    for (number, example) in examples.iter().enumerate() {
        program.push_str(&format!("\nrecipe e{number}() on {on} {{\n{}\n}}\n", example.body));
        program.push_str(&rest(number, example));
    }
    program
}
