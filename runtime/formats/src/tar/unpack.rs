//! Unpacking: an archive that nobody vouches for becomes a tree and its manifest.

use std::io::Read;
use std::path::Path;

use imgc_store::{Manifest, TreePath};

use super::Whiteouts;
use super::compression::decompress;
use super::read::{Header, Kind, Members, shown};
use super::tree::{Attributes, Tree};

/// How to unpack.
#[derive(Debug, Clone)]
pub struct UnpackOptions<'a> {
    /// Seconds since 1970 that later time stamps become; earlier ones stay, those before 1970 become 0.
    pub epoch: i64,
    /// The name of the attribute that marks opaque directories on disk: `trusted.overlay.opaque` as real root,
    /// `user.overlay.opaque` in a user namespace. Its value is `y`.
    pub opaque_xattr: &'a str,
    /// What `.wh.` names mean. A plain archive must also have the mark of its end, since nothing else tells whether
    /// it is whole.
    pub whiteouts: Whiteouts,
    /// Whether owners are set on disk.
    pub owners: Owners,
    /// The manifests of the layers below, lowest first. Directories that the archive leaves out but has something in
    /// take their owner and mode from there, so that unpacking over a layer does not change them.
    pub below: &'a [&'a Manifest],
    /// How much an archive may ask for.
    pub limits: Limits,
}

/// Whether owners are set on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// Yes: the process is root, or uid 0 of a user namespace with enough ids.
    Set,
    /// No: files stay with the user and have no capabilities; the manifest has both. For tests and inspection.
    Record,
}

/// How much an archive may ask for before it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Members, and directories made for them.
    pub entries: u64,
    /// Bytes of content in all files together.
    pub content: u64,
    /// Bytes of names, link targets and attributes together, which are held in memory.
    pub metadata: u64,
    /// Bytes of one path.
    pub path: usize,
    /// Directories below one another.
    pub depth: usize,
    /// Bytes of the PAX or GNU records before one member.
    pub records: u64,
}

impl Default for Limits {
    /// Far above what real images have, far below what would harm the host.
    fn default() -> Self {
        let (content, metadata) = (256 << 30, 1 << 30);
        Self { entries: 4_000_000, content, metadata, path: 4_000, depth: 512, records: 1 << 20 }
    }
}

/// What unpacking gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// The tree, as it now stands in the directory.
    pub manifest: Manifest,
    /// What was left out, in the archive's order.
    pub skipped: Vec<Skipped>,
}

/// Something that layers do not hold and that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where it was to be.
    pub path: TreePath,
    /// `device node`, `attribute user.overlay.redirect`.
    pub what: String,
}

/// What is wrong with a member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `..` among the parts of its path.
    #[error("its path leads upwards with `..`")]
    Upwards,
    /// Nothing is left of its path.
    #[error("it has no name")]
    NoName,
    /// A zero byte in its path or target.
    #[error("its path or target has a zero byte")]
    ZeroByte,
    /// A part of its path is longer than file systems take.
    #[error("a part of its path has more than 255 bytes")]
    NameTooLong,
    /// Its path is too long.
    #[error("its path has more than {limit} bytes")]
    PathTooLong {
        /// The limit.
        limit: usize,
    },
    /// Its path is too deep.
    #[error("its path goes more than {limit} directories deep")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// A symbolic link of the archive stands in its path.
    #[error("its path goes through the symbolic link `{link}`")]
    ThroughLink {
        /// The link.
        link: String,
    },
    /// Something else that is no directory stands in its path.
    #[error("its path goes through `{file}`, which is no directory")]
    ThroughFile {
        /// What stands there.
        file: String,
    },
    /// A hard link whose target begins with `/`.
    #[error("it is a hard link to the absolute path `{target}`")]
    AbsoluteHardlink {
        /// As the archive has it.
        target: String,
    },
    /// A hard link whose target has `..`.
    #[error("it is a hard link to `{target}`, which leads upwards")]
    UpwardsHardlink {
        /// As the archive has it.
        target: String,
    },
    /// A hard link to something that came not before it in the archive.
    #[error("it is a hard link to `{target}`, which is no file that came before it")]
    DanglingHardlink {
        /// As the archive has it.
        target: String,
    },
    /// A hard link to a directory.
    #[error("it is a hard link to the directory `{target}`")]
    DirHardlink {
        /// As the archive has it.
        target: String,
    },
    /// A hard link to itself.
    #[error("it is a hard link to itself")]
    SelfHardlink,
    /// A symbolic link without target, or with one longer than a path may be.
    #[error("it is a symbolic link with an empty target or one of more than 4095 bytes")]
    BadTarget,
    /// The root is replaced by something that is no directory.
    #[error("it would replace the root directory")]
    ReplacesRoot,
    /// An opaque marker for the root.
    #[error("it hides all of the layers below at the root, which overlay file systems cannot")]
    OpaqueRoot,
    /// A whiteout of no name, `.` or `..`.
    #[error("it is a whiteout of nothing")]
    BadWhiteout,
    /// A number in its header that is not one, or that is negative or too large.
    #[error("its {0} is no number that could be meant")]
    BadNumber(&'static str),
    /// An owner that cannot be one.
    #[error("its owner {uid}:{gid} is no possible one")]
    BadOwner {
        /// As the archive has it.
        uid: u64,
        /// As the archive has it.
        gid: u64,
    },
    /// PAX records that break their format.
    #[error("its PAX records are malformed")]
    BadRecords,
    /// More than one set of records before one member.
    #[error("it has the same kind of records twice")]
    RepeatedRecords,
    /// Records too large to be honest.
    #[error("its records have more than {limit} bytes")]
    RecordsTooLarge {
        /// The limit.
        limit: u64,
    },
    /// Global records that would change other members.
    #[error("global PAX records would change the members after them")]
    GlobalRecords,
    /// A sparse file.
    #[error("it is a sparse file; pack it without `--sparse`")]
    Sparse,
    /// A type flag that imgc does not know.
    #[error("it is of the unknown type {0:?}")]
    UnknownKind(char),
}

