//! The simulated world through its public face.

mod cloud;
mod cluster;
mod common;
mod faults;
mod scheduler;
mod toy;
