//! Standing still: every file system on a disk is frozen, so that a copy of the disk taken meanwhile is whole.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use crate::sys;

/// The file systems that stand still, in the order in which they were frozen.
#[derive(Default)]
pub(crate) struct Frozen {
    directories: Vec<(String, File)>,
    until: Option<Instant>,
}

impl Frozen {
    /// Freezes them all, or none: what was frozen before a failure is thawed.
    pub(crate) fn freeze(&mut self, limit: Duration) -> Result<Vec<String>, String> {
        self.thaw();
        sys::sync_all();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        // What was mounted last may lie on a file of what was mounted first, so it goes first.
        for mount in on_disks(&mounts).into_iter().rev() {
            let frozen = File::open(&mount).and_then(|directory| {
                sys::freeze(directory.as_fd())?;
                Ok(directory)
            });
            match frozen {
                Ok(directory) => self.directories.push((mount, directory)),
                // It cannot be frozen at all (95), as some kinds cannot, or is frozen already (16): synced it is.
                Err(error) if matches!(error.raw_os_error(), Some(95 | 25 | 16)) => {}
                Err(error) => {
                    self.thaw();
                    return Err(format!("cannot freeze {mount}: {error}"));
                }
            }
        }
        self.until = Some(Instant::now() + limit);
        Ok(self.directories.iter().map(|(mount, _)| mount.clone()).collect())
    }

    /// Lets everything change again.
    pub(crate) fn thaw(&mut self) {
        for (_, directory) in self.directories.drain(..).rev() {
            let _ = sys::thaw(directory.as_fd());
        }
        self.until = None;
    }

    /// Thaws what its client forgot, and says how long until it would.
    pub(crate) fn overdue(&mut self) -> Option<Duration> {
        let left = self.until?.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.thaw();
            return None;
        }
        Some(left)
    }
}

/// Where writable file systems of block devices are mounted, one place each, in the order of mounting.
fn on_disks(mountinfo: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let mut places = Vec::new();
    for line in mountinfo.lines() {
        let Some((before, after)) = line.split_once(" - ") else { continue };
        let fields: Vec<&str> = before.split(' ').collect();
        let [_, _, device, _, place, ..] = fields.as_slice() else { continue };
        let mut after = after.split(' ');
        let (_kind, source, options) = (after.next(), after.next(), after.next().unwrap_or_default());
        let on_disk = source.is_some_and(|source| source.starts_with("/dev/"));
        let writable = options.split(',').all(|option| option != "ro");
        if on_disk && writable && !seen.contains(device) {
            seen.push(*device);
            places.push(unescape(place));
        }
    }
    places
}

/// Blanks and the like stand as three octal digits.
fn unescape(place: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = place.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let octal = (*first == b'\\')
            .then(|| after.get(..3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(octal.unwrap_or(*first));
        rest = after.get(if octal.is_some() { 3 } else { 0 }..).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_writable_disks_count_and_each_once() {
        let info = "21 1 254:3 / / rw,relatime shared:1 - ext4 /dev/vda3 rw\n\
                    22 21 0:20 / /proc rw - proc proc rw\n\
                    23 21 254:4 / /srv/a\\040b rw - xfs /dev/vda4 rw,attr2\n\
                    24 21 254:3 /home /home rw - ext4 /dev/vda3 rw\n\
                    25 21 11:0 / /media ro - iso9660 /dev/sr0 ro\n\
                    broken\n";
        assert_eq!(on_disks(info), ["/", "/srv/a b"]);
    }
}
