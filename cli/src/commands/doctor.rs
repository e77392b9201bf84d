//! `imgc doctor`: what this machine lacks to build images, and how to get it.

use std::path::{Path, PathBuf};

use imgc_backend::Need;
use imgc_store::Store;
use serde_json::json;

use crate::args::{Format, FormatArg};
use crate::commands::Context;
use crate::exit::{Exit, Outcome};
use crate::places::Places;
use crate::registry;
use crate::render::text::size;
use crate::terminal::{Style, Terminal, paint};

/// Less free space than this is worth a word.
const LITTLE_SPACE: u64 = 2 << 30;

/// How one thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// As it should be.
    Good,
    /// Something optional, or needed by some programs only, is missing.
    Lacking,
    /// Nothing can be built.
    Broken,
}

/// One thing that was looked at.
struct Finding {
    what: String,
    standing: Standing,
    detail: String,
    help: Option<String>,
}

impl Finding {
    fn good(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { what: what.into(), standing: Standing::Good, detail: detail.into(), help: None }
    }

    fn bad(what: impl Into<String>, standing: Standing, detail: impl Into<String>, help: Option<String>) -> Self {
        Self { what: what.into(), standing, detail: detail.into(), help }
    }
}

/// Looks at everything a build needs. Changes nothing but for an empty store where there was none.
pub(crate) fn run(args: FormatArg, cx: &Context) -> Outcome {
    let places = Places::new(cx.global.cache_dir.as_deref())?;
    let mut findings = vec![tools_of_users()];
    findings.retain(|finding| finding.standing != Standing::Good || !rustix::process::geteuid().is_root());
    findings.push(overlay());
    // Whether namespaces can be entered is best told by entering them.
    findings.push(match imgc_rootfs::enter() {
        Ok(_) => Finding::good("namespaces", "can be entered"),
        Err(error) => Finding::bad("namespaces", Standing::Broken, error.message, error.help),
    });
    match Store::open(&places.store) {
        Ok(store) => {
            findings.push(Finding::good("cache", format!("{} on {}", places.store.display(), store.filesystem())));
            findings.push(space(&places.store));
        }
        Err(error) => {
            let detail = crate::render::failure::causes(&error).join(": ");
            findings.push(Finding::bad("cache", Standing::Broken, detail, error.help()));
        }
    }
    findings.push(tun());
    findings.extend(registry::needs().iter().map(tool));
    print(&findings, args.format, &cx.terminal);
    let broken = findings.iter().any(|finding| finding.standing == Standing::Broken);
    Ok(if broken { Exit::Environment } else { Exit::Done })
}

fn tools_of_users() -> Finding {
    match imgc_rootfs::missing_for_users().into_iter().next() {
        None => Finding::good("ordinary users", "can build images"),
        Some(missing) => {
            let root = rustix::process::geteuid().is_root();
            let standing = if root { Standing::Lacking } else { Standing::Broken };
            Finding::bad("ordinary users", standing, missing.message, missing.help)
        }
    }
}

fn overlay() -> Finding {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if known.split_whitespace().any(|name| name == "overlay") {
        Finding::good("overlayfs", "known to the kernel")
    } else {
        let help = "load it with `sudo modprobe overlay`; without it layers are copied, which is slow".to_owned();
        Finding::bad("overlayfs", Standing::Lacking, "not known to the kernel", Some(help))
    }
}

fn tun() -> Finding {
    const TUN: &str = "/dev/net/tun";
    let access = rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK;
    match rustix::fs::access(TUN, access) {
        Ok(()) => Finding::good(TUN, "steps can have a network of their own"),
        Err(error) => {
            let help = "`sudo modprobe tun`; in a container add `--device /dev/net/tun`; until then steps with \
                        `network: true` use the network of the host";
            Finding::bad(TUN, Standing::Lacking, format!("cannot be used: {error}"), Some(help.to_owned()))
        }
    }
}

fn space(store: &Path) -> Finding {
    let free = rustix::fs::statvfs(store).map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    match free {
        Ok(free) if free < LITTLE_SPACE => {
            let help = "free some, or put the cache elsewhere with `--cache-dir DIR` or IMGC_CACHE=DIR".to_owned();
            Finding::bad("space", Standing::Lacking, format!("{} free for the cache", size(free)), Some(help))
        }
        Ok(free) => Finding::good("space", format!("{} free for the cache", size(free))),
        Err(error) => Finding::bad("space", Standing::Lacking, format!("cannot tell: {error}"), None),
    }
}

fn tool(need: &Need) -> Finding {
    let required = !need.kinds.is_empty();
    if let Some(path) = find(need.program) {
        return Finding::good(need.program, format!("{} ({})", path.display(), need.purpose));
    }
    let standing = if required { Standing::Broken } else { Standing::Lacking };
    let detail = format!("missing; needed for {}", need.purpose);
    Finding::bad(need.program, standing, detail, Some(format!("sudo apt-get install {}", need.package)))
}

/// Where a program or file is; administrators' programs count even where `PATH` leaves them out.
fn find(program: &str) -> Option<PathBuf> {
    if program.starts_with('/') {
        return Some(PathBuf::from(program)).filter(|path| path.exists());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|dir| dir.join(program)).find(|file| file.is_file())
}

fn print(findings: &[Finding], format: Format, terminal: &Terminal) {
    if format == Format::Json {
        let all: Vec<_> = findings
            .iter()
            .map(|finding| {
                let standing = match finding.standing {
                    Standing::Good => "good",
                    Standing::Lacking => "lacking",
                    Standing::Broken => "broken",
                };
                json!({ "what": finding.what, "standing": standing, "detail": finding.detail, "help": finding.help })
            })
            .collect();
        terminal.out(json!({ "format": 1, "findings": all }));
        return;
    }
    for finding in findings {
        let (mark, style) = match finding.standing {
            Standing::Good => ("✓", Style::Green),
            Standing::Lacking => ("!", Style::Yellow),
            Standing::Broken => ("✗", Style::Red),
        };
        terminal.out(format_args!("{} {}: {}", paint(terminal.out_color, style, mark), finding.what, finding.detail));
        if let Some(help) = &finding.help {
            terminal.out(format_args!("    {} {help}", paint(terminal.out_color, Style::Cyan, "help:")));
        }
    }
}
