//! Opening a journal for writing: what the last writer left, judged by the anchor and put in order.
//!
//! Invariant: whatever was acknowledged and can still be read is sealed into a segment before the tail it came from is
//! moved or deleted; what cannot be read is named, and its files are kept.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use super::anchor::{Anchor, AnchorSlots};
use super::catalog;
use super::disk::{At as _, FileError, Severity};
use super::error::OpenError;
use super::faults::Point;
use super::layout::Layout;
use super::merkle::{Frontier, Hash};
use super::note::VerifierKey;
use super::record::LogId;
use super::segment_read::SegmentFile;
use super::tail::remove_dir;
use super::tail_read::{self, TailContents};
use super::writer::{Journal, SealedEnd};

/// What was found when the journal was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// What became of the hot tail.
    pub tail: TailRecovery,
    /// Whether a seal was under way when the last writer ended.
    pub seal: SealRecovery,
    /// What is wrong with the anchor file, which was written anew.
    pub anchor_problem: Option<String>,
    /// Segments that are missing or damaged as far as opening looks, which is at names, headers and the newest file. The
    /// journal goes on without them; verification does not pass.
    pub damaged_segments: Vec<SegmentDamage>,
    /// Segments of another log that lay among the journal's own, and where each was moved to.
    pub set_aside: Vec<PathBuf>,
}

impl Recovery {
    pub(super) fn clean() -> Self {
        Self {
            tail: TailRecovery::Clean,
            seal: SealRecovery::None,
            anchor_problem: None,
            damaged_segments: Vec::new(),
            set_aside: Vec::new(),
        }
    }

    /// Whether nothing at all is worth a word.
    pub fn is_clean(&self) -> bool {
        *self == Self::clean()
    }
}

/// What became of the hot tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TailRecovery {
    /// The journal was closed properly.
    Clean,
    /// The last writer was killed. Everything acknowledged is there.
    Unclean {
        /// How many more records were durable, but not yet acknowledged, and are accepted.
        accepted: u64,
    },
    /// The last batch was not finished, and not acknowledged; it was cut.
    Torn {
        /// The records that were cut.
        cut: Range<u64>,
    },
    /// The tail, or what the anchor says of it, is damaged. The next record has to say so.
    Damaged {
        /// How many records the log has now.
        kept_size: u64,
        /// The acknowledged records that are lost; empty when all could be read in spite of the damage.
        lost: Range<u64>,
        /// The root that the anchor has for the size that was acknowledged.
        anchor_root: Hash,
        /// What was wrong.
        reason: String,
        /// Where the damaged tail was moved to, if there was one.
        quarantined: Option<PathBuf>,
    },
}

/// Whether a seal was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealRecovery {
    /// No.
    None,
    /// The segment was there: the seal was completed.
    Completed,
    /// The segment was not finished: the seal was undone, and its records were recovered from the tail.
    RolledBack,
}

/// A segment that opening found missing or damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentDamage {
    /// The first record of the segment, by its name or by what precedes it.
    pub first_seq: u64,
    /// What is wrong.
    pub reason: String,
}

/// What opening learns from the segments.
pub(super) struct SealedState {
    pub(super) end: SealedEnd,
    pub(super) last_time_us: i64,
    pub(super) damaged: Vec<SegmentDamage>,
    /// The segments of other logs, by their names, to be moved aside once it is clear that the journal goes on without them.
    pub(super) foreign: Vec<u64>,
}

