//! A description of everything that is on disk, for people and dashboards.
//!
//! Invariant: inspection changes nothing, and describes damaged parts as damaged instead of failing on them.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::anchor::{self, AnchorSlots};
use super::catalog;
use super::disk::{At as _, FileError, names};
use super::error::ReadError;
use super::identity::Identity;
use super::layout::Layout;
use super::merkle::Hash;
use super::reader::Scratch;
use super::segment::SegmentHeader;
use super::segment_read::SegmentFile;
use super::snapshot;
use super::tail_read;

/// All that is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Who the log is.
    pub identity: Identity,
    /// The verifier key as the folder has it.
    pub verifier_key: Option<String>,
    /// Both anchor slots.
    pub anchor: AnchorSlots,
    /// The sealed segments.
    pub segments: Vec<SegmentInfo>,
    /// The hot tails: none in a closed journal, else one.
    pub tails: Vec<TailInfo>,
    /// The signed checkpoints.
    pub checkpoints: Vec<FileInfo>,
    /// The snapshots.
    pub snapshots: Vec<SnapshotInfo>,
    /// Tails that recovery moved aside.
    pub quarantined: Vec<FileInfo>,
    /// The records that are sealed or in the tail.
    pub records: u64,
    /// The Merkle root over them, as far as the files state it.
    pub root: Option<Hash>,
    /// Everything in the folder.
    pub total_bytes: u64,
}

/// A file or folder and its length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileInfo {
    /// Its path in the journal.
    pub file: String,
    /// Its length, or that of all files in it.
    pub bytes: u64,
}

/// A sealed segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentInfo {
    /// Its path in the journal.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// What its header says.
    pub header: Option<SegmentHeader>,
    /// Where its bytes go.
    pub sections: Option<SectionBytes>,
    /// The digest that it ends with.
    pub digest: Option<Hash>,
    /// What is wrong with it, as far as this looks.
    pub problem: Option<String>,
}

/// How the bytes of a segment are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SectionBytes {
    /// The header with its frame.
    pub header: u64,
    /// The compressed records.
    pub blocks: u64,
    /// The same before compression.
    pub blocks_raw: u64,
    /// Of these, the payloads.
    pub payloads_raw: u64,
    /// The leaf hashes.
    pub leaves: u64,
    /// The footer with its frame, and the digest.
    pub footer: u64,
    /// The number of blocks.
    pub block_count: u64,
}

/// A hot tail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TailInfo {
    /// Its path in the journal.
    pub file: String,
    /// The length of its files.
    pub bytes: u64,
    /// Its first record.
    pub first_seq: u64,
    /// How many whole records it has.
    pub records: u64,
    /// How many records of an unfinished batch it has beside them.
    pub unfinished: u64,
    /// What is wrong with it.
    pub problem: Option<String>,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotInfo {
    /// Its path in the journal.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// The number of records that it includes.
    pub size: u64,
    /// The version of the code that made it.
    pub engine_version: Option<String>,
    /// Its length when unpacked.
    pub unpacked_bytes: Option<u64>,
    /// What is wrong with it.
    pub problem: Option<String>,
}

/// Describes the journal in `dir`.
pub fn inspect(dir: &Path) -> Result<Inspection, ReadError> {
    let layout = Layout::new(dir);
    let identity = Identity::read(&layout)?;
    let anchor = anchor::read(&layout, identity.log)?;
    let entries = catalog::scan(&layout, None, identity.log)?;
    let mut segments = Vec::new();
    let mut end = super::Frontier::default();
    for entry in &entries {
        let mut info = SegmentInfo {
            file: layout.relative(&entry.path),
            bytes: length(&entry.path)?,
            header: entry.header.clone().ok(),
            sections: None,
            digest: None,
            problem: entry.header.clone().err(),
        };
        if entry.header.is_ok() {
            match describe(&entry.path, &mut info) {
                Ok(after) => end = after,
                Err(error) => info.problem = Some(error.to_string()),
            }
        }
        segments.push(info);
    }
    let mut tails = Vec::new();
    let expected = anchor.newest().map_or(0, |anchor| anchor.size);
    for first in layout.list_tails()? {
        let path = layout.tail(first);
        let scratch = Scratch::new()?;
        let contents = tail_read::load(&layout, first, &scratch.tail(), expected).at(&path)?;
        if first == end.size() {
            end.extend(contents.records.iter().map(|(_, leaf)| *leaf));
        }
        tails.push(TailInfo {
            file: layout.relative(&path),
            bytes: length(&path)?,
            first_seq: first,
            records: contents.records.len() as u64,
            unfinished: contents.unfinished,
            problem: contents.damage.map(|damage| damage.reason),
        });
    }
    let file = |path: &Path| Ok(FileInfo { file: layout.relative(path), bytes: length(path)? });
    let mut snapshots = Vec::new();
    for size in layout.list_snapshots()? {
        let path = layout.snapshot(size);
        let read = snapshot::read(&path, identity.log)?;
        let problem = read.as_ref().and_then(|read| read.as_ref().err()).map(ToString::to_string);
        let good = read.and_then(Result::ok);
        snapshots.push(SnapshotInfo {
            file: layout.relative(&path),
            bytes: length(&path)?,
            size,
            unpacked_bytes: good.as_ref().map(|snapshot| snapshot.bytes.len() as u64),
            engine_version: good.map(|snapshot| snapshot.engine_version),
            problem,
        });
    }
    Ok(Inspection {
        verifier_key: super::identity::read_vkey(&layout).ok().map(|key| key.to_string()),
        anchor,
        checkpoints: layout
            .list_checkpoints()?
            .into_iter()
            .map(|size| file(&layout.checkpoint(size)))
            .collect::<Result<_, FileError>>()?,
        quarantined: layout
            .list_damaged()?
            .into_iter()
            .map(|number| file(&layout.damaged(number)))
            .collect::<Result<_, FileError>>()?,
        records: end.size(),
        root: segments.iter().all(|segment| segment.problem.is_none()).then(|| end.root()),
        // The lock file is the holder's note to others, as long as its process number is.
        total_bytes: length(layout.root())?.saturating_sub(length(&layout.lock()).unwrap_or(0)),
        identity,
        segments,
        tails,
        snapshots,
    })
}

fn describe(path: &Path, info: &mut SegmentInfo) -> Result<super::Frontier, ReadError> {
    let file = SegmentFile::open(path)?;
    let footer = file.footer()?;
    let mut payloads_raw = 0;
    for entry in &footer.blocks {
        payloads_raw += file.block(entry)?.iter().map(|record| record.payload.len() as u64).sum::<u64>();
    }
    let leaves = file.header().count * 32;
    info.sections = Some(SectionBytes {
        header: file.header_len(),
        blocks: footer.leaves_offset - file.header_len(),
        blocks_raw: footer.blocks.iter().map(|block| u64::from(block.raw_len)).sum(),
        payloads_raw,
        leaves,
        footer: file.len() - footer.leaves_offset - leaves,
        block_count: footer.blocks.len() as u64,
    });
    info.digest = Some(file.stated_digest()?);
    Ok(footer.after)
}

/// The length of a file, or of all files in a folder.
fn length(path: &Path) -> Result<u64, FileError> {
    let metadata = fs::metadata(path).at(path)?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    names(path)?.iter().map(|name| length(&path.join(name))).sum()
}
