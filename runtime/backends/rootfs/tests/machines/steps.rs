//! What programs see and how they end.

use std::time::{Duration, Instant};

use imgc_backend::{BackendError, Exit, Signal};

use crate::Test;
use crate::bed::{Bed, as_user, exec, file, print_state, printed_state, scratch};

pub(crate) const TESTS: &[Test] = &[
    ("a_trivial_step_leaves_nothing", a_trivial_step_leaves_nothing),
    ("the_world_is_the_same_everywhere", the_world_is_the_same_everywhere),
    ("no_network_is_a_loopback_and_nothing_else", no_network_is_a_loopback_and_nothing_else),
    ("a_network_resolves_and_leaves_nothing", a_network_resolves_and_leaves_nothing),
    ("ends_are_told_apart", ends_are_told_apart),
    ("timeouts_and_cancelling_end_everything", timeouts_and_cancelling_end_everything),
    ("users_have_their_groups_and_home", users_have_their_groups_and_home),
    ("what_is_missing_is_said", what_is_missing_is_said),
    ("long_chains_are_flattened", long_chains_are_flattened),
    ("what_is_done_again_after_it_was_undone_can_be_opened", what_is_done_again_after_it_was_undone_can_be_opened),
    ("a_store_on_overlayfs_gives_equal_states", a_store_on_overlayfs_gives_equal_states),
    ("a_trivial_step_is_quick", a_trivial_step_is_quick),
    ("one_chain_gives_one_state_for_everyone", one_chain_gives_one_state_for_everyone),
];

fn a_trivial_step_leaves_nothing() {
    let bed = Bed::new();
    let base = bed.shell();
    let mut live = bed.open(&base);
    live.must("true");
    assert_eq!(live.commit(), base);
    live.must("echo x > /x; touch /etc/y 2>/dev/null || true; rm -f /x /etc/y");
    live.must("mkdir -p /run/z; echo z > /dev/shm/z");
    let after = live.commit();
    // `/etc` came into being by the step and stays.
    assert_eq!(bed.top(&after), ["etc"]);
    live.close();
    let scratch_dir = bed.store.root().join("scratch");
    let left: Vec<_> = std::fs::read_dir(scratch_dir).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(left.iter().all(|name| name.to_string_lossy().ends_with(".lock")), "{left:?}");
}

fn the_world_is_the_same_everywhere() {
    let bed = Bed::new();
    let mut live = bed.open(&bed.shell());
    let env = live.must("env | sort");
    assert_eq!(
        env,
        "HOME=/root\nLANG=C.UTF-8\nLOGNAME=root\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n\
         PWD=/\nSHLVL=1\nSOURCE_DATE_EPOCH=1577836800\nUSER=root\n"
    );
    assert_eq!(
        live.must("hostname; ls /dev | tr '\\n' ' '; ls /run"),
        "imgc\nfd full null ptmx pts random shm stderr stdin stdout tty urandom zero imgc\nlock\n"
    );
    // The first process of the namespace and the shell; counted by the shell itself, as a pipeline starts more in any order.
    assert_eq!(live.must("set -- /proc/[0-9]*; echo $#"), "2\n");
    assert_eq!(live.sh("echo x > /sys/x").0, Exit::Code(1));
    assert_eq!(live.sh("mknod /node c 1 3").0, Exit::Code(1), "no more rights than an ordinary user's root");
    assert_eq!(live.must("cat; echo done"), "done\n", "standard input is empty");
    live.close();
}

fn no_network_is_a_loopback_and_nothing_else() {
    let bed = Bed::new();
    let mut live = bed.open(&bed.shell());
    assert_eq!(live.must("ls /sys/class/net; ip addr show lo | cut -d' ' -f5-6 | wc -l"), "lo\n6\n");
    live.close();
}

fn a_network_resolves_and_leaves_nothing() {
    let bed = Bed::new();
    let base = bed.shell();
    let mut live = bed.open(&base);
    let mut with_network = exec(
        "cat /etc/resolv.conf; wget -q -O /dev/null http://deb.debian.org/debian/dists/bookworm/Release && echo fetched",
    );
    with_network.network = true;
    let start = Instant::now();
    let (exit, said) = live.exec(&with_network).unwrap();
    println!("first step with a network: {:?}", start.elapsed());
    assert!(said.contains("nameserver"), "{said}");
    // Where the host itself has no network there is nothing to fetch.
    if std::net::ToSocketAddrs::to_socket_addrs(&("deb.debian.org", 80)).is_ok() {
        assert_eq!(exit, Exit::Code(0), "{said} {}", bed.noted());
    }
    with_network.program = exec("true").program;
    let start = Instant::now();
    live.exec(&with_network).unwrap();
    println!("second step with a network: {:?}", start.elapsed());
    assert_eq!(live.commit(), base);
    live.close();
}

