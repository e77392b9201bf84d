//! Changes of several modules, in the form that the client applies.

use std::collections::HashMap;

use imgc_compiler::analysis::Analysis;
use imgc_compiler::ide::FileEdit;

use crate::lsp;
use crate::snapshot::Snapshot;

/// A change of the modules of one package.
pub(crate) fn workspace_edit(snapshot: &Snapshot, analysis: &Analysis, files: Vec<FileEdit>) -> lsp::WorkspaceEdit {
    joined(snapshot.client.versioned_edits, converted(snapshot, analysis, files))
}

/// What is changed in one text.
pub(crate) struct Change {
    uri: lsp::Uri,
    version: Option<i32>,
    edits: Vec<lsp::TextEdit>,
}

/// Changes as the client counts; the standard library is nobody's to change.
pub(crate) fn converted(snapshot: &Snapshot, analysis: &Analysis, files: Vec<FileEdit>) -> Vec<Change> {
    let change = |file: FileEdit| {
        let text = snapshot.text(analysis, &file.path)?;
        let edit = |edit: imgc_compiler::ide::TextEdit| lsp::TextEdit {
            range: text.range(&edit.range, snapshot.client.encoding),
            new_text: edit.text,
        };
        let edits = file.edits.into_iter().map(edit).collect();
        Some(Change { uri: snapshot.uri(&file.path), version: snapshot.version(&file.path), edits })
    };
    files.into_iter().filter(|file| imgc_compiler::standard_module(&file.path).is_none()).filter_map(change).collect()
}

/// One change of all those texts.
pub(crate) fn joined(versioned: bool, changes: Vec<Change>) -> lsp::WorkspaceEdit {
    if !versioned {
        let changes: HashMap<_, _> = changes.into_iter().map(|change| (change.uri, change.edits)).collect();
        return lsp::WorkspaceEdit { changes: Some(changes), ..Default::default() };
    }
    let change = |change: Change| {
        lsp::DocumentChange::TextDocumentEdit(lsp::TextDocumentEdit {
            text_document: lsp::OptionalVersionedTextDocumentIdentifier {
                version: change.version,
                text_document_identifier: lsp::TextDocumentIdentifier { uri: change.uri },
            },
            edits: change.edits.into_iter().map(lsp::Edit::TextEdit).collect(),
        })
    };
    let changes = changes.into_iter().map(change).collect();
    lsp::WorkspaceEdit { document_changes: Some(changes), ..Default::default() }
}
