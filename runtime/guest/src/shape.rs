//! The shapes of the steps: what the standard library must declare.

use imgc_backend::Shape;
use serde_json::json;

use crate::{CopyArgs, RestartArgs, ShArgs, WaitArgs, WriteArgs};

/// Every step kind that [`crate::run_step`] runs.
pub fn shapes() -> Vec<Shape> {
    let file = json!({ "path": "a", "digest": "0".repeat(64), "mode": 0o644, "size": 1 });
    vec![
        Shape::of::<ShArgs>("sh", 1, json!({ "script": "true" })),
        Shape::of::<CopyArgs>("copy", 1, json!({ "src": file, "dest": "/a" })),
        Shape::of::<WriteArgs>("write", 1, json!({ "dest": "/a", "text": "" })),
        Shape::of::<RestartArgs>("restart", 1, json!({})),
        Shape::of::<WaitArgs>("wait", 1, json!({ "until": { "port": { "port": 22 } } })),
    ]
}
