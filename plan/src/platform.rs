//! Platforms: operating system, architecture and, for Linux, the distribution.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The platform that an image is for, as in OCI, with the distribution refining Linux: `linux(debian)/amd64`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// `linux`, `windows`, `macos`, `freebsd`.
    pub os: String,
    /// The distribution where it is known; never for other systems than Linux.
    pub distro: Option<String>,
    /// `amd64`, `arm64`, …
    pub arch: String,
}

/// A text that is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a platform such as `linux/amd64` or `linux(debian)/arm64`")]
pub struct PlatformError {
    /// The text as it was given.
    pub text: String,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.distro {
            Some(distro) => write!(f, "{}({distro})/{}", self.os, self.arch),
            None => write!(f, "{}/{}", self.os, self.arch),
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let error = || PlatformError { text: text.to_owned() };
        let (system, arch) = text.split_once('/').ok_or_else(error)?;
        let (os, distro) = match system.split_once('(') {
            Some((os, rest)) => (os, Some(rest.strip_suffix(')').ok_or_else(error)?)),
            None => (system, None),
        };
        let is_name = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name(os) || !is_name(arch) || !distro.is_none_or(is_name) {
            return Err(error());
        }
        Ok(Self { os: os.to_owned(), distro: distro.map(str::to_owned), arch: arch.to_owned() })
    }
}

impl Serialize for Platform {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Platform {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
