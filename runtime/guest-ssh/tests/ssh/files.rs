//! Files over SSH: by sftp, and by scp where there is none.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use imgc_backend::{BackendError, Channel as _, Cx, Owner, Placement, PlacementItem, PlacementKind};
use imgc_guest_ssh::Client;
use imgc_plan::Digest;

use crate::bed::{Bed, USER};

async fn put(
    client: &mut Client,
    path: &str,
    kind: PlacementKind,
    mode: u32,
    user: &str,
    cx: &Cx,
) -> Result<(), BackendError> {
    let owner = Owner { user: user.to_owned(), group: None };
    let items = vec![PlacementItem { path: path.to_owned(), kind, mode, owner }];
    client.put(&Placement { items }, cx).await
}

async fn everything_lands(bed: &Bed) {
    let mut client = bed.root().await;
    let base = bed.path("put of ours");
    let path = |name: &str| base.join(name).display().to_string();
    let big: Vec<u8> = (0..2_000_000_u32).map(|n| (n % 251) as u8).collect();
    let host = bed.path("host file");
    std::fs::write(&host, &big).unwrap();
    let item = |name: &str, kind, mode, user: &str| PlacementItem {
        path: path(name),
        kind,
        mode,
        owner: Owner { user: user.to_owned(), group: None },
    };
    let file = PlacementKind::HostFile { from: host.clone(), digest: Digest::of(&big), size: big.len() as u64 };
    let items = vec![
        item("a", PlacementKind::Dir, 0o750, USER),
        item("a/b's/big", file, 0o4750, USER),
        item("a/link", PlacementKind::Symlink { target: "b's".to_owned() }, 0o777, "root"),
        item("a/link/text", PlacementKind::Bytes(b"text\n".to_vec()), 0o600, "root"),
        item("a/empty", PlacementKind::Bytes(Vec::new()), 0o644, "12345"),
    ];
    client.put(&Placement { items }, &bed.cx).await.unwrap();
    assert_eq!(std::fs::read(path("a/b's/big")).unwrap(), big);
    let found = std::fs::metadata(path("a/b's/big")).unwrap();
    let uid = std::fs::metadata(format!("/home/{USER}")).unwrap().uid();
    assert_eq!((found.permissions().mode() & 0o7777, found.uid()), (0o4750, uid));
    assert_eq!(std::fs::metadata(path("a")).unwrap().mode() & 0o7777, 0o750);
    assert_eq!(std::fs::metadata(path("a/b's")).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(std::fs::read(path("a/b's/text")).unwrap(), b"text\n", "links on the way are followed");
    let empty = std::fs::metadata(path("a/empty")).unwrap();
    assert_eq!((empty.uid(), empty.gid(), empty.len()), (12345, 12345, 0));
    // A link to a directory in the place of a file is replaced, a directory is not.
    put(&mut client, &path("a/link"), PlacementKind::Bytes(b"x".to_vec()), 0o644, "root", &bed.cx).await.unwrap();
    assert_eq!(std::fs::read(path("a/link")).unwrap(), b"x");
    let error = put(&mut client, &path("a"), PlacementKind::Bytes(vec![]), 0o644, "root", &bed.cx).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot put a file at {}: the guest has a directory there", path("a")));
    let error =
        put(&mut client, &path("n"), PlacementKind::Bytes(vec![]), 0o644, "none-such", &bed.cx).await.unwrap_err();
    assert_eq!(error.to_string(), "the guest has no user `none-such`");
    let changed = PlacementKind::HostFile { from: host, digest: Digest::of(b"other"), size: 2_000_000 };
    let error = put(&mut client, &path("n"), changed, 0o644, "root", &bed.cx).await.unwrap_err().to_string();
    assert!(error.ends_with("changed since the plan was made"), "{error}");
    assert!(!base.join("n").exists());
    let mut back = Vec::new();
    assert_eq!(client.get(&path("a/b's/big"), &mut back, &bed.cx).await.unwrap(), 2_000_000);
    assert_eq!(back, big);
    let error = client.get("/no/file", &mut back, &bed.cx).await.unwrap_err().to_string();
    assert_eq!(error, "the guest has no file /no/file, or `root` may not read it");
}

#[tokio::test]
async fn by_sftp() {
    let Some(bed) = Bed::new("") else { return };
    everything_lands(&bed).await;
    assert!(!bed.notes.lock().unwrap().contains("scp"));
}

#[tokio::test]
async fn by_scp_where_there_is_no_sftp() {
    // The first of two lines counts: a program that is not there.
    let Some(bed) = Bed::new("Subsystem none /bin/false") else { return };
    let config = std::fs::read_to_string(bed.path("config")).unwrap();
    std::fs::write(bed.path("config"), config.replace("Subsystem sftp internal-sftp", "")).unwrap();
    let mut bed = bed;
    bed.replace_server();
    everything_lands(&bed).await;
    assert!(bed.notes.lock().unwrap().contains("no sftp: files go by scp"));
}
