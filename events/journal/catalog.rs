//! Which sealed segments there are, locally and in the archive, from their names and headers.
//!
//! Invariant: a local segment is preferred to its archived copy unless its header is damaged; entries are in order.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::disk::FileError;
use super::error::ReadError;
use super::identity::Identity;
use super::layout::Layout;
use super::merkle::Hash;
use super::record::LogId;
use super::segment::SegmentHeader;
use super::segment_read::SegmentFile;

/// One segment by name.
#[derive(Debug, Clone)]
pub(super) struct SegmentEntry {
    pub(super) first: u64,
    pub(super) path: PathBuf,
    pub(super) archived: bool,
    /// What its header says, or what is wrong with it.
    pub(super) header: Result<SegmentHeader, String>,
    /// The log that it belongs to, if that is another.
    foreign: Option<LogId>,
}

impl SegmentEntry {
    fn new(layout: &Layout, first: u64, archived: bool, log: LogId) -> Result<Self, FileError> {
        let path = layout.segment(first);
        let mut foreign = None;
        let header = match SegmentFile::open(&path) {
            Ok(file) if file.header().log != log => {
                let found = file.header().log;
                foreign = Some(found);
                Err(format!("it is of log {found}, the journal is {log}"))
            }
            Ok(file) if file.header().first_seq != first => {
                Err("its name is not that of its first record".to_owned())
            }
            Ok(file) => Ok(file.header().clone()),
            Err(ReadError::Io(error)) => return Err(error),
            Err(error) => Err(error.to_string()),
        };
        Ok(Self { first, path, archived, header, foreign })
    }

    /// Whether it is a file in the journal itself that belongs to another log.
    pub(super) fn is_stray(&self) -> bool {
        self.foreign.is_some() && !self.archived
    }

    pub(super) fn end(&self) -> Option<u64> {
        self.header.as_ref().ok().map(SegmentHeader::end)
    }
}

/// Lists the segments; `archive` fills in what is not here or not readable here.
pub(super) fn scan(
    local: &Layout,
    archive: Option<&Layout>,
    log: LogId,
) -> Result<Vec<SegmentEntry>, FileError> {
    let mut entries = BTreeMap::new();
    for first in local.list_segments()? {
        entries.insert(first, SegmentEntry::new(local, first, false, log)?);
    }
    if let Some(archive) = archive {
        for first in archive.list_segments()? {
            if entries.get(&first).is_none_or(|entry| entry.header.is_err()) {
                let copy = SegmentEntry::new(archive, first, true, log)?;
                if copy.header.is_ok() || !entries.contains_key(&first) {
                    entries.insert(first, copy);
                }
            }
        }
    }
    Ok(entries.into_values().collect())
}

/// The segments here that belong to another log, each with that log.
pub(super) fn foreign(local: &Layout, log: LogId) -> Result<Vec<(u64, LogId)>, FileError> {
    let mut foreign = Vec::new();
    for first in local.list_segments()? {
        if let Some(found) = SegmentEntry::new(local, first, false, log)?.foreign {
            foreign.push((first, found));
        }
    }
    Ok(foreign)
}

/// The log that an archive folder belongs to, if that is another: by its identity, or else by its oldest segment.
pub(super) fn foreign_archive(archive: &Layout, log: LogId) -> Option<LogId> {
    let found = match Identity::read(archive) {
        Ok(identity) => identity.log,
        // Somebody may have copied the segments alone.
        Err(_) => {
            let first = archive.list_segments().ok()?.into_iter().min()?;
            SegmentFile::open(&archive.segment(first)).ok()?.header().log
        }
    };
    (found != log).then_some(found)
}

/// Refuses what belongs to another log: a story put together from two is true of neither.
pub(super) fn refuse_foreign(
    entries: &[SegmentEntry],
    archive: Option<&Layout>,
    log: LogId,
) -> Result<(), ReadError> {
    if let Some(archive) = archive
        && let Some(found) = foreign_archive(archive, log)
    {
        let remedy = "name the archive of this journal";
        return Err(ReadError::Foreign {
            file: archive.root().to_owned(),
            what: "archive",
            found,
            log,
            remedy,
        });
    }
    for entry in entries {
        if let Some(found) = entry.foreign {
            let remedy = "move it out of the folder, and put back the journal's own if it replaced one";
            return Err(ReadError::Foreign { file: entry.path.clone(), what: "segment", found, log, remedy });
        }
    }
    Ok(())
}

/// The root of the tree at `size`, from the leaf hashes of the one segment that reaches over it.
pub(super) fn root_at(entries: &[SegmentEntry], size: u64) -> Option<Hash> {
    let at = entries.partition_point(|entry| entry.first <= size).checked_sub(1)?;
    let file = SegmentFile::open(&entries[at].path).ok()?;
    let mut frontier = file.header().before.clone();
    let count = size - frontier.size();
    if count > 0 {
        let footer = file.footer().ok().filter(|_| count <= file.header().count)?;
        frontier.extend(file.leaves(&footer).ok()?.into_iter().take(count as usize));
    }
    Some(frontier.root())
}
