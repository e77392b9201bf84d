//! Pulling from registries, anonymously: names become digests, digests become verified bytes.
//!
//! The protocol is that of the OCI distribution specification, "Pull", with Docker's token service
//! (distribution, "Token Authentication Specification").

mod error;
mod http;
mod token;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use imgc_plan::{Platform, Sha256};
use serde::Deserialize;
use sha2::Digest as _;

pub use error::RegistryError;
use http::{Http, Request, Response, is_loopback};

use crate::Reference;
use crate::image::{
    DOCKER_INDEX, DOCKER_MANIFEST, DOCUMENT_LIMIT, Descriptor, Document, Image, ImageError, OCI_INDEX, OCI_MANIFEST,
    assemble, descriptor, read_document, select,
};

/// Says whether the caller wants to stop.
pub type Cancelled = Arc<dyn Fn() -> bool + Send + Sync>;

/// How registries are reached.
#[derive(Clone, Default)]
pub struct Settings {
    /// `http_proxy`, `https_proxy`, `no_proxy` in either spelling.
    pub proxies: BTreeMap<String, String>,
    /// PEM files of certificate authorities that are trusted beside the system's.
    pub ca_files: Vec<PathBuf>,
    /// By registry host (`docker.io`): the base address to ask first, `https://mirror.example` or `http://…`.
    pub mirrors: BTreeMap<String, String>,
    /// Asked between reads; once it says yes everything ends with [`RegistryError::Cancelled`].
    pub cancelled: Option<Cancelled>,
}

/// What a name stands for at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Of the image's manifest for the platform: what to pin.
    pub digest: Sha256,
    /// Of the index it came from, where there is one.
    pub index: Option<Sha256>,
}

/// A client for all registries. Keeps tokens and connections; may be shared between threads.
pub struct Registry {
    http: Http,
    mirrors: BTreeMap<String, String>,
    /// By base address and repository.
    tokens: Mutex<BTreeMap<(String, String), String>>,
}

/// How often a question is asked that may get a better answer.
const ATTEMPTS: u32 = 4;

impl Registry {
    /// Reads the certificates and sets the client up; contacts nobody.
    pub fn new(settings: Settings) -> Result<Self, RegistryError> {
        let http = Http::new(&settings)?;
        let bad = |value: &String| RegistryError::BadAddress { what: "mirror", value: value.clone() };
        for mirror in settings.mirrors.values() {
            if !mirror.starts_with("http://") && !mirror.starts_with("https://") {
                return Err(bad(mirror));
            }
        }
        Ok(Self { http, mirrors: settings.mirrors, tokens: Mutex::default() })
    }

    /// Asks what a reference stands for on a platform.
    pub fn resolve(&self, reference: &Reference, platform: &Platform) -> Result<Resolved, RegistryError> {
        let (digest, document) = self.manifest(reference)?;
        match document {
            Document::Manifest { .. } => Ok(Resolved { digest, index: None }),
            Document::Index(index) => {
                let unusable = |source| unusable(reference, source);
                let chosen = select(&index, platform).map_err(unusable)?;
                let chosen = descriptor(chosen, "index").map_err(unusable)?;
                Ok(Resolved { digest: chosen.digest, index: Some(digest) })
            }
        }
    }

    /// Fetches manifest and configuration of an image by the digest that [`Registry::resolve`] gave.
    pub fn image(&self, reference: &Reference, digest: Sha256, platform: &Platform) -> Result<Image, RegistryError> {
        let pinned = reference.with_digest(digest);
        let unusable = |source| unusable(&pinned, source);
        let (config, layers) = match self.manifest(&pinned)?.1 {
            Document::Manifest { config, layers } => (config, layers),
            // Whoever pinned the index means the image in it.
            Document::Index(_) => {
                let inner = self.resolve(&pinned, platform)?;
                return if inner.digest == digest {
                    Err(unusable(ImageError::UnknownMediaType {
                        what: "manifest".into(),
                        media_type: OCI_INDEX.into(),
                    }))
                } else {
                    self.image(reference, inner.digest, platform)
                };
            }
        };
        let path = format!("blobs/sha256:{}", config.digest);
        let (_, bytes) = self.anywhere(&pinned, |base| self.document(base, &pinned, &path, &[]))?;
        check(&config, &bytes).map_err(unusable)?;
        assemble(digest, &bytes, layers, platform).map_err(unusable)
    }

