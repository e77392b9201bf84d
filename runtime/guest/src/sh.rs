//! `sh`: a script, tried again where it fails and the step says so.

use std::collections::BTreeMap;
use std::time::Duration;

use imgc_backend::{BackendError, Channel, Cx, Exec, Exit, Program, Stream, Text};

use crate::Output;
use crate::args::{Disconnect, ShArgs};
use crate::lent::Lent;
use crate::restart;

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

pub(crate) async fn run(
    args: &ShArgs,
    what: &str,
    channel: &mut dyn Channel,
    cx: &Cx,
    output: Output<'_>,
) -> Result<(), BackendError> {
    let mut exec = exec(args);
    for (name, text) in &args.env {
        if text.plain().is_none() {
            exec.env.insert(name.clone(), cx.reveal(text).await?.to_string());
        }
    }
    let exec = Wiped(exec);
    let lent = Lent::place(args, channel, cx).await?;
    let ended = tries(&exec.0, args, what, channel, cx, output).await;
    let back = lent.take_back(channel, cx).await;
    ended.and(back)
}

/// Runs a script as often as its step allows.
async fn tries(
    exec: &Exec,
    args: &ShArgs,
    what: &str,
    channel: &mut dyn Channel,
    cx: &Cx,
    output: Output<'_>,
) -> Result<(), BackendError> {
    if args.disconnect == Disconnect::Expected {
        return expecting(exec, args, what, channel, cx, output).await;
    }
    let mut pause = Duration::from_secs(1);
    for attempt in 1..=args.retries {
        let Err(failure) = once(exec, args, what, channel, cx, output).await else { return Ok(()) };
        let (BackendError::StepFailed { .. } | BackendError::TimedOut { .. }) = &failure else { return Err(failure) };
        let note = format!("{failure}; retry {attempt} of {} in {} s\n", args.retries, pause.as_secs());
        output(Stream::Note, note.as_bytes());
        tokio::select! {
            () = cx.cancel.cancelled() => return Err(BackendError::Interrupted),
            () = tokio::time::sleep(pause) => {}
        }
        pause = LONGEST_PAUSE.min(pause * 2);
    }
    once(exec, args, what, channel, cx, output).await
}

/// What is run, without its environment in memory once it is dropped: there may be secrets in it.
struct Wiped(Exec);

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.env.values_mut().for_each(zeroize::Zeroize::zeroize);
    }
}

/// Runs a script that may restart the machine, and waits for it then. It is not tried again: who knows how far it came.
async fn expecting(
    exec: &Exec,
    args: &ShArgs,
    what: &str,
    channel: &mut dyn Channel,
    cx: &Cx,
    output: Output<'_>,
) -> Result<(), BackendError> {
    let before = restart::boot_id(channel, cx).await?.ok_or_else(|| restart::untold(what))?;
    let went = match channel.exec(exec, output, cx).await {
        Err(BackendError::Disconnected { message, .. }) => {
            output(Stream::Note, format!("{message}, as was expected\n").as_bytes());
            true
        }
        // An orderly shutdown ends the script before it takes the connection.
        Ok(exit) if killed(exit) && !is_wanted(exit, args) && restart::is_going(channel, cx).await? => {
            output(
                Stream::Note,
                format!("the machine goes down, and {what} ended with {exit}, as was expected\n").as_bytes(),
            );
            false
        }
        ended => {
            judged(ended, args, what)?;
            false
        }
    };
    restart::after_expected(went, &before, what, Duration::from_millis(args.timeout), channel, cx).await
}

/// What is run, but for the values of secrets.
pub(crate) fn exec(args: &ShArgs) -> Exec {
    Exec {
        program: Program::Script {
            interpreter: vec!["/bin/sh".to_owned(), "-e".to_owned()],
            text: args.script.clone(),
        },
        env: plain_env(args),
        user: args.user.clone(),
        workdir: args.workdir.clone(),
        network: args.network,
        timeout: Some(Duration::from_millis(args.timeout)),
    }
}

fn plain_env(args: &ShArgs) -> BTreeMap<String, String> {
    let plain = |(name, text): (&String, &Text)| Some((name.clone(), text.plain()?.to_owned()));
    args.env.iter().filter_map(plain).collect()
}

async fn once(
    exec: &Exec,
    args: &ShArgs,
    what: &str,
    channel: &mut dyn Channel,
    cx: &Cx,
    output: Output<'_>,
) -> Result<(), BackendError> {
    judged(channel.exec(exec, output, cx).await, args, what)
}

