//! Reading images from disk: OCI layouts as directories or archives, and archives of `docker save`.
//!
//! What is read is checked against the digest that named it. Archives are read in place; a compressed one is first
//! decompressed, since its members are needed in another order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use imgc_formats::tar::{self, Compression};
use imgc_plan::{Platform, Sha256};
use serde::Deserialize;

use crate::image::{
    DOCUMENT_LIMIT, Descriptor, Document, Image, ImageError, OCI_INDEX, WireConfig, WireDescriptor, WireManifest,
    assemble, descriptor, parse_digest, read_document, select,
};
use crate::layer::LayerReader;

/// An opened layout or archive.
#[derive(Debug)]
pub struct Layout {
    path: PathBuf,
    files: Files,
}

/// A file of a layout and its size.
type Opened<'l> = (Box<dyn Read + Send + 'l>, u64);

/// Where the files of a layout are.
#[derive(Debug)]
enum Files {
    Dir,
    Archive { file: File, members: BTreeMap<String, Member> },
}

/// A member of an archive.
#[derive(Debug, Clone)]
enum Member {
    File {
        at: u64,
        size: u64,
    },
    /// `docker save` links layers that images share; the target is already resolved.
    Link(String),
}

/// Why a layout cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A document or blob in it is wrong.
    #[error("{} is not a usable image", path.display())]
    Image {
        /// The layout.
        path: PathBuf,
        /// Why.
        source: ImageError,
    },
    /// Neither an OCI layout nor what `docker save` writes.
    #[error("{} is neither an OCI layout nor an image archive: it has no index.json and no manifest.json", path.display())]
    NotALayout {
        /// The layout.
        path: PathBuf,
    },
    /// A version of the layout that imgc does not know.
    #[error("{} is an OCI layout of version `{version}`; imgc knows 1.0.0", path.display())]
    UnknownVersion {
        /// The layout.
        path: PathBuf,
        /// As it says.
        version: String,
    },
    /// Something it names is not in it.
    #[error("{} lacks the {what} `{name}`", path.display())]
    Missing {
        /// The layout.
        path: PathBuf,
        /// `manifest`, `configuration`, `layer`.
        what: &'static str,
        /// Its path in the layout.
        name: String,
    },
    /// No image of that name, or several and no name.
    #[error("{} has no image `{wanted}`; it has {found}", path.display())]
    NoSuchName {
        /// The layout.
        path: PathBuf,
        /// What was asked for.
        wanted: String,
        /// The names there are, joined by commas.
        found: String,
    },
    /// Several images and no name that chooses.
    #[error("{} has several images; name one of {found}", path.display())]
    Ambiguous {
        /// The layout.
        path: PathBuf,
        /// The names there are, joined by commas.
        found: String,
    },
    /// The archive around it is damaged.
    #[error("{} is a damaged archive: {why}", path.display())]
    Damaged {
        /// The archive.
        path: PathBuf,
        /// In a few words.
        why: &'static str,
    },
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The layout, or the file in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// `oci-layout` as JSON has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

/// One image of Docker's `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SavedImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

const NAME: &str = "org.opencontainers.image.ref.name";
const FULL_NAME: &str = "io.containerd.image.name";

impl Layout {
    /// Opens a layout directory, or an archive of one; a compressed archive is first decompressed into `scratch`.
    pub fn open(path: &Path, scratch: &Path) -> Result<Self, LayoutError> {
        let failed = |source| LayoutError::Read { path: path.to_owned(), source };
        let files = if path.metadata().map_err(failed)?.is_dir() {
            Files::Dir
        } else {
            let file = plain(path, scratch).map_err(failed)?;
            let members = index(&file, path)?;
            Files::Archive { file, members }
        };
        Ok(Self { path: path.to_owned(), files })
    }

    /// The image for a platform, its manifest and configuration checked. `name` chooses among several by tag.
    pub fn image(&self, platform: &Platform, name: Option<&str>) -> Result<Image, LayoutError> {
        if let Some(bytes) = self.document("index.json")? {
            self.check_version()?;
            return self.layout_image(&bytes, platform, name);
        }
        match self.document("manifest.json")? {
            Some(bytes) => self.saved_image(&bytes, platform, name),
            None => Err(LayoutError::NotALayout { path: self.path.clone() }),
        }
    }

