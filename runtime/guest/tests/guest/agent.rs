//! What a channel must do, over the agent.

use std::time::{Duration, Instant};

use imgc_backend::{
    BackendError, Channel as _, Console, Exec, Exit, Input, PlacementKind, Program, Signal, Stream, Tty, TtySize,
};
use imgc_guest::agent::Client;
use imgc_guest::agent::protocol::{MAX_PAYLOAD, Put, Request, Run};
use imgc_plan::Digest;
use tokio::io::AsyncWriteExt as _;

use crate::bed::{Bed, cx, root, script, start};

#[tokio::test]
async fn exits_output_and_environment() {
    if !root() {
        return;
    }
    let mut bed = Bed::new().await;
    let (exit, stdout, stderr) = bed.run(&script("echo out; echo err >&2; exit 7")).await;
    assert_eq!((exit.unwrap(), stdout.as_str(), stderr.as_str()), (Exit::Code(7), "out\n", "err\n"));
    let (exit, ..) = bed.run(&script("kill -TERM $$")).await;
    assert_eq!(exit.unwrap(), Exit::Signal(Signal(15)));
    let exec = Exec {
        program: Program::Argv(vec!["sh".into(), "-c".into(), "echo \"$A|$HOME|$USER|$(pwd)|$(umask)\"; cat".into()]),
        env: [("A".to_owned(), "x y".to_owned())].into(),
        user: "nobody".to_owned(),
        workdir: "/usr".to_owned(),
        ..script("")
    };
    let (exit, stdout, _) = bed.run(&exec).await;
    assert_eq!((exit.unwrap(), stdout.as_str()), (Exit::Code(0), "x y|/nonexistent|nobody|/usr|0022\n"));
    let ids = bed.run(&Exec { user: "65534".to_owned(), ..script("id -u; id -G; cat \"$0\" >/dev/null") }).await;
    assert_eq!(ids.1, "65534\n65534\n");
    assert!(std::fs::read_dir(bed.dir.path().join("run")).unwrap().next().is_none(), "no script is left");
}

#[tokio::test]
async fn much_output_arrives_whole_and_what_is_left_in_the_background_does_not_hold_the_step() {
    let mut bed = Bed::new().await;
    let pid = bed.dir.path().join("pid").display().to_string();
    let text = bed.sh(&format!("sleep 1000 & echo $! >{pid}; seq 1 300000; echo end")).await;
    assert!(text.ends_with("300000\nend\n"), "{} bytes", text.len());
    assert_eq!(text.lines().count(), 300_001);
    assert!(cmdline(std::fs::read_to_string(&pid).unwrap().trim()).starts_with("sleep"), "it goes on");
    bed.sh(&format!("kill $(cat {pid})")).await;
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let mut bed = Bed::new().await;
    let message = |result: Result<Exit, BackendError>| result.unwrap_err().to_string();
    let exec = Exec { user: "nobody-here".to_owned(), ..script("") };
    assert_eq!(message(bed.run(&exec).await.0), "the guest has no user `nobody-here`");
    let exec = Exec { workdir: "/no/where".to_owned(), ..script("") };
    assert_eq!(message(bed.run(&exec).await.0), "the guest has no directory /no/where to run in");
    let exec = Exec { program: Program::Argv(vec!["/no/program".to_owned()]), ..script("") };
    assert!(message(bed.run(&exec).await.0).starts_with("cannot start /no/program in the guest: No such file"));
    let env = [("A".to_owned(), "x".repeat(MAX_PAYLOAD))].into();
    assert!(message(bed.run(&Exec { env, ..script("") }).await.0).contains("too long for the guest"));
}

#[tokio::test]
async fn a_step_without_network_has_a_loopback_of_its_own() {
    if !root() {
        return;
    }
    let mut bed = Bed::new().await;
    let (exit, stdout, stderr) = bed.run(&Exec { network: false, ..script("cat /proc/net/dev | tail -n +3") }).await;
    assert_eq!(exit.unwrap(), Exit::Code(0), "{stderr}");
    let names: Vec<&str> = stdout.lines().filter_map(|line| line.trim().split(':').next()).collect();
    assert!(names.contains(&"lo") && !names.iter().any(|name| name.starts_with("eth")), "{names:?}");
    let up = bed.run(&Exec { network: false, ..script("grep -q 127.0.0.0 /proc/net/fib_trie") }).await;
    assert_eq!(up.0.unwrap(), Exit::Code(0));
}

