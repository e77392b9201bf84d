//! `kill -9` at random moments: of imgc alone, of its process group, of a keeper alone; and what the next run finds.
//!
//! A recorded run tells which events there are and how far apart. Each attempt draws one of a phase and a moment before
//! the next, waits for it on a pipe that imgc reports its fail points to, and kills. Which phase it was really in is told
//! by the last event that got through; attempts go on until every phase was hit often enough.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::bed::{Bed, Random, builds, program};

const PHASES: [&str; 8] = ["unpack", "mount", "step", "capture", "publish", "index", "export", "replay"];

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Imgc,
    Group,
    Keeper,
}

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
    fn start(bed: &Bed) -> Self {
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
            .imgc(&["apply", "--format", "json"])
            .env("IMGC_FAULT_TRACE", &path)
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

    /// The phase of the last event of imgc, that of keepers after its end not counted.
    fn phase(&self) -> &str {
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
    landed: BTreeMap<String, usize>,
    committed: usize,
    still_cached: usize,
    victims: BTreeMap<&'static str, usize>,
}

#[test]
fn random_kills_lose_nothing_and_leave_nothing() {
    if !builds() {
        return;
    }
    let wanted: usize = std::env::var("IMGC_FAULT_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    let each = (wanted / 10).max(1);
    // Long enough to be hit while they run.
    let bed = Bed::new(&program(5).replace("echo", "sleep 0.02; echo"));
    let mut recorded = Watched::start(&bed);
    recorded.finish();
    let expected = bed.archive();
    bed.reset();
    let mut random = Random::new(4);
    let mut tally = Tally::default();
    for phase in PHASES {
        let mut attempts = 0;
        while tally.landed.get(phase).copied().unwrap_or(0) < each {
            attempts += 1;
            assert!(attempts < 10 * each + 20, "{phase} was hit only {:?} times", tally.landed.get(phase));
            one_kill(&bed, phase, &recorded, &expected, &mut random, &mut tally);
        }
    }
    while tally.kills < wanted {
        let phase = PHASES[usize::try_from(random.below(PHASES.len() as u64)).expect("an index")];
        one_kill(&bed, phase, &recorded, &expected, &mut random, &mut tally);
    }
    eprintln!(
        "{} kills {:?}, landed in {:?}; {} of {} committed results still cached; 0 wrong bytes",
        tally.kills, tally.victims, tally.landed, tally.still_cached, tally.committed
    );
    assert!(tally.still_cached * 100 >= tally.committed * 99, "{} of {}", tally.still_cached, tally.committed);
}

fn one_kill(bed: &Bed, phase: &str, recorded: &Watched, expected: &[u8], random: &mut Random, tally: &mut Tally) {
    bed.reset();
    if phase == "replay" {
        // There is something to replay only after a run that died with its machine open.
        let mut dead = Watched::start(bed);
        dead.until("step", 1);
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
    let mut run = Watched::start(bed);
    if !run.until(phase, which + 1) {
        run.finish();
        return;
    }
    let micros = u64::try_from(gap.as_micros()).expect("a short gap").clamp(1, 20_000);
    std::thread::sleep(Duration::from_micros(random.below(micros)));
    let victim = match random.below(3) {
        0 => Victim::Imgc,
        1 => Victim::Group,
        _ => Victim::Keeper,
    };
    let killed = strike(&run, victim);
    run.finish();
    tally.kills += 1;
    *tally.victims.entry(killed).or_default() += 1;
    *tally.landed.entry(run.phase().to_owned()).or_default() += 1;
    let again = bed.apply();
    let what = format!("{killed} killed in {phase} ({})", run.seen.last().map_or("", |(name, _)| name));
    assert!(bed.archive() == expected, "{what}: other bytes");
    tally.committed += run.committed();
    tally.still_cached += run.committed().min(again.cached());
    bed.nothing_is_left(&what);
}

/// Kills; a keeper where there is one just then, else imgc.
fn strike(run: &Watched, victim: Victim) -> &'static str {
    let imgc = run.child.id();
    match victim {
        Victim::Keeper => {
            if let Some(keeper) = children(imgc).first() {
                kill(*keeper);
                "a keeper"
            } else {
                kill(imgc);
                "imgc"
            }
        }
        Victim::Imgc => {
            kill(imgc);
            "imgc"
        }
        Victim::Group => {
            let _ = kill_process_group(pid(imgc), Signal::KILL);
            "the process group"
        }
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
    let output = Command::new("ps").args(["-o", "pid=,stat=", "--ppid", &parent.to_string()]).output().expect("ps");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let alive = text.lines().filter(|line| !line.contains('Z'));
    alive.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
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
