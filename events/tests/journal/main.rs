//! The journal as its callers see it: durable, recoverable, verifiable.
#![allow(clippy::unwrap_used, reason = "helpers of tests may stop at any surprise, as tests do")]

mod append;
mod common;
mod crash;
mod damage;
mod golden;
mod large;
mod live;
mod samples;
mod upkeep;
mod vouched;