#[tokio::test]
async fn a_timeout_ends_a_step_with_all_that_it_started() {
    let mut bed = Bed::new().await;
    let mark = bed.dir.path().join("pids").display().to_string();
    // The first child leaves its group, the second is deaf to polite requests.
    let text = format!(
        "setsid sh -c 'echo $$ >>{mark}; sleep 600' & (trap '' TERM; sh -c 'echo $PPID >>{mark}'; sleep 600) & \
         while [ $(wc -l <{mark} 2>/dev/null || echo 0) -lt 2 ]; do sleep 0.02; done; wait"
    );
    let result = bed.run(&Exec { timeout: Some(Duration::from_secs(2)), ..script(&text) }).await.0;
    assert!(matches!(result, Err(BackendError::TimedOut { .. })), "{result:?}");
    let text = std::fs::read_to_string(&mark).unwrap();
    assert_eq!(text.lines().count(), 2);
    for pid in text.lines() {
        let gone = || !std::path::Path::new(&format!("/proc/{pid}/cmdline")).exists() || cmdline(pid).is_empty();
        let until = Instant::now() + Duration::from_secs(10);
        while !gone() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(gone(), "{pid} is still there: {}", cmdline(pid));
    }
    assert_eq!(bed.sh("echo on").await, "on\n");
}

fn cmdline(pid: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

#[tokio::test]
async fn cancelling_stops_the_step_and_leaves_the_channel_usable() {
    let mut bed = Bed::new().await;
    let cancel = bed.cx.cancel.clone();
    let soon = async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancel.cancel();
    };
    let long = script("trap 'exit 0' TERM; while :; do sleep 0.05; done");
    let ((result, ..), ()) = tokio::join!(bed.run(&long), soon);
    assert!(matches!(result, Err(BackendError::Interrupted)), "{result:?}");
    bed.cx = cx();
    assert_eq!(bed.sh("echo on").await, "on\n");
}

#[tokio::test]
async fn a_machine_that_is_lost_ends_the_step_at_once() {
    let mut bed = Bed::new().await;
    let lost = tokio_util::sync::CancellationToken::new();
    bed.client.lost_when(lost.clone());
    let soon = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        lost.cancel();
    };
    let long = script("sleep 600");
    let ((result, ..), ()) = tokio::join!(bed.run(&long), soon);
    assert!(matches!(result, Err(BackendError::Disconnected { .. })), "{result:?}");
}

#[tokio::test]
async fn files_land_with_mode_and_replace_what_is_there() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let mut bed = Bed::new().await;
    let base = bed.dir.path().join("put");
    let path = |name: &str| base.join(name).display().to_string();
    let big: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let host = bed.dir.path().join("host");
    std::fs::write(&host, &big).unwrap();
    let kind = PlacementKind::HostFile { from: host.clone(), digest: Digest::of(&big), size: big.len() as u64 };
    bed.put(&path("a/b/big"), kind, 0o4750).await.unwrap();
    assert_eq!(std::fs::read(path("a/b/big")).unwrap(), big);
    assert_eq!(std::fs::metadata(path("a/b/big")).unwrap().permissions().mode() & 0o7777, 0o4750);
    assert_eq!(std::fs::metadata(path("a")).unwrap().mode() & 0o7777, 0o755);
    bed.put(&path("a/b/big"), PlacementKind::Symlink { target: "/etc/hostname".into() }, 0o777).await.unwrap();
    bed.put(&path("a/b/big"), PlacementKind::Bytes(b"text".to_vec()), 0o600).await.unwrap();
    assert_eq!(std::fs::read(path("a/b/big")).unwrap(), b"text");
    bed.put(&path("a/b"), PlacementKind::Dir, 0o700).await.unwrap();
    assert_eq!(std::fs::metadata(path("a/b")).unwrap().mode() & 0o7777, 0o755, "a directory is left as it is");
    let refused = bed.put(&path("a/b"), PlacementKind::Bytes(vec![]), 0o600).await.unwrap_err().to_string();
    assert_eq!(refused, format!("cannot put a file at {}: the guest has a directory there", path("a/b")));
    let changed = PlacementKind::HostFile { from: host, digest: Digest::of(b"other"), size: 3_000_000 };
    let error = bed.put(&path("a/new"), changed, 0o644).await.unwrap_err().to_string();
    assert!(error.ends_with("changed since the plan was made"), "{error}");
    bed.sh("true").await;
    let names: Vec<_> = std::fs::read_dir(base.join("a")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["b"], "nothing of what was given up is left");
}

#[tokio::test]
async fn a_full_disk_is_named() {
    if !root() {
        return;
    }
    let mut bed = Bed::new().await;
    let full = bed.dir.path().join("full").display().to_string();
    bed.sh(&format!("mkdir {full}; mount -t tmpfs -o size=64k tmpfs {full}")).await;
    let error = bed.put(&format!("{full}/x"), PlacementKind::Bytes(vec![1; 200_000]), 0o644).await.unwrap_err();
    bed.sh(&format!("umount {full}")).await;
    assert!(error.to_string().contains("No space left on device"), "{error}");
    assert!(error.help().unwrap().contains("larger disk"));
}

