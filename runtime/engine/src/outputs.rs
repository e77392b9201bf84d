//! Puts artifacts in place: `out/` with its `SHA256SUMS`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use imgc_backend::{Artifact, Cx};
use imgc_plan::{Address, Digest, FileRef, NodeId, Plan, Platform, Sha256, Value};
use imgc_store::place::{Durable, remove_stale, write_file};
use imgc_store::{Object, StatCache, Store, fail_point, hash_file};
use serde::{Deserialize, Serialize};

use crate::result::NodeResult;
use crate::shared::blocking;
use crate::{Engine, EngineError, Selection, Target, fill};

/// Something that was asked for, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// `container`, `boot[amd64]`, or the address that was named.
    pub name: String,
    /// The node that made it.
    pub node: NodeId,
    /// Its address.
    pub address: Address,
    /// `oci.archive`, `sh`.
    pub kind: String,
    /// Its platform.
    pub platform: Platform,
    /// Where it was put, below the output directory as that was given; none where it only is in the store.
    pub file: Option<PathBuf>,
    /// The artifact; none for an image, which only is in the store.
    pub artifact: Option<Artifact>,
    /// How many layers an image has; 0 for an artifact.
    pub layers: usize,
    /// Where it is a text that was known once what it is made of was built.
    #[serde(default)]
    pub text: Option<String>,
}

/// Puts every target that has a file in its place and writes `SHA256SUMS`.
pub(crate) async fn place(
    engine: &Engine,
    plan: &Plan,
    selection: &Selection,
    results: &BTreeMap<NodeId, Arc<NodeResult>>,
    out_dir: Option<&Path>,
    cx: &Cx,
) -> Result<Vec<Placed>, EngineError> {
    let mut all = Vec::new();
    let mut files = Vec::new();
    for target in &selection.targets {
        if target.value == Some(Value::None) {
            continue;
        }
        let mut placed = placed(plan, target, results, out_dir)?;
        if let Some(value) = &target.value {
            let known = |id: NodeId| results.get(&id).cloned();
            let failed = |source| EngineError::Value { name: target.name.clone(), source };
            if let Some(file) = &target.file {
                let taken = fill::file(engine, plan, value, known).map_err(failed)?;
                placed.artifact = Some(kept(engine, taken).await?);
                placed.file = out_dir.map(|dir| below(file).map(|file| dir.join(file))).transpose()?;
                placed.layers = 0;
            } else {
                let text = fill::text(engine, plan, value, known).map_err(failed)?;
                (placed.text, placed.artifact) = (Some(text), None);
            }
        }
        if let (Some(file), Some(artifact)) = (&target.file, &placed.artifact)
            && placed.file.is_some()
        {
            files.push((file.clone(), artifact.clone()));
        }
        all.push(placed);
    }
    if let Some(out_dir) = out_dir
        && !files.is_empty()
    {
        let (store, out_dir) = (engine.store.clone(), out_dir.to_owned());
        let named = crate::select::files(plan);
        let record = Record::of(&engine.store, &engine.package, &out_dir);
        let notes = blocking(move || put_all(&store, &out_dir, &files, (record, &named))).await??;
        for note in notes {
            cx.note(note);
        }
    }
    Ok(all)
}

/// A file that was taken out of an image as an artifact: the store keeps a copy of its own, as layers may go.
async fn kept(engine: &Engine, taken: FileRef) -> Result<Artifact, EngineError> {
    let store = engine.store.clone();
    let doing = format!("cannot keep {}", taken.path);
    let insert = move || store.insert_copy(Path::new(&taken.path));
    let object = blocking(insert).await?.map_err(EngineError::store(doing))?;
    Ok(Artifact {
        path: Some(object.path),
        digest: object.digest,
        sha256: Some(object.sha256),
        size: object.size,
        id: None,
        usage: Vec::new(),
    })
}

fn placed(
    plan: &Plan,
    target: &Target,
    results: &BTreeMap<NodeId, Arc<NodeResult>>,
    out_dir: Option<&Path>,
) -> Result<Placed, EngineError> {
    let node = plan.node(target.node);
    let (artifact, layers) = match results.get(&target.node).map(Arc::as_ref) {
        Some(NodeResult::Artifact(artifact)) => (Some(artifact.clone()), 0),
        Some(NodeResult::Layer(layer)) => (None, layer.chain.len()),
        Some(NodeResult::Passed(_)) => (None, 0),
        None => return Err(EngineError::Internal { message: format!("`{}` was not built", node.address) }),
    };
    let has_file = artifact.as_ref().is_some_and(|artifact| artifact.path.is_some());
    let file = match (&target.file, out_dir) {
        (Some(file), Some(out_dir)) if has_file => Some(out_dir.join(below(file)?)),
        (Some(_) | None, _) => None,
    };
    Ok(Placed {
        name: target.name.clone(),
        node: target.node,
        address: node.address.clone(),
        kind: node.kind.to_string(),
        platform: (*node.platform).clone(),
        file,
        artifact,
        layers,
        text: None,
    })
}

/// The path of a file as a path below the output directory.
fn below(file: &str) -> Result<PathBuf, EngineError> {
    let path = PathBuf::from(file);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    if plain && !file.is_empty() {
        Ok(path)
    } else {
        Err(EngineError::Internal { message: format!("the file `{file}` of an output is not below the output folder") })
    }
}

