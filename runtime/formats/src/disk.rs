//! A bootable disk from a file tree: GPT, an EFI system partition, an ext4 root.
//!
//! Made without a virtual machine, loop device, mount or root rights. Equal input gives equal bytes, whatever the host,
//! user, directory, job count and time. Knows nothing of steps and plans.

use std::path::{Path, PathBuf};

use imgc_plan::{Digest, Platform};

use crate::ext4::Ext4Error;
use crate::tree::{FileTree, TreeError};

/// How the disk is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFormat {
    /// Byte for byte, with holes where it is zero.
    Raw,
    /// QEMU's format, version 3, holding only clusters that are not zero.
    Qcow2,
}

/// How the disk boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boot {
    /// By UEFI firmware, from the fallback path of the EFI system partition.
    Uefi,
}

/// What disk to make.
#[derive(Debug)]
pub struct DiskSpec<'a> {
    /// Of the whole disk as the guest sees it, in bytes; a multiple of 512.
    pub size: u64,
    /// How it is written.
    pub format: DiskFormat,
    /// How it boots.
    pub boot: Boot,
    /// What machine it is for; Linux on `amd64` or `arm64`.
    pub platform: &'a Platform,
    /// Seconds since 1970: the time of everything that the image itself gives no time.
    pub epoch: i64,
    /// All UUIDs, volume ids and hash seeds derive from it: the same for the same artifact.
    pub seed: Digest,
    /// What the root file system holds.
    pub tree: FileTree,
}

/// Why there is no disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The size cannot be that of a disk.
    #[error("a disk of {size} bytes cannot be made: {why}")]
    Size {
        /// As asked.
        size: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not a machine that a disk can be made for.
    #[error("no bootable disk can be made for {platform}")]
    Platform {
        /// As asked.
        platform: Platform,
    },
    /// The image has no kernel.
    #[error("the image holds no kernel: there is no /boot/vmlinuz-* in it")]
    NoKernel {
        /// A package that brings one.
        package: &'static str,
    },
    /// Neither the image nor this host has a boot loader.
    #[error("no boot loader: the image has no {in_image}, and this host has no {on_host}")]
    NoBootLoader {
        /// Where it was looked for in the image.
        in_image: String,
        /// Where it was looked for on this host.
        on_host: PathBuf,
        /// The package that brings the latter.
        package: &'static str,
    },
    /// The image does not fit.
    #[error("the image needs {needs} on its root file system, but `size` leaves {leaves}")]
    DoesNotFit {
        /// In bytes, for people.
        needs: String,
        /// In bytes, for people.
        leaves: String,
        /// A size that is large enough, for people.
        enough: String,
    },
    /// The image's entries do not make a tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The root file system cannot hold the image.
    #[error(transparent)]
    Ext4(Ext4Error),
    /// A file operation failed.
    #[error("{doing}")]
    Io {
        /// What was tried on what.
        doing: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// Makes the disk at `out`, which appears when it is whole and replaces what was there.
///
/// # Errors
/// See [`DiskError`]; nothing is left behind then.
pub fn build(spec: &DiskSpec<'_>, out: &Path) -> Result<(), DiskError> {
    let _ = (spec, out);
    Err(DiskError::Size { size: spec.size, why: "the writer is not here yet" })
}
