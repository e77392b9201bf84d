//! Hands out blocks in ascending order, so that what is written together lies together and the state of every block
//! follows from one position.

use super::geometry::Geometry;

/// A run of blocks of one file. At most 32,768 blocks: the limit of an initialised extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Its first block within the file.
    pub(super) logical: u64,
    /// Its first block on the disk.
    pub(super) physical: u64,
    /// In blocks.
    pub(super) len: u64,
}

const MAX_EXTENT: u64 = 32768;

#[derive(Debug)]
pub(super) struct Allocator<'a> {
    geometry: &'a Geometry,
    group: u64,
    next: u64,
}

impl<'a> Allocator<'a> {
    pub(super) fn new(geometry: &'a Geometry) -> Self {
        Self { geometry, group: 0, next: geometry.room(0).start }
    }

    /// All blocks that may hold files and are not below this one are free.
    pub(super) fn position(&self) -> u64 {
        self.next
    }

    /// `count` blocks, in as few runs as metadata allows; `None` when the disk is full.
    pub(super) fn take(&mut self, count: u64) -> Option<Vec<Extent>> {
        let mut extents: Vec<Extent> = Vec::new();
        let mut logical = 0;
        while logical < count {
            let room = self.geometry.room(self.group);
            if self.next >= room.end {
                self.group += 1;
                if self.group >= self.geometry.groups {
                    return None;
                }
                self.next = self.geometry.room(self.group).start;
                continue;
            }
            let len = (count - logical).min(room.end - self.next);
            push(&mut extents, Extent { logical, physical: self.next, len });
            self.next += len;
            logical += len;
        }
        Some(extents)
    }

    /// One block.
    pub(super) fn take_one(&mut self) -> Option<u64> {
        self.take(1)?.first().map(|extent| extent.physical)
    }
}

/// Adds a run, joined to the last one where they touch.
fn push(extents: &mut Vec<Extent>, mut new: Extent) {
    if let Some(last) = extents.last_mut()
        && last.physical + last.len == new.physical
    {
        let more = new.len.min(MAX_EXTENT - last.len);
        last.len += more;
        new = Extent { logical: new.logical + more, physical: new.physical + more, len: new.len - more };
    }
    while new.len > 0 {
        let len = new.len.min(MAX_EXTENT);
        extents.push(Extent { len, ..new });
        new = Extent { logical: new.logical + len, physical: new.physical + len, len: new.len - len };
    }
}
