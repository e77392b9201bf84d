//! Which request goes where: the one list of all of them.

use serde_json::Value;

use crate::handlers::{
    Answer, Ask, Failure, actions, calls, completion, diagnostics, info, layout, lenses, places, rename, standard,
    symbols, tokens,
};
use crate::lsp;
use crate::pool::Priority;

/// What becomes of a request whose text is changed before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenOutdated {
    /// It is asked again of the new text: the user waits for it while typing.
    Retry,
    /// The client hears that the content was modified, and asks again if it still cares.
    Tell,
    /// The client hears that the server has given up and is asked to ask again.
    AskAgain,
    /// It depends on no text.
    Never,
}

/// How a method is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) priority: Priority,
    pub(crate) when_outdated: WhenOutdated,
}

/// The policy of a method; none for one that nobody knows.
pub(crate) fn policy(method: &str) -> Option<Policy> {
    let (priority, when_outdated) = match method {
        "textDocument/completion" | "completionItem/resolve" | "textDocument/hover" | "textDocument/signatureHelp" => {
            (Priority::Typing, WhenOutdated::Retry)
        }
        "textDocument/onTypeFormatting" | "textDocument/formatting" => (Priority::Typing, WhenOutdated::Tell),
        "imgc/stdText" | "workspace/textDocumentContent" => (Priority::Normal, WhenOutdated::Never),
        "textDocument/diagnostic" | "workspace/diagnostic" => (Priority::Normal, WhenOutdated::AskAgain),
        "textDocument/definition"
        | "textDocument/declaration"
        | "textDocument/typeDefinition"
        | "textDocument/references"
        | "textDocument/documentHighlight"
        | "textDocument/prepareRename"
        | "textDocument/rename"
        | "textDocument/documentSymbol"
        | "workspace/symbol"
        | "textDocument/semanticTokens/full"
        | "textDocument/semanticTokens/range"
        | "textDocument/semanticTokens/full/delta"
        | "textDocument/inlayHint"
        | "textDocument/codeAction"
        | "textDocument/rangeFormatting"
        | "textDocument/foldingRange"
        | "textDocument/selectionRange"
        | "textDocument/documentLink"
        | "textDocument/prepareCallHierarchy"
        | "callHierarchy/incomingCalls"
        | "callHierarchy/outgoingCalls"
        | "textDocument/codeLens"
        | "workspace/willRenameFiles" => (Priority::Normal, WhenOutdated::Tell),
        _ => return None,
    };
    Some(Policy { priority, when_outdated })
}

/// Answers a request that [`policy`] knows.
pub(crate) fn answer(method: &str, ask: &Ask, params: Value) -> Answer<Value> {
    match method {
        "textDocument/completion" => run::<lsp::CompletionRequest>(ask, params, completion::complete),
        "completionItem/resolve" => run::<lsp::CompletionResolveRequest>(ask, params, completion::resolve),
        "textDocument/hover" => run::<lsp::HoverRequest>(ask, params, info::hover),
        "textDocument/signatureHelp" => run::<lsp::SignatureHelpRequest>(ask, params, info::signature),
        "textDocument/documentHighlight" => run::<lsp::DocumentHighlightRequest>(ask, params, info::highlights),
        "textDocument/inlayHint" => run::<lsp::InlayHintRequest>(ask, params, info::hints),
        "textDocument/definition" => run::<lsp::DefinitionRequest>(ask, params, places::definition),
        "textDocument/declaration" => run::<lsp::DeclarationRequest>(ask, params, places::declaration),
        "textDocument/typeDefinition" => run::<lsp::TypeDefinitionRequest>(ask, params, places::type_definition),
        "textDocument/references" => run::<lsp::ReferencesRequest>(ask, params, places::references),
        "textDocument/documentLink" => run::<lsp::DocumentLinkRequest>(ask, params, places::links),
        "textDocument/prepareRename" => run::<lsp::PrepareRenameRequest>(ask, params, rename::prepare),
        "textDocument/rename" => run::<lsp::RenameRequest>(ask, params, rename::rename),
        "workspace/willRenameFiles" => run::<lsp::WillRenameFilesRequest>(ask, params, rename::files),
        "textDocument/documentSymbol" => run::<lsp::DocumentSymbolRequest>(ask, params, symbols::document),
        "workspace/symbol" => run::<lsp::WorkspaceSymbolRequest>(ask, params, symbols::workspace),
        "textDocument/semanticTokens/full" => run::<lsp::SemanticTokensRequest>(ask, params, tokens::full),
        "textDocument/semanticTokens/range" => run::<lsp::SemanticTokensRangeRequest>(ask, params, tokens::range),
        "textDocument/semanticTokens/full/delta" => run::<lsp::SemanticTokensDeltaRequest>(ask, params, tokens::delta),
        "textDocument/codeAction" => run::<lsp::CodeActionRequest>(ask, params, actions::actions),
        "textDocument/formatting" => run::<lsp::DocumentFormattingRequest>(ask, params, layout::document),
        "textDocument/rangeFormatting" => run::<lsp::DocumentRangeFormattingRequest>(ask, params, layout::range),
        "textDocument/onTypeFormatting" => run::<lsp::DocumentOnTypeFormattingRequest>(ask, params, layout::on_type),
        "textDocument/foldingRange" => run::<lsp::FoldingRangeRequest>(ask, params, layout::folds),
        "textDocument/selectionRange" => run::<lsp::SelectionRangeRequest>(ask, params, layout::selections),
        "textDocument/prepareCallHierarchy" => run::<lsp::CallHierarchyPrepareRequest>(ask, params, calls::prepare),
        "callHierarchy/incomingCalls" => run::<lsp::CallHierarchyIncomingCallsRequest>(ask, params, calls::incoming),
        "callHierarchy/outgoingCalls" => run::<lsp::CallHierarchyOutgoingCallsRequest>(ask, params, calls::outgoing),
        "textDocument/codeLens" => run::<lsp::CodeLensRequest>(ask, params, lenses::lenses),
        "textDocument/diagnostic" => run::<lsp::DocumentDiagnosticRequest>(ask, params, diagnostics::document),
        "workspace/diagnostic" => run::<lsp::WorkspaceDiagnosticRequest>(ask, params, diagnostics::workspace),
        "imgc/stdText" => run::<standard::StdText>(ask, params, standard::text),
        "workspace/textDocumentContent" => run::<lsp::TextDocumentContentRequest>(ask, params, standard::content),
        _ => Err(Failure::Invalid(format!("no handler for `{method}`"))),
    }
}

fn run<R: lsp::Request>(ask: &Ask, params: Value, handler: fn(&Ask, &R::Params) -> Answer<R::Result>) -> Answer<Value> {
    let params = serde_json::from_value(params)
        .map_err(|error| Failure::Invalid(format!("the parameters are not those of `{}`: {error}", R::METHOD)))?;
    let result = handler(ask, &params)?;
    serde_json::to_value(result).map_err(|error| Failure::Refused(format!("the answer cannot be written: {error}")))
}

/// The text that a request is about, wherever it names it.
pub(crate) fn uri(params: &Value) -> Option<&str> {
    ["/textDocument/uri", "/item/uri", "/data/uri"].iter().find_map(|path| params.pointer(path)?.as_str())
}
