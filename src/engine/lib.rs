//! Domain types, State and decide: the pure core of Purser.
//!
//! Start at [`controller::Controller`], which turns observations into recorded decisions; [`state::State`] is the
//! fold over the log, and [`decide::decide`] the pure function from it to what should be done.
//!
//! **Invariant:** nothing in this crate reads a clock, a random number, a file or a socket, and nothing iterates a
//! map whose order is not fixed. The same log gives the same State and the same decisions, on any machine, for ever.

pub mod controller;
pub mod decide;
pub mod event;
pub mod model;
pub mod notice;
pub mod overlay;
pub mod packing;
pub mod port;
pub mod reason;
pub mod reexecute;
pub mod schedule;
pub mod settings;
pub mod snapshot;
pub mod state;
pub mod witness;