    /// A layer of the image, lowest is 0. Unpack it, then call [`LayerReader::finish`].
    pub fn layer(&self, image: &Image, n: usize) -> Result<LayerReader<'_>, LayoutError> {
        let missing = |name: String| LayoutError::Missing { path: self.path.clone(), what: "layer", name };
        let layer = image.layers.get(n).ok_or_else(|| missing(format!("number {}", n + 1)))?;
        let name = match self.saved_layer(image, n)? {
            Some(name) => name,
            None => blob_path(layer.blob.digest),
        };
        let (reader, _) = self.open_file(&name)?.ok_or_else(|| missing(name))?;
        LayerReader::new(reader, layer).map_err(|source| LayoutError::Read { path: self.path.clone(), source })
    }

    fn check_version(&self) -> Result<(), LayoutError> {
        let missing = || LayoutError::Missing {
            path: self.path.clone(),
            what: "marker of the format",
            name: "oci-layout".to_owned(),
        };
        let bytes = self.document("oci-layout")?.ok_or_else(missing)?;
        let marker: Marker = self.json("oci-layout", &bytes)?;
        if marker.image_layout_version != "1.0.0" {
            return Err(LayoutError::UnknownVersion { path: self.path.clone(), version: marker.image_layout_version });
        }
        Ok(())
    }

    fn layout_image(&self, index: &[u8], platform: &Platform, name: Option<&str>) -> Result<Image, LayoutError> {
        let index: WireManifest = self.json("index", index)?;
        let manifests = index.manifests.unwrap_or_default();
        let chosen = self.choose(&manifests, platform, name)?;
        let mut wire = chosen.clone();
        // An index may lead to another one, but not for ever.
        for _ in 0..4 {
            let named = descriptor(&wire, "index").map_err(|e| self.wrong(e))?;
            let bytes = self.blob(&named, "manifest")?;
            match read_document(&bytes, &named.media_type).map_err(|e| self.wrong(e))? {
                Document::Index(inner) => wire = select(&inner, platform).map_err(|e| self.wrong(e))?.clone(),
                Document::Manifest { config, layers } => {
                    let config = self.blob(&config, "configuration")?;
                    return assemble(named.digest, &config, layers, platform).map_err(|e| self.wrong(e));
                }
            }
        }
        let media_type = OCI_INDEX.to_owned();
        Err(self.wrong(ImageError::UnknownMediaType { what: "manifest".to_owned(), media_type }))
    }

    /// The entry of `index.json` that is meant: by name, else the only one, else the one for the platform.
    fn choose<'i>(
        &self,
        index: &'i [WireDescriptor],
        platform: &Platform,
        name: Option<&str>,
    ) -> Result<&'i WireDescriptor, LayoutError> {
        let names = |wire: &WireDescriptor| {
            [wire.annotations.get(NAME), wire.annotations.get(FULL_NAME)].map(Option::<&String>::cloned)
        };
        let found = || {
            let all: Vec<String> = index.iter().filter_map(|wire| names(wire).into_iter().flatten().next()).collect();
            if all.is_empty() { "none with a name".to_owned() } else { all.join(", ") }
        };
        if let Some(wanted) = name {
            let named: Vec<_> =
                index.iter().filter(|wire| names(wire).iter().flatten().any(|name| name == wanted)).cloned().collect();
            let digest = match named.as_slice() {
                [] => {
                    let (path, wanted) = (self.path.clone(), wanted.to_owned());
                    return Err(LayoutError::NoSuchName { path, wanted, found: found() });
                }
                [only] => only.digest.clone(),
                several => select(several, platform).map_err(|e| self.wrong(e))?.digest.clone(),
            };
            let missing = || LayoutError::NotALayout { path: self.path.clone() };
            return index.iter().find(|wire| wire.digest == digest).ok_or_else(missing);
        }
        match index {
            [only] => Ok(only),
            several if several.iter().all(|wire| wire.platform.is_none()) && !several.is_empty() => {
                Err(LayoutError::Ambiguous { path: self.path.clone(), found: found() })
            }
            several => select(several, platform).map_err(|e| self.wrong(e)),
        }
    }

    fn saved_image(&self, manifest: &[u8], platform: &Platform, name: Option<&str>) -> Result<Image, LayoutError> {
        let saved = self.choose_saved(manifest, name)?;
        let missing = |name| LayoutError::Missing { path: self.path.clone(), what: "configuration", name };
        let config = self.document(&saved.config)?.ok_or_else(|| missing(saved.config.clone()))?;
        let found = Sha256::of(&config);
        // Its name is its digest, in both of the forms that Docker has had.
        let stem = saved.config.rsplit('/').next().unwrap_or_default().trim_end_matches(".json");
        if let Ok(expected) = stem.parse::<Sha256>()
            && expected != found
        {
            return Err(self.wrong(ImageError::DigestMismatch { what: "configuration", expected, found }));
        }
        // A saved layer is known by its diff id: blobs are plain, or named by their digest.
        let wire: WireConfig = self.json("configuration", &config)?;
        let layer = |(name, diff_id): (&String, &String)| {
            let diff_id = parse_digest(diff_id, "configuration").map_err(|e| self.wrong(e))?;
            let digest = name.strip_prefix("blobs/sha256/").and_then(|hex| hex.parse().ok()).unwrap_or(diff_id);
            Ok(Descriptor { media_type: String::new(), digest, size: None })
        };
        let (layers, diff_ids) = (saved.layers.len(), wire.rootfs.diff_ids.len());
        if layers != diff_ids {
            return Err(self.wrong(ImageError::LayerCount { layers, diff_ids }));
        }
        let layers = saved.layers.iter().zip(&wire.rootfs.diff_ids).map(layer).collect::<Result<_, _>>()?;
        assemble(found, &config, layers, platform).map_err(|e| self.wrong(e))
    }

    fn choose_saved(&self, manifest: &[u8], name: Option<&str>) -> Result<SavedImage, LayoutError> {
        let images: Vec<SavedImage> = self.json("manifest.json", manifest)?;
        let tags = |image: &SavedImage| image.repo_tags.clone().unwrap_or_default();
        let found = images.iter().flat_map(tags).collect::<Vec<_>>().join(", ");
        let found = if found.is_empty() { "none with a name".to_owned() } else { found };
        let count = images.len();
        let is_wanted = |image: &SavedImage| name.is_none_or(|name| tags(image).iter().any(|tag| tag == name));
        match images.into_iter().find(is_wanted) {
            Some(image) if count == 1 || name.is_some() => Ok(image),
            Some(_) => Err(LayoutError::Ambiguous { path: self.path.clone(), found }),
            None => {
                let wanted = name.unwrap_or("latest").to_owned();
                Err(LayoutError::NoSuchName { path: self.path.clone(), wanted, found })
            }
        }
    }

    /// The path of a layer where only `manifest.json` says it.
    fn saved_layer(&self, image: &Image, n: usize) -> Result<Option<String>, LayoutError> {
        if self.document("index.json")?.is_some() {
            return Ok(None);
        }
        let Some(bytes) = self.document("manifest.json")? else { return Ok(None) };
        let images: Vec<SavedImage> = self.json("manifest.json", &bytes)?;
        for saved in images {
            let is_it = self.document(&saved.config)?.is_some_and(|config| Sha256::of(&config) == image.id);
            if is_it {
                return Ok(saved.layers.into_iter().nth(n));
            }
        }
        Ok(None)
    }

    /// A document named by its digest.
    fn blob(&self, named: &Descriptor, what: &'static str) -> Result<Vec<u8>, LayoutError> {
        let name = blob_path(named.digest);
        let missing = || LayoutError::Missing { path: self.path.clone(), what, name: name.clone() };
        let bytes = self.document(&name)?.ok_or_else(missing)?;
        let found = Sha256::of(&bytes);
        if found != named.digest {
            return Err(self.wrong(ImageError::DigestMismatch { what, expected: named.digest, found }));
        }
        Ok(bytes)
    }

    /// A small file of the layout, none where it is not there.
    fn document(&self, name: &str) -> Result<Option<Vec<u8>>, LayoutError> {
        let failed = |source| LayoutError::Read { path: self.path.join(name), source };
        let Some((reader, size)) = self.open_file(name)? else { return Ok(None) };
        if size > DOCUMENT_LIMIT {
            return Err(failed(io::Error::other(format!("it has {size} bytes; {DOCUMENT_LIMIT} are the most"))));
        }
        let mut bytes = Vec::new();
        reader.take(DOCUMENT_LIMIT).read_to_end(&mut bytes).map_err(failed)?;
        Ok(Some(bytes))
    }

    fn open_file(&self, name: &str) -> Result<Option<Opened<'_>>, LayoutError> {
        match &self.files {
            Files::Dir => {
                let failed = |source| LayoutError::Read { path: self.path.join(name), source };
                // Names from documents must not lead out of the layout.
                if name.split('/').any(|part| part == "..") || name.starts_with('/') {
                    return Ok(None);
                }
                let file = match File::open(self.path.join(name)) {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
                    file => file.map_err(failed)?,
                };
                let size = file.metadata().map_err(failed)?.len();
                Ok(Some((Box::new(file), size)))
            }
            Files::Archive { file, members } => {
                let member = match members.get(name) {
                    Some(Member::Link(to)) => members.get(to),
                    member => member,
                };
                match member {
                    Some(Member::File { at, size }) => {
                        Ok(Some((Box::new(Window { file, at: *at, left: *size }), *size)))
                    }
                    Some(Member::Link(_)) | None => Ok(None),
                }
            }
        }
    }

    fn json<'b, T: Deserialize<'b>>(&self, what: &'static str, bytes: &'b [u8]) -> Result<T, LayoutError> {
        let malformed = |source| ImageError::Malformed { what, digest: Sha256::of(bytes), source };
        serde_json::from_slice(bytes).map_err(|e| self.wrong(malformed(e)))
    }

    fn wrong(&self, source: ImageError) -> LayoutError {
        LayoutError::Image { path: self.path.clone(), source }
    }
}

