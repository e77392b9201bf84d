//! What the client is able to do: every answer that depends on an ability asks here, so that a client with few of them
//! gets simpler answers and never ones that it cannot read.

use gen_lsp_types as lsp;
use serde_json::Value;

use crate::lines::Encoding;

/// Abilities of the client. All false is the oldest client there is.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "the protocol has as many switches")]
pub(crate) struct Client {
    /// How it counts characters.
    pub(crate) encoding: Encoding,
    /// It asks for diagnostics, so that none are sent unasked.
    pub(crate) pull: bool,
    /// It asks again when told to.
    pub(crate) refresh_diagnostics: bool,
    /// As above, for code lenses.
    pub(crate) refresh_lenses: bool,
    /// As above, for inlay hints.
    pub(crate) refresh_hints: bool,
    /// As above, for semantic tokens.
    pub(crate) refresh_tokens: bool,
    /// It shows further places with a diagnostic.
    pub(crate) related: bool,
    /// It fades and strikes through.
    pub(crate) tags: bool,
    /// It shows a link with a code.
    pub(crate) code_description: bool,
    /// It fills in snippets.
    pub(crate) snippets: bool,
    /// It shows documentation as Markdown: of a hover, of a completion, of a signature.
    pub(crate) markdown: [bool; 3],
    /// Documentation of completion items may come later.
    pub(crate) resolve_docs: bool,
    /// Tag of outdated completion items.
    pub(crate) completion_tags: bool,
    /// Labels of parameters may be offsets.
    pub(crate) label_offsets: bool,
    /// Definitions may be links with their origin: definition, declaration, type definition.
    pub(crate) links: [bool; 3],
    /// Symbols may be a tree.
    pub(crate) symbol_tree: bool,
    /// Code actions may be more than commands.
    pub(crate) action_literals: bool,
    /// Edits may name the version that they count in.
    pub(crate) versioned_edits: bool,
    /// Folds are whole lines.
    pub(crate) line_folds: bool,
    /// It lets the server name the files that it wants to hear of.
    pub(crate) watches: bool,
    /// It shows progress.
    pub(crate) progress: bool,
    /// It shows texts of the standard library by their own scheme.
    pub(crate) std_documents: bool,
}

/// One of the places that documentation is shown at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Hover = 0,
    Completion = 1,
    Signature = 2,
}

/// One of the questions that lead somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leads {
    Definition = 0,
    Declaration = 1,
    TypeDefinition = 2,
}

impl Client {
    /// Reads what the client says of itself.
    ///
    /// Abilities are looked up in the JSON: one that is written in an unknown way counts as absent and costs nothing else.
    pub(crate) fn new(params: &Value) -> Self {
        let at = |path: &str| params.pointer(path).unwrap_or(&Value::Null);
        let text = |path: &str| at(&format!("/capabilities/textDocument/{path}"));
        let workspace = |path: &str| at(&format!("/capabilities/workspace/{path}"));
        let yes = |value: &Value| value.as_bool().unwrap_or(false);
        let lists = |value: &Value, word: &str| {
            value.as_array().is_some_and(|all| all.iter().any(|one| one.as_str() == Some(word)))
        };
        let utf8 = lists(at("/capabilities/general/positionEncodings"), "utf-8");
        let item = "completion/completionItem";
        Self {
            encoding: if utf8 { Encoding::Utf8 } else { Encoding::Utf16 },
            pull: text("diagnostic").is_object(),
            refresh_diagnostics: yes(workspace("diagnostics/refreshSupport")),
            refresh_lenses: yes(workspace("codeLens/refreshSupport")),
            refresh_hints: yes(workspace("inlayHint/refreshSupport")),
            refresh_tokens: yes(workspace("semanticTokens/refreshSupport")),
            related: yes(text("publishDiagnostics/relatedInformation")) || yes(text("diagnostic/relatedInformation")),
            tags: text("publishDiagnostics/tagSupport").is_object() || text("diagnostic/tagSupport").is_object(),
            code_description: yes(text("publishDiagnostics/codeDescriptionSupport"))
                || yes(text("diagnostic/codeDescriptionSupport")),
            snippets: yes(text(&format!("{item}/snippetSupport"))),
            markdown: [
                lists(text("hover/contentFormat"), "markdown"),
                lists(text(&format!("{item}/documentationFormat")), "markdown"),
                lists(text("signatureHelp/signatureInformation/documentationFormat"), "markdown"),
            ],
            resolve_docs: lists(text(&format!("{item}/resolveSupport/properties")), "documentation"),
            completion_tags: text(&format!("{item}/tagSupport")).is_object(),
            label_offsets: yes(text("signatureHelp/signatureInformation/parameterInformation/labelOffsetSupport")),
            links: ["definition", "declaration", "typeDefinition"].map(|of| yes(text(&format!("{of}/linkSupport")))),
            symbol_tree: yes(text("documentSymbol/hierarchicalDocumentSymbolSupport")),
            action_literals: text("codeAction/codeActionLiteralSupport").is_object(),
            versioned_edits: yes(workspace("workspaceEdit/documentChanges")),
            line_folds: yes(text("foldingRange/lineFoldingOnly")),
            watches: yes(workspace("didChangeWatchedFiles/dynamicRegistration")),
            progress: yes(at("/capabilities/window/workDoneProgress")),
            std_documents: workspace("textDocumentContent").is_object()
                || yes(at("/initializationOptions/stdDocuments"))
                || yes(at("/capabilities/experimental/imgcStdDocuments")),
        }
    }

    /// Documentation in the form that the client shows there.
    pub(crate) fn documentation(&self, at: Shown, markdown: &str) -> Option<lsp::Documentation> {
        (!markdown.is_empty()).then(|| self.markup(at, markdown).into())
    }

    /// As [`Client::documentation`], for a text that is not empty.
    pub(crate) fn markup(&self, at: Shown, markdown: &str) -> lsp::MarkupContent {
        // Markdown is readable as it is, except for the fences of code.
        if self.markdown.get(at as usize) == Some(&true) {
            return lsp::MarkupContent { kind: lsp::MarkupKind::Markdown, value: markdown.to_owned() };
        }
        let lines: Vec<_> = markdown.lines().filter(|line| !line.starts_with("```")).collect();
        lsp::MarkupContent {
            kind: lsp::MarkupKind::PlainText,
            value: lines.join(
                "
",
            ),
        }
    }

    /// Whether the answer to a question may be links.
    pub(crate) fn links(&self, of: Leads) -> bool {
        self.links.get(of as usize).copied().unwrap_or(false)
    }
}

/// The folders that the client has opened, as it names them.
pub(crate) fn folders(params: &Value) -> Vec<String> {
    let uri = |folder: &Value| folder.get("uri").and_then(Value::as_str).map(str::to_owned);
    match params.get("workspaceFolders").and_then(Value::as_array) {
        Some(folders) => folders.iter().filter_map(uri).collect(),
        None => params.get("rootUri").and_then(Value::as_str).map(str::to_owned).into_iter().collect(),
    }
}
