//! Sealing the hot tail, closing, and putting the tail in order after space ran out.
//!
//! Invariant: a tail is deleted only after a segment with all its acknowledged records, read back from it and under the
//! same root, is durable.

use std::path::PathBuf;

use super::disk::{At as _, FileError, Severity};
use super::error::WriteError;
use super::faults::{Artifact, Point};
use super::merkle::Hash;
use super::record::Record;
use super::segment::Sealer;
use super::tail::{guarded, remove_dir};
use super::tail_read;
use super::writer::{Journal, SealedEnd, State};

impl Journal {
    /// Does what is due by the clock: seals by age, repeats what did not work before, copies to the archive.
    pub fn tick(&mut self, now_us: i64) -> Result<(), WriteError> {
        self.ready()?;
        self.catch_up()?;
        if self.is_due(now_us) {
            self.seal()?;
        }
        self.archive_pending()
    }

    /// Seals the hot tail into a segment with its checkpoint. Returns whether there was anything to seal.
    pub fn seal(&mut self) -> Result<bool, WriteError> {
        self.ready()?;
        self.catch_up()?;
        let Some(tail) = &self.tail else { return Ok(false) };
        let first = tail.first();
        let values = tail.values().map_err(|error| self.fail(error))?;
        let contents = tail_read::contents_of(&values, first);
        let root = contents.root_at(&self.sealed.frontier, self.size());
        let whole = contents.damage.is_none() && contents.unfinished == 0 && root == Some(self.root());
        if !whole || contents.records.len() as u64 != self.size() - first {
            let reason =
                format!("{}: it does not give back what was appended", self.layout.tail(first).display());
            self.state = State::Stopped { reason: reason.clone() };
            return Err(WriteError::Fatal { reason });
        }
        self.write_segment(&contents.records).map_err(|error| self.fail(error))?;
        if let Some(tail) = self.tail.take() {
            // What sled flushes now is sealed already; its complaints no longer matter.
            let _ = guarded(|| {
                drop(tail);
                Ok(())
            });
        }
        self.delete_tail(self.layout.tail(first)).map_err(|error| self.fail(error))?;
        self.archive_pending()?;
        Ok(true)
    }

    /// Writes the segment of records that follow the sealed ones, and its checkpoint.
    pub(super) fn write_segment(&mut self, records: &[(Record, Hash)]) -> Result<(), FileError> {
        let first = self.sealed.frontier.size();
        let path = self.layout.segment(first);
        let sealer = Sealer { log: self.identity.log, origin: &self.identity.origin, key: &self.key };
        let sealed = sealer.seal(&self.sealed.frontier, self.sealed.digest, records).at(&path)?;
        self.disk.write(Artifact::Segment, &path, &sealed.bytes)?;
        let size = sealed.after.size();
        self.sealed = SealedEnd { frontier: sealed.after, digest: sealed.digest };
        if let Some(archive) = &mut self.archive {
            archive.add(first);
        }
        let written = self.disk.write(
            Artifact::Checkpoint,
            &self.layout.checkpoint(size),
            sealed.checkpoint.as_bytes(),
        );
        match written {
            Err(error) if self.severity(&error) == Severity::Full => {
                self.missing_checkpoints.insert(size);
                Ok(())
            }
            other => other,
        }
    }

    /// Deletes a tail whose records are sealed. If that does not work it is tried again later.
    pub(super) fn delete_tail(&mut self, dir: PathBuf) -> Result<(), FileError> {
        let delete = || {
            self.disk.pass(Point::TailDelete)?;
            remove_dir(&dir)?;
            self.disk.pass(Point::TailDeleted)
        };
        match delete().at(&dir) {
            Err(error) if self.severity(&error) == Severity::Crash => Err(error),
            Err(_) => {
                self.leftovers.push(dir);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    pub(super) fn write_anchor(&mut self) -> Result<(), FileError> {
        let (size, root) = (self.frontier.size(), self.frontier.root());
        self.anchor.write(&self.disk, size, root, self.last_time_us).at(&self.layout.anchor())
    }

    /// Repeats what failed before for want of space.
    pub(super) fn catch_up(&mut self) -> Result<(), WriteError> {
        for dir in std::mem::take(&mut self.leftovers) {
            self.delete_tail(dir).map_err(|error| self.fail(error))?;
        }
        // Of these there is at most one, the sealed end: the next seal comes only after it is written.
        while let Some(size) = self.missing_checkpoints.first().copied() {
            let text = self.sign(size, self.sealed.frontier.root());
            let written =
                self.disk.write(Artifact::Checkpoint, &self.layout.checkpoint(size), text.as_bytes());
            written.map_err(|error| self.fail_untouched(error))?;
            self.missing_checkpoints.remove(&size);
        }
        Ok(())
    }

    /// Seals what is left and ends the writer; afterwards nothing is in a hot tail.
    pub fn close(mut self) -> Result<(), WriteError> {
        self.ready()?;
        self.seal()?;
        self.archive_pending()
    }

    /// After space ran out: checks that everything acknowledged is still there, seals it, and forgets the rest.
    pub(super) fn reopen(&mut self) -> Result<(), FileError> {
        if let Some(tail) = self.tail.take() {
            let _ = guarded(|| {
                drop(tail);
                Ok(())
            });
        }
        // First of all: the slot on disk may already count the batch that was not acknowledged and is about to go.
        self.write_anchor()?;
        let first = self.sealed.frontier.size();
        let keep = (self.size() - first) as usize;
        let dir = self.layout.tail(first);
        if keep > 0 {
            let scratch = self.layout.scratch();
            let mut contents = tail_read::load(&self.layout, first, &scratch, self.size()).at(&dir)?;
            if contents.root_at(&self.sealed.frontier, self.size()) != Some(self.root()) {
                let reason = "acknowledged records are no longer in the tail";
                return Err(std::io::Error::other(reason)).at(&dir);
            }
            contents.records.truncate(keep);
            self.write_segment(&contents.records)?;
        }
        self.delete_tail(dir)
    }
}