/// Why unpacking failed. What was written by then is the caller's to remove with the directory.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// A member is not what an honest archive has.
    #[error("the archive is refused at `{path}`: {why}")]
    Refused {
        /// As the archive has it, odd bytes replaced.
        path: String,
        /// Why.
        why: Refusal,
    },
    /// The archive asks for more than an honest one.
    #[error("the archive is refused: it has more than {limit} {what}")]
    Limit {
        /// `members`, `bytes of content`.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// It does not begin as a tar archive does.
    #[error("this is not a tar archive, nor one in gzip or zstd")]
    NotTar,
    /// It ends too early.
    #[error("the archive ends too early, after {offset} bytes")]
    Truncated {
        /// In the plain archive.
        offset: u64,
    },
    /// Something that is no header where one should be.
    #[error("the archive is damaged: no valid header after {offset} bytes")]
    Damaged {
        /// In the plain archive.
        offset: u64,
    },
    /// It cannot be read or decompressed.
    #[error("cannot read the archive after {offset} bytes")]
    Read {
        /// In the plain archive.
        offset: u64,
        /// Why.
        source: std::io::Error,
    },
    /// An owner cannot be set.
    #[error("cannot give `{path}` to {uid}:{gid}")]
    Owner {
        /// In the tree.
        path: String,
        /// The owner.
        uid: u32,
        /// The group.
        gid: u32,
        /// Why; in a user namespace the id is perhaps not mapped.
        source: std::io::Error,
    },
    /// Something cannot be made on disk.
    #[error("cannot {doing} `{path}`")]
    Place {
        /// `make the directory`.
        doing: &'static str,
        /// In the tree.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Unpacks an archive (plain, gzip or zstd) into the empty directory `into`, which nobody else writes to.
///
/// Paths count from `into`, also absolute ones; nothing outside is ever touched. A later member replaces an earlier
/// one of the same path. Reads `reader` to its end, so that a digest computed on the way covers all of it.
pub fn unpack(
    reader: &mut (dyn Read + Send),
    into: &Path,
    options: &UnpackOptions<'_>,
) -> Result<Unpacked, UnpackError> {
    let (plain, _) = decompress(reader).map_err(|source| UnpackError::Read { offset: 0, source })?;
    let mut members = Members::new(plain, options.limits, options.whiteouts);
    let mut unpacking = Unpacking { tree: Tree::new(into, options)?, options, skipped: Vec::new(), content: 0 };
    while let Some(header) = members.next()? {
        unpacking.member(header, &mut members)?;
    }
    members.drain()?;
    Ok(Unpacked { manifest: unpacking.tree.finish()?, skipped: unpacking.skipped })
}

struct Unpacking<'a> {
    tree: Tree<'a>,
    options: &'a UnpackOptions<'a>,
    skipped: Vec<Skipped>,
    content: u64,
}

impl Unpacking<'_> {
    fn member(&mut self, mut header: Header, members: &mut Members<'_>) -> Result<(), UnpackError> {
        let named = shown(&header.path);
        let refused = |why| UnpackError::Refused { path: named.clone(), why };
        let path = clean(&header.path, &self.options.limits).map_err(refused)?;
        self.content = self.content.saturating_add(header.size);
        if self.content > self.options.limits.content {
            return Err(UnpackError::Limit { what: "bytes of content", limit: self.options.limits.content });
        }
        if self.options.whiteouts == Whiteouts::Oci && self.marker(&path).map_err(|e| e.named(&named))? {
            return Ok(());
        }
        if header.kind == Kind::Device {
            self.skipped.push(Skipped { path, what: "device node".to_owned() });
            return Ok(());
        }
        let attributes = self.attributes(&path, &mut header).map_err(refused)?;
        if path.0.is_empty() && header.kind != Kind::Dir {
            return Err(refused(Refusal::ReplacesRoot));
        }
        let placed = match header.kind {
            Kind::Dir => self.tree.dir(&path, attributes),
            Kind::File => self.tree.file(&path, attributes, header.size, members),
            Kind::Symlink => match header.link.as_slice() {
                link if link.contains(&0) => return Err(refused(Refusal::ZeroByte)),
                link if !(1..4096).contains(&link.len()) => return Err(refused(Refusal::BadTarget)),
                _ => self.tree.symlink(&path, attributes, header.link),
            },
            Kind::Hardlink => {
                let to = clean_target(&header.link, &self.options.limits).map_err(refused)?;
                self.tree.hardlink(&path, &to)
            }
            Kind::Fifo => self.tree.fifo(&path, attributes),
            Kind::Device => Ok(()),
        };
        placed.map_err(|e| e.named(&named))
    }

    /// Whiteouts and opaque markers; whether it was one.
    fn marker(&mut self, path: &TreePath) -> Result<bool, PlaceError> {
        let name = path.parts().last().unwrap_or_default().to_vec();
        let Some(hidden) = name.strip_prefix(b".wh.") else { return Ok(false) };
        let parent = path.0.strip_suffix(name.as_slice()).unwrap_or_default();
        let parent = TreePath(parent.strip_suffix(b"/").unwrap_or(parent).to_vec());
        match hidden {
            b".wh..opq" if parent.0.is_empty() => return Err(Refusal::OpaqueRoot.into()),
            b".wh..opq" => self.tree.opaque(&parent)?,
            // What else AUFS keeps for itself.
            hidden if hidden.starts_with(b".wh.") => {
                self.skipped.push(Skipped { path: path.clone(), what: "AUFS metadata".to_owned() });
            }
            b"" | b"." | b".." => return Err(Refusal::BadWhiteout.into()),
            hidden => self.tree.whiteout(&super::below(&parent, hidden))?,
        }
        Ok(true)
    }

    /// What is kept of a header's attributes.
    fn attributes(&mut self, path: &TreePath, header: &mut Header) -> Result<Attributes, Refusal> {
        let bad = || Refusal::BadOwner { uid: header.uid, gid: header.gid };
        // The highest number means "leave it" to the kernel.
        let id = |n: u64| u32::try_from(n).ok().filter(|n| *n != u32::MAX).ok_or_else(bad);
        let (uid, gid) = (id(header.uid)?, id(header.gid)?);
        let mut xattrs = std::mem::take(&mut header.xattrs);
        for name in xattrs.keys().filter(|name| name.contains(".overlay.")) {
            self.skipped.push(Skipped { path: path.clone(), what: format!("attribute {name}") });
        }
        // Links and pipes have none that layers keep.
        let takes_any = matches!(header.kind, Kind::Dir | Kind::File);
        xattrs.retain(|name, _| takes_any && is_kept(name));
        let mtime = header.mtime.min(self.options.epoch).max(0);
        Ok(Attributes { mode: header.mode, uid, gid, mtime, xattrs })
    }
}

