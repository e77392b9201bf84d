//! Trying a QEMU out: whether an accelerator really runs a guest, and whether a guest's memory can be kept.
//!
//! The guest is nothing but QEMU's own BIOS, which writes on its debug port as soon as it runs.

use std::path::Path;
use std::time::Duration;

use imgc_backend::{BackendError, Cx, EventSink, Settings};
use imgc_plan::Platform;
use imgc_store::Store;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::command::{self, file};
use crate::errors;
use crate::host::{Host, Keeping, SIGN_OF_LIFE, Seen};
use crate::process::{Qemu, Saving};
use crate::record::Accelerator;

/// What the probe's BIOS says.
const SAID: &str = "bios.log";

/// Looks what this QEMU can do here.
pub(crate) async fn look(host: &Host, store: &Store, platform: &Platform) -> Result<Seen, BackendError> {
    let (accelerator, why) = accelerator(host, store, platform).await?;
    let memory = memory(host, store, platform, accelerator).await?;
    Ok(Seen { accelerator, why, memory })
}

/// Whether the accelerator that the machine record names really runs guests; an error that says why not.
pub(crate) async fn works(
    host: &Host,
    store: &Store,
    platform: &Platform,
    accelerator: Accelerator,
) -> Result<Result<(), String>, BackendError> {
    if platform.arch != "amd64" {
        // Only a PC's BIOS says that it runs; the guest's own boot has to show it.
        return Ok(if accelerator == Accelerator::Tcg {
            Ok(())
        } else {
            Err("it cannot be tried out for this platform".to_owned())
        });
    }
    let scratch = store.scratch("probe").map_err(errors::store)?;
    Ok(starts(host, scratch.path(), accelerator).await.err())
        .map(|error| error.map_or(Ok(()), |error| Err(error.to_string())))
}

async fn accelerator(
    host: &Host,
    store: &Store,
    platform: &Platform,
) -> Result<(Accelerator, Option<String>), BackendError> {
    let native = if cfg!(target_os = "macos") {
        (Accelerator::Hvf, "HVF")
    } else if cfg!(windows) {
        (Accelerator::Whpx, "WHPX")
    } else {
        (Accelerator::Kvm, "KVM")
    };
    let foreign = platform.arch != if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    if foreign {
        return Ok((Accelerator::Tcg, Some(format!("this host cannot run {} natively", platform.arch))));
    }
    if native.0 == Accelerator::Kvm && !Path::new("/dev/kvm").exists() {
        return Ok((Accelerator::Tcg, Some("this host has no /dev/kvm".to_owned())));
    }
    match works(host, store, platform, native.0).await? {
        Ok(()) => Ok((native.0, None)),
        Err(error) => Ok((Accelerator::Tcg, Some(format!("{} is there and does not work: {error}", native.1)))),
    }
}

/// Starts a guest and waits for its sign of life.
async fn starts(host: &Host, dir: &Path, accelerator: Accelerator) -> Result<(), BackendError> {
    let cx = quiet();
    let mut qemu = Qemu::start(command(host, accelerator, "share=on", file::RAM, false), dir, &cx).await?;
    qemu.go().await?;
    let alive = sign_of_life(dir).await;
    qemu.kept.kill().await;
    if alive {
        return Ok(());
    }
    let message = format!("a guest showed no sign of life within {}s", SIGN_OF_LIFE.as_secs());
    Err(BackendError::Environment { message, help: None })
}

