//! Small ISO 9660 volumes with a handful of files: seeds of machines and answer files of installers. Every name stands
//! as it is, by Rock Ridge and by Joliet. Knows nothing of what the files are for.
//!
//! ECMA-119 (ISO 9660), IEEE P1282 (Rock Ridge), and the Joliet specification of 1995.

use std::collections::BTreeSet;

const SECTOR: usize = 2048;
/// The first sectors are the system's own.
const FIRST_DESCRIPTOR: u32 = 16;
/// Two volume descriptors and their end, then four path tables of a sector each.
const FIRST_DIRECTORY: u32 = FIRST_DESCRIPTOR + 3 + 4;
/// 1980-01-01: equal files make equal volumes.
const DATE: [u8; 7] = [80, 1, 1, 0, 0, 0, 0];
const LONG_DATE: &[u8; 17] = b"1980010100000000\0";
const DIRECTORY: u8 = 2;
/// Joliet's limit, in characters.
const LONGEST_NAME: usize = 64;
/// Of all files together: they are held in memory.
const LARGEST: usize = 512 << 20;

/// Why there is no volume.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IsoError {
    /// Its label is not one.
    #[error("`{label}` is no label of a disc: 1 to 16 letters, digits, `_`, `-` and `.`")]
    Label {
        /// What was given.
        label: String,
    },
    /// A file's name is not one.
    #[error("`{name}` is no name of a file on a disc: 1 to 64 characters, none of them `/`, `\\`, `*`, `?`, `:`, `;`")]
    Name {
        /// What was given.
        name: String,
    },
    /// Two files have one name, upper and lower case being the same.
    #[error("there are two files `{name}` for one disc")]
    Twice {
        /// The name.
        name: String,
    },
    /// It would be too large.
    #[error("the files of a disc hold {bytes} bytes, more than {LARGEST}")]
    Large {
        /// All of them.
        bytes: usize,
    },
}

struct File<'a> {
    name: &'a str,
    /// Within the limits of those who know neither extension.
    plain: String,
    content: &'a [u8],
    sector: u32,
}

/// A volume with these files, by name, in its only directory.
///
/// # Errors
/// Names or sizes that a volume cannot have.
pub fn image(label: &str, files: &[(&str, &[u8])]) -> Result<Vec<u8>, IsoError> {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if label.is_empty() || label.len() > 16 || !label.bytes().all(sound) {
        return Err(IsoError::Label { label: label.to_owned() });
    }
    let mut files = named(files)?;
    // Directories come first, and their sizes do not depend on where the files lie.
    let plain_sectors = sectors(directory(&files, 0, 0, Names::Plain).len());
    let joliet_sectors = sectors(directory(&files, 0, 0, Names::Joliet).len());
    let joliet_at = FIRST_DIRECTORY + plain_sectors;
    let mut next = joliet_at + joliet_sectors;
    for file in &mut files {
        file.sector = next;
        next += sectors(file.content.len());
    }
    let plain = directory(&files, FIRST_DIRECTORY, plain_sectors, Names::Plain);
    let joliet = directory(&files, joliet_at, joliet_sectors, Names::Joliet);
    let mut out = vec![0; FIRST_DESCRIPTOR as usize * SECTOR];
    for (names, at, length) in
        [(Names::Plain, FIRST_DIRECTORY, plain_sectors), (Names::Joliet, joliet_at, joliet_sectors)]
    {
        append(&mut out, &descriptor(label, names, next, at, length));
    }
    append(&mut out, b"\xffCD001\x01");
    for at in [FIRST_DIRECTORY, joliet_at] {
        append(&mut out, &path_table(at.to_le_bytes(), 1_u16.to_le_bytes()));
        append(&mut out, &path_table(at.to_be_bytes(), 1_u16.to_be_bytes()));
    }
    append(&mut out, &plain);
    append(&mut out, &joliet);
    for file in &files {
        append(&mut out, file.content);
    }
    Ok(out)
}

/// Which of the two sets of names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    /// Short ones in capitals, and the whole ones by Rock Ridge.
    Plain,
    /// Whole ones in sixteen bits a character.
    Joliet,
}

fn sectors(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(SECTOR)).unwrap_or(u32::MAX)
}

/// Appends whole sectors.
fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(SECTOR), 0);
}

/// Checks names and sizes, and finds short names that differ.
fn named<'a>(files: &[(&'a str, &'a [u8])]) -> Result<Vec<File<'a>>, IsoError> {
    let bytes = files.iter().map(|(_, content)| content.len()).sum();
    if bytes > LARGEST {
        return Err(IsoError::Large { bytes });
    }
    let mut seen = BTreeSet::new();
    let mut plain_seen = BTreeSet::new();
    let mut named = Vec::new();
    for (name, content) in files {
        let bad = |c: char| c.is_control() || "/\\*?:;".contains(c);
        let wide = name.encode_utf16().count();
        if wide == 0 || wide > LONGEST_NAME || [".", ".."].contains(name) || name.chars().any(bad) || name.len() > 120 {
            return Err(IsoError::Name { name: (*name).to_owned() });
        }
        if !seen.insert(name.to_lowercase()) {
            return Err(IsoError::Twice { name: (*name).to_owned() });
        }
        let mut number = 0;
        let plain = loop {
            let plain = short(name, number);
            if plain_seen.insert(plain.clone()) {
                break plain;
            }
            number += 1;
        };
        named.push(File { name, plain, content, sector: 0 });
    }
    Ok(named)
}

