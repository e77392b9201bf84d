//! A generated workspace as big as one likes: modules that import one another and one that all of them use, for benches
//! and tests of the compiler and of the language server. Without errors and without lints.
//!
//! Included by path (`#[path = "…/workspace/mod.rs"] mod workspace;`), so that it belongs to no crate.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What every other module imports.
pub(crate) const COMMON: &str = "lib/common.imgc";

/// The module that imports all others.
pub(crate) const MAIN: &str = "main.imgc";

/// The text that stands in a body of every module but [`COMMON`] and [`MAIN`]; changing it changes no signature.
pub(crate) const IN_A_BODY: &str = "echo body";

/// The param of the function of [`COMMON`] that every module calls; giving it another type changes what all ask.
pub(crate) const SIGNATURE: &str = "times: Int = 1";

/// What [`SIGNATURE`] can become without an error anywhere.
pub(crate) const OTHER_SIGNATURE: &str = "times: Int = 1, _more: String = \"\"";

const COMMON_TEXT: &str = r#"/// What all modules use.
edition 1

/// A service of an image.
pub record Service {
  name: String
  port: Port = 8080
  /// Files that it needs.
  paths: List<String> = []
  level: Level = stable
}

/// How sure a service is.
pub enum Level { stable, edge(build: Int) }

/// A name with a number.
pub fn labelled(name: String, times: Int = 1) -> String = "\{name}-\{times}"

/// What a level is called.
pub fn level_name(level: Level) -> String = match level {
  stable => "stable",
  edge(build) => "edge \{build}",
}

pub let base_port: Port = 8000

/// Installs a service.
pub recipe install(service: Service) on linux/* {
  sh "install \{service.name}" {
    script = """
      mkdir -p /srv/\{service.name}
      echo \{service.port} > /srv/\{service.name}/port
      """
  }
  for path in service.paths {
    sh "path \{path}" { script = "touch \{path}" }
  }
}
"#;

/// The path of a numbered module.
pub(crate) fn path(number: usize) -> String {
    format!("lib/part{number:03}.imgc")
}

/// The texts of a workspace by path: `modules` of them with about `lines` lines in all.
pub(crate) fn generate(modules: usize, lines: usize) -> BTreeMap<String, String> {
    let parts = modules.saturating_sub(2).max(1);
    let each = (lines / modules.max(1)).max(30);
    let mut texts = BTreeMap::new();
    texts.insert(COMMON.to_owned(), COMMON_TEXT.to_owned());
    let mut main = String::from("/// The applied module.\nedition 1\n\n");
    for number in 0..parts {
        texts.insert(path(number), part(number, each));
        let _ = writeln!(main, "import \"./{}\" as part{number:03}", path(number));
    }
    main.push_str("\nimage box {\n  from = rootfs.scratch()\n\n");
    for number in 0..parts {
        let _ = writeln!(main, "  use part{number:03}.all(\"box\")");
    }
    main.push_str("}\n\noutput archive = oci.archive(box)\n");
    texts.insert(MAIN.to_owned(), main);
    texts
}

/// One module: blocks of items until it has its lines.
fn part(number: usize, lines: usize) -> String {
    let mut text = format!("/// Part {number} of the workspace.\nedition 1\n\nimport \"./common.imgc\"\n");
    let parent = (number > 0).then_some(number / 8).filter(|parent| *parent != number);
    if let Some(parent) = parent {
        let _ = writeln!(text, "import \"./part{parent:03}.imgc\" as parent");
    }
    let blocks = (lines.saturating_sub(8) / 24).max(1);
    for block in 0..blocks {
        let before = match (block, parent) {
            (0, None) => "common.labelled(\"first\")".to_owned(),
            (0, Some(_)) => "common.labelled(parent.name0, times: 2)".to_owned(),
            (_, _) => format!("common.labelled(name{})", block - 1),
        };
        let _ = write!(text, "\n{}", self::block(number, block, &before));
    }
    text.push_str("\n/// All of this module.\npub recipe all(where_to: String) on linux/* {\n");
    for block in 0..blocks {
        let _ = writeln!(text, "  use steps{block}(where_to, count: {block})");
    }
    text.push_str("}\n");
    text
}

fn block(number: usize, block: usize, before: &str) -> String {
    format!(
        r#"pub let name{block}: String = {before}

let service{block}: common.Service = {{
  name = "s{number}-{block}"
  port = {port}
  paths = ["/srv/{number}/{block}"]
  level = {level}
}}

/// Steps of one service.
pub recipe steps{block}(where_to: String, count: Int = 1) on linux/* {{
  let label = common.labelled(where_to, times: count)
  use common.install(service{block})
  if count > 2 {{
    sh "many \{{label}} {number} {block}" {{ script = "{IN_A_BODY} \{{count}}" }}
  }} else {{
    sh "few \{{label}} {number} {block}" {{
      script = "{IN_A_BODY} \{{common.level_name(service{block}.level)}}"
      env = {{ "NAME" => name{block} }}
    }}
  }}
}}
"#,
        port = 1024 + (number * 40 + block) % 60000,
        level = if block.is_multiple_of(2) { "stable".to_owned() } else { format!("edge({block})") },
    )
}
