//! `imgc show`: the artifacts of the last apply.

use imgc_engine::Applied;
use imgc_plan::{Output, OutputValue, Plan};
use serde_json::json;

use crate::args::{Format, ShowArgs};
use crate::commands::Context;
use crate::commands::apply::shown_path;
use crate::exit::{Exit, Failure, Outcome};
use crate::fast_path::Record;
pub(crate) use crate::fast_path::Shown;
use crate::package::Package;
use crate::places::Places;
use crate::render::text::size;
use crate::terminal::{Style, Terminal, paint};

/// Prints the artifacts of the last apply.
pub(crate) fn run(args: &ShowArgs, cx: &Context) -> Outcome {
    let package = Package::find(cx.directory(), args.path.as_deref())?;
    let places = Places::new(cx.global.cache_dir.as_deref())?;
    let Some(record) = Record::read(&places.record(&package.root, &package.entry)) else {
        return Err(
            Failure::program("nothing was applied here yet").help("`imgc apply` builds the outputs of a program")
        );
    };
    let terminal = &cx.terminal;
    if args.format.format == Format::Json {
        terminal.out(json!({ "format": 1, "artifacts": record.artifacts }));
        return Ok(Exit::Done);
    }
    if record.artifacts.is_empty() {
        terminal.out("the last apply made no artifacts");
    }
    for artifact in &record.artifacts {
        terminal.out(line(artifact, terminal));
        detail(artifact, terminal);
    }
    Ok(Exit::Done)
}

/// What an apply placed and the outputs that are texts, as they are told.
pub(crate) fn artifacts(plan: &Plan, targets: &[String], applied: &Applied) -> Vec<Shown> {
    let shown = |placed: &imgc_engine::Placed| {
        if let Some(text) = &placed.text {
            let (name, kind) = (placed.name.clone(), "text".to_owned());
            return Shown { name, kind, id: Some(text.clone()), ..Shown::default() };
        }
        let artifact = placed.artifact.as_ref();
        Shown {
            name: placed.name.clone(),
            kind: placed.kind.clone(),
            path: placed.file.clone(),
            digest: artifact.map(|artifact| artifact.digest.to_string()),
            sha256: artifact.and_then(|artifact| artifact.sha256).map(|digest| digest.to_string()),
            size: artifact.map_or(0, |artifact| artifact.size),
            platform: placed.platform.to_string(),
            id: artifact.and_then(|artifact| artifact.id.clone()),
            usage: artifact.map(|artifact| artifact.usage.clone()).unwrap_or_default(),
        }
    };
    let text = |output: &Output| match &output.value {
        OutputValue::Text(text) if targets.is_empty() || targets.contains(&output.name) => Some(Shown {
            name: output.name.clone(),
            kind: "text".to_owned(),
            id: Some(text.clone()),
            ..Shown::default()
        }),
        OutputValue::Text(_)
        | OutputValue::None
        | OutputValue::Artifact { .. }
        | OutputValue::Image(_)
        | OutputValue::Build(_)
        | OutputValue::File { .. }
        | OutputValue::List(_)
        | OutputValue::Map(_) => None,
    };
    applied.outputs.iter().map(shown).chain(plan.outputs.iter().filter_map(text)).collect()
}

/// One artifact in a line.
pub(crate) fn line(artifact: &Shown, terminal: &Terminal) -> String {
    let name = paint(terminal.out_color, Style::Bold, &artifact.name);
    match (&artifact.path, &artifact.id) {
        (Some(path), _) => {
            let gone = if path.exists() { "" } else { ", no longer there" };
            format!("{name} → {} ({}{gone})", shown_path(path), size(artifact.size))
        }
        (None, Some(id)) => format!("{name} → {id}"),
        (None, None) => format!("{name} → kept in the store"),
    }
}

fn detail(artifact: &Shown, terminal: &Terminal) {
    if artifact.platform.is_empty() {
        return;
    }
    let dim = |text: &str| paint(terminal.out_color, Style::Dim, text);
    terminal.out(format_args!("  {} {}, {}", dim("kind"), artifact.kind, artifact.platform));
    match &artifact.sha256 {
        Some(digest) => terminal.out(format_args!("  {} {digest}", dim("sha256"))),
        None => {
            if let Some(digest) = &artifact.digest {
                terminal.out(format_args!("  {} {digest}", dim("blake3")));
            }
        }
    }
    if let (Some(_), Some(id)) = (&artifact.path, &artifact.id) {
        terminal.out(format_args!("  {} {id}", dim("id")));
    }
    let file = artifact.path.as_deref().map(|path| shown_path(path).to_string()).unwrap_or_default();
    for usage in &artifact.usage {
        terminal.out(format_args!("  {} {}", dim("use"), usage.replace("{file}", &file)));
    }
}
