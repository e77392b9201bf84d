//! Writes what was planned.

use super::directory::{self, DirEntry, EntryType};
use super::extent::{self, ROOT};
use super::geometry::{BLOCKS_PER_GROUP, Geometry, INODE_SIZE};
use super::inode::{Inode, checksum_seed};
use super::plan::{Placed, Plan, Planned};
use super::superblock::{self, covered};
use super::{BLOCK, Ext4Error, Ext4Options, FIRST_INODE, checksum, growth, journal, xattr};
use crate::content::{self, Job};
use crate::region::Region;
use crate::tree::NodeKind;

const JOURNAL_INODE: u32 = 8;
/// Where the first superblock stands; its copies stand at the start of their block.
const SUPERBLOCK: u64 = 1024;
/// More subdirectories are counted as one link (`dir_nlink`).
const MAX_DIR_LINKS: u64 = 65_000;

pub(super) struct Writer<'a> {
    plan: &'a Plan<'a>,
    options: &'a Ext4Options,
    region: Region<'a>,
    seed: u32,
}

impl<'a> Writer<'a> {
    pub(super) fn new(plan: &'a Plan<'a>, options: &'a Ext4Options, region: Region<'a>) -> Self {
        Self { plan, options, region, seed: checksum::crc32c(!0, &options.uuid) }
    }

    /// Everything; the place must hold zeros.
    pub(super) fn write(&self) -> Result<(), Ext4Error> {
        self.groups()?;
        self.inodes()?;
        for inode in &self.plan.inodes {
            self.blocks_of(inode)?;
        }
        self.journal()?;
        growth::blocks(&self.plan.geometry, self.plan.growth)
            .try_for_each(|(block, bytes)| self.at_block(block, &bytes))?;
        let jobs: Vec<Job<'_>> = self.plan.inodes.iter().filter_map(job).collect();
        content::copy(&jobs, self.region).map_err(Ext4Error::Content)
    }

    fn at_block(&self, block: u64, bytes: &[u8]) -> Result<(), Ext4Error> {
        self.region.write(block * BLOCK, bytes).map_err(Ext4Error::Write)
    }

    fn groups(&self) -> Result<(), Ext4Error> {
        let Plan { geometry, contents, .. } = self.plan;
        let descriptors = superblock::descriptors(geometry, contents, self.seed);
        for group in 0..geometry.groups {
            if Geometry::has_super(group) {
                let start = group * BLOCKS_PER_GROUP;
                let offset = if group == 0 { SUPERBLOCK } else { 0 };
                let bytes = superblock::superblock(self.options, geometry, contents, group);
                self.region.write(start * BLOCK + offset, &bytes).map_err(Ext4Error::Write)?;
                self.at_block(start + 1, &descriptors)?;
            }
            let (blocks, inodes) = superblock::bitmaps(geometry, contents, group);
            self.at_block(geometry.block_bitmap(group), &blocks)?;
            self.at_block(geometry.inode_bitmap(group), &inodes)?;
        }
        Ok(())
    }

    /// The inode tables, a group at a time.
    fn inodes(&self) -> Result<(), Ext4Error> {
        let geometry = &self.plan.geometry;
        let own = self.reserved().into_iter();
        let mut all = own.chain(self.plan.inodes.iter().map(|planned| self.inode(planned))).collect::<Vec<_>>();
        all.sort_by_key(|inode| inode.number);
        for of_group in all.chunk_by(|a, b| self.group_of(a) == self.group_of(b)) {
            let Some(group) = of_group.first().map(|inode| self.group_of(inode)) else { continue };
            let first = group * geometry.inodes_per_group + 1;
            let mut table = Vec::new();
            for inode in of_group {
                let at = (u64::from(inode.number) - first) * INODE_SIZE;
                table.resize(usize::try_from(at).unwrap_or_default(), 0);
                table.extend_from_slice(&inode.encode(self.seed));
            }
            self.at_block(geometry.inode_table(group), &table)?;
        }
        Ok(())
    }

    fn group_of(&self, inode: &Inode) -> u64 {
        (u64::from(inode.number) - 1) / self.plan.geometry.inodes_per_group
    }

    /// Inodes 1 to 10 but the root: unused, apart from those for the journal and for growing.
    fn reserved(&self) -> Vec<Inode> {
        let unused = |number| Inode {
            number,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: self.options.epoch,
            ctime: self.options.epoch,
            links: 0,
            size: 0,
            sectors: 0,
            has_extents: false,
            root: [0; ROOT],
            xattr_block: 0,
            xattrs: Vec::new(),
        };
        let others = (1..FIRST_INODE).filter(|number| ![2, growth::INODE, JOURNAL_INODE].contains(number));
        let mut reserved: Vec<Inode> = others.map(unused).collect();
        reserved.push(Inode {
            mode: 0o100_600,
            links: 1,
            size: growth::SIZE,
            sectors: growth::block_count(&self.plan.geometry) * (BLOCK / 512),
            root: growth::root(self.plan.growth),
            ..unused(growth::INODE)
        });
        let journal = self.plan.journal.as_ref().map(|placed| Inode {
            mode: 0o100_600,
            links: 1,
            size: covered(&placed.extents) * BLOCK,
            sectors: placed.sectors(),
            has_extents: true,
            root: placed.tree.root,
            ..unused(JOURNAL_INODE)
        });
        reserved.push(journal.unwrap_or_else(|| unused(JOURNAL_INODE)));
        reserved
    }

