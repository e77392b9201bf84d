//! The form of a text: formatting, folds, selections.

use imgc_compiler::ide::TextEdit;
use imgc_compiler::ide::structure::{self, FoldKind};

use super::{Answer, Ask, Module};
use crate::lsp;

fn edits(module: &Module<'_>, edits: Vec<TextEdit>) -> Vec<lsp::TextEdit> {
    let edit = |edit: TextEdit| lsp::TextEdit { range: module.range(&edit.range), new_text: edit.text };
    edits.into_iter().map(edit).collect()
}

pub(crate) fn document(ask: &Ask, _: &lsp::DocumentFormattingParams) -> Answer<Option<Vec<lsp::TextEdit>>> {
    let module = ask.module()?;
    Ok(Some(edits(&module, structure::format_document(&module.analysis, module.path))))
}

pub(crate) fn range(ask: &Ask, params: &lsp::DocumentRangeFormattingParams) -> Answer<Option<Vec<lsp::TextEdit>>> {
    let module = ask.module()?;
    let range = module.span(params.range);
    Ok(Some(edits(&module, structure::format_range(&module.analysis, module.path, range))))
}

pub(crate) fn on_type(ask: &Ask, params: &lsp::DocumentOnTypeFormattingParams) -> Answer<Option<Vec<lsp::TextEdit>>> {
    let module = ask.module()?;
    let Some(typed) = params.ch.chars().next() else { return Ok(None) };
    let offset = module.offset(params.position);
    Ok(Some(edits(&module, structure::format_on_type(&module.analysis, module.path, offset, typed))))
}

pub(crate) fn folds(ask: &Ask, _: &lsp::FoldingRangeParams) -> Answer<Option<Vec<lsp::FoldingRange>>> {
    let module = ask.module()?;
    let lines = module.client().line_folds;
    let fold = |fold: structure::Fold| {
        let range = module.range(&fold.range);
        lsp::FoldingRange {
            start_line: range.start.line,
            start_character: (!lines).then_some(range.start.character),
            end_line: range.end.line,
            end_character: (!lines).then_some(range.end.character),
            kind: Some(match fold.kind {
                FoldKind::Comment => lsp::FoldingRangeKind::Comment,
                FoldKind::Imports => lsp::FoldingRangeKind::Imports,
                FoldKind::Region => lsp::FoldingRangeKind::Region,
            }),
            collapsed_text: None,
        }
    };
    Ok(Some(structure::folds(&module.analysis, module.path).into_iter().map(fold).collect()))
}

pub(crate) fn selections(ask: &Ask, params: &lsp::SelectionRangeParams) -> Answer<Option<Vec<lsp::SelectionRange>>> {
    let module = ask.module()?;
    let at = |position: lsp::Position| {
        let offset = module.offset(position);
        let outward = structure::selections(&module.analysis, module.path, offset).into_iter().rev();
        let nested = outward.fold(None, |parent: Option<lsp::SelectionRange>, range| {
            Some(lsp::SelectionRange { range: module.range(&range), parent: parent.map(Box::new) })
        });
        // The answer has one entry a position, whatever stands there.
        let here = lsp::Range { start: position, end: position };
        nested.unwrap_or(lsp::SelectionRange { range: here, parent: None })
    };
    Ok(Some(params.positions.iter().copied().map(at).collect()))
}
