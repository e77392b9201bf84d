//! The backend: what it offers, and which part of this crate does what of it.

use std::sync::{Arc, LazyLock};

use imgc_backend::{
    Artifact, ArtifactInput, Backend, BackendError, CameUp, CommitCost, Cx, Effect, Fault, Layer, LayerId, Machine,
    MachineSpec, Need, Offers, Presence, Recovered, Refusal, Resources, Shape, States, Wanted,
};
use imgc_plan::{Locked, Node, Value};
use imgc_store::Store;

use crate::machine::RootfsMachine;
use crate::{artifact, enter, errors, find, keeper, park, source};

/// The backend's name in plans and layers.
pub(crate) const NAME: &str = "rootfs";

/// Images as root file systems: layers on overlayfs, steps in namespaces.
///
/// [`crate::enter()`] must have been called, and `tokio` must run with its I/O and timers.
#[derive(Debug, Clone)]
pub struct Rootfs {
    store: Arc<Store>,
}

impl Rootfs {
    /// The backend over this store. Settings come with each call, in its `Cx`.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// What its sources and artifacts read, to be compared with their declarations; its steps are those of the guest.
    pub fn shapes() -> Vec<Shape> {
        [source::shapes(), artifact::shapes()].concat()
    }

    /// What it can do, without a store.
    pub fn static_offers() -> &'static Offers {
        static OFFERS: LazyLock<Offers> = LazyLock::new(offers);
        &OFFERS
    }
}

fn offers() -> Offers {
    let need = |program, purpose, package, kinds| Need { program, purpose, package, kinds };
    Offers {
        backend: NAME,
        sources: source::shapes().iter().map(Shape::offered).collect(),
        steps: imgc_guest::shapes().iter().map(Shape::offered).collect(),
        artifacts: artifact::shapes().iter().map(Shape::offered).collect(),
        needs: vec![
            need("mmdebstrap", "the source rootfs.debian", "mmdebstrap", &["rootfs.debian"]),
            need("apt-get", "the source rootfs.debian", "apt", &["rootfs.debian"]),
            need(source::KEYRING, "the source rootfs.debian", "debian-archive-keyring", &["rootfs.debian"]),
            need("slirp4netns", "a network of their own for steps", "slirp4netns", &[]),
            need("pasta", "a network of their own for steps of ordinary users", "passt", &[]),
            need("newuidmap", "building as an ordinary user", "uidmap", &[]),
        ],
        commit: CommitCost::Free,
        states: States::Content,
        machine: Vec::new(),
    }
}

#[async_trait::async_trait]
impl Backend for Rootfs {
    fn offers(&self) -> &Offers {
        Self::static_offers()
    }

    fn needs(&self, node: &Node, _machine: &serde_json::Value) -> Result<Resources, Refusal> {
        if node.platform.os != "linux" {
            let message = format!("the rootfs backend builds images for Linux, not for {}", node.platform.os);
            return Err(Refusal { message, help: None, fault: Fault::Program });
        }
        let host = source::host_architecture();
        if node.platform.arch != host && node.kind != "copy" && node.kind != "write" {
            return Err(Refusal {
                message: format!("programs for {} cannot run on this host, which is {host}", node.platform.arch),
                help: Some(format!("build for linux/{host}, or on a host of that architecture")),
                fault: Fault::Environment,
            });
        }
        if imgc_guest::restarts(node) {
            return Err(Refusal {
                message: "a root file system has no boot of its own and cannot restart".to_owned(),
                help: Some(
                    "leave the step out, or build the image on a virtual machine, such as `qemu.disk`".to_owned(),
                ),
                fault: Fault::Program,
            });
        }
        artifact::refuse(node)?;
        let missing = |need: &&Need| need.kinds.contains(&node.kind.as_str()) && !is_there(need.program);
        if let Some(need) = self.offers().needs.iter().find(missing) {
            return Err(Refusal {
                message: format!("{} needs {}, which is not installed here", node.kind, need.program),
                help: Some(format!("install it: `sudo apt-get install {}`; `imgc doctor` tells all", need.package)),
                fault: Fault::Environment,
            });
        }
        let (memory, disk) = match node.kind.as_str() {
            "rootfs.debian" => (512 << 20, 1 << 30),
            "disk.image" => (256 << 20, 2 << 30),
            _ => (64 << 20, 64 << 20),
        };
        Ok(Resources { cpus: 1, memory, machines: 0, disk })
    }

