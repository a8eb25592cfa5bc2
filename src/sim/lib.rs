//! A simulated cluster and cloud behind the controller's ports; traces; faults.
//!
//! Start at [`World`]: it is made from a [`Scenario`], a seed and [`Faults`], tells what happens through
//! [`World::advance`] and takes orders through [`World::execute`]. A driver alternates between it and a
//! controller on a virtual clock:
//!
//! ```text
//! list the world, then: advance to the next moment -> inputs -> controller -> orders -> execute
//! ```
//!
//! # Determinism
//!
//! There is one virtual clock and one seed. What happens is taken from a queue in order of time, then of
//! insertion. Every random choice is drawn from a generator keyed by the seed and by what the choice is about
//! ([`keyed`]), never from one running stream: a controller that crashes and asks again, or asks twice, meets
//! the same world. No hash map is iterated on the way to an output, and no figure is a float.
//!
//! **Invariant:** the same scenario, seed and faults with the same orders at the same moments give the same
//! observations, byte for byte.

pub mod bound;
pub mod check;
pub mod day;
pub mod driver;
pub mod faults;
pub mod keyed;
pub mod manifests;
pub mod report;
pub mod scenario;
pub mod trace;
mod world;

pub use check::Violation;
pub use day::builtin_day;
pub use faults::Faults;
pub use report::Report;
pub use scenario::Scenario;
pub use world::{KnownClaims, World};
