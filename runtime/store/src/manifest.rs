//! The canonical encoding of manifests, the rules they keep, and their digests.

use imgc_plan::Digest;

use crate::tree::{Entry, EntryKind, Manifest, TreePath};

/// Raised whenever the encoding changes; old trees are then misses.
pub const MANIFEST_VERSION: u32 = 1;

const MAGIC: &[u8; 12] = b"imgcmanifest";

/// The least that one entry takes: lengths, kind, mode, owners, time.
const LEAST_ENTRY: usize = 4 + 1 + 4 + 4 + 4 + 8 + 4;

/// A manifest that breaks a rule, or bytes that are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The bytes end early, go on after the end, or begin as something else.
    #[error("the bytes are not a manifest of this version: {0}")]
    Malformed(&'static str),
    /// An entry that breaks a rule.
    #[error("{path}: {rule}")]
    Rule {
        /// Where.
        path: TreePath,
        /// What should hold.
        rule: &'static str,
    },
}

impl Manifest {
    /// Puts the entries in order.
    pub fn sort(&mut self) {
        self.entries.sort_by(|a, b| a.path.cmp(&b.path));
    }

    /// Whether nothing is in it but directories that every layer repeats: the root alone, or not even that.
    pub fn is_empty(&self) -> bool {
        self.entries.iter().all(|entry| entry.path.is_root())
    }

    /// The entry at `path`; needs sorted entries.
    pub fn get(&self, path: &TreePath) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|entry| entry.path.cmp(path)).ok()?;
        self.entries.get(at)
    }

    /// Bytes of all files, each hard-linked file once.
    pub fn size(&self) -> u64 {
        self.entries.iter().map(Entry::size).sum()
    }

    /// About what the unpacked tree takes on a disk: whole blocks for files and directories.
    pub fn disk_size(&self) -> u64 {
        const BLOCK: u64 = 4096;
        let blocks = |entry: &Entry| match &entry.kind {
            EntryKind::Dir { .. } => 1,
            EntryKind::File { size, .. } => size.div_ceil(BLOCK),
            EntryKind::Symlink { .. } | EntryKind::Hardlink { .. } | EntryKind::Fifo | EntryKind::Whiteout => 0,
        };
        self.entries.iter().map(|entry| blocks(entry).saturating_mul(BLOCK)).sum()
    }

    /// The digest of the canonical encoding, by which the store names the tree.
    pub fn digest(&self) -> Digest {
        digest_of_encoded(&self.encode())
    }

    /// The canonical encoding. Equal manifests give equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 + self.entries.len() * 128);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&MANIFEST_VERSION.to_le_bytes());
        out.extend_from_slice(&(self.entries.len() as u64).to_le_bytes());
        for entry in &self.entries {
            encode_entry(entry, &mut out);
        }
        out
    }

    /// Reads the canonical encoding.
    ///
    /// # Errors
    /// Never trusts a length; what it returns keeps the rules of [`Manifest::validate`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let mut reader = Reader { rest: bytes };
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(ManifestError::Malformed("they begin as something else"));
        }
        if reader.u32()? != MANIFEST_VERSION {
            return Err(ManifestError::Malformed("another version"));
        }
        let count = usize::try_from(reader.u64()?).unwrap_or(usize::MAX);
        if count > reader.rest.len() / LEAST_ENTRY {
            return Err(ManifestError::Malformed("more entries than bytes"));
        }
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push(decode_entry(&mut reader)?);
        }
        if !reader.rest.is_empty() {
            return Err(ManifestError::Malformed("something follows the last entry"));
        }
        let manifest = Self { entries };
        manifest.validate()?;
        Ok(manifest)
    }

    /// Checks the rules: entries sorted and each path once, clean relative paths, every directory on the way there
    /// as a directory, hard links to an earlier file, modes of 12 bits, nothing else said about a whiteout.
    pub fn validate(&self) -> Result<(), ManifestError> {
        let mut open: Vec<&TreePath> = Vec::new();
        let mut before: Option<&TreePath> = None;
        for entry in &self.entries {
            let rule = |rule| Err(ManifestError::Rule { path: entry.path.clone(), rule });
            if before.is_some_and(|before| *before >= entry.path) {
                return rule("entries must be sorted and each path must be there once");
            }
            before = Some(&entry.path);
            if let Err(broken) = check_fields(entry) {
                return rule(broken);
            }
            while open.last().is_some_and(|dir| !entry.path.is_below(dir)) {
                open.pop();
            }
            let parent = entry.path.parent().unwrap_or_default();
            if !parent.is_empty() && open.last().is_none_or(|dir| dir.0 != parent) {
                return rule("the directory it is in must be an entry, too");
            }
            match &entry.kind {
                EntryKind::Dir { .. } => open.push(&entry.path),
                EntryKind::Hardlink { to } => {
                    let first = if *to < entry.path { self.get(to) } else { None };
                    if !first.is_some_and(|first| matches!(first.kind, EntryKind::File { .. })) {
                        return rule("a hard link must lead to a file that sorts before it");
                    }
                }
                EntryKind::File { .. } | EntryKind::Symlink { .. } | EntryKind::Fifo | EntryKind::Whiteout => {}
            }
        }
        Ok(())
    }
}

