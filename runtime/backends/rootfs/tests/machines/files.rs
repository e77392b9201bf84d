//! What gets into layers, and how.

use imgc_backend::{BackendError, Owner, PlacementKind};
use imgc_plan::Digest;
use imgc_store::{EntryKind, Merged, TreePath};

use crate::Test;
use crate::bed::{Bed, EPOCH, as_user, file, item, print_state, printed_state, scratch};

pub(crate) const TESTS: &[Test] = &[
    ("files_are_put_without_a_shell", files_are_put_without_a_shell),
    ("links_of_the_guest_stay_inside", links_of_the_guest_stay_inside),
    ("a_changed_host_file_is_refused", a_changed_host_file_is_refused),
    ("attributes_are_kept_and_equal_for_everyone", attributes_are_kept_and_equal_for_everyone),
    ("what_layers_do_not_hold_is_left_out", what_layers_do_not_hold_is_left_out),
    ("equal_content_is_no_change", equal_content_is_no_change),
    ("mount_points_never_enter_a_layer", mount_points_never_enter_a_layer),
];

fn files_are_put_without_a_shell() {
    let bed = Bed::new();
    let mut live = bed.open(&scratch());
    let passwd = b"root:x:0:0::/root:/bin/sh\nwww:x:33:34::/var/www:/bin/false\n";
    live.put(vec![file("/etc/passwd", passwd, 0o644)]).unwrap();
    let mut owned = file("/srv/a/index", b"hello", 0o4750);
    owned.owner = Owner { user: "www".into(), group: None };
    live.put(vec![owned]).unwrap();
    let layer = live.commit();
    live.close();
    assert_eq!(bed.top(&layer), ["etc", "etc/passwd", "srv", "srv/a", "srv/a/index"]);
    let merged = Merged::new(&bed.trees(&layer));
    let entry = merged.get(&TreePath(b"srv/a/index".to_vec())).unwrap();
    assert_eq!((entry.mode, entry.uid, entry.gid, entry.mtime), (0o4750, 33, 34, EPOCH));
    let parent = merged.get(&TreePath(b"srv/a".to_vec())).unwrap();
    assert_eq!((parent.mode, parent.uid, parent.gid, parent.mtime), (0o755, 0, 0, EPOCH));
}

fn links_of_the_guest_stay_inside() {
    let bed = Bed::new();
    let link = |path: &str, to: &str| item(path, PlacementKind::Symlink { target: to.into() }, 0o777);
    let mut live = bed.open(&scratch());
    live.put(vec![
        item("/real", PlacementKind::Dir, 0o755),
        link("/abs", "/real"),
        link("/up", "../../../../../../real"),
        link("/out", "/tmp-of-the-host"),
        file("/abs/one", b"1", 0o644),
        file("/up/two", b"2", 0o644),
        item("/abs", PlacementKind::Dir, 0o700),
    ])
    .unwrap();
    let error = live.put(vec![file("/out/x", b"", 0o644)]).unwrap_err();
    assert!(error.to_string().contains("/out/x"), "{error}");
    let error = live.put(vec![file("/real", b"", 0o644)]).unwrap_err();
    assert!(error.to_string().contains("has a directory there"), "{error}");
    let layer = live.commit();
    live.close();
    assert_eq!(bed.top(&layer), ["abs", "out", "real", "real/one", "real/two", "up"]);
}

fn a_changed_host_file_is_refused() {
    let bed = Bed::new();
    let path = bed.dir.path().join("file");
    std::fs::write(&path, "after").unwrap();
    let kind = |digest| PlacementKind::HostFile { from: path.clone(), digest, size: 5 };
    let mut live = bed.open(&scratch());
    let error = live.put(vec![item("/f", kind(Digest::of(b"befor")), 0o644)]).unwrap_err();
    assert!(matches!(error, BackendError::Program { .. }) && error.to_string().contains("file changed"), "{error}");
    live.put(vec![item("/f", kind(Digest::of(b"after")), 0o644)]).unwrap();
    let layer = live.commit();
    assert_eq!(bed.text(&layer, "f"), "after");
    live.close();
}

