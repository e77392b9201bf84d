//! The `imgc` command: arguments in, rendering out.

mod args;
mod arguments;
mod commands;
mod exit;
mod fast_path;
mod foresee;
mod json_places;
mod lockfile;
mod manifest;
mod on_error;
mod package;
mod places;
mod plan_file;
mod planned;
mod registry;
mod render;
mod session;
mod signals;
mod terminal;
mod world;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::exit::{Exit, Failure};
use crate::terminal::{Style, Terminal, paint};

/// Plans and programs are many small things, most of them freed soon after by the thread that made them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The keepers of steps and of virtual machines are this same program; they must not do anything else first.
    match std::env::args_os().nth(1) {
        Some(first) if first == imgc_rootfs::step_init::ARGUMENT => return imgc_rootfs::step_init::main(),
        Some(first) if first == imgc_qemu::keeper::ARGUMENT => return imgc_qemu::keeper::main(),
        _ => {}
    }
    report_panics();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            if let Err(error) = error.print()
                && error.kind() != std::io::ErrorKind::BrokenPipe
            {
                print_failure(&Terminal::new(args::ColorWhen::Never), &Failure::io("cannot print the help")(error));
                return ExitCode::from(Exit::Environment.code());
            }
            return ExitCode::from(if error.use_stderr() { Exit::Usage.code() } else { Exit::Done.code() });
        }
    };
    let terminal = Terminal::new(cli.global.color);
    log_to_stderr(cli.global.verbose, terminal.err_color);
    let exit = commands::run(cli).unwrap_or_else(|failure| {
        print_failure(&terminal, &failure);
        failure.exit
    });
    if let Err(error) = terminal.finish() {
        print_failure(&terminal, &Failure::io("cannot write to standard output")(error));
        // Whoever reads the exit code has not read the output.
        return ExitCode::from(if exit == Exit::Done { Exit::Environment } else { exit }.code());
    }
    ExitCode::from(exit.code())
}

/// `-v` shows what the parts have to say about their work.
fn log_to_stderr(verbose: u8, color: bool) {
    let level = match verbose {
        0 => return,
        1 => tracing::Level::INFO,
        2 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    tracing_subscriber::fmt().with_max_level(level).with_ansi(color).without_time().with_writer(std::io::stderr).init();
}

fn print_failure(terminal: &Terminal, failure: &Failure) {
    let color = terminal.err_color;
    terminal.err(format_args!("{} {}", paint(color, Style::Red, "error:"), failure.message));
    for cause in &failure.causes {
        terminal.err(format_args!("  because: {cause}"));
    }
    if let Some(help) = &failure.help {
        terminal.err(format_args!("  {} {help}", paint(color, Style::Cyan, "help:")));
    }
}

/// A panic is a bug of ours: one line that asks for a report, and exit code 70 at once.
fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(|at| format!(" at {}:{}", at.file(), at.line())).unwrap_or_default();
        let what = info.payload_as_str().unwrap_or("unknown");
        Terminal::new(args::ColorWhen::Never)
            .err(format_args!("internal error{place}: {what}; please report it with the command that led to it"));
        std::process::exit(i32::from(Exit::Internal.code()));
    }));
}
