//! Reference pages as Markdown and JSON.

use std::fmt::Write as _;

use clap::CommandFactory as _;
use imgc_compiler::pages;
use imgc_compiler::reference::{Item, Kind, Module, Param, Reference, members};
use serde_json::json;

use crate::args::Cli;

/// A page of documentation.
pub(crate) struct Page {
    /// The file that it becomes, below the directory of all pages.
    pub(crate) name: String,
    /// What is in it.
    pub(crate) text: String,
}

const GENERATED: &str = "<!-- Made by `imgc doc --std --out-dir docs/reference`; a test compares it. -->\n\n";

/// All modules as one document.
pub(crate) fn json(reference: &Reference) -> Page {
    let document = json!({ "format": 1, "modules": reference.modules });
    Page { name: "reference.json".to_owned(), text: format!("{document:#}\n") }
}

/// A page a module of a package.
pub(crate) fn package(reference: &Reference) -> Vec<Page> {
    let page = |module: &Module| {
        let name = module.path.strip_suffix(".imgc").unwrap_or(&module.path);
        Page { name: format!("{name}.md"), text: page_of(module, &module.path) }
    };
    reference.modules.iter().map(page).collect()
}

/// The standard library, the members of built-in types, the codes of diagnostics and the command line.
pub(crate) fn language(reference: &Reference) -> Vec<Page> {
    let mut all = vec![index(reference)];
    for module in &reference.modules {
        let text = format!("{GENERATED}{}", page_of(module, stem(module)));
        all.push(Page { name: format!("{}.md", stem(module)), text });
    }
    all.push(Page { name: "members.md".to_owned(), text: members_page() });
    all.push(Page { name: "diagnostics.md".to_owned(), text: diagnostics_page() });
    all.push(Page { name: "command-line.md".to_owned(), text: command_line_page() });
    all
}

fn stem(module: &Module) -> &str {
    let path = module.path.strip_prefix("std/").unwrap_or(&module.path);
    path.strip_suffix(".imgc").unwrap_or(path)
}

fn index(reference: &Reference) -> Page {
    let mut text = format!(
        "{GENERATED}# Reference\n\n- [Members of built-in types](members.md)\n- [Codes of diagnostics](diagnostics.md)\n\
         - [Command line](command-line.md)\n\n## Standard library\n\n| module | | what it has |\n|---|---|---|\n"
    );
    for module in &reference.modules {
        let items: Vec<_> = module.items.iter().map(|item| format!("`{}`", item.name)).collect();
        let docs = module.docs.lines().next().unwrap_or_default();
        let _ = writeln!(text, "| [{0}]({0}.md) | {docs} | {1} |", stem(module), items.join(" "));
    }
    Page { name: "README.md".to_owned(), text }
}

fn page_of(module: &Module, title: &str) -> String {
    let mut text = format!("# {title}\n");
    if !module.docs.is_empty() {
        let _ = write!(text, "\n{}\n", module.docs);
    }
    let prefix = module.prefix.as_deref().unwrap_or_default();
    if module.by_import {
        let _ = write!(text, "\n```imgc\nimport std.{}\n```\n", stem(module));
    }
    for item in &module.items {
        let _ = write!(text, "\n## {prefix}{}\n\n```imgc\n{}\n```\n", item.name, signature(item, prefix));
        if let Some(why) = &item.deprecated {
            let _ = write!(text, "\n**Deprecated**: {why}\n");
        }
        if !item.docs.is_empty() {
            let _ = write!(text, "\n{}\n", item.docs);
        }
        text.push_str(&details(item));
        for example in &item.examples {
            let _ = write!(text, "\nExample:\n\n```imgc\n{}\n```\n", example.text);
        }
    }
    text
}

