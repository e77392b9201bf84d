//! The commands, one module each.

use std::path::Path;

use crate::args::{Cli, Command, Global};
use crate::exit::Outcome;
use crate::terminal::Terminal;

pub(crate) mod apply;
pub(crate) mod cache;
pub(crate) mod check;
pub(crate) mod clean;
pub(crate) mod completions;
pub(crate) mod doc;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod fmt;
pub(crate) mod graph;
pub(crate) mod init;
pub(crate) mod log;
pub(crate) mod lsp;
pub(crate) mod plan;
pub(crate) mod shell;
pub(crate) mod show;
pub(crate) mod test;
pub(crate) mod update;
pub(crate) mod version;

/// What every command gets.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// Options that stand before or after any command.
    pub(crate) global: Global,
    /// Where output goes.
    pub(crate) terminal: Terminal,
}

impl Context {
    /// `-C`, where it was given.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.global.directory.as_deref()
    }
}

/// Runs the command that was asked for.
pub(crate) fn run(cli: Cli) -> Outcome {
    let terminal = Terminal::new(cli.global.color);
    let cx = Context { global: cli.global, terminal };
    match cli.command {
        Command::Init(args) => init::run(&args, cx.directory(), &terminal),
        Command::Check(args) => check::run(&args, &cx),
        Command::Plan(args) => plan::run(&args, &cx),
        Command::Apply(args) => apply::run(&args, &cx),
        Command::Update(args) => update::run(&args, &cx),
        Command::Test(args) => test::run(&args, &cx),
        Command::Fmt(args) => fmt::run(&args, &cx),
        Command::Explain(args) => explain::run(&args, &cx),
        Command::Show(args) => show::run(&args, &cx),
        Command::Shell(args) => shell::run(&args, &cx),
        Command::Graph(args) => graph::run(&args, &cx),
        Command::Log(args) => log::run(&args, &cx),
        Command::Cache(command) => cache::run(&command, &cx),
        Command::Clean(args) => clean::run(&args, &cx),
        Command::Doc(args) => doc::run(&args, &cx),
        Command::Doctor(args) => doctor::run(args, &cx),
        Command::Lsp(_) => lsp::run(&cx),
        Command::Completions(args) => completions::run(&args, &terminal),
        Command::Version => version::run(&terminal),
    }
}
