//! Opening a journal and the State that it folds to.
//!
//! **Invariant:** what was wrong with the journal is said in its next record.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use purser_engine::event::{Control, Seq};
use purser_engine::model::Time;
use purser_engine::snapshot;
use purser_engine::state::State;
use purser_events::journal::{Journal, Options, Reader, Recovery, TailRecovery};
use purser_events::wire::{EventLog, Events, LogReadError, Purser};

/// A journal that is open for writing, with what it holds.
pub struct Opened {
    /// The journal.
    pub log: EventLog,
    /// The fold of its records.
    pub state: State,
    /// What its next record has to say about it.
    pub recovered: Option<Control>,
}

/// Begins a journal in a folder.
///
/// # Errors
/// If there is something in the folder, or it cannot be written.
pub fn create(dir: &Path, options: Options, now: Time) -> anyhow::Result<Opened> {
    let journal = Journal::create(dir, options, now.0)?;
    Ok(Opened { log: EventLog::new(journal), state: State::default(), recovered: None })
}

/// Opens a journal to go on with it.
///
/// # Errors
/// If it cannot be opened, or a record cannot be read. Nothing is written if a newer version wrote the journal.
pub fn open(dir: &Path, options: Options) -> anyhow::Result<Opened> {
    let archive = options.archive.clone();
    // Opening puts things in order; so whether its records are understood is asked before. Damage is for opening to judge.
    let before = match fold(dir, archive.as_deref()) {
        Err(error) if matches!(error.downcast_ref(), Some(LogReadError::Event { .. })) => return Err(error),
        folded => folded.ok(),
    };
    let (journal, recovery) = Journal::open(dir, options)?;
    let untouched = matches!(recovery.tail, TailRecovery::Clean | TailRecovery::Unclean { .. });
    let state = match before.filter(|state| untouched && state.size == journal.size()) {
        Some(state) => state,
        None => fold(dir, archive.as_deref())?,
    };
    Ok(Opened { recovered: recovered(&recovery, journal.size()), log: EventLog::new(journal), state })
}

/// The State of a journal: the newest snapshot that can be read, and the records behind it, from the archive where need be.
fn fold(dir: &Path, archive: Option<&Path>) -> anyhow::Result<State> {
    let reader = Reader::open_with_archive(dir, archive, Arc::new(Purser))?;
    let kept = reader.latest_snapshot(&snapshot::tag(), reader.size())?;
    // A snapshot that cannot be read is as good as none: it is a cache.
    let mut state = kept.and_then(|kept| snapshot::read(&kept.bytes).ok()).unwrap_or_default();
    for record in Events::read(&reader, Seq(state.size)) {
        let record = record.with_context(|| format!("{}: the journal cannot be folded", dir.display()))?;
        state.apply(record.time, &record.event);
    }
    Ok(state)
}

/// The State after so many records of a journal that is open here, for a snapshot to stand in for them. `None` if it cannot be
/// known any more: the records before them are gone, and no snapshot of this version is there.
///
/// # Errors
/// If a record cannot be read.
pub fn state_at(journal: &Journal, size: u64) -> anyhow::Result<Option<State>> {
    let reader = Reader::open(journal.dir(), Arc::new(Purser))?;
    let kept = reader.latest_snapshot(&snapshot::tag(), size)?;
    let mut state = kept.and_then(|kept| snapshot::read(&kept.bytes).ok()).unwrap_or_default();
    if state.size < reader.first_seq() {
        return Ok(None);
    }
    for record in Events::read(&reader, Seq(state.size)).take((size - state.size) as usize) {
        let record = record?;
        state.apply(record.time, &record.event);
    }
    Ok((state.size == size).then_some(state))
}

/// What the log itself should say about its recovery; a tail that was merely not closed is nothing to speak of.
fn recovered(recovery: &Recovery, size: u64) -> Option<Control> {
    let (kept, acknowledged, tail) = match &recovery.tail {
        TailRecovery::Clean | TailRecovery::Unclean { .. } => (size, size, None),
        TailRecovery::Torn { cut } => {
            let (from, to) = (cut.start, cut.end);
            (
                from,
                from,
                Some(format!("an unfinished batch, never acknowledged, was cut: records {from} to {to}")),
            )
        }
        TailRecovery::Damaged { kept_size, lost, reason, .. } => {
            (*kept_size, lost.end.max(*kept_size), Some(reason.clone()))
        }
    };
    // By their names in the journal: its records do not say where on a machine it was.
    let name = |path: &Path| {
        let names = path.components().rev().take(2).map(|name| name.as_os_str().to_string_lossy());
        names.collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("/")
    };
    let aside: Vec<String> = recovery.set_aside.iter().map(|path| name(path)).collect();
    let aside =
        (!aside.is_empty()).then(|| format!("segments of another log were set aside: {}", aside.join(", ")));
    let said: Vec<String> = tail.into_iter().chain(aside).collect();
    (!said.is_empty()).then(|| Control::JournalRecovered {
        kept,
        acknowledged,
        detail: said.join("; ").into(),
    })
}
