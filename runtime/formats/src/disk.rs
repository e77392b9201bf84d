//! A bootable disk from a file tree: GPT, an EFI system partition, an ext4 root.
//!
//! Made without a virtual machine, loop device, mount or root rights. Equal input gives equal bytes, whatever the host,
//! user, directory, job count and time. Knows nothing of steps and plans.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use imgc_plan::{Digest, Platform};
use tempfile::NamedTempFile;

use crate::boot::{self, Machine, RootIds, tree_path};
use crate::content::ContentError;
use crate::ext4::{self, Ext4Error, Ext4Options};
use crate::fat::{self, FatError, FatOptions};
use crate::gpt::{self, Partition};
use crate::identity::{self, Uuid};
use crate::qcow2;
use crate::region::{Cancel, Region};
use crate::tree::{Content, FileTree, Node, NodeKind, TreeError};

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
    /// Ends the making: what was written by then goes.
    pub cancel: Cancel<'a>,
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
    /// What the image wants its kernel to be passed cannot be written into a boot loader's configuration.
    #[error("/etc/kernel/cmdline of the image: {why}")]
    CommandLine {
        /// What is wrong with it.
        why: String,
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
    /// A file of the image could not be copied.
    #[error(transparent)]
    Content(ContentError),
    /// A file operation failed.
    #[error("{doing}")]
    Io {
        /// What was tried on what.
        doing: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl DiskError {
    /// For `map_err`: what was being done.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// What to do about it, where that is known.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Size { .. } => Some("give a size such as `2GiB`".to_owned()),
            Self::NoKernel { package } => Some(format!(
                "install one in the image, with what a machine needs to start: on Debian, \
                 `use apt.install([\"{package}\", \"systemd-sysv\", \"udev\"])`"
            )),
            Self::NoBootLoader { package, .. } => {
                Some(format!("needs: {package}; install it on this host, or systemd-boot in the image"))
            }
            Self::DoesNotFit { enough, .. } => Some(format!("with `size: {enough}` it fits")),
            Self::CommandLine { .. } => Some(
                "write plain arguments into it, such as `quiet`, for instance with `kernel.command_line`".to_owned(),
            ),
            Self::Platform { .. } => Some("disks can be made for linux/amd64 and linux/arm64".to_owned()),
            Self::Content(ContentError::Changed { .. }) => {
                Some("`imgc cache verify` finds and removes what is damaged".to_owned())
            }
            Self::Tree(_) | Self::Ext4(_) | Self::Content(_) | Self::Io { .. } => None,
        }
    }
}

const MIB: u64 = 1 << 20;
/// Partitions start and end at multiples of this; the table takes the first.
const ALIGNMENT: u64 = MIB;
/// The copy of the partition table at the end of the disk, in sectors.
const LAST_SECTORS: u64 = 33;
const ESP_TYPE: [u8; 16] = *b"\xc1\x2a\x73\x28\xf8\x1f\x11\xd2\xba\x4b\x00\xa0\xc9\x3e\xc9\x3b";

