//! `copy` and `write`: which file goes where, with which mode and owner.

use std::path::{Path, PathBuf};

use imgc_backend::{Owner, Placement, PlacementItem, PlacementKind};
use imgc_plan::{DirRef, EntryKind, FileRef};

use crate::args::{CopyArgs, Source, WriteArgs};

/// The placement of a `copy`.
pub(crate) fn copy(args: &CopyArgs, package: &Path) -> Placement {
    let owner = owner(&args.owner);
    let items = match &args.src {
        Source::File(file) => vec![copied_file(file, args, owner, package)],
        Source::Dir(dir) => copied_dir(dir, args, &owner, package),
    };
    Placement { items }
}

/// The placement of a `write`.
pub(crate) fn write(args: &WriteArgs) -> Placement {
    let kind = PlacementKind::Bytes(args.text.clone().into_bytes());
    Placement {
        items: vec![PlacementItem { path: args.dest.clone(), kind, mode: args.mode, owner: owner(&args.owner) }],
    }
}

fn copied_file(file: &FileRef, args: &CopyArgs, owner: Owner, package: &Path) -> PlacementItem {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let path = if args.dest.ends_with('/') { format!("{}{name}", args.dest) } else { args.dest.clone() };
    let kind = PlacementKind::HostFile { from: package.join(&file.path), digest: file.digest, size: file.size };
    PlacementItem { path, kind, mode: args.mode.unwrap_or(file.mode), owner }
}

fn copied_dir(dir: &DirRef, args: &CopyArgs, owner: &Owner, package: &Path) -> Vec<PlacementItem> {
    let base = args.dest.trim_end_matches('/');
    let host = package.join(&dir.path);
    let top = if base.is_empty() { "/" } else { base };
    let dir_mode = args.mode.map_or(0o755, searchable);
    let top = PlacementItem { path: top.to_owned(), kind: PlacementKind::Dir, mode: dir_mode, owner: owner.clone() };
    let entries = dir.entries.iter().map(|entry| {
        let (kind, mode) = match &entry.kind {
            EntryKind::Dir => (PlacementKind::Dir, args.mode.map_or(entry.mode, searchable)),
            EntryKind::File { digest, size } => (
                PlacementKind::HostFile {
                    from: dir.places.get(&entry.path).map_or_else(|| host.join(&entry.path), PathBuf::from),
                    digest: *digest,
                    size: *size,
                },
                args.mode.unwrap_or(entry.mode),
            ),
            EntryKind::Symlink { target } => (PlacementKind::Symlink { target: target.clone() }, 0o777),
        };
        PlacementItem { path: format!("{base}/{}", entry.path), kind, mode, owner: owner.clone() }
    });
    std::iter::once(top).chain(entries).collect()
}

/// The mode of a directory whose files have this mode: whoever may read may also search.
fn searchable(mode: u32) -> u32 {
    mode | (mode & 0o444) >> 2
}

pub(crate) fn owner(text: &str) -> Owner {
    match text.split_once(':') {
        Some((user, group)) => Owner { user: user.to_owned(), group: Some(group.to_owned()) },
        None => Owner { user: text.to_owned(), group: None },
    }
}

#[cfg(test)]
mod tests {
    use imgc_plan::{Digest, TreeEntry};

    use super::*;

    #[test]
    fn contents_of_a_directory_land_in_dest_with_searchable_directories() {
        let file = EntryKind::File { digest: Digest::of(b"x"), size: 1 };
        let entries = vec![
            TreeEntry { path: "css".into(), kind: EntryKind::Dir, mode: 0o755 },
            TreeEntry { path: "css/a".into(), kind: file, mode: 0o755 },
        ];
        let dir = DirRef {
            path: "site".into(),
            digest: DirRef::merkle(&entries),
            ignore: vec![],
            exact_modes: false,
            entries,
            places: std::collections::BTreeMap::new(),
        };
        let args = CopyArgs { src: Source::Dir(dir), dest: "/srv/".into(), mode: Some(0o640), owner: "www:web".into() };
        let placed: Vec<_> = copy(&args, Path::new("/p")).items.into_iter().map(|i| (i.path, i.mode)).collect();
        let expected = [("/srv", 0o750), ("/srv/css", 0o750), ("/srv/css/a", 0o640)];
        assert_eq!(placed, expected.map(|(path, mode)| (path.to_owned(), mode)));
    }

    #[test]
    fn a_file_lands_below_a_dest_that_ends_in_a_slash() {
        let file = FileRef { path: "conf/a.conf".into(), digest: Digest::of(b""), mode: 0o644, size: 0 };
        let args = CopyArgs { src: Source::File(file), dest: "/etc/".into(), mode: None, owner: "root".into() };
        assert_eq!(copy(&args, Path::new("/p")).items[0].path, "/etc/a.conf");
    }
}
