//! Extended attributes: in the free end of the inode as far as they fit, the rest in one block.

use std::collections::BTreeMap;

use super::Ext4Error;
use super::checksum::crc32c;
use super::geometry::INODE_SIZE;
use crate::fields::{low16, low32, put, put16, put32};

const MAGIC: u32 = 0xea02_0000;
const ENTRY: usize = 16;
const BLOCK_HEADER: usize = 32;
const BLOCK_LEN: usize = 4096;
/// Where attributes start in an inode: behind its fields.
pub(super) const IN_INODE: usize = 160;
#[expect(clippy::cast_possible_truncation, reason = "256")]
const INODE_ROOM: usize = INODE_SIZE as usize - IN_INODE - 4;

/// The attributes of one inode as they are stored.
#[derive(Debug, Default)]
pub(super) struct Xattrs {
    /// For the inode from [`IN_INODE`] on; empty or reaching to its end.
    pub(super) in_inode: Vec<u8>,
    /// For a block, still without its checksum.
    pub(super) in_block: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Attribute {
    index: u8,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Attribute {
    fn room(&self) -> usize {
        (ENTRY + self.name.len()).next_multiple_of(4) + self.value.len().next_multiple_of(4)
    }

    /// As `ext4_xattr_hash_entry` of the kernel has it.
    fn hash(&self) -> u32 {
        let name = self.name.iter().fold(0_u32, |hash, byte| hash.rotate_left(5) ^ u32::from(*byte));
        self.value.chunks(4).fold(name, |hash, chunk| {
            let mut word = [0; 4];
            put(&mut word, 0, chunk);
            hash.rotate_left(16) ^ u32::from_le_bytes(word)
        })
    }
}

/// Encodes the attributes of the node at `path`.
///
/// # Errors
/// A name without a prefix that ext4 knows, or more than one block can hold.
pub(super) fn encode(path: &str, xattrs: &BTreeMap<String, Vec<u8>>) -> Result<Xattrs, Ext4Error> {
    let mut all = Vec::new();
    for (name, value) in xattrs {
        all.push(attribute(name, value).ok_or_else(|| Ext4Error::Xattr { path: path.to_owned(), name: name.clone() })?);
    }
    // The order that the kernel searches in.
    all.sort_by(|a, b| (a.index, a.name.len(), &a.name).cmp(&(b.index, b.name.len(), &b.name)));
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    // Four zero bytes end each list.
    let (mut inode_room, mut block_room) = (INODE_ROOM - 4, BLOCK_LEN - BLOCK_HEADER - 4);
    for attribute in all {
        let room = attribute.room();
        let (list, left) =
            if room <= inode_room { (&mut inside, &mut inode_room) } else { (&mut outside, &mut block_room) };
        *left = left.checked_sub(room).ok_or_else(|| Ext4Error::XattrsTooLarge { path: path.to_owned() })?;
        list.push(attribute);
    }
    Ok(Xattrs {
        in_inode: if inside.is_empty() { Vec::new() } else { inode_part(&inside) },
        in_block: (!outside.is_empty()).then(|| block(&outside)),
    })
}

/// Puts in the checksum of an attribute block that stands at block `at`; `seed` is that of the file system.
pub(super) fn seal(bytes: &mut [u8], at: u64, seed: u32) {
    let sum = crc32c(crc32c(seed, &at.to_le_bytes()), bytes);
    put32(bytes, 16, sum);
}

fn inode_part(list: &[Attribute]) -> Vec<u8> {
    let mut bytes = vec![0; INODE_ROOM];
    fill(&mut bytes, 0, list);
    let mut part = MAGIC.to_le_bytes().to_vec();
    part.append(&mut bytes);
    part
}

fn block(list: &[Attribute]) -> Vec<u8> {
    let mut bytes = vec![0; BLOCK_LEN];
    put32(&mut bytes, 0, MAGIC);
    put32(&mut bytes, 4, 1);
    put32(&mut bytes, 8, 1);
    let hash = list.iter().fold(0_u32, |hash, attribute| hash.rotate_left(16) ^ attribute.hash());
    put32(&mut bytes, 12, hash);
    fill(&mut bytes, BLOCK_HEADER, list);
    bytes
}

/// Entries from `at` on, values from the end back; value offsets count from the start of `bytes`.
fn fill(bytes: &mut [u8], mut at: usize, list: &[Attribute]) {
    let mut end = bytes.len();
    for attribute in list {
        if !attribute.value.is_empty() {
            end -= attribute.value.len().next_multiple_of(4);
            put(bytes, end, &attribute.value);
            put16(bytes, at + 2, low16(end as u64));
        }
        put(bytes, at, &[u8::try_from(attribute.name.len()).unwrap_or(u8::MAX), attribute.index]);
        put32(bytes, at + 8, low32(attribute.value.len() as u64));
        put32(bytes, at + 12, attribute.hash());
        put(bytes, at + ENTRY, &attribute.name);
        at += (ENTRY + attribute.name.len()).next_multiple_of(4);
    }
}

fn attribute(name: &str, value: &[u8]) -> Option<Attribute> {
    let made = |index, name: &str, value| Attribute { index, name: name.as_bytes().to_vec(), value };
    let attribute = match name {
        "system.posix_acl_access" => made(2, "", acl(value)?),
        "system.posix_acl_default" => made(3, "", acl(value)?),
        _ => match name.split_once('.')? {
            ("user", rest) => made(1, rest, value.to_vec()),
            ("trusted", rest) => made(4, rest, value.to_vec()),
            ("security", rest) => made(6, rest, value.to_vec()),
            _ => return None,
        },
    };
    let names_itself = attribute.index == 2 || attribute.index == 3 || !attribute.name.is_empty();
    (names_itself && attribute.name.len() <= 255).then_some(attribute)
}

/// From the form of `getxattr(2)` (version 2, an id in each entry) to that on the disk (version 1, ids only where one
/// is meant).
fn acl(value: &[u8]) -> Option<Vec<u8>> {
    const USER: u16 = 0x02;
    const GROUP: u16 = 0x08;
    let entries = value.strip_prefix(&2_u32.to_le_bytes())?;
    let mut out = 1_u32.to_le_bytes().to_vec();
    for entry in entries.chunks(8) {
        let tag = u16::from_le_bytes(*entry.first_chunk()?);
        let with_id = if tag == USER || tag == GROUP { 8 } else { 4 };
        if entry.len() != 8 {
            return None;
        }
        out.extend_from_slice(entry.get(..with_id)?);
    }
    Some(out)
}
