//! The archive folder, and retention.
//!
//! Invariant: a segment is deleted only after the note that begins the kept history after it is durable, and, with an
//! archive, only when its copy there has the right digest.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::disk::{At as _, Disk, FileError, Severity};
use super::error::{OpenError, ReadError, WriteError};
use super::faults::{Artifact, Point};
use super::identity::Identity;
use super::layout::Layout;
use super::record::LogId;
use super::retained::{RetainedNote, Vouched, read_retained};
use super::segment_read::SegmentFile;
use super::writer::Journal;

/// The state of the copies in the archive folder.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ArchiveStatus {
    /// The archive folder.
    pub folder: PathBuf,
    /// The first sequence numbers of segments that are not copied yet.
    pub pending: Vec<u64>,
    /// Why the last attempt failed, if it did.
    pub last_error: Option<String>,
}

/// The copies of sealed segments in another folder.
pub(super) struct Archive {
    layout: Layout,
    disk: Disk,
    pending: BTreeSet<u64>,
    last_error: Option<String>,
}

impl Archive {
    pub(super) fn new(dir: &Path, disk: Disk) -> Self {
        Self { layout: Layout::new(dir), disk, pending: BTreeSet::new(), last_error: None }
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(super) fn add(&mut self, first: u64) {
        self.pending.insert(first);
    }

    /// Refuses a folder that has the archive of another log: its segments would be written over. A new log takes only a
    /// folder without one.
    pub(super) fn check(dir: &Path, journal: &Path, log: Option<LogId>) -> Result<(), OpenError> {
        let refused = |reason| Err(OpenError::Archive { dir: dir.to_owned(), reason });
        let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        if whole(dir).starts_with(whole(journal)) || whole(journal).starts_with(whole(dir)) {
            return refused("it is in the journal's folder, or the journal in it");
        }
        match (Identity::read(&Layout::new(dir)), log) {
            (Ok(found), Some(log)) if found.log == log => Ok(()),
            (Ok(_), Some(_)) => refused("it is the archive of another journal"),
            (Ok(_), None) => refused("there is the archive of a journal in it already"),
            // One that cannot be read now may be there later: it is tried again with each segment.
            (Err(_), _) => Ok(()),
        }
    }

    /// Finds out, when the journal is opened, which segments are not in the archive.
    pub(super) fn expect(&mut self, local: &Layout) -> Result<(), OpenError> {
        // An archive that cannot be listed now is one that everything has still to be copied to.
        let there: BTreeSet<u64> = self.layout.list_segments().unwrap_or_default().into_iter().collect();
        self.pending.extend(local.list_segments()?.into_iter().filter(|first| !there.contains(first)));
        Ok(())
    }

    fn copy(&self, local: &Layout, first: u64) -> Result<(), FileError> {
        for folder in [self.layout.segments(), self.layout.checkpoints()] {
            fs::create_dir_all(&folder).at(&folder)?;
        }
        // So that the archive can be read and verified for itself, except for the salts.
        for (from, to) in [(local.identity(), self.layout.identity()), (local.vkey(), self.layout.vkey())] {
            if !to.exists() {
                self.copy_file(&from, &to)?;
            }
        }
        let path = local.segment(first);
        let end = match SegmentFile::open(&path) {
            Ok(segment) => segment.header().end(),
            Err(ReadError::Io(error)) => return Err(error),
            Err(error) => return Err(std::io::Error::other(error.to_string())).at(&path),
        };
        self.copy_file(&local.checkpoint(end), &self.layout.checkpoint(end))?;
        self.copy_file(&path, &self.layout.segment(first))
    }

    fn copy_file(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        let bytes = fs::read(from).at(from)?;
        self.disk.write_over(Artifact::Archive, to, &bytes)
    }

    /// Whether the copy of a segment is there and is what the local one says it is.
    fn holds(&self, local: &Layout, first: u64) -> Result<bool, String> {
        let digest = |layout: &Layout| {
            let file = SegmentFile::open(&layout.segment(first)).map_err(|error| error.to_string())?;
            file.check_digest().map_err(|error| error.to_string())
        };
        Ok(digest(local)? == digest(&self.layout)?)
    }
}

/// Which old segments to keep. A segment goes when every limit that is given lets it go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Keep what is younger than this, in microseconds.
    pub max_age_us: Option<i64>,
    /// Keep this many of the newest records.
    pub max_records: Option<u64>,
    /// Keep at least this many segments. The last one is kept in any case.
    pub keep_segments: usize,
}

/// What retention did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Retained {
    /// The first sequence number of each segment that was deleted.
    pub deleted: Vec<u64>,
    /// The first record that is still here.
    pub first_seq: u64,
    /// Where each segment that was deleted ended: the sizes of their checkpoints, which stay.
    pub ends: Vec<u64>,
    /// Why retention stopped before the policy was satisfied, if it did.
    pub stopped: Option<String>,
}