/// Whether layers keep an attribute. Overlayfs's own would change what the layer means.
fn is_kept(name: &str) -> bool {
    let acl = ["system.posix_acl_access", "system.posix_acl_default"];
    name == "security.capability"
        || acl.contains(&name)
        || (name.starts_with("user.") && !name.starts_with("user.overlay."))
}

/// What went wrong while a member was placed.
#[derive(Debug)]
pub(super) enum PlaceError {
    /// The member is refused; its name as the archive has it is still to be added.
    Refused(Refusal),
    Other(UnpackError),
}

impl PlaceError {
    fn named(self, name: &str) -> UnpackError {
        match self {
            Self::Refused(why) => UnpackError::Refused { path: name.to_owned(), why },
            Self::Other(error) => error,
        }
    }
}

impl From<Refusal> for PlaceError {
    fn from(why: Refusal) -> Self {
        Self::Refused(why)
    }
}

impl From<UnpackError> for PlaceError {
    fn from(error: UnpackError) -> Self {
        Self::Other(error)
    }
}

/// The path of a member from the root of the tree. Absolute paths count from there too, as GNU tar and Docker do it.
fn clean(path: &[u8], limits: &Limits) -> Result<TreePath, Refusal> {
    if path.is_empty() {
        return Err(Refusal::NoName);
    }
    if path.contains(&0) {
        return Err(Refusal::ZeroByte);
    }
    let parts: Vec<&[u8]> = path.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    if parts.contains(&b"..".as_slice()) {
        return Err(Refusal::Upwards);
    }
    if parts.iter().any(|part| part.len() > 255) {
        return Err(Refusal::NameTooLong);
    }
    if parts.len() > limits.depth {
        return Err(Refusal::TooDeep { limit: limits.depth });
    }
    let joined = parts.join(b"/".as_slice());
    if joined.len() > limits.path {
        return Err(Refusal::PathTooLong { limit: limits.path });
    }
    Ok(TreePath(joined))
}

fn clean_target(link: &[u8], limits: &Limits) -> Result<TreePath, Refusal> {
    if link.starts_with(b"/") {
        return Err(Refusal::AbsoluteHardlink { target: shown(link) });
    }
    let upwards = || Refusal::UpwardsHardlink { target: shown(link) };
    clean(link, limits).map_err(|why| if why == Refusal::Upwards { upwards() } else { why })
}