/// Reads names and headers of all segments, and all of the last.
pub(super) fn read_sealed(
    layout: &Layout,
    archive: Option<&Layout>,
    log: LogId,
    vkey: &VerifierKey,
) -> Result<SealedState, OpenError> {
    let foreign = catalog::foreign(layout, log)?;
    let mut entries = catalog::scan(layout, archive, log)?;
    // Not the journal's at all: it is as if they were not there.
    entries.retain(|entry| entry.archived || foreign.iter().all(|(first, _)| *first != entry.first));
    let mut damaged = Vec::new();
    let mut next = retained_from(layout, vkey)?;
    for entry in &entries {
        match &entry.header {
            Ok(header) => {
                // Older segments than those retained can still be in the archive.
                if entry.first > next {
                    damaged.push(SegmentDamage { first_seq: next, reason: "it is missing".to_owned() });
                }
                next = next.max(header.end());
            }
            Err(reason) => damaged.push(SegmentDamage { first_seq: entry.first, reason: reason.clone() }),
        }
    }
    let state = match entries.last() {
        None => SealedState {
            end: SealedEnd { frontier: Frontier::default(), digest: Hash([0; 32]) },
            last_time_us: 0,
            damaged,
            foreign: Vec::new(),
        },
        Some(last) => {
            let bad = |reason: String| OpenError::LastSegment { file: layout.segment(last.first), reason };
            if let Err(reason) = &last.header {
                return Err(bad(reason.clone()));
            }
            let file = SegmentFile::open(&last.path).map_err(|error| bad(error.to_string()))?;
            let footer = file.footer().map_err(|error| bad(error.to_string()))?;
            let digest = file.stated_digest().map_err(|error| bad(error.to_string()))?;
            if let Err(error) = file.check_digest() {
                // The footer is checked for itself and by the signature, so the log can go on.
                damaged.push(SegmentDamage { first_seq: last.first, reason: error.to_string() });
            }
            let checkpoint = vkey.open(&footer.checkpoint).map_err(|error| bad(error.to_string()))?;
            if (checkpoint.size, checkpoint.root) != (footer.after.size(), footer.after.root()) {
                return Err(bad("its signed checkpoint is not that of its records".to_owned()));
            }
            let last_time_us = file.header().last_time_us;
            let end = SealedEnd { frontier: footer.after, digest };
            SealedState { end, last_time_us, damaged, foreign: Vec::new() }
        }
    };
    let size = state.end.frontier.size();
    if let Some(later) = layout.list_checkpoints()?.into_iter().find(|checkpoint| *checkpoint > size) {
        let instead = foreign.iter().find(|(first, _)| *first == size);
        let reason = match instead {
            Some((_, found)) => format!("it is of log {found}, the journal is {log}"),
            None => format!("there is a checkpoint of {later} records, and the segments end at {size}"),
        };
        return Err(OpenError::LastSegment { file: layout.segment(size), reason });
    }
    Ok(SealedState { foreign: foreign.into_iter().map(|(first, _)| first).collect(), ..state })
}

fn retained_from(layout: &Layout, vkey: &VerifierKey) -> Result<u64, OpenError> {
    // A damaged note is for verification to find; here it only means that the older segments count as missing.
    Ok(super::retained::read_retained(layout, vkey)?.and_then(Result::ok).map_or(0, |note| note.first_seq))
}

impl Journal {
    /// Puts in order what the last writer left. The writer is fresh: sealed state as on disk, no tail.
    pub(super) fn recover(&mut self, slots: &AnchorSlots) -> Result<Recovery, OpenError> {
        let mut recovery = Recovery::clean();
        recovery.anchor_problem = slots.problem.clone();
        if self.remove_unfinished()? {
            recovery.seal = SealRecovery::RolledBack;
        }
        let sealed = self.sealed.frontier.size();
        // Without an anchor nothing is known to be acknowledged beyond what was sealed.
        let anchor = slots.newest().unwrap_or(Anchor {
            generation: 0,
            size: sealed,
            root: self.sealed.frontier.root(),
            last_time_us: 0,
        });
        self.frontier = self.sealed.frontier.clone();

        let tails = self.layout.list_tails()?;
        let current = tails.contains(&sealed);
        let mut kept = TailContents::default();
        if current {
            let scratch = self.layout.scratch();
            let dir = self.layout.tail(sealed);
            kept = tail_read::load(&self.layout, sealed, &scratch, anchor.size).at(&dir).map_err(opening)?;
            self.drop_wrong_leaves(&mut kept);
        }
        let kept_size = sealed + kept.records.len() as u64;
        let wrong_root = if anchor.size == sealed {
            anchor.root != self.sealed.frontier.root()
        } else {
            kept.root_at(&self.sealed.frontier, anchor.size).is_some_and(|root| root != anchor.root)
        };
        let reason = match &kept.damage {
            Some(damage) => Some(damage.reason.clone()),
            None if kept_size < anchor.size => Some("acknowledged records are missing".to_owned()),
            None if wrong_root => Some("the root of the acknowledged records is not the anchor's".to_owned()),
            None => None,
        };
        let stray: Vec<u64> = tails.iter().copied().filter(|first| *first != sealed).collect();
        let leftover = !stray.is_empty() && reason.is_none() && stray.iter().all(|first| *first < sealed);
        if leftover {
            recovery.seal = SealRecovery::Completed;
        }

        // Of the segments that exist only the last can lack its checkpoint.
        self.complete_checkpoints().map_err(opening)?;
        // The order matters: sealed first, then moved, then anchored; a crash in between finds the same damage again.
        if !kept.records.is_empty() {
            self.last_time_us = kept.records.last().map_or(0, |(record, _)| record.time_us);
            self.frontier.extend(kept.records.iter().map(|(_, leaf)| *leaf));
            self.write_segment(&kept.records).map_err(opening)?;
        }
        let mut quarantined = None;
        for first in tails {
            let dir = self.layout.tail(first);
            if reason.is_some() && (first >= sealed || !current) {
                quarantined = Some(self.quarantine(first).map_err(opening)?);
            } else {
                self.delete_tail(dir).map_err(opening)?;
            }
        }
        let unfinished = kept.unfinished;
        recovery.tail = match reason {
            Some(reason) => TailRecovery::Damaged {
                kept_size,
                lost: kept_size.min(anchor.size)..anchor.size,
                anchor_root: anchor.root,
                reason,
                quarantined,
            },
            None if unfinished > 0 => TailRecovery::Torn { cut: kept_size..kept_size + unfinished },
            None if current || kept_size != anchor.size || leftover => {
                TailRecovery::Unclean { accepted: kept_size.saturating_sub(anchor.size) }
            }
            None => TailRecovery::Clean,
        };
        // After damage the anchor is left to the first append, which says so: until then every opening finds it again.
        if !matches!(recovery.tail, TailRecovery::Damaged { .. }) {
            let repair = slots.problem.is_some();
            if repair || kept_size != anchor.size {
                self.write_anchor().map_err(opening)?;
            }
            if repair {
                self.write_anchor().map_err(opening)?;
            }
        }
        self.complete_checkpoints().map_err(opening)?;
        self.drop_later_snapshots();
        Ok(recovery)
    }

