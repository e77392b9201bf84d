//! `restart`, and what a script does that restarts the machine: gone, back, and another boot.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use imgc_backend::{BackendError, Channel, Cx, Exec, Exit, Program, Stream};
use tokio::time::Instant;

use crate::Output;
use crate::args::RestartArgs;

/// Between two looks whether the machine has gone.
const LOOK: Duration = Duration::from_millis(500);

/// A look may take so long; one that does not return is a machine that is going.
const PATIENCE: Duration = Duration::from_secs(20);

/// How to ask for a restart, for whichever of these programs the guest has. It is asked for from the background: the
/// connection may be gone before an answer could come.
const ASK: &str = "\
for way in 'systemctl reboot' 'shutdown -r now' reboot 'busybox reboot'; do
  command -v \"${way%% *}\" >/dev/null 2>&1 || continue
  (sleep 0.2; exec $way) >/dev/null 2>&1 </dev/null &
  exit 0
done
echo 'the guest has none of systemctl, shutdown, reboot' >&2
exit 1
";

/// Whether the guest is about to go down.
const GOING: &str = "case \"$(systemctl is-system-running 2>/dev/null) $(runlevel 2>/dev/null)\" in \
  stopping*|*' 6') exit 0 ;; esac; exit 1\n";

pub(crate) async fn run(
    args: &RestartArgs,
    what: &str,
    channel: &mut dyn Channel,
    cx: &Cx,
    output: Output<'_>,
) -> Result<(), BackendError> {
    let timeout = Duration::from_millis(args.timeout);
    let until = Instant::now() + timeout;
    let late = || late(what, timeout);
    let before = boot_id(channel, cx).await?.ok_or_else(|| untold(what))?;
    match channel.exec(&quick(ASK), output, cx).await {
        Ok(Exit::Code(0)) | Err(BackendError::Disconnected { .. }) => {}
        Ok(exit) => return Err(BackendError::StepFailed { what: what.to_owned(), how: exit.to_string() }),
        Err(error) => return Err(error),
    }
    back(channel, &before, until, cx).await?.ok_or_else(late)
}

/// After a script whose connection may break: waits for the machine where it `went`, or is about to go.
pub(crate) async fn after_expected(
    went: bool,
    before: &str,
    what: &str,
    timeout: Duration,
    channel: &mut dyn Channel,
    cx: &Cx,
) -> Result<(), BackendError> {
    let until = Instant::now() + timeout;
    if went {
        // The connection may have broken for another reason than a restart.
        loop {
            match channel.reconnect(until.saturating_duration_since(Instant::now()), cx).await {
                Err(BackendError::Disconnected { .. }) => return Err(late(what, timeout)),
                connected => connected?,
            }
            match boot_id(channel, cx).await {
                Ok(Some(now)) if now != before => return Ok(()),
                Ok(None) | Err(BackendError::Disconnected { .. }) => continue,
                answered => drop(answered?),
            }
            break;
        }
    }
    if !is_going(channel, cx).await? {
        return Ok(());
    }
    back(channel, before, until, cx).await?.ok_or_else(|| late(what, timeout))
}

/// Whether the machine is about to go down, or has gone.
pub(crate) async fn is_going(channel: &mut dyn Channel, cx: &Cx) -> Result<bool, BackendError> {
    match channel.exec(&quick(GOING), &|_, _| {}, cx).await {
        Ok(Exit::Code(0)) | Err(BackendError::Disconnected { .. }) => Ok(true),
        Ok(_) => Ok(false),
        Err(error) => Err(error),
    }
}

fn late(what: &str, timeout: Duration) -> BackendError {
    BackendError::Disconnected {
        message: format!("{what}: the machine did not come back within {} s", timeout.as_secs()),
        help: Some("look at its console, and give the step a longer `timeout` if it only is slow".to_owned()),
    }
}

