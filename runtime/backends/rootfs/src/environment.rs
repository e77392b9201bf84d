//! What a step finds besides its tree: variables, and files of ours that are in no layer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Once;

use imgc_backend::{BackendError, Cx, Exec, Layer, Settings};

use crate::protocol::OURS;

/// Files on the host or in the tree, and the name that a step finds them under.
type Files = Vec<(PathBuf, String)>;

const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables by which programs find further certificate authorities.
const CA_VARIABLES: [&str; 7] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "AWS_CA_BUNDLE",
];

/// The variables of a step: a fixed base, then the image's, then the step's own.
pub(crate) fn of_step(exec: &Exec, layer: &Layer, settings: &Settings) -> Vec<(String, String)> {
    let mut env: BTreeMap<String, String> = BTreeMap::new();
    let mut set = |name: &str, value: &str| drop(env.insert(name.to_owned(), value.to_owned()));
    set("PATH", SEARCH_PATH);
    set("LANG", "C.UTF-8");
    set("SOURCE_DATE_EPOCH", &layer.epoch.to_string());
    if exec.network {
        for (name, value) in &settings.proxies {
            set(name, value);
        }
    }
    if !settings.ca_files.is_empty() {
        let bundle = format!("{OURS}/{CA_BUNDLE}");
        for name in CA_VARIABLES {
            set(name, &bundle);
        }
        set("APT_CONFIG", &format!("{OURS}/{APT_CONFIG}"));
    }
    env.extend(layer.config.env.clone());
    env.extend(exec.env.clone());
    env.into_iter().collect()
}

/// Whether a proxy can only be reached from the host's own network.
pub(crate) fn proxy_on_loopback(settings: &Settings) -> bool {
    settings.proxies.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("no_proxy")).any(|(_, url)| {
        let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]")
    })
}

/// Says once which network steps get where nothing keeps them apart from the host's.
pub(crate) fn say_host_network(cx: &Cx) {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        let access = rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK;
        let lacking = match rustix::fs::access("/dev/net/tun", access) {
            Ok(()) => "neither slirp4netns nor pasta (package passt) can serve them here",
            Err(_) => "this user may not use /dev/net/tun, which a network of their own takes",
        };
        cx.note(format!("steps use the host's network: {lacking}"));
    });
}

/// The mount points of a step and nothing else, for trees that do not have them.
pub(crate) fn skeleton(at: &Path) -> Result<(), BackendError> {
    let failed = || BackendError::io(format!("cannot make {}", at.display()));
    for dir in ["proc", "sys", "dev", "run", "etc"] {
        std::fs::create_dir_all(at.join(dir)).map_err(failed())?;
    }
    for file in ["etc/hosts", "etc/resolv.conf"] {
        std::fs::write(at.join(file), "").map_err(failed())?;
    }
    let tmp = at.join("tmp");
    std::fs::create_dir(&tmp).map_err(failed())?;
    std::fs::set_permissions(&tmp, std::os::unix::fs::PermissionsExt::from_mode(0o1777)).map_err(failed())
}

const CA_BUNDLE: &str = "ca.pem";
const APT_CONFIG: &str = "apt.conf";

/// The files of ours that one machine's programs find. Each is written once for all of them, as long as it says the same:
/// a file that is truncated and written again costs the disk more than a trivial step does.
#[derive(Debug)]
pub(crate) struct OurFiles {
    /// For files that lie over those of the tree.
    over: PathBuf,
    /// For those in [`OURS`].
    own: PathBuf,
    /// What is in the first ones.
    texts: BTreeMap<PathBuf, String>,
    /// The certificates that programs may trust further do not change while a machine is open.
    certificates: Option<Files>,
}

impl OurFiles {
    /// Files below `base`, in directories of their own, which are made.
    pub(crate) fn new(base: &Path) -> Result<Self, BackendError> {
        let files =
            Self { over: base.join("over"), own: base.join("ours"), texts: BTreeMap::new(), certificates: None };
        for dir in [&files.over, &files.own] {
            std::fs::create_dir(dir).map_err(BackendError::io(format!("cannot make {}", dir.display())))?;
        }
        Ok(files)
    }

