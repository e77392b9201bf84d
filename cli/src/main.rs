//! The `imgc` command: arguments in, rendering out.

fn main() {}
