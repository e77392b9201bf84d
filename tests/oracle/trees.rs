//! The trees that images leave, read from their archives by `tar`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::package::Step;

/// By image: the digest of its archive, and every entry of its tree with all that tells two of them apart.
pub(crate) type Trees = BTreeMap<String, Tree>;

/// One image's tree. Two are equal if their entries are, whatever layers they are made of.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    sum: String,
    entries: BTreeMap<String, String>,
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

/// Reads the archives in `out`; those that are byte for byte the ones of `known` are not unpacked again. An image whose
/// output is not in the program any more has no archive, and no tree.
pub(crate) fn trees(out: &Path, steps: &[Step], known: &Trees, scratch: &Path) -> Trees {
    let sums = fs::read_to_string(out.join("SHA256SUMS")).expect("SHA256SUMS");
    let mut found = Trees::new();
    for step in steps {
        let file = format!("{}.tar", step.output);
        let line = sums.lines().find_map(|line| line.strip_suffix(&format!("  {file}")));
        assert_eq!(line.is_some(), out.join(&file).exists(), "{file} and its line in SHA256SUMS");
        let Some(sum) = line.map(str::to_owned) else { continue };
        let tree = match known.get(step.image) {
            Some(tree) if tree.sum == sum => tree.clone(),
            Some(_) | None => Tree { sum, entries: unpack(&out.join(&file), scratch) },
        };
        found.insert(step.image.to_owned(), tree);
    }
    found
}

fn unpack(archive: &Path, scratch: &Path) -> BTreeMap<String, String> {
    let _ = fs::remove_dir_all(scratch);
    let (layout, root) = (scratch.join("layout"), scratch.join("root"));
    fs::create_dir_all(&layout).expect("folder");
    fs::create_dir_all(&root).expect("folder");
    let tar = |file: &Path, into: &Path| {
        let status = Command::new("tar").arg("-xpf").arg(file).arg("-C").arg(into).status().expect("tar");
        assert!(status.success(), "tar of {}", file.display());
    };
    tar(archive, &layout);
    let text = fs::read_to_string(layout.join("manifest.json")).expect("manifest.json");
    let manifest: Value = serde_json::from_str(&text).expect("JSON");
    for layer in manifest[0]["Layers"].as_array().expect("Layers") {
        tar(&layout.join(layer.as_str().expect("path")), &root);
    }
    let mut entries = BTreeMap::new();
    // How containers of the image run is part of what it is.
    let config = fs::read_to_string(layout.join(manifest[0]["Config"].as_str().expect("Config"))).expect("config");
    let config: Value = serde_json::from_str(&config).expect("JSON");
    entries.insert("config".to_owned(), format!("{} {}", config["config"], config["architecture"]));
    list(&root, &root, &mut entries);
    entries
}

fn list(root: &Path, dir: &Path, entries: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).expect("folder").flatten() {
        let (path, meta) = (entry.path(), fs::symlink_metadata(entry.path()).expect("stat"));
        let about = if meta.is_symlink() {
            format!("link to {}", fs::read_link(&path).expect("link").display())
        } else if meta.is_file() {
            // One large file is the same everywhere: its size and first bytes tell it.
            let content = fs::read(&path).expect("file");
            format!("{} {}", content.len(), String::from_utf8_lossy(&content[..content.len().min(4096)]))
        } else {
            "dir".to_owned()
        };
        let at = path.strip_prefix(root).expect("below").display().to_string();
        let facts = format!("{:o} {}:{} {} {about}", meta.mode(), meta.uid(), meta.gid(), meta.mtime());
        entries.insert(at, facts);
        if meta.is_dir() {
            list(root, &path, entries);
        }
    }
}
