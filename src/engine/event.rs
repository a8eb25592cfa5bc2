//! What the log holds: control records, facts about the world, and decisions.
//!
//! **Invariant:** an event says what a decision can depend on, or what was decided, and nothing else. Facts are in normal form and
//! decisions are complete: carrying one out needs nothing that is not in it, so that a repeated request is the same
//! request byte for byte.

mod control;
mod decision;
mod fact;

use std::fmt;

pub use control::Control;
pub use decision::{Decision, Divergence, LaunchOption, Place, Target};
pub use fact::{Fact, Interruption, LaunchFailure};

/// The place of a record in the log, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The number of a pod spec in the log, dense from 0 in the order of definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpecId(pub u32);

/// The number of a set of node labels in the log, dense from 0 in the order of definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelSetId(pub u32);

/// One record's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// About the log and the controller themselves.
    Control(Control),
    /// About the world.
    Fact(Fact),
    /// What is to be done.
    Decision(Decision),
}

impl From<Control> for Event {
    fn from(control: Control) -> Self {
        Self::Control(control)
    }
}

impl From<Fact> for Event {
    fn from(fact: Fact) -> Self {
        Self::Fact(fact)
    }
}

impl From<Decision> for Event {
    fn from(decision: Decision) -> Self {
        Self::Decision(decision)
    }
}