/// Eight and three capitals, digits and underscores; a number instead of the last of them where a name is taken.
fn short(name: &str, number: u32) -> String {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let letters = |text: &str, most: usize| -> String {
        let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        text.chars().map(letter).take(most).collect()
    };
    let suffix = if number == 0 { String::new() } else { number.to_string() };
    let stem = format!("{}{suffix}", letters(stem, 8 - suffix.len().min(7)));
    format!("{}.{};1", if stem.is_empty() { "_".to_owned() } else { stem }, letters(extension, 3))
}

/// A volume descriptor.
fn descriptor(label: &str, names: Names, volume: u32, directory: u32, length: u32) -> Vec<u8> {
    let joliet = names == Names::Joliet;
    let mut out = vec![if joliet { 2 } else { 1 }];
    out.extend_from_slice(b"CD001\x01\0");
    text(&mut out, "", 32, joliet);
    text(&mut out, label, 32, joliet);
    out.extend_from_slice(&[0; 8]);
    both32(&mut out, volume);
    let mut escapes = [0; 32];
    if joliet {
        // Names of any character of sixteen bits.
        escapes.iter_mut().zip(b"%/E").for_each(|(to, from)| *to = *from);
    }
    out.extend_from_slice(&escapes);
    both16(&mut out, 1);
    both16(&mut out, 1);
    both16(&mut out, 2048);
    both32(&mut out, 10);
    let tables = FIRST_DESCRIPTOR + 3 + if joliet { 2 } else { 0 };
    out.extend_from_slice(&tables.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(tables + 1).to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&record(&[0], directory, bytes_of(length), DIRECTORY, &[]));
    for length in [128, 128, 128, 128, 37, 37, 37] {
        text(&mut out, "", length, joliet);
    }
    for _ in 0..2 {
        out.extend_from_slice(LONG_DATE);
    }
    for _ in 0..2 {
        out.extend_from_slice(b"0000000000000000\0");
    }
    out.push(1);
    out
}

fn bytes_of(sectors: u32) -> u32 {
    sectors.saturating_mul(2048)
}

/// A text in a field that blanks fill up.
fn text(out: &mut Vec<u8>, text: &str, length: usize, wide: bool) {
    let end = out.len() + length;
    if wide {
        out.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
        while out.len() + 1 < end {
            out.extend_from_slice(&[0, b' ']);
        }
        out.resize(end, 0);
    } else {
        out.extend_from_slice(text.as_bytes());
        out.resize(end, b' ');
    }
}

fn both16(out: &mut Vec<u8>, number: u16) {
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&number.to_be_bytes());
}

fn both32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&number.to_be_bytes());
}

/// The one directory, its own parent.
fn path_table(directory: [u8; 4], parent: [u8; 2]) -> Vec<u8> {
    [[1, 0].as_slice(), &directory, &parent, &[0, 0]].concat()
}

/// A directory of `length` sectors at `at`. No record crosses the end of a sector.
fn directory(files: &[File<'_>], at: u32, length: u32, names: Names) -> Vec<u8> {
    let plain = names == Names::Plain;
    let mut records = Vec::new();
    for (name, first) in [([0], true), ([1], false)] {
        let mut system_use = Vec::new();
        if plain {
            if first {
                // Here system use begins, and the extension that is used.
                system_use.extend_from_slice(b"SP\x07\x01\xbe\xef\0");
                system_use.extend_from_slice(b"ER\x12\x01\x0a\0\0\x01RRIP_1991A");
            }
            system_use.extend(attributes(0o040_755, 2));
        }
        records.push(record(&name, at, bytes_of(length), DIRECTORY, &system_use));
    }
    let mut sorted: Vec<(Vec<u8>, &File<'_>)> = files.iter().map(|file| (identifier(file, names), file)).collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, file) in sorted {
        let mut system_use = Vec::new();
        if plain {
            system_use.extend(attributes(0o100_444, 1));
            let length = u8::try_from(file.name.len() + 5).unwrap_or(u8::MAX);
            system_use.extend_from_slice(&[b'N', b'M', length, 1, 0]);
            system_use.extend_from_slice(file.name.as_bytes());
        }
        let size = u32::try_from(file.content.len()).unwrap_or(u32::MAX);
        records.push(record(&name, file.sector, size, 0, &system_use));
    }
    let mut out = Vec::new();
    for record in records {
        let left = SECTOR - out.len() % SECTOR;
        if record.len() > left {
            out.resize(out.len() + left, 0);
        }
        out.extend_from_slice(&record);
    }
    out
}

fn identifier(file: &File<'_>, names: Names) -> Vec<u8> {
    match names {
        Names::Plain => file.plain.as_bytes().to_vec(),
        Names::Joliet => file.name.encode_utf16().flat_map(u16::to_be_bytes).collect(),
    }
}

/// Rock Ridge: kind and permissions, links, and that root owns it.
fn attributes(mode: u32, links: u32) -> Vec<u8> {
    let mut out = b"PX\x24\x01".to_vec();
    for number in [mode, links, 0, 0] {
        both32(&mut out, number);
    }
    out
}

fn record(name: &[u8], at: u32, size: u32, flags: u8, system_use: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0];
    both32(&mut out, at);
    both32(&mut out, size);
    out.extend_from_slice(&DATE);
    out.extend_from_slice(&[flags, 0, 0]);
    both16(&mut out, 1);
    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(name);
    // What follows begins at an even place, and so does the next record.
    out.resize(out.len().next_multiple_of(2), 0);
    out.extend_from_slice(system_use);
    out.resize(out.len().next_multiple_of(2), 0);
    let length = u8::try_from(out.len()).unwrap_or(u8::MAX);
    out.iter_mut().take(1).for_each(|byte| *byte = length);
    out
}
