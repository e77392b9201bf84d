//! Reading members: v7, ustar, GNU and PAX headers, each number and length checked before it is used.
//!
//! Unaware of file systems. Whatever two readers could understand differently is refused rather than guessed.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::Whiteouts;
use super::unpack::{Limits, Refusal, UnpackError};

/// What a member is, as far as its header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Hardlink,
    Symlink,
    Device,
    Dir,
    Fifo,
}

/// A member's header with all records applied. Path and link are as the archive has them.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) size: u64,
    pub(super) mtime: i64,
    pub(super) link: Vec<u8>,
    pub(super) xattrs: BTreeMap<String, Vec<u8>>,
}

/// The members of an archive, one after the other.
pub(super) struct Members<'r> {
    reader: Box<dyn Read + Send + 'r>,
    limits: Limits,
    /// Whether the end may come without a mark.
    ends: Whiteouts,
    /// Bytes read so far, for messages.
    offset: u64,
    /// Content of the member at hand that is still to be read, and its padding.
    left: u64,
    padding: u64,
}

/// What comes before a member and belongs to it.
#[derive(Default)]
struct Records {
    pax: Option<BTreeMap<String, Vec<u8>>>,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl<'r> Members<'r> {
    pub(super) fn new(reader: Box<dyn Read + Send + 'r>, limits: Limits, ends: Whiteouts) -> Self {
        Self { reader, limits, ends, offset: 0, left: 0, padding: 0 }
    }

    /// The next member; none at the end. Content that was not read is passed over.
    pub(super) fn next(&mut self) -> Result<Option<Header>, UnpackError> {
        self.pass(self.left + self.padding)?;
        (self.left, self.padding) = (0, 0);
        let mut records = Records::default();
        loop {
            let Some(block) = self.block(&records)? else { return Ok(None) };
            let refused = |why| UnpackError::Refused { path: shown(&block.name()), why };
            let size = block
                .number(124, 12)
                .and_then(|n| u64::try_from(n).ok())
                .ok_or_else(|| refused(Refusal::BadNumber("size")))?;
            match block.flag() {
                b'x' => {
                    let bytes = self.record_bytes(size).map_err(|e| e.or(refused))?;
                    let parsed = parse_pax(&bytes).ok_or_else(|| refused(Refusal::BadRecords))?;
                    set_once(&mut records.pax, parsed).map_err(refused)?;
                }
                b'g' => {
                    let bytes = self.record_bytes(size).map_err(|e| e.or(refused))?;
                    let parsed = parse_pax(&bytes).ok_or_else(|| refused(Refusal::BadRecords))?;
                    if parsed.keys().any(|key| is_honoured(key)) {
                        return Err(refused(Refusal::GlobalRecords));
                    }
                }
                b'L' => {
                    let bytes = self.record_bytes(size).map_err(|e| e.or(refused))?;
                    set_once(&mut records.path, until_zero(&bytes).to_vec()).map_err(refused)?;
                }
                b'K' => {
                    let bytes = self.record_bytes(size).map_err(|e| e.or(refused))?;
                    set_once(&mut records.link, until_zero(&bytes).to_vec()).map_err(refused)?;
                }
                // A volume's label names no file.
                b'V' => self.pass(size.saturating_add(super::padding(size) as u64))?,
                _ => return self.member(&block, size, records).map(Some),
            }
        }
    }

    /// Reads content of the member at hand; zero at its end.
    pub(super) fn content(&mut self, buffer: &mut [u8]) -> Result<usize, UnpackError> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(into) = buffer.get_mut(..most).filter(|into| !into.is_empty()) else { return Ok(0) };
        let read = self.read_some(into)?;
        if read == 0 {
            return Err(self.truncated());
        }
        self.left -= read as u64;
        Ok(read)
    }

    /// Reads what follows the end, so that whoever hashes the archive sees all of it.
    pub(super) fn drain(&mut self) -> Result<(), UnpackError> {
        let mut buffer = vec![0; 64 * 1024];
        let from = self.offset;
        while self.read_some(&mut buffer)? > 0 {
            if self.offset - from > self.limits.content {
                return Err(UnpackError::Limit { what: "bytes after its end", limit: self.limits.content });
            }
        }
        Ok(())
    }

