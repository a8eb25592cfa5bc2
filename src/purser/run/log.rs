//! The journal of a cluster: begun, or gone on with.
//!
//! The Lease keeps the last checkpoint of the leader's log, which may be on another volume than ours, or of a later time.
//!
//! **Invariant:** a journal belongs to one cluster. Its origin names that and when it was begun, and names of claims are made from the
//! origin, so that a new journal of an old cluster makes no name anew. A log that was led on elsewhere is not gone on with: the new one
//! names the last checkpoint that is known.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use purser_engine::controller::Controller;
use purser_engine::event::Control;
use purser_engine::model::Time;
use purser_engine::snapshot;
use purser_engine::state::State;
use purser_events::journal::{OpenError, Options, Reader};
use purser_events::wire::{EventLog, Purser};

use crate::journal;

/// Who opens the journal, for which cluster, and what the Lease says.
#[derive(Debug, Clone)]
pub(super) struct Claim<'a> {
    pub(super) folder: &'a Path,
    /// The UID of the cluster.
    pub(super) cluster: &'a str,
    /// Which replica.
    pub(super) instance: &'a str,
    /// The least that the fencing term can be.
    pub(super) term: u64,
    /// The checkpoint in the Lease.
    pub(super) checkpoint: Option<&'a str>,
}

/// A journal to go on with.
pub(super) struct Log {
    pub(super) journal: EventLog,
    pub(super) state: State,
    pub(super) recovered: Option<Control>,
    pub(super) origin: String,
    pub(super) predecessor: Option<String>,
    pub(super) term: u64,
}

/// Opens the journal in a folder, or begins one.
pub(super) fn open(claim: &Claim<'_>, now: Time) -> anyhow::Result<Log> {
    let Claim { folder, cluster, .. } = claim;
    let prefix = format!("purser.dev/cluster/{cluster}/");
    let identity = folder.join("identity.json");
    if !identity.exists() {
        return begin(claim, &prefix, now);
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
    let mut log = reopen(claim, &origin)?;
    match compare(claim, &origin)? {
        Seen::Known => Ok(log),
        Seen::Behind { size, said } => {
            let detail = format!(
                "the Lease names {said} records of this log, and here are {size}: the volume is one of an earlier time"
            );
            tracing::error!(records = size, lease = said, "{detail}; what is missing is listed anew");
            let before = match log.recovered.take() {
                Some(Control::JournalRecovered { detail, .. }) => format!("{detail}; "),
                _ => String::new(),
            };
            let detail = format!("{before}{detail}").into();
            log.recovered = Some(Control::JournalRecovered { kept: size, acknowledged: said, detail });
            Ok(log)
        }
        Seen::Foreign(why) => {
            drop(log);
            let aside = set_aside(folder, now)?;
            tracing::warn!(
                aside = %aside.display(),
                "{why}: a new log begins, which names the last checkpoint of that one; the journal that was here is set aside"
            );
            begin(claim, &prefix, now)
        }
    }
}

fn options(origin: &str, instance: &str, term: u64) -> Options {
    Options::new(origin, instance, term, Arc::new(Purser))
}

fn begin(claim: &Claim<'_>, prefix: &str, now: Time) -> anyhow::Result<Log> {
    let origin = format!("{prefix}{}", now.0);
    let term = claim.term.max(1);
    let predecessor = claim.checkpoint.map(str::to_owned);
    if let Some(before) = predecessor.as_deref().and_then(|note| note.lines().next()) {
        tracing::info!(predecessor = before, "a new log begins, after one that is out of reach");
    }
    let options = Options { predecessor: predecessor.clone(), ..options(&origin, claim.instance, term) };
    let opened = journal::create(claim.folder, options, now)?;
    Ok(Log {
        journal: opened.log,
        state: opened.state,
        recovered: opened.recovered,
        origin,
        predecessor,
        term,
    })
}

fn reopen(claim: &Claim<'_>, origin: &str) -> anyhow::Result<Log> {
    let mut opened = journal::open(claim.folder, options(origin, claim.instance, claim.term.max(1)))?;
    if let Some(Control::JournalRecovered { detail, .. }) = &opened.recovered {
        tracing::warn!("the journal was put in order: {detail}");
    }
    let term = claim.term.max(opened.state.term + 1);
    opened.log.journal_mut()?.set_writer(term, claim.instance)?;
    Ok(Log {
        journal: opened.log,
        state: opened.state,
        recovered: opened.recovered,
        origin: origin.to_owned(),
        predecessor: None,
        term,
    })
}

/// Whether a journal could not be opened since another process has it still.
pub(super) fn is_in_use(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref(), Some(OpenError::InUse { .. })))
}

/// How the checkpoint in the Lease relates to the journal that is here.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// It is of records that are here, or there is none.
    Known,
    /// It is of records of this log that are not here.
    Behind { size: u64, said: u64 },
    /// It is of another log.
    Foreign(String),
}

