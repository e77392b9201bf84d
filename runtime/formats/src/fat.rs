//! FAT32 volumes with a handful of files: EFI system partitions. Every file is one run of clusters. Knows nothing of
//! what the files are for.

use std::collections::BTreeMap;
use std::io;

use crate::content::{self, ContentError, Job};
use crate::fields::{low16, low32, put, put16, put32};
use crate::region::Region;
use crate::tree::Content;

const SECTOR: u64 = 512;
const RESERVED_SECTORS: u64 = 32;
const END_OF_CHAIN: u32 = 0x0fff_ffff;
const ROOT_CLUSTER: u32 = 2;
/// Fewer clusters would make it a FAT16.
const LEAST_CLUSTERS: u64 = 65_525;
const LABEL: &[u8; 11] = b"ESP        ";
const SLOT: usize = 32;
const DIRECTORY: u8 = 0x10;
const ARCHIVE: u8 = 0x20;

/// What a volume is made with besides its files.
#[derive(Debug, Clone)]
pub(crate) struct FatOptions {
    /// Its serial number, printed as `XXXX-XXXX`.
    pub(crate) volume_id: u32,
    /// Seconds since 1970: the time of everything in it.
    pub(crate) epoch: i64,
    /// Where on the disk it starts, in sectors.
    pub(crate) hidden_sectors: u32,
}

/// Why there is no volume.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FatError {
    /// Too small or too large for FAT32, or for the files.
    #[error("the files do not fit on an EFI system partition of {bytes} bytes")]
    Size {
        /// Its size.
        bytes: u64,
    },
    /// A file could not be copied.
    #[error(transparent)]
    Content(ContentError),
    /// It could not be written.
    #[error("cannot write the EFI system partition")]
    Write(#[source] io::Error),
}

/// Writes a volume over all of `region`, which must read as zeros. `files` are by path, with `/` between names.
pub(crate) fn write(
    files: &BTreeMap<String, Content>,
    options: &FatOptions,
    region: Region<'_>,
) -> Result<(), FatError> {
    let volume = Volume::new(region.len()).ok_or(FatError::Size { bytes: region.len() })?;
    let items = volume.place(items(files)).ok_or(FatError::Size { bytes: region.len() })?;
    let used = items.iter().map(|item| item.clusters).sum::<u64>();
    let boot = volume.boot_sector(options);
    let info = volume.info_sector(used);
    let write = |at: u64, bytes: &[u8]| region.write(at, bytes).map_err(FatError::Write);
    for copy in [0, 6] {
        write(copy * SECTOR, &boot)?;
        write((copy + 1) * SECTOR, &info)?;
    }
    let table = Volume::table(&items);
    for copy in 0..2 {
        write((RESERVED_SECTORS + copy * volume.table_sectors) * SECTOR, &table)?;
    }
    for (index, item) in items.iter().enumerate().filter(|(_, item)| item.content.is_none()) {
        write(volume.offset(item.first), &directory(index, item, &items, options.epoch))?;
    }
    let jobs: Vec<Job<'_>> = items
        .iter()
        .filter_map(|item| {
            let runs = vec![(volume.offset(item.first), item.clusters * volume.cluster_len())];
            Some(Job { content: item.content?, runs })
        })
        .collect();
    content::copy(&jobs, region).map_err(FatError::Content)
}

/// A size that `files` fit in, in bytes: at least 64 MiB, with room for another kernel.
pub(crate) fn size_for(files: &BTreeMap<String, Content>) -> u64 {
    const MIB: u64 = 1 << 20;
    let content: u64 = files.values().map(Content::size).sum();
    // A quarter more for what is added later.
    (content + content / 4 + 16 * MIB).next_multiple_of(MIB).max(64 * MIB)
}

/// The geometry of a volume, in sectors.
struct Volume {
    sectors: u64,
    cluster_sectors: u64,
    table_sectors: u64,
}

impl Volume {
    fn new(bytes: u64) -> Option<Self> {
        let sectors = bytes / SECTOR;
        // Clusters of one sector up to 256 MiB, of 4 KiB above.
        let cluster_sectors = if sectors <= 1 << 19 { 1 } else { 8 };
        // Each table sector describes 128 clusters, and there are two tables.
        let table_sectors = sectors.checked_sub(RESERVED_SECTORS)?.div_ceil(128 * cluster_sectors + 2) + 1;
        let volume = Self { sectors, cluster_sectors, table_sectors };
        let fits = sectors > volume.data() && volume.clusters() >= LEAST_CLUSTERS && u32::try_from(sectors).is_ok();
        fits.then_some(volume)
    }

    /// The first sector of the data.
    fn data(&self) -> u64 {
        RESERVED_SECTORS + 2 * self.table_sectors
    }

    fn clusters(&self) -> u64 {
        (self.sectors - self.data()) / self.cluster_sectors
    }

    fn cluster_len(&self) -> u64 {
        self.cluster_sectors * SECTOR
    }