fn ends_are_told_apart() {
    let bed = Bed::new();
    let mut live = bed.open(&bed.shell());
    assert_eq!(live.sh("exit 7").0, Exit::Code(7));
    assert_eq!(live.sh("false; echo not here"), (Exit::Code(1), String::new()));
    assert_eq!(live.sh("kill -9 $$").0, Exit::Signal(Signal(9)));
    assert_eq!(live.sh("kill $$").0, Exit::Signal(Signal(15)));
    let (exit, said) = live.sh("(sleep 1000 &) ; echo on; dd if=/dev/zero bs=1000 count=500 2>/dev/null | tr '\\0' x");
    assert_eq!((exit, said.len()), (Exit::Code(0), 500_003), "output is whole, and what runs on is ended");
    live.close();
}

fn timeouts_and_cancelling_end_everything() {
    let bed = Bed::new();
    let mut live = bed.open(&bed.shell());
    let mut slow = exec("sleep 86399 & echo started; wait");
    slow.timeout = Some(Duration::from_millis(300));
    let start = Instant::now();
    let error = live.exec(&slow).unwrap_err();
    assert!(matches!(error, BackendError::TimedOut { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
    live.must("true");
    let cancel = bed.cx.cancel.clone();
    let waiter = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        cancel.cancel();
    });
    let error = live.exec(&exec("sleep 86399")).unwrap_err();
    assert!(matches!(error, BackendError::Interrupted), "{error}");
    waiter.join().unwrap();
    live.close();
    let all = std::process::Command::new("ps").args(["-eo", "args"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&all.stdout).contains("sleep 86399"));
}

fn users_have_their_groups_and_home() {
    let bed = Bed::new();
    let mut live = bed.open(&bed.shell());
    live.put(vec![
        file("/etc/passwd", b"root:x:0:0::/root:/bin/sh\nann:x:1234:1234::/home/ann:/bin/sh\n", 0o644),
        file("/etc/group", b"root:x:0:\nann:x:1234:\nextra:x:77:ann\n", 0o644),
    ])
    .unwrap();
    let mut as_ann = exec("id; echo $HOME; echo x > /tmp/of-ann; umask");
    as_ann.user = "ann".into();
    as_ann.workdir = "/tmp".into();
    let (exit, said) = live.exec(&as_ann).unwrap();
    assert_eq!(
        (exit, said.as_str()),
        (Exit::Code(0), "uid=1234(ann) gid=1234(ann) groups=77(extra),1234(ann)\n/home/ann\n0022\n")
    );
    live.must("[ $(stat -c %u:%g /tmp/of-ann) = 1234:1234 ]");
    live.close();
}

fn what_is_missing_is_said() {
    let bed = Bed::new();
    let mut empty = bed.open(&scratch());
    let said = |error: BackendError| format!("{error} / {}", error.help().unwrap_or_default());
    let error = said(empty.exec(&exec("true")).unwrap_err());
    assert!(error.contains("the image has no `/bin/sh`"), "{error}");
    empty.close();
    let mut live = bed.open(&bed.shell());
    let mut odd = exec("true");
    odd.user = "bob".into();
    assert!(said(live.exec(&odd).unwrap_err()).contains("no user `bob`"));
    odd.user = "root".into();
    odd.workdir = "/nowhere".into();
    assert!(said(live.exec(&odd).unwrap_err()).contains("`/nowhere`"));
    live.close();
}

fn chain(bed: &Bed, steps: usize) -> imgc_backend::Layer {
    let mut live = bed.open(&bed.shell());
    let mut layer = None;
    for number in 0..steps {
        let before = number.saturating_sub(1);
        live.must(&format!(
            "echo {number} > /n{number}; echo {number} > /last; rm -f /n{before}; mkdir -p /d/{number}"
        ));
        layer = Some(live.commit());
    }
    live.close();
    layer.unwrap()
}

fn long_chains_are_flattened() {
    let long = Bed::new();
    let first = chain(&long, 120);
    assert_eq!(first.chain.len(), 121);
    let mut again = long.open(&first);
    assert_eq!(again.must("cat /last; ls /d | wc -l; ls -d /n*"), "119\n120\n/n119\n");
    again.close();
    let short = Bed::with(imgc_backend::Settings { max_chain: Some(1), ..Default::default() });
    assert_eq!(chain(&short, 12), chain(&Bed::new(), 12), "--max-chain 1 gives equal states");
}

/// As in a container. The mount is in this process's namespace.
/// Equal layers in one chain are one directory, and overlayfs refuses a directory that stands there twice.
fn what_is_done_again_after_it_was_undone_can_be_opened() {
    let bed = Bed::new();
    let mut live = bed.open(&bed.shell());
    let mut layers = Vec::new();
    for script in ["echo a > /f; mkdir -p /d; echo b > /d/g", "rm -r /f /d", "echo a > /f; mkdir -p /d; echo b > /d/g"]
    {
        live.must(script);
        layers.push(live.commit());
    }
    live.close();
    assert_eq!(layers[0].chain.last(), layers[2].chain.last(), "the same was done, so the same is kept");
    let mut live = bed.open(&layers[2]);
    assert_eq!(live.must("cat /f /d/g; rm /f; ls /f /d/g 2>/dev/null || true"), "a\nb\n/d/g\n");
    live.close();
    let mut live = bed.open(&layers[1]);
    assert_eq!(live.sh("ls /f /d").0, Exit::Code(1));
    live.close();
}

fn a_store_on_overlayfs_gives_equal_states() {
    let dir = tempfile::tempdir().unwrap();
    let [lower, upper, work, merged] = ["lower", "upper", "work", "merged"].map(|name| dir.path().join(name));
    for path in [&lower, &upper, &work, &merged] {
        std::fs::create_dir(path).unwrap();
    }
    let user = if imgc_rootfs::in_user_namespace() { ",userxattr" } else { "" };
    let options = format!("lowerdir={},upperdir={},workdir={}{user}", lower.display(), upper.display(), work.display());
    let mut mount = std::process::Command::new("mount");
    mount.args(["-t", "overlay", "overlay", "-o", &options]).arg(&merged);
    assert!(mount.status().unwrap().success());
    let bed = Bed::on(dir, &merged.join("store"), imgc_backend::Settings::default());
    let run = |bed: &Bed| {
        let mut live = bed.open(&bed.shell());
        live.must("mkdir -p /a/b /c; echo x > /a/b/f; ln /a/b/f /a/g; echo y > /c/y");
        live.commit();
        live.must("rm -r /a/b; mkdir /a/b; echo z > /a/b/n; rm /c/y");
        let layer = live.commit();
        live.close();
        let mut again = bed.open(&layer);
        assert_eq!(again.must("ls /a/b /c; cat /a/g"), "/a/b:\nn\n\n/c:\nx\n");
        again.close();
        layer
    };
    let layer = run(&bed);
    assert_eq!(bed.top(&layer), ["a", "!a/b", "a/b/n", "c", "-c/y"]);
    assert!(bed.noted().contains("kept in memory"), "{}", bed.noted());
    assert_eq!(layer, run(&Bed::new()));
    assert!(std::process::Command::new("umount").arg("-l").arg(&merged).status().unwrap().success());
}

fn a_trivial_step_is_quick() {
    const STEPS: u32 = 40;
    let bed = Bed::new();
    let mut live = bed.open(&bed.shell());
    live.must("true");
    let start = Instant::now();
    for _ in 0..STEPS {
        live.must("true");
        live.commit();
    }
    println!("a trivial step: {:?}", start.elapsed() / STEPS);
    let start = Instant::now();
    for number in 0..STEPS {
        live.must(&format!("echo {number} > /x"));
        live.commit();
    }
    println!("a step that changes a file: {:?}", start.elapsed() / STEPS);
    live.close();
}

fn one_chain_gives_one_state_for_everyone() {
    let bed = Bed::new();
    let mut live = bed.open(&bed.shell());
    live.must("mkdir -p /a/b; echo x > /a/b/f; ln /a/b/f /a/g; ln -s f /a/l; chown -h 33:44 /a/l /a/g; mkfifo /a/p");
    live.must("chmod 4755 /a/g; mkdir -m 1777 /sticky; chown 1000:65534 /sticky; touch -d '2001-01-01 00:00:00' /old");
    live.commit();
    live.must("rm -r /a/b; mkdir /a/b; rm /a/p; echo y > /a/b/n");
    let layer = live.commit();
    assert_eq!(bed.top(&layer), ["a", "!a/b", "a/b/n", "-a/p"]);
    live.close();
    print_state(&bed, &layer);
    if let Some(text) = as_user("one_chain_gives_one_state_for_everyone", &[]) {
        assert_eq!(printed_state(&text), layer.state.digest().to_string());
    }
}
