//! A client that follows a script: it opens texts, edits them, applies what the server offers and sees what comes of it.
//!
//! It speaks JSON and counts for itself, so that no mistake of the server's conversion is repeated here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use imgc_lsp::{Alone, Connection, Ended, Host};
use lsp_server::{Message, Notification, Request, RequestId, Response};
use serde_json::{Value, json};

/// Longer than any answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer: its result, or the code and the message of its error.
pub(crate) type Answer = Result<Value, (i64, String)>;

/// A text that is open.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    pub(crate) version: i64,
    pub(crate) text: String,
}

/// A session with a server in a thread of its own.
pub(crate) struct Client {
    connection: Connection,
    server: Option<JoinHandle<std::io::Result<Ended>>>,
    dir: tempfile::TempDir,
    next: i32,
    pub(crate) open: BTreeMap<String, Open>,
    /// The last that was said of each URI: version and diagnostics.
    pub(crate) told: BTreeMap<String, (Option<i64>, Vec<Value>)>,
    /// All that was said of any URI, in order.
    pub(crate) history: Vec<Vec<Value>>,
    /// Requests of the server, in order.
    pub(crate) asked: Vec<Request>,
    /// Other notifications of the server, in order.
    pub(crate) heard: Vec<Notification>,
    /// Answers that came while another was waited for.
    answers: BTreeMap<String, Vec<Answer>>,
    pub(crate) capabilities: Value,
    utf8: bool,
}

/// A client that is able to do everything.
pub(crate) fn able() -> Value {
    json!({
        "workspace": {
            "workspaceEdit": { "documentChanges": true },
            "didChangeWatchedFiles": { "dynamicRegistration": true },
            "diagnostics": { "refreshSupport": true },
            "codeLens": { "refreshSupport": true },
            "inlayHint": { "refreshSupport": true },
            "semanticTokens": { "refreshSupport": true },
        },
        "textDocument": {
            "publishDiagnostics": {
                "relatedInformation": true, "tagSupport": { "valueSet": [1, 2] }, "codeDescriptionSupport": true,
            },
            "completion": { "completionItem": {
                "snippetSupport": true,
                "documentationFormat": ["markdown"],
                "resolveSupport": { "properties": ["documentation"] },
                "tagSupport": { "valueSet": [1] },
            } },
            "hover": { "contentFormat": ["markdown", "plaintext"] },
            "signatureHelp": { "signatureInformation": {
                "documentationFormat": ["markdown"], "parameterInformation": { "labelOffsetSupport": true },
            } },
            "definition": { "linkSupport": true },
            "declaration": { "linkSupport": true },
            "typeDefinition": { "linkSupport": true },
            "documentSymbol": { "hierarchicalDocumentSymbolSupport": true },
            "codeAction": { "codeActionLiteralSupport": { "codeActionKind": { "valueSet": [""] } } },
        },
        "window": { "workDoneProgress": true },
        "experimental": { "imgcStdDocuments": true },
    })
}

