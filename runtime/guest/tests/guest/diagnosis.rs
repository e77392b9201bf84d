//! Causes, found in the consoles of real guests: Debian's kernel 6.1 under QEMU, told to do these things to itself.

use imgc_backend::BackendError;
use imgc_guest::diagnosis::{Cause, Ended, Evidence, Kind, Screen, diagnose};

const PANIC: &str = include_str!("serial/panic.txt");
const OOM: &str = include_str!("serial/oom.txt");
const OOM_PANIC: &str = include_str!("serial/oompanic.txt");
const INIT_DIES: &str = include_str!("serial/initdies.txt");
const NO_ROOT: &str = include_str!("serial/noroot.txt");
const UNSIGNED: &str = include_str!("serial/unsigned.txt");
const FULL: &str = include_str!("serial/full.txt");

fn serial(text: &str) -> (Kind, String) {
    told(&Evidence { serial: text, waited: Some(60), ..Evidence::default() })
}

fn told(evidence: &Evidence<'_>) -> (Kind, String) {
    let Cause { kind, message, help, .. } = diagnose(evidence).unwrap();
    assert!(!help.is_empty());
    (kind, message)
}

#[test]
fn consoles_of_real_guests_tell_the_cause() {
    assert_eq!(serial(PANIC), (Kind::Panic, "the guest's kernel stopped: sysrq triggered crash".to_owned()));
    let memory = "the guest ran out of memory, and its kernel killed a process";
    assert_eq!(serial(OOM), (Kind::Memory, memory.to_owned()));
    let memory = "the guest ran out of memory, and its kernel stopped";
    assert_eq!(serial(OOM_PANIC), (Kind::Memory, memory.to_owned()));
    let init = "the guest's first process ended, and its kernel stopped: Attempted to kill init! exitcode=0x00000300";
    assert_eq!(serial(INIT_DIES), (Kind::Panic, init.to_owned()));
    assert_eq!(serial(NO_ROOT), (Kind::NoBoot, "the guest's kernel finds no root file system".to_owned()));
    assert_eq!(serial(UNSIGNED), (Kind::NoBoot, "secure boot refuses the guest's boot loader".to_owned()));
    let empty = UNSIGNED.replace("Access Denied", "Not Found");
    assert_eq!(serial(&empty), (Kind::NoBoot, "the firmware finds no disk that it can boot from".to_owned()));
    assert_eq!(serial(FULL), (Kind::DiskFull, "a disk of the guest is full".to_owned()));
    let line = diagnose(&Evidence { serial: PANIC, ..Evidence::default() }).unwrap().line.unwrap();
    assert_eq!(line, "Kernel panic - not syncing: sysrq triggered crash");
}

#[test]
fn what_happened_to_the_machine_goes_before_what_the_guest_said() {
    let evidence = Evidence { serial: OOM, ended: Some(Ended::Signal(9)), ..Evidence::default() };
    assert_eq!(told(&evidence), (Kind::Machine, "QEMU was killed (signal 9)".to_owned()));
    let full = Evidence { ended: Some(Ended::Signal(7)), full_host: Some("/disk"), ..Evidence::default() };
    assert_eq!(
        told(&full).1,
        "the host's disk is full: the guest's memory is a file in /disk, and QEMU was ended by signal 7"
    );
    let other = Evidence { full_host: None, ..full };
    assert_eq!(told(&other).1, "QEMU was ended by signal 7: it could not reach the file with the guest's memory");
    let evidence = Evidence { serial: PANIC, ended: Some(Ended::Reset), ..Evidence::default() };
    assert_eq!(told(&evidence).0, Kind::Panic);
    let evidence = Evidence { ended: Some(Ended::PowerOff), ..Evidence::default() };
    assert_eq!(told(&evidence), (Kind::TurnedOff, "the guest turned itself off".to_owned()));
}

#[test]
fn a_refused_login_and_a_full_disk_are_told_from_errors_and_output() {
    let message =
        "the guest refuses the password of the user `debian` at 127.0.0.1:22; it accepts publickey".to_owned();
    let error = BackendError::Program { message: message.clone(), help: Some("check".to_owned()) };
    assert_eq!(told(&Evidence { error: Some(&error), ..Evidence::default() }), (Kind::Login, message));
    let output = "tar: ./x: Cannot write: No space left on device\n";
    assert_eq!(told(&Evidence { output, ..Evidence::default() }).0, Kind::DiskFull);
}

#[test]
fn the_network_is_told_from_its_cards() {
    let check = |network: &str| told(&Evidence { network: Some(network), waited: Some(9), ..Evidence::default() });
    let down = "the guest's network card eth0 is down: it has no link";
    assert_eq!(check("eth0 carrier=0 2: eth0 inet 10.0.2.15/24\n"), (Kind::Network, down.to_owned()));
    let bare = "the guest's network cards have a link but no address";
    assert_eq!(check("eth0 carrier=1 \n"), (Kind::Network, bare.to_owned()));
    assert_eq!(check("").0, Kind::Network);
    assert_eq!(check("eth0 carrier=1 2: eth0    inet 10.0.2.15/24 \n").0, Kind::Silent);
}

#[test]
fn silence_is_told_with_the_last_that_was_seen() {
    assert_eq!(serial("").1, "the guest does not answer within 60 s and wrote nothing to its serial console");
    let up = serial("Debian GNU/Linux 12 debian ttyS0\r\n\r\ndebian login: ");
    assert_eq!(up.1, "the guest does not answer within 60 s though it is up: it asks for a login");
    let text = "\u{1b}[0;32m  OK  \u{1b}[0m] Started \u{1b}[0;1;39mcron.service\u{1b}[0m\n\n";
    let cause = diagnose(&Evidence { serial: text, waited: Some(1), ..Evidence::default() }).unwrap();
    assert_eq!(cause.line.unwrap(), "OK  ] Started cron.service");
    assert_eq!(diagnose(&Evidence { serial: text, ..Evidence::default() }), None);
}

#[test]
fn screens_become_png() {
    let mut ppm = b"P6\n# by QEMU\n2 2\n255\n".to_vec();
    ppm.extend([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255]);
    let screen = Screen::from_ppm(&ppm).unwrap();
    assert!(!screen.is_blank());
    let png = screen.to_png().unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(&png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    assert_eq!(pixels, ppm[ppm.len() - 12..]);
    for bad in ["", "P6", "P6 2 2 255", "P6\n2 2\n255\nx", "P5\n1 1\n255\nx", "P6\n99999999999 1\n255\n"] {
        assert!(Screen::from_ppm(bad.as_bytes()).is_err(), "{bad:?}");
    }
}