/// Makes the disk at `out`, which appears when it is whole and replaces what was there.
///
/// The root file system holds the tree, and: `/etc/fstab` with the root and the EFI system partition, keeping lines for
/// other mount points; an empty `/etc/machine-id`; the directory `/boot/efi`. Nothing else differs from the tree.
///
/// # Errors
/// See [`DiskError`]; nothing is left behind then.
pub fn build(spec: &DiskSpec<'_>, out: &Path) -> Result<(), DiskError> {
    let Boot::Uefi = spec.boot;
    let machine = Machine::of(spec.platform)?;
    if !spec.size.is_multiple_of(gpt::SECTOR) {
        return Err(DiskError::Size { size: spec.size, why: "it is not a multiple of 512 bytes" });
    }
    let ids = Ids::derive(spec.seed);
    let esp_files = boot::files(&spec.tree, machine, &ids.root)?;
    let mut tree = spec.tree.clone();
    own_files(&mut tree, &ids, spec.epoch)?;
    let parts = Parts::new(spec.size, fat::size_for(&esp_files)).map_err(|least| DiskError::DoesNotFit {
        needs: mebibytes(least),
        leaves: "nothing".to_owned(),
        enough: enough(least, fat::size_for(&esp_files), 0, 0),
    })?;

    let mut raw = temporary(out)?;
    let writing = || format!("cannot write {}", out.display());
    raw.as_file().set_len(spec.size).map_err(DiskError::io(writing()))?;
    gpt::write(raw.as_file_mut(), ids.disk.0, &parts.table(machine, &ids)).map_err(DiskError::io(writing()))?;
    let options = FatOptions {
        volume_id: ids.esp_volume,
        epoch: spec.epoch,
        hidden_sectors: u32::try_from(parts.esp.start / gpt::SECTOR).unwrap_or_default(),
    };
    fat::write(&esp_files, &options, parts.esp.region(raw.as_file()).until(spec.cancel))
        .map_err(|error| from_fat(error, &writing()))?;
    let options = Ext4Options { uuid: ids.root.file_system.0, hash_seed: ids.hash_seed.0, epoch: spec.epoch };
    ext4::write(tree, &options, parts.root.region(raw.as_file()).until(spec.cancel))
        .map_err(|error| from_ext4(error, parts.esp.len, &writing()))?;

    let whole = match spec.format {
        DiskFormat::Raw => raw,
        DiskFormat::Qcow2 => {
            let packed = temporary(out)?;
            qcow2::write_until(raw.as_file(), spec.size, packed.as_file(), spec.cancel)
                .map_err(DiskError::io(writing()))?;
            packed
        }
    };
    whole.as_file().set_permissions(Permissions::from_mode(0o644)).map_err(DiskError::io(writing()))?;
    whole.persist(out).map_err(|error| DiskError::Io { doing: writing(), source: error.error })?;
    Ok(())
}

/// A file beside `out` that is removed unless it is kept.
fn temporary(out: &Path) -> Result<NamedTempFile, DiskError> {
    let dir = out.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let made = tempfile::Builder::new().prefix(".disk-").tempfile_in(dir);
    made.map_err(DiskError::io(format!("cannot make a file in {}", dir.display())))
}

/// All identifiers of a disk.
struct Ids {
    disk: Uuid,
    esp: Uuid,
    esp_volume: u32,
    root: RootIds,
    hash_seed: Uuid,
}

impl Ids {
    fn derive(seed: Digest) -> Self {
        Self {
            disk: Uuid::derive(seed, "disk"),
            esp: Uuid::derive(seed, "esp partition"),
            esp_volume: identity::volume_id(seed, "esp volume"),
            root: RootIds {
                file_system: Uuid::derive(seed, "root file system"),
                partition: Uuid::derive(seed, "root partition"),
            },
            hash_seed: Uuid::derive(seed, "root hash seed"),
        }
    }
}

/// A part of the disk, in bytes.
struct Part {
    start: u64,
    len: u64,
}

impl Part {
    fn region<'a>(&self, file: &'a File) -> Region<'a> {
        Region::new(file, self.start, self.len)
    }
}

struct Parts {
    esp: Part,
    root: Part,
}

impl Parts {
    /// Divides a disk; the error is how large it must be at least.
    fn new(size: u64, esp: u64) -> Result<Self, u64> {
        let esp = Part { start: ALIGNMENT, len: esp };
        let start = esp.start + esp.len;
        let usable = size.saturating_sub(LAST_SECTORS * gpt::SECTOR);
        let end = usable - usable % ALIGNMENT;
        let len = end.checked_sub(start).filter(|len| *len >= MIB).ok_or(start + 2 * MIB)?;
        Ok(Self { esp, root: Part { start, len } })
    }

    fn table(&self, machine: &Machine, ids: &Ids) -> [Partition; 2] {
        let partition =
            |kind, id: Uuid, name, part: &Part| Partition { kind, id: id.0, name, start: part.start, len: part.len };
        [
            partition(ESP_TYPE, ids.esp, "EFI system partition", &self.esp),
            partition(machine.root_type, ids.root.partition, "root", &self.root),
        ]
    }
}