/// Waits until the machine answers from another boot; none where it is too late.
async fn back(channel: &mut dyn Channel, before: &str, until: Instant, cx: &Cx) -> Result<Option<()>, BackendError> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        let looked = match tokio::time::timeout(PATIENCE.min(left), boot_id(channel, cx)).await {
            Ok(Ok(Some(now))) if now != before => return Ok(Some(())),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(BackendError::Disconnected { message: "no answer".to_owned(), help: None }),
        };
        match looked {
            Ok(()) => {}
            Err(BackendError::Disconnected { .. }) => match channel.reconnect(left, cx).await {
                Ok(()) | Err(BackendError::Disconnected { .. }) => {}
                Err(error) => return Err(error),
            },
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = cx.cancel.cancelled() => return Err(BackendError::Interrupted),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Which boot of the guest this is; none where it does not say: in a system that goes down, the question ends like every
/// other program.
pub(crate) async fn boot_id(channel: &mut dyn Channel, cx: &Cx) -> Result<Option<String>, BackendError> {
    let said = Mutex::new(Vec::new());
    let output = |stream, bytes: &[u8]| {
        if stream == Stream::Stdout {
            said.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend_from_slice(bytes);
        }
    };
    // Where there is no such file, the time of the boot will do.
    let ask = "cat /proc/sys/kernel/random/boot_id 2>/dev/null || sysctl -n kern.boottime";
    let exit = channel.exec(&quick(ask), &output, cx).await?;
    let bytes = said.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let id = String::from_utf8_lossy(&bytes).trim().to_owned();
    Ok((exit == Exit::Code(0) && !id.is_empty()).then_some(id))
}

/// A guest whose boots cannot be told apart.
pub(crate) fn untold(what: &str) -> BackendError {
    BackendError::StepFailed { what: what.to_owned(), how: "no word of the guest which boot this is".to_owned() }
}

/// A short question of ours.
pub(crate) fn quick(text: &str) -> Exec {
    Exec {
        program: Program::Script { interpreter: vec!["/bin/sh".to_owned()], text: text.to_owned() },
        env: BTreeMap::new(),
        user: "root".to_owned(),
        workdir: "/".to_owned(),
        network: true,
        timeout: Some(Duration::from_mins(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::tests::{Guest, cx};

    async fn restart(guest: &mut Guest) -> Result<(), String> {
        let args = RestartArgs { timeout: 60_000 };
        run(&args, "restart \"new kernel\"", guest, &cx(), &|_, _| {}).await.map_err(|error| error.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_until_another_boot_answers() {
        // Asked, still the old boot, gone, and back from a new one.
        let mut guest = Guest::new(&["a", "asked", "a", "gone", "back", "b"]);
        assert_eq!(restart(&mut guest).await, Ok(()));
        assert_eq!(guest.left(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_breaks_at_once_is_no_failure() {
        assert_eq!(restart(&mut Guest::new(&["a", "gone", "gone", "back", "b"])).await, Ok(()));
    }

    /// The system ends the question before it ends whom it was put to.
    #[tokio::test(start_paused = true)]
    async fn a_question_that_is_ended_is_no_other_boot() {
        for acts in [["a", "asked", "killed", "gone", "back", "b"], ["a", "asked", "fails", "gone", "back", "b"]] {
            let mut guest = Guest::new(&acts);
            assert_eq!(restart(&mut guest).await, Ok(()));
            assert_eq!(guest.left(), 0, "it waited for another boot");
        }
        let said = restart(&mut Guest::new(&["fails"])).await.unwrap_err();
        assert_eq!(said, "restart \"new kernel\" ended with no word of the guest which boot this is");
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_stays_away_is_said_in_time() {
        let mut guest = Guest::new(&["a", "asked", "gone"]);
        let said = restart(&mut guest).await.unwrap_err();
        assert_eq!(said, "restart \"new kernel\": the machine did not come back within 60 s");
    }
}
