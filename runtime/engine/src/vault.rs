//! The vault of a run: fetches secrets when a step asks for them, each once, and keeps their values out of everything
//! that a run says.
//!
//! Values are in no plan, index, log or event. They are wiped from memory when the run ends.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use imgc_backend::secret::Mask;
use imgc_backend::{BackendError, Cx, Event, EventSink, Fault, Needles, Stream, Vault};
use imgc_plan::{Node, NodeId, Plan, Secret, SecretRef, SecretSource};
use zeroize::Zeroizing;

use crate::Refused;
use crate::survey::{Found, Survey};

/// The longest value: keys and certificates are a few KiB; environments hold no more than this.
const LONGEST: usize = 128 * 1024;

/// Values by the names of their secrets.
type Values = BTreeMap<String, Arc<Zeroizing<String>>>;

/// The secrets of one run.
pub(crate) struct RunVault {
    secrets: BTreeMap<String, Secret>,
    package: PathBuf,
    /// Held while a value is fetched, so that it is fetched once.
    values: tokio::sync::Mutex<Values>,
    seen: Mutex<BTreeMap<NodeId, Values>>,
    masked: RwLock<Arc<Needles>>,
}

impl RunVault {
    /// The vault of a plan whose package is in this directory.
    pub(crate) fn new(plan: &Plan, package: &Path) -> Self {
        Self {
            secrets: plan.secrets.clone(),
            package: package.to_owned(),
            values: tokio::sync::Mutex::default(),
            seen: Mutex::default(),
            masked: RwLock::default(),
        }
    }

