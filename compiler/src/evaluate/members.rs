//! Members of built-in values.

use std::sync::Arc;

use crate::core::{Builtin, Expr, Lambda};
use crate::diagnostic::{evaluate as say, platform as say_platform};
use crate::paths;
use crate::span::Location;
use crate::types::{compare_versions, fulfils};
use crate::world::{Found, WorldError};

use super::{Evaluator, Fault, Frame, Known, Look, Purpose, Stop, Value};

/// The most bytes of a compiled regular expression.
const MAX_REGEX: usize = 1 << 20;

impl<'a> Evaluator<'a> {
    /// A member of a value that may be unknown: then its arguments are looked at nevertheless.
    pub(super) fn member(
        &mut self,
        frame: &mut Frame,
        builtin: Builtin,
        base: Known,
        (args, lambda): (&'a [Expr], Option<&'a Lambda>),
        at: Location,
    ) -> Known {
        let mut fault = Fault::default();
        let base = fault.of(base);
        let mut values = Vec::with_capacity(args.len());
        for arg in args {
            let value = self.eval(frame, arg);
            // What a member takes decides what it gives.
            let may_be_open = matches!(builtin, Builtin::Fold | Builtin::BuildFile | Builtin::BuildDir);
            let value = if may_be_open { value } else { self.known(value, Look::Content, arg.at) };
            values.extend(fault.of(value));
        }
        if let (None, Some(lambda)) = (&base, lambda) {
            lambda.slots.iter().for_each(|slot| frame.put(*slot, Err(Stop::Unknown)));
            let _ = self.guarded(frame, |this, frame| this.eval(frame, &lambda.body));
        }
        fault.end()?;
        self.builtin(frame, builtin, &base.ok_or(Stop::Reported)?, (values, lambda), at)
    }

