//! State as of a moment, from the nearest snapshot or from the first record.
//!
//! **Invariant:** what is folded was checked to refer only to what the log defines, so that a forged record is an error and not a
//! panic.

use anyhow::{Context as _, Result, bail};
use purser_engine::event::{Event, Fact};
use purser_engine::snapshot;
use purser_engine::state::State;

use crate::source::{Item, Log};

/// State after so many records.
///
/// # Errors
/// If the records cannot be read, or the first ones are gone and no snapshot stands in for them.
pub fn state_at(log: &Log, size: u64) -> Result<State> {
    let mut state = begin(log, size)?;
    for item in log.items(state.size).take_while(|item| item.as_ref().map_or(true, |item| item.seq() < size))
    {
        apply(&mut state, &item?)?;
    }
    Ok(state)
}

/// State to go on from to reach this size: that of the newest usable snapshot, or the empty one.
///
/// # Errors
/// If the first records are gone and no snapshot stands in for them.
pub fn begin(log: &Log, size: u64) -> Result<State> {
    let first = log.first();
    if let Some(found) =
        log.reader().latest_snapshot(&snapshot::tag(), size)?.filter(|found| found.size >= first)
    {
        // One that does not read is a cache that is no use.
        if let Ok(state) = snapshot::read(&found.bytes)
            && state.size == found.size
        {
            return Ok(state);
        }
    }
    if first > 0 {
        bail!(
            "the records before {first} are gone and no snapshot of this version stands in for them: name the archive with --archive DIR"
        );
    }
    Ok(State::default())
}

/// Folds in the next record.
///
/// # Errors
/// If it does not follow, or refers to what was never defined.
pub fn apply(state: &mut State, item: &Item) -> Result<()> {
    admit(state, item)?;
    state.apply(item.logged.time, item.event());
    Ok(())
}

/// Whether a record can be folded in.
///
/// # Errors
/// If it does not follow, or refers to what was never defined.
pub fn admit(state: &State, item: &Item) -> Result<()> {
    let seq = item.seq();
    if seq != state.size {
        bail!("record {seq} follows record {}: those between are missing", state.size.saturating_sub(1));
    }
    let (specs, sets) = (state.specs().len(), state.label_sets().len());
    let wrong = match item.event() {
        Event::Fact(Fact::PodSpecDefined { id, .. }) if id.0 as usize != specs => {
            Some(("defines pod spec", id.0))
        }
        Event::Fact(Fact::LabelSetDefined { id, .. }) if id.0 as usize != sets => {
            Some(("defines label set", id.0))
        }
        Event::Fact(Fact::PodObserved { spec, .. } | Fact::DaemonSetObserved { spec, .. })
            if spec.0 as usize >= specs =>
        {
            Some(("refers to pod spec", spec.0))
        }
        Event::Fact(Fact::NodeObserved { labels, .. }) if labels.0 as usize >= sets => {
            Some(("refers to label set", labels.0))
        }
        _ => None,
    };
    match wrong {
        None => Ok(()),
        Some((what, number)) => {
            Err(anyhow::anyhow!("it {what} {number}, which is not the log's next or known one"))
                .with_context(|| format!("record {seq}"))
        }
    }
}
