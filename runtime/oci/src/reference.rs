//! References to images in registries, as Docker reads them.

use std::fmt;
use std::str::FromStr;

use imgc_plan::Sha256;

/// The registry that names without one mean.
pub const DEFAULT_REGISTRY: &str = "docker.io";

/// A reference, complete: `debian:12` is `docker.io/library/debian:12` here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Host name and perhaps port: `docker.io`, `127.0.0.1:5000`, `[::1]:5000`.
    pub registry: String,
    /// `library/debian`.
    pub repository: String,
    /// `latest` where neither a tag nor a digest was given.
    pub tag: Option<String>,
    /// Decides where it is there; the tag is then only for people.
    pub digest: Option<Sha256>,
}

/// A text that is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an image reference: {why}")]
pub struct ReferenceError {
    /// The text as it was given.
    pub text: String,
    /// In a few words.
    pub why: &'static str,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@sha256:{digest}"),
            None => Ok(()),
        }
    }
}

impl Reference {
    /// As short as Docker shows it: `debian:12`, `127.0.0.1:5000/app:1`.
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        match full.strip_prefix("docker.io/") {
            Some(rest) => rest.strip_prefix("library/").unwrap_or(rest).to_owned(),
            None => full,
        }
    }

    /// The same image by its digest.
    #[must_use]
    pub fn with_digest(&self, digest: Sha256) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let error = |why| ReferenceError { text: text.to_owned(), why };
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(parse_digest(digest).map_err(error)?)),
            None => (text, None),
        };
        let (name, tag) = split_tag(name);
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(error(
                "a tag has letters, digits, `_`, `.` and `-`, 128 at most, and begins with one of the first three",
            ));
        }
        let (registry, path) = split_registry(name);
        let repository = if registry == DEFAULT_REGISTRY && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if !is_registry(registry) {
            return Err(error("its registry is not a host name with an optional port"));
        }
        if path.is_empty() {
            return Err(error("it names no repository"));
        }
        if !repository.split('/').all(is_component) || repository.len() > 255 {
            return Err(error("a repository has lower-case letters and digits, separated by `.`, `_`, `-` and `/`"));
        }
        let tag = tag.map(str::to_owned).or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }
}

fn parse_digest(text: &str) -> Result<Sha256, &'static str> {
    let hex = text.strip_prefix("sha256:").ok_or("its digest is not a `sha256:` one")?;
    if hex.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err("its digest has upper-case letters");
    }
    hex.parse().map_err(|_| "its digest does not have 64 hexadecimal digits")
}

/// The tag stands after the last colon, unless a slash follows that: then the colon is a port's.
fn split_tag(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (name, None),
    }
}

/// The first part is a registry if it looks like a host: it has a dot or a colon, is `localhost`, or has capitals.
fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((host, path))
            if host.contains(['.', ':', '['])
                || host == "localhost"
                || host.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            let host = if host == "index.docker.io" { DEFAULT_REGISTRY } else { host };
            (host, path)
        }
        _ => (DEFAULT_REGISTRY, name),
    }
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            match rest.strip_prefix(':') {
                Some(port) => ("v6", Some(port)),
                None if rest.is_empty() => ("v6", None),
                None => return false,
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let is_label = |label: &str| {
        label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128 && tag.bytes().next().is_some_and(word) && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// Runs of letters and digits, separated by one `.`, one or two `_`, or any number of `-`.
fn is_component(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut separators = text.split(|c: char| u8::try_from(c).is_ok_and(is_word)).filter(|s| !s.is_empty());
    let good = |s: &str| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-');
    let ends = [text.bytes().next(), text.bytes().last()];
    ends.iter().all(|b| b.is_some_and(is_word)) && separators.all(good)
}
