//! Manifests, indexes and configurations: what an image is made of.

use std::collections::BTreeMap;

use imgc_plan::{Platform, Sha256};
use serde::{Deserialize, Serialize};

use crate::time;

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// Documents larger than this are refused unread: real ones have a few kilobytes.
pub(crate) const DOCUMENT_LIMIT: u64 = 8 << 20;

/// An image, ready to be fetched and unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Of its manifest; of its configuration where `docker save` wrote no manifest.
    pub digest: Sha256,
    /// Of its configuration: what Docker calls the image's id.
    pub id: Sha256,
    /// As the configuration says.
    pub platform: Platform,
    /// Seconds since 1970, where the configuration says when it was made.
    pub created: Option<i64>,
    /// How its containers run.
    pub config: RunConfig,
    /// Lowest first.
    pub layers: Vec<ImageLayer>,
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageLayer {
    /// The blob as it is stored, usually compressed.
    pub blob: Descriptor,
    /// Of the plain archive inside.
    pub diff_id: Sha256,
}

/// How containers of an image run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunConfig {
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Executed first; the command follows as its arguments.
    pub entrypoint: Vec<String>,
    /// Default arguments.
    pub cmd: Vec<String>,
    /// `name`, `uid`, `uid:gid`; empty for root.
    pub user: String,
    /// Absolute; empty for `/`.
    pub workdir: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `80/tcp`.
    pub ports: Vec<String>,
}

/// Names a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// What it holds; empty where only a `docker save` archive names it.
    pub media_type: String,
    /// Of its bytes as stored.
    pub digest: Sha256,
    /// In bytes; none where only a `docker save` archive names it.
    pub size: Option<u64>,
}

/// A document that is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Not the JSON it should be.
    #[error("the {what} sha256:{digest} cannot be read")]
    Malformed {
        /// `manifest`, `configuration`.
        what: &'static str,
        /// Of the bytes.
        digest: Sha256,
        /// Why.
        source: serde_json::Error,
    },
    /// A kind of document or layer that imgc does not know.
    #[error("the {what} has the unknown media type `{media_type}`")]
    UnknownMediaType {
        /// `manifest`, `layer 2`.
        what: String,
        /// As it stands there.
        media_type: String,
    },
    /// A digest that is not a SHA-256 one.
    #[error("the {what} names the digest `{digest}`, which is not `sha256:` and 64 digits")]
    BadDigest {
        /// `manifest`.
        what: &'static str,
        /// As it stands there.
        digest: String,
    },
    /// Manifest and configuration do not fit together.
    #[error("the manifest has {layers} layers but its configuration {diff_ids} diff ids")]
    LayerCount {
        /// In the manifest.
        layers: usize,
        /// In the configuration.
        diff_ids: usize,
    },
    /// An index without a fitting image.
    #[error("there is no image for {wanted}; there is {found}")]
    NoSuchPlatform {
        /// What was asked for.
        wanted: Platform,
        /// What is there, joined by commas.
        found: String,
    },
    /// The bytes of a blob are others than its digest says.
    #[error("the {what} should be sha256:{expected} but is sha256:{found}")]
    DigestMismatch {
        /// `manifest`, `configuration`, `layer`.
        what: &'static str,
        /// What was named.
        expected: Sha256,
        /// What is there.
        found: Sha256,
    },
    /// A blob is larger or smaller than its descriptor says.
    #[error("the {what} sha256:{digest} should have {expected} bytes but has {found}")]
    SizeMismatch {
        /// As above.
        what: &'static str,
        /// As named.
        digest: Sha256,
        /// In bytes.
        expected: u64,
        /// In bytes.
        found: u64,
    },
}

/// A descriptor as JSON has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireDescriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: String,
    pub size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<WirePlatform>,
}

/// A platform as JSON has it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct WirePlatform {
    pub architecture: String,
    pub os: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// An image manifest or an index, as JSON has it: the media type in the document or outside tells which.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireManifest {
    pub schema_version: u32,
    #[serde(default)]
    pub media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<WireDescriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<WireDescriptor>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifests: Option<Vec<WireDescriptor>>,
}