fn blob_path(digest: Sha256) -> String {
    format!("blobs/sha256/{digest}")
}

/// A part of a file.
struct Window<'f> {
    file: &'f File,
    at: u64,
    left: u64,
}

impl Read for Window<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(buffer.get_mut(..most).unwrap_or_default(), self.at)?;
        (self.at, self.left) = (self.at + read as u64, self.left - read as u64);
        Ok(read)
    }
}

/// The archive's plain bytes as a file: itself, or a nameless copy in `scratch`.
fn plain(path: &Path, scratch: &Path) -> io::Result<File> {
    let mut file = File::open(path)?;
    let mut start = [0; 8];
    let read = file.read(&mut start)?;
    file.seek(SeekFrom::Start(0))?;
    if Compression::of(start.get(..read).unwrap_or_default()) == Compression::Plain {
        return Ok(file);
    }
    let mut copy = tempfile::tempfile_in(scratch)?;
    let (mut reader, _) = tar::decompress(file)?;
    io::copy(&mut reader, &mut copy)?;
    Ok(copy)
}

/// Where each member of an archive is. Only what `docker save`, `podman save` and skopeo write is understood.
fn index(file: &File, path: &Path) -> Result<BTreeMap<String, Member>, LayoutError> {
    let failed = |source| LayoutError::Read { path: path.to_owned(), source };
    let damaged = |why| LayoutError::Damaged { path: path.to_owned(), why };
    let total = file.metadata().map_err(failed)?.len();
    let mut members = BTreeMap::new();
    let mut at = 0;
    while at < total {
        let window = Window { file, at, left: total - at };
        let Some(found) =
            tar::next_header(window).map_err(|_| damaged("it has no valid header where one should be"))?
        else {
            break;
        };
        let data = at + found.header_size;
        at = data + found.size.next_multiple_of(tar::BLOCK);
        if at > total {
            return Err(damaged("it ends too early"));
        }
        let Some(name) = clean(&found.name) else { continue };
        let member = match found.link {
            Some(link) => {
                let dir = name.rsplit_once('/').map(|(dir, _)| dir).unwrap_or_default();
                match clean(&[dir.as_bytes(), b"/", &link].concat()) {
                    Some(target) => Member::Link(target),
                    None => continue,
                }
            }
            None => Member::File { at: data, size: found.size },
        };
        members.insert(name, member);
    }
    Ok(members)
}

/// The name of a member without `.` and `..`; none where it leads out of the archive or is not text.
fn clean(name: &[u8]) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in std::str::from_utf8(name).ok()?.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
