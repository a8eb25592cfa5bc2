//! What a decision looked at and why it passed it over, for those who ask.
//!
//! **Invariant:** with [`NoTrace`] nothing is built and nothing is called: tracing costs nothing where it is off.

use crate::event::{SpecId, Target};
use crate::model::{ClaimName, PoolName, Price, Time, TypeName};
use crate::overlay::Conflict;
use crate::reason::Reason;

/// Something that a decision looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// Pending pods are not looked at yet, since more may come.
    Batching {
        /// Until then.
        until: Time,
    },
    /// A node, or a claim on its way, cannot take a pod.
    TargetRejected {
        /// The pod's spec.
        spec: SpecId,
        /// The node or claim.
        target: Target,
        /// Why.
        reason: Reason,
    },
    /// A node, or a claim on its way, takes a pod.
    TargetChosen {
        /// The pod's spec.
        spec: SpecId,
        /// The node or claim.
        target: Target,
    },
    /// A pod joins a launch decided in the same evaluation.
    JoinsLaunch {
        /// The pod's spec.
        spec: SpecId,
        /// The new claim.
        claim: ClaimName,
    },
    /// A pool can launch nothing for a pod.
    PoolRejected {
        /// The pod's spec.
        spec: SpecId,
        /// The pool.
        pool: PoolName,
        /// Why.
        reason: Reason,
    },
    /// An instance type of a pool does not do for a pod.
    TypeRejected {
        /// The pod's spec.
        spec: SpecId,
        /// The pool.
        pool: PoolName,
        /// The type.
        instance_type: TypeName,
        /// Why.
        reason: Reason,
    },
    /// A launch and what each type that would do costs, cheapest first.
    LaunchPriced {
        /// The new claim.
        claim: ClaimName,
        /// The pool.
        pool: PoolName,
        /// Types and their lowest prices.
        ranked: Vec<(TypeName, Price)>,
        /// How many of them the decision holds.
        kept: usize,
    },
    /// A NodeOverlay is not applied.
    OverlayNotApplied(Conflict),
    /// A node that could have been removed was not.
    CandidateRejected {
        /// The claim.
        claim: ClaimName,
        /// Why.
        reason: Reason,
    },
    /// A node that may be removed, but not yet.
    CandidateWaits {
        /// The claim.
        claim: ClaimName,
        /// Until then.
        until: Time,
    },
}

/// Listens to a decision being taken.
pub trait Tracer {
    /// Whether it listens at all.
    const ON: bool;

    /// Takes a note.
    fn take(&mut self, note: Note);

    /// Takes a note, which is only made where somebody listens.
    fn note(&mut self, note: impl FnOnce() -> Note)
    where
        Self: Sized,
    {
        if Self::ON {
            self.take(note());
        }
    }
}

/// Does not listen.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTrace;

impl Tracer for NoTrace {
    const ON: bool = false;

    fn take(&mut self, _: Note) {}
}

/// Keeps every note, in order.
#[derive(Debug, Clone, Default)]
pub struct Notes(pub Vec<Note>);

impl Tracer for Notes {
    const ON: bool = true;

    fn take(&mut self, note: Note) {
        self.0.push(note);
    }
}