/// An image configuration as JSON has it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct WireConfig {
    pub architecture: String,
    #[serde(deserialize_with = "nullable")]
    pub config: WireRun,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub history: Vec<WireHistory>,
    pub os: String,
    pub rootfs: WireRootfs,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// How containers run, as JSON has it. Docker writes `null` for what is empty.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct WireRun {
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, serde_json::Map<String, serde_json::Value>>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub user: String,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct WireHistory {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct WireRootfs {
    #[serde(deserialize_with = "nullable")]
    pub diff_ids: Vec<String>,
    #[serde(rename = "type")]
    pub kind: String,
}

fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// What a manifest document turned out to be.
pub(crate) enum Document {
    /// One image.
    Manifest { config: Descriptor, layers: Vec<Descriptor> },
    /// Several, by platform.
    Index(Vec<WireDescriptor>),
}

/// Reads a manifest or index. `media_type` is what the outside says; the document's own word goes first.
pub(crate) fn read_document(bytes: &[u8], media_type: &str) -> Result<Document, ImageError> {
    let malformed = |source| ImageError::Malformed { what: "manifest", digest: Sha256::of(bytes), source };
    let document: WireManifest = serde_json::from_slice(bytes).map_err(malformed)?;
    let named = if document.media_type.is_empty() { media_type.to_owned() } else { document.media_type.clone() };
    let media_type = named.split(';').next().unwrap_or_default().trim();
    match (media_type, document) {
        (OCI_INDEX | DOCKER_INDEX, WireManifest { manifests: Some(manifests), .. }) => Ok(Document::Index(manifests)),
        (OCI_MANIFEST | DOCKER_MANIFEST, WireManifest { config: Some(config), layers: Some(layers), .. }) => {
            let config = descriptor(&config, "manifest")?;
            if ![OCI_CONFIG, DOCKER_CONFIG].contains(&config.media_type.as_str()) {
                return Err(ImageError::UnknownMediaType {
                    what: "configuration".to_owned(),
                    media_type: config.media_type,
                });
            }
            let layers =
                layers.iter().enumerate().map(|(n, layer)| layer_descriptor(n, layer)).collect::<Result<_, _>>()?;
            Ok(Document::Manifest { config, layers })
        }
        (media_type, _) => {
            Err(ImageError::UnknownMediaType { what: "manifest".to_owned(), media_type: media_type.to_owned() })
        }
    }
}

fn layer_descriptor(n: usize, wire: &WireDescriptor) -> Result<Descriptor, ImageError> {
    let known = ["application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs."];
    let plain = wire.media_type.trim_end_matches("+gzip").trim_end_matches("+zstd").trim_end_matches(".gzip");
    if !known.iter().any(|prefix| wire.media_type.starts_with(prefix)) || !plain.ends_with("tar") {
        let what = format!("layer {}", n + 1);
        return Err(ImageError::UnknownMediaType { what, media_type: wire.media_type.clone() });
    }
    descriptor(wire, "manifest")
}

pub(crate) fn descriptor(wire: &WireDescriptor, what: &'static str) -> Result<Descriptor, ImageError> {
    let digest = parse_digest(&wire.digest, what)?;
    Ok(Descriptor { media_type: wire.media_type.clone(), digest, size: Some(wire.size) })
}

/// The digest of a `sha256:…` text.
pub(crate) fn parse_digest(text: &str, what: &'static str) -> Result<Sha256, ImageError> {
    let bad = || ImageError::BadDigest { what, digest: text.to_owned() };
    text.strip_prefix("sha256:").ok_or_else(bad)?.parse().map_err(|_| bad())
}

/// The one image of an index that is for `platform`: the first that fits.
pub(crate) fn select<'a>(index: &'a [WireDescriptor], platform: &Platform) -> Result<&'a WireDescriptor, ImageError> {
    let fits = |wire: &&WireDescriptor| wire.platform.as_ref().is_some_and(|p| p.fits(platform));
    // An index of a single image need not say what it is for; its configuration does.
    let only = || index.first().filter(|wire| index.len() == 1 && wire.platform.is_none());
    index.iter().find(fits).or_else(only).ok_or_else(|| {
        let found: Vec<String> = index.iter().filter_map(|w| w.platform.as_ref()).map(WirePlatform::shown).collect();
        let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
        ImageError::NoSuchPlatform { wanted: platform.clone(), found }
    })
}