    /// The looks of all values that were fetched so far.
    fn masked(&self) -> Arc<Needles> {
        self.masked.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A text without the values of secrets.
    pub(crate) fn mask(&self, text: &str) -> String {
        let needles = self.masked();
        if needles.is_empty() { text.to_owned() } else { needles.masked(text) }
    }

    /// An error whose texts hold no values.
    pub(crate) fn mask_error(&self, error: BackendError) -> BackendError {
        if self.masked().is_empty() {
            return error;
        }
        let text = |text: String| self.mask(&text);
        let maybe = |text: Option<String>| text.map(|text| self.mask(&text));
        match error {
            BackendError::StepFailed { what, how } => BackendError::StepFailed { what: text(what), how: text(how) },
            BackendError::TimedOut { what, after } => BackendError::TimedOut { what: text(what), after },
            BackendError::Source { message, help } => {
                BackendError::Source { message: text(message), help: maybe(help) }
            }
            BackendError::Environment { message, help } => {
                BackendError::Environment { message: text(message), help: maybe(help) }
            }
            BackendError::Program { message, help } => {
                BackendError::Program { message: text(message), help: maybe(help) }
            }
            BackendError::Disconnected { message, help } => {
                BackendError::Disconnected { message: text(message), help: maybe(help) }
            }
            BackendError::Machine { message, help } => {
                BackendError::Machine { message: text(message), help: maybe(help) }
            }
            BackendError::Leaked { what, secret, form, place } => {
                BackendError::Leaked { what: text(what), secret, form, place: text(place) }
            }
            BackendError::Io { doing, source } => {
                let said = self.mask(&source.to_string());
                let source = if said == source.to_string() { source } else { std::io::Error::new(source.kind(), said) };
                BackendError::Io { doing: text(doing), source }
            }
            BackendError::Internal { message } => BackendError::Internal { message: text(message) },
            BackendError::Interrupted => BackendError::Interrupted,
        }
    }

    /// A sink in front of another that lets no value through. What may be the beginning of one is held back until the
    /// rest of the stream tells.
    pub(crate) fn sink(self: &Arc<Self>, next: EventSink) -> EventSink {
        let (vault, streams) = (self.clone(), Mutex::new(HashMap::new()));
        EventSink::new(move |event| vault.pass(&streams, event, &next))
    }

    fn pass(&self, streams: &Mutex<Streams>, event: Event, next: &EventSink) {
        match event {
            Event::Output { node, stream, bytes } => {
                let needles = self.masked();
                let mut streams = streams.lock().unwrap_or_else(PoisonError::into_inner);
                let mask = streams.entry((node, number(stream))).or_default();
                let bytes = mask.feed(&needles, &bytes);
                drop(streams);
                if !bytes.is_empty() {
                    next.send(Event::Output { node, stream, bytes });
                }
            }
            Event::Finished { node, .. } => {
                self.flush(streams, node, next);
                next.send(event);
            }
            Event::Failed { node, address, error } => {
                self.flush(streams, node, next);
                next.send(Event::Failed { node, address, error: self.mask(&error) });
            }
            Event::Note { text } => next.send(Event::Note { text: self.mask(&text) }),
            Event::Started { .. } | Event::Cached { .. } => next.send(event),
        }
    }

    fn flush(&self, streams: &Mutex<Streams>, node: NodeId, next: &EventSink) {
        let needles = self.masked();
        for stream in [Stream::Stdout, Stream::Stderr, Stream::Note] {
            let mask = streams.lock().unwrap_or_else(PoisonError::into_inner).remove(&(node, number(stream)));
            let bytes = mask.map(|mut mask| mask.rest(&needles)).unwrap_or_default();
            if !bytes.is_empty() {
                next.send(Event::Output { node, stream, bytes });
            }
        }
    }

    /// Secrets that nodes which are certain to run ask for and that are known not to be there, before anything starts.
    pub(crate) fn missing(&self, plan: &Plan, survey: &Survey) -> Vec<Refused> {
        let mut missing = Vec::new();
        let mut known: BTreeMap<SecretRef, Option<(String, String)>> = BTreeMap::new();
        for (id, found) in survey.open() {
            let node = plan.node(id);
            // Below a miss a node that ran before may still be found; one that never did is not worth waiting for.
            if matches!(found, Found::Open { .. }) && survey.remembered(&node.address).is_some() {
                continue;
            }
            for name in named(node) {
                let lack = known.entry(name.clone()).or_insert_with(|| self.lack(&name));
                if let Some((message, help)) = lack {
                    let (message, help) = (message.clone(), Some(help.clone()));
                    let address = node.address.clone();
                    missing.push(Refused { node: id, address, message, help, fault: Fault::Environment });
                }
            }
        }
        missing
    }

    /// Why a secret is certainly not there; none where only fetching it would tell.
    fn lack(&self, name: &SecretRef) -> Option<(String, String)> {
        let source = &self.secrets.get(&name.0)?.source;
        let (why, help) = match source {
            SecretSource::Env(variable) => match std::env::var(variable) {
                Ok(value) if value.is_empty() => ("is empty", format!("set {variable} and run the same command again")),
                Ok(_) => return None,
                Err(std::env::VarError::NotPresent) => {
                    ("is not set", format!("set {variable} and run the same command again"))
                }
                Err(std::env::VarError::NotUnicode(_)) => ("is no text", "secrets are UTF-8".to_owned()),
            },
            SecretSource::File(path) if !self.package.join(path).is_file() => {
                ("is not there", "write the secret into it, readable by you alone".to_owned())
            }
            SecretSource::Command(argv) if !self.has_program(argv) => {
                ("cannot be found", "install the program, or name its path".to_owned())
            }
            SecretSource::File(_) | SecretSource::Command(_) => return None,
        };
        Some((format!("the secret `{}` is missing: {source} {why}", name.0), help))
    }

    fn has_program(&self, argv: &[String]) -> bool {
        let Some(program) = argv.first() else { return false };
        if program.contains('/') {
            return self.package.join(program).is_file();
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
    }

    async fn get(&self, name: &SecretRef, cx: &Cx) -> Result<Arc<Zeroizing<String>>, BackendError> {
        let mut values = self.values.lock().await;
        if let Some(known) = values.get(&name.0) {
            return Ok(known.clone());
        }
        let secret = self
            .secrets
            .get(&name.0)
            .ok_or_else(|| BackendError::Internal { message: format!("the plan has no secret `{}`", name.0) })?;
        if let Some((message, help)) = self.lack(name) {
            return Err(BackendError::Environment { message, help: Some(help) });
        }
        let bytes = match &secret.source {
            SecretSource::Env(variable) => Zeroizing::new(std::env::var(variable).unwrap_or_default().into_bytes()),
            SecretSource::File(path) => self.read_file(name, path).await?,
            SecretSource::Command(argv) => self.ask(name, argv, cx).await?,
        };
        let value = Arc::new(text(name, &secret.source, &bytes)?);
        values.insert(name.0.clone(), value.clone());
        let all = values.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        *self.masked.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Needles::for_logs(all));
        Ok(value)
    }

    async fn read_file(&self, name: &SecretRef, path: &str) -> Result<Zeroizing<Vec<u8>>, BackendError> {
        let path = self.package.join(path);
        let read = tokio::fs::read(&path).await;
        read.map(Zeroizing::new).map_err(|error| BackendError::Environment {
            message: format!("the secret `{}` cannot be read from the file {}: {error}", name.0, path.display()),
            help: None,
        })
    }

    /// What a program prints. Its errors go to the terminal: it may have to ask for a passphrase.
    async fn ask(&self, name: &SecretRef, argv: &[String], cx: &Cx) -> Result<Zeroizing<Vec<u8>>, BackendError> {
        let failed = |why: String| BackendError::Environment {
            message: format!("the secret `{}` cannot be had from the command `{}`: {why}", name.0, argv.join(" ")),
            help: Some("run the command by hand to see what it says".to_owned()),
        };
        let Some((program, rest)) = argv.split_first() else { return Err(failed("it is empty".to_owned())) };
        let program = if program.contains('/') { self.package.join(program) } else { PathBuf::from(program) };
        let mut command = tokio::process::Command::new(program);
        command.args(rest).current_dir(&self.package).stdout(Stdio::piped()).kill_on_drop(true);
        let child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let output = tokio::select! {
            () = cx.cancel.cancelled() => return Err(BackendError::Interrupted),
            output = child.wait_with_output() => output.map_err(|error| failed(error.to_string()))?,
        };
        let bytes = Zeroizing::new(output.stdout);
        if output.status.success() { Ok(bytes) } else { Err(failed(format!("it ended with {}", output.status))) }
    }
}

#[async_trait::async_trait]
impl Vault for RunVault {
    async fn fetch(&self, name: &SecretRef, cx: &Cx) -> Result<Arc<Zeroizing<String>>, BackendError> {
        let value = self.get(name, cx).await?;
        if let Some(node) = cx.node {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.entry(node).or_default().insert(name.0.clone(), value.clone());
        }
        Ok(value)
    }

