//! Packing: a manifest and its content become one canonical archive.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use imgc_plan::Digest;
use imgc_store::{Entry, EntryKind, Manifest, TreePath};
use rustix::fs::{CWD, Mode, OFlags};

use super::beneath::Beneath;
use super::header::{BLOCK, END, Member, MemberKind, padding};
use super::{Whiteouts, shown};

/// How to pack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackOptions {
    /// How whiteouts and opaque directories are written.
    pub whiteouts: Whiteouts,
}

/// Why a tree cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A file is not what the manifest says.
    #[error("`{path}` is not what its manifest says: expected {expected}, found {found}")]
    Changed {
        /// Inside the tree.
        path: String,
        /// `12 bytes`, a digest.
        expected: String,
        /// The same of what is there.
        found: String,
    },
    /// An archive cannot say this.
    #[error("a tar archive cannot hold `{path}`: {why}")]
    Unrepresentable {
        /// Inside the tree.
        path: String,
        /// In a few words.
        why: &'static str,
    },
    /// The manifest breaks its own rules.
    #[error("the manifest is not canonical at `{path}`: {why}")]
    Manifest {
        /// Inside the tree.
        path: String,
        /// In a few words.
        why: &'static str,
    },
    /// A file of the tree cannot be read.
    #[error("cannot read `{path}` of the tree")]
    Read {
        /// Inside the tree.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The archive cannot be written.
    #[error("cannot write the archive")]
    Write {
        /// Why.
        source: std::io::Error,
    },
}

/// Writes the archive of a tree whose content is below `dir`: members in the manifest's order, then the end blocks.
///
/// Every file's size and BLAKE3 digest is compared with the manifest while it is copied.
pub fn pack(manifest: &Manifest, dir: &Path, out: &mut dyn Write, options: &PackOptions) -> Result<(), PackError> {
    let root = rustix::fs::openat(CWD, dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| PackError::Read { path: dir.display().to_string(), source: e.into() })?;
    let root = Beneath::new(root);
    pack_with(manifest, &mut |entry| root.open_file(&entry.path), out, options)
}

/// As [`pack`], with the content of each file from `content`, for trees that no single directory holds.
pub fn pack_with(
    manifest: &Manifest,
    content: &mut dyn FnMut(&Entry) -> std::io::Result<File>,
    out: &mut dyn Write,
    options: &PackOptions,
) -> Result<(), PackError> {
    check_order(manifest)?;
    let mut buffer = vec![0; 256 * 1024];
    for entry in &manifest.entries {
        write(out, &headers(entry, options)?)?;
        if let EntryKind::File { digest, size } = &entry.kind {
            let file = content(entry).map_err(|source| PackError::Read { path: shown(&entry.path), source })?;
            copy(&entry.path, file, *size, *digest, out, &mut buffer)?;
        }
    }
    write(out, &END)
}

/// The exact size in bytes of what [`pack`] writes for this manifest.
pub fn packed_size(manifest: &Manifest, options: &PackOptions) -> Result<u64, PackError> {
    let mut total = END.len() as u64;
    for entry in &manifest.entries {
        total += headers(entry, options)?.len() as u64;
        if let EntryKind::File { size, .. } = entry.kind {
            total += size.next_multiple_of(BLOCK);
        }
    }
    Ok(total)
}

fn write(out: &mut dyn Write, bytes: &[u8]) -> Result<(), PackError> {
    out.write_all(bytes).map_err(|source| PackError::Write { source })
}

fn check_order(manifest: &Manifest) -> Result<(), PackError> {
    for pair in manifest.entries.windows(2) {
        if let [first, second] = pair
            && first.path >= second.path
        {
            return Err(PackError::Manifest { path: shown(&second.path), why: "paths are not sorted" });
        }
    }
    Ok(())
}

