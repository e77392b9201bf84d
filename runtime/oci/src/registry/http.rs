//! HTTP as registries need it: proxies, own authorities, redirects, and calls that can be left at any time.
//!
//! Unaware of images. The third-party client stops here.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use ureq::http::Uri;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Proxy};

use super::Settings;
use super::error::RegistryError;

/// How long to wait for a connection, an answer, or more of one.
const PATIENCE: Duration = Duration::from_secs(30);
const REDIRECTS: usize = 8;

/// Sends requests, each through the proxy that is meant for its address.
pub(super) struct Http {
    direct: Agent,
    /// Through the proxy for plain addresses.
    for_plain: Option<Agent>,
    /// Through the proxy for secure addresses.
    for_secure: Option<Agent>,
    no_proxy: NoProxy,
    cancelled: Option<super::Cancelled>,
}

/// A request; always GET.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, String)>,
}

/// An answer whose body is still on its way.
pub(super) struct Response {
    pub(super) status: u16,
    headers: BTreeMap<String, String>,
    body: Body,
}

impl Response {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The next piece of the body; none at its end.
    pub(super) fn chunk(&mut self, http: &Http) -> Result<Option<Vec<u8>>, RegistryError> {
        match self.body.next(http)? {
            Some(Message::Chunk(bytes)) => Ok(Some(bytes)),
            Some(Message::Failed(error)) => Err(error),
            Some(Message::Head { .. }) | None => Ok(None),
        }
    }

    /// The whole body, of at most `limit` bytes; what is beyond is left.
    pub(super) fn bytes(mut self, http: &Http, limit: u64) -> Result<Vec<u8>, RegistryError> {
        let mut all = Vec::new();
        while let Some(bytes) = self.chunk(http)? {
            all.extend_from_slice(&bytes);
            if all.len() as u64 > limit {
                break;
            }
        }
        Ok(all)
    }
}

/// What the thread that reads an answer reports.
enum Message {
    Head { status: u16, headers: BTreeMap<String, String> },
    Chunk(Vec<u8>),
    Failed(RegistryError),
}

struct Body(Receiver<Message>);

