//! The whole loop in simulation: controller, real journal, simulated world.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod crash;
mod determinism;
mod lab;
