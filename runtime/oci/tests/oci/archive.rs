//! Archives: canonical, and what skopeo and podman make of them.

use std::process::Command;

use imgc_formats::tar::{Limits, Owners, UnpackOptions, Whiteouts, unpack};
use imgc_oci::archive::{MAX_LAYERS, write};
use imgc_oci::{ArchiveSpec, Layout, layer_digest};
use imgc_plan::Sha256;
use imgc_store::TreePath;

use super::images::{has, layer, platform, run, spec};

#[test]
fn equal_specs_give_equal_bytes() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let archives = [&first, &second].map(|dir| {
        let out = dir.path().join("image.tar");
        let written = write(&spec(dir.path()), &out).unwrap();
        let bytes = std::fs::read(out).unwrap();
        assert_eq!(bytes.len() as u64, written.size);
        (written, bytes)
    });
    assert_eq!(archives[0], archives[1]);
}

#[test]
fn digests_are_those_of_the_layers() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("image.tar");
    let spec = spec(dir.path());
    let written = write(&spec, &out).unwrap();
    for (layer, expected) in spec.layers.iter().zip(&written.layers) {
        assert_eq!(layer_digest(&layer.manifest, &layer.dir).unwrap(), *expected);
    }
    let listed = run(Command::new("tar").arg("-tf").arg(&out));
    for blob in [written.id, written.manifest, written.layers[0].0, written.layers[1].0] {
        let name = format!("blobs/sha256/{blob}");
        assert!(listed.contains(&name), "{name} is missing in\n{listed}");
        let bytes = Command::new("tar").arg("-xOf").arg(&out).arg(&name).output().unwrap().stdout;
        assert_eq!(Sha256::of(&bytes), blob);
    }
}

#[test]
fn skopeo_reads_both_forms() {
    if !has("skopeo") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("image.tar");
    let written = write(&spec(dir.path()), &out).unwrap();
    for form in ["oci-archive", "docker-archive"] {
        let shown = run(Command::new("skopeo").args(["inspect", &format!("{form}:{}", out.display())]));
        for part in [
            "\"Created\": \"2023-11-14T22:13:20Z\"",
            "\"Architecture\": \"amd64\"",
            "\"Os\": \"linux\"",
            "\"A=b=c\"",
            &format!("sha256:{}", written.layers[1].0),
        ] {
            assert!(shown.contains(part), "{part} is missing in {form}:\n{shown}");
        }
    }
    let config = run(Command::new("skopeo").args(["inspect", "--config", &format!("oci-archive:{}", out.display())]));
    for part in
        ["\"80/tcp\": {}", "\"User\": \"33:33\"", "\"WorkingDir\": \"/srv\"", "\"created_by\": \"sh \\\"site\\\"\""]
    {
        assert!(config.contains(part), "{part} is missing in:\n{config}");
    }
    // Copying reads every layer and checks its digest.
    for form in ["oci-archive", "docker-archive"] {
        let to = format!("dir:{}", dir.path().join(form).display());
        run(Command::new("skopeo").args(["copy", "--insecure-policy", &format!("{form}:{}", out.display()), &to]));
    }
}

#[test]
fn podman_loads_it() {
    if !has("podman") || !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("image.tar");
    let written = write(&spec(dir.path()), &out).unwrap();
    let podman = |args: &[&str]| {
        let root = dir.path().join("root");
        let run_root = dir.path().join("run");
        let mut command = Command::new("podman");
        command.arg("--root").arg(root).arg("--runroot").arg(run_root).args(["--storage-driver", "vfs"]).args(args);
        run(&mut command)
    };
    podman(&["load", "-i", out.to_str().unwrap()]);
    let id = podman(&["image", "inspect", "--format", "{{.Id}}", "imgc-test:1"]);
    assert_eq!(id.trim(), written.id.to_string());
    let mounted = podman(&["image", "mount", "imgc-test:1"]);
    let root = std::path::Path::new(mounted.trim());
    assert_eq!(std::fs::read_to_string(root.join("etc/motd")).unwrap(), "new");
    assert!(!root.join("etc/gone").exists());
    podman(&["image", "umount", "--all"]);
    podman(&["rmi", "--all", "--force"]);
}