/// As its declaration begins.
fn signature(item: &Item, prefix: &str) -> String {
    let name = format!("{prefix}{}", item.name);
    let on = if item.on.is_empty() { String::new() } else { format!(" on {}", item.on.join(" | ")) };
    let of = item.ty.as_deref().unwrap_or_default();
    let machine = item.machine.as_ref().map(|ty| format!(" machine {ty}")).unwrap_or_default();
    match item.kind {
        Kind::Step => format!("{name} \"label\" {{ … }}{on}"),
        Kind::Recipe => format!("use {name}({}){on}", listed(&item.params)),
        Kind::Source | Kind::Artifact | Kind::Fn => format!("{name}({}) -> {of}{machine}", listed(&item.params)),
        Kind::Record => format!("record {name} {{ … }}"),
        Kind::Enum => format!("enum {name} {{ … }}"),
        Kind::Param => format!("param {}", listed(&item.params)),
        Kind::Secret => format!("secret {name}: {of}"),
        Kind::Let => format!("let {name}: {of}"),
        Kind::Image => format!("image {name}: {of}"),
        Kind::Test => format!("test {name} {of}"),
        Kind::Output => format!("output {name}: {of}"),
    }
}

fn listed(params: &[Param]) -> String {
    let one = |param: &Param| {
        let default = param.default.as_ref().map(|value| format!(" = {value}")).unwrap_or_default();
        format!("{}: {}{default}", param.name, param.ty)
    };
    let all: Vec<_> = params.iter().map(one).collect();
    let line = all.join(", ");
    // One line as long as the formatter would leave it one.
    if line.len() <= 80 { line } else { format!("\n  {},\n", all.join(",\n  ")) }
}

/// Tables of fields and variants. Params of which nothing more is known stand in the signature.
fn details(item: &Item) -> String {
    let mut text = String::new();
    let is_told = |param: &Param| !param.docs.is_empty() || param.predicate.is_some();
    let has_fields = matches!(item.kind, Kind::Step | Kind::Record);
    if has_fields || item.params.iter().any(is_told) {
        text.push_str("\n| name | type | default | |\n|---|---|---|---|\n");
        for param in &item.params {
            let default = param.default.as_ref().map(|value| code(value)).unwrap_or_default();
            let rule = param.predicate.as_ref().map(|rule| format!(" Where {}.", code(rule))).unwrap_or_default();
            let docs = format!("{}{rule}", param.docs.replace('\n', " "));
            let _ = writeln!(text, "| `{}` | {} | {default} | {} |", param.name, code(&param.ty), docs.trim());
        }
    }
    if !item.variants.is_empty() {
        text.push_str("\n| variant | |\n|---|---|\n");
        for variant in &item.variants {
            let payload =
                if variant.payload.is_empty() { String::new() } else { format!("({})", listed(&variant.payload)) };
            let _ = writeln!(
                text,
                "| {} | {} |",
                code(&format!("{}{payload}", variant.name)),
                variant.docs.replace('\n', " ")
            );
        }
    }
    text
}

/// Code in a cell of a table, where a bar would end the cell.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

fn members_page() -> String {
    let mut text = format!("{GENERATED}# Members of built-in types\n");
    let mut last = "";
    for member in members() {
        if member.of != last {
            let _ = write!(text, "\n## {}\n\n| member | |\n|---|---|\n", code(member.of));
            last = member.of;
        }
        let _ = writeln!(text, "| {} | {} |", code(&member.signature), member.docs);
    }
    text
}

fn diagnostics_page() -> String {
    let mut text = format!(
        "{GENERATED}# Codes of diagnostics\n\n`imgc explain CODE` shows a page with an example that is wrong and one that is right.\n\n\
         | code | |\n|---|---|\n"
    );
    for page in pages::all() {
        let _ = writeln!(
            text,
            "| `{}` | {} |",
            page.code,
            page.title().trim_start_matches(page.code).trim_start_matches([':', ' '])
        );
    }
    text
}

fn command_line_page() -> String {
    // Whatever the width of the terminal that asks.
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut text = format!("{GENERATED}# Command line\n");
    let names: Vec<_> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        let Some(sub) = command.find_subcommand_mut(&name) else { continue };
        if !sub.is_hide_set() && name != "help" {
            let _ =
                write!(text, "\n## imgc {name}\n\n```text\n{}\n```\n", sub.render_long_help().to_string().trim_end());
        }
    }
    text
}
