//! Formats against the programs that read them: `e2fsck`, `debugfs`, `fsck.fat`, `sgdisk`, `qemu-img`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

mod compare;
mod disk;
mod ext4;
mod iso9660;
mod oracle;
mod tar;
