//! The journal of a cluster: begun, or gone on with.
//!
//! **Invariant:** a journal belongs to one cluster. Its origin names that and when it was begun, and names of claims are made from the
//! origin, so that a new journal of an old cluster makes no name anew.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use purser_engine::controller::Controller;
use purser_engine::event::Control;
use purser_engine::model::Time;
use purser_engine::snapshot;
use purser_engine::state::State;
use purser_events::journal::Options;
use purser_events::wire::{EventLog, Purser};

use crate::journal;

/// A journal to go on with.
pub(super) struct Log {
    pub(super) journal: EventLog,
    pub(super) state: State,
    pub(super) recovered: Option<Control>,
    pub(super) origin: String,
    pub(super) instance: String,
    pub(super) term: u64,
}

/// Opens the journal in a folder, or begins one.
pub(super) fn open(folder: &Path, cluster: &str, now: Time) -> anyhow::Result<Log> {
    let prefix = format!("purser.dev/cluster/{cluster}/");
    // The name of the pod, in a cluster.
    let instance = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let instance = instance.unwrap_or_else(|| "purser".to_owned());
    let options = |origin: &str| Options::new(origin, &instance, 1, Arc::new(Purser));
    let identity = folder.join("identity.json");
    if !identity.exists() {
        let origin = format!("{prefix}{}", now.0);
        let opened = journal::create(folder, options(&origin), now)?;
        return Ok(Log {
            journal: opened.log,
            state: opened.state,
            recovered: opened.recovered,
            origin,
            instance,
            term: 1,
        });
    }
    let text = std::fs::read_to_string(&identity).with_context(|| identity.display().to_string())?;
    let read: serde_json::Value =
        serde_json::from_str(&text).with_context(|| identity.display().to_string())?;
    let origin = read["origin"].as_str().unwrap_or_default().to_owned();
    if !origin.starts_with(&prefix) {
        bail!(
            "--journal {}: this is the journal of {origin:?}, and the cluster is {prefix}: name another folder, or the right cluster",
            folder.display()
        );
    }
    let mut opened = journal::open(folder, options(&origin))?;
    if let Some(Control::JournalRecovered { detail, .. }) = &opened.recovered {
        tracing::warn!("the journal was put in order: {detail}");
    }
    let term = opened.state.term + 1;
    opened.log.journal_mut().set_writer(term, &instance)?;
    Ok(Log { journal: opened.log, state: opened.state, recovered: opened.recovered, origin, instance, term })
}

/// Closes the journal of a controller that has stopped.
pub(super) fn close(controller: Controller<EventLog>) -> anyhow::Result<()> {
    let (log, state) = controller.into_parts();
    let mut journal = log.into_journal();
    journal.seal()?;
    journal.put_snapshot(&snapshot::tag(), &snapshot::write(&state))?;
    journal.close()?;
    Ok(())
}