impl Body {
    /// Waits for a message, or for the wish to stop. The reading thread ends by itself once nobody listens.
    fn next(&self, http: &Http) -> Result<Option<Message>, RegistryError> {
        loop {
            http.check()?;
            match self.0.recv_timeout(Duration::from_millis(50)) {
                Ok(message) => return Ok(Some(message)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }
}

impl Http {
    pub(super) fn new(settings: &Settings) -> Result<Self, RegistryError> {
        let roots = roots(settings)?;
        let setting = |name: &str| {
            let upper = name.to_ascii_uppercase();
            let found = settings.proxies.get(name).or_else(|| settings.proxies.get(&upper));
            found.map(String::as_str).filter(|value| !value.is_empty())
        };
        let proxied = |name: &str| match setting(name) {
            Some(value) => {
                let bad = |_| RegistryError::BadAddress { what: "proxy", value: value.to_owned() };
                Ok(Some(agent(&roots, Some(Proxy::new(value).map_err(bad)?))))
            }
            None => Ok(None),
        };
        Ok(Self {
            direct: agent(&roots, None),
            for_plain: proxied("http_proxy")?,
            for_secure: proxied("https_proxy")?,
            no_proxy: NoProxy::new(setting("no_proxy").unwrap_or_default()),
            cancelled: settings.cancelled.clone(),
        })
    }

    /// Fails once the caller wants to stop.
    pub(super) fn check(&self) -> Result<(), RegistryError> {
        match &self.cancelled {
            Some(cancelled) if cancelled() => Err(RegistryError::Cancelled),
            _ => Ok(()),
        }
    }

    pub(super) fn sleep(&self, time: Duration) -> Result<(), RegistryError> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.check()?;
            std::thread::sleep(Duration::from_millis(20).min(end - Instant::now().min(end)));
        }
        Ok(())
    }

    /// Sends a request and follows where it is sent on to. Authorization goes to the first address only, and never
    /// does a secure address lead to an insecure one elsewhere.
    pub(super) fn send(&self, request: &Request) -> Result<Response, RegistryError> {
        let mut request = request.clone();
        for _ in 0..REDIRECTS {
            let registry = origin(&request.url);
            let response = self.send_once(&request)?;
            let is_redirect = matches!(response.status, 301 | 302 | 303 | 307 | 308);
            let Some(location) = response.header("location").filter(|_| is_redirect) else { return Ok(response) };
            let next = if location.starts_with('/') { format!("{registry}{location}") } else { location.to_owned() };
            if request.url.starts_with("https:") && !next.starts_with("https:") {
                return Err(RegistryError::Insecure { registry, to: next });
            }
            if origin(&next) != registry {
                request.headers.retain(|(name, _)| *name != "authorization");
            }
            request.url = next;
        }
        let registry = origin(&request.url);
        Err(RegistryError::Garbage { registry, why: format!("it sent us on more than {REDIRECTS} times") })
    }

    fn send_once(&self, request: &Request) -> Result<Response, RegistryError> {
        self.check()?;
        let registry = origin(&request.url);
        let garbage = |why: String| RegistryError::Garbage { registry: registry.clone(), why };
        let uri: Uri = request.url.parse().map_err(|_| garbage(format!("`{}` is no address", request.url)))?;
        let host = uri.host().unwrap_or_default().to_owned();
        let mut builder = ureq::http::Request::get(uri);
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        let ready = builder.body(()).map_err(|e| garbage(format!("cannot ask it: {e}")))?;
        let proxied = if request.url.starts_with("https:") { &self.for_secure } else { &self.for_plain };
        let agent = proxied.as_ref().filter(|_| !self.no_proxy.covers(&host)).unwrap_or(&self.direct).clone();
        let (sender, receiver) = sync_channel(8);
        let thread = std::thread::Builder::new().name("registry".to_owned());
        let asked = registry.clone();
        let run = move || answer(&agent, ready, &asked, &sender);
        thread.spawn(run).map_err(|source| RegistryError::Unreachable {
            registry: origin(&request.url),
            source: Box::new(source),
        })?;
        let body = Body(receiver);
        match body.next(self)? {
            Some(Message::Head { status, headers }) => Ok(Response { status, headers, body }),
            Some(Message::Failed(error)) => Err(error),
            Some(Message::Chunk(_)) | None => Err(garbage("no answer".to_owned())),
        }
    }
}

/// Sends one request and passes the answer on, piece by piece, until nobody listens any more.
fn answer(agent: &Agent, request: ureq::http::Request<()>, registry: &str, to: &SyncSender<Message>) {
    let response = match agent.run(request) {
        Ok(response) => response,
        Err(error) => {
            let _ = to.send(Message::Failed(classify(error, registry)));
            return;
        }
    };
    let text = |value: &ureq::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = response.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    let head = Message::Head { status: response.status().as_u16(), headers };
    let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
    let mut is_heard = to.send(head).is_ok();
    while is_heard {
        let mut buffer = vec![0; 128 * 1024];
        let message = match body.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => {
                buffer.truncate(read);
                Message::Chunk(buffer)
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(source) => {
                let registry = registry.to_owned();
                let _ = to.send(Message::Failed(RegistryError::Unreachable { registry, source: Box::new(source) }));
                return;
            }
        };
        is_heard = to.send(message).is_ok();
    }
}

fn classify(error: ureq::Error, registry: &str) -> RegistryError {
    let registry = registry.to_owned();
    // ureq hands what rustls says during a handshake on inside an I/O error.
    let is_certificate = |e: &std::io::Error| {
        e.kind() == std::io::ErrorKind::InvalidData
            && e.get_ref().is_some_and(|inner| inner.to_string().contains("certificate"))
    };
    if matches!(error, ureq::Error::Protocol(_) | ureq::Error::Http(_) | ureq::Error::LargeResponseHeader(..)) {
        return RegistryError::Garbage { registry, why: error.to_string() };
    }
    let is_insecure = matches!(error, ureq::Error::Tls(_) | ureq::Error::Rustls(_))
        || matches!(&error, ureq::Error::Io(e) if is_certificate(e));
    let source = Box::new(error);
    if is_insecure { RegistryError::Tls { registry, source } } else { RegistryError::Unreachable { registry, source } }
}

fn agent(roots: &RootCerts, proxy: Option<Proxy>) -> Agent {
    let tls = TlsConfig::builder().root_certs(roots.clone()).build();
    Agent::config_builder()
        .tls_config(tls)
        .proxy(proxy)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("imgc/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(PATIENCE))
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE))
        .build()
        .new_agent()
}