#[test]
fn surplus_layers_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let many = |count: usize| -> Vec<_> {
        let one = |n: usize| {
            let own = format!("n/{n}");
            let over = if n == 3 { "n/1" } else { "n/over" };
            let content = if n == 3 { "-".to_owned() } else { n.to_string() };
            layer(dir.path(), &format!("l{n}"), &[(&own, &content.replace('-', "3")), (over, &content)])
        };
        (0..count).map(one).collect()
    };
    let spec = ArchiveSpec { layers: many(140), ..spec(dir.path()) };
    let out = dir.path().join("image.tar");
    let written = write(&spec, &out).unwrap();
    assert_eq!(written.layers.len(), MAX_LAYERS);
    let layout = Layout::open(&out, dir.path()).unwrap();
    let image = layout.image(&platform(), None).unwrap();
    let into = dir.path().join("into");
    std::fs::create_dir(&into).unwrap();
    let mut reader = layout.layer(&image, 0).unwrap();
    let lowest = unpack(&mut reader, &into, &options()).unwrap().manifest;
    reader.finish().unwrap();
    // All but the highest layers are in it, without what layer 3 removed.
    let lowest_count = 140 - (MAX_LAYERS - 1);
    for n in 0..lowest_count {
        assert_eq!(lowest.get(&TreePath(format!("n/{n}").into())).is_some(), n != 1, "{n}");
    }
    assert!(lowest.get(&TreePath(format!("n/{lowest_count}").into())).is_none());
    assert_eq!(std::fs::read_to_string(into.join("n/over")).unwrap(), (lowest_count - 1).to_string());
    let exact = ArchiveSpec { layers: many(MAX_LAYERS), ..spec };
    assert_eq!(write(&exact, &out).unwrap().layers.len(), MAX_LAYERS);
}

#[test]
fn equal_layers_are_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let large = "x".repeat(50_000);
    let twice = ["a", "b", "c"].map(|name| layer(dir.path(), name, &[("f", if name == "b" { "-" } else { &large })]));
    let spec = ArchiveSpec { layers: twice.to_vec(), ..spec(dir.path()) };
    let out = dir.path().join("image.tar");
    let written = write(&spec, &out).unwrap();
    assert_eq!(written.layers[0], written.layers[2]);
    assert!(written.size < 70_000, "{}", written.size);
    let layout = Layout::open(&out, dir.path()).unwrap();
    assert_eq!(layout.image(&platform(), None).unwrap().layers.len(), 3);
    if has("skopeo") {
        for form in ["oci-archive", "docker-archive"] {
            let to = format!("dir:{}", dir.path().join(form).display());
            run(Command::new("skopeo").args(["copy", "--insecure-policy", &format!("{form}:{}", out.display()), &to]));
        }
    }
}

#[test]
fn content_that_is_gone_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let spec = spec(dir.path());
    std::fs::remove_file(dir.path().join("site/srv/index.html")).unwrap();
    let error = write(&spec, &dir.path().join("image.tar")).unwrap_err();
    assert_eq!(error.to_string(), "cannot pack layer 2 (`sh \"site\"`)");
    let error = write(&spec, &dir.path().join("missing/image.tar")).unwrap_err();
    assert!(error.to_string().starts_with("cannot write "), "{error}");
}

pub(crate) fn options() -> UnpackOptions<'static> {
    UnpackOptions {
        epoch: super::images::EPOCH,
        opaque_xattr: "user.overlay.opaque",
        whiteouts: Whiteouts::Oci,
        owners: Owners::Record,
        below: &[],
        limits: Limits::default(),
    }
}
