//! A live virtual machine: opened on a layer, committed step by step, ended.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Instant;

use imgc_backend::{
    BackendError, CameUp, Channel, Close, Closed, Cx, Keep, Layer, LayerId, Machine as Live, MachineSpec,
};
use imgc_plan::{Digest, Fingerprint, State};
use imgc_store::{Scratch, Store};

use crate::command::{self, Image, Ram, file};
use crate::detail::Detail;
use crate::failure::Keeping;
use crate::further::{self, Further};
use crate::link::Link;
use crate::memory::{self, Part};
use crate::process::Qemu;
use crate::shape::Shape;
use crate::{booted, errors, images, scrub, seed, ship};

/// A running guest and what it stands on.
#[derive(Debug)]
pub(crate) struct QemuMachine {
    pub(crate) store: Arc<Store>,
    pub(crate) shape: Shape,
    pub(crate) link: Link,
    /// What it stands on.
    pub(crate) layer: Layer,
    /// The images below it, the highest being the one it writes to.
    pub(crate) chain: Vec<Image>,
    /// Its further disks.
    pub(crate) further: Vec<Further>,
    /// The name of the node that it writes to.
    top: String,
    count: u32,
    /// Whether its RAM is in a file that can be copied.
    pub(crate) shared: bool,
    /// Whether it has seen a secret: its RAM is in no layer from then on.
    secret: bool,
    /// Why the guest never came up. It is told when somebody wants to talk to it, so that the guest can be kept for a look.
    failed: Option<BackendError>,
    /// Held as long as the machine lives.
    using: Option<InUse>,
    pub(crate) scratch: Scratch,
}

/// How a machine is opened.
struct Opening<'a> {
    store: &'a Arc<Store>,
    shape: Shape,
    image: &'a str,
    on: &'a Layer,
    detail: Detail,
    /// The name under which the guest is kept when it has booted, and found again; none: it is not.
    booted: Option<String>,
    cx: &'a Cx,
}

impl QemuMachine {
    /// Opens a machine on a layer: takes up its memory part where one fits, else boots.
    pub(crate) async fn open(
        store: &Arc<Store>,
        on: &Layer,
        spec: &MachineSpec,
        cx: &Cx,
    ) -> Result<(Self, CameUp), BackendError> {
        let shape = Shape::new(&spec.machine, &spec.platform, store, cx).await?;
        let detail = Detail { machine: spec.machine.clone(), ..Detail::of(on) };
        let booted = booted::name(on, spec, &shape);
        let opening = Opening { store, shape, image: &spec.image, on, detail, booted, cx };
        let mut begun = Instant::now();
        let why = match opening.part() {
            Ok(Some(part)) => match opening.resume(&part).await {
                Ok(machine) => {
                    tracing::info!(ms = begun.elapsed().as_millis(), "a resumed guest answers");
                    return Ok((machine, CameUp::Resumed));
                }
                Err(BackendError::Interrupted) => return Err(BackendError::Interrupted),
                Err(error) => Some(format!("it could not be resumed: {error}")),
            },
            Ok(None) => None,
            Err(why) => Some(why),
        };
        begun = Instant::now();
        let mut machine = opening.boot().await?;
        tracing::info!(ms = begun.elapsed().as_millis(), "a booted guest answers");
        if let (Some(name), None) = (&opening.booted, &machine.failed) {
            booted::keep(&mut machine, name, cx).await?;
        }
        Ok((machine, CameUp::Started { why }))
    }

    /// Ends the guest by its own means, so that its disk can be shipped, and returns the images of that disk.
    pub(crate) async fn shut_down(mut self, cx: &Cx) -> Result<(Vec<Image>, Scratch), BackendError> {
        self.failed.take().map_or(Ok(()), Err)?;
        self.forget_seed(cx).await?;
        ship::clean(&mut self.link, cx).await?;
        ship::power_off(&mut self.link, cx).await?;
        Ok((self.chain, self.scratch))
    }

    /// What cloud-init keeps of secrets in the seed goes before anything of the disk is kept.
    async fn forget_seed(&mut self, cx: &Cx) -> Result<(), BackendError> {
        if self.shape.has_secret_seed() { scrub::scrub(&mut self.link, cx).await } else { Ok(()) }
    }

    /// The way to the guest, where it came up.
    pub(crate) fn link(&mut self) -> Result<&mut Link, BackendError> {
        self.failed.take().map_or(Ok(()), Err)?;
        Ok(&mut self.link)
    }

