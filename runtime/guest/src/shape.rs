//! The shapes of the steps: what the standard library must declare.

/// The fields of one step kind, to be compared with its extern declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// As users write it.
    pub kind: &'static str,
    /// Raised when its meaning changes.
    pub revision: u32,
    /// In order of declaration.
    pub fields: &'static [Field],
}

/// One field of a step kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its type, as the language writes it.
    pub type_: &'static str,
    /// Whether it may be left out.
    pub optional: bool,
}

const fn needed(name: &'static str, type_: &'static str) -> Field {
    Field { name, type_, optional: false }
}

const fn optional(name: &'static str, type_: &'static str) -> Field {
    Field { name, type_, optional: true }
}

/// Every step kind that [`crate::run_step`] runs.
pub fn shapes() -> &'static [Shape] {
    const SHAPES: &[Shape] = &[
        Shape {
            kind: "sh",
            revision: 1,
            fields: &[
                needed("script", "Script<sh>"),
                optional("env", "Map<String, String | Secret<String>>"),
                optional("user", "String"),
                optional("workdir", "GuestPath"),
                optional("timeout", "Duration"),
                optional("retries", "Int"),
                optional("exit_codes", "List<Int>"),
                optional("disconnect", "\"error\" | \"expected\""),
                optional("network", "Bool"),
                optional("cache", "Cache"),
            ],
        },
        Shape {
            kind: "copy",
            revision: 1,
            fields: &[
                needed("src", "File | Dir"),
                needed("dest", "GuestPath"),
                optional("mode", "Mode?"),
                optional("owner", "String"),
            ],
        },
        Shape {
            kind: "write",
            revision: 1,
            fields: &[
                needed("dest", "GuestPath"),
                needed("text", "String"),
                optional("mode", "Mode"),
                optional("owner", "String"),
            ],
        },
    ];
    SHAPES
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{CopyArgs, ShArgs, WriteArgs};

    fn declared(kind: &str) -> BTreeSet<&'static str> {
        let shape = shapes().iter().find(|shape| shape.kind == kind).unwrap();
        shape.fields.iter().map(|field| field.name).collect()
    }

    fn names<T: serde::Serialize>(args: &T) -> BTreeSet<String> {
        serde_json::to_value(args).unwrap().as_object().unwrap().keys().cloned().collect()
    }

    /// With only the needed fields given, the structs have exactly the fields that the shapes list.
    #[test]
    fn shapes_are_those_of_the_structs() {
        let sh: ShArgs = serde_json::from_str(r#"{"script": "true"}"#).unwrap();
        assert_eq!(names(&sh), declared("sh").into_iter().map(str::to_owned).collect());
        let zeros = "0".repeat(64);
        let src = serde_json::json!({"path": "a", "digest": zeros, "mode": 420, "size": 1});
        let copy: CopyArgs = serde_json::from_value(serde_json::json!({"src": src, "dest": "/a"})).unwrap();
        assert_eq!(names(&copy), declared("copy").into_iter().map(str::to_owned).collect());
        let write: WriteArgs = serde_json::from_str(r#"{"dest": "/a", "text": ""}"#).unwrap();
        assert_eq!(names(&write), declared("write").into_iter().map(str::to_owned).collect());
    }
}