/// Returns notes about what was put in place in another way than usual.
fn put_all(
    store: &Store,
    out_dir: &Path,
    files: &[(String, Artifact)],
    (mut record, named): (Record, &BTreeSet<String>),
) -> Result<Vec<String>, EngineError> {
    let mut sums = Sums::read(out_dir);
    let known = StatCache::open(&store.root().join("placed"));
    let mut notes = Vec::new();
    for (file, artifact) in files {
        let dest = out_dir.join(below(file)?);
        let folder = dest.parent().unwrap_or(out_dir);
        fs::create_dir_all(folder).map_err(EngineError::io(format!("cannot make {}", folder.display())))?;
        let gone = || EngineError::Damaged { what: format!("the artifact for {file}") };
        let reading = || format!("cannot read the artifact for {}", dest.display());
        let object = store.object(&artifact.digest).map_err(EngineError::store(reading()))?.ok_or_else(gone)?;
        remove_stale(&dest);
        if !is_the_same(&known, &dest, &object)? {
            store.object_read(&artifact.digest).map_err(EngineError::store(reading()))?.ok_or_else(gone)?;
            if fs::symlink_metadata(&dest).is_ok_and(|meta| meta.is_dir()) {
                notes.push(format!("{} is a directory; remove it", dest.display()));
            }
            imgc_store::place::place(&object, &dest)
                .map_err(EngineError::store(format!("cannot put {} in place", dest.display())))?;
        }
        sums.0.insert(file.clone(), object.sha256);
        record.files.insert(file.clone(), object.sha256);
    }
    notes.extend(record.drop_unnamed(named, out_dir, &mut sums)?);
    fail_point!("export.files");
    sums.write(out_dir)?;
    record.write()?;
    if let Err(error) = known.save() {
        // They are read again the next time, that is all.
        tracing::debug!("the digests of placed files were not kept: {error}");
    }
    Ok(notes)
}

/// Whether the file at `dest` has the object's bytes: a file that was changed by its user, a started disk for instance,
/// must not pass for what was built. It is read only where its size is right and its stat is new.
fn is_the_same(known: &StatCache, dest: &Path, object: &Object) -> Result<bool, EngineError> {
    match fs::symlink_metadata(dest) {
        Ok(meta) if meta.is_file() && meta.len() == object.size => {}
        Ok(_) | Err(_) => return Ok(false),
    }
    let there = known.digest(dest).map_err(EngineError::io(format!("cannot read {}", dest.display())))?;
    Ok(there == object.digest)
}

/// What a package has put into one output directory, so that it takes away what no output names any more and nothing
/// else: several packages may share a directory.
#[derive(Debug, Default)]
struct Record {
    path: PathBuf,
    files: BTreeMap<String, Sha256>,
}

impl Record {
    fn of(store: &Store, package: &str, out_dir: &Path) -> Self {
        let key = Digest::of(format!("{package}\0{}", out_dir.display()).as_bytes()).short();
        let path = store.root().join("outputs").join(format!("{key}.json"));
        // One that cannot be read only means that old files stay.
        let files = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self { path, files }
    }

    /// Removes files that no output names any more and that are as they were put there; says so.
    fn drop_unnamed(
        &mut self,
        named: &BTreeSet<String>,
        out_dir: &Path,
        sums: &mut Sums,
    ) -> Result<Vec<String>, EngineError> {
        let old: Vec<(String, Sha256)> =
            self.files.iter().filter(|(file, _)| !named.contains(*file)).map(|(f, sum)| (f.clone(), *sum)).collect();
        let mut notes = Vec::new();
        for (file, sum) in old {
            self.files.remove(&file);
            if sums.0.get(&file) == Some(&sum) {
                sums.0.remove(&file);
            }
            let path = out_dir.join(below(&file)?);
            if !fs::symlink_metadata(&path).is_ok_and(|found| found.is_file()) {
                continue;
            }
            let shown = path.display();
            if hash_file(&path).is_ok_and(|hashed| hashed.sha256 == sum) {
                fs::remove_file(&path).map_err(EngineError::io(format!("cannot remove {shown}")))?;
                // The folder of a list of outputs, if it was the last of them; others keep theirs.
                let _ = path.parent().filter(|folder| *folder != out_dir).map(fs::remove_dir);
                notes.push(format!("{shown} was removed: no output names it any more"));
            } else {
                notes.push(format!("{shown} is named by no output any more; it was changed, and stays"));
            }
        }
        Ok(notes)
    }

    fn write(&self) -> Result<(), EngineError> {
        let doing = format!("cannot write {}", self.path.display());
        let bytes =
            serde_json::to_vec(&self.files).map_err(|error| EngineError::Internal { message: error.to_string() })?;
        if fs::read(&self.path).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).map_err(EngineError::io(doing.clone()))?;
        }
        write_file(&self.path, &bytes, Durable::Later).map_err(EngineError::store(doing))
    }
}

/// `SHA256SUMS`: by file, as `sha256sum -c` reads it.
struct Sums(BTreeMap<String, Sha256>);

impl Sums {
    const NAME: &'static str = "SHA256SUMS";

    /// The lines for files that are still there; nothing where there is no such file or it is not ours.
    fn read(out_dir: &Path) -> Self {
        let text = fs::read_to_string(out_dir.join(Self::NAME)).unwrap_or_default();
        let line = |line: &str| {
            let (sum, file) = line.split_once("  ")?;
            out_dir.join(below(file).ok()?).is_file().then_some((file.to_owned(), sum.parse().ok()?))
        };
        Self(text.lines().filter_map(line).collect())
    }

    fn write(&self, out_dir: &Path) -> Result<(), EngineError> {
        let lines: Vec<String> = self.0.iter().map(|(file, sum)| format!("{sum}  {file}\n")).collect();
        let text = lines.concat();
        let path = out_dir.join(Self::NAME);
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            return Ok(());
        }
        let doing = format!("cannot write {}", path.display());
        write_file(&path, text.as_bytes(), Durable::Later).map_err(EngineError::store(doing))
    }
}