    async fn keep(&mut self, step: &Fingerprint, cx: &Cx) -> Result<Layer, BackendError> {
        self.forget_seed(cx).await?;
        let dir = self.scratch.path().to_owned();
        let size = Detail::of(&self.layer).size;
        // Made before the guest stops, so that it need not stand still for it.
        let next =
            images::overlay(&self.store, &images::fresh(&dir, &mut self.count), size, self.shape.grain(), cx).await?;
        let further = further::prepare(&self.store, &self.further, &dir, self.count, cx).await?;
        let name = format!("top{}", self.count);
        self.link.freeze(cx).await?;
        let begun = Instant::now();
        let taken = self.take(&name, &next, &further).await;
        let pause = begun.elapsed();
        // Whatever went wrong, the guest goes on; the first error is the one to tell.
        let thawed = self.link.thaw(cx).await;
        let memory = taken?;
        thawed?;
        tracing::info!(pause_ms = pause.as_millis(), "the guest stood still for its layer");
        let below = std::mem::replace(&mut self.top, name);
        tracing::debug!(below, "the layer is complete");
        let Some(complete) = self.chain.last_mut() else { return Err(no_disk()) };
        let made = complete.clone();
        let layer = self.publish(&made.path, step, memory).await?;
        let detail = Detail::of(&layer);
        self.chain = images::objects(&self.store, &further::first_disk(&layer, &detail), &detail.base)?;
        self.chain.push(next);
        for (disk, image) in self.further.iter_mut().zip(further) {
            disk.chain.push(image);
        }
        self.layer = layer;
        Ok(self.layer.clone())
    }

    /// Stops the guest, takes its disk and its memory as they are, and lets it go on. Returns the directory with the
    /// memory, or why there is none.
    async fn take(
        &mut self,
        name: &str,
        next: &Image,
        further: &[Image],
    ) -> Result<Result<PathBuf, String>, BackendError> {
        self.link.qemu.stop().await?;
        let taken = self.take_stopped(name, next, further).await;
        self.link.qemu.go().await?;
        taken
    }

    async fn take_stopped(
        &mut self,
        name: &str,
        next: &Image,
        further: &[Image],
    ) -> Result<Result<PathBuf, String>, BackendError> {
        self.link.qemu.next_image(&self.top, name, next).await?;
        further::switch(&mut self.link.qemu, &mut self.further, further, self.count).await?;
        let keeping = match &self.shape.keeping {
            Err(why) => return Ok(Err(why.clone())),
            Ok(_) if self.secret => return Ok(Err("the guest has seen a secret".to_owned())),
            Ok(keeping) => *keeping,
        };
        let (dir, shared) = (self.scratch.path().to_owned(), self.shared);
        if let Err(error) = self.link.qemu.save(keeping.saving(self.shared)).await {
            // The layer is whole without it, and the guest may need the room.
            let _ = std::fs::remove_file(dir.join(file::STATE));
            return Ok(Err(error.to_string()));
        }
        let copied = tokio::task::spawn_blocking(move || gather(&dir, shared)).await.map_err(errors::panicked)?;
        Ok(copied.map_err(|error| format!("its memory could not be kept: {error}")))
    }

    /// Moves what was taken into the store.
    async fn publish(
        &self,
        disk: &Path,
        step: &Fingerprint,
        memory: Result<PathBuf, String>,
    ) -> Result<Layer, BackendError> {
        let (store, disk, step, before) = (Arc::clone(&self.store), disk.to_owned(), *step, self.layer.clone());
        let class = self.shape.class();
        let mapped = self.shape.keeping.as_ref().is_ok_and(|keeping| keeping.saving(self.shared).mapped);
        let complete: Vec<Image> = self.further.iter().filter_map(|disk| disk.chain.last().cloned()).collect();
        let publish = move || {
            let mut detail = Detail { memory: None, why: None, ..Detail::of(&before) };
            if let Some(LayerId(below)) = further::first_disk(&before, &detail).last() {
                images::name_below(&disk, below)?;
            }
            let object = images::publish(&store, &disk)?;
            let mut layer = before;
            layer.chain.push(LayerId(object.digest));
            further::publish(&store, &complete, &mut layer, &mut detail)?;
            let chain: Vec<Digest> = layer.chain.iter().map(|id| id.0).collect();
            match memory {
                Ok(dir) => {
                    let id = format!("{}-{}", Digest::of(step.to_string().as_bytes()).short(), object.digest);
                    memory::keep(&store, &id, &dir, Some(step), class, chain, mapped)?;
                    detail.memory = Some(id);
                }
                Err(why) => detail.why = Some(why),
            }
            Ok(Layer { state: State::Made(step), detail: detail.json(), ..layer })
        };
        tokio::task::spawn_blocking(publish).await.map_err(errors::panicked)?
    }
}

