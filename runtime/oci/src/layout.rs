//! Reading images from disk: OCI layouts as directories or archives, and archives of `docker save`.

use std::path::{Path, PathBuf};

use imgc_plan::Platform;

use crate::image::{Image, ImageError};
use crate::layer::LayerReader;

/// An opened layout or archive.
#[derive(Debug)]
pub struct Layout {
    path: PathBuf,
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
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The layout, or the file in it.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Layout {
    /// Opens a layout directory, or an archive of one; a compressed archive is first decompressed into `scratch`.
    pub fn open(path: &Path, scratch: &Path) -> Result<Self, LayoutError> {
        let _ = scratch;
        Ok(Self { path: path.to_owned() })
    }

    /// The image for a platform, its manifest and configuration checked. `name` chooses among several by tag.
    pub fn image(&self, platform: &Platform, name: Option<&str>) -> Result<Image, LayoutError> {
        let _ = (platform, name);
        Err(LayoutError::Read { path: self.path.clone(), source: std::io::Error::other("not yet") })
    }

    /// A layer of the image, lowest is 0. Unpack it, then call [`LayerReader::finish`].
    pub fn layer(&self, image: &Image, n: usize) -> Result<LayerReader<'_>, LayoutError> {
        let _ = (image, n);
        Err(LayoutError::Read { path: self.path.clone(), source: std::io::Error::other("not yet") })
    }
}
