//! `kill -9` at random moments: of imgc alone, of its process group, of a keeper alone; and what the next run finds.
//!
//! A recorded run tells which events there are and how far apart. Each attempt draws one of a phase and a moment before
//! the next, waits for it on a pipe that imgc reports its fail points to, and kills. Which phase it was really in is told
//! by the last event that got through; attempts go on until every victim was hit often enough in every phase.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::bed::{Bed, Random, builds, entries, program};

const PHASES: [&str; 8] = ["unpack", "mount", "step", "capture", "publish", "index", "export", "replay"];

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Imgc,
    Group,
    Keeper,
}

/// Who can be killed in a phase: all machines are closed when files are exported, and no keeper is there any more.
fn victims(phase: &str) -> &'static [Victim] {
    let all = &[Victim::Imgc, Victim::Group, Victim::Keeper];
    if phase == "export" { &all[..2] } else { all }
}

/// What is applied so that the victim is there in the phase.
#[derive(Clone, Copy)]
struct Scene {
    args: &'static [&'static str],
    /// For `IMGC_FAULT_AT`.
    fault: Option<&'static str>,
}

const ALONE: Scene = Scene { args: &["apply", "--format", "json", "archive"], fault: None };
/// Whose base is unpacked has no machine yet: the keeper is that of another image meanwhile.
const BESIDE: Scene = Scene { args: &["apply", "--format", "json"], fault: Some("unpack.begin#1=sleep:400") };
/// Who dies with a keeper that takes its time, so that the next run comes upon it.
const DYING: Scene = Scene { args: ALONE.args, fault: Some("keeper.orphaned#1=sleep:300") };

/// A run whose fail points are read as it passes them.
struct Watched {
    child: Child,
    pipe: File,
    rest: Vec<u8>,
    /// All names so far, with the time since the start.
    seen: Vec<(String, Duration)>,
    start: Instant,
}

impl Watched {
    fn start(bed: &Bed, scene: Scene) -> Self {
        let path = bed.path("pipe");
        if !path.exists() {
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
        }
        // Open for both: then it never ends, and opening does not wait for a writer.
        let pipe = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).expect("flags"))
            .open(&path)
            .expect("the pipe");
        let child = bed
            .imgc(scene.args)
            .env("IMGC_FAULT_TRACE", &path)
            .envs(scene.fault.map(|fault| ("IMGC_FAULT_AT", fault)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("imgc");
        Self { child, pipe, rest: Vec::new(), seen: Vec::new(), start: Instant::now() }
    }

    /// Takes what is in the pipe; waits for something at most so long.
    fn read(&mut self, wait: Duration) {
        let timeout = rustix::fs::Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
        let _ = poll(&mut [PollFd::new(&self.pipe.as_fd(), PollFlags::IN)], Some(&timeout));
        let mut chunk = vec![0; 65536];
        while let Ok(count @ 1..) = self.pipe.read(&mut chunk) {
            self.rest.extend_from_slice(&chunk[..count]);
        }
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            if let Some((_, name)) = line.split_once(' ') {
                self.seen.push((name.to_owned(), self.start.elapsed()));
            }
        }
    }

    /// Goes on until so many events of the phase were seen; false where the run ends before.
    fn until(&mut self, phase: &str, count: usize) -> bool {
        while self.seen.iter().filter(|(name, _)| phase_of(name) == phase).count() < count {
            self.read(Duration::from_millis(20));
            if self.child.try_wait().expect("imgc").is_some() {
                return false;
            }
        }
        true
    }

    /// Waits for the end and takes the last events.
    fn finish(&mut self) {
        self.child.wait().expect("imgc");
        self.read(Duration::from_millis(1));
    }

    /// The phase of the last event of imgc, that of keepers after its end not counted. What is being unpacked is the
    /// phase whatever goes on beside it.
    fn phase(&self) -> &str {
        let count = |name: &str| self.seen.iter().filter(|(seen, _)| seen == name).count();
        if count("unpack.begin") > count("unpack.done") {
            return "unpack";
        }
        let last = self.seen.iter().rev().find(|(name, _)| !name.starts_with("keeper."));
        last.map_or("", |(name, _)| phase_of(name))
    }

    /// How many entries were on the disk for certain.
    fn committed(&self) -> usize {
        let (mut committed, mut open) = (0, 0);
        for (name, _) in &self.seen {
            match name.as_str() {
                "publish.sidecar" => open += 1,
                "index.committed" => {
                    committed += open;
                    open = 0;
                }
                _ => {}
            }
        }
        committed
    }
}

