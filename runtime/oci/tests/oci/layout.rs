//! Layouts and archives of others: what skopeo and podman write, and broken ones.

use std::path::Path;
use std::process::Command;

use imgc_formats::tar::unpack;
use imgc_oci::archive::write;
use imgc_oci::{Image, Layout, LayoutError};
use imgc_store::Manifest;

use super::archive::options;
use super::images::{has, platform, run, spec};

/// Reads an image whole: its description and its layers' manifests.
fn read(path: &Path) -> Result<(Image, Vec<Manifest>), String> {
    let scratch = tempfile::tempdir().unwrap();
    let shown = |error: &dyn std::error::Error| {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text
    };
    let layout = Layout::open(path, scratch.path()).map_err(|e| shown(&e))?;
    let image = layout.image(&platform(), None).map_err(|e| shown(&e))?;
    let mut manifests = Vec::new();
    for n in 0..image.layers.len() {
        let into = scratch.path().join(n.to_string());
        std::fs::create_dir(&into).unwrap();
        let mut reader = layout.layer(&image, n).map_err(|e| shown(&e))?;
        let unpacked = unpack(&mut reader, &into, &options());
        reader.finish().map_err(|e| shown(&e))?;
        manifests.push(unpacked.map_err(|e| shown(&e))?.manifest);
    }
    Ok((image, manifests))
}

#[test]
fn what_we_write_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("image.tar");
    let spec = spec(dir.path());
    let written = write(&spec, &out).unwrap();
    let (image, manifests) = read(&out).unwrap();
    assert_eq!((image.digest, image.id), (written.manifest, written.id));
    assert_eq!((&image.config, image.created), (&spec.config, Some(spec.created_epoch)));
    let expected: Vec<Manifest> = spec.layers.iter().map(|layer| (*layer.manifest).clone()).collect();
    assert_eq!(manifests, expected);
}

#[test]
fn every_form_gives_the_same_layers() {
    if !has("skopeo") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("image.tar");
    write(&spec(dir.path()), &out).unwrap();
    let (image, expected) = read(&out).unwrap();
    let copy = |form: &str, to: &str, flags: &[&str]| {
        let path = dir.path().join(to);
        let from = format!("oci-archive:{}", out.display());
        let to = format!("{form}:{}{}", path.display(), if form == "docker-archive" { ":x:1" } else { "" });
        run(Command::new("skopeo").args(["copy", "--insecure-policy"]).args(flags).args([&from, &to]));
        path
    };
    let plain = copy("docker-archive", "docker.tar", &[]);
    let gzipped = dir.path().join("docker.tar.gz");
    let bytes = Command::new("gzip").arg("-c").arg(&plain).output().unwrap().stdout;
    std::fs::write(&gzipped, bytes).unwrap();
    let forms = [
        copy("oci", "layout", &[]),
        copy("oci", "gzip", &["--dest-compress-format", "gzip", "--dest-compress"]),
        copy("oci", "zstd", &["--dest-compress-format", "zstd", "--dest-compress"]),
        copy("oci-archive", "oci.tar", &[]),
        plain,
        gzipped,
    ];
    for path in forms {
        let (found, manifests) = read(&path).unwrap();
        assert_eq!(manifests, expected, "{}", path.display());
        assert_eq!((&found.config, found.created), (&image.config, image.created), "{}", path.display());
    }
}

/// A layout directory to be bent.
fn layout_dir(dir: &Path) -> std::path::PathBuf {
    let out = dir.join("image.tar");
    write(&spec(dir), &out).unwrap();
    let layout = dir.join("layout");
    std::fs::create_dir(&layout).unwrap();
    run(Command::new("tar").arg("-xf").arg(&out).arg("-C").arg(&layout));
    layout
}

