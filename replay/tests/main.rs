//! The program against journals that a real controller wrote.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod answers;
mod cli;
mod docs;
mod follow;
mod lives;
mod sentences;
mod verify;
mod world;
