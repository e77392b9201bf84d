//! Why a registry did not give what was asked.

use std::error::Error;
use std::io::ErrorKind;
use std::path::PathBuf;

use imgc_plan::Sha256;

use crate::image::ImageError;

/// Why a registry did not give what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Asked to stop.
    #[error("interrupted")]
    Cancelled,
    /// Nobody answers.
    #[error("cannot reach the registry at {registry}")]
    Unreachable {
        /// Scheme, host and port.
        registry: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// It cannot be trusted.
    #[error("cannot set up a secure connection to {registry}")]
    Tls {
        /// Scheme, host and port.
        registry: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// It wants to know who asks, or does not give this to the one who asks.
    #[error("{registry} refuses to give {reference} without a login")]
    Denied {
        /// Scheme, host and port.
        registry: String,
        /// The image.
        reference: String,
    },
    /// There is no such image.
    #[error("{registry} has no {what} {reference}")]
    NotFound {
        /// Scheme, host and port.
        registry: String,
        /// `image`, `blob of`.
        what: &'static str,
        /// The image.
        reference: String,
    },
    /// Asked too often.
    #[error("{registry} has had too many requests from here")]
    RateLimited {
        /// Scheme, host and port.
        registry: String,
    },
    /// Any other status.
    #[error("{registry} answers {status}{}", message.as_ref().map(|m| format!(": {m}")).unwrap_or_default())]
    Refused {
        /// Scheme, host and port.
        registry: String,
        /// Of HTTP.
        status: u16,
        /// What it says about that.
        message: Option<String>,
    },
    /// Something that no registry says.
    #[error("{registry} does not answer as a registry does: {why}")]
    Garbage {
        /// Scheme, host and port.
        registry: String,
        /// In a few words.
        why: String,
    },
    /// A blob broke off, again and again.
    #[error("{registry} broke off sha256:{digest} after {got} of {size} bytes")]
    BrokeOff {
        /// Scheme, host and port.
        registry: String,
        /// Of the blob.
        digest: Sha256,
        /// Bytes that came.
        got: u64,
        /// Bytes there should be.
        size: u64,
    },
    /// It leads to an address that is not secure.
    #[error("{registry} leads to the insecure address {to}")]
    Insecure {
        /// Scheme, host and port.
        registry: String,
        /// The address.
        to: String,
    },
    /// What it gave is not a usable image.
    #[error("{reference} is not a usable image")]
    Image {
        /// The image.
        reference: String,
        /// Why.
        source: ImageError,
    },
    /// Neither the mirror nor the registry gave it.
    #[error("the mirror cannot give {reference} ({mirror}), nor can the registry")]
    MirrorToo {
        /// The image.
        reference: String,
        /// What went wrong at the mirror.
        mirror: Box<RegistryError>,
        /// What went wrong at the registry.
        source: Box<RegistryError>,
    },
    /// A certificate file cannot be used.
    #[error("cannot use the certificates in {}: {why}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// In a few words.
        why: String,
    },
    /// A setting is not an address.
    #[error("`{value}` is not the address of a {what}")]
    BadAddress {
        /// `proxy`, `mirror`.
        what: &'static str,
        /// As it was set.
        value: String,
    },
    /// The blob cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl RegistryError {
    /// What to do about it, where that is known.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } => Some(
                "check the name and the network; proxies come from http_proxy, https_proxy and no_proxy, mirrors from imgc.toml",
            ),
            Self::Tls { .. } => {
                Some("if the registry has a certificate of your own authority, add its file to the CA files")
            }
            Self::Denied { .. } => {
                Some("check the name; private images cannot be pulled yet: save one to an archive and use that")
            }
            Self::NotFound { .. } => {
                Some("check the name and the tag; a locked digest that is gone is renewed by `imgc update`")
            }
            Self::RateLimited { .. } => Some("wait, or set up a mirror for this registry"),
            Self::Refused { status: 500.., .. } | Self::BrokeOff { .. } => {
                Some("the registry is in trouble: try again later")
            }
            Self::Garbage { .. } => {
                Some("something else may be listening at that address, such as a login page or a proxy")
            }
            Self::Insecure { .. } => Some("plain HTTP is for loopback addresses and configured mirrors only"),
            Self::MirrorToo { source, .. } => source.help(),
            Self::Certificates { .. } => Some("CA files are PEM files with `BEGIN CERTIFICATE` in them"),
            Self::Image { source: ImageError::NoSuchPlatform { .. }, .. } => {
                Some("choose an image that is there for this platform")
            }
            Self::Cancelled
            | Self::Refused { .. }
            | Self::Image { .. }
            | Self::BadAddress { .. }
            | Self::Write { .. } => None,
        }
    }

    /// Itself where it is the wish to stop, else `other`.
    pub(super) fn unless_cancelled(self, other: Self) -> Self {
        if matches!(self, Self::Cancelled) { self } else { other }
    }

    /// Whether the same question may get a better answer a moment later.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Refused { status: 500.., .. } | Self::BrokeOff { .. })
            || matches!(self, Self::Unreachable { source, .. } if !is_final(source.as_ref()))
    }
}

/// Refused connections and unknown hosts stay so; resets and timeouts may not.
fn is_final(source: &(dyn Error + Send + Sync + 'static)) -> bool {
    let Some(error) = source.downcast_ref::<ureq::Error>() else { return false };
    if let ureq::Error::Io(e) = error {
        // The standard library has no kind for names that cannot be looked up.
        return e.kind() == ErrorKind::ConnectionRefused || e.to_string().contains("lookup address");
    }
    matches!(error, ureq::Error::HostNotFound | ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_))
}