    /// Puts a member together from its block and the records before it.
    fn member(&mut self, block: &Block, size: u64, records: Records) -> Result<Header, UnpackError> {
        let mut pax = records.pax.unwrap_or_default();
        let path = pax.remove("path").or(records.path).unwrap_or_else(|| block.name());
        let refused = |why| UnpackError::Refused { path: shown(&path), why };
        if pax.keys().any(|key| key.starts_with("GNU.sparse.")) {
            return Err(refused(Refusal::Sparse));
        }
        let kind = kind(block.flag(), &path).map_err(refused)?;
        let mut number = |key: &'static str, at, len| match pax.remove(key) {
            Some(text) => decimal(&text).ok_or(Refusal::BadNumber(key)),
            None => block.number(at, len).ok_or(Refusal::BadNumber(key)),
        };
        let natural = |n: i64, key| u64::try_from(n).map_err(|_| Refusal::BadNumber(key));
        let uid = number("uid", 108, 8).and_then(|n| natural(n, "uid")).map_err(refused)?;
        let gid = number("gid", 116, 8).and_then(|n| natural(n, "gid")).map_err(refused)?;
        let mtime = number("mtime", 136, 12).map_err(refused)?;
        let mode = block.number(100, 8).ok_or_else(|| refused(Refusal::BadNumber("mode")))?;
        let size = match pax.remove("size") {
            Some(text) => {
                decimal(&text).and_then(|n| u64::try_from(n).ok()).ok_or_else(|| refused(Refusal::BadNumber("size")))?
            }
            None => size,
        };
        // Only files have content. Others may state a size, which every reader takes for nothing.
        let size = if kind == Kind::File { size } else { 0 };
        if size > i64::MAX as u64 - 1024 {
            return Err(refused(Refusal::BadNumber("size")));
        }
        (self.left, self.padding) = (size, super::padding(size) as u64);
        let link =
            pax.remove("linkpath").or(records.link).unwrap_or_else(|| until_zero(block.field(157, 100)).to_vec());
        let mode = u32::try_from(mode & 0o7777).unwrap_or(0);
        let xattr = |(key, value): (String, Vec<u8>)| Some((key.strip_prefix("SCHILY.xattr.")?.to_owned(), value));
        let xattrs = pax.into_iter().filter_map(xattr).collect();
        Ok(Header { path, kind, mode, uid, gid, size, mtime, link, xattrs })
    }

    /// The next header block, its checksum right; none at the archive's end.
    fn block(&mut self, records: &Records) -> Result<Option<Block>, UnpackError> {
        let at = self.offset;
        let mut block = [0; 512];
        let read = self.fill(&mut block)?;
        let within = records.pax.is_some() || records.path.is_some() || records.link.is_some();
        if read == 0 && at > 0 && self.ends == Whiteouts::Oci && !within {
            // Layers are checked by their digest, and some builders leave the mark of the end out.
            return Ok(None);
        }
        if read < 512 {
            return Err(if at == 0 { UnpackError::NotTar } else { self.truncated() });
        }
        let block = Block(block);
        if block.0 == [0; 512] {
            return if within { Err(self.truncated()) } else { Ok(None) };
        }
        if block.is_sound() {
            return Ok(Some(block));
        }
        Err(if at == 0 { UnpackError::NotTar } else { UnpackError::Damaged { offset: at } })
    }

    /// The content of a member that holds records, with its padding passed over.
    fn record_bytes(&mut self, size: u64) -> Result<Vec<u8>, RecordError> {
        let Some(len) = usize::try_from(size).ok().filter(|_| size <= self.limits.records) else {
            return Err(RecordError::TooLarge(self.limits.records));
        };
        let mut bytes = vec![0; len + super::padding(size)];
        if self.fill(&mut bytes).map_err(RecordError::Other)? < bytes.len() {
            return Err(RecordError::Other(self.truncated()));
        }
        bytes.truncate(len);
        Ok(bytes)
    }

    fn pass(&mut self, mut bytes: u64) -> Result<(), UnpackError> {
        let mut buffer = [0; 8192];
        while bytes > 0 {
            let most = usize::try_from(bytes).unwrap_or(usize::MAX).min(buffer.len());
            let read = self.read_some(buffer.get_mut(..most).unwrap_or_default())?;
            if read == 0 {
                return Err(self.truncated());
            }
            bytes -= read as u64;
        }
        Ok(())
    }

    /// Fills the buffer as far as the archive goes.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, UnpackError> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read_some(rest)? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, UnpackError> {
        loop {
            match self.reader.read(buffer) {
                Ok(read) => {
                    self.offset += read as u64;
                    return Ok(read);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Err(self.truncated()),
                Err(source) => return Err(UnpackError::Read { offset: self.offset, source }),
            }
        }
    }

    fn truncated(&self) -> UnpackError {
        UnpackError::Truncated { offset: self.offset }
    }
}

/// Why records could not be read: their refusal still lacks the member's name.
enum RecordError {
    TooLarge(u64),
    Other(UnpackError),
}

impl RecordError {
    fn or(self, refused: impl Fn(Refusal) -> UnpackError) -> UnpackError {
        match self {
            Self::TooLarge(limit) => refused(Refusal::RecordsTooLarge { limit }),
            Self::Other(error) => error,
        }
    }
}

struct Block([u8; 512]);

impl Block {
    fn field(&self, at: usize, len: usize) -> &[u8] {
        self.0.get(at..at + len).unwrap_or_default()
    }

    fn flag(&self) -> u8 {
        self.field(156, 1).first().copied().unwrap_or(0)
    }

