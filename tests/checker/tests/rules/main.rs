//! Small scenarios by hand: for each rule an answer that keeps it and one that breaks it.
//!
//! Invariant: every scenario is the same little cluster but for the one thing that its test is about.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod cluster;
mod nodes;
mod place;
mod topology;
