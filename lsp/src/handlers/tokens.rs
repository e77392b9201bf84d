//! Semantic tokens: all of a text, those of a range, and what has changed since the last answer.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use imgc_compiler::ide::structure::{self, Modifiers, TokenKind};

use super::{Answer, Ask, Module};
use crate::lsp;

/// The last answer for each text, by URI.
#[derive(Debug, Default)]
pub(crate) struct Said {
    all: Mutex<Answers>,
}

#[derive(Debug, Default)]
struct Answers {
    by_uri: BTreeMap<String, (u64, Vec<lsp::SemanticToken>)>,
    next: u64,
}

impl Said {
    /// Notes an answer and names it; gives the one before it.
    fn note(&self, uri: &str, data: &[lsp::SemanticToken]) -> (String, Option<(String, Vec<lsp::SemanticToken>)>) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.next += 1;
        let id = all.next;
        let before = all.by_uri.insert(uri.to_owned(), (id, data.to_vec()));
        (id.to_string(), before.map(|(id, data)| (id.to_string(), data)))
    }

    /// Forgets a text that was closed.
    pub(crate) fn forget(&self, uri: &str) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).by_uri.remove(uri);
    }
}

/// What is said of tokens at the start.
pub(crate) fn options() -> lsp::SemanticTokensOptions {
    lsp::SemanticTokensOptions {
        legend: lsp::SemanticTokensLegend {
            token_types: TokenKind::ALL.iter().map(|kind| kind.name().to_owned()).collect(),
            token_modifiers: Modifiers::NAMES.iter().map(|name| (*name).to_owned()).collect(),
        },
        range: Some(true.into()),
        full: Some(lsp::SemanticTokensFullDelta { delta: Some(true) }.into()),
        ..Default::default()
    }
}

pub(crate) fn full(ask: &Ask, params: &lsp::SemanticTokensParams) -> Answer<Option<lsp::SemanticTokens>> {
    let module = ask.module()?;
    let data = encoded(&module, None);
    let (id, _) = ask.tokens.note(&params.text_document.uri.0, &data);
    Ok(Some(lsp::SemanticTokens { result_id: Some(id), data }))
}

pub(crate) fn range(ask: &Ask, params: &lsp::SemanticTokensRangeParams) -> Answer<Option<lsp::SemanticTokens>> {
    let module = ask.module()?;
    let data = encoded(&module, Some(&module.span(params.range)));
    Ok(Some(lsp::SemanticTokens { result_id: None, data }))
}

pub(crate) fn delta(
    ask: &Ask,
    params: &lsp::SemanticTokensDeltaParams,
) -> Answer<Option<lsp::SemanticTokensDeltaResponse>> {
    let module = ask.module()?;
    let data = encoded(&module, None);
    let (id, before) = ask.tokens.note(&params.text_document.uri.0, &data);
    let before = before.filter(|(id, _)| *id == params.previous_result_id);
    Ok(Some(match before {
        Some((_, before)) => lsp::SemanticTokensDeltaResponse::SemanticTokensDelta(lsp::SemanticTokensDelta {
            result_id: Some(id),
            edits: difference(&before, &data).into_iter().collect(),
        }),
        None => lsp::SemanticTokensDeltaResponse::SemanticTokens(lsp::SemanticTokens { result_id: Some(id), data }),
    }))
}

/// The one edit between what is the same at both ends.
fn difference(before: &[lsp::SemanticToken], after: &[lsp::SemanticToken]) -> Option<lsp::SemanticTokensEdit> {
    let begin = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let (before, after) = (before.get(begin..)?, after.get(begin..)?);
    let end = before.iter().rev().zip(after.iter().rev()).take_while(|(a, b)| a == b).count();
    let gone = before.len() - end;
    let come = after.get(..after.len() - end)?;
    if gone == 0 && come.is_empty() {
        return None;
    }
    // The protocol counts numbers, five a token.
    let number = |tokens: usize| u32::try_from(tokens * 5).unwrap_or(u32::MAX);
    let data = come.iter().flat_map(|token| {
        [token.delta_line, token.delta_start, token.length, token.token_type, token.token_modifiers_bitset]
    });
    Some(lsp::SemanticTokensEdit { start: number(begin), delete_count: number(gone), data: Some(data.collect()) })
}

/// The tokens that touch a range, each relative to the one before.
fn encoded(module: &Module<'_>, within: Option<&Range<usize>>) -> Vec<lsp::SemanticToken> {
    let tokens = structure::tokens(&module.analysis, module.path);
    let wanted = |range: &Range<usize>| within.is_none_or(|all| range.start < all.end && all.start < range.end);
    let mut last = lsp::Position::default();
    let mut data = Vec::new();
    for token in tokens.iter().filter(|token| wanted(&token.range)) {
        let range = module.range(&token.range);
        if range.start.line != range.end.line {
            continue;
        }
        let delta_line = range.start.line.saturating_sub(last.line);
        let column = if delta_line == 0 { last.character } else { 0 };
        data.push(lsp::SemanticToken {
            delta_line,
            delta_start: range.start.character.saturating_sub(column),
            length: range.end.character.saturating_sub(range.start.character),
            token_type: token.kind as u32,
            token_modifiers_bitset: token.modifiers.bits(),
        });
        last = range.start;
    }
    data
}
