//! What verification looks at: the changing parts of a journal as they were at one moment.
//!
//! A writer may append, seal, write snapshots and delete while its journal is verified. So what changes is read once, at the
//! beginning, in an order in which each thing can be held against what is read after it: what is stated (checkpoints,
//! snapshots, the anchor) before what it is stated of (segments, the tail).
//!
//! Invariant: a journal that nobody writes is seen whole; of one that is being written, a moment of it.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::anchor::{self, AnchorSlots};
use super::catalog::{self, SegmentEntry};
use super::disk::{At as _, FileError};
use super::error::ReadError;
use super::identity;
use super::layout::Layout;
use super::reader::Scratch;
use super::record::LogId;
use super::tail_read::{self, TailContents};
use super::verify_files;

/// How often a writer that is in the midst of something is looked at again.
const ATTEMPTS: u64 = 40;

/// The changing parts of a journal.
pub(super) struct View {
    pub(super) checkpoints: Vec<u64>,
    pub(super) snapshots: Vec<u64>,
    pub(super) anchor: AnchorSlots,
    pub(super) entries: Vec<SegmentEntry>,
    /// The tails by their first record; with what it holds, that which follows the segments.
    pub(super) tails: Vec<(u64, Option<TailContents>)>,
    /// Files that do not belong, or are not finished.
    pub(super) strange: Vec<PathBuf>,
    /// Whether a writer holds the journal.
    pub(super) live: bool,
}

impl View {
    /// Looks, and looks again while a writer is in the midst of something.
    pub(super) fn of(layout: &Layout, archive: Option<&Layout>, log: LogId) -> Result<Self, ReadError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let looked = Self::look(layout, archive, log);
            let settled = match &looked {
                Ok(view) => !view.live || view.is_settled(layout)?,
                Err(error) => !is_gone(error) || !identity::is_held(layout),
            };
            if settled || attempt == ATTEMPTS {
                return looked;
            }
            std::thread::sleep(Duration::from_millis(attempt));
        }
    }

    fn look(layout: &Layout, archive: Option<&Layout>, log: LogId) -> Result<Self, ReadError> {
        let live = identity::is_held(layout);
        let checkpoints = layout.list_checkpoints()?;
        let snapshots = layout.list_snapshots()?;
        let anchor = anchor::read(layout, log)?;
        let entries = catalog::scan(layout, archive, log)?;
        let end = end_of(&entries);
        let expected = anchor.newest().map_or(0, |anchor| anchor.size);
        let mut tails = Vec::new();
        for first in layout.list_tails()? {
            let contents = if first == end {
                let scratch = Scratch::new()?;
                Some(tail_read::load(layout, first, &scratch.tail(), expected).at(&layout.tail(first))?)
            } else {
                None
            };
            tails.push((first, contents));
        }
        let strange = verify_files::strange(layout)?;
        Ok(Self { checkpoints, snapshots, anchor, entries, tails, strange, live })
    }

    /// Whether it holds together, as it does whenever a writer is not in the midst of something.
    fn is_settled(&self, layout: &Layout) -> Result<bool, ReadError> {
        let end = end_of(&self.entries);
        let tail = self.tails.iter().find_map(|(_, contents)| contents.as_ref());
        let have = end + tail.map_or(0, |contents| contents.records.len() as u64);
        let local = self.entries.iter().filter(|entry| !entry.archived).map(|entry| entry.first);
        Ok(self.anchor.problem.is_none()
            && self.anchor.newest().is_none_or(|anchor| anchor.size <= have)
            && self.tails.iter().all(|(first, _)| *first == end)
            && tail.is_none_or(|contents| contents.damage.is_none())
            && local.collect::<BTreeSet<_>>() == layout.list_segments()?.into_iter().collect()
            && (end == 0 || layout.checkpoint(end).exists()))
    }
}

/// Where the segments end.
fn end_of(entries: &[SegmentEntry]) -> u64 {
    entries.iter().filter_map(SegmentEntry::end).max().unwrap_or(0)
}

/// Whether something was listed and then was not there any more.
fn is_gone(error: &ReadError) -> bool {
    matches!(error, ReadError::Io(FileError { source, .. }) if source.kind() == io::ErrorKind::NotFound)
}
