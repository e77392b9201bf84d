//! What a guest died of, from what was seen of it: the text of its serial console, how its machine ended, what the
//! connection said. Pure: it reads nothing and asks nobody; [`NETWORK`] is what to ask a guest that still answers.

mod screen;
mod serial;

use std::fmt;

use imgc_backend::BackendError;

pub use screen::{Screen, ScreenError};

/// Everything that was seen. What is not known stays empty.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evidence<'a> {
    /// The serial console since the machine started, or its last part. Odd bytes may have been replaced.
    pub serial: &'a str,
    /// How the machine ended, where it did.
    pub ended: Option<Ended>,
    /// The error that the connection, or the step, gave.
    pub error: Option<&'a BackendError>,
    /// The last output of the step.
    pub output: &'a str,
    /// What [`NETWORK`] printed.
    pub network: Option<&'a str>,
    /// How long an answer was waited for, in seconds.
    pub waited: Option<u64>,
    /// The file system of the host that has the machine's files, where nothing more has room there.
    pub full_host: Option<&'a str>,
}

/// How a machine ended that should not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Its program was ended by a signal.
    Signal(i32),
    /// Its program ended with a code other than zero.
    Code(i32),
    /// The guest powered itself off.
    PowerOff,
    /// The guest reset itself.
    Reset,
}

/// What it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The kernel stopped.
    Panic,
    /// Memory ran out in the guest.
    Memory,
    /// A disk of the guest is full.
    DiskFull,
    /// A disk of the guest is damaged or does not answer.
    DiskBroken,
    /// The guest's network is gone.
    Network,
    /// The machine's program was killed or failed.
    Machine,
    /// The guest turned itself off.
    TurnedOff,
    /// The login was refused.
    Login,
    /// The firmware or boot loader found nothing to start.
    NoBoot,
    /// The system started and stopped half way, in a shell for repairs.
    Rescue,
    /// Nothing is known but that there was no answer.
    Silent,
}

/// A cause, told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// What it was.
    pub kind: Kind,
    /// One sentence, lower case, no full stop.
    pub message: String,
    /// What to do.
    pub help: String,
    /// The line of the console that says it.
    pub line: Option<String>,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What to ask the shell of a guest that still answers: a line a network card, with its carrier and addresses.