impl Opening<'_> {
    /// The memory part that fits; none where there never was one; why, where there is one that does not serve.
    fn part(&self) -> Result<Option<Part>, String> {
        if let Err(why) = &self.shape.keeping {
            return Err(why.clone());
        }
        let Some(id) = &self.detail.memory else {
            // A layer of no step: the guest as it was when it had booted from it.
            let booted =
                self.booted.as_ref().and_then(|name| booted::find(self.store, name, self.on, &self.shape, self.cx));
            return self.detail.why.clone().map_or(Ok(booted), Err);
        };
        if self.cx.settings.cold {
            return Err("memory parts are not used in this run (`--cold`)".to_owned());
        }
        let chain: Vec<Digest> = self.on.chain.iter().map(|id| id.0).collect();
        memory::find(self.store, id, &self.shape.class(), &chain).map(Some)
    }

    async fn resume(&self, part: &Part) -> Result<QemuMachine, BackendError> {
        let scratch = self.scratch()?;
        let dir = scratch.path().to_owned();
        let using = InUse::of(&part.dir);
        // One machine goes on with a copy of the RAM, which it can keep again for the price of a copy. Many at a time
        // share the pages of the file, and what they keep later is written out whole.
        let shared = part.about.ram && using.alone;
        let ram = match (part.about.ram, shared) {
            (true, true) => {
                let (from, to) = (part.dir.join(file::RAM), dir.join(file::RAM));
                let copied = tokio::task::spawn_blocking(move || copy(&from, &to)).await.map_err(errors::panicked)?;
                copied.map_err(BackendError::io("cannot copy the memory of a guest"))?;
                Ram::Shared
            }
            (true, false) => Ram::Private(part.dir.join(file::RAM)),
            (false, _) => Ram::Anonymous,
        };
        let linked = std::os::unix::fs::symlink(part.dir.join(file::STATE), dir.join(file::STATE));
        linked.map_err(BackendError::io("cannot reach the saved state of a guest"))?;
        let kept = part.dir.join(file::DISK).exists().then_some(part.dir.as_path());
        let mut machine = self.start(scratch, &ram, true, kept).await?;
        machine.link.qemu.load(part.about.saving()).await?;
        let _ = std::fs::remove_file(dir.join(file::STATE));
        machine.link.qemu.go().await?;
        machine.link.after_resume(self.cx).await?;
        machine.link.look_up_port().await?;
        machine.shared = shared;
        machine.using = Some(using);
        Ok(machine)
    }

    async fn boot(&self) -> Result<QemuMachine, BackendError> {
        let mut machine = self.start(self.scratch()?, &Ram::Shared, false, None).await?;
        machine.shared = true;
        machine.link.qemu.go().await?;
        match machine.link.after_boot(self.cx).await {
            Ok(()) => {}
            Err(BackendError::Interrupted) => return Err(BackendError::Interrupted),
            Err(error) => machine.failed = Some(machine.link.explain(error, self.cx).await),
        }
        Ok(machine)
    }

    fn scratch(&self) -> Result<Scratch, BackendError> {
        self.store.scratch("guest").map_err(errors::store)
    }

    /// Starts QEMU; the guest stands still. It writes to images of its own, which begin as copies of those in `kept`.
    async fn start(
        &self,
        scratch: Scratch,
        ram: &Ram,
        incoming: bool,
        kept: Option<&Path>,
    ) -> Result<QemuMachine, BackendError> {
        let dir = scratch.path().to_owned();
        let mut chain = images::objects(self.store, &further::first_disk(self.on, &self.detail), &self.detail.base)?;
        let mut count = 0;
        let size = self.shape.machine.disk.unwrap_or(0).max(self.detail.size);
        let top = images::fresh(&dir, &mut count);
        chain.push(match kept {
            Some(kept) => images::copied(kept.join(file::DISK), top).await?,
            None => images::overlay(self.store, &top, size, self.shape.grain(), self.cx).await?,
        });
        if let Some(files) = &self.shape.firmwares {
            // Boot entries that a guest writes are not kept: a disk has to boot on machines that never saw it.
            let copied = std::fs::copy(&files.vars, dir.join(file::VARS));
            copied.map_err(BackendError::io(format!("cannot copy {}", files.vars.display())))?;
        }
        let Shape { host, machine, fixed, .. } = &self.shape;
        let (access, key) = seed::access(machine, self.store)?;
        let disc = match &machine.seed {
            Some(said) => Some(seed::attach(said, &machine.login.user, key.as_ref(), &dir, self.cx).await?),
            None => None,
        };
        let further = further::open(self.store, machine, &self.detail, &dir, kept, self.cx).await?;
        let argv = command::whole(host, fixed, machine, &chain, &further, ram, incoming);
        let beside = machine.tpm.then(command::tpm);
        let qemu = Qemu::start_beside(argv, beside, &dir, self.cx).await?;
        // QEMU has it open.
        drop(disc);
        let detail = Detail { size, ..self.detail.clone() };
        Ok(QemuMachine {
            store: Arc::clone(self.store),
            shape: self.shape.clone(),
            link: Link::new(qemu, dir, access, self.shape.platform.clone(), Keeping::new(self.store, self.image)),
            layer: Layer { detail: detail.json(), ..self.on.clone() },
            chain,
            further,
            top: "top".to_owned(),
            count,
            shared: false,
            secret: false,
            failed: None,
            using: None,
            scratch,
        })
    }
}

