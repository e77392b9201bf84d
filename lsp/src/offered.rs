//! What the server is able to do, as it tells the client.

use gen_lsp_types as lsp;

use crate::client::Client;
use crate::handlers::tokens;
use crate::lines::Encoding;
use crate::uri::STD;

/// Characters after which completion is asked for without a key being pressed.
const COMPLETION: [&str; 8] = [".", "\"", "/", " ", ":", "=", "(", "@"];

/// Every ability of this server.
pub(crate) fn abilities(client: &Client) -> lsp::ServerCapabilities {
    let words = |all: &[&str]| Some(all.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    lsp::ServerCapabilities {
        position_encoding: Some(match client.encoding {
            Encoding::Utf8 => lsp::PositionEncodingKind::UTF8,
            Encoding::Utf16 => lsp::PositionEncodingKind::UTF16,
        }),
        text_document_sync: Some(lsp::TextDocumentSync::Options(lsp::TextDocumentSyncOptions {
            open_close: Some(true),
            change: Some(lsp::TextDocumentSyncKind::Incremental),
            save: Some(lsp::Save::Bool(true)),
            ..Default::default()
        })),
        completion_provider: Some(lsp::CompletionOptions {
            trigger_characters: words(&COMPLETION),
            resolve_provider: Some(true),
            ..Default::default()
        }),
        hover_provider: Some(true.into()),
        signature_help_provider: Some(lsp::SignatureHelpOptions {
            trigger_characters: words(&["(", "{"]),
            retrigger_characters: words(&[",", "="]),
            ..Default::default()
        }),
        declaration_provider: Some(true.into()),
        definition_provider: Some(true.into()),
        type_definition_provider: Some(true.into()),
        references_provider: Some(true.into()),
        document_highlight_provider: Some(true.into()),
        document_symbol_provider: Some(true.into()),
        code_action_provider: Some(lsp::CodeActionProvider::CodeActionOptions(actions())),
        code_lens_provider: Some(lsp::CodeLensOptions::default()),
        document_link_provider: Some(lsp::DocumentLinkOptions::default()),
        workspace_symbol_provider: Some(true.into()),
        document_formatting_provider: Some(true.into()),
        document_range_formatting_provider: Some(true.into()),
        document_on_type_formatting_provider: Some(lsp::DocumentOnTypeFormattingOptions {
            first_trigger_character: "\n".to_owned(),
            more_trigger_character: words(&["}", "]", ")"]),
        }),
        rename_provider: Some(lsp::RenameProvider::RenameOptions(lsp::RenameOptions {
            prepare_provider: Some(true),
            ..Default::default()
        })),
        folding_range_provider: Some(true.into()),
        selection_range_provider: Some(true.into()),
        call_hierarchy_provider: Some(true.into()),
        semantic_tokens_provider: Some(lsp::SemanticTokensProvider::SemanticTokensOptions(tokens::options())),
        inlay_hint_provider: Some(true.into()),
        diagnostic_provider: Some(lsp::DiagnosticProvider::DiagnosticOptions(lsp::DiagnosticOptions {
            identifier: Some("imgc".to_owned()),
            inter_file_dependencies: true,
            workspace_diagnostics: true,
            ..Default::default()
        })),
        workspace: Some(workspace()),
        ..Default::default()
    }
}

fn actions() -> lsp::CodeActionOptions {
    lsp::CodeActionOptions {
        code_action_kinds: Some(vec![
            lsp::CodeActionKind::QuickFix,
            lsp::CodeActionKind::RefactorExtract,
            lsp::CodeActionKind::RefactorInline,
            lsp::CodeActionKind::RefactorRewrite,
            lsp::CodeActionKind::SourceFixAll,
            lsp::CodeActionKind::SourceOrganizeImports,
        ]),
        ..Default::default()
    }
}

fn workspace() -> lsp::WorkspaceOptions {
    let modules = ["**/*.imgc", "**/"].map(|glob| lsp::FileOperationFilter {
        scheme: Some("file".to_owned()),
        pattern: lsp::FileOperationPattern { glob: glob.to_owned(), ..Default::default() },
    });
    lsp::WorkspaceOptions {
        workspace_folders: Some(lsp::WorkspaceFoldersServerCapabilities {
            supported: Some(true),
            change_notifications: Some(lsp::ChangeNotifications::Bool(true)),
        }),
        file_operations: Some(lsp::FileOperationOptions {
            will_rename: Some(lsp::FileOperationRegistrationOptions { filters: modules.to_vec() }),
            ..Default::default()
        }),
        text_document_content: Some(lsp::TextDocumentContent::Options(lsp::TextDocumentContentOptions {
            schemes: vec![STD.to_owned()],
        })),
    }
}
