//! The headers of members: ustar, with PAX records only for what ustar cannot say.

use std::collections::BTreeMap;

/// Members and the content in them are padded to this many bytes.
pub const BLOCK: u64 = 512;

/// The two empty blocks that end an archive.
pub const END: [u8; 1024] = [0; 1024];

/// What a member is, as the type flag has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberKind {
    /// A regular file.
    File,
    /// A directory; its name ends in `/`.
    Dir,
    /// A symbolic link.
    Symlink,
    /// Another name of an earlier member.
    Hardlink,
    /// A named pipe.
    Fifo,
}

impl MemberKind {
    fn flag(self) -> u8 {
        match self {
            Self::File => b'0',
            Self::Hardlink => b'1',
            Self::Symlink => b'2',
            Self::Dir => b'5',
            Self::Fifo => b'6',
        }
    }
}

/// One member of an archive, without its content. Owners are numeric, their names empty.
#[derive(Debug, Clone)]
pub struct Member<'a> {
    /// Relative to the root of the archive.
    pub name: &'a [u8],
    /// What it is.
    pub kind: MemberKind,
    /// Permission bits.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// In bytes; zero for all but files.
    pub size: u64,
    /// Seconds since 1970.
    pub mtime: i64,
    /// Target of a link; empty for others.
    pub link: &'a [u8],
    /// Extended attributes, names with their prefix.
    pub xattrs: Option<&'a BTreeMap<String, Vec<u8>>>,
}

impl<'a> Member<'a> {
    /// A file of root's, readable by all.
    pub fn file(name: &'a [u8], size: u64, mtime: i64) -> Self {
        Self { name, kind: MemberKind::File, mode: 0o644, uid: 0, gid: 0, size, mtime, link: b"", xattrs: None }
    }

    /// A directory of root's, open to all. The name ends in `/`.
    pub fn dir(name: &'a [u8], mtime: i64) -> Self {
        Self { mode: 0o755, kind: MemberKind::Dir, ..Self::file(name, 0, mtime) }
    }

    /// The header blocks: a PAX member first where one is needed.
    pub fn header(&self) -> Vec<u8> {
        let mut pax = BTreeMap::new();
        let block = self.ustar(&mut pax);
        if pax.is_empty() {
            return block.to_vec();
        }
        let records: Vec<u8> = pax.iter().flat_map(|(key, value)| record(key, value)).collect();
        let mut out = extension(records.len() as u64, self.mtime).to_vec();
        out.extend_from_slice(&records);
        out.resize(out.len() + padding(records.len() as u64), 0);
        out.extend_from_slice(&block);
        out
    }

    /// The ustar block; what does not fit goes to `pax`.
    fn ustar(&self, pax: &mut BTreeMap<String, Vec<u8>>) -> [u8; 512] {
        let mut block = Block([0; 512]);
        if let Some((prefix, name)) = split(self.name) {
            block.put(0, name);
            block.put(345, prefix);
        } else {
            pax.insert("path".to_owned(), self.name.to_vec());
            block.put(0, self.name.get(..100).unwrap_or(self.name));
        }
        if self.link.len() > 100 {
            pax.insert("linkpath".to_owned(), self.link.to_vec());
        }
        block.put(157, self.link.get(..100).unwrap_or(self.link));
        block.octal(100, 7, u64::from(self.mode & 0o7777));
        block.number(108, 7, u64::from(self.uid), "uid", pax);
        block.number(116, 7, u64::from(self.gid), "gid", pax);
        block.number(124, 11, self.size, "size", pax);
        if let Ok(mtime) = u64::try_from(self.mtime) {
            block.number(136, 11, mtime, "mtime", pax);
        } else {
            pax.insert("mtime".to_owned(), self.mtime.to_string().into_bytes());
            block.octal(136, 11, 0);
        }
        for (name, value) in self.xattrs.into_iter().flatten() {
            pax.insert(format!("SCHILY.xattr.{name}"), value.clone());
        }
        block.finish(self.kind.flag())
    }
}

/// How many zero bytes follow content of this size.
pub fn padding(size: u64) -> usize {
    usize::try_from(size.next_multiple_of(BLOCK) - size).unwrap_or(0)
}

/// The name as ustar holds it: a prefix of up to 155 bytes and a name of up to 100, split at the last possible `/`.
fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= 100 {
        return Some((b"", name));
    }
    let inner = name.strip_suffix(b"/").unwrap_or(name);
    let slash = inner.iter().take(156).rposition(|b| *b == b'/')?;
    let (prefix, rest) = name.split_at(slash);
    let rest = rest.get(1..)?;
    (!prefix.is_empty() && !rest.is_empty() && rest.len() <= 100).then_some((prefix, rest))
}

/// One PAX record; its length counts its own digits.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut total = rest + 1;
    while total != rest + total.to_string().len() {
        total = rest + total.to_string().len();
    }
    let mut out = format!("{total} {key}=").into_bytes();
    out.extend_from_slice(value);
    out.push(b'\n');
    out
}

/// The header of a PAX member. Its own name is never used by a reader that knows PAX, so it is always the same.
fn extension(size: u64, mtime: i64) -> [u8; 512] {
    let mut block = Block([0; 512]);
    block.put(0, b"PaxHeaders.0/entry");
    block.octal(100, 7, 0o644);
    block.octal(108, 7, 0);
    block.octal(116, 7, 0);
    block.octal(124, 11, size);
    block.octal(136, 11, u64::try_from(mtime).ok().filter(|t| *t < 1 << 33).unwrap_or(0));
    block.finish(b'x')
}

struct Block([u8; 512]);

impl Block {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        for (to, from) in self.0.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    }

    /// So many octal digits; the byte after them stays zero.
    fn octal(&mut self, at: usize, digits: usize, value: u64) {
        self.put(at, format!("{value:0digits$o}").as_bytes());
    }

    /// As [`Block::octal`], or zero and a PAX record where the digits do not suffice.
    fn number(&mut self, at: usize, digits: usize, value: u64, key: &str, pax: &mut BTreeMap<String, Vec<u8>>) {
        if value >= 1 << (3 * digits) {
            pax.insert(key.to_owned(), value.to_string().into_bytes());
            self.octal(at, digits, 0);
        } else {
            self.octal(at, digits, value);
        }
    }

    fn finish(mut self, flag: u8) -> [u8; 512] {
        self.put(156, &[flag]);
        self.put(257, b"ustar\x0000");
        self.octal(329, 7, 0);
        self.octal(337, 7, 0);
        self.put(148, b"        ");
        let sum: u64 = self.0.iter().map(|b| u64::from(*b)).sum();
        self.put(148, format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}
