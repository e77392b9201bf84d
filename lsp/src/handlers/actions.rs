//! Changes that the editor offers.

use imgc_compiler::ide::{self, ActionKind};

use super::{Answer, Ask, Failure, diagnostics, edits};
use crate::lsp;

pub(crate) fn actions(ask: &Ask, params: &lsp::CodeActionParams) -> Answer<Option<Vec<lsp::CodeActionResponse>>> {
    let module = ask.module()?;
    if !module.client().action_literals {
        // A client that knows commands only could not apply what we offer.
        return Ok(None);
    }
    let found = ide::actions(&module.analysis, module.path, module.span(params.range));
    let all = module.analysis.diagnostics(module.path);
    let wanted = |kind: &lsp::CodeActionKind| {
        params.context.only.as_ref().is_none_or(|only| only.iter().any(|one| covers(one, kind)))
    };
    let mut actions = Vec::new();
    for action in found {
        let kind = kind(action.kind);
        if !wanted(&kind) {
            continue;
        }
        if ask.is_cancelled() {
            return Err(Failure::Stopped);
        }
        let fixed = action.fixes.and_then(|at| all.get(at));
        let fixed = fixed.and_then(|one| diagnostics::analysed(module.snapshot, &module.analysis, one));
        actions.push(lsp::CodeActionResponse::CodeAction(lsp::CodeAction {
            title: action.title,
            kind: Some(kind),
            diagnostics: fixed.map(|diagnostic| vec![diagnostic]),
            is_preferred: action.preferred.then_some(true),
            edit: Some(edits::workspace_edit(module.snapshot, &module.analysis, action.edits)),
            ..Default::default()
        }));
    }
    Ok(Some(actions))
}

/// Whether a kind that was asked for is this one or one above it.
fn covers(asked: &lsp::CodeActionKind, kind: &lsp::CodeActionKind) -> bool {
    let (asked, kind) = (asked.to_string(), kind.to_string());
    kind.strip_prefix(&asked).is_some_and(|rest| asked.is_empty() || rest.is_empty() || rest.starts_with('.'))
}

fn kind(kind: ActionKind) -> lsp::CodeActionKind {
    match kind {
        ActionKind::Fix => lsp::CodeActionKind::QuickFix,
        ActionKind::FixAll => lsp::CodeActionKind::SourceFixAll,
        ActionKind::Extract => lsp::CodeActionKind::RefactorExtract,
        ActionKind::Inline => lsp::CodeActionKind::RefactorInline,
        ActionKind::Rewrite => lsp::CodeActionKind::RefactorRewrite,
        ActionKind::SortImports => lsp::CodeActionKind::SourceOrganizeImports,
    }
}