/// The files of the root file system that are ours.
fn own_files(tree: &mut FileTree, ids: &Ids, epoch: i64) -> Result<(), DiskError> {
    let file = |bytes: Vec<u8>, mode| Node::of_root(NodeKind::File(Content::Bytes(bytes)), mode, epoch);
    let fstab = fstab(&old_fstab(tree)?, ids);
    tree.insert(&tree_path("etc/fstab"), file(fstab.into_bytes(), 0o644))?;
    tree.insert(&tree_path("etc/machine-id"), file(Vec::new(), 0o444))?;
    let efi = tree_path("boot/efi");
    if tree.get(&efi).is_none() {
        tree.insert(&efi, Node::of_root(NodeKind::Dir, 0o755, epoch))?;
    }
    Ok(())
}

fn old_fstab(tree: &FileTree) -> Result<String, DiskError> {
    let bytes = match tree.resolve(&tree_path("etc/fstab")) {
        None => Vec::new(),
        Some((_, Content::Bytes(bytes))) => bytes.clone(),
        Some((_, Content::Host { path, .. })) => {
            std::fs::read(path).map_err(DiskError::io(format!("cannot read {}", path.display())))?
        }
    };
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The root and the EFI system partition, then what the image itself mounts elsewhere.
fn fstab(old: &str, ids: &Ids) -> String {
    let esp = identity::show_volume_id(ids.esp_volume);
    let mut text = format!(
        "UUID={} / ext4 defaults,errors=remount-ro 0 1\nUUID={esp} /boot/efi vfat umask=0077,nofail 0 0\n",
        ids.root.file_system
    );
    for line in old.lines() {
        let ours = matches!(line.split_whitespace().nth(1), Some("/" | "/boot/efi"));
        if !ours && !line.trim_start().starts_with('#') && !line.trim().is_empty() {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

fn from_fat(error: FatError, doing: &str) -> DiskError {
    match error {
        FatError::Size { bytes } => {
            DiskError::Size { size: bytes, why: "the boot files are too large for an EFI system partition" }
        }
        FatError::Content(error) => DiskError::Content(error),
        FatError::Write(source) => DiskError::Io { doing: doing.to_owned(), source },
    }
}

fn from_ext4(error: Ext4Error, esp: u64, doing: &str) -> DiskError {
    match error {
        Ext4Error::Full { needs, leaves, inodes } => DiskError::DoesNotFit {
            needs: mebibytes(needs),
            leaves: format!("{} MiB", leaves / MIB),
            enough: enough(needs, esp, needs, inodes),
        },
        Ext4Error::Content(error) => DiskError::Content(error),
        Ext4Error::Write(source) => DiskError::Io { doing: doing.to_owned(), source },
        error @ (Ext4Error::TooSmall { .. }
        | Ext4Error::TooLarge { .. }
        | Ext4Error::TooManyFiles { .. }
        | Ext4Error::Xattr { .. }
        | Ext4Error::XattrsTooLarge { .. }
        | Ext4Error::TooManyLinks { .. }
        | Ext4Error::Symlink { .. }
        | Ext4Error::LostAndFound) => DiskError::Ext4(error),
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(MIB))
}

/// The first multiple of 64 MiB that is a large enough disk, as a literal of the language.
fn enough(least: u64, esp: u64, needs: u64, inodes: u64) -> String {
    const STEP: u64 = 64 * MIB;
    let fits = |size: u64| {
        let room = Parts::new(size, esp).ok().and_then(|parts| ext4::capacity(parts.root.len, inodes).ok());
        // A little more for trees of extents.
        room.is_some_and(|room| room >= needs + needs / 100)
    };
    let mut size = least.next_multiple_of(STEP);
    // Metadata and journal are a small part, so this ends soon; the bound is for numbers that no disk has.
    for _ in 0..100_000 {
        if fits(size) {
            break;
        }
        size += STEP;
    }
    format!("{}MiB", size / MIB)
}
