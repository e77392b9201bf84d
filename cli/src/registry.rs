//! Everything that is built in, by the name users write: the one place that lists backends and knows who runs steps.

use std::sync::Arc;

use imgc_backend::{Backend, BackendError, Channel, Cx, Need, Output};
use imgc_engine::{Backends, StepEnvironment, StepRunner};
use imgc_plan::Node;
use imgc_qemu::Qemu;
use imgc_rootfs::Rootfs;
use imgc_store::Store;

/// All backends.
pub(crate) fn backends(store: &Arc<Store>) -> Backends {
    let all: [Arc<dyn Backend>; 2] = [Arc::new(Rootfs::new(store.clone())), Arc::new(Qemu::new(store.clone()))];
    all.into_iter().map(|backend| (backend.offers().backend, backend)).collect()
}

/// Runs steps by `imgc-guest`.
pub(crate) struct Guest;

#[async_trait::async_trait]
impl StepRunner for Guest {
    async fn run(
        &self,
        node: &Node,
        channel: &mut dyn Channel,
        cx: &Cx,
        output: Output<'_>,
    ) -> Result<(), BackendError> {
        imgc_guest::run_step(node, channel, cx, output).await
    }

    fn environment(&self, node: &Node) -> StepEnvironment {
        match imgc_guest::environment(node) {
            Some(exec) => {
                StepEnvironment { env: exec.env, user: exec.user, workdir: exec.workdir, network: exec.network }
            }
            None => StepEnvironment::default(),
        }
    }
}

/// The host tools of all backends.
pub(crate) fn needs() -> Vec<Need> {
    Rootfs::static_offers().needs.clone()
}