    /// Those that lie over files of the tree: `/etc/hosts`, and `/etc/resolv.conf` where there is a network.
    pub(crate) fn over(&mut self, network: bool, name_server: Option<&str>) -> Result<Files, BackendError> {
        let mut files = vec![(self.kept("hosts", hosts(network))?, "/etc/hosts".to_owned())];
        if network {
            let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
            files.push((self.kept("resolv.conf", resolv_conf(&text, name_server))?, "/etc/resolv.conf".to_owned()));
        }
        Ok(files)
    }

    fn kept(&mut self, name: &str, text: String) -> Result<PathBuf, BackendError> {
        let path = self.over.join(name);
        if self.texts.get(&path) != Some(&text) {
            write(&path, &text)?;
            self.texts.insert(path.clone(), text);
        }
        Ok(path)
    }

    /// Those in [`OURS`], by name.
    pub(crate) fn own(&mut self, settings: &Settings) -> Result<Files, BackendError> {
        if settings.ca_files.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(files) = &self.certificates {
            return Ok(files.clone());
        }
        let apt = format!("Acquire::https::CaInfo \"{OURS}/{CA_BUNDLE}\";\n");
        let mut files = Vec::new();
        for (name, text) in [(CA_BUNDLE, bundle(settings)?), (APT_CONFIG, apt)] {
            let path = self.own.join(name);
            write(&path, &text)?;
            files.push((path, name.to_owned()));
        }
        self.certificates = Some(files.clone());
        Ok(files)
    }
}

/// The host's certificates and the further ones of the settings.
fn bundle(settings: &Settings) -> Result<String, BackendError> {
    let system = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
    let mut bundle = system.iter().find_map(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    for file in &settings.ca_files {
        let text = std::fs::read_to_string(file);
        bundle
            .push_str(&text.map_err(BackendError::io(format!("cannot read the certificates in {}", file.display())))?);
        bundle.push('\n');
    }
    Ok(bundle)
}

/// Every user of a step may read it, whatever the umask is.
fn write(path: &Path, text: &str) -> Result<(), BackendError> {
    let written = std::fs::write(path, text)
        .and_then(|()| std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o644)));
    written.map_err(BackendError::io(format!("cannot write {}", path.display())))
}

/// Names of the loopback and, where there is a network, the further names that the host knows.
fn hosts(network: bool) -> String {
    let mut text = "127.0.0.1\tlocalhost\n127.0.1.1\timgc\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
    if network {
        let known = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        for line in known.lines().map(str::trim) {
            let address = line.split_whitespace().next().unwrap_or("#");
            let ours = address.starts_with("127.") || address.starts_with('#') || address.contains(':');
            if !ours {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

/// The host's resolver settings, with another server where the network has its own.
fn resolv_conf(text: &str, name_server: Option<&str>) -> String {
    let Some(name_server) = name_server else { return text.to_owned() };
    let rest = text.lines().filter(|line| line.starts_with("search ") || line.starts_with("options "));
    let lines: Vec<&str> = rest.collect();
    format!("nameserver {name_server}\n{}{}", lines.join("\n"), if lines.is_empty() { "" } else { "\n" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_on_the_loopback_needs_the_hosts_network() {
        let check = |name: &str, url: &str| {
            let proxies = BTreeMap::from([(name.to_owned(), url.to_owned())]);
            proxy_on_loopback(&Settings { proxies, ..Settings::default() })
        };
        assert!(check("http_proxy", "http://user:secret@127.0.0.1:3128"));
        assert!(check("HTTPS_PROXY", "localhost:8080"));
        assert!(!check("http_proxy", "http://proxy.example:3128"));
        assert!(!check("no_proxy", "127.0.0.1"));
    }

    #[test]
    fn the_name_server_of_the_network_replaces_the_hosts() {
        let host = "# made by hand\nnameserver 127.0.0.53\nsearch example\n";
        assert_eq!(resolv_conf(host, Some("10.0.2.3")), "nameserver 10.0.2.3\nsearch example\n");
        assert_eq!(resolv_conf(host, None), host);
    }
}