    /// Where a cluster stands, in bytes.
    fn offset(&self, cluster: u32) -> u64 {
        let index = u64::from(cluster.saturating_sub(ROOT_CLUSTER));
        (self.data() + index * self.cluster_sectors) * SECTOR
    }

    /// Gives every item its clusters, one after another; an empty file has none.
    fn place<'a>(&self, mut items: Vec<Item<'a>>) -> Option<Vec<Item<'a>>> {
        let mut next = u64::from(ROOT_CLUSTER);
        for index in 0..items.len() {
            let bytes = match items.get(index)?.content {
                Some(content) => content.size(),
                None => (slots(index, &items) * SLOT) as u64,
            };
            let item = items.get_mut(index)?;
            item.clusters = bytes.div_ceil(self.cluster_len());
            item.first = if item.clusters == 0 { 0 } else { u32::try_from(next).ok()? };
            item.size = u32::try_from(if item.content.is_some() { bytes } else { 0 }).ok()?;
            next += item.clusters;
        }
        (next <= self.clusters() + u64::from(ROOT_CLUSTER)).then_some(items)
    }

    fn table(items: &[Item<'_>]) -> Vec<u8> {
        let mut table: Vec<u8> = [0x0fff_fff8, END_OF_CHAIN].into_iter().flat_map(u32::to_le_bytes).collect();
        for item in items.iter().filter(|item| item.clusters > 0) {
            let last = u64::from(item.first) + item.clusters - 1;
            let links = (u64::from(item.first)..last).map(|cluster| low32(cluster + 1));
            table.extend(links.chain([END_OF_CHAIN]).flat_map(u32::to_le_bytes));
        }
        table
    }

    fn boot_sector(&self, options: &FatOptions) -> Vec<u8> {
        let mut sector = vec![0; 512];
        put(&mut sector, 0, b"\xeb\x58\x90imgc    ");
        put16(&mut sector, 11, low16(SECTOR));
        put(&mut sector, 13, &[u8::try_from(self.cluster_sectors).unwrap_or_default()]);
        put16(&mut sector, 14, low16(RESERVED_SECTORS));
        put(&mut sector, 16, &[2]); // tables
        put(&mut sector, 21, &[0xf8]); // not removable
        put16(&mut sector, 24, 32); // sectors a track, heads: nobody asks
        put16(&mut sector, 26, 8);
        put32(&mut sector, 28, options.hidden_sectors);
        put32(&mut sector, 32, low32(self.sectors));
        put32(&mut sector, 36, low32(self.table_sectors));
        put32(&mut sector, 44, ROOT_CLUSTER);
        put16(&mut sector, 48, 1); // information sector
        put16(&mut sector, 50, 6); // copy of this sector
        put(&mut sector, 64, &[0x80, 0, 0x29]);
        put32(&mut sector, 67, options.volume_id);
        put(&mut sector, 71, LABEL);
        put(&mut sector, 82, b"FAT32   ");
        // Started by a BIOS it only waits: hlt, jump to itself.
        put(&mut sector, 90, b"\xf4\xeb\xfd");
        put(&mut sector, 510, &[0x55, 0xaa]);
        sector
    }

    fn info_sector(&self, used: u64) -> Vec<u8> {
        let mut sector = vec![0; 512];
        put(&mut sector, 0, b"RRaA");
        put(&mut sector, 484, b"rrAa");
        put32(&mut sector, 488, low32(self.clusters() - used));
        put32(&mut sector, 492, low32(u64::from(ROOT_CLUSTER) + used));
        put(&mut sector, 510, &[0x55, 0xaa]);
        sector
    }
}

/// A directory or file. The root is the first; parents stand before what is in them.
#[derive(Debug)]
struct Item<'a> {
    name: String,
    parent: usize,
    /// `None` for a directory.
    content: Option<&'a Content>,
    first: u32,
    clusters: u64,
    size: u32,
}