    fn needles(&self, node: NodeId) -> Arc<Needles> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let values = seen.get(&node).into_iter().flatten();
        Arc::new(Needles::for_files(values.map(|(name, value)| (name.as_str(), value.as_str()))))
    }
}

type Streams = HashMap<(NodeId, u8), Mask>;

fn number(stream: Stream) -> u8 {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
        Stream::Note => 2,
    }
}

/// The secrets that a node names, each once.
fn named(node: &Node) -> BTreeSet<SecretRef> {
    let mut names = Vec::new();
    node.values().for_each(|value| value.secrets(&mut names));
    names.into_iter().collect()
}

/// What `imgc explain` says of the secrets of a node: one sentence a secret whose value may change without a trace.
pub(crate) fn unversioned(plan: &Plan, id: NodeId) -> Vec<String> {
    let lacks = |name: &SecretRef| plan.secrets.get(&name.0).is_some_and(|secret| secret.version.is_none());
    let names = named(plan.node(id)).into_iter().filter(lacks);
    let say = |name: SecretRef| {
        format!("the secret `{}` has no `version`: a new value of it does not make this step run again", name.0)
    };
    names.map(say).collect()
}

/// The value without the line end that editors and programs put at its end.
fn text(name: &SecretRef, source: &SecretSource, bytes: &[u8]) -> Result<Zeroizing<String>, BackendError> {
    let wrong = |why: &str| BackendError::Environment {
        message: format!("the secret `{}` from {source} {why}", name.0),
        help: None,
    };
    let text = std::str::from_utf8(bytes).map_err(|_| wrong("is not UTF-8"))?;
    let value = match source {
        SecretSource::Env(_) => text,
        SecretSource::File(_) | SecretSource::Command(_) => {
            text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(text)
        }
    };
    if value.is_empty() {
        return Err(wrong("is empty"));
    }
    if value.len() > LONGEST {
        return Err(wrong("is longer than 128 KiB"));
    }
    if value.contains('\0') {
        return Err(wrong("holds a NUL byte, which no environment can"));
    }
    Ok(Zeroizing::new(value.to_owned()))
}