    /// The sum of all bytes, with those of the sum itself as spaces; old writers added signed bytes.
    fn is_sound(&self) -> bool {
        let bytes = || self.0.iter().enumerate().map(|(at, b)| if (148..156).contains(&at) { b' ' } else { *b });
        let unsigned: i64 = bytes().map(i64::from).sum();
        let signed: i64 = bytes().map(|b| i64::from(b.cast_signed())).sum();
        self.number(148, 8).is_some_and(|sum| sum == unsigned || sum == signed)
    }

    /// Name with prefix. The prefix field is one only in POSIX archives; GNU's old ones keep times there.
    fn name(&self) -> Vec<u8> {
        let name = until_zero(self.field(0, 100));
        let prefix = until_zero(self.field(345, 155));
        if self.field(257, 6) == b"ustar\0" && !prefix.is_empty() {
            [prefix, b"/", name].concat()
        } else {
            name.to_vec()
        }
    }

    /// An octal number, or GNU's big-endian binary one; blank is zero.
    fn number(&self, at: usize, len: usize) -> Option<i64> {
        let field = self.field(at, len);
        let first = *field.first()?;
        if let 0x80 | 0xff = first {
            let sign: i64 = if first == 0xff { -1 } else { 0 };
            return field.iter().skip(1).try_fold(sign, |n, b| n.checked_mul(256)?.checked_add(i64::from(*b)));
        }
        let text = until_zero(field).trim_ascii();
        if text.is_empty() {
            return Some(0);
        }
        let text = std::str::from_utf8(text).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()))?;
        i64::from_str_radix(text, 8).ok()
    }
}

fn kind(flag: u8, path: &[u8]) -> Result<Kind, Refusal> {
    Ok(match flag {
        // Before POSIX a directory was a file whose name ends in a slash.
        0 | b'0' if path.ends_with(b"/") => Kind::Dir,
        0 | b'0' | b'7' => Kind::File,
        b'1' => Kind::Hardlink,
        b'2' => Kind::Symlink,
        b'3' | b'4' => Kind::Device,
        b'5' => Kind::Dir,
        b'6' => Kind::Fifo,
        b'S' => return Err(Refusal::Sparse),
        flag => return Err(Refusal::UnknownKind(char::from(flag))),
    })
}

/// Whether a record changes what [`Members::member`] makes of a header.
fn is_honoured(key: &str) -> bool {
    ["path", "linkpath", "size", "uid", "gid", "mtime"].contains(&key)
        || key.starts_with("SCHILY.xattr.")
        || key.starts_with("GNU.sparse.")
}

/// A second set of records for one member is read differently by different programs.
fn set_once<T>(slot: &mut Option<T>, value: T) -> Result<(), Refusal> {
    match slot.replace(value) {
        Some(_) => Err(Refusal::RepeatedRecords),
        None => Ok(()),
    }
}

/// Records of the form `LENGTH KEY=VALUE\n`; a later one of the same key goes first, an empty value means none.
fn parse_pax(mut bytes: &[u8]) -> Option<BTreeMap<String, Vec<u8>>> {
    let mut records = BTreeMap::new();
    while !bytes.is_empty() {
        let space = bytes.iter().take(12).position(|b| *b == b' ')?;
        let (digits, _) = bytes.split_at(space);
        let length: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
        let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
        bytes = bytes.get(length..)?;
        let equals = record.iter().position(|b| *b == b'=')?;
        let (key, value) = (record.get(..equals)?, record.get(equals + 1..)?);
        let key = String::from_utf8(key.to_vec()).ok()?;
        let is_text = !key.starts_with("SCHILY.xattr.");
        if key.is_empty() || (is_text && value.contains(&0)) {
            return None;
        }
        if value.is_empty() && is_text {
            records.remove(&key);
        } else {
            records.insert(key, value.to_vec());
        }
    }
    Some(records)
}

/// A decimal number; a fraction is dropped, towards the past.
fn decimal(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let number: i64 = whole.parse().ok()?;
    let is_below = whole.starts_with('-') && fraction.bytes().any(|b| b != b'0');
    fraction.bytes().all(|b| b.is_ascii_digit()).then(|| number.saturating_sub(i64::from(is_below)))
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}

/// A path as the archive has it, for people.
pub(super) fn shown(path: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(path).chars().take(200).collect();
    text.escape_debug().to_string()
}

/// A member's place in an archive that is read out of order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// As the archive has it.
    pub name: Vec<u8>,
    /// Target of a link.
    pub link: Option<Vec<u8>>,
    /// Of its content, in bytes.
    pub size: u64,
    /// Bytes before its content: headers and records.
    pub header_size: u64,
}

/// Reads one member's header and nothing more; none at the mark of the archive's end.
pub fn next_header(reader: impl Read + Send) -> Result<Option<Located>, UnpackError> {
    let mut members = Members::new(Box::new(reader), Limits::default(), Whiteouts::Plain);
    let Some(header) = members.next()? else { return Ok(None) };
    let link = matches!(header.kind, Kind::Symlink | Kind::Hardlink).then_some(header.link);
    Ok(Some(Located { name: header.path, link, size: header.size, header_size: members.offset }))
}
