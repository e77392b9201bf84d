//! Values for params: `--set`, `--vars`, `IMGC_VAR_name`, in this order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use imgc_compiler::world::{Argument, ArgumentPlace, ArgumentValue};
use serde::{Deserialize, Serialize};

use crate::args::ParamArgs;
use crate::exit::Failure;

/// All arguments that were given, ready to be asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arguments {
    /// By param; what wins is already decided.
    given: BTreeMap<String, Argument>,
    /// Where `IMGC_VAR_` values count from.
    directory: String,
}

/// The arguments as they were said, so that a plan file can ask for them again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Said {
    /// `name=value` in order.
    pub(crate) set: Vec<String>,
    /// Files, absolute, in order.
    pub(crate) vars: Vec<PathBuf>,
    /// The directory that `--set` values of type `File` count from, absolute.
    pub(crate) directory: PathBuf,
}

impl Said {
    /// From the command line.
    pub(crate) fn new(params: &ParamArgs) -> Result<Self, Failure> {
        let directory = std::env::current_dir().map_err(Failure::io("cannot find the current directory"))?;
        let vars = params.vars.iter().map(|file| directory.join(file)).collect();
        Ok(Self { set: params.set.clone(), vars, directory })
    }
}

impl Arguments {
    /// Reads what was said.
    ///
    /// # Errors
    /// A `--set` without `=`, a file that cannot be read or is no table.
    pub(crate) fn read(said: &Said) -> Result<Self, Failure> {
        let directory = said.directory.display().to_string();
        let mut given = BTreeMap::new();
        for file in &said.vars {
            let path = shown(file, &said.directory).to_string();
            for (name, value, span) in read_vars(file)? {
                let base = file.parent().unwrap_or(Path::new("/")).display().to_string();
                let origin = format!("--vars {}", shown(file, &said.directory));
                given.insert(
                    name,
                    Argument {
                        value: ArgumentValue::Data(value),
                        origin,
                        base,
                        place: span.map(|(text, span)| place(&path, text, span)),
                    },
                );
            }
        }
        for pair in &said.set {
            let Some((name, value)) = pair.split_once('=').filter(|(name, _)| !name.is_empty()) else {
                return Err(Failure::usage(format!("`--set {pair}` is not of the form NAME=VALUE")));
            };
            let value = ArgumentValue::Text(value.to_owned());
            let text = format!("--set {pair}");
            let span = "--set ".len() + name.len() + 1..text.len();
            let place = Some(place("--set", text, span));
            let argument = Argument { value, origin: "--set".to_owned(), base: directory.clone(), place };
            given.insert(name.to_owned(), argument);
        }
        Ok(Self { given, directory })
    }

    /// The argument for a param, if there is one.
    pub(crate) fn get(&self, param: &str) -> Option<Argument> {
        self.given.get(param).cloned().or_else(|| {
            let name = variable(param);
            let given = std::env::var(&name).ok()?;
            let text = format!("{name}={given}");
            let place = Some(place("environment", text, name.len() + 1..name.len() + 1 + given.len()));
            Some(Argument { value: ArgumentValue::Text(given), origin: name, base: self.directory.clone(), place })
        })
    }

    /// Every name that `--set` or `--vars` gave, with its origin.
    pub(crate) fn names(&self) -> Vec<(String, String)> {
        self.given.iter().map(|(name, argument)| (name.clone(), argument.origin.clone())).collect()
    }
}

/// The environment variable of a param.
pub(crate) fn variable(param: &str) -> String {
    format!("IMGC_VAR_{param}")
}

/// Whether an environment variable gives a param its value.
pub(crate) fn is_variable(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"IMGC_VAR_")
}

fn shown<'a>(file: &'a Path, directory: &Path) -> std::path::Display<'a> {
    file.strip_prefix(directory).unwrap_or(file).display()
}

fn place(path: &str, text: String, span: std::ops::Range<usize>) -> ArgumentPlace {
    ArgumentPlace { path: path.to_owned(), text, start: span.start, end: span.end }
}

/// The value of a param and where it is: the file's whole text, and the range in it.
type Value = (String, serde_json::Value, Option<(String, std::ops::Range<usize>)>);

fn read_vars(file: &Path) -> Result<Vec<Value>, Failure> {
    let name = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::program(format!("cannot read the values of `{name}`")).because(&error))?;
    let is_json = file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let wrong = |error: String| {
        Failure::program(format!("`{name}` is not a {} file of values", if is_json { "JSON" } else { "TOML" }))
            .because(&Wrong(error.trim_end().to_owned()))
    };
    if is_json {
        let table: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let find = |name: &str| crate::json_places::value_of(&text, name).map(|span| (text.clone(), span));
        return Ok(table
            .into_iter()
            .map(|(name, value)| (find(&name), name, value))
            .map(|(at, name, value)| (name, value, at))
            .collect());
    }
    let table: toml::Table = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let spans = toml::de::DeTable::parse(&text).map_err(|error| wrong(error.to_string()))?;
    let find = |name: &str| spans.get_ref().get(name).map(|value| (text.clone(), value.span()));
    Ok(table
        .into_iter()
        .map(|(name, value)| (find(&name), name, json(value)))
        .map(|(at, name, value)| (name, value, at))
        .collect())
}

/// What a parser said.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Wrong(String);

/// TOML's times of day have no place in the language; they pass as the text they were.
fn json(value: toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => items.into_iter().map(json).collect(),
        toml::Value::Table(table) => table.into_iter().map(|(name, value)| (name, json(value))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(set: &[&str], vars: &[(&str, &str)]) -> Result<Arguments, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let write = |(name, text): &(&str, &str)| {
            std::fs::write(dir.path().join(name), text).unwrap();
            dir.path().join(name)
        };
        let vars = vars.iter().map(write).collect();
        let set = set.iter().map(|pair| (*pair).to_owned()).collect();
        Arguments::read(&Said { set, vars, directory: dir.path().to_owned() })
    }

    #[test]
    fn set_wins_over_vars_and_later_files_win() {
        let files = [("a.toml", "a = 1\nb = [true, \"x\"]\nc = 1"), ("b.json", r#"{ "c": 2 }"#)];
        let given = arguments(&["a=one=two"], &files).unwrap();
        let text = |text: &str| ArgumentValue::Text(text.to_owned());
        assert_eq!(given.get("a").unwrap().value, text("one=two"));
        assert_eq!(given.get("a").unwrap().origin, "--set");
        assert_eq!(given.get("b").unwrap().value, ArgumentValue::Data(serde_json::json!([true, "x"])));
        assert_eq!(given.get("c").unwrap().value, ArgumentValue::Data(serde_json::json!(2)));
        assert_eq!(given.get("c").unwrap().origin, "--vars b.json");
        assert!(given.get("d").is_none());
        assert_eq!(given.names().len(), 3);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        assert_eq!(arguments(&["a"], &[]).unwrap_err().exit, crate::exit::Exit::Usage);
        let failure = arguments(&[], &[("v.toml", "a = ")]).unwrap_err();
        assert!(failure.message.contains("is not a TOML file of values"), "{failure:?}");
        let failure = arguments(&[], &[("v.json", "[1]")]).unwrap_err();
        assert!(failure.message.contains("is not a JSON file of values"), "{failure:?}");
    }
}