    fn pins(&self, source: &Node) -> bool {
        !matches!(source.kind.as_str(), "rootfs.tar" | "rootfs.scratch")
    }

    async fn lock(&self, source: &Node, cx: &Cx) -> Result<Locked, BackendError> {
        source::lock(&self.store, source, cx).await
    }

    async fn import(&self, source: &Node, locked: &Locked, cx: &Cx) -> Result<Layer, BackendError> {
        source::import(&self.store, source, locked, cx).await
    }

    fn find(&self, layer: &Layer, path: &str, wanted: Wanted) -> Result<Value, BackendError> {
        find::find(&self.store, layer, path, wanted)
    }

    async fn present(&self, layers: &[Layer], _cx: &Cx) -> Result<Vec<Presence>, BackendError> {
        let store = Arc::clone(&self.store);
        let chains: Vec<Vec<_>> = layers.iter().map(|layer| layer.chain.iter().map(|id| id.0).collect()).collect();
        let look = move || {
            // Chains of one image begin with the same layers; each is looked up once.
            let mut all: Vec<_> = chains.iter().flatten().copied().collect();
            all.sort_unstable();
            all.dedup();
            let there = store.has_trees(&all);
            let has = |digest: &_| all.binary_search(digest).is_ok_and(|at| there.get(at) == Some(&true));
            let presence = |chain: &Vec<_>| {
                if chain.iter().all(&has) { Presence::Present } else { Presence::Gone }
            };
            chains.iter().map(presence).collect()
        };
        tokio::task::spawn_blocking(look).await.map_err(errors::panicked)
    }

    async fn open(&self, on: &Layer, _spec: &MachineSpec, cx: &Cx) -> Result<(Box<dyn Machine>, CameUp), BackendError> {
        let (store, layer, cx) = (Arc::clone(&self.store), on.clone(), cx.clone());
        let opened = tokio::task::spawn_blocking(move || RootfsMachine::open(&store, &layer, &cx));
        let machine = opened.await.map_err(errors::panicked)??;
        Ok((Box::new(machine), CameUp::Started { why: None }))
    }

    async fn make(&self, node: &Node, inputs: &[ArtifactInput], cx: &Cx) -> Result<Artifact, BackendError> {
        let (store, node, inputs, cx) = (Arc::clone(&self.store), node.clone(), inputs.to_vec(), cx.clone());
        let make = move || artifact::make(&store, &node, &inputs, &cx);
        tokio::task::spawn_blocking(make).await.map_err(errors::panicked)?
    }

    /// Nothing of this backend outlives a run but parked trees; keepers, for the moment in which they clean up; and
    /// scratch, which they and the store's sweep remove.
    async fn recover(&self, effect: &Effect, _cx: &Cx) -> Result<Recovered, BackendError> {
        let (store, effect) = (Arc::clone(&self.store), effect.clone());
        let recover =
            move || if park::is_one(&effect) { park::recover(&store, &effect) } else { keeper::recover(&effect) };
        tokio::task::spawn_blocking(recover).await.map_err(errors::panicked)?
    }

    fn parked(&self, effect: &Effect) -> Option<Layer> {
        park::layer(effect)
    }

    fn layer_size(&self, layer: &Layer) -> u64 {
        let top = layer.chain.last().and_then(|LayerId(digest)| self.store.tree(digest).ok().flatten());
        top.map_or(0, |tree| tree.size)
    }
}

fn is_there(program: &str) -> bool {
    if program.starts_with('/') {
        std::path::Path::new(program).exists()
    } else {
        enter::find_program(program).is_some()
    }
}
