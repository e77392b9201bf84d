//! Programs of 10,000 steps: nothing in the compiler may be quadratic.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::world::MapWorld;

/// Generous without optimisation; the benchmarks hold the release build to 300 ms.
const LIMIT: Duration = Duration::from_secs(20);

fn assert_fast(name: &str, program: &str) {
    let world = MapWorld::of(program);
    // The standard library is parsed once a process.
    imgc_compiler::check(&MapWorld::of(""), "main.imgc");
    let begin = Instant::now();
    let planned = imgc_compiler::plan(&world, "main.imgc");
    let took = begin.elapsed();
    println!("{name}: {took:?}");
    assert_eq!(planned.diagnostics, []);
    assert!(planned.plan.unwrap().nodes.len() >= 10_000);
    assert!(took < LIMIT, "{name} took {took:?}");
}

#[test]
fn ten_thousand_blocks() {
    let mut program = "image big {\n  from = rootfs.scratch()\n".to_owned();
    for n in 0..10_000 {
        let _ = writeln!(program, "  sh \"step {n}\" {{\n    script = \"echo {n} >/f{n}\"\n  }}");
    }
    program.push_str("}\noutput archive = oci.archive(big)\n");
    assert_fast("blocks", &program);
}

#[test]
fn ten_thousand_turns() {
    let program = r#"
image big {
  from = rootfs.scratch()
  for i in 1..=10000 {
    sh "step" { script = "echo \{i} >/f\{i}" }
  }
}
output archive = oci.archive(big)
"#;
    assert_fast("turns", program);
}

#[test]
fn two_thousand_items() {
    let mut program = String::new();
    for n in (0..2_000).rev() {
        let from = if n == 0 { "rootfs.scratch()".to_owned() } else { format!("image{}", n - 1) };
        let _ = writeln!(
            program,
            "image image{n} {{ from = {from}\n  for i in [1, 2, 3, 4, 5] {{ sh \"a\" {{ script = \"echo \\{{i}}\" }} }} }}"
        );
    }
    program.push_str("output last = oci.archive(image1999)\n");
    assert_fast("items", &program);
}
