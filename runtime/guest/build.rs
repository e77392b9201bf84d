//! Compiles the agent as a small static program that is embedded in this crate.
//!
//! The compiler is called directly: a second cargo would wait for the lock of the first, and there is nothing to
//! resolve. Where no static program can be made (no static C library, another system than Linux) none is embedded, and
//! machines are served by SSH alone.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let var = |name: &str| env::var(name).unwrap_or_default();
    let sources = Path::new(&var("CARGO_MANIFEST_DIR")).join("../agent/src");
    println!("cargo::rerun-if-changed={}", sources.display());
    let out = PathBuf::from(var("OUT_DIR"));
    let agent = out.join("agent");
    let arch = var("CARGO_CFG_TARGET_ARCH");
    let made = if var("CARGO_CFG_TARGET_OS") == "linux" { compile(&sources, &out, &agent, &arch) } else { Ok(()) };
    if let Err(error) = made {
        let _ = std::fs::write(&agent, []);
        println!("cargo::warning=no agent for virtual machines is embedded: {error}");
    }
    if !agent.exists() {
        let _ = std::fs::write(&agent, []);
    }
    println!("cargo::rustc-env=IMGC_AGENT={}", agent.display());
    println!("cargo::rustc-env=IMGC_AGENT_ARCH={arch}");
}

fn compile(sources: &Path, out: &Path, agent: &Path, arch: &str) -> Result<(), String> {
    let library = out.join("libimgc_agent.rlib");
    rustc(arch, &["--crate-type=rlib", "--crate-name=imgc_agent"], &library, &sources.join("lib.rs"))?;
    let library = format!("--extern=imgc_agent={}", library.display());
    let program = ["--crate-type=bin", "--crate-name=agent", "-Clto=fat", "-Cstrip=symbols", &library];
    rustc(arch, &program, agent, &sources.join("main.rs"))
}

fn rustc(arch: &str, more: &[&str], to: &Path, source: &Path) -> Result<(), String> {
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(compiler);
    command
        .args(["--edition=2024", "--cap-lints=allow", "-Copt-level=z", "-Cpanic=abort", "-Ccodegen-units=1"])
        // Crates compiled with a target given are the same whatever flags the host's own programs are built with.
        .args(["-Ctarget-feature=+crt-static", "-Crelocation-model=static", "-Cembed-bitcode=yes"])
        .arg(format!("--target={arch}-unknown-linux-gnu"))
        // The same bytes wherever the sources lie: its digest tells saved machines apart.
        .arg(format!("--remap-path-prefix={}=agent", source.parent().unwrap_or(source).display()))
        .args(more)
        .arg("-o")
        .arg(to)
        .arg(source);
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let first = said.lines().find(|line| line.starts_with("error")).unwrap_or("the compiler failed");
            Err(first.to_owned())
        }
        Err(error) => Err(format!("cannot run the compiler: {error}")),
    }
}