    /// Fetches a blob to the file `to`, verified. What an earlier attempt left in the file is used. `progress` gets
    /// the number of bytes that are there.
    pub fn fetch(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        to: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), RegistryError> {
        self.anywhere(reference, |base| {
            let mut failures = 0;
            loop {
                let had = to.metadata().map_or(0, |m| m.len());
                let error = match self.fetch_once(base, reference, blob, to, progress) {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                };
                let got = to.metadata().map_or(0, |m| m.len());
                // An attempt that got further does not count.
                failures = if got > had { 0 } else { failures + 1 };
                let resumed_wrong = had > 0 && got == 0;
                if failures >= ATTEMPTS || !(error.is_passing() || resumed_wrong) {
                    return Err(error);
                }
                self.http.sleep(pause(failures))?;
            }
        })
    }

    /// The manifest or index that a reference names, with its digest.
    fn manifest(&self, reference: &Reference) -> Result<(Sha256, Document), RegistryError> {
        let name = match (&reference.digest, &reference.tag) {
            (Some(digest), _) => format!("sha256:{digest}"),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        };
        let accept = [OCI_INDEX, DOCKER_INDEX, OCI_MANIFEST, DOCKER_MANIFEST].join(", ");
        let path = format!("manifests/{name}");
        self.anywhere(reference, |base| {
            let (response, bytes) = self.document(base, reference, &path, &[("accept", accept.clone())])?;
            let registry = base.to_owned();
            if response.media_type.starts_with("text/") {
                let why = format!("it sends {}, not a manifest", response.media_type);
                return Err(RegistryError::Garbage { registry, why });
            }
            let found = Sha256::of(&bytes);
            let says = response.digest.as_deref().and_then(|text| text.strip_prefix("sha256:")?.parse().ok());
            if let Some(expected) = reference.digest.or(says).filter(|expected| *expected != found) {
                return Err(unusable(reference, ImageError::DigestMismatch { what: "manifest", expected, found }));
            }
            let document = read_document(&bytes, &response.media_type).map_err(|e| unusable(reference, e))?;
            Ok((found, document))
        })
    }

    /// Asks the mirror, if there is one, and then the registry.
    fn anywhere<T>(
        &self,
        reference: &Reference,
        mut ask: impl FnMut(&str) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let host = reference.registry.as_str();
        let mirror = match self.mirrors.get(host) {
            Some(mirror) => match ask(mirror.trim_end_matches('/')) {
                Ok(found) => return Ok(found),
                Err(RegistryError::Cancelled) => return Err(RegistryError::Cancelled),
                Err(error @ RegistryError::Write { .. }) => return Err(error),
                Err(error) => Some(error),
            },
            None => None,
        };
        let answer = if is_loopback(host) {
            near(host, ask)
        } else if host == crate::reference::DEFAULT_REGISTRY {
            ask("https://registry-1.docker.io")
        } else {
            ask(&format!("https://{host}"))
        };
        answer.map_err(|source| match mirror {
            Some(mirror) if !matches!(source, RegistryError::Cancelled) => RegistryError::MirrorToo {
                reference: reference.familiar(),
                mirror: Box::new(mirror),
                source: Box::new(source),
            },
            _ => source,
        })
    }

