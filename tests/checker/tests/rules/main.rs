//! Small scenarios by hand: for each rule an answer that keeps it and one that breaks it.
//!
//! Invariant: every scenario is the same little cluster but for the one thing that its test is about.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod cluster;
mod devices;
mod nodes;
mod place;
mod topology;

/// A checker that shared code with what it checks would share its mistakes.
#[test]
fn the_checker_shares_no_code_with_the_scheduler() {
    let manifest = include_str!("../../Cargo.toml");
    let ours: Vec<&str> = manifest.lines().filter(|line| line.starts_with("purser")).collect();
    assert!(ours.is_empty(), "{ours:?}");
}
