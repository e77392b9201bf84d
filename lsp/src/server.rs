//! The one thread that owns the state: it applies what the client says in order, hands requests to the pool, and sends
//! each its one answer.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, select, unbounded};
use lsp_server::{Connection, ErrorCode, Message, Notification, Request, RequestId, Response};
use serde_json::{Value, json};

use crate::client::{self, Client};
use crate::documents::Document;
use crate::handlers::{Answer, diagnostics, tokens};
use crate::host::Host;
use crate::lines::Text;
use crate::pool::{Pool, Priority};
use crate::requests::{Pending, guarded};
use crate::root::Root;
use crate::snapshot::Snapshot;
use crate::uri::Name;
use crate::watch::{self, Seen};
use crate::workspace::{Touch, Workspace};
use crate::{lsp, offered, uri};

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The client asked for it, after `shutdown`.
    Asked,
    /// The client sent `exit` without `shutdown`, or is gone.
    Gone,
}

/// Threads beside the one for typing.
const THREADS: usize = 3;

/// How often the disk is looked at, for files that no client reports.
const LOOK: Duration = Duration::from_secs(2);

/// What the threads report.
pub(crate) enum Event {
    /// A request's answer; `Err` for a panic, with its message.
    Answered { id: RequestId, serial: u64, outcome: Result<Answer<Value>, String> },
    /// Errors of syntax of a package that is still being looked at.
    Parsed { snapshot: Arc<Snapshot>, path: String, found: Vec<lsp::Diagnostic> },
    /// All diagnostics of a package; `edited` is the text whose change was the cause.
    Diagnosed { snapshot: Arc<Snapshot>, edited: Option<Name>, found: BTreeMap<String, Vec<lsp::Diagnostic>> },
    /// Packages whose files have changed, and whether a plan has.
    Looked { changed: Vec<Root>, planned: bool },
    /// A package could not be looked at, for a fault of ours.
    Failed { root: Root, panic: String },
}

/// What the client was asked.
pub(crate) enum Asked {
    /// To show progress of a package.
    Progress(Root),
    /// To ask for diagnostics again.
    Refresh,
    /// To ask again for something else that it shows, by the request's method.
    View(String),
    /// What needs no answer.
    Other,
}

/// Where the session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Only `initialize` is answered.
    Begun,
    Running,
    /// Only `exit` is heard.
    ShutDown,
}

/// Serves one client until it says goodbye or is gone.
///
/// # Errors
/// The system gives no thread.
pub fn serve(connection: &Connection, host: Arc<dyn Host>) -> io::Result<Ended> {
    let mut phase = Phase::Begun;
    let params = loop {
        let Ok(message) = connection.receiver.recv() else { return Ok(Ended::Gone) };
        match message {
            Message::Request(request) if request.method == "initialize" && request.params.is_object() => {
                break (request.id, request.params);
            }
            Message::Request(request) => refuse(&connection.sender, request, phase),
            Message::Notification(notification) if notification.method == "exit" => return Ok(Ended::Gone),
            Message::Notification(_) | Message::Response(_) => {}
        }
    };
    let mut server = Server::new(connection.sender.clone(), host, &params.1)?;
    let abilities = offered::abilities(&server.client);
    let info = json!({ "name": "imgc", "version": server.host.version() });
    server.send(Response::new_ok(params.0, json!({ "capabilities": abilities, "serverInfo": info })));
    phase = Phase::Running;
    let mut looked = Instant::now();
    loop {
        let message = match server.next(&connection.receiver) {
            Next::Message(message) => message,
            Next::Gone => return Ok(Ended::Gone),
            Next::Event => continue,
            Next::Nothing => {
                if server.seen.parent_is_gone() {
                    return Ok(Ended::Gone);
                }
                if looked.elapsed() >= LOOK {
                    looked = Instant::now();
                    server.look();
                }
                continue;
            }
        };
        match message {
            Message::Notification(notification) if notification.method == "exit" => {
                return Ok(if phase == Phase::ShutDown { Ended::Asked } else { Ended::Gone });
            }
            Message::Request(request) if request.method == "shutdown" && phase == Phase::Running => {
                phase = Phase::ShutDown;
                server.abandon();
                server.send(Response::new_ok(request.id, Value::Null));
            }
            Message::Request(request) if phase == Phase::ShutDown || request.method == "initialize" => {
                refuse(&server.sender, request, phase);
            }
            Message::Request(request) => server.request(request),
            Message::Notification(_) if phase == Phase::ShutDown => {}
            Message::Notification(notification) => server.notified(notification),
            Message::Response(response) => server.heard(&response),
        }
    }
}