/// All header bytes of one entry; for an opaque directory also the marker that follows it.
fn headers(entry: &Entry, options: &PackOptions) -> Result<Vec<u8>, PackError> {
    let path = entry.path.0.as_slice();
    let refuse = |why| Err(PackError::Unrepresentable { path: shown(&entry.path), why });
    let base = entry.path.parts().last().unwrap_or_default();
    if options.whiteouts == Whiteouts::Oci && base.starts_with(b".wh.") {
        return refuse("names that begin with `.wh.` mean whiteouts in OCI layers");
    }
    if path.contains(&0) || entry.xattrs.keys().any(|name| name.contains(['=', '\0'])) {
        return refuse("an attribute's name has `=` in it, or a name has a zero byte");
    }
    let mut out = Vec::new();
    match &entry.kind {
        EntryKind::Dir { opaque } => {
            let mut name = if path.is_empty() { b".".to_vec() } else { path.to_vec() };
            name.push(b'/');
            out = member(entry, &name, MemberKind::Dir, 0, b"").header();
            if *opaque {
                if options.whiteouts == Whiteouts::Plain {
                    return refuse("it is an opaque directory of a layer");
                }
                let marker = marker(path, b".wh..wh..opq");
                out.extend(Member { mode: 0o600, ..Member::file(&marker, 0, 0) }.header());
            }
        }
        EntryKind::File { size, .. } => out = member(entry, path, MemberKind::File, *size, b"").header(),
        EntryKind::Symlink { target } => out = member(entry, path, MemberKind::Symlink, 0, target).header(),
        // The attributes of a further name are those of the first: they share one inode.
        EntryKind::Hardlink { to } => {
            let member = Member { xattrs: None, ..member(entry, path, MemberKind::Hardlink, 0, &to.0) };
            out = member.header();
        }
        EntryKind::Fifo => out = member(entry, path, MemberKind::Fifo, 0, b"").header(),
        EntryKind::Whiteout if options.whiteouts == Whiteouts::Plain => return refuse("it is a whiteout of a layer"),
        EntryKind::Whiteout => {
            let parent = path.strip_suffix(base).unwrap_or_default();
            let marker = marker(parent.strip_suffix(b"/").unwrap_or_default(), &[b".wh.", base].concat());
            out.extend(Member { mode: 0o600, ..Member::file(&marker, 0, 0) }.header());
        }
    }
    Ok(out)
}

fn marker(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() }
}

fn member<'a>(entry: &'a Entry, name: &'a [u8], kind: MemberKind, size: u64, link: &'a [u8]) -> Member<'a> {
    let Entry { mode, uid, gid, mtime, xattrs, .. } = entry;
    Member { name, kind, mode: *mode, uid: *uid, gid: *gid, size, mtime: *mtime, link, xattrs: Some(xattrs) }
}

/// Copies one file's content and padding, comparing both size and digest with the manifest.
fn copy(
    path: &TreePath,
    mut file: File,
    size: u64,
    digest: Digest,
    out: &mut dyn Write,
    buffer: &mut [u8],
) -> Result<(), PackError> {
    let sizes = |found: u64| PackError::Changed {
        path: shown(path),
        expected: format!("{size} bytes"),
        found: format!("{found} bytes"),
    };
    let mut hash = blake3::Hasher::new();
    let mut copied = 0;
    loop {
        let read = match file.read(buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(PackError::Read { path: shown(path), source }),
        };
        copied += read as u64;
        if copied > size {
            return Err(sizes(file.metadata().map_or(copied, |m| m.len())));
        }
        let bytes = buffer.get(..read).unwrap_or_default();
        hash.update(bytes);
        write(out, bytes)?;
    }
    if copied < size {
        return Err(sizes(copied));
    }
    let found = Digest(*hash.finalize().as_bytes());
    if found != digest {
        let (expected, found) = (format!("content {digest}"), format!("content {found}"));
        return Err(PackError::Changed { path: shown(path), expected, found });
    }
    write(out, END.get(..padding(size)).unwrap_or_default())
}
