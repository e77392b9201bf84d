//! The standard library: modules that are part of the binary.

use std::sync::{Arc, OnceLock};

use crate::ast;
use crate::diagnostic::Diagnostic;
use crate::parse;
use crate::sources::Source;
use crate::span::ModuleId;

/// The module whose exported items need no import and no prefix.
pub(crate) const PRELUDE: &str = "prelude";

/// Each module, after those whose items it uses. All but the prelude are reached by their name.
const TEXTS: [(&str, &str); 7] = [
    (PRELUDE, include_str!("../../stdlib/prelude.imgc")),
    ("rootfs", include_str!("../../stdlib/rootfs.imgc")),
    ("oci", include_str!("../../stdlib/oci.imgc")),
    ("disk", include_str!("../../stdlib/disk.imgc")),
    ("apt", include_str!("../../stdlib/apt.imgc")),
    ("net", include_str!("../../stdlib/net.imgc")),
    ("ssh", include_str!("../../stdlib/ssh.imgc")),
];

/// A parsed module of the standard library.
#[derive(Debug)]
pub(crate) struct StdModule {
    /// `apt`.
    pub(crate) name: &'static str,
    pub(crate) source: Source,
    pub(crate) tree: Arc<ast::Module>,
    /// None in any binary that was tested.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// Every module, each after those it uses. Parsed once a process.
pub(crate) fn modules() -> &'static [StdModule] {
    static MODULES: OnceLock<Vec<StdModule>> = OnceLock::new();
    MODULES.get_or_init(|| TEXTS.iter().map(|(name, text)| parse_module(name, text)).collect())
}

fn parse_module(name: &'static str, text: &'static str) -> StdModule {
    let parsed = parse::parse(text, ModuleId::default());
    let path = Arc::from(format!("std/{name}.imgc"));
    StdModule {
        name,
        source: Source::new(path, Arc::from(text), &parsed.module.starts),
        tree: Arc::new(parsed.module),
        diagnostics: parsed.diagnostics,
    }
}
