//! The frozen wire forms of facts and decisions, their codec, and the journal that keeps them.

pub mod codec;
pub mod journal;
pub mod wire;
