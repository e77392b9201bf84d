//! The shapes of arguments: what a step, source or artifact reads, so that a test can compare it with its declaration.
//!
//! A shape lists nothing by hand: names, defaults and types are those of the struct itself, asked through serde.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::Kind;

/// What one kind of step, source or artifact reads.
///
/// ```
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct WaitArgs {
///     port: u16,
///     #[serde(default)]
///     retries: u32,
/// }
///
/// let wait = imgc_backend::Shape::of::<WaitArgs>("wait", 1, serde_json::json!({ "port": 22 }));
/// let fields = wait.fields().unwrap();
/// assert_eq!(fields.iter().map(|f| (f.name.as_str(), f.needed)).collect::<Vec<_>>(), [("port", true), ("retries", false)]);
/// ```
#[derive(Debug, Clone)]
pub struct Shape {
    /// As users write it: `sh`, `rootfs.debian`.
    pub kind: &'static str,
    /// The one that the declaration must have, too.
    pub revision: u32,
    /// Arguments with only what is needed.
    least: Json,
    read: fn(&Json) -> Result<Json, String>,
}

/// One field of a shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// As the struct reads it.
    pub name: String,
    /// Whether the struct cannot be read without it.
    pub needed: bool,
    /// What it is where it was left out; the given value where it is needed.
    pub value: Json,
}

impl Shape {
    /// The shape of `T`. `least` are arguments in plain form with as little as `T` can be read from; `T` writes itself
    /// as it reads itself.
    pub fn of<T: Serialize + DeserializeOwned>(kind: &'static str, revision: u32, least: Json) -> Self {
        let read = |args: &Json| {
            let args: T = serde_json::from_value(args.clone()).map_err(|error| error.to_string())?;
            serde_json::to_value(args).map_err(|error| error.to_string())
        };
        Self { kind, revision, least, read }
    }

    /// For [`crate::Offers`].
    pub const fn offered(&self) -> Kind {
        Kind { name: self.kind, revision: self.revision }
    }

    /// The fields, sorted by name.
    ///
    /// # Errors
    /// The least arguments cannot be read, in serde's words.
    pub fn fields(&self) -> Result<Vec<Field>, String> {
        let whole = self.read(&self.least)?;
        let Json::Object(fields) = whole else { return Err("the arguments are no struct".to_owned()) };
        let field = |(name, value): (String, Json)| Field { needed: !self.reads_without(&name), name, value };
        Ok(fields.into_iter().map(field).collect())
    }

    /// What the struct makes of the least arguments with one more field, or another value of one.
    ///
    /// # Errors
    /// The value does not fit, in serde's words.
    pub fn read_with(&self, field: &str, value: Json) -> Result<Json, String> {
        let mut args = self.least.clone();
        if let Json::Object(fields) = &mut args {
            fields.insert(field.to_owned(), value);
        }
        let mut whole = self.read(&args)?;
        Ok(whole.get_mut(field).map(Json::take).unwrap_or_default())
    }

    fn reads_without(&self, field: &str) -> bool {
        let mut args = self.least.clone();
        if let Json::Object(fields) = &mut args {
            fields.remove(field);
        }
        self.read(&args).is_ok()
    }

    fn read(&self, args: &Json) -> Result<Json, String> {
        (self.read)(args)
    }
}
