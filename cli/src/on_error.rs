//! What `--on-error` says, and the question that `ask` puts on the terminal.

use std::io::{BufRead, IsTerminal};
use std::sync::Arc;

use imgc_engine::{Answer, Ask, OnError};

use crate::args::OnErrorArg;
use crate::exit::Failure;
use crate::render::progress::Progress;
use crate::terminal::Terminal;

/// What the engine does about a failed step.
///
/// # Errors
/// `ask` without a terminal to ask on.
pub(crate) fn on_error(said: OnErrorArg, terminal: Terminal, progress: &Progress) -> Result<OnError, Failure> {
    match said {
        OnErrorArg::Stop => Ok(OnError::Stop),
        OnErrorArg::Keep => Ok(OnError::Keep),
        OnErrorArg::Ask if !std::io::stdin().is_terminal() || !terminal.live => {
            let failure = Failure::usage("`--on-error ask` needs a terminal to ask on");
            Err(failure.help("use `--on-error keep` or `--on-error stop`"))
        }
        OnErrorArg::Ask => {
            let progress = progress.clone();
            Ok(OnError::Ask(Ask(Arc::new(move |failure| {
                let (progress, question) = (progress.clone(), question(failure));
                Box::pin(async move {
                    let asked = tokio::task::spawn_blocking(move || progress.suspended(|| ask(terminal, &question)));
                    asked.await.unwrap_or(Answer::Stop)
                })
            }))))
        }
    }
}

fn question(failure: &imgc_engine::Failure) -> String {
    let lines: Vec<String> = failure.last_lines.iter().map(|line| format!("  │ {line}\n")).collect();
    format!(
        "{}: {}\n{}throw its machine away (s), keep it (k), or run the step again (r)? ",
        failure.address,
        failure.error,
        lines.concat()
    )
}

/// Asks until there is an answer; the end of the input is one.
fn ask(terminal: Terminal, question: &str) -> Answer {
    loop {
        terminal.prompt(question);
        let mut line = String::new();
        match std::io::stdin().lock().read_line(&mut line) {
            Ok(0) | Err(_) => return Answer::Stop,
            Ok(_) => {}
        }
        match line.trim() {
            "s" | "stop" => return Answer::Stop,
            "k" | "keep" => return Answer::Keep,
            "r" | "retry" => return Answer::Retry,
            _ => {}
        }
    }
}