impl Journal {
    /// How far the copies in the archive are; `None` without an archive.
    pub fn archive_status(&self) -> Option<ArchiveStatus> {
        self.archive.as_ref().map(|archive| ArchiveStatus {
            folder: archive.layout.root().to_owned(),
            pending: archive.pending.iter().copied().collect(),
            last_error: archive.last_error.clone(),
        })
    }

    /// Copies what is not in the archive. Only a simulated crash is an error; all else is in the status.
    pub(super) fn archive_pending(&mut self) -> Result<(), WriteError> {
        let Some(archive) = &mut self.archive else { return Ok(()) };
        while let Some(first) = archive.pending.first().copied() {
            match archive.copy(&self.layout, first) {
                Ok(()) => {
                    archive.pending.remove(&first);
                    archive.last_error = None;
                }
                Err(error) if error.severity() == Severity::Crash => return Err(self.stop(error)),
                Err(error) => {
                    archive.last_error = Some(error.to_string());
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Deletes the oldest sealed segments as far as the policy allows. Whoever wants a record to say so first plans it,
    /// appends the record, and then lets go of what was planned.
    pub fn retain(&mut self, policy: &RetentionPolicy, now_us: i64) -> Result<Retained, WriteError> {
        let plan = self.plan_retention(policy, now_us)?;
        self.let_go(&plan, now_us)?;
        Ok(plan)
    }

    /// What [`Journal::retain`] would do now. Changes nothing.
    pub fn plan_retention(&mut self, policy: &RetentionPolicy, now_us: i64) -> Result<Retained, WriteError> {
        self.ready()?;
        let firsts = self.layout.list_segments().map_err(|error| self.fail_untouched(error))?;
        let mut outcome = Retained {
            deleted: Vec::new(),
            first_seq: firsts.first().copied().unwrap_or(0),
            ends: Vec::new(),
            stopped: None,
        };
        let keep = policy.keep_segments.max(1);
        let mut first_seq = outcome.first_seq;
        for first in firsts.iter().take(firsts.len().saturating_sub(keep)) {
            let file = match SegmentFile::open(&self.layout.segment(*first)) {
                Ok(file) => file,
                Err(error) => {
                    outcome.stopped = Some(error.to_string());
                    break;
                }
            };
            let header = file.header();
            let old = policy.max_age_us.is_none_or(|age| now_us.saturating_sub(header.last_time_us) >= age);
            let many = policy.max_records.is_none_or(|records| self.size() - header.end() >= records);
            if !(old && many) {
                break;
            }
            if let Some(archive) = &self.archive {
                match archive.holds(&self.layout, *first) {
                    Ok(true) => {}
                    Ok(false) => {
                        outcome.stopped =
                            Some(format!("the archive's copy of segment {first} is another one"));
                        break;
                    }
                    Err(reason) => {
                        outcome.stopped = Some(reason);
                        break;
                    }
                }
            }
            outcome.deleted.push(*first);
            outcome.ends.push(header.end());
            first_seq = header.end();
        }
        outcome.first_seq = first_seq;
        Ok(outcome)
    }

    /// Deletes the segments of a plan. What is gone already is no error.
    pub fn let_go(&mut self, plan: &Retained, now_us: i64) -> Result<(), WriteError> {
        if plan.deleted.is_empty() {
            return Ok(());
        }
        self.ready()?;
        let checkpoints = self.gone_checkpoints(plan).map_err(|error| self.fail_untouched(error))?;
        let vouched = Some(Vouched::new(&self.identity, checkpoints));
        let note = RetainedNote { first_seq: plan.first_seq, time_us: now_us, vouched };
        let text = self.key.sign_text(&note.body(&self.identity.origin));
        let path = self.layout.retained();
        self.disk
            .write_over(Artifact::Retained, &path, text.as_bytes())
            .map_err(|error| self.fail_untouched(error))?;
        for first in &plan.deleted {
            let path = self.layout.segment(*first);
            let delete = || {
                self.disk.pass(Point::RetainDelete)?;
                match fs::remove_file(&path) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                    other => other,
                }
            };
            delete().at(&path).map_err(|error| self.fail_untouched(error))?;
        }
        Ok(())
    }

    /// The sizes of the checkpoints of all records that are gone when this plan is carried out.
    fn gone_checkpoints(&self, plan: &Retained) -> Result<Vec<u64>, FileError> {
        let before = read_retained(&self.layout, &self.vkey)?.and_then(Result::ok);
        let mut sizes: BTreeSet<u64> = match before.and_then(|note| note.vouched) {
            Some(vouched) => vouched.checkpoints.into_iter().collect(),
            // What no note names, as those of early versions did not, is taken from the files, this once.
            None => {
                self.layout.list_checkpoints()?.into_iter().filter(|size| *size <= plan.first_seq).collect()
            }
        };
        sizes.extend(&plan.ends);
        Ok(sizes.into_iter().collect())
    }
}