/// The protocol's error for a request that is out of order.
fn refuse(sender: &Sender<Message>, request: Request, phase: Phase) {
    let (code, message) = match (phase, request.method.as_str()) {
        (Phase::Begun, "initialize") => (ErrorCode::InvalidParams, "`initialize` needs parameters"),
        (Phase::Begun, _) => (ErrorCode::ServerNotInitialized, "the first request is `initialize`"),
        (Phase::ShutDown, _) => (ErrorCode::InvalidRequest, "the server has shut down"),
        (Phase::Running, _) => (ErrorCode::InvalidRequest, "the server is already initialized"),
    };
    // A client that is gone is noticed at the next read.
    let _ = sender.send(Response::new_err(request.id, code as i32, message.to_owned()).into());
}

/// What comes next.
enum Next {
    Message(Message),
    /// Something of the threads, which is done.
    Event,
    /// Nothing for a while.
    Nothing,
    Gone,
}

/// All state of a running session.
pub(crate) struct Server {
    pub(crate) sender: Sender<Message>,
    pub(crate) client: Arc<Client>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) workspace: Workspace,
    pub(crate) pool: Pool,
    pub(crate) pending: BTreeMap<RequestId, Pending>,
    pub(crate) serial: u64,
    pub(crate) tokens: Arc<tokens::Said>,
    pub(crate) events: Sender<Event>,
    happened: Receiver<Event>,
    pub(crate) asked: BTreeMap<RequestId, Asked>,
    next_id: i32,
    /// What the client was last told of each module, or would have been: the version, and the diagnostics.
    told: BTreeMap<String, (Option<i32>, Vec<lsp::Diagnostic>)>,
    /// Packages that were looked at as a whole at least once.
    known: Vec<Root>,
    /// Packages whose progress the client shows.
    shown: Vec<Root>,
    seen: Arc<Seen>,
    /// Whether the user was told of a fault of ours: once is enough while it lasts.
    pub(crate) has_complained: bool,
}

impl Server {
    fn new(sender: Sender<Message>, host: Arc<dyn Host>, params: &Value) -> io::Result<Self> {
        let client = Arc::new(Client::new(params));
        let (events, happened) = unbounded();
        Ok(Self {
            sender,
            workspace: Workspace::new(client.clone(), host.clone(), &client::folders(params)),
            pool: Pool::new(THREADS)?,
            client,
            host,
            pending: BTreeMap::new(),
            serial: 0,
            tokens: Arc::default(),
            events,
            happened,
            asked: BTreeMap::new(),
            next_id: 0,
            told: BTreeMap::new(),
            known: Vec::new(),
            shown: Vec::new(),
            seen: Arc::new(Seen::new(params.get("processId").and_then(Value::as_u64))),
            has_complained: false,
        })
    }

    /// Waits for a message or an event; events are dealt with here.
    fn next(&mut self, receiver: &Receiver<Message>) -> Next {
        let event = select! {
            recv(receiver) -> message => return message.map_or(Next::Gone, Next::Message),
            recv(self.happened) -> event => event.map_err(|_| RecvTimeoutError::Disconnected),
            default(LOOK) => Err(RecvTimeoutError::Timeout),
        };
        match event {
            Ok(event) => {
                self.happened(event);
                Next::Event
            }
            Err(_) => Next::Nothing,
        }
    }