impl Client {
    /// A session in a package with these files, by a client that is able to do everything.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        Self::with(files, &able())
    }

    /// A session by a client with these abilities.
    pub(crate) fn with(files: &[(&str, &str)], capabilities: &Value) -> Self {
        Self::hosted(files, capabilities, Arc::new(Alone))
    }

    /// As [`Client::with`], with a program around the server that knows something.
    pub(crate) fn hosted(files: &[(&str, &str)], capabilities: &Value, host: Arc<dyn Host>) -> Self {
        let mut client = Self::begun_by(files, host);
        let params = json!({
            "processId": std::process::id(),
            "rootUri": client.uri(""),
            "workspaceFolders": [{ "uri": client.uri(""), "name": "package" }],
            "capabilities": capabilities,
        });
        let answer = client.ask("initialize", params).expect("the server does not begin");
        client.utf8 = answer["capabilities"]["positionEncoding"] == "utf-8";
        client.capabilities = answer["capabilities"].clone();
        client.notify("initialized", json!({}));
        client
    }

    /// A session in which nothing was said yet.
    pub(crate) fn begun(files: &[(&str, &str)]) -> Self {
        Self::begun_by(files, Arc::new(Alone))
    }

    fn begun_by(files: &[(&str, &str)], host: Arc<dyn Host>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            write(dir.path(), path, text);
        }
        let (connection, server) = Connection::memory();
        let server = std::thread::spawn(move || imgc_lsp::serve(&server, host));
        Self {
            connection,
            server: Some(server),
            dir,
            next: 0,
            open: BTreeMap::new(),
            told: BTreeMap::new(),
            history: Vec::new(),
            asked: Vec::new(),
            heard: Vec::new(),
            answers: BTreeMap::new(),
            capabilities: Value::Null,
            utf8: false,
        }
    }

    /// The URI of a file of the package; a URI stays what it is.
    pub(crate) fn uri(&self, path: &str) -> String {
        if path.contains(':') {
            return path.to_owned();
        }
        let mut uri = format!("file://{}", self.dir.path().display());
        if !path.is_empty() {
            uri = format!("{uri}/{path}");
        }
        uri
    }

    pub(crate) fn notify(&self, method: &str, params: Value) {
        let _ = self.connection.sender.send(Notification { method: method.to_owned(), params }.into());
    }

    /// Sends a request and does not wait.
    pub(crate) fn send(&mut self, method: &str, params: Value) -> RequestId {
        self.next += 1;
        let id = RequestId::from(self.next);
        self.send_as(id.clone(), method, params);
        id
    }

    pub(crate) fn send_as(&self, id: RequestId, method: &str, params: Value) {
        let _ = self.connection.sender.send(Request { id, method: method.to_owned(), params }.into());
    }

    /// The answer to a request.
    pub(crate) fn answer(&mut self, id: &RequestId) -> Answer {
        loop {
            if let Some(answers) = self.answers.get_mut(&id.to_string())
                && !answers.is_empty()
            {
                return answers.remove(0);
            }
            assert!(self.listen(PATIENCE), "no answer to request {id}");
        }
    }

    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Answer {
        let id = self.send(method, params);
        self.answer(&id)
    }

    /// Takes one message; false if none comes.
    pub(crate) fn listen(&mut self, patience: Duration) -> bool {
        let Ok(message) = self.connection.receiver.recv_timeout(patience) else { return false };
        match message {
            Message::Response(Response { id, response_result }) => {
                let answer = response_result.map_err(|error| (i64::from(error.code), error.message));
                self.answers.entry(id.to_string()).or_default().push(answer);
            }
            Message::Notification(Notification { method, params }) => {
                if method == "textDocument/publishDiagnostics" {
                    let uri = params["uri"].as_str().unwrap().to_owned();
                    let list = params["diagnostics"].as_array().unwrap().clone();
                    self.history.push(list.clone());
                    self.told.insert(uri, (params["version"].as_i64(), list));
                } else {
                    self.heard.push(Notification { method, params });
                }
            }
            Message::Request(request) => {
                let response = Response { id: request.id.clone(), response_result: Ok(Value::Null) };
                let _ = self.connection.sender.send(response.into());
                self.asked.push(request);
            }
        }
        true
    }

    /// Answers of a request that have come so far, for what must have exactly one.
    pub(crate) fn answers(&self, id: &RequestId) -> usize {
        self.answers.get(&id.to_string()).map_or(0, Vec::len)
    }

    /// Opens a file of the package as it is on the disk.
    pub(crate) fn open(&mut self, path: &str) {
        let text = std::fs::read_to_string(self.dir.path().join(path)).unwrap();
        self.open_text(path, &text);
    }

    /// Opens a text, whether or not there is a file.
    pub(crate) fn open_text(&mut self, path: &str, text: &str) {
        let uri = self.uri(path);
        let document = json!({ "uri": uri, "languageId": "imgc", "version": 1, "text": text });
        self.open.insert(uri, Open { version: 1, text: text.to_owned() });
        self.notify("textDocument/didOpen", json!({ "textDocument": document }));
    }

    pub(crate) fn close(&mut self, path: &str) {
        let uri = self.uri(path);
        self.open.remove(&uri);
        self.notify("textDocument/didClose", json!({ "textDocument": { "uri": uri } }));
    }

    /// Writes a file beside the editor.
    pub(crate) fn write(&self, path: &str, text: &str) {
        write(self.dir.path(), path, text);
    }

    pub(crate) fn text(&self, path: &str) -> &str {
        &self.open[&self.uri(path)].text
    }

    /// Replaces a range of bytes of an open text, and says only that.
    pub(crate) fn edit(&mut self, path: &str, range: std::ops::Range<usize>, new: &str) {
        let uri = self.uri(path);
        let at = json!({ "start": self.position(path, range.start), "end": self.position(path, range.end) });
        let open = self.open.get_mut(&uri).unwrap();
        open.text.replace_range(range, new);
        open.version += 1;
        let document = json!({ "uri": uri, "version": open.version });
        let params = json!({ "textDocument": document, "contentChanges": [{ "range": at, "text": new }] });
        self.notify("textDocument/didChange", params);
    }

    /// Replaces the first place where `old` stands.
    pub(crate) fn replace(&mut self, path: &str, old: &str, new: &str) {
        let at = self.text(path).find(old).unwrap_or_else(|| panic!("no `{old}` in {path}"));
        self.edit(path, at..at + old.len(), new);
    }

    /// The position of a byte offset.
    pub(crate) fn position(&self, path: &str, offset: usize) -> Value {
        let before = &self.text(path)[..offset];
        let line = before.matches('\n').count();
        let column = &before[before.rfind('\n').map_or(0, |at| at + 1)..];
        let character = if self.utf8 { column.len() } else { column.encode_utf16().count() };
        json!({ "line": line, "character": character })
    }

    /// The byte offset of a position.
    pub(crate) fn offset(&self, text: &str, position: &Value) -> usize {
        let line = usize::try_from(position["line"].as_u64().unwrap()).unwrap();
        let character = usize::try_from(position["character"].as_u64().unwrap()).unwrap();
        let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
        if self.utf8 {
            return start + character;
        }
        let mut units = 0;
        for (at, c) in text[start..].char_indices() {
            if units >= character {
                return start + at;
            }
            units += c.len_utf16();
        }
        text.len()
    }

    /// A request about the place in front of the `|` in `mark`, whose other text stands in the module.
    pub(crate) fn at(&mut self, method: &str, path: &str, mark: &str) -> Answer {
        self.at_with(method, path, mark, &json!({}))
    }

    /// As [`Client::at`], with more parameters.
    pub(crate) fn at_with(&mut self, method: &str, path: &str, mark: &str, more: &Value) -> Answer {
        let mut params = self.place(path, mark);
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.ask(method, params)
    }

    /// The parameters that name a place.
    pub(crate) fn place(&self, path: &str, mark: &str) -> Value {
        let offset = self.find(path, mark);
        json!({ "textDocument": { "uri": self.uri(path) }, "position": self.position(path, offset) })
    }

    pub(crate) fn find(&self, path: &str, mark: &str) -> usize {
        let cursor = mark.find('|').expect("a mark has a `|`");
        let plain = mark.replacen('|', "", 1);
        let at = self.text(path).find(&plain).unwrap_or_else(|| panic!("no `{plain}` in {path}:\n{}", self.text(path)));
        at + cursor
    }

    /// A request about a whole text.
    pub(crate) fn of(&mut self, method: &str, path: &str) -> Answer {
        self.ask(method, json!({ "textDocument": { "uri": self.uri(path) } }))
    }

    /// What is wrong with an open text as it is now: waits until the server has spoken of this version.
    pub(crate) fn diagnostics(&mut self, path: &str) -> Vec<Value> {
        let uri = self.uri(path);
        let version = self.open[&uri].version;
        loop {
            // A request after the edit is answered from the same text: when it is, all has been found out.
            if let Some((Some(told), list)) = self.told.get(&uri)
                && *told == version
            {
                return list.clone();
            }
            assert!(self.listen(PATIENCE), "nothing was said of version {version} of {path}");
        }
    }

    /// Waits until what is said of an open text is as it should be.
    pub(crate) fn settles(&mut self, path: &str, wanted: impl Fn(&[Value]) -> bool) {
        loop {
            let list = self.diagnostics(path);
            if wanted(&list) {
                return;
            }
            assert!(self.listen(PATIENCE), "{path} stays as it is: {list:?}");
        }
    }

    /// The codes of what is wrong with a text, once the package is known as a whole.
    pub(crate) fn codes(&mut self, path: &str) -> Vec<String> {
        let list = self.diagnostics(path);
        list.iter().map(|one| one["code"].as_str().unwrap().to_owned()).collect()
    }

    /// Applies text edits of the protocol to an open text, as one change each, from the last to the first.
    pub(crate) fn apply_edits(&mut self, uri: &str, edits: &[Value]) {
        let text = self.open[uri].text.clone();
        let range = |edit: &Value| {
            let at = |end: &str| self.offset(&text, &edit["range"][end]);
            (at("start"), at("end"), edit["newText"].as_str().unwrap().to_owned())
        };
        let mut edits: Vec<_> = edits.iter().map(range).collect();
        edits.sort_by_key(|(start, end, _)| std::cmp::Reverse((*start, *end)));
        for (start, end, new) in edits {
            self.edit(uri, start..end, &new);
        }
    }

    /// Applies a workspace edit; texts that are not open are opened first.
    pub(crate) fn apply(&mut self, edit: &Value) {
        let mut changes: Vec<(String, Vec<Value>)> = Vec::new();
        if let Some(all) = edit["changes"].as_object() {
            changes.extend(all.iter().map(|(uri, edits)| (uri.clone(), edits.as_array().unwrap().clone())));
        }
        for change in edit["documentChanges"].as_array().into_iter().flatten() {
            let uri = change["textDocument"]["uri"].as_str().unwrap().to_owned();
            let version = change["textDocument"]["version"].as_i64();
            if let (Some(version), Some(open)) = (version, self.open.get(&uri)) {
                assert_eq!(version, open.version, "the edit is for another version");
            }
            changes.push((uri, change["edits"].as_array().unwrap().clone()));
        }
        assert!(!changes.is_empty(), "an edit that changes nothing: {edit}");
        for (uri, edits) in changes {
            if !self.open.contains_key(&uri) {
                let file = uri.strip_prefix("file://").unwrap().to_owned();
                let text = std::fs::read_to_string(&file).unwrap();
                self.open_text(&uri, &text);
            }
            self.apply_edits(&uri, &edits);
        }
    }

    /// Waits until the server has asked for something.
    pub(crate) fn asked(&mut self, method: &str) -> Request {
        loop {
            if let Some(at) = self.asked.iter().position(|request| request.method == method) {
                return self.asked.remove(at);
            }
            assert!(self.listen(PATIENCE), "the server never asked for {method}");
        }
    }

    /// Waits until the server has said something.
    pub(crate) fn heard(&mut self, method: &str) -> Value {
        loop {
            if let Some(at) = self.heard.iter().position(|heard| heard.method == method) {
                return self.heard.remove(at).params;
            }
            assert!(self.listen(PATIENCE), "the server never said {method}");
        }
    }

    /// The range of a text that stands in an open module.
    pub(crate) fn range(&self, path: &str, part: &str) -> Value {
        let at = self.text(path).find(part).unwrap_or_else(|| panic!("no `{part}` in {path}:\n{}", self.text(path)));
        json!({ "start": self.position(path, at), "end": self.position(path, at + part.len()) })
    }

    /// The changes of a kind that are offered at a part of a module.
    pub(crate) fn actions(&mut self, path: &str, range: &Value, kind: &str) -> Vec<Value> {
        let params = json!({
            "textDocument": { "uri": self.uri(path) },
            "range": range,
            "context": { "diagnostics": [], "only": [kind] },
        });
        let found = self.ask("textDocument/codeAction", params).unwrap();
        let found = found.as_array().cloned().unwrap_or_default();
        assert!(found.iter().all(|action| action["kind"].as_str().unwrap().starts_with(kind)), "{found:?}");
        found
    }

    /// Makes the only such change; its title.
    pub(crate) fn act(&mut self, path: &str, range: &Value, kind: &str) -> String {
        let found = self.actions(path, range, kind);
        assert_eq!(found.len(), 1, "{kind}: {found:?}");
        self.apply(&found[0]["edit"]);
        found[0]["title"].as_str().unwrap().to_owned()
    }

    /// Takes an item of the completion in front of the `|` in `mark`: its edit and those that come with it, with the
    /// places of its snippet left as they are.
    pub(crate) fn complete(&mut self, path: &str, mark: &str, label: &str) -> Value {
        let found = self.at("textDocument/completion", path, mark).unwrap();
        let items = found["items"].as_array().unwrap();
        let labels: Vec<_> = items.iter().map(|item| item["label"].as_str().unwrap()).collect();
        let item = items.iter().find(|item| item["label"] == label).unwrap_or_else(|| panic!("no {label}: {labels:?}"));
        let item = self.ask("completionItem/resolve", item.clone()).unwrap();
        let mut edits = vec![item["textEdit"].clone()];
        if item["insertTextFormat"] == 2 {
            edits[0]["newText"] = json!(filled(edits[0]["newText"].as_str().unwrap()));
        }
        edits.extend(item["additionalTextEdits"].as_array().into_iter().flatten().cloned());
        let uri = self.uri(path);
        self.apply_edits(&uri, &edits);
        item
    }

    /// Ends the session in order.
    pub(crate) fn end(mut self) -> Ended {
        assert_eq!(self.ask("shutdown", Value::Null), Ok(Value::Null));
        self.notify("exit", Value::Null);
        self.joined()
    }

    /// Ends it as a client that dies does.
    pub(crate) fn die(mut self) -> Ended {
        let (dead, _) = Connection::memory();
        self.connection = dead;
        self.joined()
    }

    pub(crate) fn joined(&mut self) -> Ended {
        self.server.take().unwrap().join().expect("the server panicked").expect("the server failed")
    }
}

/// A snippet with its places left as they are: `${1:name}` is `name`, `$0` nothing.
fn filled(snippet: &str) -> String {
    let mut text = String::new();
    let mut rest = snippet;
    while let Some((before, behind)) = rest.split_once('$') {
        text.push_str(before);
        rest = match behind.strip_prefix('{').and_then(|place| place.split_once('}')) {
            Some((place, behind)) => {
                text.push_str(place.split_once(':').map_or("", |(_, said)| said));
                behind
            }
            None => behind.trim_start_matches(|c: char| c.is_ascii_digit()),
        };
    }
    text + rest
}

fn write(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}
