//! Looking after the journal between steps: seals, snapshots, retention.
//!
//! **Invariant:** a segment is deleted only when a record says so, and when a snapshot at the first record that is kept stands in for
//! what was in it.

use purser_engine::controller::{Controller, Step};
use purser_engine::event::Control;
use purser_engine::model::{Span, Time};
use purser_engine::port::JournalError;
use purser_engine::snapshot;
use purser_events::journal::{Retained, RetentionPolicy, SealPolicy};
use purser_events::wire::EventLog;

use crate::runtime::{self, Channels, Clock};

/// How much of a journal to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// What is younger.
    Age(Span),
    /// So many of the newest records.
    Records(u64),
}

impl Keep {
    /// Reads an age such as `12h` or a number of records; `None` if it is neither, or nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let keep = match text.parse() {
            Ok(records) => Self::Records(records),
            Err(_) => Self::Age(purser_api::parse_duration(text)?),
        };
        (keep != Self::Records(0) && !matches!(keep, Self::Age(span) if span <= Span::ZERO)).then_some(keep)
    }

    /// Seals so often that what is to go is in segments of its own: four for what is kept.
    pub fn fit(self, seal: &mut SealPolicy) {
        match self {
            Self::Age(span) => seal.max_age_us = seal.max_age_us.min(span.0 / 4).max(1),
            Self::Records(records) => seal.max_records = seal.max_records.min(records / 4).max(1),
        }
    }

    fn policy(self) -> RetentionPolicy {
        let none = RetentionPolicy { max_age_us: None, max_records: None, keep_segments: 1 };
        match self {
            Self::Age(span) => RetentionPolicy { max_age_us: Some(span.0), ..none },
            Self::Records(records) => RetentionPolicy { max_records: Some(records), ..none },
        }
    }
}

/// Keeps a journal in shape: a snapshot with each segment, so that opening it stays quick, and no more than is to be kept.
#[derive(Debug, Default)]
pub struct Tending {
    keep: Option<Keep>,
    sealed: u64,
    /// What is to be deleted once the log says so.
    planned: Option<Retained>,
}

impl Tending {
    /// Keeps so much; everything if nothing is said.
    pub fn new(keep: Option<Keep>) -> Self {
        Self { keep, ..Self::default() }
    }

    /// Does what is due.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn tend(&mut self, controller: &mut Controller<EventLog>, now: Time) -> anyhow::Result<()> {
        match controller.journal_mut().commit() {
            // It goes on waiting, and who appends next is told.
            Err(JournalError::Full(_)) => return Ok(()),
            committed => committed?,
        }
        controller.journal_mut().journal_mut()?.tick(now.0)?;
        if let Some(planned) = self.planned.take_if(|_| controller.has_announced_all()) {
            controller.journal_mut().journal_mut()?.let_go(&planned, now.0)?;
        }
        let sealed = controller.journal().journal().sealed_size();
        if sealed == self.sealed {
            return Ok(());
        }
        self.sealed = sealed;
        let bytes = snapshot::write(controller.state());
        controller.journal_mut().journal_mut()?.put_snapshot(&snapshot::tag(), &bytes)?;
        if let (Some(keep), None) = (self.keep, &self.planned) {
            let journal = controller.journal_mut().journal_mut()?;
            let plan = journal.plan_retention(&keep.policy(), now.0)?;
            if !plan.deleted.is_empty() {
                // What is kept can be explained only from a State at its beginning. It is a cache: where it cannot be made, as
                // when a record cannot be read, that is no reason to keep what is to go.
                if let Ok(Some(state)) = crate::journal::state_at(journal, plan.first_seq) {
                    let _ = journal.put_stand_in(plan.first_seq, &snapshot::tag(), &snapshot::write(&state));
                }
                let archived = journal.archive_status().is_some();
                controller.announce(Control::RetentionApplied { first_kept: plan.first_seq, archived });
                self.planned = Some(plan);
            }
        }
        Ok(())
    }
}

/// Runs a controller on this thread and looks after its journal; gives it back.
///
/// What fails of that stops nothing: it is reported at once, and the first of it in the end. `after` is shown the controller after
/// each step.
///
/// # Errors
/// If the journal cannot be written or could not be tended.
pub fn drive<C: Clock>(
    controller: Controller<EventLog>,
    first: Step,
    clock: C,
    channels: Channels,
    mut tending: Tending,
    mut report: impl FnMut(&anyhow::Error),
    mut after: impl FnMut(&Controller<EventLog>, Time),
) -> anyhow::Result<Controller<EventLog>> {
    let mut failure = None;
    let tend = |controller: &mut Controller<EventLog>, now: Time| {
        if let Err(error) = tending.tend(controller, now) {
            report(&error);
            failure.get_or_insert(error);
        }
        after(controller, now);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let controller = runtime.block_on(runtime::drive(controller, first, clock, channels, tend))?;
    match failure {
        Some(error) => Err(error),
        None => Ok(controller),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_keep_is_an_age_or_a_number() {
        assert_eq!(Keep::parse("12h"), Some(Keep::Age(Span::hours(12))));
        assert_eq!(Keep::parse("100000"), Some(Keep::Records(100_000)));
        for bad in ["", "0", "0s", "-1h", "12", "much", "1.5", "10GB"] {
            assert_eq!(Keep::parse(bad).is_some(), bad == "12", "{bad}");
        }
    }

    #[test]
    fn segments_are_short_enough_to_go_in_time() {
        let mut seal = SealPolicy::default();
        Keep::Age(Span::mins(2)).fit(&mut seal);
        Keep::Records(1_000).fit(&mut seal);
        assert_eq!((seal.max_age_us, seal.max_records), (Span::secs(30).0, 250));
        let before = seal;
        Keep::Age(Span::hours(1_000)).fit(&mut seal);
        assert_eq!(seal, before);
    }
}
