//! Scripts: what may stand in their holes, and where.

use std::sync::Arc;

use crate::ast::{Template, TemplatePart};
use crate::core::{Kind, ScriptPart};
use crate::diagnostic::types as say;
use crate::evaluate::Value;
use crate::modules::plain;
use crate::script::{self, Context};
use crate::span::Span;
use crate::types::Type;

use super::{Body, Typed};

/// What a hole of a script holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Text,
    Words,
    Script,
    /// It is wrong and was reported.
    Nothing,
}

impl Body<'_, '_> {
    /// A literal that is a script of this shell.
    pub(super) fn script(&mut self, template: &Template, shell: &Arc<str>, span: Span) -> Typed {
        let ty = Type::Script(shell.clone());
        if let Some(text) = plain(template) {
            return self.typed(Kind::Value(Value::Script { shell: shell.clone(), text: text.into() }), span, ty);
        }
        let mut parts = Vec::with_capacity(template.parts.len());
        let mut holes = Vec::new();
        for part in &template.parts {
            match part {
                TemplatePart::Text { text, .. } => parts.push(ScriptPart::Text(Arc::from(text.as_str()))),
                TemplatePart::Hole { value, span } => {
                    let typed = self.infer(value);
                    let holds = self.holds(&typed.ty, shell, value.span);
                    holes.push((holds, *span));
                    parts.push(if holds == Holds::Script {
                        ScriptPart::Insert(typed.core)
                    } else {
                        ScriptPart::Hole(typed.core)
                    });
                }
            }
        }
        if !script::knows(shell) {
            let at = self.at(span);
            self.report(crate::diagnostic::evaluate::not_built_yet(
                at,
                &format!("a value inside a script for `{shell}`"),
            ));
            return self.poison(span);
        }
        if holes.iter().any(|(holds, _)| *holds == Holds::Script) {
            // Only the text that is put in says where the other holes stand: evaluation looks.
            return self.typed(Kind::Script { shell: shell.clone(), parts, contexts: None }, span, ty);
        }
        match self.contexts(shell, &parts, &holes) {
            Some(contexts) => {
                self.typed(Kind::Script { shell: shell.clone(), parts, contexts: Some(contexts) }, span, ty)
            }
            None => self.poison(span),
        }
    }

    fn holds(&mut self, ty: &Type, shell: &Arc<str>, span: Span) -> Holds {
        match ty {
            Type::Error => Holds::Nothing,
            Type::Script(inner) if inner == shell => Holds::Script,
            Type::List(inner) | Type::Set(inner) if inner.has_text() => Holds::Words,
            other if other.has_text() => Holds::Text,
            other if self.refuses_secret(other, span, crate::diagnostic::secrets::Use::Script) => Holds::Nothing,
            other => {
                let at = self.at(span);
                self.report(say::script_value(at, other));
                Holds::Nothing
            }
        }
    }

    /// Where the holes stand; none where one stands where no value can, which is reported.
    fn contexts(&mut self, shell: &str, parts: &[ScriptPart], holes: &[(Holds, Span)]) -> Option<Vec<Context>> {
        let scanned: Vec<script::Part<'_>> = parts
            .iter()
            .map(|part| match part {
                ScriptPart::Text(text) => script::Part::Text(text),
                ScriptPart::Hole(_) | ScriptPart::Insert(_) => script::Part::Hole,
            })
            .collect();
        let mut contexts = Vec::with_capacity(holes.len());
        for (found, (holds, span)) in script::contexts_in(shell, &scanned).into_iter().zip(holes) {
            let at = self.at(*span);
            match (found, holds) {
                (_, Holds::Nothing) => {}
                (Err(refusal), _) => self.report(say::script_hole(at, &refusal.place())),
                (Ok(context), Holds::Words) if !context.takes_words() => {
                    self.report(say::script_words(at));
                }
                (Ok(context), _) => contexts.push(context),
            }
        }
        (contexts.len() == holes.len()).then_some(contexts)
    }
}