#[tokio::test]
async fn files_are_read_back() {
    let mut bed = Bed::new().await;
    let path = bed.dir.path().join("back").display().to_string();
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 253) as u8).collect();
    std::fs::write(&path, &bytes).unwrap();
    let mut got = Vec::new();
    assert_eq!(bed.client.get(&path, &mut got, &bed.cx).await.unwrap(), 1_000_000);
    assert_eq!(got, bytes);
    let error = bed.client.get("/no/file", &mut got, &bed.cx).await.unwrap_err().to_string();
    assert_eq!(error, "the guest has no file /no/file");
    let error = bed.client.get("/dev/zero", &mut got, &bed.cx).await.unwrap_err().to_string();
    assert_eq!(error, "/dev/zero of the guest is not a file");
}

/// A client that died in the middle of a frame is followed by one that is understood.
#[tokio::test]
async fn half_a_frame_of_a_dead_client_is_overcome() {
    let dir = tempfile::tempdir().unwrap();
    let (mut agent, mut stream) = start(dir.path());
    let path = dir.path().join("half").display().to_string();
    let owner = ("root".to_owned(), None);
    let put = Put {
        path: path.clone(),
        kind: imgc_guest::agent::protocol::FileKind::File,
        mode: 0o644,
        user: owner.0,
        group: owner.1,
    };
    stream.write_all(&Request::Put(put).frame(5).encode()).await.unwrap();
    let run = Run {
        argv: vec!["sleep".into(), "600".into()],
        user: "root".into(),
        workdir: "/".into(),
        network: true,
        ..Run::default()
    };
    stream.write_all(&Request::Run(run).frame(6).encode()).await.unwrap();
    let half = Request::Input(vec![7; 200_000]).frame(5).encode();
    stream.write_all(&half[..150_000]).await.unwrap();
    let cx = cx();
    let mut client = Client::over(stream, Duration::from_secs(30), &cx).await.unwrap();
    let said = std::sync::Mutex::new(Vec::new());
    let output = |_, bytes: &[u8]| said.lock().unwrap().extend_from_slice(bytes);
    // The agent is the parent of the script; the sleeper of the dead client must be gone.
    client.exec(&script("pgrep -P $PPID -x sleep || echo none"), &output, &cx).await.unwrap();
    assert_eq!(String::from_utf8(said.into_inner().unwrap()).unwrap(), "none\n");
    assert!(!std::path::Path::new(&path).exists(), "no half file");
    agent.kill().unwrap();
    agent.wait().unwrap();
}

#[tokio::test]
async fn time_entropy_and_sync_reach_the_kernel() {
    if !root() {
        return;
    }
    let mut bed = Bed::new().await;
    bed.client.sync(&bed.cx).await.unwrap();
    bed.client.reseed(&bed.cx).await.unwrap();
    assert!(!bed.client.hello().boot_id.is_empty());
    bed.client.clock(std::time::SystemTime::now(), &bed.cx).await.unwrap();
}

#[tokio::test]
async fn nobody_there_is_said_in_time() {
    let (ours, _theirs) = tokio::net::UnixStream::pair().unwrap();
    let error = Client::over(ours, Duration::from_millis(300), &cx()).await.unwrap_err();
    assert!(error.to_string().contains("it does not answer within 300ms"), "{error}");
}

/// What `imgc shell` does: a terminal of a size, and one whose input is larger than what the agent keeps.
#[tokio::test]
async fn a_program_is_talked_to_while_it_runs() {
    if !root() {
        return;
    }
    let mut bed = Bed::new().await;
    let said = std::sync::Mutex::new(String::new());
    let output = |_: Stream, bytes: &[u8]| said.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
    let (typed, input) = tokio::sync::mpsc::channel(8);
    let size = TtySize { columns: 91, rows: 17 };
    let console = Console { terminal: Some(Tty { term: "vt100".into(), size }), input, output: &output };
    let send = async {
        typed.send(Input::Bytes(b"hello\n".to_vec())).await.unwrap();
        while !said.lock().unwrap().contains("got-") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        typed.send(Input::Resized(TtySize { columns: 80, rows: 24 })).await.unwrap();
        typed.send(Input::Bytes(b"again\n".to_vec())).await.unwrap();
        typed.closed().await;
    };
    let ask = script("stty size; read a; echo got-$a-$TERM; read b; stty size; exit 7");
    let ended =
        tokio::select! { ended = bed.client.attach(&ask, console, &bed.cx) => ended, () = send => panic!("gone") };
    assert_eq!(ended.unwrap(), Exit::Code(7));
    let all = std::mem::take(&mut *said.lock().unwrap());
    assert!(all.contains("17 91") && all.contains("got-hello-vt100") && all.contains("24 80"), "{all}");

    let (typed, input) = tokio::sync::mpsc::channel(8);
    let console = Console { terminal: None, input, output: &output };
    let send = async {
        typed.send(Input::Bytes(vec![b'x'; 300_000])).await.unwrap();
        drop(typed);
        std::future::pending::<()>().await;
    };
    let count = script("sleep 0.3; wc -c");
    let ended =
        tokio::select! { ended = bed.client.attach(&count, console, &bed.cx) => ended, () = send => panic!("gone") };
    assert_eq!(ended.unwrap(), Exit::Code(0));
    assert_eq!(said.lock().unwrap().trim(), "300000");
}