fn items(files: &BTreeMap<String, Content>) -> Vec<Item<'_>> {
    let item =
        |name: &str, parent, content| Item { name: name.to_owned(), parent, content, first: 0, clusters: 0, size: 0 };
    let mut items = vec![item("", usize::MAX, None)];
    for (path, content) in files {
        let (dirs, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut parent = 0;
        for dir in dirs.split('/').filter(|dir| !dir.is_empty()) {
            let known = items.iter().position(|item: &Item<'_>| item.parent == parent && item.name == dir);
            parent = known.unwrap_or_else(|| {
                items.push(item(dir, parent, None));
                items.len() - 1
            });
        }
        items.push(item(name, parent, Some(content)));
    }
    items
}

/// How many entries of 32 bytes directory `index` has.
fn slots(index: usize, items: &[Item<'_>]) -> usize {
    let own = if index == 0 { 1 } else { 2 };
    let named = items.iter().filter(|item| item.parent == index);
    own + named.map(|item| 1 + if is_short(&item.name) { 0 } else { long_slots(&item.name) }).sum::<usize>()
}

fn long_slots(name: &str) -> usize {
    name.encode_utf16().count().div_ceil(13)
}

/// Whether a name is one of eight and three capitals or digits.
fn is_short(name: &str) -> bool {
    let plain =
        |part: &str, max| part.len() <= max && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    match name.split_once('.') {
        Some((base, extension)) => !base.is_empty() && plain(base, 8) && !extension.is_empty() && plain(extension, 3),
        None => plain(name, 8),
    }
}

/// The 11 bytes of a short name; for other names an abbreviation with the number `nth`.
fn short_name(name: &str, nth: usize) -> [u8; 11] {
    let mut short = [b' '; 11];
    let (base, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let plain = |part: &str, max| -> Vec<u8> {
        part.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_uppercase()).take(max).collect()
    };
    if is_short(name) {
        put(&mut short, 0, base.as_bytes());
    } else {
        let number = format!("~{nth}");
        let mut base = plain(base, 8 - number.len());
        base.extend_from_slice(number.as_bytes());
        put(&mut short, 0, &base);
    }
    put(&mut short, 8, &plain(extension, 3));
    short
}

fn directory(index: usize, dir: &Item<'_>, items: &[Item<'_>], epoch: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if index == 0 {
        bytes.extend_from_slice(&slot(LABEL, 0x08, 0, 0, epoch));
    } else {
        let above = items.get(dir.parent).map_or(0, |item| item.first);
        bytes.extend_from_slice(&slot(b".          ", DIRECTORY, dir.first, 0, epoch));
        // The root is called 0 here.
        let above = if dir.parent == 0 { 0 } else { above };
        bytes.extend_from_slice(&slot(b"..         ", DIRECTORY, above, 0, epoch));
    }
    for (nth, item) in items.iter().filter(|item| item.parent == index).enumerate() {
        let short = short_name(&item.name, nth + 1);
        if !is_short(&item.name) {
            long_name(&mut bytes, &item.name, &short);
        }
        let kind = if item.content.is_some() { ARCHIVE } else { DIRECTORY };
        bytes.extend_from_slice(&slot(&short, kind, item.first, item.size, epoch));
    }
    bytes
}

fn slot(name: &[u8; 11], attributes: u8, first: u32, size: u32, epoch: i64) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    let (date, time) = dos_time(epoch);
    put(&mut slot, 0, name);
    put(&mut slot, 11, &[attributes]);
    put16(&mut slot, 14, time); // made
    put16(&mut slot, 16, date);
    put16(&mut slot, 18, date); // read
    put16(&mut slot, 20, low16(u64::from(first) >> 16));
    put16(&mut slot, 22, time); // written
    put16(&mut slot, 24, date);
    put16(&mut slot, 26, low16(u64::from(first)));
    put32(&mut slot, 28, size);
    slot
}

/// The entries that hold a long name, the end of the name first, 13 characters each.
fn long_name(bytes: &mut Vec<u8>, name: &str, short: &[u8; 11]) {
    let sum = short.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
    let mut units: Vec<u16> = name.encode_utf16().collect();
    let count = long_slots(name);
    if !units.len().is_multiple_of(13) {
        units.push(0);
        units.resize(count * 13, 0xffff);
    }
    for (index, part) in units.chunks(13).enumerate().rev() {
        let mut slot = [0; SLOT];
        let last = if index + 1 == count { 0x40 } else { 0 };
        put(&mut slot, 0, &[u8::try_from(index + 1).unwrap_or_default() | last]);
        put(&mut slot, 11, &[0x0f, 0, sum]);
        let places = (1..11).step_by(2).chain((14..26).step_by(2)).chain([28, 30]);
        for (at, unit) in places.zip(part) {
            put16(&mut slot, at, *unit);
        }
        bytes.extend_from_slice(&slot);
    }
}

/// Date and time of FAT, in UTC; years before 1980 and after 2107 become these.
fn dos_time(epoch: i64) -> (u16, u16) {
    const FIRST: i64 = 315_532_800; // 1980-01-01
    const LAST: i64 = 4_354_819_198; // 2107-12-31 23:59:58
    let time = epoch.clamp(FIRST, LAST);
    let (year, month, day) = civil(time / 86_400);
    let second = time % 86_400;
    let date = (year - 1980) << 9 | month << 5 | day;
    let time = (second / 3600) << 11 | (second / 60 % 60) << 5 | (second % 60 / 2);
    (low16(date.cast_unsigned()), low16(time.cast_unsigned()))
}

/// Year, month, day of a day since 1970 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(dos_time(0), (0x21, 0));
        assert_eq!(dos_time(1_709_251_199), (0x585d, 0xbf7d));
    }

    #[test]
    fn names() {
        assert_eq!(&short_name("BOOTX64.EFI", 1), b"BOOTX64 EFI");
        assert_eq!(&short_name("grub.cfg", 2), b"GRUB~2  CFG");
        assert_eq!(&short_name("vmlinuz-6.1.0", 12), b"VMLIN~120  ");
    }
}
