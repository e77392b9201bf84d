//! `imgc-fuzz SECONDS [SEED]`: programs of the repository, changed at random, through parser, formatter, checker and plan.
//!
//! Promises: no panic, every byte is in the tree, formatting settles and keeps what was right, there is no plan with an
//! error and none is lacking without one, and no text takes much longer than a right one. The text under test is kept in
//! `target/fuzz/last.imgc`, so that a crash leaves it there.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program of one page that tells how it went")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs, io};

use imgc_compiler::{ModuleId, Severity, format, parse};

mod mutate;
mod world;

use mutate::Random;
use world::OneFile;

/// How many times longer, for each byte, than the slowest unchanged program a text may take.
const TIMES: u32 = 20;
/// Texts below this many bytes count as that long: what each run costs anyway.
const LEAST: usize = 1 << 10;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let seconds = args.next().and_then(|text| text.parse().ok()).unwrap_or(10);
    let seed = args.next().and_then(|text| text.parse().ok()).unwrap_or(1);
    match fuzz(Duration::from_secs(seconds), seed) {
        Ok((count, worst)) => {
            println!(
                "{count} texts in {seconds} s, seed {seed}: all promises held; the slowest took {worst:.1} times a right one"
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("seed {seed}: {error}\nthe text is in target/fuzz/last.imgc");
            ExitCode::FAILURE
        }
    }
}

fn fuzz(time: Duration, seed: u64) -> Result<(usize, f64), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut samples = Vec::new();
    for folder in ["examples", "stdlib", "tests/corpus", "compiler/tests/samples", "compiler/pages"] {
        collect(&root.join(folder), &mut samples).map_err(|error| format!("cannot read {folder}: {error}"))?;
    }
    if samples.is_empty() {
        return Err("no samples".to_owned());
    }
    let last = root.join("target/fuzz/last.imgc");
    let written = fs::create_dir_all(root.join("target/fuzz"));
    written.map_err(|error| format!("cannot make target/fuzz: {error}"))?;
    let keep =
        |text: &[u8]| fs::write(&last, text).map_err(|error| format!("cannot write {}: {error}", last.display()));
    // The slowest sample sets what is slow. The first run also reads the standard library.
    took(samples.first().map_or(&[], |sample| sample))?;
    let mut slowest = Duration::ZERO;
    for sample in &samples {
        keep(sample)?;
        slowest = slowest.max(a_byte(sample)?);
    }
    let mut random = Random(seed);
    let (begin, mut count, mut worst) = (Instant::now(), 0, Duration::ZERO);
    while begin.elapsed() < time {
        let text = mutate::changed(&samples, &mut random);
        keep(&text)?;
        let time = a_byte(&text)?;
        if time > slowest * TIMES {
            return Err(format!("{time:?} a byte, and the slowest sample takes {slowest:?}"));
        }
        worst = worst.max(time);
        count += 1;
    }
    Ok((count, worst.as_secs_f64() / slowest.as_secs_f64()))
}

/// The time that a text takes for each of its bytes.
fn a_byte(text: &[u8]) -> Result<Duration, String> {
    let bytes = u32::try_from(text.len().max(LEAST)).unwrap_or(u32::MAX);
    Ok(took(text)? / bytes)
}

/// What this thread has computed so far, where the system tells (Linux): other work on the machine does not count.
fn computed(begin: Instant) -> Duration {
    let told = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = told.split(' ').next().and_then(|text| text.parse().ok());
    nanoseconds.map_or_else(|| begin.elapsed(), Duration::from_nanos)
}

/// Holds one text to the promises, and measures.
fn took(bytes: &[u8]) -> Result<Duration, String> {
    let begin = Instant::now();
    let before = computed(begin);
    if let Ok(text) = std::str::from_utf8(bytes) {
        syntax(text)?;
    }
    let world = OneFile(bytes);
    let checked = imgc_compiler::check(&world, "main.imgc");
    let planned = imgc_compiler::plan(&world, "main.imgc");
    let is_wrong = planned.diagnostics.iter().any(|d| d.severity == Severity::Error);
    if planned.plan.is_some() == is_wrong {
        return Err("a plan with errors, or none without".to_owned());
    }
    for diagnostic in checked.diagnostics.iter().chain(&planned.diagnostics) {
        if diagnostic.code == "IMG5021" {
            return Err(format!("{}: {}", diagnostic.code, diagnostic.message));
        }
    }
    Ok(computed(begin).saturating_sub(before))
}

fn syntax(text: &str) -> Result<(), String> {
    let parsed = parse::parse(text, ModuleId(0));
    if parsed.tree.leaves().concat() != text {
        return Err("the tree lost a byte".to_owned());
    }
    let once = format::format(&parsed);
    let again = parse::parse(&once, ModuleId(0));
    let twice = format::format(&again);
    if twice != once {
        let differs = once.lines().zip(twice.lines()).find(|(one, other)| one != other);
        return Err(format!("formatting does not settle: {differs:?}"));
    }
    let codes = |parsed: &parse::Parsed| parsed.diagnostics.iter().map(|d| d.code).collect::<Vec<_>>();
    if codes(&again) != codes(&parsed) {
        return Err("formatting changed what is wrong with a program".to_owned());
    }
    Ok(())
}

fn collect(path: &Path, into: &mut Vec<Vec<u8>>) -> io::Result<()> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(path)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    entries.sort();
    for path in entries {
        // Programs that meet the limits take their time.
        let is_slow = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("limit_"));
        let is_limit_page = path.file_stem().is_some_and(|stem| stem == "IMG5008");
        if path.is_dir() && !is_slow {
            collect(&path, into)?;
        } else if path.extension().is_some_and(|ending| ending == "imgc" || ending == "md") && !is_limit_page {
            into.push(fs::read(path)?);
        }
    }
    Ok(())
}
