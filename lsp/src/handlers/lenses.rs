//! What the last plan says of outputs and images, above them.

use imgc_compiler::ide;
use serde_json::Value;

use super::{Answer, Ask};
use crate::lsp;

pub(crate) fn lenses(ask: &Ask, _: &lsp::CodeLensParams) -> Answer<Option<Vec<lsp::CodeLens>>> {
    let module = ask.module()?;
    let planned = module.snapshot.planned(module.path);
    let lens = |lens: ide::Lens| {
        let state = planned.iter().find(|(address, _)| *address == lens.address).map(|(_, state)| state.as_str());
        lsp::CodeLens {
            range: module.range(&lens.range),
            command: Some(lsp::Command {
                title: state.map_or_else(|| "plan".to_owned(), |state| format!("plan: {state}")),
                tooltip: Some("shows what an apply would do, and why".to_owned()),
                command: "imgc.plan".to_owned(),
                arguments: Some(vec![
                    Value::from(module.snapshot.uri(module.path).0),
                    Value::from(lens.address.as_str()),
                ]),
            }),
            data: None,
        }
    };
    Ok(Some(ide::lenses(&module.analysis, module.path).into_iter().map(lens).collect()))
}