    /// A small document, whole.
    fn document(
        &self,
        base: &str,
        reference: &Reference,
        path: &str,
        headers: &[(&'static str, String)],
    ) -> Result<(Head, Vec<u8>), RegistryError> {
        let mut failures = 0;
        loop {
            let error = match self.document_once(base, reference, path, headers) {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            failures += 1;
            if failures >= ATTEMPTS || !error.is_passing() {
                return Err(error);
            }
            self.http.sleep(pause(failures))?;
        }
    }

    fn document_once(
        &self,
        base: &str,
        reference: &Reference,
        path: &str,
        headers: &[(&'static str, String)],
    ) -> Result<(Head, Vec<u8>), RegistryError> {
        let response = self.get(base, reference, path, headers)?;
        let header = |name| response.header(name).map(str::to_owned);
        let head =
            Head { media_type: header("content-type").unwrap_or_default(), digest: header("docker-content-digest") };
        let bytes = response.bytes(&self.http, DOCUMENT_LIMIT)?;
        if bytes.len() as u64 > DOCUMENT_LIMIT {
            let why = format!("its {path} has more than {DOCUMENT_LIMIT} bytes");
            return Err(RegistryError::Garbage { registry: base.to_owned(), why });
        }
        Ok((head, bytes))
    }

    /// Sends a request about a repository, with a token where one is asked for. The answer is a good one.
    fn get(
        &self,
        base: &str,
        reference: &Reference,
        path: &str,
        headers: &[(&'static str, String)],
    ) -> Result<Response, RegistryError> {
        let url = format!("{base}/v2/{}/{path}", reference.repository);
        let key = (base.to_owned(), reference.repository.clone());
        let known = self.tokens.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let mut response = self.http.send(&request(&url, headers, known.as_deref()))?;
        if response.status == 401 {
            let denied = || RegistryError::Denied { registry: base.to_owned(), reference: reference.familiar() };
            let challenge = response.header("www-authenticate").and_then(token::Challenge::parse).ok_or_else(denied)?;
            let token = challenge.answer(&self.http, base, reference)?;
            response = self.http.send(&request(&url, headers, Some(&token)))?;
            self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(key, token);
        }
        match response.status {
            200 | 206 => Ok(response),
            _ => Err(self.refusal(response, base, reference, path)),
        }
    }

    /// The error that a status stands for.
    fn refusal(&self, response: Response, base: &str, reference: &Reference, path: &str) -> RegistryError {
        let registry = base.to_owned();
        let reference = reference.familiar();
        match response.status {
            401 | 403 => RegistryError::Denied { registry, reference },
            404 => {
                let what = if path.starts_with("blobs/") { "blob of" } else { "image" };
                RegistryError::NotFound { registry, what, reference }
            }
            429 => RegistryError::RateLimited { registry },
            status => {
                let bytes = response.bytes(&self.http, 64 * 1024).unwrap_or_default();
                let said: Errors = serde_json::from_slice(&bytes).unwrap_or_default();
                let message = said.errors.into_iter().find_map(|error| error.message);
                RegistryError::Refused { registry, status, message }
            }
        }
    }

    /// One attempt at a blob, going on where the file ends. A file that turns out wrong is emptied.
    fn fetch_once(
        &self,
        base: &str,
        reference: &Reference,
        blob: &Descriptor,
        to: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), RegistryError> {
        let write = |source| RegistryError::Write { path: to.to_owned(), source };
        let size = blob.size.unwrap_or(u64::MAX);
        let digest = blob.digest;
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(to).map_err(write)?;
        let mut have = Have::read(&mut file, size).map_err(write)?;
        if have.bytes < size {
            let mut response = self.ask_rest(base, reference, blob, have.bytes)?;
            if response.status != 206 && have.bytes > 0 {
                have = Have::nothing(&mut file).map_err(write)?;
            }
            let broke_off = |got| RegistryError::BrokeOff { registry: base.to_owned(), digest, got, size };
            while let Some(bytes) = response.chunk(&self.http).map_err(|e| e.unless_cancelled(broke_off(have.bytes)))? {
                have.bytes += bytes.len() as u64;
                if have.bytes > size {
                    break;
                }
                file.write_all(&bytes).map_err(write)?;
                have.hash.update(&bytes);
                progress(have.bytes);
            }
            if have.bytes < size && blob.size.is_some() {
                return Err(broke_off(have.bytes));
            }
        }
        let found = Sha256(have.hash.finalize().into());
        let wrong = if have.bytes > size {
            ImageError::SizeMismatch { what: "blob", digest, expected: size, found: have.bytes }
        } else if found != digest {
            ImageError::DigestMismatch { what: "blob", expected: digest, found }
        } else {
            return Ok(());
        };
        file.set_len(0).map_err(write)?;
        Err(unusable(reference, wrong))
    }

    /// Asks for a blob from byte `from` on. Status 206 says that this is what comes, 200 that all of it does.
    fn ask_rest(
        &self,
        base: &str,
        reference: &Reference,
        blob: &Descriptor,
        from: u64,
    ) -> Result<Response, RegistryError> {
        let path = format!("blobs/sha256:{}", blob.digest);
        if from > 0 {
            let range = [("range", format!("bytes={from}-"))];
            match self.get(base, reference, &path, &range) {
                // It does not know the rest of this blob.
                Err(RegistryError::Refused { status: 416, .. }) => {}
                Err(error) => return Err(error),
                Ok(response) => {
                    let begins = format!("bytes {from}-");
                    let fits = response.header("content-range").is_some_and(|range| range.starts_with(&begins));
                    if response.status == 200 || fits {
                        return Ok(response);
                    }
                }
            }
        }
        let response = self.get(base, reference, &path, &[])?;
        if response.status == 200 {
            return Ok(response);
        }
        let why = format!("it answers {} when asked for a whole blob", response.status);
        Err(RegistryError::Garbage { registry: base.to_owned(), why })
    }
}

/// Asks a registry on this machine: by plain HTTP first, by HTTPS if something is there that does not speak that.
fn near<T>(host: &str, mut ask: impl FnMut(&str) -> Result<T, RegistryError>) -> Result<T, RegistryError> {
    let error = match ask(&format!("http://{host}")) {
        Err(error @ (RegistryError::Garbage { .. } | RegistryError::Refused { status: 400, .. })) => error,
        answer => return answer,
    };
    match ask(&format!("https://{host}")) {
        Err(secure) if !matches!(secure, RegistryError::Tls { .. } | RegistryError::Cancelled) => Err(error),
        answer => answer,
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("mirrors", &self.mirrors).finish_non_exhaustive()
    }
}

/// What an answer says about its body.
struct Head {
    media_type: String,
    digest: Option<String>,
}

/// What a registry says when it refuses.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Errors {
    errors: Vec<Said>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    message: Option<String>,
}

/// What is already there of a blob.
struct Have {
    bytes: u64,
    hash: sha2::Sha256,
}

impl Have {
    /// Reads the file and leaves it at its end; a file that is too long counts as nothing.
    fn read(file: &mut File, size: u64) -> std::io::Result<Self> {
        if file.metadata()?.len() > size {
            return Self::nothing(file);
        }
        let mut have = Self { bytes: 0, hash: sha2::Sha256::new() };
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                return Ok(have);
            }
            have.bytes += read as u64;
            have.hash.update(buffer.get(..read).unwrap_or_default());
        }
    }

    fn nothing(file: &mut File) -> std::io::Result<Self> {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Self { bytes: 0, hash: sha2::Sha256::new() })
    }
}

fn request(url: &str, headers: &[(&'static str, String)], token: Option<&str>) -> Request {
    let mut headers = headers.to_vec();
    if let Some(token) = token {
        headers.push(("authorization", format!("Bearer {token}")));
    }
    Request { url: url.to_owned(), headers }
}

/// Compares a document with the descriptor that named it.
fn check(named: &Descriptor, bytes: &[u8]) -> Result<(), ImageError> {
    let found = Sha256::of(bytes);
    if found == named.digest {
        return Ok(());
    }
    Err(ImageError::DigestMismatch { what: "configuration", expected: named.digest, found })
}

fn unusable(reference: &Reference, source: ImageError) -> RegistryError {
    RegistryError::Image { reference: reference.familiar(), source }
}

/// Longer after each failure.
fn pause(failures: u32) -> Duration {
    Duration::from_millis(150 << failures.min(4))
}
