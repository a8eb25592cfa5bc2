//! One module for each command that looks at records or at State.
//!
//! **Invariant:** a command gathers its answer first and writes it afterwards, in the form asked for; lists are written as they are
//! read.

pub mod inspect;
pub mod list;
pub mod reasons;
pub mod show;
pub mod state;
pub mod tail;
pub mod verify;
