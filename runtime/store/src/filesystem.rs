//! What kind of file system the store is on: some cannot hold one, some need care by a backend.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::StoreError;

/// The file system under the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSystem {
    /// ext2, ext3, ext4.
    Ext4,
    /// XFS.
    Xfs,
    /// btrfs.
    Btrfs,
    /// tmpfs: in memory, no `user.*` attributes before Linux 6.6.
    Tmpfs,
    /// overlayfs, as in a container: cannot be the upper layer of another overlay.
    Overlay,
    /// A FUSE file system of this type (`fuse.fuse-overlayfs`), not known to be remote.
    Fuse(String),
    /// One that cannot hold a store, and its name.
    Unsuitable(String),
    /// Any other, by its magic number; taken to be local.
    Other(u64),
}

impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ext4 => f.write_str("ext4"),
            Self::Xfs => f.write_str("XFS"),
            Self::Btrfs => f.write_str("btrfs"),
            Self::Tmpfs => f.write_str("tmpfs"),
            Self::Overlay => f.write_str("overlayfs"),
            Self::Fuse(name) | Self::Unsuitable(name) => f.write_str(name),
            Self::Other(magic) => write!(f, "a file system of type {magic:#x}"),
        }
    }
}

const FUSE: u64 = 0x6573_5546;

/// FUSE file systems whose files are on another machine, so that locks and renames are not what they seem.
const REMOTE_FUSE: [&str; 12] = [
    "sshfs",
    "s3fs",
    "gcsfuse",
    "rclone",
    "glusterfs",
    "davfs",
    "curlftpfs",
    "goofys",
    "blobfuse",
    "mount-s3",
    "juicefs",
    "cephfs",
];

impl FileSystem {
    /// Of the file system that `dir`, which exists, is on.
    pub(crate) fn of(dir: &Path) -> Result<Self, StoreError> {
        let stat = rustix::fs::statfs(dir).map_err(StoreError::os("examine", dir))?;
        let magic = u64::try_from(stat.f_type).unwrap_or_default() & 0xffff_ffff;
        let fuse_type = if magic == FUSE { mounted_as(dir) } else { None };
        Ok(Self::classify(magic, fuse_type.as_deref()))
    }

    /// By magic number (`statfs(2)`) and, for FUSE, the type that the mount table says.
    fn classify(magic: u64, fuse_type: Option<&str>) -> Self {
        let unsuitable = |name: &str| Self::Unsuitable(name.to_owned());
        match magic {
            0xef53 => Self::Ext4,
            0x5846_5342 => Self::Xfs,
            0x9123_683e => Self::Btrfs,
            0x0102_1994 => Self::Tmpfs,
            0x794c_7630 => Self::Overlay,
            0x6969 => unsuitable("NFS"),
            0x517b | 0xff53_4d42 | 0xfe53_4d42 => unsuitable("SMB"),
            0x0102_1997 => unsuitable("9p"),
            0x5346_414f | 0x6b41_4653 => unsuitable("AFS"),
            0x00c3_6400 => unsuitable("Ceph"),
            0x7375_7245 => unsuitable("Coda"),
            0x0bd0_0bd0 => unsuitable("Lustre"),
            0x4750_4653 => unsuitable("GPFS"),
            0x4d44 => unsuitable("FAT"),
            0x2011_bab0 => unsuitable("exFAT"),
            FUSE => {
                let name = fuse_type.unwrap_or("fuse");
                let short = name.strip_prefix("fuse.").unwrap_or(name);
                if REMOTE_FUSE.contains(&short) { unsuitable(name) } else { Self::Fuse(name.to_owned()) }
            }
            other => Self::Other(other),
        }
    }
}

/// The type of the mount that `dir` is on, by its device number.
fn mounted_as(dir: &Path) -> Option<String> {
    let dev = std::fs::metadata(dir).ok()?.dev();
    let device = format!("{}:{}", rustix::fs::major(dev), rustix::fs::minor(dev));
    let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    table.lines().find_map(|line| {
        if line.split(' ').nth(2) != Some(device.as_str()) {
            return None;
        }
        let (_, after) = line.split_once(" - ")?;
        after.split(' ').next().map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remote_file_systems_cannot_hold_a_store() {
        for (magic, fuse) in [(0x6969, None), (0x0102_1997, None), (0xff53_4d42, None), (FUSE, Some("fuse.sshfs"))] {
            assert!(matches!(FileSystem::classify(magic, fuse), FileSystem::Unsuitable(_)), "{magic:#x} {fuse:?}");
        }
    }

    #[test]
    fn local_file_systems_can() {
        assert_eq!(FileSystem::classify(0xef53, None), FileSystem::Ext4);
        assert_eq!(FileSystem::classify(0x794c_7630, None), FileSystem::Overlay);
        let fuse = FileSystem::classify(FUSE, Some("fuse.fuse-overlayfs"));
        assert_eq!(fuse, FileSystem::Fuse("fuse.fuse-overlayfs".to_owned()));
    }

    #[test]
    fn proc_is_some_other_file_system() {
        assert!(matches!(FileSystem::of(Path::new("/proc")), Ok(FileSystem::Other(0x9fa0))));
    }
}