/// `setcap cap_net_raw+ep`, as version 2.
const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn attributes_are_kept_and_equal_for_everyone() {
    use rustix::fs::{XattrFlags, setxattr};
    // A tool to set attributes with, from inside: this host's setfattr and setcap need libraries; python less so.
    let bed = Bed::new();
    let mut live = bed.open(&bed.shell());
    for program in ["/usr/bin/setfattr", "/sbin/setcap", "/usr/bin/setfacl"] {
        live.put(with_libraries(program)).unwrap();
    }
    live.must("echo x > /ping; setcap cap_net_raw+ep /ping; echo y > /note; setfattr -n user.color -v blue /note");
    live.must("setfacl -m u:1000:r /note");
    let layer = live.commit();
    live.must("chmod 600 /note");
    let second = live.commit();
    live.close();
    let merged = Merged::new(&bed.trees(&layer));
    let ping = merged.get(&TreePath(b"ping".to_vec())).unwrap();
    assert_eq!(ping.xattrs.get("security.capability").map(Vec::as_slice), Some(CAPABILITY));
    let note = merged.get(&TreePath(b"note".to_vec())).unwrap();
    assert_eq!(note.xattrs.keys().collect::<Vec<_>>(), ["system.posix_acl_access", "user.color"]);
    let note = Merged::new(&bed.trees(&second)).get(&TreePath(b"note".to_vec())).unwrap().entry.clone();
    assert_eq!((note.mode, note.xattrs.len()), (0o600, 2), "a copy made by the kernel keeps attributes");
    let _ = setxattr(bed.dir.path(), "user.x", b"y", XattrFlags::empty());
    print_state(&bed, &second);
    if let Some(text) = as_user("attributes_are_kept_and_equal_for_everyone", &[]) {
        assert_eq!(printed_state(&text), second.state.digest().to_string());
    }
}

/// A program of this host with its libraries.
fn with_libraries(program: &str) -> Vec<imgc_backend::PlacementItem> {
    let output = std::process::Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned);
    let name = program.rsplit('/').next().unwrap();
    let mut items = vec![file(&format!("/bin/{name}"), &std::fs::read(program).unwrap(), 0o755)];
    items.extend(libraries.map(|path| file(&path, &std::fs::read(&path).unwrap(), 0o755)));
    items
}

fn what_layers_do_not_hold_is_left_out() {
    let bed = Bed::new();
    let mut live = bed.open(&bed.shell());
    live.must("mkdir -p /var/log/apt /etc /var/cache/apt; echo a > /var/log/apt/term.log; echo 123 > /etc/machine-id; echo b > /var/cache/apt/x.bin; touch /kept");
    let layer = live.commit();
    live.close();
    assert_eq!(
        bed.top(&layer),
        ["etc", "etc/machine-id", "kept", "var", "var/cache", "var/cache/apt", "var/log", "var/log/apt"]
    );
    assert_eq!(bed.text(&layer, "etc/machine-id"), "");
}

fn equal_content_is_no_change() {
    let bed = Bed::new();
    let mut live = bed.open(&bed.shell());
    live.must("mkdir /d; echo x > /d/f; echo y > /d/g");
    let layer = live.commit();
    live.must("echo x > /d/f; rm /d/g; echo y > /d/g; touch /d/new; rm /d/new; mkdir /e; rmdir /e");
    assert_eq!(live.commit(), layer);
    live.must("rm -r /d; mkdir /d; echo x > /d/f; rm -f /nothing");
    let third = live.commit();
    assert_eq!(bed.top(&third), ["!d", "d/f"]);
    live.must("rm -r /d");
    let fourth = live.commit();
    assert_eq!(bed.top(&fourth), ["-d"]);
    live.must("mkdir /d; touch /d/f");
    let fifth = live.commit();
    assert_eq!(bed.top(&fifth), ["d", "d/f"], "what is hidden already needs no mark");
    let merged = Merged::new(&bed.trees(&fifth));
    assert!(merged.get(&TreePath(b"d/g".to_vec())).is_none());
    let entry = merged.get(&TreePath(b"d".to_vec())).unwrap();
    assert!(matches!(entry.kind, EntryKind::Dir { .. }));
    live.close();
}

fn mount_points_never_enter_a_layer() {
    let bed = Bed::new();
    let mut live = bed.open(&bed.shell());
    // A tree that hides every mount point.
    live.must("mkdir -p /etc; echo keep > /etc/keep");
    let layer = live.commit();
    let mut network = crate::bed::exec("echo x > /dev/null; cat /etc/hosts > /dev/null; true");
    network.network = true;
    live.exec(&network).unwrap();
    assert_eq!(live.commit(), layer);
    live.put(vec![item(
        "/etc/resolv.conf",
        PlacementKind::Symlink { target: "../run/systemd/resolve/stub.conf".into() },
        0o777,
    )])
    .unwrap();
    let linked = live.commit();
    network.program = crate::bed::exec("cat /etc/resolv.conf | wc -l; readlink /etc/resolv.conf").program;
    let (_, said) = live.exec(&network).unwrap();
    assert!(said.ends_with("../run/systemd/resolve/stub.conf\n") && !said.starts_with('0'), "{said}");
    assert_eq!(live.commit(), linked);
    live.put(vec![file("/etc/resolv.conf", b"mine\n", 0o644)]).unwrap();
    let own = live.commit();
    assert_eq!(bed.text(&own, "etc/resolv.conf"), "mine\n");
    live.close();
}
