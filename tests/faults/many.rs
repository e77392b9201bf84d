//! Many processes on one store.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::bed::{Bed, Said, builds, program};

const APPLY: &[&str] = &["apply", "--format", "json"];

/// A second package beside that of the bed, on the same store.
fn twin(bed: &Bed, name: &str) -> std::path::PathBuf {
    let dir = bed.path(name);
    fs::create_dir(&dir).expect("folder");
    for file in ["main.imgc", "base.tar"] {
        fs::copy(bed.path("package").join(file), dir.join(file)).expect("copy");
    }
    dir
}

fn start(bed: &Bed, package: &std::path::Path) -> Child {
    let mut command: Command = bed.imgc(APPLY);
    command.current_dir(package).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("imgc")
}

fn end(child: Child) -> Said {
    Said::of(&child.wait_with_output().expect("imgc"))
}

fn started(said: &Said) -> usize {
    said.out.lines().filter(|line| line.contains("\"event\":\"started\"")).count()
}

#[test]
fn two_that_want_the_same_steps_build_them_once() {
    if !builds() {
        return;
    }
    let bed = Bed::new(&program(6).replace("echo 1 > /f", "sleep 1; echo 1 > /f"));
    let other = twin(&bed, "other");
    let (first, second) = (start(&bed, &bed.path("package")), start(&bed, &other));
    let (first, second) = (end(first), end(second));
    assert_eq!((first.code, second.code), (Some(0), Some(0)), "{}\n{}", first.err, second.err);
    // A source, six steps and an archive.
    assert_eq!(started(&first) + started(&second), 8, "{}\n{}", first.out, second.out);
    assert_eq!(bed.archive(), fs::read(other.join("out/archive.tar")).expect("the other's archive"));
}

#[test]
fn who_waits_takes_over_when_the_builder_dies() {
    if !builds() {
        return;
    }
    let tag = format!("5{}", std::process::id());
    let bed = Bed::new(
        &program(3).replace("echo 1 > /f", &format!("test -e /dev/mqueue || true; sleep {tag} & sleep 2; echo 1 > /f")),
    );
    let other = twin(&bed, "other");
    let builder = start(&bed, &bed.path("package"));
    let id = builder.id();
    crate::kills::keeper_of(id);
    let waiting = start(&bed, &other);
    crate::kills::within("the other waits", || {
        let locks = crate::bed::entries(&bed.cache.join("locks"));
        (locks.len() > 3).then_some(())
    });
    crate::kills::kill(id);
    let (killed, over) = (end(builder), end(waiting));
    assert_eq!((killed.code, over.code), (None, Some(0)), "{}{}", over.out, over.err);
    assert!(other.join("out/archive.tar").is_file());
    bed.apply();
    assert_eq!(bed.archive(), fs::read(other.join("out/archive.tar")).expect("the other's archive"));
    bed.nothing_is_left("the builder died");
}

#[test]
fn twenty_processes_and_a_collector_share_a_store() {
    if !builds() {
        return;
    }
    let bed = Bed::new(&program(3));
    bed.apply();
    let expected = bed.archive();
    bed.reset();
    let packages: Vec<_> = (0..20).map(|number| twin(&bed, &format!("twin{number}"))).collect();
    for (number, package) in packages.iter().enumerate() {
        // Four programs, so that some share steps and some do not.
        let own = program(3).replace("echo 3 > /d3/f", &format!("echo 9{} > /d3/f", number % 4));
        fs::write(package.join("main.imgc"), if number % 4 == 0 { program(3) } else { own }).expect("program");
    }
    let done = AtomicBool::new(false);
    let collections = std::thread::scope(|scope| {
        let collector = scope.spawn(|| {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                let said = bed.run(&["cache", "gc", "--budget", "0"]);
                // Either it did, or somebody builds.
                assert!(said.code == Some(0) || said.err.contains("is using the cache"), "{}", said.err);
                count += usize::from(said.code == Some(0));
            }
            count
        });
        for _ in 0..2 {
            let running: Vec<Child> = packages.iter().map(|package| start(&bed, package)).collect();
            for (number, child) in running.into_iter().enumerate() {
                let said = end(child);
                assert_eq!(said.code, Some(0), "{number}: {}{}", said.out, said.err);
                let archive = fs::read(packages[number].join("out/archive.tar")).expect("archive");
                assert_eq!(archive == expected, number % 4 == 0, "{number}");
            }
        }
        done.store(true, Ordering::Relaxed);
        collector.join().expect("collector")
    });
    eprintln!("{collections} collections beside 40 applies");
    let verified = bed.must(&["cache", "verify", "--format", "json"]).json();
    assert_eq!(verified["damaged"].as_array().map(Vec::len), Some(0), "{verified}");
    bed.nothing_is_left("twenty processes");
}
