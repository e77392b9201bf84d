//! `imgc completions`.

use clap::CommandFactory;

use crate::args::{Cli, CompletionsArgs, Shell};
use crate::exit::{Exit, Outcome};
use crate::terminal::Terminal;

/// Prints a completion script.
#[expect(clippy::unnecessary_wraps, reason = "every command has this shape")]
pub(crate) fn run(args: &CompletionsArgs, terminal: &Terminal) -> Outcome {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "imgc", &mut script);
    terminal.write(&script);
    Ok(Exit::Done)
}