#[async_trait::async_trait]
impl Live for QemuMachine {
    async fn channel(&mut self, _cx: &Cx) -> Result<&mut dyn Channel, BackendError> {
        self.failed.take().map_or(Ok(()), Err)?;
        Ok(&mut self.link)
    }

    async fn commit(&mut self, step: &Fingerprint, keep: Keep, cx: &Cx) -> Result<Layer, BackendError> {
        self.secret |= !cx.needles().is_empty();
        match keep {
            Keep::Layer => self.keep(step, cx).await,
            Keep::State => {
                self.layer.state = State::Made(*step);
                Ok(self.layer.clone())
            }
        }
    }

    async fn close(self: Box<Self>, how: Close, cx: &Cx) -> Result<Closed, BackendError> {
        let mut machine = *self;
        match how {
            Close::Discard => {
                machine.link.qemu.kept.kill().await;
                Ok(Closed::Gone)
            }
            Close::ShutDown => {
                let (store, before) = (Arc::clone(&machine.store), machine.layer.clone());
                let (chain, scratch) = machine.shut_down(cx).await?;
                let layer = ship::as_layer(&store, &before, &chain).await?;
                drop(scratch);
                Ok(Closed::Shipped(Box::new(layer)))
            }
            Close::Park => crate::park::park(machine.link, machine.scratch, cx).await.map(Closed::Parked),
        }
    }
}

/// Puts the saved state and a copy of the RAM into a directory of their own.
pub(crate) fn gather(dir: &Path, shared: bool) -> std::io::Result<PathBuf> {
    let part = dir.join("part");
    // What an earlier try left, if it failed half-way.
    let _ = std::fs::remove_dir_all(&part);
    std::fs::create_dir(&part)?;
    std::fs::rename(dir.join(file::STATE), part.join(file::STATE))?;
    if shared && let Err(error) = copy(&dir.join(file::RAM), &part.join(file::RAM)) {
        // Where it has no room, what is there of it takes the guest's.
        let _ = std::fs::remove_dir_all(&part);
        return Err(error);
    }
    Ok(part)
}

/// A copy of a file of RAM: a reflink where the file system can, else without what was never written to.
pub(crate) fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    imgc_store::place::copy(from, to).map_err(std::io::Error::other)
}

fn no_disk() -> BackendError {
    BackendError::Internal { message: "a machine lost its disk".to_owned() }
}

/// How many machines of this process use each memory part.
static USES: LazyLock<Mutex<HashMap<PathBuf, usize>>> = LazyLock::new(Mutex::default);

/// A memory part in use by one machine.
#[derive(Debug)]
struct InUse {
    part: PathBuf,
    /// Whether no other machine used it when this one was opened.
    alone: bool,
}

impl InUse {
    fn of(part: &Path) -> Self {
        let mut uses = USES.lock().unwrap_or_else(PoisonError::into_inner);
        let count = uses.entry(part.to_owned()).or_default();
        *count += 1;
        Self { part: part.to_owned(), alone: *count == 1 }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut uses = USES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = uses.get_mut(&self.part) {
            *count -= 1;
            if *count == 0 {
                uses.remove(&self.part);
            }
        }
    }
}
