//! The form in which objects leave the machine: content-defined chunks, so that two versions of an archive or disk share
//! what they have in common.
//!
//! A *depot* is a directory (of a server's disk, of an object store's mount, on a stick). It needs neither locks nor
//! renames over the network that work: everything in it is named by its digest, written once and checked when it is read.
//!
//! ```text
//! chunks/aa/DIGEST        the bytes of one chunk
//! objects/aa/DIGEST.json  the chunks of one object, in order; written after them
//! ```

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use fastcdc::v2020::StreamCDC;
use imgc_plan::Digest;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::object::Object;
use crate::place::{Durable, write_file};
use crate::store::Store;

/// The format of recipes. A recipe of another version is a miss. Other sizes of chunks need no other version: readers do
/// not care where cuts are.
const RECIPE_VERSION: u32 = 1;

/// Bytes of a chunk: about what one changed file of a package costs, and 16,000 names for a gibibyte.
const LEAST: usize = 16 << 10;
const AVERAGE: usize = 64 << 10;
const MOST: usize = 256 << 10;

/// What pushing an object took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pushed {
    /// How many chunks the object has.
    pub chunks: usize,
    /// How many of them the depot did not have.
    pub sent: usize,
    /// Bytes of those.
    pub bytes: u64,
}

/// The chunks of one object.
#[derive(Debug, Serialize, Deserialize)]
struct Recipe {
    version: u32,
    size: u64,
    /// In order, with their lengths.
    chunks: Vec<(Digest, u64)>,
}

impl Store {
    /// Gives a depot what it lacks of an object; nothing where the store has no such object. The object is read, and set
    /// aside where it is not what its digest says.
    pub fn push(&self, digest: &Digest, depot: &Path) -> Result<Option<Pushed>, StoreError> {
        let Some(object) = self.object_read(digest)? else { return Ok(None) };
        let file = File::open(&object.path).map_err(StoreError::io("read", &object.path))?;
        let mut pushed = Pushed::default();
        let mut recipe = Recipe { version: RECIPE_VERSION, size: object.size, chunks: Vec::new() };
        for chunk in StreamCDC::new(file, LEAST, AVERAGE, MOST) {
            let chunk = chunk.map_err(|error| StoreError::io("read", &object.path)(error.into()))?;
            let digest = Digest::of(&chunk.data);
            let path = of_depot(depot, "chunks", &digest, "");
            pushed.chunks += 1;
            if !path.metadata().is_ok_and(|found| found.len() == chunk.data.len() as u64) {
                put(&path, &chunk.data)?;
                pushed.sent += 1;
                pushed.bytes += chunk.data.len() as u64;
            }
            recipe.chunks.push((digest, chunk.data.len() as u64));
        }
        let recipe = serde_json::to_vec(&recipe).map_err(StoreError::Payload)?;
        put(&of_depot(depot, "objects", digest, ".json"), &recipe)?;
        Ok(Some(pushed))
    }

    /// Takes an object from a depot. Nothing where it lacks a part of it, or a part is not what its digest says: whoever
    /// wrote there need not be trusted.
    pub fn pull(&self, digest: &Digest, depot: &Path) -> Result<Option<Object>, StoreError> {
        if let Some(object) = self.object(digest)? {
            return Ok(Some(object));
        }
        let Some(recipe) = read_recipe(&of_depot(depot, "objects", digest, ".json")) else { return Ok(None) };
        let scratch = self.scratch("pull")?;
        let path = scratch.path().join("object");
        if !put_together(&recipe, depot, &path)? {
            return Ok(None);
        }
        if crate::object::digest_file(&path).map_err(StoreError::io("read", &path))?.0 != *digest {
            return Ok(None);
        }
        self.insert_file(&path).map(Some)
    }
}

fn of_depot(depot: &Path, folder: &str, digest: &Digest, extension: &str) -> PathBuf {
    let name = digest.to_string();
    let shard = name.get(..2).unwrap_or("00").to_owned();
    depot.join(folder).join(shard).join(format!("{name}{extension}"))
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(StoreError::io("make", folder))?;
    }
    write_file(path, bytes, Durable::Later)
}

/// Nothing where there is none that can be used.
fn read_recipe(path: &Path) -> Option<Recipe> {
    let recipe: Recipe = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    let lengths = recipe.chunks.iter().try_fold(0_u64, |sum, (_, length)| sum.checked_add(*length));
    (recipe.version == RECIPE_VERSION && lengths == Some(recipe.size)).then_some(recipe)
}

/// Writes the chunks one after the other; false where one is missing or is another.
fn put_together(recipe: &Recipe, depot: &Path, path: &Path) -> Result<bool, StoreError> {
    let failed = || StoreError::io("write", path);
    let mut out = BufWriter::new(File::create(path).map_err(failed())?);
    for (digest, length) in &recipe.chunks {
        let chunk = of_depot(depot, "chunks", digest, "");
        // The length first: a depot may hold anything, and memory is finite.
        let fits = *length <= MOST as u64 && chunk.metadata().is_ok_and(|found| found.len() == *length);
        let Some(bytes) = fits.then(|| std::fs::read(&chunk).ok()).flatten() else { return Ok(false) };
        if Digest::of(&bytes) != *digest {
            return Ok(false);
        }
        out.write_all(&bytes).map_err(failed())?;
    }
    out.flush().map_err(failed())?;
    Ok(true)
}