#[test]
fn broken_layouts_are_named() {
    type Bend = fn(&Path, &Image);
    fn blob(layout: &Path, digest: &imgc_plan::Sha256) -> std::path::PathBuf {
        layout.join(format!("blobs/sha256/{digest}"))
    }
    let cases: [(&str, Bend); 8] = [
        ("it has no index.json and no manifest.json", |at, _| {
            std::fs::remove_file(at.join("index.json")).unwrap();
            std::fs::remove_file(at.join("manifest.json")).unwrap();
        }),
        ("lacks the manifest `blobs/sha256/", |at, image| std::fs::remove_file(blob(at, &image.digest)).unwrap()),
        ("lacks the configuration `blobs/sha256/", |at, image| std::fs::remove_file(blob(at, &image.id)).unwrap()),
        ("lacks the layer `blobs/sha256/", |at, image| {
            std::fs::remove_file(blob(at, &image.layers[1].blob.digest)).unwrap();
        }),
        ("the manifest should be sha256:", |at, image| std::fs::write(blob(at, &image.digest), "{}").unwrap()),
        ("the layer should be sha256:", |at, image| {
            let path = blob(at, &image.layers[0].blob.digest);
            let mut bytes = std::fs::read(&path).unwrap();
            let last = bytes.len() - 1;
            bytes[last] = 1;
            std::fs::write(path, bytes).unwrap();
        }),
        ("is an OCI layout of version `2.0.0`", |at, _| {
            std::fs::write(at.join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
        }),
        ("the index sha256:", |at, _| std::fs::write(at.join("index.json"), "{").unwrap()),
    ];
    for (expected, bend) in cases {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout_dir(dir.path());
        let (image, _) = read(&layout).unwrap();
        bend(&layout, &image);
        let error = read(&layout).unwrap_err();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn unknown_kinds_are_named() {
    use imgc_plan::Sha256;
    for (from, to, expected) in [
        ("image.layer.v1.tar", "image.layer.v1.squashfs", "layer 1 has the unknown media type"),
        ("image.config.v1+json", "helm.config.v1+json", "configuration has the unknown media type"),
        ("image.manifest.v1+json", "image.manifest.v9+json", "manifest has the unknown media type"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout_dir(dir.path());
        let (image, _) = read(&layout).unwrap();
        let manifest = std::fs::read_to_string(layout.join(format!("blobs/sha256/{}", image.digest))).unwrap();
        let bent = manifest.replace(from, to);
        let digest = Sha256::of(bent.as_bytes());
        std::fs::write(layout.join(format!("blobs/sha256/{digest}")), bent).unwrap();
        let index = std::fs::read_to_string(layout.join("index.json")).unwrap();
        std::fs::write(layout.join("index.json"), index.replace(&image.digest.to_string(), &digest.to_string()))
            .unwrap();
        let error = read(&layout).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_wrong_platform_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("image.tar");
    write(&spec(dir.path()), &out).unwrap();
    let layout = Layout::open(&out, dir.path()).unwrap();
    let error = layout.image(&"linux/arm64".parse().unwrap(), None).unwrap_err();
    let LayoutError::Image { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.to_string(), "there is no image for linux/arm64; there is linux/amd64");
    assert!(layout.image(&platform(), Some("1")).is_ok());
    let error = layout.image(&platform(), Some("2")).unwrap_err();
    assert!(error.to_string().ends_with("has no image `2`; it has 1"), "{error}");
}

#[test]
fn damaged_archives_are_said() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("image.tar");
    write(&spec(dir.path()), &out).unwrap();
    let whole = std::fs::read(&out).unwrap();
    for (bytes, expected) in [
        (whole[..6000].to_vec(), "is a damaged archive: it ends too early"),
        (vec![b'x'; 4000], "is a damaged archive: it has no valid header"),
        (Vec::new(), "is neither an OCI layout nor an image archive"),
        (vec![0; 1024], "is neither an OCI layout nor an image archive"),
    ] {
        std::fs::write(&out, bytes).unwrap();
        let error = read(&out).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    assert!(read(&dir.path().join("nothing")).unwrap_err().starts_with("cannot read "));
}
