//! `imgc explain ADDRESS`: why a step will run or is taken from the cache, in full.

use imgc_engine::{Cause, EngineError, Explanation, Options, Selection, Standing};
use serde_json::json;

use crate::args::{ExplainArgs, Format};
use crate::commands::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::foresee::{Foreseen, Question, foresee};
use crate::render::text::{count, duration};
use crate::session::runtime;
use crate::terminal::{Style, Terminal, paint};

/// More lines than these are told by their number.
const LONGEST_LIST: usize = 20;

/// Explains all that the address names.
pub(crate) fn run(args: &ExplainArgs, cx: &Context) -> Outcome {
    let question = Question { targets: &[], params: &args.params, locked: args.locked, format: args.format.format };
    let seen = match foresee(&question, cx)? {
        Ok(seen) => seen,
        Err(exit) => return Ok(exit),
    };
    // What no output needs is explained by itself: nothing follows from it.
    let found = match explanations(&seen, &seen.selection, &args.what)? {
        Err(EngineError::UnknownName { .. }) => {
            let alone = seen.session.select((&seen.plan, &seen.sources), std::slice::from_ref(&args.what))?;
            explanations(&seen, &alone, &args.what)?
        }
        other => other,
    };
    let found = found.map_err(|error| seen.session.engine_failure(&seen.plan, &seen.sources, &error))?;
    let terminal = &cx.terminal;
    match args.format.format {
        Format::Json => terminal.out(json!({ "format": 1, "nodes": found })),
        Format::Human => found.iter().for_each(|explanation| tell(explanation, &seen, terminal)),
    }
    Ok(Exit::Done)
}

fn explanations(
    seen: &Foreseen,
    selection: &Selection,
    address: &str,
) -> Result<Result<Vec<Explanation>, EngineError>, Failure> {
    let cancel = tokio_util::sync::CancellationToken::new();
    let cx = seen.session.circumstances(&cancel, imgc_backend::EventSink::new(|_| {}));
    let options = Options::default();
    let work = imgc_engine::explain::full(&seen.session.engine, &seen.plan, selection, address, &options, &cx);
    Ok(runtime()?.block_on(work))
}

fn tell(explanation: &Explanation, seen: &Foreseen, terminal: &Terminal) {
    let color = terminal.out_color;
    terminal.out(format_args!("{}: {}", paint(color, Style::Bold, &explanation.address), verdict(explanation, seen)));
    let item = |text: &str| terminal.out(format_args!("  {text}"));
    if let (Standing::Changed { .. }, [_, rest @ ..]) = (&explanation.standing, explanation.differences.as_slice()) {
        list("it also differs in this", rest, item);
    }
    list("follow for certain", &explanation.followed_by, item);
    list("may still be found in the store, depending on what it leaves", &explanation.may_hit, item);
    if let Some(took) = explanation.took {
        item(&format!("it took {} when it last ran", duration(took)));
    }
    let dim = |text: String| paint(color, Style::Dim, text);
    match (&explanation.before, &explanation.fingerprint) {
        (Some(before), Some(now)) if before != now => {
            item(&dim(format!("fingerprint {} → {}", before.short(), now.short())));
        }
        (_, Some(now)) => item(&dim(format!("fingerprint {}", now.short()))),
        (_, None) => item(&dim("its fingerprint is known once what it depends on has run".to_owned())),
    }
    for (path, text) in &explanation.fields {
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        let more = match lines.count() {
            0 => String::new(),
            rest => format!(" … and {}", count(rest, "more line")),
        };
        item(&dim(format!("  {path} = {}{more}", crate::render::text::visible(first))));
    }
}

/// In a sentence: what will become of it, and why.
fn verdict(explanation: &Explanation, seen: &Foreseen) -> String {
    match &explanation.standing {
        Standing::Cached => "cached: nothing that it depends on has changed".to_owned(),
        Standing::Unneeded => "not in the store, but nothing that runs needs it".to_owned(),
        Standing::New => "new: nothing was ever built under this address".to_owned(),
        Standing::Changed { cause, .. } => format!("will run: {cause}{}", advice(cause)),
        Standing::Pending { below, new: false } => {
            format!("pending: it runs unless {} leaves what it left before", seen.plan.node(*below).address)
        }
        Standing::Pending { below, new: true } => {
            format!("new, and depends on what {} leaves", seen.plan.node(*below).address)
        }
        Standing::Follows { below } => {
            format!("will run after {}, whose result differs each time", seen.plan.node(*below).address)
        }
    }
}

/// What one might want to know on top.
fn advice(cause: &Cause) -> &'static str {
    match cause {
        Cause::Lock { .. } | Cause::Archives => " (`imgc update` did that, or an edit of imgc.lock)",
        Cause::Evicted => " (the store was trimmed to its budget: `cache_size` in imgc.toml)",
        Cause::Never => " (`cache = auto` would keep it)",
        Cause::New
        | Cause::Renamed { .. }
        | Cause::Argument { .. }
        | Cause::File { .. }
        | Cause::Tree { .. }
        | Cause::Parent { .. }
        | Cause::Moved { .. }
        | Cause::Epoch { .. }
        | Cause::Revision { .. }
        | Cause::Secret { .. }
        | Cause::Property { .. }
        | Cause::Encoding
        | Cause::Expired
        | Cause::Anew { .. }
        | Cause::NotKept
        | Cause::Rerun
        | Cause::NoCache => "",
    }
}

fn list(heading: &str, what: &[impl std::fmt::Display], item: impl Fn(&str)) {
    if what.is_empty() {
        return;
    }
    item(&format!("{heading}:"));
    what.iter().take(LONGEST_LIST).for_each(|what| item(&format!("  {what}")));
    if what.len() > LONGEST_LIST {
        item(&format!("  and {} more", what.len() - LONGEST_LIST));
    }
}
