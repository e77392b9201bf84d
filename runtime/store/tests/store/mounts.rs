//! Stores on disks that are full or read-only, and mounts in the way.

use std::fs;
use std::path::Path;
use std::time::Duration;

use imgc_store::{FileSystem, Store, StoreError, remove_tree};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_remount, unmount};

use crate::{in_mount_namespace, insert, new_entry, publish};

#[test]
fn a_full_disk_is_said_and_leaves_the_store_whole() {
    if let Some(status) = in_mount_namespace("mounts::fill_the_disk") {
        assert!(status.success());
    }
}

#[test]
#[ignore = "run by a_full_disk_is_said_and_leaves_the_store_whole, in a mount namespace"]
fn fill_the_disk() {
    let base = tempfile::tempdir().unwrap();
    let disk = base.path().join("disk");
    fs::create_dir(&disk).unwrap();
    mount("tmpfs", &disk, "tmpfs", MountFlags::empty(), c"size=4m").unwrap();
    let root = disk.join("cache");
    let store = Store::open(&root).unwrap();
    assert_eq!(*store.filesystem(), FileSystem::Tmpfs);
    let (digest, _) = insert(&store, 0o755, &[("a", "1")]);
    publish(&store, &[new_entry(1, &[digest], Duration::ZERO)]);
    let error = store.insert_bytes(&vec![1; 8 << 20]).unwrap_err();
    assert!(matches!(error, StoreError::NoSpace { .. }), "{error:?}");
    assert!(error.help().is_some_and(|help| help.contains("--cache-dir")));
    // The large bytes are not left in the way of others.
    assert!(store.insert_bytes(b"small").is_ok());
    let filler = vec![0; 4 << 20];
    let _ = fs::write(disk.join("filler"), &filler);
    let publisher = store.publisher().unwrap();
    (2..200).for_each(|number| publisher.publish(new_entry(number, &[digest], Duration::ZERO)));
    let error = publisher.finish().unwrap_err();
    assert!(matches!(error, StoreError::NoSpace { .. }), "{error:?}");
    fs::remove_file(disk.join("filler")).unwrap();
    drop(store);
    let store = Store::open(&root).unwrap();
    assert!(store.entries(&[crate::fingerprint(1)]).unwrap().len() == 1);
    let verified = store.verify().unwrap();
    assert_eq!((verified.damaged.len(), verified.dropped.len()), (0, 0));
    publish(&store, &[new_entry(1000, &[digest], Duration::ZERO)]);
    drop(store);
    unmount(&disk, UnmountFlags::empty()).unwrap();
}

#[test]
fn a_read_only_file_system_is_refused_by_name() {
    if let Some(status) = in_mount_namespace("mounts::open_read_only") {
        assert!(status.success());
    }
}

#[test]
#[ignore = "run by a_read_only_file_system_is_refused_by_name, in a mount namespace"]
fn open_read_only() {
    let base = tempfile::tempdir().unwrap();
    mount_bind(base.path(), base.path()).unwrap();
    Store::open(&base.path().join("made before")).unwrap();
    mount_remount(base.path(), MountFlags::BIND | MountFlags::RDONLY, c"").unwrap();
    for name in ["made before", "new"] {
        let error = Store::open(&base.path().join(name)).unwrap_err();
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
        assert!(error.to_string().contains(name) && error.help().is_some());
    }
    unmount(base.path(), UnmountFlags::empty()).unwrap();
}

#[test]
fn what_is_mounted_below_is_never_removed() {
    if let Some(status) = in_mount_namespace("mounts::remove_around_mounts") {
        assert!(status.success());
    }
}

#[test]
#[ignore = "run by what_is_mounted_below_is_never_removed, in a mount namespace"]
fn remove_around_mounts() {
    let base = tempfile::tempdir().unwrap();
    let (precious, tree) = (base.path().join("precious"), base.path().join("tree"));
    fs::create_dir_all(&precious).unwrap();
    fs::write(precious.join("kept"), "kept").unwrap();
    fs::create_dir_all(tree.join("mnt")).unwrap();
    // A bind mount of the same file system: device numbers would not tell.
    mount_bind(&precious, tree.join("mnt")).unwrap();
    let error = remove_tree(&tree).unwrap_err();
    assert!(matches!(&error, StoreError::Mounted { path } if path.ends_with("mnt")), "{error:?}");
    assert!(precious.join("kept").exists());
    unmount(tree.join("mnt"), UnmountFlags::empty()).unwrap();
    remove_tree(&tree).unwrap();
    assert!(precious.join("kept").exists() && !tree.exists());
}

#[test]
fn a_remote_file_system_is_refused_with_a_way_out() {
    let error = StoreError::Unsuitable {
        root: Path::new("/mnt/cache").to_owned(),
        filesystem: FileSystem::Unsuitable("NFS".to_owned()),
    };
    assert_eq!(error.to_string(), "the cache directory /mnt/cache is on NFS, which cannot hold a cache");
    assert!(error.help().is_some_and(|help| help.contains("IMGC_CACHE")));
}
