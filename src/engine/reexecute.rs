//! Taking recorded decisions again: a log is right if every decision in it is the one that its records lead to.
//!
//! **Invariant:** decisions are expected exactly once after each batch of other records, at that batch's time, and all of them. Only a
//! controller that stopped, or had no space, between the two may have left them out; its next record says so.

use std::collections::VecDeque;

use crate::decide::{Evaluation, Memo, NoTrace, Note, Notes, decide};
use crate::event::{Control, Decision, Event, Seq};
use crate::model::Time;
use crate::state::State;

/// A record of the log, as far as re-execution needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Its place.
    pub seq: Seq,
    /// Its time.
    pub time: Time,
    /// Whether it is the last of its batch.
    pub commit: bool,
    /// Its content.
    pub event: Event,
}

/// A recorded decision that differs from the one that its records lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// The record at which they differ.
    pub seq: Seq,
    /// What the records before lead to; `None` for no further decision.
    pub expected: Option<Box<Decision>>,
    /// What was recorded; `None` for no further decision.
    pub got: Option<Box<Decision>>,
}

/// Folds a log and takes its decisions again.
#[derive(Debug, Default)]
pub struct Reexecution {
    state: State,
    memo: Memo,
    expected: VecDeque<Decision>,
    /// Whether one of the decisions expected was recorded: then all must be.
    begun: bool,
    /// Whether the batch at hand has been found to differ: it is told once, not for each decision behind.
    differs: bool,
    /// Decisions taken again so far.
    pub decisions: u64,
    /// Evaluations so far.
    pub evaluations: u64,
}

impl Reexecution {
    /// Goes on from the State that a prefix of the log folds to.
    ///
    /// The prefix must end with a batch whose decisions, if any, are in it too.
    pub fn from_state(state: State) -> Self {
        Self { state, ..Self::default() }
    }

    /// The State folded so far.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Gives the State back.
    pub fn into_state(self) -> State {
        self.state
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// If a decision differs. The fold goes on as recorded, so that later records can be looked at too.
    pub fn feed(&mut self, record: &Logged) -> Result<(), Divergence> {
        assert_eq!(record.seq.0, self.state.size, "records come in order");
        let checked = self.check(record);
        self.state.apply(record.time, &record.event);
        if record.commit && !matches!(record.event, Event::Decision(_)) {
            self.evaluate(record.time);
        }
        checked
    }

    /// What is looked at if the decision that follows the last record is taken with a tracer on.
    pub fn explain(&self) -> (Evaluation, Vec<Note>) {
        let mut notes = Notes::default();
        let evaluation = decide(&self.state, self.state.now, &mut Memo::default(), &mut notes);
        (evaluation, notes.0)
    }

    fn evaluate(&mut self, now: Time) {
        self.evaluations += 1;
        self.expected = decide(&self.state, now, &mut self.memo, &mut NoTrace).decisions.into();
        self.begun = false;
        self.differs = false;
    }

    /// What was expected did not come to pass.
    fn forget(&mut self) {
        self.expected.clear();
        self.memo = Memo::default();
    }

    fn check(&mut self, record: &Logged) -> Result<(), Divergence> {
        let Event::Decision(got) = &record.event else {
            let left = self.expected.pop_front();
            if left.is_some() {
                self.forget();
            }
            return match left {
                Some(expected) if self.begun || !interrupts(&record.event) => {
                    Err(Divergence { seq: record.seq, expected: Some(Box::new(expected)), got: None })
                }
                _ => Ok(()),
            };
        };
        self.decisions += 1;
        self.begun = true;
        if self.differs {
            return Ok(());
        }
        match self.expected.pop_front() {
            Some(expected) if expected == *got => Ok(()),
            expected => {
                self.forget();
                self.differs = true;
                Err(Divergence {
                    seq: record.seq,
                    expected: expected.map(Box::new),
                    got: Some(Box::new(got.clone())),
                })
            }
        }
    }
}

/// Whether a record says that the controller may have been stopped before it decided.
fn interrupts(event: &Event) -> bool {
    matches!(
        event,
        Event::Control(
            Control::ControllerStarted { .. }
                | Control::JournalRecovered { .. }
                | Control::JournalResumed { .. }
        )
    )
}
