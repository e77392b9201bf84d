//! The rootfs backend: layers on overlayfs, steps in namespaces, as root or as an ordinary user.
//!
//! It knows how trees are mounted, changed and captured, and where base trees come from; it does not know what a step
//! means (`imgc-guest`), what is cached (`imgc-engine`) or how disks and archives are laid out (`imgc-formats`,
//! `imgc-oci`).

mod accounts;
mod artifact;
mod attributes;
mod backend;
mod below;
mod capture;
mod console;
mod enter;
mod environment;
mod errors;
mod find;
mod keeper;
mod leaks;
mod machine;
mod materialize;
mod overlay;
mod packed;
mod park;
mod protocol;
mod put;
mod sandbox;
mod source;
mod space;
pub mod step_init;
mod sys;
mod tool;
mod translator;
mod volatile;
mod within;
mod world;

pub use backend::Rootfs;
pub use enter::{EnterError, Entered, enter, in_user_namespace, missing_for_users};