fn phase_of(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

/// What many kills did.
#[derive(Default)]
struct Tally {
    kills: usize,
    landed: BTreeMap<(String, Victim), usize>,
    committed: usize,
    still_cached: usize,
}

impl Tally {
    fn of(&self, phase: &str, victim: Victim) -> usize {
        self.landed.get(&(phase.to_owned(), victim)).copied().unwrap_or(0)
    }

    fn in_phase(&self, phase: &str) -> usize {
        victims(phase).iter().map(|victim| self.of(phase, *victim)).sum()
    }
}

/// `IMGC_FAULT_KILLS` of them, 200 where nothing is said: a tenth in each of the eight phases, shared equally by those who
/// can be killed in it, and the rest anywhere.
#[test]
fn random_kills_lose_nothing_and_leave_nothing() {
    if !builds() {
        return;
    }
    let wanted: usize = std::env::var("IMGC_FAULT_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    let each = (wanted / 10).max(1);
    let share = |phase: &str| each.div_ceil(victims(phase).len());
    // Long enough to be hit while they run.
    let bed = Bed::new(&(program(5).replace("echo", "sleep 0.02; echo") + BESIDE_IT));
    std::fs::copy("/bin/busybox", bed.path("package/busybox")).expect("busybox-static");
    let mut recorded = Watched::start(&bed, ALONE);
    recorded.finish();
    let expected = bed.archive();
    bed.reset();
    let mut random = Random::new(4);
    let mut tally = Tally::default();
    for phase in PHASES {
        for victim in victims(phase).iter().copied() {
            let mut attempts = 0;
            while tally.of(phase, victim) < share(phase) {
                attempts += 1;
                assert!(
                    attempts < 10 * each + 20,
                    "{victim:?} was hit in {phase} only {} times",
                    tally.of(phase, victim)
                );
                one_kill(&bed, (phase, victim), &recorded, &expected, &mut random, &mut tally);
            }
        }
    }
    while tally.kills < wanted {
        let phase = random.of(&PHASES);
        let victim = random.of(victims(phase));
        one_kill(&bed, (phase, victim), &recorded, &expected, &mut random, &mut tally);
    }
    eprintln!(
        "{} kills, landed in {:?}; {} of {} committed results still cached; 0 wrong bytes",
        tally.kills, tally.landed, tally.still_cached, tally.committed
    );
    for phase in PHASES {
        assert!(tally.in_phase(phase) >= each, "{phase}: {:?}", tally.landed);
        assert!(victims(phase).iter().all(|victim| tally.of(phase, *victim) >= share(phase)), "{:?}", tally.landed);
    }
    assert!(tally.still_cached * 100 >= tally.committed * 99, "{} of {}", tally.still_cached, tally.committed);
}

/// An image whose machine is open while the base of the other is held up.
const BESIDE_IT: &str = r#"image beside {
  from = rootfs.scratch()
  copy "shell" { src = file("./busybox"), dest = "/bin/sh", mode = 0o755 }
  sh "wait" { script = "n=0; while [ $n -lt 50000 ]; do n=$((n+1)); done" }
}
output other = oci.archive(beside)
"#;

fn one_kill(
    bed: &Bed,
    (phase, victim): (&str, Victim),
    recorded: &Watched,
    expected: &[u8],
    random: &mut Random,
    tally: &mut Tally,
) {
    bed.reset();
    let mut orphan = None;
    if phase == "replay" {
        // There is something to replay only after a run that died with its machine open.
        let mut dead = Watched::start(bed, if victim == Victim::Keeper { DYING } else { ALONE });
        dead.until("step", 1);
        orphan = children(dead.child.id()).first().copied();
        kill(dead.child.id());
        dead.finish();
    }
    let events: Vec<usize> = (0..recorded.seen.len()).filter(|at| phase_of(&recorded.seen[*at].0) == phase).collect();
    let which =
        if events.is_empty() { 0 } else { usize::try_from(random.below(events.len() as u64)).expect("an index") };
    let gap = match events.get(which) {
        Some(at) => {
            recorded.seen.get(at + 1).map_or(Duration::ZERO, |next| next.1.saturating_sub(recorded.seen[*at].1))
        }
        None => Duration::from_micros(500),
    };
    let scene = if (phase, victim) == ("unpack", Victim::Keeper) { BESIDE } else { ALONE };
    let mut run = Watched::start(bed, scene);
    if !run.until(phase, if scene.fault.is_some() { 1 } else { which + 1 }) {
        run.finish();
        return;
    }
    let micros = u64::try_from(gap.as_micros()).expect("a short gap").clamp(1, 20_000);
    std::thread::sleep(Duration::from_micros(random.below(micros)));
    let struck = strike(&mut run, victim, orphan, scene);
    // Who lost its keeper alone goes on.
    let at_once = run.phase().to_owned();
    run.finish();
    if !struck {
        return;
    }
    let landed = if victim == Victim::Keeper { at_once } else { run.phase().to_owned() };
    let what = format!("{victim:?} killed in {landed} ({})", run.seen.last().map_or("", |(name, _)| name));
    tally.kills += 1;
    *tally.landed.entry((landed, victim)).or_default() += 1;
    let again = bed.must(scene.args);
    assert!(bed.archive() == expected, "{what}: other bytes");
    tally.committed += run.committed();
    tally.still_cached += run.committed().min(again.cached());
    bed.nothing_is_left(&what);
}

/// Kills; false where there is no keeper that could be.
fn strike(run: &mut Watched, victim: Victim, orphan: Option<u32>, scene: Scene) -> bool {
    let imgc = run.child.id();
    match victim {
        Victim::Keeper => {
            let mut keeper = orphan.filter(|keeper| is_alive(*keeper)).or_else(|| children(imgc).first().copied());
            while keeper.is_none() && scene.fault.is_some() && run.phase() == "unpack" {
                run.read(Duration::from_millis(2));
                keeper = children(imgc).first().copied();
            }
            keeper.into_iter().for_each(kill);
            run.read(Duration::from_micros(1));
            keeper.is_some()
        }
        Victim::Imgc => {
            kill(imgc);
            true
        }
        Victim::Group => kill_process_group(pid(imgc), Signal::KILL).is_ok(),
    }
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).expect("a process id")).expect("a process id")
}

/// `kill -9`; one that is gone is fine.
pub(crate) fn kill(id: u32) {
    let _ = kill_process(pid(id), Signal::KILL);
}

/// The processes that this one started and that still run.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let all = entries(Path::new("/proc"));
    let ids = all.iter().filter_map(|process| process.file_name()?.to_str()?.parse().ok());
    ids.filter(|id| stat(*id).is_some_and(|(state, above)| above == parent && state != "Z")).collect()
}

fn is_alive(id: u32) -> bool {
    stat(id).is_some_and(|(state, _)| state != "Z")
}

/// The state of a process, and who started it.
fn stat(id: u32) -> Option<(String, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name before may hold anything.
    let mut rest = text.rsplit_once(')')?.1.split_whitespace();
    Some((rest.next()?.to_owned(), rest.next()?.parse().ok()?))
}

/// The keeper of an imgc, once there is one.
pub(crate) fn keeper_of(imgc: u32) -> u32 {
    within("imgc starts a keeper", || children(imgc).first().copied())
}

/// Asks again and again until there is an answer.
pub(crate) fn within<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}