fn judged(ended: Result<Exit, BackendError>, args: &ShArgs, what: &str) -> Result<(), BackendError> {
    match ended {
        Ok(exit) if is_wanted(exit, args) => Ok(()),
        Ok(exit) => Err(BackendError::StepFailed { what: what.to_owned(), how: exit.to_string() }),
        Err(BackendError::TimedOut { after, .. }) => Err(BackendError::TimedOut { what: what.to_owned(), after }),
        Err(other) => Err(other),
    }
}

fn is_wanted(exit: Exit, args: &ShArgs) -> bool {
    matches!(exit, Exit::Code(code) if args.exit_codes.contains(&code))
}

/// Ended by a signal; a shell between tells it as 128 and the signal.
fn killed(exit: Exit) -> bool {
    match exit {
        Exit::Signal(_) => true,
        Exit::Code(code) => code > 128,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;

    use imgc_backend::{EventSink, Placement, Settings, Signal};

    use super::*;

    /// A channel that answers with these exits, one a call.
    struct Scripted(Vec<Result<Exit, BackendError>>);

    #[async_trait::async_trait]
    impl Channel for Scripted {
        async fn exec(&mut self, _: &Exec, _: Output<'_>, _: &Cx) -> Result<Exit, BackendError> {
            self.0.remove(0)
        }

        async fn put(&mut self, _: &Placement, _: &Cx) -> Result<(), BackendError> {
            Ok(())
        }
    }

    async fn check(extra: &str, exits: Vec<Result<Exit, BackendError>>) -> (Result<(), String>, String) {
        let args: ShArgs = serde_json::from_str(&format!("{{\"script\": \"x\"{extra}}}")).unwrap();
        let cx = Cx {
            cancel: tokio_util::sync::CancellationToken::new(),
            events: EventSink::new(|_| {}),
            node: None,
            package: "/".into(),
            settings: Arc::new(Settings::default()),
            journal: imgc_backend::Journal::default(),
            secrets: imgc_backend::Secrets::default(),
        };
        let said = Mutex::new(String::new());
        let output = |_, bytes: &[u8]| said.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        let result = run(&args, "sh \"a\"", &mut Scripted(exits), &cx, &output).await;
        (result.map_err(|e| e.to_string()), said.into_inner().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn exit_codes_decide_what_success_is() {
        assert_eq!(check("", vec![Ok(Exit::Code(0))]).await.0, Ok(()));
        assert_eq!(check(", \"exit_codes\": [3]", vec![Ok(Exit::Code(3))]).await.0, Ok(()));
        let failed = check("", vec![Ok(Exit::Signal(Signal(15)))]).await.0;
        assert_eq!(failed, Err("sh \"a\" ended with signal 15".to_owned()));
    }

    /// What becomes of a script that may restart its machine, on a guest that does these things.
    async fn restarting(acts: &[&'static str]) -> (Result<(), String>, usize) {
        let args: ShArgs = serde_json::from_str(r#"{"script": "reboot", "disconnect": "expected"}"#).unwrap();
        let mut guest = crate::wait::tests::Guest::new(acts);
        let result = run(&args, "sh \"a\"", &mut guest, &crate::wait::tests::cx(), &|_, _| {}).await;
        (result.map_err(|e| e.to_string()), guest.left())
    }

    #[tokio::test(start_paused = true)]
    async fn a_script_that_its_own_restart_ends_is_no_failure() {
        // The boot, the script's end, twice that the guest is going, gone, and another boot.
        assert_eq!(restarting(&["a", "killed", "going", "going", "gone", "back", "b"]).await, (Ok(()), 0));
        assert_eq!(restarting(&["a", "killed", "gone", "gone", "gone", "back", "b"]).await, (Ok(()), 0));
        assert_eq!(restarting(&["a", "gone", "back", "b"]).await, (Ok(()), 0));
        let stays = restarting(&["a", "killed", "fails", "never"]).await;
        assert_eq!(stays, (Err("sh \"a\" ended with signal 15".to_owned()), 0));
        let fails = restarting(&["a", "fails", "never"]).await;
        assert_eq!(fails, (Err("sh \"a\" ended with exit code 1".to_owned()), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn retries_pause_and_say_so() {
        let timeout = Err(BackendError::TimedOut { what: String::new(), after: Duration::from_secs(1) });
        let exits = vec![Ok(Exit::Code(1)), timeout, Ok(Exit::Code(0))];
        let (result, said) = check(", \"retries\": 2", exits).await;
        assert_eq!(result, Ok(()));
        assert!(said.contains("retry 1 of 2 in 1 s") && said.contains("retry 2 of 2 in 2 s"), "{said}");
    }
}