impl Entry {
    /// Bytes of the content; zero for all but files.
    pub fn size(&self) -> u64 {
        match &self.kind {
            EntryKind::File { size, .. } => *size,
            EntryKind::Dir { .. }
            | EntryKind::Symlink { .. }
            | EntryKind::Hardlink { .. }
            | EntryKind::Fifo
            | EntryKind::Whiteout => 0,
        }
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        matches!(self.kind, EntryKind::Dir { .. })
    }
}

/// The digest of a manifest that is already encoded.
pub(crate) fn digest_of_encoded(encoded: &[u8]) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key("imgc 1 manifest");
    hasher.update(encoded);
    Digest(*hasher.finalize().as_bytes())
}

fn check_fields(entry: &Entry) -> Result<(), &'static str> {
    let path = &entry.path.0;
    let clean = |part: &[u8]| !part.is_empty() && part != b"." && part != b".." && !part.contains(&0);
    if !path.is_empty() && !path.split(|b| *b == b'/').all(clean) {
        return Err("paths must be relative and have no empty, `.` or `..` parts");
    }
    if path.is_empty() && !entry.is_dir() {
        return Err("the root must be a directory");
    }
    if entry.mode > 0o7777 {
        return Err("modes have 12 bits");
    }
    if entry.xattrs.keys().any(|name| name.is_empty() || name.contains('\0')) {
        return Err("names of extended attributes must not be empty");
    }
    match &entry.kind {
        EntryKind::Symlink { target } if target.is_empty() || target.contains(&0) => {
            Err("a symbolic link must have a text without zero bytes")
        }
        EntryKind::Whiteout
            if (entry.mode, entry.uid, entry.gid, entry.mtime) != (0, 0, 0, 0) || !entry.xattrs.is_empty() =>
        {
            Err("a whiteout has no mode, owner, time or attributes")
        }
        EntryKind::Dir { .. }
        | EntryKind::File { .. }
        | EntryKind::Symlink { .. }
        | EntryKind::Hardlink { .. }
        | EntryKind::Fifo
        | EntryKind::Whiteout => Ok(()),
    }
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    // Longer fields than 4 GiB cannot come from a file system: paths end at 4 KiB, attributes at 64 KiB.
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn encode_entry(entry: &Entry, out: &mut Vec<u8>) {
    put_bytes(&entry.path.0, out);
    match &entry.kind {
        EntryKind::Dir { opaque: false } => out.push(0),
        EntryKind::Dir { opaque: true } => out.push(1),
        EntryKind::File { digest, size } => {
            out.push(2);
            out.extend_from_slice(&digest.0);
            out.extend_from_slice(&size.to_le_bytes());
        }
        EntryKind::Symlink { target } => {
            out.push(3);
            put_bytes(target, out);
        }
        EntryKind::Hardlink { to } => {
            out.push(4);
            put_bytes(&to.0, out);
        }
        EntryKind::Fifo => out.push(5),
        EntryKind::Whiteout => out.push(6),
    }
    out.extend_from_slice(&entry.mode.to_le_bytes());
    out.extend_from_slice(&entry.uid.to_le_bytes());
    out.extend_from_slice(&entry.gid.to_le_bytes());
    out.extend_from_slice(&entry.mtime.to_le_bytes());
    out.extend_from_slice(&u32::try_from(entry.xattrs.len()).unwrap_or(u32::MAX).to_le_bytes());
    for (name, value) in &entry.xattrs {
        put_bytes(name.as_bytes(), out);
        put_bytes(value, out);
    }
}

fn decode_entry(reader: &mut Reader<'_>) -> Result<Entry, ManifestError> {
    let path = TreePath(reader.bytes()?.to_vec());
    let kind = match reader.u8()? {
        0 => EntryKind::Dir { opaque: false },
        1 => EntryKind::Dir { opaque: true },
        2 => EntryKind::File { digest: Digest(reader.array()?), size: reader.u64()? },
        3 => EntryKind::Symlink { target: reader.bytes()?.to_vec() },
        4 => EntryKind::Hardlink { to: TreePath(reader.bytes()?.to_vec()) },
        5 => EntryKind::Fifo,
        6 => EntryKind::Whiteout,
        _ => return Err(ManifestError::Malformed("an unknown kind of entry")),
    };
    let (mode, uid, gid) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let mtime = i64::from_le_bytes(reader.array()?);
    let mut entry = Entry { path, kind, mode, uid, gid, mtime, xattrs: std::collections::BTreeMap::new() };
    let mut last: Option<&str> = None;
    for _ in 0..reader.u32()? {
        let name = std::str::from_utf8(reader.bytes()?)
            .map_err(|_| ManifestError::Malformed("a name of an attribute that is not UTF-8"))?;
        if last.is_some_and(|last| last >= name) {
            return Err(ManifestError::Malformed("attributes out of order"));
        }
        last = Some(name);
        entry.xattrs.insert(name.to_owned(), reader.bytes()?.to_vec());
    }
    Ok(entry)
}

/// Takes fields from the front of a slice; never reads past its end.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], ManifestError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(ManifestError::Malformed("they end early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ManifestError> {
        self.take(N)?.try_into().map_err(|_| ManifestError::Malformed("they end early"))
    }

    fn u8(&mut self) -> Result<u8, ManifestError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, ManifestError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, ManifestError> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Result<&'a [u8], ManifestError> {
        let length = self.u32()?;
        self.take(length as usize)
    }
}
