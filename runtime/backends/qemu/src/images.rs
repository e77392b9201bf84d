//! Disk images: what `qemu-img` does for us, under a keeper.

use std::path::{Path, PathBuf};

use imgc_backend::{BackendError, Cx};
use imgc_plan::Digest;
use imgc_store::Store;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::command::Image;
use crate::errors;
use crate::keeper::{Kept, LOG};

/// How long the name of a layer below is in the header of an overlay; room for it is made before it is known.
const NAME: &str = "../00/0000000000000000000000000000000000000000000000000000000000000000";

/// What `qemu-img info` tells of an image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Info {
    pub(crate) format: String,
    /// What the guest sees, in bytes.
    pub(crate) virtual_size: u64,
    #[serde(default)]
    pub(crate) backing_filename: Option<String>,
    #[serde(default)]
    pub(crate) encrypted: bool,
    #[serde(default)]
    pub(crate) format_specific: Value,
}

/// Runs `qemu-img` in a directory of its own and returns what it says.
pub(crate) async fn tool(store: &Store, argv: Vec<String>, cx: &Cx) -> Result<String, BackendError> {
    let scratch = store.scratch("tool").map_err(errors::store)?;
    let name = argv.get(..2).unwrap_or(&argv).join(" ");
    let mut kept = Kept::start(argv, scratch.path())?;
    let ended = tokio::select! {
        ended = kept.finished() => ended,
        () = cx.cancel.cancelled() => {
            kept.kill().await;
            return Err(BackendError::Interrupted);
        }
    };
    let said = std::fs::read_to_string(scratch.path().join(LOG)).unwrap_or_default();
    if ended.is_some_and(|status| status.success()) {
        return Ok(said);
    }
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim().to_owned();
    if last.contains("No space left") {
        return Err(BackendError::io(format!("{name} failed"))(std::io::ErrorKind::StorageFull.into()));
    }
    Err(BackendError::Source { message: format!("{name} failed: {last}"), help: None })
}

/// Looks at an image that may be anything.
pub(crate) async fn info(store: &Store, image: &Path, format: Option<&str>, cx: &Cx) -> Result<Info, BackendError> {
    let mut argv = words(&["qemu-img", "info", "--output=json"]);
    argv.extend(format.map(|format| format!("--format={format}")));
    argv.push(image.display().to_string());
    let said = tool(store, argv, cx).await?;
    serde_json::from_str(&said)
        .map_err(|error| BackendError::Internal { message: format!("qemu-img info of {}: {error}", image.display()) })
}

/// Makes an image of this size that holds nothing.
pub(crate) async fn blank(store: &Store, at: &Path, size: u64, cx: &Cx) -> Result<Image, BackendError> {
    let mut argv = words(&["qemu-img", "create", "-q", "-f", "qcow2"]);
    argv.extend([at.display().to_string(), size.to_string()]);
    tool(store, argv, cx).await?;
    Ok(Image { path: at.to_owned(), format: "qcow2".to_owned() })
}

/// The least that is taken out of an image when a guest says that it needs it no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grain {
    /// A cluster of the usual 64 KiB: where less is given back, what was written stays in the image.
    Usual,
    /// What file systems count in: nothing that was given back stays.
    Block,
}

/// Makes an overlay over an image that is `size` bytes large; [`name_below`] says later which image that is.
pub(crate) async fn overlay(store: &Store, at: &Path, size: u64, grain: Grain, cx: &Cx) -> Result<Image, BackendError> {
    let mut argv = words(&["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b", NAME]);
    if grain == Grain::Block {
        argv.extend(words(&["-o", "cluster_size=4096"]));
    }
    argv.extend([at.display().to_string(), size.to_string()]);
    tool(store, argv, cx).await?;
    Ok(Image { path: at.to_owned(), format: "qcow2".to_owned() })
}

/// Writes into an overlay's header which object of the store is below it, so that a layer in the store can be read with
/// any tool. QEMU may have the overlay open: it was told its backing by other means and does not look again.
pub(crate) fn name_below(overlay: &Path, below: &Digest) -> Result<(), BackendError> {
    use std::os::unix::fs::FileExt as _;
    let write = || {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(overlay)?;
        // The header has the place of the name at byte 8 and its length at byte 16, both big-endian (QEMU,
        // docs/interop/qcow2.txt).
        let (mut at, mut length) = ([0; 8], [0; 4]);
        file.read_exact_at(&mut at, 8)?;
        file.read_exact_at(&mut length, 16)?;
        let (at, length) = (u64::from_be_bytes(at), u32::from_be_bytes(length));
        let digest = below.to_string();
        let name = format!("../{}/{digest}", digest.get(..2).unwrap_or_default());
        if usize::try_from(length).ok() != Some(name.len()) || name.len() != NAME.len() {
            return Err(std::io::Error::other("the overlay's header has no room for the name of its backing"));
        }
        file.write_all_at(name.as_bytes(), at)
    };
    write().map_err(BackendError::io(format!("cannot complete {}", overlay.display())))
}

