//! Texts of ours, as documents that have no file: the standard library, and the pages about codes.

use serde::{Deserialize, Serialize};

use super::{Answer, Ask, Failure};
use crate::lsp;
use crate::uri::{self, Name};

/// `imgc/stdText`: the text behind an `imgc-std:` URI, for clients without `workspace/textDocumentContent`.
#[derive(Debug)]
pub(crate) enum StdText {}

/// What `imgc/stdText` asks.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StdTextParams {
    /// `imgc-std:/apt.imgc`.
    uri: lsp::Uri,
}

impl lsp::Request for StdText {
    const METHOD: lsp::LspRequestMethod<'static> = lsp::LspRequestMethod::new("imgc/stdText");
    const MESSAGE_DIRECTION: lsp::MessageDirection = lsp::MessageDirection::ClientToServer;
    type Params = StdTextParams;
    type Result = String;
}

pub(crate) fn text(_: &Ask, params: &StdTextParams) -> Answer<String> {
    of(&params.uri)
}

pub(crate) fn content(_: &Ask, params: &lsp::TextDocumentContentParams) -> Answer<lsp::TextDocumentContentResult> {
    Ok(lsp::TextDocumentContentResult { text: of(&params.uri)? })
}

fn of(uri: &lsp::Uri) -> Answer<String> {
    let text = match uri::parse(&uri.0) {
        Name::Std(path) => known(&path),
        Name::File(_) | Name::Buffer(_) => None,
    };
    let missing = || Failure::Invalid(format!("`{uri}` is neither a module of the standard library nor a page"));
    text.map(str::to_owned).ok_or_else(missing)
}

/// A module, or the page about a code.
fn known(path: &str) -> Option<&'static str> {
    let code = path.strip_prefix("std/codes/").and_then(|name| name.strip_suffix(".md"));
    imgc_compiler::standard_module(path).or_else(|| Some(imgc_compiler::pages::page(code?)?.text))
}
