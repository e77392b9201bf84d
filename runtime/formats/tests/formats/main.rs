//! Formats against the programs that read them: `e2fsck`, `debugfs`, `fsck.fat`, `sgdisk`, `qemu-img`.

mod ext4;
mod host_tree;
mod oracle;
