//! The tree-sitter grammar of imgc, for editors and tools that read programs without the compiler. `grammar.js` says what
//! it is; `src/parser.c` is generated from it and committed, so that editors need neither node nor a generator.

use tree_sitter_language::LanguageFn;

#[expect(unsafe_code, reason = "the parser is generated as C")]
mod parser {
    unsafe extern "C" {
        pub(super) fn tree_sitter_imgc() -> *const ();
    }

    /// The parser's entry.
    // SAFETY: the function takes nothing and returns a pointer to a constant table, as `from_raw` asks.
    pub(super) const LANGUAGE: super::LanguageFn = unsafe { super::LanguageFn::from_raw(tree_sitter_imgc) };
}

/// The language, for `tree_sitter::Parser::set_language`.
pub const LANGUAGE: LanguageFn = parser::LANGUAGE;

/// What is coloured, and how.
pub const HIGHLIGHTS: &str = include_str!("../queries/highlights.scm");

/// What can be folded.
pub const FOLDS: &str = include_str!("../queries/folds.scm");

/// How far lines are indented.
pub const INDENTS: &str = include_str!("../queries/indents.scm");

/// Where other languages stand in a program: scripts.
pub const INJECTIONS: &str = include_str!("../queries/injections.scm");