    /// Records whose stored leaf is not the hash of what they say are damage, like a wrong checksum. A record that this
    /// version cannot render is not judged here: reading it will say so.
    fn drop_wrong_leaves(&self, contents: &mut TailContents) {
        let wrong = contents
            .records
            .iter()
            .position(|(record, leaf)| self.leaf.lines(record).is_ok_and(|lines| lines.leaf != *leaf));
        if let Some(at) = wrong {
            let seq = contents.records[at].0.seq;
            let whole =
                contents.records[..at].iter().rposition(|(record, _)| record.commit).map_or(0, |at| at + 1);
            contents.records.truncate(whole);
            contents.unfinished = 0;
            let reason = format!("record {seq} is not the one that its leaf hash was made of");
            contents.damage = Some(tail_read::TailDamage { seq: Some(seq), reason });
        }
    }

    fn quarantine(&self, first: u64) -> Result<PathBuf, FileError> {
        let number = self.layout.list_damaged()?.last().map_or(1, |last| last + 1);
        let (from, to) = (self.layout.tail(first), self.layout.damaged(number));
        let run = || {
            self.disk.pass(Point::Quarantine)?;
            fs::rename(&from, &to)?;
            self.disk.sync_folder(self.layout.root())
        };
        run().at(&from)?;
        Ok(to)
    }

    /// Moves segments of other logs out of the way: they stay as evidence, and the log goes on without them.
    pub(super) fn set_aside(&self, foreign: &[u64]) -> Result<Vec<PathBuf>, FileError> {
        if foreign.is_empty() {
            return Ok(Vec::new());
        }
        let number = self.layout.list_damaged()?.last().map_or(1, |last| last + 1);
        let folder = self.layout.damaged(number);
        fs::create_dir(&folder).at(&folder)?;
        let mut moved = Vec::new();
        for first in foreign {
            let from = self.layout.segment(*first);
            let to = folder.join(from.file_name().unwrap_or_default());
            self.disk.pass(Point::Quarantine).and_then(|()| fs::rename(&from, &to)).at(&from)?;
            moved.push(to);
        }
        let (segments, root) = (self.layout.segments(), self.layout.root());
        for folder in [&folder, &segments, root] {
            self.disk.sync_folder(folder).at(folder)?;
        }
        Ok(moved)
    }

    /// Removes files that never got their names; says whether a segment was among them.
    fn remove_unfinished(&self) -> Result<bool, FileError> {
        let mut segment = false;
        let folders = [self.layout.segments(), self.layout.checkpoints(), self.layout.snapshots()];
        for folder in folders.into_iter().chain([self.layout.root().to_owned()]) {
            for name in super::disk::names(&folder)? {
                if name.ends_with(super::disk::TEMPORARY) {
                    let path = folder.join(name);
                    fs::remove_file(&path).at(&path)?;
                    segment |= folder == self.layout.segments();
                }
            }
        }
        let scratch = self.layout.scratch();
        remove_dir(&scratch).at(&scratch)?;
        Ok(segment)
    }

    /// Writes the checkpoints that belong to segments and are not there: the seal was interrupted between the two.
    fn complete_checkpoints(&mut self) -> Result<(), FileError> {
        let size = self.sealed.frontier.size();
        if size > 0 && !self.layout.checkpoint(size).exists() {
            let text = self.sign(size, self.sealed.frontier.root());
            self.disk.write(
                super::faults::Artifact::Checkpoint,
                &self.layout.checkpoint(size),
                text.as_bytes(),
            )?;
        }
        Ok(())
    }

    /// Snapshots of records that are lost would be taken for snapshots of what is written in their place.
    fn drop_later_snapshots(&self) {
        for size in self.layout.list_snapshots().unwrap_or_default() {
            if size > self.frontier.size() {
                let _ = fs::remove_file(self.layout.snapshot(size));
            }
        }
    }
}

/// A failure while recovering.
fn opening(error: FileError) -> OpenError {
    match error.severity() {
        Severity::Full => OpenError::Full { file: error },
        Severity::Crash | Severity::Fatal => OpenError::Io(error),
    }
}