/// An overlay that begins as a copy of another.
pub(crate) async fn copied(from: PathBuf, to: PathBuf) -> Result<Image, BackendError> {
    let path = to.clone();
    let copy = move || imgc_store::place::copy(&from, &to).map_err(errors::store);
    tokio::task::spawn_blocking(copy).await.map_err(errors::panicked)??;
    Ok(Image { path, format: "qcow2".to_owned() })
}

/// Lays a chain of images together into one image, without the blocks that hold nothing.
pub(crate) async fn flatten(
    store: &Store,
    chain: &[Image],
    format: &str,
    to: &Path,
    cx: &Cx,
) -> Result<(), BackendError> {
    // Read by several at once, but written in order: equal disks give equal bytes where the format allows it.
    let mut argv = words(&["qemu-img", "convert", "-m", "4", "-O", target(format)]);
    argv.extend(options(format).iter().flat_map(|option| ["-o".to_owned(), (*option).to_owned()]));
    argv.push(format!("json:{}", graph(chain)));
    argv.push(to.display().to_string());
    tool(store, argv, cx).await.map(drop)
}

/// What qemu-img calls a format.
fn target(format: &str) -> &str {
    match format {
        "vhd" => "vpc",
        other => other,
    }
}

/// What the users of a format expect of it.
fn options(format: &str) -> &'static [&'static str] {
    match format {
        "qcow2" => &["compat=1.1"],
        "vmdk" => &["subformat=streamOptimized"],
        // Fixed, and exactly as large as the disk: what Azure takes.
        "vhd" => &["subformat=fixed,force_size=on"],
        "vhdx" => &["subformat=dynamic"],
        _ => &[],
    }
}

/// A chain as one node, for `qemu-img`.
fn graph(chain: &[Image]) -> Value {
    let mut graph = Value::Null;
    for image in chain {
        let file = json!({"driver": "file", "filename": image.path.display().to_string()});
        graph = if image.format == "qcow2" {
            json!({"driver": "qcow2", "file": file, "backing": graph})
        } else {
            json!({"driver": image.format, "file": file})
        };
    }
    graph
}

/// Refuses images that would read other files of this host, or that nobody can read.
pub(crate) fn refuse_strange(info: &Info, what: &str) -> Result<(), BackendError> {
    let refuse = |message: String, help: &str| Err(BackendError::Source { message, help: Some(help.to_owned()) });
    if let Some(backing) = &info.backing_filename {
        let message = format!("{what} is an overlay of another image (`{backing}`)");
        return refuse(message, "flatten it first: `qemu-img convert -O qcow2 …`");
    }
    let data = info.format_specific.get("data").and_then(|data| data.get("data-file"));
    if data.is_some_and(|file| !file.is_null()) {
        return refuse(
            format!("{what} keeps its data in another file"),
            "flatten it first: `qemu-img convert -O qcow2 …`",
        );
    }
    if info.encrypted {
        return refuse(format!("{what} is encrypted"), "decrypt it first: `qemu-img convert …`");
    }
    if !["raw", "qcow2", "vmdk", "vpc", "vhdx", "vdi", "qed"].contains(&info.format.as_str()) {
        return refuse(format!("{what} has the format {}, which is no disk image", info.format), "name a disk image");
    }
    Ok(())
}

/// The images of a chain, as objects of the store.
pub(crate) fn objects(store: &Store, chain: &[imgc_backend::LayerId], base: &str) -> Result<Vec<Image>, BackendError> {
    let mut images = Vec::new();
    for (n, imgc_backend::LayerId(digest)) in chain.iter().enumerate() {
        let object = store.object(digest).map_err(errors::store)?.ok_or_else(|| BackendError::Environment {
            message: format!("the layer {} is no longer in the cache", digest.short()),
            help: Some("run the same command again: it is built anew".to_owned()),
        })?;
        let format = if n == 0 { base.to_owned() } else { "qcow2".to_owned() };
        images.push(Image { path: object.path, format });
    }
    Ok(images)
}

/// Moves an image that a guest has open into the store. QEMU opens images of its chain anew by their names, to turn what
/// was written to into what is only read: so its old name goes on leading there.
pub(crate) fn publish(store: &Store, image: &Path) -> Result<imgc_store::Object, BackendError> {
    let object = store.insert_file(image).map_err(errors::store)?;
    std::os::unix::fs::symlink(&object.path, image)
        .map_err(BackendError::io(format!("cannot link {}", image.display())))?;
    Ok(object)
}

/// A fresh name in a directory.
pub(crate) fn fresh(dir: &Path, count: &mut u32) -> PathBuf {
    *count += 1;
    dir.join(format!("disk{count}.qcow2"))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}
