//! Artifacts made of the files of others, whatever backend made those: compressed ones, and checksums.

use imgc_backend::{Artifact, ArtifactInput, BackendError, Cx, Shape};
use imgc_formats::compress::{self, Algorithm, Method};
use imgc_formats::region::Cancel;
use imgc_plan::Node;
use imgc_store::Store;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::artifact::parse;
use crate::errors;

pub(crate) const COMPRESS: &str = "disk.compress";
pub(crate) const CHECKSUM: &str = "disk.checksum";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CompressArgs {
    #[serde(rename = "of")]
    _of: u32,
    #[serde(default = "zst")]
    method: String,
    #[serde(default)]
    level: Option<u32>,
    #[serde(rename = "file")]
    _file: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChecksumArgs {
    #[serde(rename = "of")]
    _of: u32,
    #[serde(default = "sha256")]
    algorithm: String,
    #[serde(default = "standard_input")]
    name: String,
    #[serde(rename = "file")]
    _file: Option<String>,
}

fn zst() -> String {
    "zst".to_owned()
}

fn sha256() -> String {
    "sha256".to_owned()
}

fn standard_input() -> String {
    "-".to_owned()
}

/// What these artifacts read.
pub(crate) fn shapes() -> Vec<Shape> {
    vec![
        Shape::of::<CompressArgs>(COMPRESS, 1, json!({ "of": 0 })),
        Shape::of::<ChecksumArgs>(CHECKSUM, 1, json!({ "of": 0 })),
    ]
}

/// Makes one of them.
pub(crate) fn make(store: &Store, node: &Node, inputs: &[ArtifactInput], cx: &Cx) -> Result<Artifact, BackendError> {
    let [ArtifactInput::Artifact(Artifact { path: Some(from), .. })] = inputs else {
        return Err(BackendError::Program {
            message: format!("`{}` is made of something that is no file", node.address),
            help: Some("name a disk or an archive".to_owned()),
        });
    };
    let wanted = || cx.cancel.is_cancelled();
    let cancel = Cancel(&wanted);
    let failed = |source: std::io::Error| {
        if cx.cancel.is_cancelled() {
            return BackendError::Interrupted;
        }
        BackendError::Io { doing: format!("cannot make {}", node.address), source }
    };
    let scratch = store.scratch("packed").map_err(errors::store)?;
    let out = scratch.path().join("file");
    let usage = if node.kind == COMPRESS {
        let args: CompressArgs = parse(node)?;
        let (method, reader) = match args.method.as_str() {
            "gz" => (Method::Gzip, "gzip"),
            "xz" => (Method::Xz, "xz"),
            _ => (Method::Zstd, "zstd"),
        };
        compress::compress(from, &out, method, args.level, cancel).map_err(failed)?;
        format!("{reader} -dk {{file}}")
    } else {
        let args: ChecksumArgs = parse(node)?;
        let (algorithm, checker) = match args.algorithm.as_str() {
            "sha512" => (Algorithm::Sha512, "sha512sum"),
            "blake3" => (Algorithm::Blake3, "b3sum"),
            _ => (Algorithm::Sha256, "sha256sum"),
        };
        let sum = compress::checksum(from, algorithm, cancel).map_err(failed)?;
        std::fs::write(&out, format!("{sum}  {}\n", args.name)).map_err(failed)?;
        format!("{checker} -c {{file}}")
    };
    let object = store.insert_file(&out).map_err(errors::store)?;
    let (digest, sha256, size) = (object.digest, Some(object.sha256), object.size);
    Ok(Artifact { path: Some(object.path), digest, sha256, size, id: None, usage: vec![usage] })
}
