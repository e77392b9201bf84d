//! The partition table: a protective MBR and a GPT with its copy at the end of the disk.

use std::fs::File;
use std::io;

use gptman::{GPT, GPTPartitionEntry};

pub(crate) const SECTOR: u64 = 512;

/// A partition of a disk. Identifiers are bytes in the order they are printed.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) kind: [u8; 16],
    pub(crate) id: [u8; 16],
    pub(crate) name: &'static str,
    /// Its bytes on the disk, whole sectors.
    pub(crate) start: u64,
    pub(crate) len: u64,
}

/// Writes the table of a disk over all of `file`.
pub(crate) fn write(file: &mut File, id: [u8; 16], partitions: &[Partition]) -> io::Result<()> {
    let mut gpt = GPT::new_from(file, SECTOR, on_disk(id)).map_err(io::Error::other)?;
    for (index, partition) in (1..).zip(partitions) {
        gpt[index] = GPTPartitionEntry {
            partition_type_guid: on_disk(partition.kind),
            unique_partition_guid: on_disk(partition.id),
            starting_lba: partition.start / SECTOR,
            ending_lba: (partition.start + partition.len) / SECTOR - 1,
            attribute_bits: 0,
            partition_name: partition.name.into(),
        };
    }
    gpt.write_into(file).map_err(io::Error::other)?;
    GPT::write_protective_mbr_into(file, SECTOR).map_err(io::Error::other)
}

/// GPT stores the first three fields of a UUID with their lowest byte first.
fn on_disk(mut uuid: [u8; 16]) -> [u8; 16] {
    for field in [0..4, 4..6, 6..8] {
        uuid.get_mut(field).unwrap_or_default().reverse();
    }
    uuid
}
