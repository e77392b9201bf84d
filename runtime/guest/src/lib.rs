//! The steps that every channel can run.
