//! The standard library: modules that are part of the binary.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use crate::ast;
use crate::diagnostic::Diagnostic;
use crate::parse;
use crate::sources::Source;
use crate::span::ModuleId;

/// The module whose exported items need no import and no prefix.
pub(crate) const PRELUDE: &str = "prelude";

/// Who has to import a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Nobody: its name is part of the prelude, so no program can define it.
    Everywhere,
    /// Whoever uses it: its name is one that programs like to give to things of their own.
    ByImport,
}

/// Each module, after those whose items it uses.
static TEXTS: [Text; 23] = [
    (PRELUDE, Reach::Everywhere, include_str!("../../stdlib/prelude.imgc")),
    ("rootfs", Reach::Everywhere, include_str!("../../stdlib/rootfs.imgc")),
    ("oci", Reach::Everywhere, include_str!("../../stdlib/oci.imgc")),
    ("disk", Reach::Everywhere, include_str!("../../stdlib/disk.imgc")),
    ("qemu", Reach::Everywhere, include_str!("../../stdlib/qemu.imgc")),
    ("docker", Reach::Everywhere, include_str!("../../stdlib/docker.imgc")),
    ("aws", Reach::Everywhere, include_str!("../../stdlib/aws.imgc")),
    ("apt", Reach::Everywhere, include_str!("../../stdlib/apt.imgc")),
    ("dnf", Reach::Everywhere, include_str!("../../stdlib/dnf.imgc")),
    ("apk", Reach::Everywhere, include_str!("../../stdlib/apk.imgc")),
    ("files", Reach::ByImport, include_str!("../../stdlib/files.imgc")),
    ("systemd", Reach::Everywhere, include_str!("../../stdlib/systemd.imgc")),
    ("net", Reach::Everywhere, include_str!("../../stdlib/net.imgc")),
    ("ssh", Reach::Everywhere, include_str!("../../stdlib/ssh.imgc")),
    ("groups", Reach::ByImport, include_str!("../../stdlib/groups.imgc")),
    ("users", Reach::ByImport, include_str!("../../stdlib/users.imgc")),
    ("hostname", Reach::ByImport, include_str!("../../stdlib/hostname.imgc")),
    ("locale", Reach::ByImport, include_str!("../../stdlib/locale.imgc")),
    ("timezone", Reach::ByImport, include_str!("../../stdlib/timezone.imgc")),
    ("sysctl", Reach::ByImport, include_str!("../../stdlib/sysctl.imgc")),
    ("kernel", Reach::ByImport, include_str!("../../stdlib/kernel.imgc")),
    ("cloud_init", Reach::ByImport, include_str!("../../stdlib/cloud_init.imgc")),
    ("seal", Reach::ByImport, include_str!("../../stdlib/seal.imgc")),
];

/// Whether a module's name has to be imported before it is used; false for what is no module.
pub(crate) fn is_by_import(name: &str) -> bool {
    TEXTS.iter().any(|(module, reach, _)| *module == name && *reach == Reach::ByImport)
}

/// The text of a module of the standard library, by its path: `std/apt.imgc`.
pub fn standard_module(path: &str) -> Option<&'static str> {
    let wanted = path.strip_prefix("std/")?.strip_suffix(".imgc")?;
    TEXTS.iter().find(|(name, ..)| *name == wanted).map(|(.., text)| *text)
}

/// A parsed module of the standard library.
#[derive(Debug)]
pub(crate) struct StdModule {
    /// `apt`.
    pub(crate) name: &'static str,
    pub(crate) source: Source,
    pub(crate) tree: Arc<ast::Module>,
    /// Positions of its items by name.
    pub(crate) items: Arc<HashMap<Arc<str>, u32>>,
    /// None in any binary that was tested.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// Each is parsed once a process, when it is first asked for.
static PARSED: [OnceLock<StdModule>; TEXTS.len()] = [const { OnceLock::new() }; TEXTS.len()];

/// How much of it a program gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Library {
    /// What the program names: to parse the rest would take longer than most programs do.
    Named,
    /// All of it, as editors and messages want it: what was meant may be something that the program does not name.
    Whole,
}

/// Every module, each after those it uses.
pub(crate) fn modules() -> impl Iterator<Item = &'static StdModule> {
    TEXTS.iter().zip(&PARSED).map(parsed)
}

/// The prelude and the modules that `texts`, or one of them, name: by word, so there may be more than are used.
pub(crate) fn named_in<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<&'static StdModule> {
    let mut unnamed: HashMap<&str, &str> = TEXTS.iter().map(|(name, _, text)| (*name, *text)).collect();
    let mut open: Vec<&str> = texts.chain([PRELUDE]).collect();
    while let Some(text) = open.pop() {
        // Comments name modules that the code below them does not use.
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let named: Vec<&str> = code.flat_map(words).filter_map(|word| unnamed.remove(word)).collect();
        open.extend(named);
    }
    TEXTS.iter().zip(&PARSED).filter(|((name, ..), _)| !unnamed.contains_key(name)).map(parsed).collect()
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| c != '_' && !c.is_ascii_alphanumeric())
}

type Text = (&'static str, Reach, &'static str);

fn parsed(((name, _, text), parsed): (&'static Text, &'static OnceLock<StdModule>)) -> &'static StdModule {
    parsed.get_or_init(|| parse_module(name, text))
}

fn parse_module(name: &'static str, text: &'static str) -> StdModule {
    let parsed = parse::parse(text, ModuleId::default());
    let path = Arc::from(format!("std/{name}.imgc"));
    let items = Arc::new(crate::modules::by_name(&parsed.module));
    StdModule {
        items,
        name,
        source: Source::new(path, Arc::from(text), &parsed.module.starts),
        tree: Arc::new(parsed.module),
        diagnostics: parsed.diagnostics,
    }
}
