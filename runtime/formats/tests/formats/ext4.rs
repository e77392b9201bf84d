//! ext4 against `e2fsck` and `debugfs`.

use std::fs::File;
use std::path::Path;

use imgc_formats::ext4::{self, Ext4Error, Ext4Options};
use imgc_formats::region::Region;
use imgc_formats::tree::FileTree;

use crate::{host_tree, oracle};

fn write(tree: FileTree, size: u64, out: &Path) -> Result<(), Ext4Error> {
    let file = File::create(out).unwrap();
    file.set_len(size).unwrap();
    let options = Ext4Options { uuid: *b"0123456789abcdef", hash_seed: *b"fedcba9876543210", epoch: 1_700_000_000 };
    ext4::write(tree, &options, Region::new(&file, 0, size))
}

#[test]
#[ignore]
fn by_hand() {
    let tree = host_tree::read(Path::new(&std::env::var("TREE").unwrap()));
    let out = std::env::var("OUT").unwrap();
    let start = std::time::Instant::now();
    write(tree, 2 << 30, Path::new(&out)).unwrap();
    println!("{:?}", start.elapsed());
    oracle::check_ext4(Path::new(&out));
}
