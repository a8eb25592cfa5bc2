//! Listening to the log while it is written.
//!
//! Metrics, Kubernetes Events and log lines are made of what a witness is shown, so that they tell the same truth as the log.
//!
//! **Invariant:** a witness only listens: nothing that the controller does depends on it.

use crate::event::{Event, Seq};
use crate::model::Time;
use crate::state::State;

/// Is shown each record that the journal has acknowledged.
pub trait Witness: Send {
    /// A batch of so many records goes to the journal.
    fn begins(&mut self, records: usize) {
        let _ = records;
    }

    /// The journal has acknowledged it, or had no space for it.
    fn ends(&mut self, acknowledged: bool) {
        let _ = acknowledged;
    }

    /// A record is about to be folded: State is as it was before it.
    fn record(&mut self, state: &State, seq: Seq, time: Time, event: &Event);

    /// A batch is folded.
    fn folded(&mut self, state: &State, time: Time) {
        let _ = (state, time);
    }
}

/// Nobody listens.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl Witness for Nobody {
    fn record(&mut self, _: &State, _: Seq, _: Time, _: &Event) {}
}
