//! Symbols of a text and of the workspace.

#![expect(deprecated, reason = "the protocol's types cannot be made without a field that it has given up")]

use imgc_compiler::ide::structure::{self, Symbol, SymbolKind};

use super::{Answer, Ask, Module};
use crate::lsp;

pub(crate) fn document(ask: &Ask, params: &lsp::DocumentSymbolParams) -> Answer<Option<lsp::DocumentSymbolResponse>> {
    let module = ask.module()?;
    let symbols = structure::symbols(&module.analysis, module.path);
    if module.client().symbol_tree {
        let tree = symbols.into_iter().map(|symbol| nested(&module, symbol)).collect();
        return Ok(Some(lsp::DocumentSymbolResponse::DocumentSymbolList(tree)));
    }
    let mut flat = Vec::new();
    for symbol in &symbols {
        flatten(&module, &params.text_document.uri, symbol, None, &mut flat);
    }
    Ok(Some(lsp::DocumentSymbolResponse::SymbolInformationList(flat)))
}

fn nested(module: &Module<'_>, symbol: Symbol) -> lsp::DocumentSymbol {
    let children: Vec<_> = symbol.children.into_iter().map(|child| nested(module, child)).collect();
    lsp::DocumentSymbol {
        name: symbol.name,
        detail: (!symbol.detail.is_empty()).then_some(symbol.detail),
        kind: kind(symbol.kind),
        tags: None,
        deprecated: None,
        range: module.range(&symbol.range),
        selection_range: module.range(&symbol.name_range),
        children: (!children.is_empty()).then_some(children),
    }
}

fn flatten(
    module: &Module<'_>,
    uri: &lsp::Uri,
    symbol: &Symbol,
    container: Option<&str>,
    flat: &mut Vec<lsp::SymbolInformation>,
) {
    flat.push(lsp::SymbolInformation {
        deprecated: None,
        location: lsp::Location { uri: uri.clone(), range: module.range(&symbol.range) },
        base_symbol_information: base(symbol, container.map(str::to_owned)),
    });
    for child in &symbol.children {
        flatten(module, uri, child, Some(&symbol.name), flat);
    }
}

fn base(symbol: &Symbol, container_name: Option<String>) -> lsp::BaseSymbolInformation {
    lsp::BaseSymbolInformation { name: symbol.name.clone(), kind: kind(symbol.kind), tags: None, container_name }
}

pub(crate) fn workspace(
    ask: &Ask,
    params: &lsp::WorkspaceSymbolParams,
) -> Answer<Option<lsp::WorkspaceSymbolResponse>> {
    let mut found = Vec::new();
    for snapshot in &ask.all {
        let analysis = ask.analysis(snapshot)?;
        for (symbol, path) in structure::workspace_symbols(&analysis, &params.query) {
            let Some(text) = snapshot.text(&analysis, &path) else { continue };
            let range = text.range(&symbol.name_range, snapshot.client.encoding);
            found.push(lsp::SymbolInformation {
                deprecated: None,
                location: lsp::Location { uri: snapshot.uri(&path), range },
                base_symbol_information: base(&symbol, Some(path)),
            });
        }
    }
    Ok(Some(lsp::WorkspaceSymbolResponse::SymbolInformationList(found)))
}

fn kind(kind: SymbolKind) -> lsp::SymbolKind {
    match kind {
        SymbolKind::Import => lsp::SymbolKind::Module,
        SymbolKind::Param | SymbolKind::Use => lsp::SymbolKind::Variable,
        SymbolKind::Secret => lsp::SymbolKind::Key,
        SymbolKind::Let => lsp::SymbolKind::Constant,
        SymbolKind::Function | SymbolKind::Recipe => lsp::SymbolKind::Function,
        SymbolKind::Record => lsp::SymbolKind::Struct,
        SymbolKind::Enum => lsp::SymbolKind::Enum,
        SymbolKind::Image => lsp::SymbolKind::Class,
        SymbolKind::Test => lsp::SymbolKind::Event,
        SymbolKind::Output | SymbolKind::ExternArtifact => lsp::SymbolKind::Interface,
        SymbolKind::ExternStep | SymbolKind::Step => lsp::SymbolKind::Method,
        SymbolKind::ExternSource => lsp::SymbolKind::Constructor,
        SymbolKind::Field => lsp::SymbolKind::Field,
        SymbolKind::Variant => lsp::SymbolKind::EnumMember,
    }
}