    fn builtin(
        &mut self,
        frame: &mut Frame,
        builtin: Builtin,
        base: &Value,
        (values, lambda): (Vec<Value>, Option<&'a Lambda>),
        at: Location,
    ) -> Known {
        match (base, lambda) {
            (Value::List(_) | Value::Set(_), Some(lambda)) => {
                let items = self.elements(base, at)?;
                self.with_lambda(frame, builtin, items, values, lambda)
            }
            (Value::List(_) | Value::Set(_), None) => {
                let items = self.elements(base, at)?;
                self.on_list(builtin, items, &values, at)
            }
            (Value::Text(text), _) => self.on_text(builtin, text, &values, at),
            (Value::File(_) | Value::Dir { .. }, _) => self.on_file(builtin, base, values.first(), at),
            (Value::Map(map), _) => Ok(match builtin {
                Builtin::Keys => Value::List(Arc::new(map.keys().cloned().collect())),
                Builtin::Values => Value::List(Arc::new(map.values().cloned().collect())),
                _ => length(map.len()),
            }),
            (Value::Platform(platform), _) => Ok(match builtin {
                Builtin::Os => Value::text(platform.os.as_str()),
                Builtin::Arch => Value::text(platform.arch.as_str()),
                _ => platform.distro.as_deref().map_or(Value::None, Value::text),
            }),
            (Value::Image(_) | Value::Artifact { .. } | Value::Source(_), _) => {
                self.on_graph(frame, builtin, (base, values.first()), at)
            }
            (Value::Build(built), _) => self.on_build(builtin, built, values.first(), at),
            (Value::Template { parts, .. }, _) if builtin == Builtin::Raw => {
                Ok(Value::Template { shell: Some(Arc::from("sh")), parts: parts.clone() })
            }
            (Value::Template { .. }, _) => self.must_know(base, Look::Content, at).and(Err(Stop::Reported)),
            (_, _) => Err(Stop::Reported),
        }
    }

    fn apply(&mut self, frame: &mut Frame, lambda: &'a Lambda, values: &[Value]) -> Known {
        for (slot, value) in lambda.slots.iter().zip(values) {
            frame.set(*slot, value.clone());
        }
        self.eval(frame, &lambda.body)
    }

    fn with_lambda(
        &mut self,
        frame: &mut Frame,
        builtin: Builtin,
        items: Vec<Value>,
        args: Vec<Value>,
        lambda: &'a Lambda,
    ) -> Known {
        if builtin == Builtin::Fold {
            let mut sum = args.into_iter().next().ok_or(Stop::Reported)?;
            for item in items {
                sum = self.apply(frame, lambda, &[sum, item])?;
            }
            return Ok(sum);
        }
        if !matches!(builtin, Builtin::All | Builtin::Any) {
            self.count_elements(items.len(), lambda.body.at)?;
        }
        let mut results = Vec::with_capacity(items.len());
        let mut fault = Fault::default();
        for item in items {
            let Some(result) = fault.of(self.apply(frame, lambda, std::slice::from_ref(&item))) else { continue };
            let is_true = result == Value::Bool(true);
            match builtin {
                Builtin::All if !is_true => return Ok(Value::Bool(false)),
                Builtin::Any if is_true => return Ok(Value::Bool(true)),
                _ => results.push((result, item)),
            }
        }
        fault.end()?;
        Ok(match builtin {
            Builtin::All => Value::Bool(true),
            Builtin::Any => Value::Bool(false),
            Builtin::Filter => {
                let kept = results.into_iter().filter(|(result, _)| *result == Value::Bool(true));
                list(kept.map(|(_, item)| item).collect())
            }
            Builtin::SortBy if results.iter().any(|(key, _)| key.is_open()) => {
                return Err(self.report(say_platform::not_yet_known(lambda.body.at, Look::Operator)));
            }
            Builtin::SortBy => {
                results.sort_by(|(a, _), (b, _)| a.cmp(b));
                list(results.into_iter().map(|(_, item)| item).collect())
            }
            _ => list(results.into_iter().map(|(result, _)| result).collect()),
        })
    }

    fn on_list(&mut self, builtin: Builtin, mut items: Vec<Value>, args: &[Value], at: Location) -> Known {
        self.count_elements(items.len(), at)?;
        Ok(match (builtin, args) {
            (Builtin::Len, _) => length(items.len()),
            (Builtin::Sort | Builtin::Contains, _) if items.iter().any(Value::is_open) => {
                return Err(self.report(say_platform::not_yet_known(at, Look::Operator)));
            }
            (Builtin::Sort, _) => {
                items.sort();
                list(items)
            }
            (Builtin::SortVersions, _) => {
                let text = |value: &Value| value.to_text().unwrap_or_default();
                items.sort_by(|a, b| compare_versions(&text(a), &text(b)));
                list(items)
            }
            (Builtin::Reverse, _) => {
                items.reverse();
                list(items)
            }
            (Builtin::Take, [Value::Int(count)]) => {
                items.truncate(usize::try_from(*count).unwrap_or(0));
                list(items)
            }
            (Builtin::Contains, [value]) => Value::Bool(items.contains(value)),
            (Builtin::Join, [Value::Text(between)]) => {
                let text = super::text::joined(items.iter(), between).ok_or(Stop::Reported)?;
                self.count_text(text.known_length(), at)?;
                text
            }
            (_, _) => return Err(Stop::Reported),
        })
    }

    fn on_text(&mut self, builtin: Builtin, text: &Arc<str>, args: &[Value], at: Location) -> Known {
        self.count_text(text.len(), at)?;
        let value = match (builtin, args) {
            (Builtin::Raw, _) => Value::Script { shell: Arc::from("sh"), text: text.clone() },
            (Builtin::Len, _) => length(text.chars().count()),
            (Builtin::Trim, _) => Value::text(text.trim()),
            (Builtin::Lower, _) => Value::text(text.to_lowercase()),
            (Builtin::Upper, _) => Value::text(text.to_uppercase()),
            (Builtin::StartsWith, [Value::Text(part)]) => Value::Bool(text.starts_with(&**part)),
            (Builtin::EndsWith, [Value::Text(part)]) => Value::Bool(text.ends_with(&**part)),
            (Builtin::Contains, [Value::Text(part)]) => Value::Bool(text.contains(&**part)),
            (Builtin::Split, [Value::Text(between)]) => {
                let parts: Vec<Value> = if between.is_empty() {
                    text.chars().map(|c| Value::text(c.to_string())).collect()
                } else {
                    text.split(&**between).map(Value::text).collect()
                };
                self.count_elements(parts.len(), at)?;
                list(parts)
            }
            (Builtin::Replace, [Value::Text(from), Value::Text(to)]) => {
                // Counted before it is made: each match may grow.
                let matches = if from.is_empty() { text.chars().count() + 1 } else { text.matches(&**from).count() };
                self.count_text(matches.saturating_mul(to.len()), at)?;
                Value::text(text.replace(&**from, to))
            }
            (Builtin::Fulfils, [Value::Text(asked)]) => Value::Bool(fulfils(text, asked)),
            (Builtin::Compare, [Value::Text(other)]) => Value::Int(compare_versions(text, other) as i64),
            (Builtin::Matches, [Value::Text(pattern)]) => {
                let regex = regex_lite::RegexBuilder::new(pattern).size_limit(MAX_REGEX).build();
                match regex {
                    Ok(regex) => Value::Bool(regex.is_match(text)),
                    Err(_) => return Err(self.report(say::bad_regex(at, pattern))),
                }
            }
            (_, _) => return Err(Stop::Reported),
        };
        Ok(value)
    }

    fn on_file(&mut self, builtin: Builtin, base: &Value, arg: Option<&Value>, at: Location) -> Known {
        match (builtin, base, arg) {
            (Builtin::FileName, Value::File(path), _) => Ok(Value::text(path.rsplit('/').next().unwrap_or(path))),
            (Builtin::FileText, Value::File(path), _) => Ok(Value::Text(self.read(path, at)?)),
            (Builtin::DirFile, Value::Dir { path, .. }, Some(Value::Text(below))) => {
                Ok(Value::File(self.below(path, below, Found::File, at)?))
            }
            (Builtin::DirDir, Value::Dir { path, ignore }, Some(Value::Text(below))) => {
                Ok(Value::Dir { path: self.below(path, below, Found::Dir, at)?, ignore: ignore.clone() })
            }
            (Builtin::DirFiles, Value::Dir { path, ignore }, _) => {
                if self.purpose == Purpose::Check {
                    return Err(Stop::Unknown);
                }
                self.reads += 1;
                let dir = self.world.dir(path, ignore).map_err(|error| self.report(say::unreadable(at, &error)))?;
                self.result.listings.insert((path.clone(), ignore.to_vec()));
                let is_file = |entry: &&imgc_plan::TreeEntry| matches!(entry.kind, imgc_plan::EntryKind::File { .. });
                let files = dir.entries.iter().filter(is_file);
                let files: Vec<Value> = files
                    .map(|entry| Value::File(format!("{path}/{}", entry.path).trim_start_matches('/').into()))
                    .collect();
                self.count_elements(files.len(), at)?;
                Ok(list(files))
            }
            (_, _, _) => Err(Stop::Reported),
        }
    }

    /// A path below a directory, which has to lead to what is wanted.
    fn below(&mut self, dir: &str, path: &str, wanted: Found, at: Location) -> Known<Arc<str>> {
        let inside = paths::join(dir, path).ok().filter(|joined| joined.starts_with(dir));
        let Some(joined) = inside else { return Err(self.report(say::outside(at, path))) };
        self.reads += 1;
        match self.world.find(&joined) {
            Ok(found) if found == wanted => Ok(Arc::from(joined)),
            Ok(Found::Missing) | Err(WorldError::Missing { .. }) => {
                Err(self.report(say::no_such_file_in_dir(at, dir, path, None)))
            }
            Ok(found) => Err(self.report(say::wrong_kind(at, &joined, wanted, found))),
            Err(WorldError::Outside { .. }) => Err(self.report(say::outside(at, &joined))),
            Err(error) => Err(self.report(say::unreadable(at, &error))),
        }
    }
}

fn list(items: Vec<Value>) -> Value {
    Value::List(Arc::new(items))
}

fn length(len: usize) -> Value {
    Value::Int(i64::try_from(len).unwrap_or(i64::MAX))
}
