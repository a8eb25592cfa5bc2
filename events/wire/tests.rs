//! Tests over all kinds at once: golden files, properties, older schemas, sizes, and the list of kinds in the docs.

mod arbitrary;
mod docs;
mod golden;
mod properties;
pub(crate) mod samples;
mod schemas;
mod sizes;

use std::path::PathBuf;

/// A file of the repository, from its root.
fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Whether the environment asks for files to be written.
fn asked_for(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| value == "1")
}
