//! What stands at a place: hover, signature help, highlights, inlay hints.

use imgc_compiler::ide::{self, Access, HintKind};

use super::{Answer, Ask, Module};
use crate::client::Shown;
use crate::lines::utf16_len;
use crate::lsp;

pub(crate) fn hover(ask: &Ask, params: &lsp::HoverParams) -> Answer<Option<lsp::Hover>> {
    let module = ask.module()?;
    let offset = module.offset(params.text_document_position_params.position);
    let hover = ide::hover(&module.analysis, module.path, offset, &pins(&module));
    Ok(hover.map(|hover| lsp::Hover {
        contents: module.client().markup(Shown::Hover, &hover.markdown).into(),
        range: Some(module.range(&hover.range)),
    }))
}

pub(crate) fn signature(ask: &Ask, params: &lsp::SignatureHelpParams) -> Answer<Option<lsp::SignatureHelp>> {
    let module = ask.module()?;
    let offset = module.offset(params.text_document_position_params.position);
    let Some(signature) = ide::signature(&module.analysis, module.path, offset) else { return Ok(None) };
    let client = module.client();
    let parameter = |parameter: &ide::Parameter| {
        let text = signature.label.get(parameter.range.clone()).unwrap_or_default();
        let before = signature.label.get(..parameter.range.start).unwrap_or_default();
        // Offsets in labels are always counted in UTF-16.
        let start = utf16_len(before);
        let label = if client.label_offsets {
            let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
            lsp::ParameterInformationLabel::Tuple((number(start), number(start + utf16_len(text))))
        } else {
            lsp::ParameterInformationLabel::String(text.to_owned())
        };
        lsp::ParameterInformation { label, documentation: client.documentation(Shown::Signature, &parameter.docs) }
    };
    let active = signature.active.and_then(|active| u32::try_from(active).ok()).map(lsp::ActiveParameter::Int);
    Ok(Some(lsp::SignatureHelp {
        signatures: vec![lsp::SignatureInformation {
            parameters: Some(signature.parameters.iter().map(parameter).collect()),
            documentation: client.documentation(Shown::Signature, &signature.docs),
            active_parameter: active,
            label: signature.label,
        }],
        active_signature: Some(0),
        active_parameter: active,
    }))
}

pub(crate) fn highlights(
    ask: &Ask,
    params: &lsp::DocumentHighlightParams,
) -> Answer<Option<Vec<lsp::DocumentHighlight>>> {
    let module = ask.module()?;
    let offset = module.offset(params.text_document_position_params.position);
    let found = ide::highlight(&module.analysis, module.path, offset).into_iter().map(|(range, access)| {
        let kind = match access {
            Access::Read => lsp::DocumentHighlightKind::Read,
            Access::Write => lsp::DocumentHighlightKind::Write,
        };
        lsp::DocumentHighlight { range: module.range(&range), kind: Some(kind) }
    });
    Ok(Some(found.collect()))
}

/// What a source is pinned to.
fn pins(module: &Module<'_>) -> impl Fn(&str) -> Option<String> {
    let pins = module.snapshot.pins(module.path);
    move |source| pins.iter().find(|(name, _)| name == source).map(|(_, digest)| digest.clone())
}

pub(crate) fn hints(ask: &Ask, params: &lsp::InlayHintParams) -> Answer<Option<Vec<lsp::InlayHint>>> {
    let module = ask.module()?;
    let hints = ide::inlay_hints(&module.analysis, module.path, module.span(params.range), &pins(&module));
    let hints = hints.into_iter().map(|hint| lsp::InlayHint {
        position: module.text.position(hint.offset, module.encoding()),
        label: lsp::Label::String(hint.label),
        kind: match hint.kind {
            HintKind::Type => Some(lsp::InlayHintKind::Type),
            HintKind::Argument => Some(lsp::InlayHintKind::Parameter),
            HintKind::Pin => None,
        },
        text_edits: None,
        tooltip: None,
        padding_left: Some(hint.kind == HintKind::Pin),
        padding_right: Some(hint.kind == HintKind::Argument),
        data: None,
    });
    Ok(Some(hints.collect()))
}
