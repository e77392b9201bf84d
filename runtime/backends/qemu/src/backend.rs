//! The backend: what it offers, and which part of this crate does what of it.

use std::sync::{Arc, LazyLock};

use imgc_backend::{
    Artifact, ArtifactInput, Backend, BackendError, CameUp, CommitCost, Cx, Effect, Kind, Layer, LayerId,
    Machine as Live, MachineSpec, MemoryPart, Need, Offers, Presence, Recovered, Refusal, Resources, Shape, States,
    TrimmedMemory,
};
use imgc_plan::{Locked, Node, Work};
use imgc_store::Store;

use crate::host::{self, Host};
use crate::machine::QemuMachine;
use crate::record::Machine;
use crate::{artifact, direct, errors, memory, park, ship, source};

/// The backend's name in plans and layers.
pub(crate) const NAME: &str = "qemu";

/// Images as virtual machines: layers on qcow2, guests that go on where they were.
///
/// `tokio` must run with its I/O and timers.
#[derive(Debug)]
pub struct Qemu {
    store: Arc<Store>,
}

impl Qemu {
    /// The backend over this store.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// What it can do, without a store.
    pub fn static_offers() -> &'static Offers {
        static OFFERS: LazyLock<Offers> = LazyLock::new(offers);
        &OFFERS
    }

    /// The shapes of the arguments of its sources and artifacts.
    pub fn shapes() -> Vec<Shape> {
        vec![
            Shape::of::<source::DiskArgs>(
                "qemu.disk",
                1,
                serde_json::json!({"image": "https://example.org/disk.qcow2"}),
            ),
            Shape::of::<artifact::ConvertArgs>("disk.convert", 1, serde_json::json!({"of": 0, "format": "raw"})),
            Shape::of::<direct::DirectArgs>(artifact::DIRECT, 1, serde_json::json!({"of": 0})),
        ]
    }
}

impl Qemu {
    /// The shape of the machine record, which is no argument of a node.
    pub fn machine() -> Shape {
        Shape::of::<Machine>("qemu.Machine", 1, serde_json::json!({}))
    }
}

fn offers() -> Offers {
    let first = |name| Kind { name, revision: 1 };
    let need = |program, purpose, package, kinds| Need { program, purpose, package, kinds };
    Offers {
        backend: NAME,
        sources: vec![first("qemu.disk")],
        steps: imgc_guest::shapes().iter().map(|shape| Kind { name: shape.kind, revision: shape.revision }).collect(),
        artifacts: vec![first("disk.convert"), first(artifact::DIRECT)],
        needs: vec![
            need("qemu-img", "disks of virtual machines", "qemu-utils", &["qemu.disk", "disk.convert"]),
            need("qemu-system-x86_64", "virtual machines", "qemu-system-x86", &[]),
            need("/usr/share/OVMF/OVMF_CODE.fd", "virtual machines that boot by UEFI", "ovmf", &[]),
            need("swtpm", "virtual machines with a TPM", "swtpm", &[]),
        ],
        commit: CommitCost::Free,
        states: States::Made,
        // What changes the bytes on the disk. Memory, processors and the way in do not.
        machine: vec!["board", "firmware", "tpm", "disk", "disks", "nics", "seed"],
    }
}

/// Whether such a machine can be on this host.
fn possible(machine: &Machine, node: &Node) -> Result<(), Refusal> {
    Host::find(&node.platform)?;
    machine.check(host::memory_size(), host::processors())?;
    host::firmware(machine, &node.platform)?;
    if machine.tpm && host::find_program("swtpm").is_none() {
        return Err(host::missing("swtpm", "swtpm"));
    }
    Ok(())
}

#[async_trait::async_trait]
impl Backend for Qemu {
    fn offers(&self) -> &Offers {
        Self::static_offers()
    }

    fn needs(&self, node: &Node, machine: &serde_json::Value) -> Result<Resources, Refusal> {
        if host::find_program("qemu-img").is_none() {
            return Err(host::missing("qemu-img", "qemu-utils"));
        }
        let machine = Machine::read(machine).map_err(|error| Refusal {
            message: error.to_string(),
            help: None,
            fault: imgc_backend::Fault::Internal,
        })?;
        match &node.work {
            Work::Artifact(_) => return Ok(Resources { cpus: 1, memory: 256 << 20, machines: 0, disk: 2 << 30 }),
            Work::Source(_) => {
                possible(&machine, node)?;
                return Ok(Resources { cpus: 1, memory: 64 << 20, machines: 0, disk: 1 << 30 });
            }
            // Said once for an image: what no step can run on is refused at the first of them.
            Work::Step(step) if step.on == step.source => possible(&machine, node)?,
            Work::Step(_) => {}
        }
        // What QEMU itself takes comes on top.
        Ok(Resources { cpus: machine.cpus, memory: machine.memory + (256 << 20), machines: 1, disk: 1 << 30 })
    }

    async fn lock(&self, source: &Node, cx: &Cx) -> Result<Locked, BackendError> {
        source::lock(&self.store, source, cx).await
    }

    async fn import(&self, source: &Node, locked: &Locked, cx: &Cx) -> Result<Layer, BackendError> {
        source::import(&self.store, source, locked, cx).await
    }

    async fn present(&self, layers: &[Layer], _cx: &Cx) -> Result<Vec<Presence>, BackendError> {
        let (store, layers) = (Arc::clone(&self.store), layers.to_vec());
        let look = move || {
            let there =
                |layer: &Layer| layer.chain.iter().all(|LayerId(id)| store.object(id).is_ok_and(|o| o.is_some()));
            layers.iter().map(|layer| if there(layer) { Presence::Present } else { Presence::Gone }).collect()
        };
        tokio::task::spawn_blocking(look).await.map_err(errors::panicked)
    }

    async fn open(&self, on: &Layer, spec: &MachineSpec, cx: &Cx) -> Result<(Box<dyn Live>, CameUp), BackendError> {
        if spec.shipped {
            let shipped = ship::shipped(&self.store, on, spec, cx).await?;
            let (machine, _) = QemuMachine::open(&self.store, &shipped, spec, cx).await?;
            // It was meant to start anew: there is no reason to give.
            return Ok((Box::new(machine), CameUp::Started { why: None }));
        }
        let (machine, came_up) = QemuMachine::open(&self.store, on, spec, cx).await?;
        Ok((Box::new(machine), came_up))
    }

    async fn make(&self, node: &Node, inputs: &[ArtifactInput], cx: &Cx) -> Result<Artifact, BackendError> {
        artifact::make(&self.store, node, inputs, cx).await
    }

    async fn recover(&self, effect: &Effect, _cx: &Cx) -> Result<Recovered, BackendError> {
        park::recover(effect).await
    }

    async fn enter(&self, effect: &Effect, spec: &MachineSpec, cx: &Cx) -> Result<Option<Box<dyn Live>>, BackendError> {
        park::enter(&self.store, effect, spec, cx).await
    }

    fn layer_size(&self, layer: &Layer) -> u64 {
        let top = layer.chain.last().and_then(|LayerId(digest)| self.store.object(digest).ok().flatten());
        top.map_or(0, |object| object.size)
    }

    fn memory_parts(&self) -> Vec<MemoryPart> {
        memory::all(&self.store)
    }

    fn trim_memory(&self, budget: Option<u64>) -> TrimmedMemory {
        memory::trim(&self.store, budget)
    }
}
