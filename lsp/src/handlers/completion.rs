//! Completion, and the documentation of an item when it is looked at.

use imgc_compiler::ide::{self, Completion, CompletionKind};
use serde_json::json;

use super::{Answer, Ask, Module};
use crate::client::Shown;
use crate::lsp;

pub(crate) fn complete(ask: &Ask, params: &lsp::CompletionParams) -> Answer<Option<lsp::CompletionResponse>> {
    let module = ask.module()?;
    let position = params.text_document_position_params.position;
    let found = at(&module, position);
    let items = found.into_iter().map(|completion| item(&module, position, completion)).collect();
    Ok(Some(lsp::CompletionResponse::CompletionList(lsp::CompletionList {
        is_incomplete: false,
        items,
        ..Default::default()
    })))
}

fn at(module: &Module<'_>, position: lsp::Position) -> Vec<Completion> {
    ide::completion(&module.analysis, &module.snapshot.world(), module.path, module.offset(position))
}

fn item(module: &Module<'_>, position: lsp::Position, completion: Completion) -> lsp::CompletionItem {
    let client = module.client();
    let snippet = completion.snippet.filter(|_| client.snippets);
    let format = if snippet.is_some() { lsp::InsertTextFormat::Snippet } else { lsp::InsertTextFormat::PlainText };
    let edit = lsp::TextEdit {
        range: module.range(&completion.replace),
        new_text: snippet.unwrap_or_else(|| completion.text.clone()),
    };
    let more = completion.more.iter();
    let more = more.map(|edit| lsp::TextEdit { range: module.range(&edit.range), new_text: edit.text.clone() });
    let more: Vec<_> = more.collect();
    // What is asked again when the item is looked at.
    let data = json!({
        "uri": module.snapshot.uri(module.path).0,
        "position": position,
        "detail": completion.detail,
    });
    let later = client.resolve_docs && !completion.docs.is_empty();
    lsp::CompletionItem {
        kind: Some(kind(completion.kind)),
        tags: (completion.deprecated && client.completion_tags).then(|| vec![lsp::CompletionItemTag::Deprecated]),
        documentation: if later { None } else { client.documentation(Shown::Completion, &completion.docs) },
        detail: (!completion.detail.is_empty()).then_some(completion.detail),
        sort_text: Some(completion.sort),
        // A list is narrowed by what the edit replaces; that may begin with a quote or a path.
        filter_text: (completion.text != completion.label && !completion.text.is_empty()).then_some(completion.text),
        insert_text_format: client.snippets.then_some(format),
        text_edit: Some(lsp::CompletionItemTextEdit::TextEdit(edit)),
        additional_text_edits: (!more.is_empty()).then_some(more),
        data: later.then_some(data),
        label: completion.label,
        ..Default::default()
    }
}

/// The item with its documentation; as it was where the text has moved on too far.
pub(crate) fn resolve(ask: &Ask, params: &lsp::CompletionItem) -> Answer<lsp::CompletionItem> {
    let Some(data) = &params.data else { return Ok(params.clone()) };
    let Some(position) = data.get("position").and_then(|at| serde_json::from_value(at.clone()).ok()) else {
        return Ok(params.clone());
    };
    let module = ask.module()?;
    let detail = data.get("detail").and_then(serde_json::Value::as_str).unwrap_or_default();
    let same = |completion: &Completion| completion.label == params.label && completion.detail == detail;
    if let Some(completion) = at(&module, position).into_iter().find(same) {
        let documentation = module.client().documentation(Shown::Completion, &completion.docs);
        return Ok(lsp::CompletionItem { documentation, ..params.clone() });
    }
    Ok(params.clone())
}

fn kind(kind: CompletionKind) -> lsp::CompletionItemKind {
    use lsp::CompletionItemKind as To;
    match kind {
        CompletionKind::Param | CompletionKind::Secret | CompletionKind::Local => To::Variable,
        CompletionKind::Value => To::Constant,
        CompletionKind::Function | CompletionKind::Recipe => To::Function,
        CompletionKind::Record => To::Struct,
        CompletionKind::Enum => To::Enum,
        CompletionKind::Variant | CompletionKind::Platform => To::EnumMember,
        CompletionKind::Image | CompletionKind::Type => To::Class,
        CompletionKind::Test => To::Event,
        CompletionKind::Output | CompletionKind::Artifact => To::Interface,
        CompletionKind::Step => To::Method,
        CompletionKind::Source => To::Constructor,
        CompletionKind::Module => To::Module,
        CompletionKind::Field => To::Field,
        CompletionKind::Member => To::Property,
        CompletionKind::Keyword => To::Keyword,
        CompletionKind::Unit => To::Unit,
        CompletionKind::Text => To::Value,
        CompletionKind::File => To::File,
        CompletionKind::Folder => To::Folder,
    }
}