pub const NETWORK: &str = "\
for card in /sys/class/net/*; do
  name=${card##*/}
  [ \"$name\" = lo ] && continue
  echo \"$name carrier=$(cat \"$card/carrier\" 2>/dev/null) $(ip -o -4 addr show dev \"$name\" 2>/dev/null | tr '\\n' ' ')\"
done
";

/// Finds the cause; none where nothing was seen that could be one.
pub fn diagnose(evidence: &Evidence<'_>) -> Option<Cause> {
    machine(evidence.ended, evidence.full_host)
        .or_else(|| serial::fatal(evidence.serial))
        .or_else(|| login(evidence.error))
        .or_else(|| serial::full_disk(evidence.output))
        .or_else(|| serial::full_disk(&error_text(evidence.error)))
        .or_else(|| evidence.network.and_then(network))
        .or_else(|| serial::grave(evidence.serial))
        .or_else(|| turned_off(evidence.ended))
        .or_else(|| silent(evidence))
}

/// Why nothing will go on in a guest, from its console alone.
pub fn fatal(serial: &str) -> Option<Cause> {
    serial::fatal(serial)
}

fn error_text(error: Option<&BackendError>) -> String {
    error.map(ToString::to_string).unwrap_or_default()
}

/// What happened to the machine's program goes before all that the guest said.
fn machine(ended: Option<Ended>, full_host: Option<&str>) -> Option<Cause> {
    let (message, help) = match (ended?, full_host) {
        (Ended::Signal(9), _) => (
            "QEMU was killed (signal 9)".to_owned(),
            "did the host run out of memory? see `dmesg`, and give the machine less with `memory`, or run fewer at a time \
             with `--jobs`",
        ),
        // The guest's memory is a file: what it touches first and has no room there ends so.
        (Ended::Signal(7), Some(place)) => (
            format!("the host's disk is full: the guest's memory is a file in {place}, and QEMU was ended by signal 7"),
            "make room there (`imgc cache gc` removes what was not used for longest), then run the same command again: it \
             goes on from the last layer",
        ),
        (Ended::Signal(7), None) => (
            "QEMU was ended by signal 7: it could not reach the file with the guest's memory".to_owned(),
            "was the host's disk full for a moment, or is it failing? see `dmesg`; what was built stays cached",
        ),
        (Ended::Signal(number), _) => (
            format!("QEMU was ended by signal {number}"),
            "if nobody sent it, it is a fault of QEMU: its log may say more",
        ),
        (Ended::Code(code), _) => (
            format!("QEMU ended by itself with code {code}"),
            "its log says why; see `qemu_args` and the machine record",
        ),
        (Ended::PowerOff | Ended::Reset, _) => return None,
    };
    Some(Cause { kind: Kind::Machine, message, help: help.to_owned(), line: None })
}

fn turned_off(ended: Option<Ended>) -> Option<Cause> {
    let how = match ended? {
        Ended::PowerOff => "turned itself off",
        Ended::Reset => "restarted by itself",
        Ended::Signal(_) | Ended::Code(_) => return None,
    };
    Some(Cause {
        kind: Kind::TurnedOff,
        message: format!("the guest {how}"),
        help: "a step that restarts the machine has to say `disconnect = \"expected\"`, or be a `restart`".to_owned(),
        line: None,
    })
}

fn login(error: Option<&BackendError>) -> Option<Cause> {
    let error = error?;
    let BackendError::Program { message, help } = error else { return None };
    message.starts_with("the guest refuses ").then(|| Cause {
        kind: Kind::Login,
        message: message.clone(),
        help: help.clone().unwrap_or_default(),
        line: None,
    })
}

/// A card without carrier, or none with an address.
fn network(said: &str) -> Option<Cause> {
    let cause = |message: String, help: &str| Cause { kind: Kind::Network, message, help: help.to_owned(), line: None };
    let cards: Vec<&str> = said.lines().filter(|line| line.contains(" carrier=")).collect();
    if cards.is_empty() {
        return Some(cause(
            "the guest has no network card that its kernel knows".to_owned(),
            "its kernel lacks the driver: try another `model` in `nics`, such as `e1000`",
        ));
    }
    let down = cards.iter().find(|line| !line.contains("carrier=1"));
    if let Some(down) = down {
        let name = down.split(' ').next().unwrap_or_default();
        return Some(cause(
            format!("the guest's network card {name} is down: it has no link"),
            "did a step take it down? see the guest's `ip link`",
        ));
    }
    let addressed = cards.iter().any(|line| line.contains(" inet "));
    (!addressed).then(|| {
        cause(
            "the guest's network cards have a link but no address".to_owned(),
            "let the image ask for one by DHCP, or give the seed a `network`",
        )
    })
}

fn silent(evidence: &Evidence<'_>) -> Option<Cause> {
    let disconnected = matches!(evidence.error, Some(BackendError::Disconnected { .. }));
    if !disconnected && evidence.waited.is_none() {
        return None;
    }
    let last = serial::last_line(evidence.serial);
    let waited = evidence.waited.map(|seconds| format!(" within {seconds} s")).unwrap_or_default();
    let (state, help) = match &last {
        None => (
            "and wrote nothing to its serial console",
            "does the disk boot with this `firmware`? its screen may say more; its kernel needs `console=ttyS0` to be seen",
        ),
        Some(line) if serial::is_login(line) => (
            "though it is up: it asks for a login",
            "does an SSH server run in it, and may it be reached? see `login.port`",
        ),
        Some(_) => {
            ("", "give a slow machine more time with `login.timeout`; its serial console and screen may say more")
        }
    };
    let state = if state.is_empty() { String::new() } else { format!(" {state}") };
    Some(Cause {
        kind: Kind::Silent,
        message: format!("the guest does not answer{waited}{state}"),
        help: help.to_owned(),
        line: last,
    })
}
