//! What should be done: a pure function of State and time.
//!
//! **Invariant:** [`decide`] depends on State and the time alone. The [`Memo`] only spares it work: with a fresh one it gives the same
//! decisions. A tracer only listens.

mod adopt;
mod batch;
mod buffers;
mod devices;
mod drain;
mod emptiness;
mod hosts;
mod lifecycle;
mod memo;
mod provision;
mod record;
mod replicas;
mod supply;
mod trace;
mod zones;

use std::collections::BTreeSet;

pub use memo::Memo;
pub use trace::{NoTrace, Note, Notes, Tracer};
pub use zones::effective_zones;

use crate::event::{Decision, Target};
use crate::model::{ClaimName, Span, Time};
use crate::notice::Notices;
use crate::state::State;

/// What [`decide`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evaluation {
    /// What should be done, in this order.
    pub decisions: Vec<Decision>,
    /// When to look again though nothing was seen meanwhile.
    pub wake_at: Option<Time>,
    /// What there is to say of buffers and overlays.
    pub notices: Notices,
}

/// What is decided begins waits of its own, for which the evaluation that decided it came too early: so there is another one, even
/// if nothing is seen meanwhile.
const SETTLE: Span = Span::secs(1);

/// Decides what should be done now.
///
/// Removals that are due come first, then pending pods, then room for buffers, then static pools, then nodes that may go: so no pod is sent to a node that leaves, and no
/// node leaves that a pod was sent to.
pub fn decide<T: Tracer>(state: &State, now: Time, memo: &mut Memo, tracer: &mut T) -> Evaluation {
    if state.stopped {
        return Evaluation::default();
    }
    let mut pass = Pass::new(state, now);
    take_note(&mut pass);
    let noted = pass.decisions.len();
    lifecycle::decide(&mut pass);
    if pass.adopts() {
        // What is there shows once the claims that are taken over are in State, which is at once: until then a pod may seem to
        // have no place, and a node to be nobody's.
        pass.wake(now);
        return Evaluation { decisions: pass.decisions, wake_at: pass.wake_at, notices: pass.notices };
    }
    provision::decide(&mut pass, memo, tracer);
    buffers::decide(&mut pass, memo, tracer);
    supply::look_at_overlays(&mut pass, memo);
    replicas::decide(&mut pass, memo, tracer);
    emptiness::decide(&mut pass, tracer);
    if pass.decisions.len() > noted {
        pass.wake(now + SETTLE);
    }
    Evaluation { decisions: pass.decisions, wake_at: pass.wake_at, notices: pass.notices }
}

/// Says of pods that were bound otherwise than planned that they were: so what was held to be possible is compared with what the scheduler does.
fn take_note(pass: &mut Pass<'_>) {
    let said = pass.state.diverged.iter().map(|one| Decision::BindingDiverged {
        pod: one.pod.clone(),
        node: one.node.clone(),
        how: one.how,
        planned: one.planned,
    });
    pass.decisions.extend(said);
}

/// One evaluation while it is under way.
struct Pass<'a> {
    state: &'a State,
    now: Time,
    decisions: Vec<Decision>,
    wake_at: Option<Time>,
    /// Claims that this evaluation decided to remove.
    leaving: BTreeSet<ClaimName>,
    /// Where this evaluation sends pods.
    chosen: BTreeSet<Target>,
    /// Until when other pods are waited for, so that nothing is decided yet for those that wait.
    batching_until: Option<Time>,
    /// Where room for CapacityBuffers is.
    held: Held,
    /// What there is to say of buffers and overlays.
    notices: Notices,
}

/// Where room for CapacityBuffers is.
enum Held {
    /// Here.
    Nodes(BTreeSet<Target>),
    /// That shows once what is decided is in State.
    Unknown,
}

impl Default for Held {
    fn default() -> Self {
        Self::Nodes(BTreeSet::new())
    }
}

impl<'a> Pass<'a> {
    fn new(state: &'a State, now: Time) -> Self {
        Self {
            state,
            now,
            decisions: Vec::new(),
            wake_at: None,
            leaving: BTreeSet::new(),
            chosen: BTreeSet::new(),
            batching_until: None,
            held: Held::default(),
            notices: Notices::default(),
        }
    }

    /// Whether this evaluation sends pods anywhere, so that what room is left does not show yet.
    fn places_pods(&self) -> bool {
        let places =
            |decision: &Decision| matches!(decision, Decision::Launch { .. } | Decision::Nominate { .. });
        self.decisions.iter().any(places)
    }

    /// Whether claims are taken over.
    fn adopts(&self) -> bool {
        self.decisions.iter().any(|decision| matches!(decision, Decision::Adopt { .. }))
    }

    /// Asks to look again at a moment that is yet to come.
    fn wake(&mut self, at: Time) {
        let at = at.max(Time(self.now.0 + 1));
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Whether a moment has come; if not, asks to look again then.
    fn is_due(&mut self, at: Time) -> bool {
        let due = at <= self.now;
        if !due {
            self.wake(at);
        }
        due
    }
}
