//! Downloads of base images: resumed where they broke off, verified, kept once for all packages of the store.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use imgc_backend::{BackendError, Cx};
use imgc_plan::{Digest, Sha256};
use imgc_store::{Object, Store};
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::errors;

/// How long to wait for a connection, an answer, or more of one.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a download that broke off is taken up again before it is given up.
const ATTEMPTS: u32 = 5;

/// The file at an address; with a digest, the file that has it.
pub(crate) async fn get(
    store: &Arc<Store>,
    url: &str,
    wanted: Option<&Sha256>,
    cx: &Cx,
) -> Result<Object, BackendError> {
    let (store, url, wanted, cx) = (Arc::clone(store), url.to_owned(), wanted.copied(), cx.clone());
    tokio::task::spawn_blocking(move || Download { store: &store, url: &url, cx: &cx }.get(wanted.as_ref()))
        .await
        .map_err(errors::panicked)?
}

struct Download<'a> {
    store: &'a Store,
    url: &'a str,
    cx: &'a Cx,
}

/// Why a download stopped.
enum Stop {
    /// It may go on from where it is.
    Broke(String),
    /// It is of no use to try again.
    Failed(BackendError),
}

impl Download<'_> {
    fn get(&self, wanted: Option<&Sha256>) -> Result<Object, BackendError> {
        if let Some(sha256) = wanted
            && let Some(object) = self.store.object_by_sha256(sha256).map_err(errors::store)?
        {
            return Ok(object);
        }
        let (path, file) = self.partial()?;
        // Another run may be at it: whoever comes second finds the file complete.
        file.lock().map_err(BackendError::io(format!("cannot lock {}", path.display())))?;
        if let Some(sha256) = wanted
            && let Some(object) = self.store.object_by_sha256(sha256).map_err(errors::store)?
        {
            return Ok(object);
        }
        self.fetch_all(&file)?;
        let object = self.store.insert_copy(&path).map_err(errors::store)?;
        let _ = std::fs::remove_file(&path);
        match wanted {
            Some(sha256) if object.sha256 != *sha256 => Err(BackendError::Source {
                message: format!(
                    "the file at {} is another one now: it has the SHA-256 digest {}, and {sha256} is expected",
                    self.url, object.sha256
                ),
                help: Some(format!(
                    "if that is meant, run `imgc update {}`, or mend the digest in the program",
                    self.url
                )),
            }),
            _ => Ok(object),
        }
    }

    /// The file that holds what has come so far; locked by whoever downloads.
    fn partial(&self) -> Result<(PathBuf, File), BackendError> {
        let folder = self.store.root().join("downloads");
        let path = folder.join(format!("{}.part", Digest::of(self.url.as_bytes())));
        let open = || {
            std::fs::create_dir_all(&folder)?;
            OpenOptions::new().read(true).append(true).create(true).open(&path)
        };
        let file = open().map_err(BackendError::io(format!("cannot write {}", path.display())))?;
        Ok((path, file))
    }

    fn fetch_all(&self, file: &File) -> Result<(), BackendError> {
        let agent = self.agent();
        let mut broke = String::new();
        for attempt in 0..ATTEMPTS {
            std::thread::sleep(Duration::from_millis(250) * attempt);
            match self.fetch(&agent, file) {
                Ok(()) => return Ok(()),
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::Broke(why)) => broke = why,
            }
        }
        Err(BackendError::Source {
            message: format!("cannot download {}: {broke}", self.url),
            help: Some("what has come is kept: run the same command again, and it goes on from there".to_owned()),
        })
    }

    fn fetch(&self, agent: &Agent, mut file: &File) -> Result<(), Stop> {
        let failed = |error| Stop::Failed(BackendError::io(format!("cannot keep what comes from {}", self.url))(error));
        let have = file.metadata().map_err(failed)?.len();
        let mut request = agent.get(self.url);
        if have > 0 {
            request = request.header("Range", format!("bytes={have}-"));
        }
        let answer = request.call().map_err(|error| Stop::Broke(error.to_string()))?;
        match answer.status().as_u16() {
            206 => {}
            200 => {
                // The server does not go on from the middle.
                file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
            }
            // Nothing is left to come.
            416 if have > 0 => return Ok(()),
            status => {
                let message = format!("{} answered with status {status}", self.url);
                let error = BackendError::Source { message, help: Some("is the address right?".to_owned()) };
                return Err(if status >= 500 { Stop::Broke(format!("status {status}")) } else { Stop::Failed(error) });
            }
        }
        let mut body = answer.into_body().into_reader();
        let mut chunk = vec![0; 1 << 18];
        loop {
            if self.cx.cancel.is_cancelled() {
                return Err(Stop::Failed(BackendError::Interrupted));
            }
            match body.read(&mut chunk) {
                Ok(0) => return file.sync_data().map_err(failed),
                Ok(n) => file.write_all(chunk.get(..n).unwrap_or_default()).map_err(failed)?,
                Err(error) => return Err(Stop::Broke(error.to_string())),
            }
        }
    }

    fn agent(&self) -> Agent {
        let mut roots: Vec<Certificate<'static>> = Vec::new();
        for file in &self.cx.settings.ca_files {
            let Ok(text) = std::fs::read(file) else { continue };
            roots.extend(parse_pem(&text).flatten().filter_map(|item| match item {
                PemItem::Certificate(certificate) => Some(certificate.to_owned()),
                // Keys, and what future versions know, are no authorities.
                PemItem::PrivateKey(_) | _ => None,
            }));
        }
        roots.extend(
            rustls_native_certs::load_native_certs().certs.iter().map(|der| Certificate::from_der(der).to_owned()),
        );
        let tls = TlsConfig::builder().root_certs(RootCerts::from(roots)).build();
        Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .build()
            .into()
    }
}
