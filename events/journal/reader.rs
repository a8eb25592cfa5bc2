//! Reading a journal without ever changing it: closed, killed, or being written by another process.
//!
//! Invariant: a reader shows acknowledged records only, in order and without a gap; what it cannot show is an error.

use std::fs::DirBuilder;
use std::io;
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::anchor;
use super::catalog::{self, SegmentEntry};
use super::disk::{At as _, FileError};
use super::error::{OpenError, ReadError};
use super::identity::{self, Identity, Secret};
use super::layout::Layout;
use super::leaf::{LeafWriter, Vocabulary};
use super::merkle::{Frontier, Hash};
use super::note::VerifierKey;
use super::record::Record;
use super::segment::{Footer, SegmentHeader};
use super::segment_read::SegmentFile;
use super::snapshot::{self, Snapshot};
use super::tail::remove_dir;
use super::tail_read::{self, TailContents};

/// How often a tail is copied again when a writer changed it meanwhile.
const ATTEMPTS: u32 = 12;

/// A folder for copies of tails, outside the journal and readable by nobody else; removed when dropped.
pub(super) struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    pub(super) fn new() -> Result<Self, FileError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let dir = std::env::temp_dir().join(format!("purser-journal-{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&dir) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => return other.map(|()| Self { dir: dir.clone() }).at(&dir),
            }
        }
    }

    pub(super) fn tail(&self) -> PathBuf {
        self.dir.join("tail")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A copy left in the temporary folder is untidy, no more.
        let _ = remove_dir(&self.dir);
    }
}

/// A sealed segment as a reader knows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SegmentSummary {
    /// The file.
    pub file: PathBuf,
    /// Whether it is the archive's copy.
    pub archived: bool,
    /// What its header says.
    pub header: SegmentHeader,
}

/// What a reader has loaded of the changing parts.
struct View {
    entries: Vec<SegmentEntry>,
    /// The end of the sealed records, and the tree there.
    sealed: Frontier,
    tail: TailContents,
    size: u64,
    unacknowledged: u64,
    problem: Option<String>,
}

/// A reader of a journal, or of an archive folder.
pub struct Reader {
    layout: Layout,
    archive: Option<Layout>,
    identity: Identity,
    vkey: VerifierKey,
    leaf: Option<LeafWriter>,
    view: View,
}

impl Reader {
    /// Opens a journal, in whatever state it is.
    pub fn open(dir: &Path, vocabulary: Arc<dyn Vocabulary>) -> Result<Self, ReadError> {
        Self::open_with_archive(dir, None, vocabulary)
    }

    /// Opens a journal and reads from the archive folder what is not in it any more.
    pub fn open_with_archive(
        dir: &Path,
        archive: Option<&Path>,
        vocabulary: Arc<dyn Vocabulary>,
    ) -> Result<Self, ReadError> {
        let layout = Layout::new(dir);
        let archive = archive.map(Layout::new);
        let identity = Identity::read(&layout)?;
        let vkey = identity::read_vkey(&layout)?;
        // Only the lines that were hashed take the secret; a reader who may not have it reads all else.
        let secret = match Secret::read(&layout) {
            Err(OpenError::Io(error)) if error.source.kind() == io::ErrorKind::PermissionDenied => None,
            secret => secret?,
        };
        let leaf =
            secret.map(|secret| LeafWriter::new(identity.log, &identity.origin, secret.salts, vocabulary));
        let view = load(&layout, archive.as_ref(), &identity)?;
        Ok(Self { layout, archive, identity, vkey, leaf, view })
    }

    /// Looks again; returns the size now. For following a live journal: refresh, then read on from the last record.
    pub fn refresh(&mut self) -> Result<u64, ReadError> {
        self.view = load(&self.layout, self.archive.as_ref(), &self.identity)?;
        Ok(self.view.size)
    }

