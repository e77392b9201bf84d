//! Steps over SSH: how they run, how they are stopped, and what a cut connection means.

use std::time::{Duration, Instant};

use imgc_backend::{BackendError, Exec, Exit, Program};
use imgc_guest::run_step;
use imgc_plan::node::Step;
use imgc_plan::{Address, Node, NodeId, Value, Work};

use crate::bed::{Bed, USER, exec, script, sh};

#[tokio::test]
async fn exits_output_environment_and_users() {
    let Some(bed) = Bed::new("") else { return };
    let mut client = bed.root().await;
    let (exit, stdout, stderr) = exec(&mut client, &script("echo out; echo err >&2; exit 7"), &bed.cx).await;
    assert_eq!((exit.unwrap(), stdout.as_str(), stderr.as_str()), (Exit::Code(7), "out\n", "err\n"));
    let user = Exec {
        program: Program::Argv(vec![
            "sh".into(),
            "-c".into(),
            "echo \"$A|$HOME|$USER|$(pwd)|$(umask)|$(id -Gn)\"; cat".into(),
        ]),
        env: [("A".to_owned(), "x 'y' $z\n2".to_owned())].into(),
        user: USER.to_owned(),
        workdir: "/usr".to_owned(),
        ..script("")
    };
    let (exit, stdout, stderr) = exec(&mut client, &user, &bed.cx).await;
    assert_eq!(exit.unwrap(), Exit::Code(0), "{stderr}");
    assert_eq!(stdout, format!("x 'y' $z\n2|/home/{USER}|{USER}|/usr|0022|{USER}\n"));
    let number = Exec { user: "54321".to_owned(), ..script("id -u; id -g; cat \"$0\" | tail -n 1") };
    assert_eq!(exec(&mut client, &number, &bed.cx).await.1, "54321\n54321\nid -u; id -g; cat \"$0\" | tail -n 1\n");
    let text = sh(
        &mut client,
        "sleep 600 & echo $! >/dev/shm/imgc-test-$$; seq 1 100000; kill $!; rm /dev/shm/imgc-test-$$",
        &bed.cx,
    )
    .await;
    assert_eq!(text.lines().count(), 100_000);
    let stage = sh(&mut client, "printf %s \"${0%/*}\"", &bed.cx).await;
    assert!(stage.contains("/imgc.") && !std::path::Path::new(&stage).exists(), "{stage} is left");
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let Some(bed) = Bed::new("") else { return };
    let mut client = bed.root().await;
    let mut message = async |step: Exec| exec(&mut client, &step, &bed.cx).await.0.unwrap_err().to_string();
    let nobody = Exec { user: "nobody-here".to_owned(), ..script("") };
    assert_eq!(message(nobody).await, "the guest has no user `nobody-here`");
    let nowhere = Exec { workdir: "/no where".to_owned(), ..script("") };
    assert_eq!(message(nowhere).await, "the guest has no directory /no where to run in");
}

#[tokio::test]
async fn a_step_without_network_has_a_loopback_of_its_own() {
    let Some(bed) = Bed::new("") else { return };
    let mut client = bed.root().await;
    let step = Exec { network: false, ..script("tail -n +3 /proc/net/dev; cat /proc/net/fib_trie") };
    let (exit, stdout, stderr) = exec(&mut client, &step, &bed.cx).await;
    assert_eq!(exit.unwrap(), Exit::Code(0), "{stderr}");
    assert!(stdout.contains("lo:") && !stdout.contains("eth") && stdout.contains("127.0.0.0"), "{stdout}");
}

#[tokio::test]
async fn with_a_terminal() {
    let Some(bed) = Bed::new("") else { return };
    let mut login = bed.by_key("root");
    login.terminal = true;
    let mut client = bed.connect(&login).await.unwrap();
    assert!(sh(&mut client, "ls -l /proc/self/fd/1", &bed.cx).await.contains("/dev/pts/"));
    let step = Exec { timeout: Some(Duration::from_millis(500)), ..script("sleep 600") };
    let result = exec(&mut client, &step, &bed.cx).await.0;
    assert!(matches!(result, Err(BackendError::TimedOut { .. })), "{result:?}");
}