fn compare(claim: &Claim<'_>, origin: &str) -> anyhow::Result<Seen> {
    let Some(note) = claim.checkpoint else { return Ok(Seen::Known) };
    let named = note.lines().next().unwrap_or_default();
    if named != origin {
        return Ok(Seen::Foreign(format!("the last leader's log is {named}, and the one here is {origin}")));
    }
    let reader = Reader::open(claim.folder, Arc::new(Purser))?;
    let checkpoint = match reader.verifier_key().open(note) {
        Ok(checkpoint) => checkpoint,
        Err(error) => {
            // Somebody wrote into the Lease; the journal speaks for itself.
            tracing::warn!("the checkpoint in the Lease is not one of this log, and is passed over: {error}");
            return Ok(Seen::Known);
        }
    };
    let size = reader.size();
    Ok(match reader.root_at(checkpoint.size) {
        _ if checkpoint.size > size => Seen::Behind { size, said: checkpoint.size },
        Some(root) if root != checkpoint.root => Seen::Foreign(format!(
            "the last leader's log has other records than the one here, within the first {}",
            checkpoint.size
        )),
        // Where the records before a checkpoint were let go, its root cannot be known any more.
        _ => Seen::Known,
    })
}

/// Gives a journal's folder another name beside it.
fn set_aside(folder: &Path, now: Time) -> anyhow::Result<PathBuf> {
    let mut name = folder.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}", now.0));
    let aside = folder.with_file_name(name);
    std::fs::rename(folder, &aside).with_context(|| {
        format!(
            "--journal {}: holds the journal of another leader's time and cannot be set aside: name a folder within the volume, or move it",
            folder.display()
        )
    })?;
    Ok(aside)
}

/// Closes the journal of a controller that has stopped; gives its last checkpoint.
pub(super) fn close(controller: Controller<EventLog>) -> anyhow::Result<String> {
    let (log, state) = controller.into_parts();
    let mut journal = log.into_journal()?;
    journal.seal()?;
    journal.put_snapshot(&snapshot::tag(), &snapshot::write(&state))?;
    let checkpoint = journal.checkpoint();
    journal.close()?;
    Ok(checkpoint)
}

#[cfg(test)]
mod tests {
    use purser_engine::port::{Entry, Journal as _};

    use super::*;

    fn claim<'a>(folder: &'a Path, checkpoint: Option<&'a str>) -> Claim<'a> {
        Claim { folder, cluster: "uid", instance: "a", term: 3, checkpoint }
    }

    /// Appends some records and gives the checkpoint.
    fn grow(log: Log, records: usize) -> String {
        let mut journal = log.journal;
        let beat = Entry { event: Control::Heartbeat.into(), causes: Vec::new() };
        journal.append(Time(5), &vec![beat; records]).unwrap();
        let mut journal = journal.into_journal().unwrap();
        journal.seal().unwrap();
        let checkpoint = journal.checkpoint();
        journal.close().unwrap();
        checkpoint
    }

    #[test]
    fn a_log_goes_on_where_the_lease_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let begun = open(&claim(&path, None), Time(1)).unwrap();
        assert_eq!((begun.term, begun.predecessor.clone()), (3, None));
        let checkpoint = grow(begun, 4);
        let again = open(&claim(&path, Some(&checkpoint)), Time(9)).unwrap();
        assert_eq!((again.state.size, again.predecessor, again.recovered), (4, None, None));
    }

    #[test]
    fn a_new_log_names_the_one_that_is_out_of_reach() {
        let folder = tempfile::tempdir().unwrap();
        let (here, there) = (folder.path().join("here"), folder.path().join("there"));
        let checkpoint = grow(open(&claim(&there, None), Time(1)).unwrap(), 2);
        let new = open(&claim(&here, Some(&checkpoint)), Time(2)).unwrap();
        assert_eq!(new.predecessor.as_deref(), Some(checkpoint.as_str()));
        // Back again: what is there now was led on elsewhere.
        let second = grow(new, 1);
        let third = open(&claim(&there, Some(&second)), Time(3)).unwrap();
        assert_eq!((third.state.size, third.predecessor), (0, Some(second)));
        assert!(folder.path().join("there.3/identity.json").exists());
    }

    #[test]
    fn a_volume_of_an_earlier_time_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (path, kept) = (folder.path().join("journal"), folder.path().join("kept"));
        grow(open(&claim(&path, None), Time(1)).unwrap(), 2);
        let copied = std::process::Command::new("cp").arg("-r").args([&path, &kept]).status().unwrap();
        assert!(copied.success());
        let checkpoint = grow(open(&claim(&path, None), Time(2)).unwrap(), 3);
        std::fs::remove_dir_all(&path).unwrap();
        std::fs::rename(&kept, &path).unwrap();
        let back = open(&claim(&path, Some(&checkpoint)), Time(9)).unwrap();
        let Some(Control::JournalRecovered { kept, acknowledged, .. }) = back.recovered else { panic!() };
        assert_eq!((kept, acknowledged, back.state.size), (2, 5, 2));
    }

    #[test]
    fn a_term_never_goes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut first = open(&claim(&path, None), Time(1)).unwrap();
        let started = Control::ControllerStarted { version: "1".into(), instance: "a".into(), term: 8 };
        first.journal.append(Time(2), &[Entry { event: started.into(), causes: Vec::new() }]).unwrap();
        drop(first);
        assert_eq!(open(&claim(&path, None), Time(3)).unwrap().term, 9);
        assert_eq!(open(&Claim { term: 20, ..claim(&path, None) }, Time(3)).unwrap().term, 20);
    }
}
