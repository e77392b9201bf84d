//! Programs to try things on: the samples beside these tests, all examples and the standard library.

#![expect(clippy::unwrap_used, reason = "a test stops where its ground is gone")]

use std::fs;
use std::path::{Path, PathBuf};

/// Path and text of every sample.
pub(crate) fn samples() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut samples = Vec::new();
    for folder in ["tests/samples", "../examples", "../stdlib"] {
        collect(&root.join(folder), &mut samples);
    }
    samples.sort();
    assert!(samples.len() > 8, "only {} samples found", samples.len());
    samples
}

fn collect(folder: &Path, into: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "imgc") {
            let text = fs::read_to_string(&path).unwrap();
            into.push((path, text));
        }
    }
}

/// How often a random test tries: 20,000 times in an optimised build, less otherwise; `IMGC_MUTATIONS` overrides.
pub(crate) fn tries() -> usize {
    let default = if cfg!(debug_assertions) { 250 } else { 20_000 };
    std::env::var("IMGC_MUTATIONS").ok().and_then(|tries| tries.parse().ok()).unwrap_or(default)
}
