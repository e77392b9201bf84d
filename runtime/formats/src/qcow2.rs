//! qcow2, version 3, made from a raw disk: only clusters that are not zero, in the order of the disk, so that equal disks
//! give equal files.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::fields::{low32, put, put32_be, put64_be};
use crate::region::{Cancel, is_zero};

const CLUSTER: u64 = 1 << CLUSTER_BITS;
const CLUSTER_BITS: u32 = 16;
const CLUSTER_LEN: usize = 1 << CLUSTER_BITS;
/// How many clusters one table of the second level maps, eight bytes each.
const TABLE: u64 = CLUSTER / 8;
/// How many clusters one block of reference counts covers, two bytes each.
const COUNTED: u64 = CLUSTER / 2;
/// In an entry: the cluster has one user and may be written in place.
const COPIED: u64 = 1 << 63;
/// How many bytes are read at once.
const CHUNK: usize = 16 * CLUSTER_LEN;

/// Writes the `size` bytes of `raw` to `out`, which must be empty.
///
/// # Errors
/// Reading or writing failed.
pub fn write(raw: &File, size: u64, out: &File) -> io::Result<()> {
    write_until(raw, size, out, Cancel::NEVER)
}

/// As [`write`], until it is cancelled.
pub(crate) fn write_until(raw: &File, size: u64, out: &File, cancel: Cancel<'_>) -> io::Result<()> {
    let tables = size.div_ceil(CLUSTER * TABLE);
    // Header, first-level table, then tables and data as they come, then the reference counts.
    let mut image = Image { out, cancel, next: 1 + (tables * 8).div_ceil(CLUSTER) };
    let mut first_level = Vec::new();
    let mut chunk = vec![0; CHUNK];
    for table in 0..tables {
        let start = table * TABLE * CLUSTER;
        let end = size.min(start + TABLE * CLUSTER);
        first_level.extend_from_slice(&image.table(raw, start, end, &mut chunk)?.to_be_bytes());
    }
    out.write_all_at(&first_level, CLUSTER)?;
    let (counts_at, counts_clusters) = image.counts()?;
    let header = header(size, tables, counts_at, counts_clusters);
    out.set_len(image.next * CLUSTER)?;
    out.write_all_at(&header, 0)
}

struct Image<'a> {
    out: &'a File,
    cancel: Cancel<'a>,
    /// The first cluster that is not in use.
    next: u64,
}

impl Image<'_> {
    fn take(&mut self, clusters: u64) -> u64 {
        let first = self.next;
        self.next += clusters;
        first * CLUSTER
    }

    /// Copies what one second-level table maps; gives its first-level entry, zero when nothing is there.
    fn table(&mut self, raw: &File, start: u64, end: u64, chunk: &mut [u8]) -> io::Result<u64> {
        let mut table: Option<(u64, Vec<u8>)> = None;
        let mut at = start;
        while let Some(data) = next_data(raw, at, end) {
            self.cancel.check()?;
            // Whole clusters, counted from the start of the table.
            let from = data - (data - start) % CLUSTER;
            let len = usize::try_from(end - from).unwrap_or(CHUNK).min(CHUNK);
            let bytes = chunk.get_mut(..len).unwrap_or_default();
            raw.read_exact_at(bytes, from)?;
            for (index, cluster) in bytes.chunks(CLUSTER_LEN).enumerate().filter(|(_, cluster)| !is_zero(cluster)) {
                let (_, entries) = table.get_or_insert_with(|| (self.take(1), vec![0; CLUSTER_LEN]));
                let place = self.take(1);
                let slot = usize::try_from((from - start) / CLUSTER).unwrap_or_default() + index;
                put64_be(entries, slot * 8, place | COPIED);
                self.out.write_all_at(cluster, place)?;
            }
            at = from + len as u64;
        }
        let Some((place, entries)) = table else { return Ok(0) };
        self.out.write_all_at(&entries, place)?;
        Ok(place | COPIED)
    }

    /// Writes the reference counts, one for every cluster up to their own; gives where their table is and its clusters.
    fn counts(&mut self) -> io::Result<(u64, u64)> {
        let (mut blocks, mut tables) = (0, 0);
        loop {
            let total = self.next + blocks + tables;
            let wanted = (total.div_ceil(COUNTED), (total.div_ceil(COUNTED) * 8).div_ceil(CLUSTER));
            if wanted == (blocks, tables) {
                break;
            }
            (blocks, tables) = wanted;
        }
        let counts_at = self.take(blocks);
        let table_at = self.take(tables);
        let counts = usize::try_from(self.next).map_err(io::Error::other)?;
        self.out.write_all_at(&1_u16.to_be_bytes().repeat(counts), counts_at)?;
        let table: Vec<u8> = (0..blocks).flat_map(|block| (counts_at + block * CLUSTER).to_be_bytes()).collect();
        self.out.write_all_at(&table, table_at)?;
        Ok((table_at, tables))
    }
}

/// The next place in `at..end` that may hold something. Where the file system of the host cannot tell, that is `at`.
fn next_data(raw: &File, at: u64, end: u64) -> Option<u64> {
    if at >= end {
        return None;
    }
    match rustix::fs::seek(raw, rustix::fs::SeekFrom::Data(at)) {
        Ok(data) => (data < end).then_some(data.max(at)),
        Err(rustix::io::Errno::NXIO) => None,
        Err(_) => Some(at),
    }
}

/// As in QEMU's docs/interop/qcow2.txt.
fn header(size: u64, first_level_entries: u64, counts_at: u64, counts_clusters: u64) -> Vec<u8> {
    let mut header = vec![0; 112];
    put(&mut header, 0, b"QFI\xfb");
    put32_be(&mut header, 4, 3);
    put32_be(&mut header, 20, CLUSTER_BITS);
    put64_be(&mut header, 24, size);
    put32_be(&mut header, 36, low32(first_level_entries));
    put64_be(&mut header, 40, CLUSTER);
    put64_be(&mut header, 48, counts_at);
    put32_be(&mut header, 56, low32(counts_clusters));
    put32_be(&mut header, 96, 4); // counts of 16 bits
    put32_be(&mut header, 100, 104); // the header ends here, an empty list of extensions follows
    header
}
