//! Renaming of names and of files.

use imgc_compiler::ide::{self, structure};

use super::{Answer, Ask, Failure, edits};
use crate::lsp;
use crate::uri;

pub(crate) fn prepare(ask: &Ask, params: &lsp::PrepareRenameParams) -> Answer<Option<lsp::PrepareRenameResult>> {
    let module = ask.module()?;
    let offset = module.offset(params.text_document_position_params.position);
    let (range, name) = ide::prepare_rename(&module.analysis, module.path, offset).map_err(Failure::Refused)?;
    let placeholder = lsp::PrepareRenamePlaceholder { range: module.range(&range), placeholder: name };
    Ok(Some(lsp::PrepareRenameResult::PrepareRenamePlaceholder(placeholder)))
}

pub(crate) fn rename(ask: &Ask, params: &lsp::RenameParams) -> Answer<Option<lsp::WorkspaceEdit>> {
    let module = ask.module()?;
    let offset = module.offset(params.text_document_position_params.position);
    let files = ide::rename(&module.analysis, module.path, offset, &params.new_name).map_err(Failure::Refused)?;
    Ok(Some(edits::workspace_edit(module.snapshot, &module.analysis, files)))
}

/// Imports and paths follow the files that are about to move, in every package that has any of them.
pub(crate) fn files(ask: &Ask, params: &lsp::RenameFilesParams) -> Answer<Option<lsp::WorkspaceEdit>> {
    let mut changes = Vec::new();
    let mut versioned = false;
    for snapshot in &ask.all {
        let moved = |file: &lsp::FileRename| {
            let path = |uri: &str| snapshot.root.path(&uri::parse(uri));
            Some((path(&file.old_uri.0)?, path(&file.new_uri.0)?))
        };
        let moves: Vec<_> = params.files.iter().filter_map(moved).collect();
        if moves.is_empty() {
            continue;
        }
        versioned = snapshot.client.versioned_edits;
        let analysis = ask.analysis(snapshot)?;
        changes.extend(edits::converted(snapshot, &analysis, structure::rename_files(&analysis, &moves)));
    }
    Ok((!changes.is_empty()).then(|| edits::joined(versioned, changes)))
}