    /// Who the log is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The key that checkpoints are verified with, as the folder has it.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.vkey
    }

    /// Renders records as the lines that the tree commits to; `None` without the secret that the salts come from.
    pub fn leaf_writer(&self) -> Option<&LeafWriter> {
        self.leaf.as_ref()
    }

    /// The number of acknowledged records that were there at the last look.
    pub fn size(&self) -> u64 {
        self.view.size
    }

    /// The first record that is here, or in the archive.
    pub fn first_seq(&self) -> u64 {
        self.view.entries.first().map_or(self.view.sealed.size(), |entry| entry.first)
    }

    /// The first record that is in the journal itself, without the archive.
    pub fn first_kept(&self) -> u64 {
        let local = self.view.entries.iter().find(|entry| !entry.archived);
        local.map_or(self.view.sealed.size(), |entry| entry.first)
    }

    /// How many records were durable but not acknowledged; after a kill they are accepted when the journal is opened.
    pub fn unacknowledged(&self) -> u64 {
        self.view.unacknowledged
    }

    /// What is wrong with the tail or the anchor, if anything: fewer records are shown than were acknowledged.
    pub fn problem(&self) -> Option<&str> {
        self.view.problem.as_deref()
    }

    /// The sealed segments, in order; those with a damaged header are left out.
    pub fn segments(&self) -> Vec<SegmentSummary> {
        let summary = |entry: &SegmentEntry| {
            let header = entry.header.as_ref().ok()?.clone();
            Some(SegmentSummary { file: entry.path.clone(), archived: entry.archived, header })
        };
        self.view.entries.iter().filter_map(summary).collect()
    }

    /// The root over the first `size` records, if they can be read.
    pub fn root_at(&self, size: u64) -> Option<Hash> {
        if size > self.view.size {
            None
        } else if size >= self.view.sealed.size() {
            self.view.tail.root_at(&self.view.sealed, size)
        } else {
            catalog::root_at(&self.view.entries, size)
        }
    }

    /// The newest good snapshot of this version that includes at most `at_most` records.
    pub fn latest_snapshot(&self, engine_version: &str, at_most: u64) -> Result<Option<Snapshot>, ReadError> {
        let at_most = at_most.min(self.size());
        let is_prefix = |size, root| self.root_at(size) == Some(root);
        Ok(snapshot::latest(&self.layout, self.identity.log, engine_version, at_most, is_prefix)?)
    }

    /// The records from `from` on, one block of a segment at a time.
    pub fn records(&self, from: u64) -> Records<'_> {
        Records { reader: self, next: from, block: Vec::new().into_iter(), open: None, ended: false }
    }

    /// The first record that is not before this time; the size, when there is none.
    pub fn seek(&self, time_us: i64) -> Result<u64, ReadError> {
        let early =
            |entry: &SegmentEntry| entry.header.as_ref().is_ok_and(|header| header.last_time_us < time_us);
        let at = self.view.entries.partition_point(early);
        let start = match self.view.entries.get(at) {
            None => self.view.sealed.size(),
            Some(entry) => {
                let footer = SegmentFile::open(&entry.path)?.footer()?;
                let block = footer.blocks.partition_point(|block| block.first_time_us < time_us);
                footer.blocks.get(block.saturating_sub(1)).map_or(entry.first, |block| block.first_seq)
            }
        };
        for record in self.records(start) {
            let record = record?;
            if record.time_us >= time_us {
                return Ok(record.seq);
            }
        }
        Ok(self.size())
    }

    /// The leaf hashes of a range of records, for proofs.
    pub fn leaves(&self, range: Range<u64>) -> Result<Vec<Hash>, ReadError> {
        let mut leaves = Vec::new();
        let mut next = range.start;
        while next < range.end.min(self.size()) {
            let in_tail = next.checked_sub(self.view.sealed.size());
            let stored = match in_tail {
                Some(at) => self.view.tail.records[at as usize..].iter().map(|(_, leaf)| *leaf).collect(),
                None => {
                    let file = self.segment_with(next)?;
                    let mut stored = file.leaves(&file.footer()?)?;
                    stored.drain(..(next - file.header().first_seq) as usize);
                    stored
                }
            };
            let wanted = (range.end.min(self.size()) - next) as usize;
            leaves.extend(stored.into_iter().take(wanted));
            next = range.start + leaves.len() as u64;
        }
        Ok(leaves)
    }

    fn segment_with(&self, seq: u64) -> Result<SegmentFile, ReadError> {
        let entries = &self.view.entries;
        let at = entries.partition_point(|entry| entry.first <= seq);
        let to = entries.get(at).map_or(self.view.sealed.size(), |entry| entry.first);
        let missing = ReadError::Missing { from: seq, to };
        let Some(entry) = at.checked_sub(1).map(|at| &entries[at]) else { return Err(missing) };
        let file = SegmentFile::open(&entry.path)?;
        if file.header().end() <= seq { Err(missing) } else { Ok(file) }
    }
}