    /// Says something to the client. One that is gone is noticed at the next read.
    pub(crate) fn send(&self, message: impl Into<Message>) {
        let _ = self.sender.send(message.into());
    }

    pub(crate) fn tell<N: lsp::Notification>(&self, params: N::Params) {
        self.send(Notification::new(N::METHOD.as_str().to_owned(), params));
    }

    pub(crate) fn ask<R: lsp::Request>(&mut self, params: R::Params, asked: Asked) {
        self.next_id = self.next_id.wrapping_add(1);
        let id = RequestId::from(self.next_id);
        self.asked.insert(id.clone(), asked);
        // A request without parameters carries none, not `null`: `Request` leaves a null out.
        self.send(Request::new(id, R::METHOD.as_str().to_owned(), params));
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Answered { id, serial, outcome } => self.answered(&id, serial, outcome),
            Event::Parsed { snapshot, path, found } => {
                if !snapshot.is_outdated() && !found.is_empty() && !self.known.contains(&snapshot.root) {
                    self.publish(&snapshot, &path, found);
                }
            }
            Event::Diagnosed { snapshot, edited, found } => self.diagnosed(&snapshot, edited.as_ref(), found),
            Event::Looked { changed, planned } => {
                self.shows_again(!changed.is_empty(), planned);
                for root in changed {
                    let snapshot = self.workspace.reread(&root);
                    self.diagnose(snapshot, None);
                }
            }
            Event::Failed { root, panic } => self.complain(&root, &panic),
        }
    }

    /// Has packages looked at, and what is wrong with them told.
    fn diagnose(&mut self, snapshots: impl IntoIterator<Item = Arc<Snapshot>>, edited: Option<&Name>) {
        for snapshot in snapshots {
            if !snapshot.is_open() {
                continue;
            }
            let first = !self.known.contains(&snapshot.root);
            if first && self.client.progress && !self.shown.contains(&snapshot.root) {
                self.shown.push(snapshot.root.clone());
                let token = watch::token(&snapshot.root);
                let params = lsp::WorkDoneProgressCreateParams { token };
                self.ask::<lsp::WorkDoneProgressCreateRequest>(params, Asked::Progress(snapshot.root.clone()));
            }
            let (events, edited) = (self.events.clone(), edited.cloned());
            self.pool.spawn(Priority::Normal, move || {
                let looked = guarded(|| look(&snapshot, first, edited, &events));
                if let Err(panic) = looked {
                    // The receiver outlives the pool.
                    let _ = events.send(Event::Failed { root: snapshot.root.clone(), panic });
                }
            });
        }
    }

    fn diagnosed(
        &mut self,
        snapshot: &Arc<Snapshot>,
        edited: Option<&Name>,
        found: BTreeMap<String, Vec<lsp::Diagnostic>>,
    ) {
        if !self.known.contains(&snapshot.root) {
            self.known.push(snapshot.root.clone());
            self.progress_ends(&snapshot.root);
        }
        if snapshot.is_outdated() {
            return;
        }
        let mut others = false;
        let gone =
            self.told_of(&snapshot.root).into_iter().filter(|path| !found.contains_key(path)).collect::<Vec<_>>();
        let all = found.into_iter().chain(gone.into_iter().map(|path| (path, Vec::new())));
        for (path, diagnostics) in all {
            let changed = self.publish(snapshot, &path, diagnostics);
            others |= changed && edited != Some(&snapshot.root.name(&path));
        }
        let waiting = self.asked.values().any(|asked| matches!(asked, Asked::Refresh));
        if others && self.client.pull && self.client.refresh_diagnostics && !waiting {
            self.ask::<lsp::DiagnosticRefreshRequest>((), Asked::Refresh);
        }
    }

    /// The modules of a package that something was said of.
    fn told_of(&self, root: &Root) -> Vec<String> {
        let path = |uri: &String| match uri::parse(uri) {
            Name::Std(_) => None,
            name @ (Name::File(_) | Name::Buffer(_)) => root.path(&name),
        };
        self.told.keys().filter_map(path).collect()
    }

    /// Tells the diagnostics of a module, unless the client knows them or asks itself. Whether they are new.
    fn publish(&mut self, snapshot: &Snapshot, path: &str, diagnostics: Vec<lsp::Diagnostic>) -> bool {
        let (uri, version) = (snapshot.uri(path), snapshot.version(path));
        let known = self.told.get(&uri.0);
        let same = known.map_or(diagnostics.is_empty(), |(_, known)| *known == diagnostics);
        // An open text hears of each version, so that an editor knows what the list is about.
        let heard = match (known, version) {
            (Some((known, _)), Some(version)) => *known == Some(version),
            (None, Some(_)) => false,
            (_, None) => true,
        };
        if same && heard {
            return false;
        }
        self.told.insert(uri.0.clone(), (version, diagnostics.clone()));
        if !self.client.pull {
            self.tell::<lsp::PublishDiagnosticsNotification>(lsp::PublishDiagnosticsParams {
                uri,
                version,
                diagnostics,
            });
        }
        !same
    }

    pub(crate) fn progress_ends(&mut self, root: &Root) {
        if let Some(at) = self.shown.iter().position(|shown| shown == root) {
            self.shown.remove(at);
            self.progress(root, json!({ "kind": "end" }));
        }
    }

    fn progress(&self, root: &Root, value: Value) {
        self.tell::<lsp::ProgressNotification>(lsp::ProgressParams { token: watch::token(root), value });
    }

    /// The client's answer to what it was asked.
    fn heard(&mut self, response: &Response) {
        match self.asked.remove(&response.id) {
            Some(Asked::Progress(root)) if response.response_result.is_ok() && !self.known.contains(&root) => {
                self.progress(&root, json!({ "kind": "begin", "title": "imgc", "message": root.shown() }));
            }
            Some(Asked::Progress(root)) => self.shown.retain(|shown| *shown != root),
            Some(Asked::Refresh | Asked::View(_) | Asked::Other) | None => {}
        }
    }

    /// Has the disk looked at, beside everything else.
    fn look(&self) {
        let snapshots: Vec<_> = self.workspace.packages().filter(|snapshot| snapshot.is_open()).cloned().collect();
        let (seen, events) = (self.seen.clone(), self.events.clone());
        self.pool.spawn(Priority::Normal, move || {
            let looked = guarded(|| seen.look(&snapshots));
            if let Ok(Some((changed, planned))) = looked {
                // The receiver outlives the pool.
                let _ = events.send(Event::Looked { changed, planned });
            }
        });
    }

    fn notified(&mut self, notification: Notification) {
        let method = notification.method.clone();
        if let Err(error) = self.apply(notification) {
            tracing::warn!("`{method}` is not understood: {error}");
        }
    }

    /// Applies a notification; one that nobody knows is ignored, as the protocol asks.
    fn apply(&mut self, notification: Notification) -> Result<(), serde_json::Error> {
        let Notification { method, params } = notification;
        match method.as_str() {
            "initialized" => self.initialized(),
            "$/cancelRequest" => {
                if let Some(id) = params.get("id").and_then(|id| serde_json::from_value(id.clone()).ok()) {
                    self.cancel(&id);
                }
            }
            "textDocument/didOpen" => self.opened(serde_json::from_value(params)?),
            "textDocument/didChange" => self.changed(serde_json::from_value(params)?),
            "textDocument/didClose" => self.closed(&serde_json::from_value(params)?),
            "textDocument/didSave" => {
                let params: lsp::DidSaveTextDocumentParams = serde_json::from_value(params)?;
                self.touched(&[(params.text_document.uri.0, Touch::Written)]);
            }
            "workspace/didChangeWatchedFiles" => {
                let params: lsp::DidChangeWatchedFilesParams = serde_json::from_value(params)?;
                let touch = |event: lsp::FileEvent| match event.kind {
                    lsp::FileChangeType::Changed => (event.uri.0, Touch::Written),
                    lsp::FileChangeType::Created | lsp::FileChangeType::Deleted | lsp::FileChangeType::Custom(_) => {
                        (event.uri.0, Touch::Listed)
                    }
                };
                let files: Vec<_> = params.changes.into_iter().map(touch).collect();
                self.touched(&files);
                self.shows_again(!files.is_empty(), false);
            }
            "workspace/didChangeWorkspaceFolders" => {
                let params: lsp::DidChangeWorkspaceFoldersParams = serde_json::from_value(params)?;
                let uris = |folders: Vec<lsp::WorkspaceFolder>| -> Vec<String> {
                    folders.into_iter().map(|folder| folder.uri.0).collect()
                };
                self.workspace.change_folders(&uris(params.event.added), &uris(params.event.removed));
            }
            _ => {}
        }
        Ok(())
    }

    fn initialized(&mut self) {
        if self.client.watches {
            self.ask::<lsp::RegistrationRequest>(watch::registration(), Asked::Other);
        }
    }

    fn opened(&mut self, params: lsp::DidOpenTextDocumentParams) {
        let document = params.text_document;
        let name = self.workspace.name(&document.uri.0);
        let text = Text::new(Arc::from(document.text));
        let opened = Document { uri: document.uri.0, version: document.version, text };
        let changed = self.workspace.open(&name, opened);
        self.diagnose(changed, Some(&name));
    }

    fn changed(&mut self, params: lsp::DidChangeTextDocumentParams) {
        let uri = &params.text_document.text_document_identifier.uri;
        let name = self.workspace.name(&uri.0);
        let Some(document) = self.workspace.document(&name) else {
            tracing::warn!("`{uri}` was changed and is not open");
            return;
        };
        let text = document.text.changed(params.content_changes, self.client.encoding);
        let changed = self.workspace.edit(&name, params.text_document.version, text);
        self.diagnose(changed, Some(&name));
    }

    fn closed(&mut self, params: &lsp::DidCloseTextDocumentParams) {
        let name = self.workspace.name(&params.text_document.uri.0);
        self.tokens.forget(&params.text_document.uri.0);
        match self.workspace.close(&name) {
            Some((_, Some(snapshot))) if snapshot.is_open() => self.diagnose(Some(snapshot), None),
            // Nobody looks at the package any more: nothing more is said of it.
            Some((root, _)) => {
                self.known.retain(|known| *known != root);
                self.progress_ends(&root);
                for path in self.told_of(&root) {
                    let uri = crate::root::uri_of(&root.name(&path));
                    self.told.remove(&uri);
                    self.told.remove(&params.text_document.uri.0);
                    if !self.client.pull {
                        let params =
                            lsp::PublishDiagnosticsParams { uri: uri.into(), version: None, diagnostics: Vec::new() };
                        self.tell::<lsp::PublishDiagnosticsNotification>(params);
                    }
                }
            }
            None => {}
        }
    }

    fn touched(&mut self, files: &[(String, Touch)]) {
        let file = |(uri, touch): &(String, Touch)| match uri::parse(uri) {
            Name::File(file) => Some((file, *touch)),
            Name::Std(_) | Name::Buffer(_) => None,
        };
        let files: Vec<_> = files.iter().filter_map(file).collect();
        let changed = self.workspace.touched(&files);
        self.diagnose(changed, None);
    }
}

/// Looks at a package in a thread of the pool.
fn look(snapshot: &Arc<Snapshot>, first: bool, edited: Option<Name>, events: &Sender<Event>) {
    if first {
        for (path, _) in snapshot.open_modules() {
            let found = diagnostics::of_syntax(snapshot, &path);
            let _ = events.send(Event::Parsed { snapshot: snapshot.clone(), path, found });
        }
    }
    // Whoever outdated it has a newer one looked at.
    if let Ok(analysis) = snapshot.analysis(&|| false) {
        let found = diagnostics::of_package(snapshot, &analysis);
        let _ = events.send(Event::Diagnosed { snapshot: snapshot.clone(), edited, found });
    }
}
