//! The rootfs backend behind the names of the fake's kinds: sources are archives that are unpacked, steps are shells in
//! namespaces on overlayfs, layers are captured trees, artifacts are archives of images.
//!
//! What a step of the suite does is told in its content; here that becomes a script. All else is the backend's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use imgc_backend::{
    Artifact, ArtifactInput, Backend, BackendError, CameUp, Channel, Close, Closed, CommitCost, Cx, Effect, Exec, Exit,
    Keep, Kind, Layer, LayerId, Machine, MachineSpec, Offers, Output, Placement, Presence, Program, Recovered, Refusal,
    Resources, States,
};
use imgc_plan::{Digest, FileRef, Fingerprint, Locked, Node, Value};
use imgc_rootfs::Rootfs;
use imgc_store::Store;

use crate::fake::{Seen, refuse, text};

pub(crate) struct Real {
    offers: Offers,
    inner: Rootfs,
    seen: Arc<Seen>,
    /// Where archives for sources are made.
    dir: PathBuf,
    /// By the content of a step: the tree that it left.
    trees: Arc<Mutex<BTreeMap<String, LayerId>>>,
}

impl Real {
    pub(crate) fn new(store: Arc<Store>, seen: Arc<Seen>, dir: &Path) -> Self {
        let kind = |name| Kind { name, revision: 1 };
        let inner = Rootfs::new(store);
        let offers = Offers {
            backend: "fake",
            sources: vec![kind("fake.source")],
            steps: vec![kind("do")],
            artifacts: vec![kind("fake.file")],
            needs: Vec::new(),
            commit: inner.offers().commit,
            states: inner.offers().states,
            machine: Vec::new(),
        };
        assert_eq!((offers.commit, offers.states), (CommitCost::Free, States::Content));
        Self { offers, inner, seen, dir: dir.to_owned(), trees: Arc::default() }
    }

    /// As an imgc does its steps that is newer by some revisions.
    pub(crate) fn revised(mut self, revision: u32) -> Self {
        for kind in &mut self.offers.steps {
            kind.revision = revision;
        }
        self
    }

    /// Takes away what the step with this content left.
    pub(crate) fn evict(&self, store: &Store, content: &str) {
        let LayerId(digest) = self.trees.lock().unwrap()[content];
        let tree = store.tree(&digest).unwrap().unwrap();
        std::fs::remove_dir_all(tree.dir.parent().unwrap()).unwrap();
    }

    /// A root file system of busybox alone, with this text in it.
    fn archive(&self, content: &str) -> PathBuf {
        let name = Digest::of(content.as_bytes()).short();
        let (root, archive) = (self.dir.join(format!("base-{name}")), self.dir.join(format!("base-{name}.tar")));
        if archive.exists() {
            return archive;
        }
        for folder in ["bin", "etc", "tmp"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        std::fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        for tool in ["sh", "cat", "echo", "sleep"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(tool)).unwrap();
        }
        std::fs::write(root.join("etc/base"), content).unwrap();
        let mut tar = Command::new("tar");
        tar.args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "-C"]).arg(&root);
        assert!(tar.arg("-cf").arg(&archive).arg(".").status().unwrap().success());
        archive
    }
}

#[async_trait::async_trait]
impl Backend for Real {
    fn offers(&self) -> &Offers {
        &self.offers
    }

    fn needs(&self, node: &Node, machine: &serde_json::Value) -> Result<Resources, Refusal> {
        refuse(node, &self.seen)?;
        self.inner.needs(node, machine)
    }

    async fn lock(&self, source: &Node, _cx: &Cx) -> Result<Locked, BackendError> {
        Ok(crate::fake::locked(source, &self.seen))
    }

    async fn import(&self, source: &Node, locked: &Locked, cx: &Cx) -> Result<Layer, BackendError> {
        let archive = self.archive(text(source, "content"));
        let bytes = std::fs::read(&archive).unwrap();
        let (path, digest, size) = (archive.display().to_string(), Digest::of(&bytes), bytes.len() as u64);
        let file = Value::from(FileRef { path, digest, mode: 0o644, size });
        let node = Node { kind: "rootfs.tar".into(), args: [("file".into(), file)].into(), ..source.clone() };
        let layer = self.inner.import(&node, locked, cx).await?;
        self.seen.ran.lock().unwrap().push(source.address.0.clone());
        Ok(layer)
    }

    async fn present(&self, layers: &[Layer], cx: &Cx) -> Result<Vec<Presence>, BackendError> {
        self.inner.present(layers, cx).await
    }