fn gone(pid: &str) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.is_empty())
        || !std::path::Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn a_timeout_ends_a_step_with_all_that_it_started() {
    let Some(bed) = Bed::new("") else { return };
    let mut client = bed.root().await;
    let mark = bed.path("pids").display().to_string();
    // The first child leaves its session, the second is deaf to polite requests.
    let text = format!(
        "setsid sh -c 'echo $$ >>{mark}; sleep 600' & (trap '' TERM; sh -c 'echo $PPID >>{mark}'; sleep 600) & \
         while [ $(wc -l <{mark} 2>/dev/null || echo 0) -lt 2 ]; do sleep 0.02; done; wait"
    );
    let step = Exec { timeout: Some(Duration::from_secs(2)), ..script(&text) };
    let result = exec(&mut client, &step, &bed.cx).await.0;
    assert!(matches!(result, Err(BackendError::TimedOut { .. })), "{result:?}");
    let text = std::fs::read_to_string(&mark).unwrap();
    assert_eq!(text.lines().count(), 2);
    let until = Instant::now() + Duration::from_secs(10);
    while !text.lines().all(gone) && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(text.lines().all(gone), "{text}");
    assert_eq!(sh(&mut client, "echo on", &bed.cx).await, "on\n");
}

#[tokio::test]
async fn cancelling_ends_the_step_and_leaves_the_channel_usable() {
    let Some(bed) = Bed::new("") else { return };
    let mut client = bed.root().await;
    let mut cx = bed.cx.clone();
    cx.cancel = tokio_util::sync::CancellationToken::new();
    let soon = async {
        tokio::time::sleep(Duration::from_millis(800)).await;
        cx.cancel.cancel();
    };
    let long = script("while :; do sleep 0.05; done");
    let ((result, ..), ()) = tokio::join!(exec(&mut client, &long, &cx), soon);
    assert!(matches!(result, Err(BackendError::Interrupted)), "{result:?}");
    assert_eq!(sh(&mut client, "echo on", &bed.cx).await, "on\n");
}

/// Ends the server's process that serves this very connection.
const CUT: &str = "p=$PPID; while [ \"$(cat /proc/$p/comm)\" != sshd ]; do p=$(cut -d' ' -f4 /proc/$p/stat); done; \
                   kill -9 $p; sleep 600";

/// A step as plans have it.
fn node(disconnect: &str) -> Node {
    let args =
        [("script", CUT), ("disconnect", disconnect)].map(|(name, text)| (name.into(), Value::Text(text.into())));
    Node {
        address: Address("web/sh \"cut\"".to_owned()),
        span: None,
        platform: "linux/amd64".parse::<imgc_plan::Platform>().unwrap().into(),
        backend: "any".into(),
        kind: "sh".into(),
        revision: 1,
        args: args.into_iter().collect(),
        work: Work::Step(Step { on: NodeId(0), source: NodeId(0), label: "cut".into(), network: true }),
    }
}

#[tokio::test]
async fn a_cut_connection_is_an_error_or_expected() {
    let Some(bed) = Bed::new("") else { return };
    let mut client = bed.root().await;
    let said = std::sync::Mutex::new(String::new());
    let output = |_, bytes: &[u8]| said.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
    let error = run_step(&node("error"), &mut client, &bed.cx, &output).await.unwrap_err();
    assert!(matches!(error, BackendError::Disconnected { .. }), "{error:?}");
    assert!(error.help().unwrap().contains("disconnect = \"expected\""));
    assert!(client.is_lost());
    let mut client = bed.root().await;
    run_step(&node("expected"), &mut client, &bed.cx, &output).await.unwrap();
    assert!(said.lock().unwrap().contains("as was expected"), "{said:?}");
    assert_eq!(sh(&mut client, "echo back", &bed.cx).await, "back\n");
}
