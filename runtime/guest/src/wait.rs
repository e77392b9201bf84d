//! `wait`: until a port of the guest is open, a file is there, or a command succeeds.

use std::time::Duration;

use imgc_backend::{BackendError, Channel, Cx, Exit};
use tokio::time::Instant;

use crate::Output;
use crate::args::{For, WaitArgs};
use crate::restart::quick;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

pub(crate) async fn run(
    args: &WaitArgs,
    what: &str,
    channel: &mut dyn Channel,
    cx: &Cx,
    output: Output<'_>,
) -> Result<(), BackendError> {
    let timeout = Duration::from_millis(args.timeout);
    let until = Instant::now() + timeout;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut look = quick(&question(&args.until));
        look.timeout = Some(left.max(LOOK));
        match channel.exec(&look, output, cx).await {
            Ok(Exit::Code(0)) => return Ok(()),
            Ok(_) | Err(BackendError::TimedOut { .. }) => {}
            Err(error) => return Err(error),
        }
        if Instant::now() + LOOK >= until {
            let how = format!("{} for {} s", waited_for(&args.until), timeout.as_secs());
            return Err(BackendError::StepFailed { what: what.to_owned(), how });
        }
        tokio::select! {
            () = cx.cancel.cancelled() => return Err(BackendError::Interrupted),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// What is asked of the guest's shell. A port is looked up in the kernel's tables: guests have few tools, and to connect
/// would be seen by the program behind the port.
fn question(until: &For) -> String {
    match until {
        For::Port { port } => format!(
            "while read -r _ local _ state _; do case $local-$state in *:{port:04X}-0A) exit 0 ;; esac; done <<END\n\
             $(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null)\nEND\nexit 1\n"
        ),
        For::File { path } => format!("[ -e '{}' ]\n", path.replace('\'', "'\\''")),
        For::Command { script } => script.clone(),
    }
}

fn waited_for(until: &For) -> String {
    match until {
        For::Port { port } => format!("port {port} closed"),
        For::File { path } => format!("{path} missing"),
        For::Command { .. } => "its command failing".to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use imgc_backend::{EventSink, Exec, Journal, Placement, Secrets, Settings, Stream};

    use super::*;

    /// A guest that does these things, one a call; the last one again and again.
    pub(crate) struct Guest(Vec<&'static str>);

    impl Guest {
        pub(crate) fn new(acts: &[&'static str]) -> Self {
            Self(acts.iter().rev().copied().collect())
        }

        pub(crate) fn left(&self) -> usize {
            self.0.len() - 1
        }

        fn next(&mut self) -> &'static str {
            if self.0.len() > 1 { self.0.pop().unwrap() } else { self.0[0] }
        }
    }

    #[async_trait::async_trait]
    impl Channel for Guest {
        async fn exec(&mut self, _: &Exec, output: Output<'_>, _: &Cx) -> Result<Exit, BackendError> {
            match self.next() {
                "gone" => Err(BackendError::Disconnected { message: "gone".into(), help: None }),
                "fails" => Ok(Exit::Code(1)),
                "killed" => Ok(Exit::Signal(imgc_backend::Signal(15))),
                said => {
                    output(Stream::Stdout, said.as_bytes());
                    Ok(Exit::Code(0))
                }
            }
        }

        async fn put(&mut self, _: &Placement, _: &Cx) -> Result<(), BackendError> {
            Ok(())
        }

        async fn reconnect(&mut self, within: Duration, _: &Cx) -> Result<(), BackendError> {
            if self.next() == "back" {
                return Ok(());
            }
            tokio::time::sleep(within).await;
            Err(BackendError::Disconnected { message: "gone".into(), help: None })
        }
    }

    pub(crate) fn cx() -> Cx {
        Cx {
            cancel: tokio_util::sync::CancellationToken::new(),
            events: EventSink::new(|_| {}),
            node: None,
            package: "/".into(),
            settings: Arc::new(Settings::default()),
            journal: Journal::default(),
            secrets: Secrets::default(),
        }
    }

    async fn wait(acts: &[&'static str]) -> Result<(), String> {
        let args = WaitArgs { until: For::Port { port: 80 }, timeout: 10_000 };
        run(&args, "wait \"web\"", &mut Guest::new(acts), &cx(), &|_, _| {}).await.map_err(|error| error.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn it_looks_again_until_it_is_so_or_too_late() {
        assert_eq!(wait(&["fails", "fails", "open"]).await, Ok(()));
        assert_eq!(wait(&["fails"]).await, Err("wait \"web\" ended with port 80 closed for 10 s".to_owned()));
    }

    /// The question about a port, asked of a real shell about a real port.
    #[test]
    fn an_open_port_is_seen_without_connecting_to_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ask = |port| {
            let text = question(&For::Port { port });
            std::process::Command::new("sh").args(["-c", &text]).status().unwrap().success()
        };
        assert!(ask(port));
        drop(listener);
        assert!(!ask(port));
    }
}