/// See [`Reader::records`]. After an error there is nothing more.
pub struct Records<'a> {
    reader: &'a Reader,
    next: u64,
    block: std::vec::IntoIter<Record>,
    open: Option<(SegmentFile, Footer)>,
    ended: bool,
}

impl Records<'_> {
    fn advance(&mut self) -> Result<Record, ReadError> {
        let view = &self.reader.view;
        if let Some(at) = self.next.checked_sub(view.sealed.size()) {
            return Ok(view.tail.records[at as usize].0.clone());
        }
        loop {
            // A block is entered at its beginning, and the wanted record may be further in.
            let wanted = self.next;
            if let Some(record) = self.block.find(|record| record.seq >= wanted) {
                return Ok(record);
            }
            let ended = self.open.as_ref().is_none_or(|(file, _)| file.header().end() <= wanted);
            if ended {
                let file = self.reader.segment_with(wanted)?;
                let footer = file.footer()?;
                self.open = Some((file, footer));
            }
            let Some((file, footer)) = &self.open else { continue };
            let at = footer.blocks.partition_point(|block| block.first_seq <= wanted);
            let entry = at.checked_sub(1).and_then(|at| footer.blocks.get(at));
            let entry = entry.ok_or(ReadError::Missing { from: wanted, to: wanted + 1 })?;
            self.block = file.block(entry)?.into_iter();
        }
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended || self.next >= self.reader.size() {
            return None;
        }
        let record = self.advance();
        self.ended = record.is_err();
        self.next += 1;
        Some(record)
    }
}

/// Loads a consistent view. A live writer may change the tail under the copy, or seal it; then it is read again.
fn load(layout: &Layout, archive: Option<&Layout>, identity: &Identity) -> Result<View, ReadError> {
    let scratch = Scratch::new()?;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let view = try_load(layout, archive, identity, &scratch);
        let gone = |error: &FileError| error.source.kind() == io::ErrorKind::NotFound;
        let again = match &view {
            Ok(view) => view.problem.is_some(),
            Err(ReadError::Io(error)) => gone(error),
            Err(_) => false,
        };
        if !again || attempt == ATTEMPTS {
            return view;
        }
        std::thread::sleep(Duration::from_millis(u64::from(attempt)));
    }
}

fn try_load(
    layout: &Layout,
    archive: Option<&Layout>,
    identity: &Identity,
    scratch: &Scratch,
) -> Result<View, ReadError> {
    // The anchor first: what it counts must be found in what is read after it.
    let slots = anchor::read(layout, identity.log)?;
    identity::refuse_disowned(layout, identity.log)?;
    let entries = catalog::scan(layout, archive, identity.log)?;
    catalog::refuse_foreign(&entries, archive, identity.log)?;
    let sealed = match entries.iter().rev().find(|entry| entry.header.is_ok()) {
        None => Frontier::default(),
        Some(entry) => SegmentFile::open(&entry.path)?.footer()?.after,
    };
    let first = sealed.size();
    let dir = layout.tail(first);
    let expected = slots.newest().map_or(first, |anchor| anchor.size);
    let tail = match tail_read::load(layout, first, &scratch.tail(), expected) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !dir.exists() => TailContents::default(),
        other => other.at(&dir)?,
    };
    let have = first + tail.records.len() as u64;
    let size = match slots.newest() {
        None => have,
        Some(anchor) => have.min(anchor.size).max(first),
    };
    let problem = match slots.newest() {
        Some(anchor) if have < anchor.size => {
            let detail = tail.damage.as_ref().map_or(String::new(), |damage| format!(": {}", damage.reason));
            Some(format!("{} records were acknowledged, {have} can be read{detail}", anchor.size))
        }
        Some(anchor) if tail.root_at(&sealed, anchor.size).is_some_and(|root| root != anchor.root) => {
            Some("the root of the acknowledged records is not the anchor's".to_owned())
        }
        _ => None,
    };
    Ok(View { entries, sealed, tail, size, unacknowledged: have - size, problem })
}