async fn sign_of_life(dir: &Path) -> bool {
    let until = tokio::time::Instant::now() + SIGN_OF_LIFE;
    while tokio::time::Instant::now() < until {
        if std::fs::metadata(dir.join(SAID)).is_ok_and(|meta| meta.len() > 0) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

/// In which ways a guest can be saved and taken up again: with its RAM left in its file, which it must, and with the RAM
/// in what is saved, for guests that share their RAM with others.
async fn memory(
    host: &Host,
    store: &Store,
    platform: &Platform,
    accelerator: Accelerator,
) -> Result<Result<Keeping, String>, BackendError> {
    if platform.arch != "amd64" {
        return Ok(Err("memory parts are tried out for PCs only".to_owned()));
    }
    let tries = |ram_elsewhere, mapped| {
        let saving = Saving { ram_elsewhere, mapped };
        async move {
            let scratch = store.scratch("probe").map_err(errors::store)?;
            Ok::<_, BackendError>(saves(host, scratch.path(), accelerator, saving).await)
        }
    };
    let knows_mapped = match tries(true, false).await? {
        Ok(known) => known,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let works = async |ram_elsewhere| match tries(ram_elsewhere, true).await? {
        Ok(_) => Ok::<_, BackendError>(true),
        Err(error) => {
            tracing::debug!(ram_elsewhere, %error, "this QEMU has `mapped-ram`, and it does not work");
            Ok(false)
        }
    };
    if !knows_mapped {
        return Ok(Ok(Keeping { mapped_beside: false, mapped: false }));
    }
    Ok(Ok(Keeping { mapped_beside: works(true).await?, mapped: works(false).await? }))
}

/// Saves a guest, takes it up on a private view of its file or on RAM of its own, and compares. Returns whether this QEMU
/// says that it has `mapped-ram`.
async fn saves(host: &Host, dir: &Path, accelerator: Accelerator, saving: Saving) -> Result<bool, BackendError> {
    let cx = quiet();
    let mut first = Qemu::start(command(host, accelerator, "share=on", file::RAM, false), dir, &cx).await?;
    let known = first.run("query-migrate-capabilities", json!({})).await?;
    let knows_mapped = known.as_array().is_some_and(|all| all.iter().any(|one| one["capability"] == "mapped-ram"));
    first.go().await?;
    if !sign_of_life(dir).await {
        return Err(BackendError::Environment { message: "the guest showed no sign of life".to_owned(), help: None });
    }
    first.stop().await?;
    let before = first.qmp.human("xp/64xb 0xf0000").await.map_err(|error| errors::qmp(&error))?;
    first.run("pmemsave", json!({"val": 0, "size": 1 << 20, "filename": "before"})).await?;
    first.save(saving).await?;
    let ram = std::fs::read(dir.join(file::RAM)).map_err(BackendError::io("cannot read the probe's memory"))?;
    first.kept.kill().await;
    for socket in [file::QMP, SAID] {
        let _ = std::fs::remove_file(dir.join(socket));
    }
    let view = if saving.ram_elsewhere { file::RAM } else { "empty" };
    let mut second = Qemu::start(command(host, accelerator, "share=off", view, true), dir, &cx).await?;
    second.load(saving).await?;
    let after = second.qmp.human("xp/64xb 0xf0000").await.map_err(|error| errors::qmp(&error))?;
    second.run("pmemsave", json!({"val": 0, "size": 1 << 20, "filename": "after"})).await?;
    second.go().await?;
    second.kept.kill().await;
    let read = |name: &str| std::fs::read(dir.join(name)).map_err(BackendError::io("cannot read the probe's memory"));
    if before != after || read("before")? != read("after")? {
        let message = "a guest came back with other memory than it was saved with".to_owned();
        return Err(BackendError::Environment { message, help: None });
    }
    if read(file::RAM)? != ram {
        let message = "a guest on a private view of its memory wrote to the file".to_owned();
        return Err(BackendError::Environment { message, help: None });
    }
    Ok(knows_mapped)
}

fn command(host: &Host, accelerator: Accelerator, share: &str, ram: &str, incoming: bool) -> Vec<String> {
    // The processor that real guests get: an accelerator may run an old one and fail at the host's own.
    let (accel, cpu) = command::accelerated(accelerator);
    let backend = format!("memory-backend-file,id=ram,size=16M,mem-path={ram},{share}");
    let (qmp, bios) = (format!("unix:{},server=on,wait=off", file::QMP), format!("file,id=bios,path={SAID}"));
    let words = [
        "-nodefaults",
        "-no-user-config",
        "-machine",
        "q35,memory-backend=ram",
        "-accel",
        accel,
        "-cpu",
        cpu,
        "-smp",
        "2",
        "-m",
        "16",
        "-object",
        &backend,
        "-display",
        "none",
        "-chardev",
        &bios,
        "-device",
        "isa-debugcon,iobase=0x402,chardev=bios",
        "-qmp",
        &qmp,
        "-S",
    ];
    let mut argv = vec![host.program.display().to_string()];
    argv.extend(words.iter().map(|&word| word.to_owned()));
    if incoming {
        argv.extend(["-incoming".to_owned(), "defer".to_owned()]);
    }
    argv
}

/// Circumstances for work that nobody asked for by name and that ends by itself soon.
fn quiet() -> Cx {
    Cx {
        cancel: CancellationToken::new(),
        events: EventSink::new(|_| {}),
        node: None,
        package: std::path::PathBuf::new(),
        settings: std::sync::Arc::new(Settings::default()),
        journal: imgc_backend::Journal::default(),
        secrets: imgc_backend::Secrets::default(),
    }
}