/// The system's authorities and those of the settings; Mozilla's where the system has none.
fn roots(settings: &Settings) -> Result<RootCerts, RegistryError> {
    let system = rustls_native_certs::load_native_certs().certs;
    let mut all: Vec<Certificate<'static>> = system.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    if all.is_empty() && settings.ca_files.is_empty() {
        return Ok(RootCerts::WebPki);
    }
    for path in &settings.ca_files {
        let unusable = |why: String| RegistryError::Certificates { path: path.clone(), why };
        let pem = std::fs::read(path).map_err(|e| unusable(e.to_string()))?;
        let before = all.len();
        for item in parse_pem(&pem) {
            if let PemItem::Certificate(certificate) = item.map_err(|e| unusable(e.to_string()))? {
                all.push(certificate);
            }
        }
        if all.len() == before {
            return Err(unusable("there is none in it".to_owned()));
        }
    }
    Ok(RootCerts::new_with_certs(&all))
}

/// Scheme, host and port of an address.
pub(super) fn origin(url: &str) -> String {
    let end = url.find("://").map_or(0, |at| at + 3);
    let path = url.get(end..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| end + at);
    url.get(..path).unwrap_or(url).to_owned()
}

/// Whether a host, with or without a port, is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None if host.matches(':').count() == 1 => host.split(':').next().unwrap_or_default(),
        None => host,
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// What goes past the proxies: the comma-separated list of `no_proxy`, and always this machine.
struct NoProxy(Vec<String>);

impl NoProxy {
    fn new(list: &str) -> Self {
        Self(list.split([',', ' ']).filter(|item| !item.is_empty()).map(str::to_ascii_lowercase).collect())
    }

    fn covers(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let matches = |item: &String| {
            let name = item.trim_start_matches('*').trim_start_matches('.');
            item == "*"
                || (!name.is_empty() && (host == name || host.ends_with(&format!(".{name}"))))
                || is_in_range(&host, item)
        };
        is_loopback(&host) || self.0.iter().any(matches)
    }
}

/// Whether an address is in a range such as `10.0.0.0/8`.
fn is_in_range(host: &str, range: &str) -> bool {
    let Some((base, bits)) = range.split_once('/') else { return false };
    let (Ok(host), Ok(base), Ok(bits)) = (host.parse::<IpAddr>(), base.parse::<IpAddr>(), bits.parse::<u32>()) else {
        return false;
    };
    let (host, base, width) = match (host, base) {
        (IpAddr::V4(host), IpAddr::V4(base)) => (u128::from(host.to_bits()), u128::from(base.to_bits()), 32),
        (IpAddr::V6(host), IpAddr::V6(base)) => (host.to_bits(), base.to_bits(), 128),
        _ => return false,
    };
    bits <= width && (bits == 0 || (host ^ base) >> (width - bits) == 0)
}

#[cfg(test)]
mod tests {
    use super::{NoProxy, is_loopback};

    #[test]
    fn what_goes_past_the_proxies() {
        let list = NoProxy::new("example.org, .corp *.lab,10.0.0.0/8,192.0.2.7,fd00::/8");
        for host in [
            "example.org",
            "a.Example.org",
            "x.corp",
            "y.lab",
            "10.1.2.3",
            "192.0.2.7",
            "[fd00::1]",
            "127.9.9.9",
            "localhost",
        ] {
            assert!(list.covers(host), "{host}");
        }
        for host in ["example.com", "notexample.org", "11.0.0.1", "192.0.2.70", "fe80::1", "corpse"] {
            assert!(!list.covers(host), "{host}");
        }
        assert!(NoProxy::new("*").covers("anything"));
        assert!(!NoProxy::new("").covers("anything"));
        assert!(!NoProxy::new("x/8,10.0.0.0/99,/").covers("10.0.0.1"));
    }

    #[test]
    fn this_machine() {
        for host in ["localhost", "localhost:1", "127.1.2.3:5", "[::1]", "[::1]:5000", "::1"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example", "128.0.0.1", "[::2]:1", "127.0.0.1.example", "127"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
