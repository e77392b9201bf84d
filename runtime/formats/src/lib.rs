//! Disk and file system formats.
