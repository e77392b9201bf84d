//! Diagnostics as the protocol writes them, and the requests of clients that ask for them.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use imgc_compiler::analysis::Analysis;
use imgc_compiler::{Diagnostic, Label, Location, ModuleId, Severity, Source, Sources, Tag, parse};

use super::{Answer, Ask};
use crate::lsp;
use crate::snapshot::Snapshot;

/// The diagnostics of every module of a package that is nobody else's, by path. A module without any has an entry.
pub(crate) fn of_package(snapshot: &Snapshot, analysis: &Analysis) -> BTreeMap<String, Vec<lsp::Diagnostic>> {
    let own = analysis.paths().filter(|path| imgc_compiler::standard_module(path).is_none());
    own.map(|path| (path.to_owned(), of_module(snapshot, analysis, path))).collect()
}

/// The diagnostics of a module, in the order of the stages that found them.
pub(crate) fn of_module(snapshot: &Snapshot, analysis: &Analysis, path: &str) -> Vec<lsp::Diagnostic> {
    let all = analysis.diagnostics(path).iter();
    all.filter_map(|diagnostic| analysed(snapshot, analysis, diagnostic)).collect()
}

/// The errors of syntax of an open module, which need no analysis: the first that a client sees of a package.
pub(crate) fn of_syntax(snapshot: &Snapshot, path: &str) -> Vec<lsp::Diagnostic> {
    let Some(document) = snapshot.open.get(&snapshot.root.name(path)) else { return Vec::new() };
    let text = document.text.text();
    let parsed = parse::parse(text, ModuleId::default());
    let sources = Sources::of(Source::new(path.into(), text.clone(), &parsed.module.starts));
    let at = |at: &Location| {
        let place = sources.place(at);
        Some((path.to_owned(), document.text.range(&(place.start..place.end), snapshot.client.encoding)))
    };
    parsed.diagnostics.iter().filter_map(|diagnostic| converted(snapshot, &at, diagnostic)).collect()
}

/// One diagnostic of an analysis.
pub(crate) fn analysed(snapshot: &Snapshot, analysis: &Analysis, diagnostic: &Diagnostic) -> Option<lsp::Diagnostic> {
    let at = |at: &Location| {
        let place = analysis.place(at);
        let range = snapshot
            .text(analysis, &place.path)
            .map_or_else(lsp::Range::default, |text| text.range(&(place.start..place.end), snapshot.client.encoding));
        (!place.path.is_empty()).then(|| (place.path.to_string(), range))
    };
    converted(snapshot, &at, diagnostic)
}

/// The one function that turns our diagnostics into the protocol's; `at` says where a location is.
fn converted(
    snapshot: &Snapshot,
    at: &dyn Fn(&Location) -> Option<(String, lsp::Range)>,
    diagnostic: &Diagnostic,
) -> Option<lsp::Diagnostic> {
    let client = &snapshot.client;
    let (_, range) = at(&diagnostic.primary.at)?;
    let related = |label: &Label| {
        let (path, range) = at(&label.at)?;
        let location = lsp::Location { uri: snapshot.uri(&path), range };
        Some(lsp::DiagnosticRelatedInformation { location, message: label.text.clone() })
    };
    let related: Vec<_> = diagnostic.secondary.iter().filter_map(related).collect();
    let tag = |tag: &Tag| match tag {
        Tag::Unnecessary => lsp::DiagnosticTag::Unnecessary,
        Tag::Deprecated => lsp::DiagnosticTag::Deprecated,
    };
    let tags: Vec<_> = diagnostic.tags.iter().map(tag).collect();
    let page = imgc_compiler::pages::page(diagnostic.code).filter(|_| client.code_description);
    Some(lsp::Diagnostic {
        range,
        severity: Some(match diagnostic.severity {
            Severity::Error => lsp::DiagnosticSeverity::Error,
            Severity::Warning => lsp::DiagnosticSeverity::Warning,
        }),
        code: Some(lsp::Code::String(diagnostic.code.to_owned())),
        code_description: page.map(|page| lsp::CodeDescription { href: snapshot.page_uri(page) }),
        source: Some("imgc".to_owned()),
        message: message(diagnostic).into(),
        tags: (client.tags && !tags.is_empty()).then_some(tags),
        related_information: (client.related && !related.is_empty()).then_some(related),
        data: None,
    })
}

/// All that is to be said, as one text: an editor shows no labels.
fn message(diagnostic: &Diagnostic) -> String {
    let mut message = diagnostic.message.clone();
    let label = &diagnostic.primary.text;
    if !label.is_empty() && !message.contains(label) {
        message = format!("{message}\n{label}");
    }
    for note in &diagnostic.notes {
        message = format!("{message}\nnote: {note}");
    }
    match &diagnostic.help {
        Some(help) => format!("{message}\nhelp: {help}"),
        None => message,
    }
}

/// The name of a list of diagnostics: the same for the same list.
fn name(diagnostics: &[lsp::Diagnostic]) -> String {
    let mut hasher = DefaultHasher::new();
    for diagnostic in diagnostics {
        let range = diagnostic.range;
        (range.start.line, range.start.character, range.end.line, range.end.character).hash(&mut hasher);
        serde_json::to_string(diagnostic).unwrap_or_default().hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

pub(crate) fn document(ask: &Ask, params: &lsp::DocumentDiagnosticParams) -> Answer<lsp::DocumentDiagnosticReport> {
    let module = ask.module()?;
    let items = of_module(module.snapshot, &module.analysis, module.path);
    let id = name(&items);
    if params.previous_result_id.as_ref() == Some(&id) {
        return Ok(lsp::RelatedUnchangedDocumentDiagnosticReport {
            related_documents: None,
            unchanged_document_diagnostic_report: lsp::UnchangedDocumentDiagnosticReport { result_id: id },
        }
        .into());
    }
    Ok(lsp::RelatedFullDocumentDiagnosticReport {
        related_documents: None,
        full_document_diagnostic_report: lsp::FullDocumentDiagnosticReport { result_id: Some(id), items },
    }
    .into())
}

pub(crate) fn workspace(ask: &Ask, params: &lsp::WorkspaceDiagnosticParams) -> Answer<lsp::WorkspaceDiagnosticReport> {
    let known: BTreeMap<_, _> = params.previous_result_ids.iter().map(|one| (&one.uri.0, &one.value)).collect();
    let mut items = Vec::new();
    for snapshot in &ask.all {
        let analysis = ask.analysis(snapshot)?;
        for (path, diagnostics) in of_package(snapshot, &analysis) {
            let (uri, version, id) = (snapshot.uri(&path), snapshot.version(&path), name(&diagnostics));
            if known.get(&uri.0) == Some(&&id) {
                let unchanged_document_diagnostic_report = lsp::UnchangedDocumentDiagnosticReport { result_id: id };
                items.push(lsp::WorkspaceDocumentDiagnosticReport::WorkspaceUnchangedDocumentDiagnosticReport(
                    lsp::WorkspaceUnchangedDocumentDiagnosticReport {
                        uri,
                        version,
                        unchanged_document_diagnostic_report,
                    },
                ));
                continue;
            }
            let report = lsp::FullDocumentDiagnosticReport { result_id: Some(id), items: diagnostics };
            items.push(lsp::WorkspaceDocumentDiagnosticReport::WorkspaceFullDocumentDiagnosticReport(
                lsp::WorkspaceFullDocumentDiagnosticReport { uri, version, full_document_diagnostic_report: report },
            ));
        }
    }
    Ok(lsp::WorkspaceDiagnosticReport { items })
}
