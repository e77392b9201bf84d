//! The call hierarchy of recipes.

use imgc_compiler::ide::{self, Call, Caller, CallerKind};

use super::{Answer, Ask, Module};
use crate::lsp;

pub(crate) fn prepare(
    ask: &Ask,
    params: &lsp::CallHierarchyPrepareParams,
) -> Answer<Option<Vec<lsp::CallHierarchyItem>>> {
    let module = ask.module()?;
    let offset = module.offset(params.text_document_position_params.position);
    let found = ide::recipe_at(&module.analysis, module.path, offset);
    Ok(found.and_then(|caller| item(&module, caller)).map(|item| vec![item]))
}

pub(crate) fn incoming(
    ask: &Ask,
    params: &lsp::CallHierarchyIncomingCallsParams,
) -> Answer<Option<Vec<lsp::CallHierarchyIncomingCall>>> {
    let module = ask.module()?;
    let Some(callee) = at(&module, &params.item) else { return Ok(None) };
    let call = |call: Call| {
        let from_ranges = call.ranges.iter().filter_map(|range| module.range_in(&call.of.place.path, range)).collect();
        Some(lsp::CallHierarchyIncomingCall { from: item(&module, call.of)?, from_ranges })
    };
    Ok(Some(ide::callers(&module.analysis, &callee).into_iter().filter_map(call).collect()))
}

pub(crate) fn outgoing(
    ask: &Ask,
    params: &lsp::CallHierarchyOutgoingCallsParams,
) -> Answer<Option<Vec<lsp::CallHierarchyOutgoingCall>>> {
    let module = ask.module()?;
    let Some(caller) = at(&module, &params.item) else { return Ok(None) };
    let call = |call: Call| {
        // Where the other side is used, here.
        let from_ranges = call.ranges.iter().map(|range| module.range(range)).collect();
        Some(lsp::CallHierarchyOutgoingCall { to: item(&module, call.of)?, from_ranges })
    };
    Ok(Some(ide::callees(&module.analysis, &caller).into_iter().filter_map(call).collect()))
}

/// What an item of the client stands for, in the text as it is now.
fn at(module: &Module<'_>, item: &lsp::CallHierarchyItem) -> Option<Caller> {
    ide::recipe_at(&module.analysis, module.path, module.offset(item.selection_range.start))
}

fn item(module: &Module<'_>, caller: Caller) -> Option<lsp::CallHierarchyItem> {
    let path = &caller.place.path;
    Some(lsp::CallHierarchyItem {
        kind: match caller.kind {
            CallerKind::Recipe => lsp::SymbolKind::Function,
            CallerKind::Image => lsp::SymbolKind::Class,
            CallerKind::Test => lsp::SymbolKind::Event,
        },
        tags: None,
        detail: Some(path.clone()),
        uri: module.snapshot.uri(path),
        range: module.range_in(path, &caller.place.range)?,
        selection_range: module.range_in(path, &caller.name_range)?,
        data: None,
        name: caller.name,
    })
}
