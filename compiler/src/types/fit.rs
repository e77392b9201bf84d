//! Whether a value of one type may stand where another is asked, and what has to be done to it.

use std::sync::Arc;

use super::{Field, FormatIndex, PlatformIndex, Shape, Type};

/// What has to be done to a value so that it fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Coercion {
    /// An `Int` has to be from 1 to 65535.
    Port,
    /// The bits of a `Mode` become a number.
    Bits,
    /// A file's text becomes a script of this shell.
    ReadScript(Arc<str>),
    /// The fields of a record that are missing get their defaults.
    Record(Arc<super::Nominal>),
    /// An artifact as the file it is.
    File,
    /// A path of the guest that was written elsewhere has to be one of the image's system.
    Path,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fit {
    No,
    Yes,
    After(Coercion),
}

impl Fit {
    fn when(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// Whether `found` fits where `expected` is asked. The more exact fits the less exact.
#[expect(clippy::match_same_arms, reason = "each line is a rule, and their order matters")]
pub(crate) fn fit(found: &Type, expected: &Type) -> Fit {
    match (found, expected) {
        (Type::Error | Type::Never, _) | (_, Type::Error) => Fit::Yes,
        (Type::Union(members), _) => all(members, expected),
        (Type::None, Type::Optional(_)) => Fit::Yes,
        (Type::Optional(a), Type::Optional(b)) => fit(a, b),
        (_, Type::Optional(inner)) => fit(found, inner),
        (_, Type::Union(members)) => any(found, members),
        (Type::Literal(_), Type::String) | (Type::Port, Type::Int) => Fit::Yes,
        (Type::Mode, Type::Int) => Fit::After(Coercion::Bits),
        (Type::Int, Type::Port) => Fit::After(Coercion::Port),
        (Type::File, Type::Script(shell)) => Fit::After(Coercion::ReadScript(shell.clone())),
        (Type::Artifact(..), Type::File) => Fit::After(Coercion::File),
        (Type::Platform(a), Type::Platform(b)) => Fit::when(b.holds(a)),
        (Type::List(a), Type::List(b))
        | (Type::Set(a), Type::Set(b))
        | (Type::Range(a), Type::Range(b))
        | (Type::Secret(a), Type::Secret(b)) => exactly(a, b),
        (Type::Map(ka, va), Type::Map(kb, vb)) => Fit::when(exactly(ka, kb) == Fit::Yes && exactly(va, vb) == Fit::Yes),
        (Type::Image(pa, fa), Type::Image(pb, fb))
        | (Type::Source(pa, fa), Type::Source(pb, fb))
        | (Type::Artifact(fa, pa), Type::Artifact(fb, pb)) => Fit::when(platform_fits(pa, pb) && format_fits(fa, fb)),
        (Type::Anonymous(fields), Type::Nominal(nominal)) => match &nominal.shape {
            Shape::Record(asked) if fields_fit(fields, asked, &|fit| fit != Fit::No) => {
                Fit::After(Coercion::Record(nominal.clone()))
            }
            Shape::Record(_) => Fit::No,
            Shape::Enum(_) => Fit::No,
        },
        (Type::Anonymous(a), Type::Anonymous(b)) => Fit::when(fields_fit(a, b, &|fit| fit == Fit::Yes)),
        (Type::Nominal(a), Type::Nominal(b)) => Fit::when(a.id == b.id),
        (a, b) => Fit::when(a == b),
    }
}

/// Inside lists and maps a value cannot be changed on the way.
fn exactly(found: &Type, expected: &Type) -> Fit {
    Fit::when(fit(found, expected) == Fit::Yes)
}

fn all(members: &[Type], expected: &Type) -> Fit {
    Fit::when(members.iter().all(|member| fit(member, expected) == Fit::Yes))
}

fn any(found: &Type, members: &[Type]) -> Fit {
    let fits: Vec<Fit> = members.iter().map(|member| fit(found, member)).collect();
    if fits.contains(&Fit::Yes) {
        return Fit::Yes;
    }
    fits.into_iter().find(|fit| *fit != Fit::No).unwrap_or(Fit::No)
}

fn fields_fit(found: &[Field], asked: &[Field], is_enough: &dyn Fn(Fit) -> bool) -> bool {
    let known = found.iter().all(|f| asked.iter().any(|a| a.name == f.name && is_enough(fit(&f.ty, &a.ty))));
    let whole = asked.iter().all(|a| a.optional || found.iter().any(|f| f.name == a.name));
    known && whole
}

fn platform_fits(found: &PlatformIndex, expected: &PlatformIndex) -> bool {
    match (found, expected) {
        (PlatformIndex::Path(a, _), PlatformIndex::Path(b, _)) => a == b,
        (PlatformIndex::Is(_), PlatformIndex::Path(..)) => false,
        (found, PlatformIndex::Is(b)) => b.holds(&found.pattern()),
    }
}

fn format_fits(found: &FormatIndex, expected: &FormatIndex) -> bool {
    match (found, expected) {
        (FormatIndex::Of(a), FormatIndex::Of(b)) => a.is_subset(b),
        (FormatIndex::Path(a), FormatIndex::Path(b)) => a == b,
        (_, FormatIndex::Any) => true,
        (FormatIndex::Any | FormatIndex::Of(_), FormatIndex::Path(_))
        | (FormatIndex::Any | FormatIndex::Path(_), FormatIndex::Of(_)) => false,
    }
}

/// The narrowest type that holds both, for lists, `if` and `match`; none where nothing does.
pub(crate) fn join(a: &Type, b: &Type) -> Option<Type> {
    match (a, b) {
        (Type::Error, _) | (_, Type::Error) => Some(Type::Error),
        (Type::None, other) | (other, Type::None) => Some(other.clone().optional()),
        (Type::Optional(a), Type::Optional(b)) => Some(join(a, b)?.optional()),
        (Type::Optional(a), b) | (b, Type::Optional(a)) => Some(join(a, b)?.optional()),
        (Type::Platform(a), Type::Platform(b)) => Some(Type::Platform(a.join(b))),
        (Type::Image(pa, fa), Type::Image(pb, fb)) => Some(Type::Image(join_platform(pa, pb), join_format(fa, fb))),
        (Type::Source(pa, fa), Type::Source(pb, fb)) => Some(Type::Source(join_platform(pa, pb), join_format(fa, fb))),
        (Type::Artifact(fa, pa), Type::Artifact(fb, pb)) => {
            Some(Type::Artifact(join_format(fa, fb), join_platform(pa, pb)))
        }
        (Type::List(a), Type::List(b)) => Some(Type::List(Arc::new(join(a, b)?))),
        (Type::Anonymous(a), Type::Anonymous(b)) if a.iter().map(|f| &f.name).eq(b.iter().map(|f| &f.name)) => {
            let both = a.iter().zip(b.iter());
            let joined = both.map(|(a, b)| Some(Field { ty: join(&a.ty, &b.ty)?, ..a.clone() }));
            Some(Type::Anonymous(joined.collect::<Option<Vec<_>>>()?.into()))
        }
        (Type::Literal(_), Type::Literal(_)) => Some(Type::String),
        (a, b) if fit(a, b) == Fit::Yes => Some(b.clone()),
        (a, b) if fit(b, a) == Fit::Yes => Some(a.clone()),
        (_, _) => None,
    }
}

fn join_platform(a: &PlatformIndex, b: &PlatformIndex) -> PlatformIndex {
    if a == b { a.clone() } else { PlatformIndex::Is(a.pattern().join(&b.pattern())) }
}

fn join_format(a: &FormatIndex, b: &FormatIndex) -> FormatIndex {
    match (a, b) {
        (FormatIndex::Of(a), FormatIndex::Of(b)) => FormatIndex::Of(a.union(b).cloned().collect()),
        (a, b) if a == b => a.clone(),
        (_, _) => FormatIndex::Any,
    }
}
