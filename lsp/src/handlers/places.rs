//! Where something is: definition, declaration, type definition, references, links.

use imgc_compiler::ide::structure::{self, LinkTo};
use imgc_compiler::ide::{self, Target};

use super::{Answer, Ask, Module};
use crate::client::Leads;
use crate::lsp;

/// Targets in the form that the client reads.
enum Found {
    Links(Vec<lsp::LocationLink>),
    Locations(Vec<lsp::Location>),
}

fn found(module: &Module<'_>, leads: Leads, targets: Vec<Target>) -> Found {
    if module.client().links(leads) {
        let link = |target: Target| {
            Some(lsp::LocationLink {
                origin_selection_range: Some(module.range(&target.origin)),
                target_uri: module.snapshot.uri(&target.place.path),
                target_range: module.range_in(&target.place.path, &target.place.range)?,
                target_selection_range: module.range_in(&target.place.path, &target.name)?,
            })
        };
        return Found::Links(targets.into_iter().filter_map(link).collect());
    }
    let location = |target: Target| {
        let range = module.range_in(&target.place.path, &target.name)?;
        Some(lsp::Location { uri: module.snapshot.uri(&target.place.path), range })
    };
    Found::Locations(targets.into_iter().filter_map(location).collect())
}

pub(crate) fn definition(ask: &Ask, params: &lsp::DefinitionParams) -> Answer<Option<lsp::DefinitionResponse>> {
    let module = ask.module()?;
    let offset = module.offset(params.text_document_position_params.position);
    let targets = ide::definition(&module.analysis, module.path, offset);
    Ok(Some(match found(&module, Leads::Definition, targets) {
        Found::Links(links) => lsp::DefinitionResponse::DefinitionLinkList(links),
        Found::Locations(all) => lsp::DefinitionResponse::Definition(lsp::Definition::LocationList(all)),
    }))
}

pub(crate) fn declaration(ask: &Ask, params: &lsp::DeclarationParams) -> Answer<Option<lsp::DeclarationResponse>> {
    let module = ask.module()?;
    let offset = module.offset(params.text_document_position_params.position);
    let targets = ide::declaration(&module.analysis, module.path, offset);
    Ok(Some(match found(&module, Leads::Declaration, targets) {
        Found::Links(links) => lsp::DeclarationResponse::DeclarationLinkList(links),
        Found::Locations(all) => lsp::DeclarationResponse::Declaration(lsp::Declaration::LocationList(all)),
    }))
}

pub(crate) fn type_definition(
    ask: &Ask,
    params: &lsp::TypeDefinitionParams,
) -> Answer<Option<lsp::TypeDefinitionResponse>> {
    let module = ask.module()?;
    let offset = module.offset(params.text_document_position_params.position);
    let targets = ide::type_definition(&module.analysis, module.path, offset);
    Ok(Some(match found(&module, Leads::TypeDefinition, targets) {
        Found::Links(links) => lsp::TypeDefinitionResponse::DefinitionLinkList(links),
        Found::Locations(all) => lsp::TypeDefinitionResponse::Definition(lsp::Definition::LocationList(all)),
    }))
}

pub(crate) fn references(ask: &Ask, params: &lsp::ReferenceParams) -> Answer<Option<Vec<lsp::Location>>> {
    let module = ask.module()?;
    let offset = module.offset(params.text_document_position_params.position);
    let places = ide::references(&module.analysis, module.path, offset, params.context.include_declaration);
    let locations = places.iter().filter_map(|place| module.snapshot.location(&module.analysis, place));
    Ok(Some(locations.collect()))
}

pub(crate) fn links(ask: &Ask, _: &lsp::DocumentLinkParams) -> Answer<Option<Vec<lsp::DocumentLink>>> {
    let module = ask.module()?;
    let links = structure::links(&module.analysis, module.path).into_iter().map(|(range, to)| {
        let target = match to {
            LinkTo::Module(path) => Some(module.snapshot.uri(&path)),
            LinkTo::File(path) => module.file_uri(&path),
            LinkTo::Page(address) => Some(address.into()),
        };
        lsp::DocumentLink { range: module.range(&range), target, ..Default::default() }
    });
    Ok(Some(links.collect()))
}
