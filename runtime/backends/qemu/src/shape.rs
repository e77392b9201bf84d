//! A machine record with all that this host says to it: which program, which accelerator, which firmware.

use imgc_backend::{BackendError, Cx, Event, Refusal};
use imgc_guest::agent;
use imgc_plan::{Digest, Platform};
use imgc_store::Store;

use crate::command;
use crate::host::{self, Firmwares, Host, Keeping};
use crate::images::Grain;
use crate::memory::Class;
use crate::probe;
use crate::record::{Accelerator, Machine};

/// A machine that can be started here.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) host: Host,
    pub(crate) machine: Machine,
    pub(crate) platform: Platform,
    pub(crate) firmwares: Option<Firmwares>,
    /// The machine as the guest sees it.
    pub(crate) fixed: Vec<String>,
    /// Whether its memory can be kept, and if not why.
    pub(crate) keeping: Result<Keeping, String>,
}

impl Shape {
    /// Looks up what the record needs.
    pub(crate) async fn new(
        record: &serde_json::Value,
        platform: &Platform,
        store: &Store,
        cx: &Cx,
    ) -> Result<Self, BackendError> {
        let machine = Machine::read(record)?;
        machine.check(host::memory_size(), host::processors()).map_err(refused)?;
        let host = Host::find(platform).map_err(refused)?;
        let firmwares = host::firmware(&machine, platform).map_err(refused)?;
        let seen = host.seen(store, platform).await?;
        let accelerator = match machine.accelerator {
            Accelerator::Auto => {
                say_once(seen.why.as_deref(), cx);
                seen.accelerator
            }
            Accelerator::Tcg => Accelerator::Tcg,
            named @ (Accelerator::Kvm | Accelerator::Hvf | Accelerator::Whpx) if named == seen.accelerator => named,
            named @ (Accelerator::Kvm | Accelerator::Hvf | Accelerator::Whpx) => {
                probe::works(&host, store, platform, named).await?.map_err(|why| BackendError::Environment {
                    message: format!("the accelerator that the machine record asks for does not work here: {why}"),
                    help: Some("leave `accelerator` out: imgc then takes what works".to_owned()),
                })?;
                named
            }
        };
        let fixed = command::fixed(&machine, accelerator, firmwares.as_ref(), platform);
        // What a TPM holds goes with the state of the devices.
        let keeping = seen.memory;
        Ok(Self { host, machine, platform: platform.clone(), firmwares, fixed, keeping })
    }

    /// How finely what guests give back is taken out of the images that they write to: what held a secret of a seed has to
    /// go whole.
    pub(crate) fn grain(&self) -> Grain {
        if self.has_secret_seed() { Grain::Block } else { Grain::Usual }
    }

    /// Whether what cloud-init is told is nobody else's business.
    pub(crate) fn has_secret_seed(&self) -> bool {
        self.machine.seed.as_ref().is_some_and(|seed| seed.user_data.plain().is_none())
    }

    /// What a memory part has to fit.
    pub(crate) fn class(&self) -> Class {
        let agent = agent::binary(architecture(&self.platform)).map(|bytes| Digest::of(bytes).to_string());
        Class { build: self.host.build.clone(), agent: agent.unwrap_or_default(), machine: self.fixed.clone() }
    }
}

/// The architecture of a platform as compilers name it.
pub(crate) fn architecture(platform: &Platform) -> &str {
    match platform.arch.as_str() {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        other => other,
    }
}

/// A refusal that comes when something is about to start.
pub(crate) fn refused(refusal: Refusal) -> BackendError {
    let Refusal { message, help, fault } = refusal;
    match fault {
        imgc_backend::Fault::Program => BackendError::Program { message, help },
        imgc_backend::Fault::Build
        | imgc_backend::Fault::Environment
        | imgc_backend::Fault::NotBuilt
        | imgc_backend::Fault::Interrupted
        | imgc_backend::Fault::Internal => BackendError::Environment { message, help },
    }
}

/// Says why guests are emulated, once in a run.
fn say_once(why: Option<&str>, cx: &Cx) {
    static SAID: std::sync::Once = std::sync::Once::new();
    if let Some(why) = why {
        SAID.call_once(|| cx.events.send(Event::Note { text: format!("guests are emulated, which is slow: {why}") }));
    }
}