    fn inode(&self, planned: &Planned<'_>) -> Inode {
        let kind: u32 = match planned.node.kind {
            NodeKind::Dir => 0o040_000,
            NodeKind::File(_) | NodeKind::Hardlink(_) => 0o100_000,
            NodeKind::Symlink(_) => 0o120_000,
            NodeKind::Fifo => 0o010_000,
        };
        let mode = kind | planned.node.mode & 0o7777;
        let links = if planned.node.is_dir() && planned.links > MAX_DIR_LINKS { 1 } else { planned.links };
        let xattr_sectors = if planned.xattr_block == 0 { 0 } else { BLOCK / 512 };
        let mut root = planned.placed.as_ref().map_or([0; ROOT], |placed| placed.tree.root);
        if let (NodeKind::Symlink(target), None) = (&planned.node.kind, &planned.placed) {
            crate::fields::put(&mut root, 0, target);
        }
        Inode {
            number: planned.number,
            mode: u16::try_from(mode).unwrap_or_default(),
            uid: planned.node.uid,
            gid: planned.node.gid,
            mtime: planned.node.mtime,
            ctime: self.options.epoch,
            links: u16::try_from(links).unwrap_or_default(),
            size: planned.size(),
            sectors: planned.placed.as_ref().map_or(0, Placed::sectors) + xattr_sectors,
            has_extents: planned.placed.is_some(),
            root,
            xattr_block: planned.xattr_block,
            xattrs: planned.xattrs.in_inode.clone(),
        }
    }

    /// Extended attributes, extent tree and, for all but files, the content.
    fn blocks_of(&self, planned: &Planned<'_>) -> Result<(), Ext4Error> {
        if let Some(mut bytes) = planned.xattrs.in_block.clone() {
            xattr::seal(&mut bytes, planned.xattr_block, self.seed);
            self.at_block(planned.xattr_block, &bytes)?;
        }
        let Some(placed) = &planned.placed else { return Ok(()) };
        let seed = checksum_seed(self.seed, planned.number);
        self.extent_blocks(placed, seed)?;
        match &planned.node.kind {
            NodeKind::Dir => self.along(placed, &directory_bytes(planned, seed)),
            NodeKind::Symlink(target) => self.along(placed, target),
            NodeKind::File(_) | NodeKind::Hardlink(_) | NodeKind::Fifo => Ok(()),
        }
    }

    fn extent_blocks(&self, placed: &Placed, seed: u32) -> Result<(), Ext4Error> {
        for (block, bytes) in &placed.tree.blocks {
            let mut bytes = bytes.clone();
            extent::seal(&mut bytes, seed);
            self.at_block(*block, &bytes)?;
        }
        Ok(())
    }

    /// Writes `bytes` over the blocks of a file.
    fn along(&self, placed: &Placed, bytes: &[u8]) -> Result<(), Ext4Error> {
        let mut rest = bytes;
        for extent in &placed.extents {
            let len = usize::try_from(extent.len * BLOCK).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at(len);
            self.at_block(extent.physical, now)?;
            rest = later;
        }
        Ok(())
    }

    fn journal(&self) -> Result<(), Ext4Error> {
        let Some(placed) = &self.plan.journal else { return Ok(()) };
        self.extent_blocks(placed, checksum_seed(self.seed, JOURNAL_INODE))?;
        self.along(placed, &journal::superblock(covered(&placed.extents), &self.options.uuid))
    }
}

fn directory_bytes(planned: &Planned<'_>, seed: u32) -> Vec<u8> {
    let entry = |inode, kind, name| DirEntry { inode, kind, name };
    let mut entries =
        vec![entry(planned.number, EntryType::Dir, b".".as_slice()), entry(planned.parent, EntryType::Dir, b"..")];
    entries.extend(planned.entries.iter().map(|(name, inode, kind)| entry(*inode, *kind, name)));
    directory::encode(&entries, usize::try_from(planned.blocks()).unwrap_or_default(), seed)
}

fn job<'a>(planned: &'a Planned<'_>) -> Option<Job<'a>> {
    let content = planned.content()?;
    let runs = planned.placed.as_ref()?.extents.iter();
    Some(Job { content, runs: runs.map(|extent| (extent.physical * BLOCK, extent.len * BLOCK)).collect() })
}