impl WirePlatform {
    /// As OCI writes the platform of an image.
    pub(crate) fn of(platform: &Platform) -> Self {
        let (architecture, variant) = match platform.arch.as_str() {
            "armv5" => ("arm", Some("v5")),
            "armv6" => ("arm", Some("v6")),
            "armv7" => ("arm", Some("v7")),
            arch => (arch, None),
        };
        let os = if platform.os == "macos" { "darwin" } else { &platform.os };
        Self { architecture: architecture.to_owned(), os: os.to_owned(), variant: variant.map(str::to_owned) }
    }

    fn fits(&self, platform: &Platform) -> bool {
        let wanted = Self::of(platform);
        let variant = wanted.variant.is_none() || self.variant.is_none() || wanted.variant == self.variant;
        self.os == wanted.os && self.architecture == wanted.architecture && variant
    }

    fn shown(&self) -> String {
        let variant = self.variant.as_ref().map(|v| format!("/{v}")).unwrap_or_default();
        format!("{}/{}{variant}", self.os, self.architecture)
    }
}

/// Puts an image together from the bytes of its configuration and the layers its manifest named.
pub(crate) fn assemble(
    digest: Sha256,
    config: &[u8],
    layers: Vec<Descriptor>,
    platform: &Platform,
) -> Result<Image, ImageError> {
    let id = Sha256::of(config);
    let malformed = |source| ImageError::Malformed { what: "configuration", digest: id, source };
    let wire: WireConfig = serde_json::from_slice(config).map_err(malformed)?;
    let is_for =
        WirePlatform { architecture: wire.architecture.clone(), os: wire.os.clone(), variant: wire.variant.clone() };
    if !is_for.fits(platform) {
        return Err(ImageError::NoSuchPlatform { wanted: platform.clone(), found: is_for.shown() });
    }
    let diff_ids = &wire.rootfs.diff_ids;
    if diff_ids.len() != layers.len() {
        return Err(ImageError::LayerCount { layers: layers.len(), diff_ids: diff_ids.len() });
    }
    let layer = |(blob, diff_id): (Descriptor, &String)| {
        Ok(ImageLayer { blob, diff_id: parse_digest(diff_id, "configuration")? })
    };
    let layers = layers.into_iter().zip(diff_ids).map(layer).collect::<Result<_, _>>()?;
    let platform = Platform { os: platform.os.clone(), distro: platform.distro.clone(), arch: platform.arch.clone() };
    let created = wire.created.as_deref().and_then(time::parse);
    Ok(Image { digest, id, platform, created, config: wire.config.into(), layers })
}

impl From<WireRun> for RunConfig {
    fn from(wire: WireRun) -> Self {
        let pair = |var: &String| match var.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (var.clone(), String::new()),
        };
        Self {
            env: wire.env.iter().map(pair).collect(),
            entrypoint: wire.entrypoint,
            cmd: wire.cmd,
            user: wire.user,
            workdir: wire.working_dir,
            labels: wire.labels,
            ports: wire.exposed_ports.into_keys().collect(),
        }
    }
}

impl From<&RunConfig> for WireRun {
    fn from(config: &RunConfig) -> Self {
        Self {
            cmd: config.cmd.clone(),
            entrypoint: config.entrypoint.clone(),
            env: config.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            exposed_ports: config.ports.iter().map(|port| (port.clone(), serde_json::Map::new())).collect(),
            labels: config.labels.clone(),
            user: config.user.clone(),
            working_dir: config.workdir.clone(),
        }
    }
}