    async fn open(&self, on: &Layer, spec: &MachineSpec, cx: &Cx) -> Result<(Box<dyn Machine>, CameUp), BackendError> {
        let (machine, came_up) = self.inner.open(on, spec, cx).await?;
        self.seen.opened.fetch_add(1, Ordering::SeqCst);
        self.seen.alive.fetch_add(1, Ordering::SeqCst);
        let (seen, trees) = (self.seen.clone(), self.trees.clone());
        let alive = Alive(seen.clone());
        Ok((Box::new(RealMachine { machine, seen, trees, last: String::new(), _alive: alive }), came_up))
    }

    async fn make(&self, node: &Node, inputs: &[ArtifactInput], cx: &Cx) -> Result<Artifact, BackendError> {
        let args = [("of".into(), node.args["image"].clone())].into();
        let archive = Node { kind: "oci.archive".into(), args, ..node.clone() };
        let artifact = self.inner.make(&archive, inputs, cx).await?;
        self.seen.ran.lock().unwrap().push(node.address.0.clone());
        Ok(artifact)
    }

    /// The effects that tests write down themselves are nobody's.
    async fn recover(&self, effect: &Effect, _cx: &Cx) -> Result<Recovered, BackendError> {
        self.seen.recovered.lock().unwrap().push(effect.token.clone());
        Ok(Recovered::Destroyed)
    }

    fn parked(&self, effect: &Effect) -> Option<Layer> {
        self.inner.parked(effect)
    }

    fn layer_size(&self, layer: &Layer) -> u64 {
        self.inner.layer_size(layer)
    }
}

/// Counts a machine for as long as it is there.
struct Alive(Arc<Seen>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

struct RealMachine {
    machine: Box<dyn Machine>,
    seen: Arc<Seen>,
    trees: Arc<Mutex<BTreeMap<String, LayerId>>>,
    /// The content of the last step.
    last: String,
    _alive: Alive,
}

#[async_trait::async_trait]
impl Machine for RealMachine {
    async fn channel(&mut self, _cx: &Cx) -> Result<&mut dyn Channel, BackendError> {
        Ok(self)
    }

    async fn commit(&mut self, step: &Fingerprint, keep: Keep, cx: &Cx) -> Result<Layer, BackendError> {
        let layer = self.machine.commit(step, keep, cx).await?;
        self.trees.lock().unwrap().extend(layer.chain.last().map(|top| (self.last.clone(), *top)));
        Ok(layer)
    }

    async fn close(self: Box<Self>, how: Close, cx: &Cx) -> Result<Closed, BackendError> {
        self.machine.close(how, cx).await
    }
}

#[async_trait::async_trait]
impl Channel for RealMachine {
    async fn exec(&mut self, exec: &Exec, output: Output<'_>, cx: &Cx) -> Result<Exit, BackendError> {
        let Program::Script { text, .. } = &exec.program else {
            return self.machine.channel(cx).await?.exec(exec, output, cx).await;
        };
        self.last.clone_from(text);
        let program = Program::Script {
            interpreter: vec!["/bin/sh".to_owned(), "-eu".to_owned()],
            text: script(text, exec.timeout.unwrap_or_default()),
        };
        let exec = Exec { program, timeout: None, ..exec.clone() };
        let now = self.seen.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.seen.most.fetch_max(now, Ordering::SeqCst);
        let ended = match self.machine.channel(cx).await {
            Ok(channel) => channel.exec(&exec, output, cx).await,
            Err(error) => Err(error),
        };
        self.seen.running.fetch_sub(1, Ordering::SeqCst);
        ended
    }

    async fn put(&mut self, placement: &Placement, cx: &Cx) -> Result<(), BackendError> {
        self.machine.channel(cx).await?.put(placement, cx).await
    }
}

/// What a step with this content does: it fails, it leaves something else each time, or it leaves its content, beside
/// that of all before it. The empty one changes nothing.
fn script(content: &str, takes: Duration) -> String {
    let takes = takes.as_secs_f64();
    let does = match content.strip_prefix("fail ") {
        Some(code) => format!("echo '{content}' >> /content\nexit {code}"),
        None if content == "random" => "cat /proc/sys/kernel/random/uuid > /content".to_owned(),
        None if content.is_empty() => String::new(),
        None => format!("echo '{content}' >> /content"),
    };
    format!("echo begin\necho 'ran {content}'\nsleep {takes}\n{does}\n")
}
