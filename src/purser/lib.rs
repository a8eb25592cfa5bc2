//! The controller's binary as a library: the commands, and what they wire together.
//!
//! **Invariant:** nothing is decided here. Commands read what they are given, put the parts together, and show what came of it.

pub mod catalogue;
pub mod cli;
pub mod crds;
mod gates;
pub mod journal;
pub mod output;
#[cfg(feature = "cluster")]
pub mod run;
pub mod runtime;
pub mod simulate;
pub mod solve;
pub mod tending;
