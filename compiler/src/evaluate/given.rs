//! Where arguments were given: each becomes a text of its own that diagnostics can point into, beside the modules.

use crate::core::Item;
use crate::diagnostic::evaluate as say;
use crate::sources::Source;
use crate::span::{Location, ModuleId, Span};
use crate::spelling::nearest;
use crate::world::Argument;

use super::Evaluator;

impl Evaluator<'_> {
    /// The place of an argument's value; none where nobody knows it.
    pub(super) fn given_at(&mut self, argument: &Argument) -> Option<Location> {
        let given = argument.place.as_ref()?;
        let modules = self.modules.sources.modules().len();
        let known =
            self.result.given.iter().position(|source| *source.path == *given.path && *source.text == *given.text);
        let position = known.unwrap_or_else(|| {
            let (path, text) = (given.path.as_str().into(), given.text.as_str().into());
            self.result.given.push(Source::new(path, text, &[0]));
            self.result.given.len() - 1
        });
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let span = Span { start: number(given.start), end: number(given.end) };
        Some(Location { module: ModuleId(number(modules + position)), item: 0, span })
    }

    /// Arguments whose names are no params of the applied module.
    pub(super) fn refuse_unknown_arguments(&mut self) {
        let items = self.program.modules.get(self.applied.0 as usize).map(|m| m.items.as_slice()).unwrap_or_default();
        let params = items.iter().filter_map(|item| match &**item {
            Item::Param(param) => Some(&*param.name),
            _ => None,
        });
        let params: Vec<&str> = params.collect();
        for (name, origin) in self.world.argument_names() {
            if !params.contains(&name.as_str()) {
                let near = nearest(&name, params.iter().copied());
                let at = self.world.argument(&name).and_then(|argument| self.given_at(&argument));
                self.report(say::unknown_param(at, &name, &origin, near, &params));
            }
        }
    }
}
